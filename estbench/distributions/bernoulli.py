"""D independent Bernoulli variables z ∈ {0, 1}^D with logits φ: p = σ(φ), or another link; q = 1 − p."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn.functional import logsigmoid

from estbench.distributions.base import Noisy
from estbench.distributions.links import LINKS, LinkName
from estbench.distributions.logarithm import log_, logistic
from estbench.distributions.logits import as_logits
from estbench.errors import UsageError
from estbench.tensor_versions import cached_property


@dataclass(frozen=True, eq=False)
class Sigmoid:
    """Noisy logits `x` [..., D] that are to be relaxed: y = σ(x/τ)."""

    x: Tensor

    @property
    def hard(self) -> Tensor:
        """1[x > 0]."""
        return torch.gt(self.x, 0, out=torch.empty_like(self.x))

    def relax(self, tau: float) -> Tensor:
        """y = σ(x/τ)."""
        return torch.sigmoid(self.x) if tau == 1 else (self.x / tau).sigmoid_()

    def vjp(self, y: Tensor, tau: float, g: Tensor) -> Tensor:
        """(dy/dx)ᵀ g = y σ(−x/τ) g/τ; y (1 − y) would round to 0 where y rounds to 1."""
        h = (self.x / -tau).sigmoid_().mul_(y).mul_(g)
        return h if tau == 1 else h.mul_(1 / tau)


@dataclass(frozen=True, eq=False, init=False)
class Bernoulli:
    """Bernoulli variables with `logits` φ of shape [*batch_shape, D]; base noise: uniforms u in (0, 1).

    Samples are [*batch_shape, N, D], see `base`. No digits are lost at large |φ|: 1 − p is computed as σ(−φ), without a
    subtraction.

    link  p as a function of φ: sigmoid; hard_sigmoid, (clip(φ, −1, 1) + 1)/2; probit, Φ(φ); identity, φ in (0, 1).
          Gradients are with respect to φ, whatever the link (see `links`). UsageError where it does not take the logits
    """

    logits: Tensor
    link: LinkName = "sigmoid"
    batch_shape: tuple[int, ...] = field(init=False, repr=False)
    """() where all replicates share the logits."""
    event_shape: tuple[int, ...] = field(init=False, repr=False)
    """Shape of one sample: (D,)."""
    canonical: bool = field(init=False, repr=False)
    """Whether the score is z − E z: whether the link is the sigmoid."""

    name: ClassVar[str] = "bernoulli"
    event_dim: ClassVar[int] = 1
    classes = 2
    independent: ClassVar[bool] = True
    samples_by_noisy: ClassVar[bool] = False
    noise_scale: ClassVar[bool] = False

    def __init__(self, logits: Tensor | ArrayLike, link: LinkName = "sigmoid") -> None:
        logits = as_logits(logits, type(self).__name__, self.event_dim)
        if not isinstance(link, str) or link not in LINKS:
            raise UsageError(f"unknown link {link!r}; there are {', '.join(LINKS)}")
        if link == "identity" and not bool(((logits > 0) & (logits < 1)).all()):
            raise UsageError("with the link identity the logits are probabilities, strictly between 0 and 1")
        shape = logits.shape
        vars(self).update(
            logits=logits,
            link=link,
            batch_shape=shape[:-1],
            event_shape=shape[-1:],
            canonical=link == "sigmoid",
        )

    def with_logits(self, logits: Tensor) -> Bernoulli:
        """The same at other logits."""
        return Bernoulli(logits, self.link)

    @property
    def n_variables(self) -> int:
        """D."""
        return self.event_shape[0]

    @property
    def n_states(self) -> int:
        """2^D."""
        return int(2**self.n_variables)

    def only(self, at: slice) -> Bernoulli:
        """The distribution of the variables `at` alone."""
        return self.with_logits(self.logits[..., at])

    def align(self, t: Tensor) -> Tensor:
        """Expand [*batch_shape, D] or [*batch_shape, D, …] to multiply samples; t itself without a batch."""
        return t.unsqueeze(len(self.batch_shape)) if self.batch_shape else t

    def _like_logits(self, t: Tensor) -> Tensor:
        return t.squeeze(len(self.batch_shape)) if self.batch_shape else t

    # φ, p, q and p′ are computed once, aligned with samples; `mean`, `q` and `slope` are views of them.

    @cached_property
    def _phi(self) -> Tensor:
        return self.align(self.logits)

    @cached_property
    def _p(self) -> Tensor:
        return LINKS[self.link].p(self._phi)

    @cached_property
    def _q(self) -> Tensor:
        return LINKS[self.link].q(self._phi)

    @cached_property
    def _slope(self) -> Tensor:
        return self._p * self._q if self.canonical else LINKS[self.link].slope(self._phi)

    @cached_property
    def mean(self) -> Tensor:
        """p, σ(φ) with the sigmoid, like the logits."""
        return self._like_logits(self._p)

    @cached_property
    def log_mean(self) -> Tensor:
        """log p, like the logits."""
        return LINKS[self.link].log_p(self.logits)

    @cached_property
    def log_q(self) -> Tensor:
        """log q, like the logits."""
        return LINKS[self.link].log_q(self.logits)

    @cached_property
    def q(self) -> Tensor:
        """q = 1 − p, like the logits."""
        return self._like_logits(self._q)

    @cached_property
    def variance(self) -> Tensor:
        """p q, like the logits."""
        return self.mean * self.q

    @cached_property
    def slope(self) -> Tensor:
        """p′ = dp/dφ, p q with the sigmoid, like the logits."""
        return self._like_logits(self._slope)

    @cached_property
    def scores(self) -> tuple[Tensor, Tensor]:
        """The scores of z = 0, −p′/q, and of z = 1, p′/p, like the logits; 0 where z is certain."""
        if self.canonical:
            return -self.mean, self.q
        link = LINKS[self.link]
        return -link.score(link.mirror(self.logits)), link.score(self.logits)

    @cached_property
    def canonical_slope(self) -> Tensor:
        """p′/(p q), the derivative of log p/q in φ, like the logits; 1 with the sigmoid, 0 where z is certain."""
        return torch.ones_like(self.logits) if self.canonical else self.scores[1] - self.scores[0]

    @property
    def normal_quantile(self) -> tuple[Tensor, Tensor]:
        """Φ⁻¹(p) and its derivative p′/n(Φ⁻¹(p)) in φ, from the smaller of p and q; φ and 1 with the probit."""
        if self.link == "probit":
            return self.logits, torch.ones_like(self.logits)
        tail = torch.special.ndtri(torch.minimum(self.mean, self.q))
        quantile = torch.where(self.mean < self.q, tail, -tail)
        derivative = self.slope * math.sqrt(2 * math.pi) * torch.exp(quantile**2 / 2)
        return quantile, torch.where(self.slope > 0, derivative, 0.0)  # nothing moves where z is certain

    @cached_property
    def marginals(self) -> Tensor:
        """P(z_d = k) for k = 0, 1: [*batch_shape, D, 2]."""
        return torch.stack((self.q, self.mean), -1)

    @cached_property
    def log_others(self) -> Tensor:
        """log P(z_d ≠ k) for k = 0, 1: [*batch_shape, D, 2]."""
        return torch.stack((self.log_mean, self.log_q), -1)

    @property
    def covariance(self) -> Tensor:
        """p q as the covariance within each variable, [*batch_shape, D, 1, 1]."""
        return self.variance[..., None, None]

    @cached_property
    def levels(self) -> Tensor:
        """The ordinal values of the classes: (0, 1)."""
        return self.logits.new_tensor([0.0, 1.0])

    def values(self, z: Tensor) -> Tensor:
        """The ordinal value v(z) of each variable, [..., D]: z itself."""
        return z

    def values_vjp(self, g: Tensor) -> Tensor:
        """(dv/dz)ᵀ g for g of shape [..., D]: g itself."""
        return g

    def numbers(self, z: Tensor) -> Tensor:
        """The class of each variable, [..., D]: z itself."""
        return z

    def base_noise(self, uniforms: Tensor) -> Tensor:
        """The uniforms themselves."""
        return uniforms

    def sample(self, u: Tensor) -> Tensor:
        """z = 1[u < p], the shape of u."""
        return torch.lt(u, self._p, out=torch.empty_like(u))

    def mirror(self, u: Tensor) -> Tensor:
        """1 − u."""
        return torch.rsub(u, 1)  # as `1 - u` in Python, which takes twice as long with a few numbers

    def hard(self, x: Tensor) -> Tensor:
        """1[x > 0], like x."""
        return torch.gt(x, 0, out=torch.empty_like(x))

    def inverse_cdf(self, u: Tensor) -> Tensor:
        """z = 1[u < p], the shape of u: one uniform a variable."""
        return self.sample(u)

    @cached_property
    def mode(self) -> Tensor:
        """1[p > ½], like the logits."""
        return (self.logits > (0.5 if self.link == "identity" else 0)).to(self.logits.dtype)

    @cached_property
    def p_of_mode(self) -> Tensor:
        """The probability of the likelier value, max(p, q), to multiply samples; σ(|φ|) with the sigmoid."""
        return torch.sigmoid(self._phi.abs()) if self.canonical else torch.maximum(self._p, self._q)

    def score(self, z: Tensor) -> Tensor:
        """The score function ∂ log P(z)/∂φ = (z − p) p′/(p q), with the sigmoid z − p, as z q − (1 − z) p."""
        return torch.lerp(*self._scores, z)

    @cached_property
    def _scores(self) -> tuple[Tensor, Tensor]:
        if self.canonical:
            return -self._p, self._q
        at0, at1 = self.scores
        return self.align(at0), self.align(at1)

    def deviation(self, z: Tensor) -> Tensor:
        """z − p, as z q − (1 − z) p."""
        return torch.lerp(-self._p, self._q, z)

    def chain(self, g: Tensor) -> Tensor:
        """Gradients in log p/q as gradients in φ: times p′/(p q)."""
        return g if self.canonical else g * self.align(self.canonical_slope)

    def log_prob(self, z: Tensor) -> Tensor:
        """log P(z) of whole samples [..., D]: [...]."""
        if self.canonical:
            return (z * logsigmoid(self._phi) + (1 - z) * logsigmoid(-self._phi)).sum(-1)
        return torch.where(z > 0.5, self.align(self.log_mean), self.align(self.log_q)).sum(-1)

    def kl_to_uniform(self) -> Tensor:
        """KL(P ‖ uniform) = Σ_d p log p + q log q + log 2, [*batch_shape]; differentiable in the logits."""
        p, q = self.mean, 1 - self.mean  # digits of a small q are lost, and of the sum none
        terms = torch.where(p > 0, p * self.log_mean, 0) + torch.where(q > 0, q * self.log_q, 0)
        return (terms + math.log(2)).sum(-1)

    def dot(self, a: Tensor, b: Tensor) -> Tensor:
        """a·b within each variable, shaped to multiply samples: a b."""
        return a * b

    def dot_unless_rounding(self, a: Tensor, b: Tensor) -> Tensor:
        """The same: one product cannot cancel."""
        return a * b

    def pick(self, z: Tensor, table: Tensor) -> Tensor:
        """Numbers per class [*batch_shape, D, 2] at the classes of z, shaped to multiply samples."""
        table = self.align(table)
        return torch.lerp(table[..., 0], table[..., 1], z)

    def jac(self, m: Tensor, g: Tensor) -> Tensor:
        """J(m) g = m (1 − m) g."""
        return m * (1 - m) * g

    def mean_jac(self, g: Tensor) -> Tensor:
        """(dp/dφ) g = p′ g."""
        return self._slope * g

    def mean_jac_values(self, g: Tensor) -> Tensor:
        """(dp/dφ) (dv/dz)ᵀ g for g of shape [..., D]: p′ g."""
        return self._slope * g

    def centred(self, g: Tensor) -> Tensor:
        """The part of g that changes the probabilities: g itself."""
        return g

    def mean_jac_of(self, d: int, f: Tensor) -> Tensor:
        """∂/∂φ_d of Σ_k P(z_d = k) f_k for numbers f [*batch, 2]: p′ (f_1 − f_0), [*batch]."""
        return self.slope[..., d] * (f[..., 1] - f[..., 0])

    def probability_score(self, z: Tensor) -> Tensor:
        """∂ log P(z)/∂p = z/p − (1 − z)/q, like z."""
        return z / self._p - (1 - z) / self._q

    def reverse(self, z: Tensor) -> Tensor:
        """Samples, or relaxed ones, with variables and classes in reverse order: 1 − z_{D−1−d}."""
        return 1 - z.flip(-1)

    def reverse_vjp(self, g: Tensor) -> Tensor:
        """Gradients of the reversed variables as those of the variables, −g_{D−1−d}; logits too, with the sigmoid."""
        return -g.flip(-1)

    def certain(self, d: int, k: int) -> Bernoulli:
        """The distribution with variable d sure to be k."""
        logits = self.logits.clone()
        logits[..., d] = LINKS[self.link].certain[k]
        return self.with_logits(logits)

    def tempered(self, tau: float) -> Bernoulli:
        """The distribution with logits φ/τ."""
        return self if tau == 1 else self.with_logits(self.logits / tau)

    def jac_halfway(self, z: Tensor, g: Tensor) -> Tensor:
        """J((p + z)/2) g: p (1 + q)/4 g where z = 0 and (1 + p) q/4 g where z = 1."""
        p, q = self._p, self._q
        return torch.lerp(p * (1 + q) / 4, (1 + p) * q / 4, z).mul_(g)

    def noisy(self, u: Tensor) -> Sigmoid:
        """x = φ − logit(u), logistic with location φ; z = 1[x > 0], with the sigmoid."""
        self._needs_sigmoid()
        return Sigmoid(logistic(u).add_(self._phi))

    def _needs_sigmoid(self) -> None:
        if not self.canonical:
            raise UsageError(f"noisy logits are logistic, so they need the link sigmoid, not {self.link}")

    def noisy_vjp(self, g: Tensor) -> Tensor:
        """(dx/dφ) g = g."""
        return g

    def free_noisy(self, u: Tensor, noisy: Noisy) -> Tensor:
        """x of u, whose logits are free as they are."""
        del u
        return noisy.x

    def noise_score(self, u: Tensor) -> Tensor:
        """∂ log p(x)/∂φ = 1 − 2u of the noisy logits x of u."""
        return 1 - 2 * u

    def gapped(self, z: Tensor, gap: Tensor | float) -> Sigmoid:
        """φ moved to the side of z and at least `gap` away from 0: (2z − 1) max((2z − 1) φ, gap)."""
        self._needs_sigmoid()
        side = 2 * z - 1
        return Sigmoid(side * (side * self._phi).clamp(min=gap))

    def _far(self, z: Tensor, v: Tensor) -> Tensor:
        """w = e^φ (1 − v) where z = 1, e^{−φ} v where z = 0."""
        large = math.log(torch.finfo(v.dtype).max) - 1  # beyond it e^φ is not finite, and p or q is 0
        odds = self._phi.clamp(-large, large).exp()
        return torch.lerp(1 / odds, odds, z).mul_((z - v).abs_())

    def conditional(self, z: Tensor, v: Tensor) -> Sigmoid:
        """x̃: a fresh draw of x given z from uniforms v (Tucker 2017, appendix; here in a form stable at any φ).

        log (1 + w)/v where z = 1, −log (1 + w)/(1 − v) where z = 0, w = e^φ (1 − v) or e^{−φ} v.
        """
        self._needs_sigmoid()
        ratio = self._far(z, v).add_(1).div_((1 - z).sub_(v).abs_())
        if ratio.dtype != torch.float64:
            ratio.clamp_(max=torch.finfo(ratio.dtype).max)  # e^φ over the least uniform overflows float32
        return Sigmoid(log_(ratio).mul_((2 * z).sub_(1)))

    def conditional_vjp(self, z: Tensor, v: Tensor, h: Tensor, noisy: Noisy | None = None) -> Tensor:
        """(dx̃/dφ) h = w/(1 + w) h."""
        del noisy
        w = self._far(z, v)
        return (w / (1 + w)).mul_(h)

    def replace(self, z: Tensor, d: int, k: int) -> Tensor:
        """z with variable d set to class k."""
        z = z.clone()
        z[..., d] = float(k)
        return z

    def others(self, z: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """The other class of each variable, and the direction to it, 1 or −1; both like z."""
        other = 1 - z
        yield other, other - z

    def class_weights(self, z: Tensor) -> Tensor:
        """The weight of each class in samples, or in relaxed ones: (1 − z, z), [..., D, 2]."""
        return torch.stack((1 - z, z), -1)

    def states(self, start: int = 0, stop: int | None = None) -> Tensor:
        """The joint states start … stop − 1 of the 2^D, variable 0 slowest: [M, D]."""
        D = self.n_variables
        index = torch.arange(start, 2**D if stop is None else stop, device=self.logits.device)
        shifts = torch.arange(D - 1, -1, -1, device=self.logits.device)
        return ((index.unsqueeze(-1) >> shifts) & 1).to(self.logits.dtype)

    def one_hot(self, c: Tensor) -> Tensor:
        """The samples of classes 0 and 1, given as numbers [..., D]: these themselves."""
        return c

    def lift(self, s: Tensor) -> Tensor:
        """Expand numbers per sample [...] to multiply samples [..., D]."""
        return s.unsqueeze(-1)

    def per_variable(self, t: Tensor) -> Tensor:
        """Numbers per variable [..., D], which multiply samples as they are."""
        return t

    def over_classes(self, t: Tensor) -> Tensor:
        """t [..., D] itself: one number a variable."""
        return t

    def flatten(self, rows: Tensor) -> Tensor:
        """Gradients [..., D] as gradients of the D parameters: the same."""
        return rows

    # How its noise is integrated over, of one variable.

    def noise_given(self, k: int, r: Tensor, *, redraw: bool) -> Tensor:
        """u in 0 … p for class 1, in p … 1 for class 0, from ratios r [M, 1, 1]: r = 0 is where the class changes."""
        p = torch.ones(()) if redraw else self.mean
        u = (p if k == 1 else r if redraw else p + r) / (1 + r)
        return u.clamp(max=1 - 2.0**-53)

    def ratio_of(self, k: int, u: float, *, redraw: bool) -> float:
        """The ratio r whose noise is u given class k; 0 or less where no such u has that class."""
        if redraw:
            return (1 - u) / u if k == 1 else u / (1 - u)
        p = float(self.mean)
        return (p - u) / u if k == 1 else (u - p) / (1 - u)

    def noise_turns(self) -> list[float]:
        """p and q: where the sample changes, and where that of the mirrored noise does."""
        return [float(self.mean), float(self.q)]

    def noise_resolution(self) -> float:
        """The relative error of p or q as uniforms next to 1 tell them, 2^-53/min(p, q); 0 where z is certain."""
        smallest = float(torch.minimum(self.mean, self.q).min())
        return 2.0**-53 / smallest if smallest > 0 else 0.0
