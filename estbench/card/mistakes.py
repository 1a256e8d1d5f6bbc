"""The usual mistakes: what each does to E ĝ, and what to look for. The first question of the card is which one fits.

A mistake is a formula for E ĝ in terms of the problem and N. One that fits all means that were observed, and better
than the others, is named as the cause.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import nan, sqrt

import torch

from estbench.card.formulas import (
    MeanOf,
    all_at,
    by_n,
    by_shape,
    chained,
    entropy,
    from_probabilities,
    fs,
    joint,
    of_f,
    of_sample,
    ones_only,
    only,
    own_probability,
    plus,
    probit_law,
    sampled_from,
    scaled,
    score_at,
    straight_through,
    times,
)


@dataclass(frozen=True)
class Mistake:
    """One usual mistake.

    `says`: what E ĝ is, in a formula; `look`: what to look for in the code. `rarity`: 0 for the common ones; between
    two that fit about equally well the commoner one is named. `linear`: whether E ĝ is linear in f.
    """

    key: str
    mean: MeanOf
    says: str
    look: str
    rarity: int = 0
    linear: bool = True


_G = times(1.0)
_ST = of_sample(straight_through)

TEMPERATURES = (0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.5, 2.0, 3.0, 5.0, 10.0)
"""Those that code has, for a score or a problem at logits/τ."""

MISTAKES: tuple[Mistake, ...] = (
    Mistake(
        "zero",
        times(0.0),
        "E ĝ = 0",
        "no gradient reaches the logits: everything that depends on them is detached, or the loss has no log P(z) (and "
        "the sample no straight-through part), or f is subtracted from itself, as by the mean over one sample",
    ),
    Mistake(
        "sign",
        times(-1.0),
        "E ĝ = −g",
        "the sign is wrong: −f log P(z) is the loss where f is to be maximised; here f is minimised or its gradient "
        "wanted as it is",
    ),
    Mistake(
        "inclusive",
        by_n(lambda N: 1 - 1 / N),
        "E ĝ = (1 − 1/N) g",
        "the baseline is a mean that includes the sample it is subtracted from, or the sum is divided by N where N − 1 "
        "is right",
    ),
    Mistake(
        "summed",
        by_n(float),
        "E ĝ = N g",
        "the N samples are summed, not averaged",
    ),
    Mistake(
        "undivided",
        by_n(lambda N: N - 1.0),
        "E ĝ = (N − 1) g",
        "the sum over samples is not divided by N − 1",
    ),
    Mistake(
        "divided_twice",
        by_n(lambda N: 1 / N),
        "E ĝ = g/N",
        "it is divided by N twice (a mean of a mean, or the mean of f times the mean of the score), or all but one of "
        "the N samples are left out, or f is that of a sample that is chosen at random",
    ),
    Mistake(
        "minus_inverse_n",
        by_n(lambda N: -1 / N),
        "E ĝ = −g/N",
        "each reward is multiplied by the score of another sample (a roll, a shuffle, a wrong index), and is left in "
        "the baseline alone",
        1,
    ),
    Mistake(
        "n_over_n_minus_1",
        by_n(lambda N: N / (N - 1) if N > 1 else nan),
        "E ĝ = N/(N − 1) g",
        "it is divided by N − 1, or corrected by N/(N − 1), although the baseline leaves its own sample out already",
    ),
    Mistake(
        "over_half_n",
        by_n(lambda N: 2 - 2 / N),
        "E ĝ = (2 − 2/N) g",
        "right at N = 2 only: 2/N stands for 1/(N − 1), as where pairs are averaged",
    ),
    Mistake(
        "inverse_n_minus_1",
        by_n(lambda N: 1 / (N - 1) if N > 1 else nan),
        "E ĝ = g/(N − 1)",
        "right at N = 2 only: it is divided by N − 1 twice",
        1,
    ),
    Mistake(
        "half_n",
        by_n(lambda N: N / 2),
        "E ĝ = N/2 g",
        "right at N = 2 only: the samples are summed and halved, where the factor is 1/N",
        1,
    ),
    Mistake(
        "two_over_n",
        by_n(lambda N: 2 / N),
        "E ĝ = 2/N g",
        "right at N = 2 only: one pair is used of N samples, or the divisor 2 of one pair stands where N does",
        1,
    ),
    Mistake(
        "half_n_minus_1",
        by_n(lambda N: (N - 1) / 2),
        "E ĝ = (N − 1)/2 g",
        "right at N = 3 only: the sum over samples is halved, where the divisor is N − 1",
        2,
    ),
    Mistake(
        "sum_over_n_minus_1",
        by_n(lambda N: (N - 2) / (N - 1) if N > 1 else nan),
        "E ĝ = (N − 2)/(N − 1) g",
        "the baseline is the sum of all N rewards over N − 1: its own is left out of the divisor but not of the sum",
        1,
    ),
    Mistake(
        "running_mean",
        by_n(lambda N: 1 - sum(1 / n for n in range(1, N + 1)) / N),
        "E ĝ = (1 − H_N/N) g, H_N = 1 + ½ + … + 1/N",
        "the baseline is a mean of the rewards so far that includes the one it is subtracted from: subtract before it "
        "is updated",
        1,
    ),
    Mistake(
        "root_n",
        by_n(sqrt),
        "E ĝ = √N g",
        "the sum over the samples is divided by √N, not by N",
        2,
    ),
    Mistake(
        "half",
        times(0.5),
        "E ĝ = ½ g",
        "a factor 2 is missing: the antithetic half is dropped (f(z′) left out of f(z) − f(z′)), or a pair is averaged "
        "whose parts add up",
    ),
    Mistake(
        "double",
        times(2.0),
        "E ĝ = 2 g",
        "a factor ½ is missing, as that of an antithetic pair or of a central difference; or the loss is counted twice",
    ),
    Mistake(
        "half_sign",
        times(-0.5),
        "E ĝ = −½ g",
        "the sign is wrong and a factor 2 is missing: the halves of an antithetic pair are swapped, or one is dropped",
        1,
    ),
    Mistake(
        "double_sign",
        times(-2.0),
        "E ĝ = −2 g",
        "the sign is wrong and a factor ½ is missing: the two halves of an antithetic pair are swapped",
        1,
    ),
    Mistake(
        "inclusive_sign",
        by_n(lambda N: -(1 - 1 / N)),
        "E ĝ = −(1 − 1/N) g",
        "the sign is wrong, and the baseline includes its own sample (or the sum is divided by N, not N − 1)",
        1,
    ),
    Mistake(
        "summed_sign",
        by_n(lambda N: -float(N)),
        "E ĝ = −N g",
        "the sign is wrong, and the N samples are summed, not averaged",
        1,
    ),
    Mistake(
        "mean_over_variables",
        by_shape(lambda p: 1 / p.D),
        "E ĝ = g/D",
        "a mean over the D variables stands where log P(z) is a sum over them",
    ),
    Mistake(
        "times_variables",
        by_shape(lambda p: float(p.D)),
        "E ĝ = D g",
        "a sum over the D variables is taken once too often, as by broadcasting [N] against [N, D]",
        1,
    ),
    Mistake(
        "mean_over_classes",
        by_shape(lambda p: 1 / p.distribution.classes),
        "E ĝ = g/K",
        "a mean over the K classes (or over all entries) stands where there is a sum",
        1,
    ),
    Mistake(
        "mean_over_all",
        by_shape(lambda p: 1 / p.numbers),
        "E ĝ = g/(D K)",
        "a mean over variables and classes stands where there is a sum: .mean() of log P(z)",
        1,
    ),
    Mistake(
        "mean_over_samples_and_all",
        scaled(lambda N, p: 1 / (N * p.numbers)),
        "E ĝ = g/(N D K)",
        "a mean over everything is divided by the number of samples once more",
        2,
    ),
    Mistake(
        "times_classes",
        by_shape(lambda p: float(p.distribution.classes)),
        "E ĝ = K g",
        "a sum over the K classes is taken once too often, as by broadcasting",
        2,
    ),
    Mistake(
        "probability_score",
        of_sample(lambda p, z: p.distribution.lift(p.f(z)) * p.independent.probability_score(z)),
        "E ĝ = E f ∂log P(z)/∂π",
        "the score is that of the probabilities, not of the logits: the factor dp/dφ = p(1 − p), or the Jacobian of "
        "the softmax, is missing",
    ),
    Mistake(
        "chained_twice",
        chained,
        "E ĝ = J g",
        "the derivative of the sigmoid, or the Jacobian of the softmax, is applied twice",
    ),
    Mistake(
        "not_centred",
        of_sample(lambda p, z: p.distribution.lift(p.f(z)) * z),
        "E ĝ = E f z",
        "the score is z, not z − E z: − p (or − softmax) is missing, the gradient of the normaliser of P(z)",
    ),
    Mistake(
        "softmax_over_variables",
        only(
            "categorical",
            of_sample(lambda p, z: p.distribution.lift(p.f(z)) * (z - torch.softmax(p.distribution.logits, -2))),
        ),
        "E ĝ = E f (z − softmax over the variables)",
        "the softmax is taken over the wrong axis: over the variables, not over the classes",
    ),
    Mistake(
        "log_softmax_over_variables",
        only(
            "categorical",
            of_sample(
                lambda p, z: (
                    p.distribution.lift(p.f(z))
                    * (z - torch.softmax(p.distribution.logits, -2) * z.sum(-2, keepdim=True))
                )
            ),
        ),
        "E ĝ = E f (z − ρ Σ_d z_d), ρ the softmax over the variables",
        "log-softmax is taken over the wrong axis: over the variables, not over the classes",
    ),
    Mistake(
        "diagonal",
        only("categorical", of_sample(lambda p, z: p.distribution.lift(p.f(z)) * z * (1 - p.independent.mean))),
        "E ĝ = E f z (1 − π)",
        "of the Jacobian of the softmax only the diagonal is there: classes that were not drawn have a score too, −π",
    ),
    Mistake(
        "from_probabilities",
        from_probabilities,
        "E ĝ = J ∇E f(z), z drawn with probabilities as logits",
        "probabilities are given where logits are taken: Bernoulli(logits=p), Categorical(logits=π) or "
        "cross_entropy of a softmax",
    ),
    Mistake(
        "wrong_centre",
        of_sample(lambda p, z: p.distribution.lift(p.f(z)) * (z + p.independent.mean)),
        "E ĝ = E f (z + p)",
        "the score is z + E z: the sign of the normaliser of P(z) is wrong",
        1,
    ),
    Mistake(
        "half_centre",
        of_sample(lambda p, z: p.distribution.lift(p.f(z)) * (z - 1 / p.distribution.classes)),
        "E ĝ = E f (z − 1/K)",
        "the score is z − ½ (or z − 1/K), not z − E z",
        1,
    ),
    Mistake(
        "ones_only",
        only("bernoulli", of_sample(ones_only)),
        "E ĝ = E f z (1 − p)",
        "log P(z) lacks its part for z = 0: z log p without (1 − z) log(1 − p)",
    ),
    Mistake(
        "zeros_only",
        only("bernoulli", of_sample(lambda p, z: -p.f(z).unsqueeze(-1) * (1 - z) * p.independent.mean)),
        "E ĝ = −E f (1 − z) p",
        "log P(z) lacks its part for z = 1: (1 − z) log(1 − p) without z log p",
        1,
    ),
    Mistake(
        "other_class",
        of_sample(lambda p, z: -p.distribution.lift(p.f(z)) * (z - (1 - p.independent.mean))),
        "E ĝ = E f (1 − p − z)",
        "log P is taken at 1 − z, not at z",
        1,
    ),
    Mistake(
        "probability",
        of_sample(lambda p, z: fs(p, z) * joint(p, z)),
        "E ĝ = E f P(z) s",
        "f P(z) is differentiated, not f log P(z): softmax or sigmoid stands for log-softmax or log-sigmoid",
    ),
    Mistake(
        "probability_of_each",
        of_sample(lambda p, z: fs(p, z) * own_probability(p, z)),
        "E ĝ_d = E f π_d(z_d) s_d",
        "f Σ_d π_d(z_d) is differentiated, not f Σ_d log π_d(z_d): softmax or sigmoid stands for log-softmax or "
        "log-sigmoid",
    ),
    Mistake(
        "softmax_twice",
        only(
            "categorical",
            of_sample(
                lambda p, z: (
                    p.distribution.lift(p.f(z)) * p.independent.mean_jac(z - torch.softmax(p.independent.mean, -1))
                )
            ),
        ),
        "E ĝ = E f J (z − softmax(π))",
        "log-softmax is taken of probabilities: of the softmax, or with a loss that takes it itself, such as "
        "cross_entropy",
        1,
    ),
    Mistake(
        "sigmoid_twice",
        only(
            "bernoulli",
            of_sample(
                lambda p, z: p.f(z).unsqueeze(-1) * p.independent.mean_jac(z - torch.sigmoid(p.independent.mean))
            ),
        ),
        "E ĝ = E f p(1 − p)(z − σ(p))",
        "log P(z) is taken with probabilities as if they were logits: Bernoulli(logits=p), or the sigmoid is applied "
        "twice",
        1,
    ),
    Mistake(
        "not_detached",
        plus(_G, _ST),
        "E ĝ = g + J E ∇f",
        "a detach is missing: f(z) in f(z) log P(z) is differentiated through a straight-through sample as well",
    ),
    Mistake(
        "not_detached_sign",
        plus(times(-1.0), _ST),
        "E ĝ = J E ∇f − g",
        "the straight-through part has another sign than the score-function part, and one of them is too many",
        2,
    ),
    Mistake(
        "entropy",
        plus(_G, of_sample(entropy)),
        "E ĝ = g + ∇H",
        "− log P(z) is added to f: an entropy bonus (or a KL term) is part of the loss",
        1,
    ),
    Mistake(
        "entropy_sign",
        plus(_G, of_sample(entropy), -1.0),
        "E ĝ = g − ∇H",
        "log P(z) is added to f, or to the loss: an entropy or KL term with the other sign is part of it",
        1,
    ),
    Mistake(
        "uniform_samples",
        sampled_from(lambda d: torch.zeros_like(d.logits)),
        "E ĝ = E f s, z uniform",
        "samples are drawn uniformly (p = ½, or 1/K), not from P(z), and not weighted",
        1,
    ),
    Mistake(
        "flipped_samples",
        sampled_from(lambda d: -d.logits),
        "E ĝ = E f s, z drawn at −logits",
        "samples are 1 with probability 1 − p: u > p stands for u < p, or the noise has the wrong sign",
    ),
    Mistake(
        "sampled_at_half",
        sampled_from(lambda d: d.logits * 2),
        "E ĝ = E f s, z drawn at logits × 2",
        "samples are drawn at the temperature ½, or the logits are used twice: the temperature belongs to the "
        "relaxation, not to the samples",
        2,
    ),
    Mistake(
        "sampled_at_two",
        sampled_from(lambda d: d.logits / 2),
        "E ĝ = E f s, z drawn at logits/2",
        "samples are drawn at the temperature 2: the temperature belongs to the relaxation, not to the samples",
        2,
    ),
    Mistake(
        "sampled_from_probabilities",
        sampled_from(lambda d: d.mean),
        "E ĝ = E f s, z drawn with probabilities as logits",
        "samples are drawn with probabilities in the place of logits: noise is added to p, not to the logits (or to "
        "log π)",
        1,
    ),
    Mistake(
        "probit_samples",
        only("bernoulli", sampled_from(probit_law)),
        "E ĝ = E f s, z = 1[φ + normal noise > 0]",
        "the noise is normal, not logistic: P(z = 1) is Φ(φ), and the score that of σ(φ)",
        1,
    ),
    Mistake(
        "no_noise",
        sampled_from(lambda d: d.logits * 1e6),
        "E ĝ = f(mode) s(mode)",
        "no noise is added: z is always the likeliest state",
        1,
    ),
    *(
        Mistake(
            f"score_at_temperature_{tau:g}",
            score_at(tau),
            f"E ĝ = E f s at logits/{tau:g}",
            f"the score is that of logits/{tau:g}, and the samples are drawn at the logits themselves: a temperature "
            "is used in one place and left out in another",
            2 if tau in (0.5, 2.0) else 3,
        )
        for tau in TEMPERATURES
    ),
    *(
        Mistake(
            f"all_at_temperature_{tau:g}",
            all_at(tau),
            f"E ĝ = ∇E f(z), z drawn at logits/{tau:g}",
            f"it is the gradient of another problem, at logits/{tau:g}: the logits are divided by a temperature",
            2 if tau in (0.5, 2.0) else 3,
        )
        for tau in TEMPERATURES
    ),
    Mistake("absolute", of_f(torch.abs), "E ĝ = E |f| s", "f goes through an absolute value", 3, linear=False),
    Mistake(
        "squared",
        of_f(torch.square),
        "E ĝ = E f² s",
        "f is squared: multiplied by itself, not by the score",
        2,
        linear=False,
    ),
    Mistake("clipped", of_f(torch.relu), "E ĝ = E max(f, 0) s", "negative values of f are cut off", 2, linear=False),
)
"""In the order in which they are looked at."""
