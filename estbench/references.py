"""The papers that estimators come from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reference:
    """One paper; `arxiv` is its number there, where it has one."""

    authors: str
    year: int
    title: str
    venue: str
    arxiv: str | None = None

    def bibtex(self, key: str) -> str:
        """The BibTeX entry."""
        lines = [f"author = {{{self.authors}}}", f"title = {{{{{self.title}}}}}", f"year = {{{self.year}}}"]
        lines.append(f"note = {{{self.venue}}}")
        if self.arxiv:
            lines += [f"eprint = {{{self.arxiv}}}", "archivePrefix = {arXiv}"]
        return f"@misc{{{key},\n  " + ",\n  ".join(lines) + "\n}"

    def __str__(self) -> str:
        names = [author.split(",")[0] for author in self.authors.split(" and ")]
        who = names[0] if len(names) == 1 else f"{names[0]} & {names[1]}" if len(names) == 2 else f"{names[0]} et al."
        return f"{who} {self.year}"


REFERENCES: dict[str, Reference] = {
    "williams1992": Reference(
        "Williams, Ronald J.",
        1992,
        "Simple statistical gradient-following algorithms for connectionist reinforcement learning",
        "Machine Learning 8",
    ),
    "glynn1990": Reference(
        "Glynn, Peter W.", 1990, "Likelihood ratio gradient estimation for stochastic systems", "CACM 33(10)"
    ),
    "bengio2013": Reference(
        "Bengio, Yoshua and Léonard, Nicholas and Courville, Aaron",
        2013,
        "Estimating or propagating gradients through stochastic neurons for conditional computation",
        "arXiv",
        "1308.3432",
    ),
    "hinton2012": Reference(
        "Hinton, Geoffrey", 2012, "Neural networks for machine learning", "Coursera video lectures"
    ),
    "chung2017": Reference(
        "Chung, Junyoung and Ahn, Sungjin and Bengio, Yoshua",
        2017,
        "Hierarchical multiscale recurrent neural networks",
        "ICLR",
        "1609.01704",
    ),
    "yin2019understanding": Reference(
        "Yin, Penghang and Lyu, Jiancheng and Zhang, Shuai and Osher, Stanley and Qi, Yingyong and Xin, Jack",
        2019,
        "Understanding straight-through estimator in training activation quantized neural nets",
        "ICLR",
        "1903.05662",
    ),
    "salimans2014": Reference(
        "Salimans, Tim and Knowles, David A.",
        2014,
        "On using control variates with stochastic approximation for variational Bayes and its connection to "
        "stochastic linear regression",
        "arXiv",
        "1401.1022",
    ),
    "mnih2014": Reference(
        "Mnih, Andriy and Gregor, Karol",
        2014,
        "Neural variational inference and learning in belief networks",
        "ICML",
        "1402.0030",
    ),
    "mnih2016": Reference(
        "Mnih, Andriy and Rezende, Danilo J.",
        2016,
        "Variational inference for Monte Carlo objectives",
        "ICML",
        "1602.06725",
    ),
    "kool2019": Reference(
        "Kool, Wouter and van Hoof, Herke and Welling, Max",
        2019,
        "Buy 4 REINFORCE samples, get a baseline for free!",
        "ICLR workshop on deep reinforcement learning meets structured prediction",
    ),
    "kool2020": Reference(
        "Kool, Wouter and van Hoof, Herke and Welling, Max",
        2020,
        "Estimating gradients for discrete random variables by sampling without replacement",
        "ICLR",
        "2002.06043",
    ),
    "richter2020": Reference(
        "Richter, Lorenz and Boustati, Ayman and Nüsken, Nikolas and Ruiz, Francisco J. R. and Akyildiz, Ömer Deniz",
        2020,
        "VarGrad: a low-variance gradient estimator for variational inference",
        "NeurIPS",
        "2010.10436",
    ),
    "gu2016": Reference(
        "Gu, Shixiang and Levine, Sergey and Sutskever, Ilya and Mnih, Andriy",
        2016,
        "MuProp: unbiased backpropagation for stochastic neural networks",
        "ICLR",
        "1511.05176",
    ),
    "gregor2014": Reference(
        "Gregor, Karol and Danihelka, Ivo and Mnih, Andriy and Blundell, Charles and Wierstra, Daan",
        2014,
        "Deep autoregressive networks",
        "ICML",
        "1310.8499",
    ),
    "liu2023": Reference(
        "Liu, Liyuan and Dong, Chengyu and Liu, Xiaodong and Yu, Bin and Gao, Jianfeng",
        2023,
        "Bridging discrete and backpropagation: straight-through and beyond",
        "NeurIPS",
        "2304.08612",
    ),
    "shekhovtsov2023": Reference(
        "Shekhovtsov, Alexander",
        2023,
        "Cold analysis of Rao-Blackwellized straight-through Gumbel-Softmax gradient estimator",
        "ICML",
    ),
    "fan2022": Reference(
        "Fan, Ting-Han and Chi, Ta-Chung and Rudnicky, Alexander I. and Ramadge, Peter J.",
        2022,
        "Training discrete deep generative models via gapped straight-through estimator",
        "ICML",
        "2206.07235",
    ),
    "hooper2026": Reference(
        "Hooper, James and Shekhovtsov, Alexander",
        2026,
        "Generalized and optimal straight-through estimators",
        "AISTATS",
    ),
    "pervez2020": Reference(
        "Pervez, Adeel and Cohen, Taco and Gavves, Efstratios",
        2020,
        "Low bias low variance gradient estimates for Boolean stochastic networks",
        "ICML",
    ),
    "jang2017": Reference(
        "Jang, Eric and Gu, Shixiang and Poole, Ben",
        2017,
        "Categorical reparameterization with Gumbel-Softmax",
        "ICLR",
        "1611.01144",
    ),
    "maddison2017": Reference(
        "Maddison, Chris J. and Mnih, Andriy and Teh, Yee Whye",
        2017,
        "The concrete distribution: a continuous relaxation of discrete random variables",
        "ICLR",
        "1611.00712",
    ),
    "paulus2021": Reference(
        "Paulus, Max B. and Maddison, Chris J. and Krause, Andreas",
        2021,
        "Rao-Blackwellizing the straight-through Gumbel-Softmax gradient estimator",
        "ICLR",
        "2010.04838",
    ),
    "potapczynski2020": Reference(
        "Potapczynski, Andres and Loaiza-Ganem, Gabriel and Cunningham, John P.",
        2020,
        "Invertible Gaussian reparameterization: revisiting the Gumbel-Softmax",
        "NeurIPS",
        "1912.09588",
    ),
    "louizos2018": Reference(
        "Louizos, Christos and Welling, Max and Kingma, Diederik P.",
        2018,
        "Learning sparse neural networks through L0 regularization",
        "ICLR",
        "1712.01312",
    ),
    "yin2019arm": Reference(
        "Yin, Mingzhang and Zhou, Mingyuan",
        2019,
        "ARM: augment-REINFORCE-merge gradient for stochastic binary networks",
        "ICLR",
        "1807.11143",
    ),
    "yin2019arsm": Reference(
        "Yin, Mingzhang and Yue, Yuguang and Zhou, Mingyuan",
        2019,
        "ARSM: augment-REINFORCE-swap-merge estimator for gradient backpropagation through categorical variables",
        "ICML",
        "1905.01413",
    ),
    "dong2020": Reference(
        "Dong, Zhe and Mnih, Andriy and Tucker, George",
        2020,
        "DisARM: an antithetic gradient estimator for binary latent variables",
        "NeurIPS",
        "2006.10680",
    ),
    "yin2020": Reference(
        "Yin, Mingzhang and Ho, Nhat and Yan, Bowei and Qian, Xiaoning and Zhou, Mingyuan",
        2020,
        "Probabilistic best subset selection via gradient-based optimization",
        "arXiv",
        "2006.06448",
    ),
    "dong2021": Reference(
        "Dong, Zhe and Mnih, Andriy and Tucker, George",
        2021,
        "Coupled gradient estimators for discrete latent variables",
        "NeurIPS",
        "2106.08056",
    ),
    "dimitriev2021arms": Reference(
        "Dimitriev, Alek and Zhou, Mingyuan",
        2021,
        "ARMS: antithetic-REINFORCE-multi-sample gradient for binary variables",
        "ICML",
        "2105.14141",
    ),
    "dimitriev2021carms": Reference(
        "Dimitriev, Alek and Zhou, Mingyuan",
        2021,
        "CARMS: categorical-antithetic-REINFORCE multi-sample gradient estimator",
        "NeurIPS",
        "2110.14002",
    ),
    "titsias2015": Reference(
        "Titsias, Michalis K. and Lázaro-Gredilla, Miguel",
        2015,
        "Local expectation gradients for black box variational inference",
        "NeurIPS",
        "1503.01494",
    ),
    "tokui2017": Reference(
        "Tokui, Seiya and Sato, Issei",
        2017,
        "Evaluating the variance of likelihood-ratio gradient estimators",
        "ICML",
    ),
    "cong2019": Reference(
        "Cong, Yulai and Zhao, Miaoyun and Bai, Ke and Carin, Lawrence",
        2019,
        "GO gradient for expectation-based objectives",
        "ICLR",
        "1901.06020",
    ),
    "desmet2023": Reference(
        "De Smet, Lennert and Sansone, Emanuele and Zuidberg Dos Martires, Pedro",
        2023,
        "Differentiable sampling of categorical distributions using the CatLog-derivative trick",
        "NeurIPS",
        "2311.12569",
    ),
    "liu2019": Reference(
        "Liu, Runjing and Regier, Jeffrey and Tripuraneni, Nilesh and Jordan, Michael I. and McAuliffe, Jon",
        2019,
        "Rao-Blackwellized stochastic gradients for discrete distributions",
        "ICML",
        "1810.04777",
    ),
    "mohamed2020": Reference(
        "Mohamed, Shakir and Rosca, Mihaela and Figurnov, Michael and Mnih, Andriy",
        2020,
        "Monte Carlo gradient estimation in machine learning",
        "JMLR 21",
        "1906.10652",
    ),
    "tucker2017": Reference(
        "Tucker, George and Mnih, Andriy and Maddison, Chris J. and Lawson, John and Sohl-Dickstein, Jascha",
        2017,
        "REBAR: low-variance, unbiased gradient estimates for discrete latent variable models",
        "NeurIPS",
        "1703.07370",
    ),
    "grathwohl2018": Reference(
        "Grathwohl, Will and Choi, Dami and Wu, Yuhuai and Roeder, Geoffrey and Duvenaud, David",
        2018,
        "Backpropagation through the void: optimizing control variates for black-box gradient estimation",
        "ICLR",
        "1711.00123",
    ),
    "titsias2022": Reference(
        "Titsias, Michalis K. and Shi, Jiaxin",
        2022,
        "Double control variates for gradient estimation in discrete latent variable models",
        "AISTATS",
        "2111.05300",
    ),
    "shi2022": Reference(
        "Shi, Jiaxin and Zhou, Yuhao and Hwang, Jessica and Titsias, Michalis K. and Mackey, Lester",
        2022,
        "Gradient estimation with discrete Stein operators",
        "NeurIPS",
        "2202.09497",
    ),
    "spall1992": Reference(
        "Spall, James C.",
        1992,
        "Multivariate stochastic approximation using a simultaneous perturbation gradient approximation",
        "IEEE Transactions on Automatic Control 37(3)",
    ),
    "salimans2017": Reference(
        "Salimans, Tim and Ho, Jonathan and Chen, Xi and Sidor, Szymon and Sutskever, Ilya",
        2017,
        "Evolution strategies as a scalable alternative to reinforcement learning",
        "arXiv",
        "1703.03864",
    ),
    "arya2022": Reference(
        "Arya, Gaurav and Schauer, Moritz and Schäfer, Frank and Rackauckas, Christopher",
        2022,
        "Automatic differentiation of programs with discrete randomness",
        "NeurIPS",
        "2210.08572",
    ),
    "niepert2021": Reference(
        "Niepert, Mathias and Minervini, Pasquale and Franceschi, Luca",
        2021,
        "Implicit MLE: backpropagating through discrete exponential family distributions",
        "NeurIPS",
        "2106.01798",
    ),
    "mckay1979": Reference(
        "McKay, Michael D. and Beckman, Richard J. and Conover, William J.",
        1979,
        "A comparison of three methods for selecting values of input variables in the analysis of output from a "
        "computer code",
        "Technometrics 21(2)",
    ),
}
