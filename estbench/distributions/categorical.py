"""D independent categorical variables over K classes, one-hot, with logits θ: π = softmax(θ)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from estbench.distributions.base import Noisy
from estbench.distributions.logarithm import log_
from estbench.distributions.logits import as_logits
from estbench.distributions.softmax import Softmax, dot, hard, log_softmax, repeat, spread, total
from estbench.rounding import rounding
from estbench.tensor_versions import cached_property

CERTAIN = 700.0
"""How far the other logits lie below that of a certain class: e^−700 is nothing beside 1, and not 0 in float64."""


@dataclass(frozen=True, eq=False, init=False)
class Categorical:
    """Categorical variables with `logits` θ of shape [*batch_shape, D, K]; base noise: exponentials e.

    Samples are one-hot, [*batch_shape, N, D, K], see `base`. The scale of e per variable does not matter to them.
    """

    logits: Tensor
    batch_shape: tuple[int, ...] = field(init=False, repr=False)
    """() where all replicates share the logits."""
    event_shape: tuple[int, ...] = field(init=False, repr=False)
    """Shape of one sample: (D, K)."""

    name: ClassVar[str] = "categorical"
    event_dim: ClassVar[int] = 2
    independent: ClassVar[bool] = True
    canonical: ClassVar[bool] = True
    samples_by_noisy: ClassVar[bool] = True
    noise_scale: ClassVar[bool] = True

    def __init__(self, logits: Tensor | ArrayLike) -> None:
        logits = as_logits(logits, type(self).__name__, self.event_dim)
        shape = logits.shape
        vars(self).update(logits=logits, batch_shape=shape[:-2], event_shape=shape[-2:])

    def with_logits(self, logits: Tensor) -> Categorical:
        """The same at other logits."""
        return Categorical(logits)

    @property
    def classes(self) -> int:
        """K."""
        return self.event_shape[1]

    @property
    def n_variables(self) -> int:
        """D."""
        return self.event_shape[0]

    @property
    def n_states(self) -> int:
        """K^D."""
        return int(self.classes**self.n_variables)

    def only(self, at: slice) -> Categorical:
        """The distribution of the variables `at` alone."""
        return self.with_logits(self.logits[..., at, :])

    def align(self, t: Tensor) -> Tensor:
        """Expand [*batch_shape, D, K] or [*batch_shape, D, …] to multiply samples; t itself without a batch."""
        return t.unsqueeze(len(self.batch_shape)) if self.batch_shape else t

    @cached_property
    def log_mean(self) -> Tensor:
        """log π, like the logits: they are normalised."""
        return log_softmax(self.logits)

    @cached_property
    def mean(self) -> Tensor:
        """π = softmax(θ), like the logits."""
        return self.log_mean.exp()

    @cached_property
    def _log_pi(self) -> Tensor:
        return self.align(self.log_mean)

    @cached_property
    def _pi(self) -> Tensor:
        return self.align(self.mean)

    @cached_property
    def _q(self) -> Tensor:
        return self.align(self.q)

    @cached_property
    def q(self) -> Tensor:
        """1 − π, like the logits, as the sum of the other classes."""
        K = self.classes
        others = self.log_mean.unsqueeze(-2).expand(*self.logits.shape, K)
        eye = torch.eye(K, dtype=torch.bool, device=self.logits.device)
        return others.masked_fill(eye, -torch.inf).logsumexp(-1).exp()

    @property
    def marginals(self) -> Tensor:
        """P(z_d = k): π, like the logits."""
        return self.mean

    @cached_property
    def log_others(self) -> Tensor:
        """log(1 − π), like the logits."""
        return torch.where(self.mean < 0.5, torch.log1p(-self.mean), torch.log(self.q))

    @property
    def covariance(self) -> Tensor:
        """diag π − π πᵀ, the covariance within each variable, [*batch_shape, D, K, K]."""
        return torch.diag_embed(self.mean) - self.mean.unsqueeze(-1) * self.mean.unsqueeze(-2)

    @cached_property
    def levels(self) -> Tensor:
        """The ordinal values k/(K − 1) of the classes, [K]."""
        return torch.arange(self.classes).to(self.logits) / (self.classes - 1)

    def values(self, z: Tensor) -> Tensor:
        """The ordinal value v(z) = Σ_k z_k k/(K − 1) of each variable, [..., D]."""
        return z @ self.levels

    def values_vjp(self, g: Tensor) -> Tensor:
        """(dv/dz)ᵀ g for g of shape [..., D]: [..., D, K]."""
        return repeat(g.unsqueeze(-1), self.classes).mul_(self._all_levels)

    @cached_property
    def _all_levels(self) -> Tensor:
        return self.levels.repeat(self.n_variables, 1)  # a row of [D, K] is longer, hence quicker, than one of [K]

    def numbers(self, z: Tensor) -> Tensor:
        """The class 0 … K − 1 of each variable, [..., D]."""
        return z @ torch.arange(self.classes).to(z)

    def base_noise(self, uniforms: Tensor) -> Tensor:
        """e = −log u, in place."""
        return log_(uniforms).neg_()

    def sample(self, e: Tensor) -> Tensor:
        """One-hot of argmin e/π, which is argmax of x = θ − log e (Gumbel-max), the shape of e."""
        return hard(self._pi / e)

    def hard(self, x: Tensor) -> Tensor:
        """One-hot of argmax x, like x."""
        return hard(x)

    def inverse_cdf(self, u: Tensor) -> Tensor:
        """One-hot of the class #{j: u ≥ π_1 + … + π_j}, [..., D] to [..., D, K]: one uniform a variable."""
        inner = self._pi.cumsum(-1)[..., :-1]
        ends = torch.full_like(self._pi[..., :1], torch.inf)
        v = u.unsqueeze(-1)
        z = torch.ge(v, torch.cat((-ends, inner), -1)).to(u.dtype)
        return z.mul_(torch.lt(v, torch.cat((inner, ends), -1)))

    @cached_property
    def mode(self) -> Tensor:
        """One-hot of argmax θ (the first of several), like the logits."""
        return torch.nn.functional.one_hot(self.logits.argmax(-1), self.classes).to(self.logits.dtype)

    def score(self, z: Tensor) -> Tensor:
        """The score function ∂ log P(z)/∂θ = z − π, with 1 − π of the drawn class exact."""
        return torch.lerp(-self._pi, self._q, z)

    def deviation(self, z: Tensor) -> Tensor:
        """z − π: the score."""
        return self.score(z)

    def chain(self, g: Tensor) -> Tensor:
        """Gradients in the logits, as they are."""
        return g

    def log_prob(self, z: Tensor) -> Tensor:
        """log P(z) of whole samples [..., D, K]: [...]."""
        if not self.batch_shape:
            return z.flatten(-2) @ self.log_mean.flatten()
        return (z.flatten(-2) @ self.log_mean.flatten(-2).unsqueeze(-1)).squeeze(-1)

    def kl_to_uniform(self) -> Tensor:
        """KL(P ‖ uniform) = Σ_d Σ_k π_dk (log π_dk + log K), [*batch_shape]; differentiable in the logits."""
        return (self.mean * (self.log_mean + math.log(self.classes))).sum((-1, -2))

    def jac(self, m: Tensor, g: Tensor) -> Tensor:
        """J(m) g = m ⊙ (g − m·g)."""
        return m * (g - dot(m, g))

    def mean_jac(self, g: Tensor) -> Tensor:
        """J(π) g = π ⊙ (g − π·g), g first centred at the mode: no digit is lost where π is almost one-hot."""
        h = g - g.gather(-1, self.align(self.logits.argmax(-1, keepdim=True)).expand(*g.shape[:-1], 1))
        return h.sub_(spread(dot(h, self._pi), self.classes)).mul_(self._pi)

    def mean_jac_values(self, g: Tensor) -> Tensor:
        """J(π) (dv/dz)ᵀ g for g of shape [..., D]: [..., D, K]."""
        return repeat(g.unsqueeze(-1), self.classes).mul_(self._mean_jac_levels)

    @cached_property
    def _mean_jac_levels(self) -> Tensor:
        return self.mean_jac(self.levels.expand_as(self._pi))

    def dot(self, a: Tensor, b: Tensor) -> Tensor:
        """a·b within each variable, shaped to multiply samples: [..., D, 1]."""
        return dot(a, b)

    def dot_unless_rounding(self, a: Tensor, b: Tensor) -> Tensor:
        """The same, 0 where the products cancel but for rounding: at most (2 + √K) eps Σ |a_k b_k|."""
        products = a * b
        found, size = total(products), total(products.abs())
        return found.masked_fill_(found.abs() <= size * rounding(self.classes, a.dtype), 0.0)

    def pick(self, z: Tensor, table: Tensor) -> Tensor:
        """Numbers per class [*batch_shape, D, K] at the classes of z, shaped to multiply samples: [..., D, 1]."""
        return dot(z, self.align(table))

    def centred(self, g: Tensor) -> Tensor:
        """The part of g that changes the probabilities: g less its mean over the classes."""
        h = g - g[..., :1]  # so that equal numbers leave 0
        return h - h.mean(-1, keepdim=True)

    def mean_jac_of(self, d: int, f: Tensor) -> Tensor:
        """∂/∂θ_d of Σ_k π_dk f_k for numbers f [*batch, K]: J(π_d) f, [*batch, K]."""
        one = self.only(slice(d, d + 1))
        return one.mean_jac(one.align(f.unsqueeze(-2))).view(f.shape)

    def probability_score(self, z: Tensor) -> Tensor:
        """∂ log P(z)/∂π = z/π, like z, each π_k as if it were free."""
        return z / self._pi

    def reverse(self, z: Tensor) -> Tensor:
        """Samples, or relaxed ones, with variables and classes in reverse order."""
        return z.flip(-1, -2)

    def reverse_vjp(self, g: Tensor) -> Tensor:
        """Gradients of the reversed variables as those of the variables; logits too."""
        return g.flip(-1, -2)

    def certain(self, d: int, k: int) -> Categorical:
        """The distribution with variable d sure to be of class k."""
        logits = self.logits.clone()
        logits[..., d, :] = -CERTAIN
        logits[..., d, k] = 0.0
        return self.with_logits(logits)

    def tempered(self, tau: float) -> Categorical:
        """The distribution with logits θ/τ."""
        return self if tau == 1 else self.with_logits(self.logits / tau)

    def jac_halfway(self, z: Tensor, g: Tensor) -> Tensor:
        """J((π + z)/2) g, with g first centred at z so that no digit is lost where π is almost one-hot."""
        K, half = self.classes, self._pi / 2
        h = g - spread(dot(g, z), K)
        return h.sub_(spread(dot(h, half), K)).mul_(torch.add(half, z, alpha=0.5))

    def noisy(self, e: Tensor) -> Softmax:
        """x = log π − log e: Gumbel with location log π; z = one-hot of argmax x."""
        return Softmax.of_exponentials(self._pi / e)

    def noisy_vjp(self, g: Tensor) -> Tensor:
        """(dx/dθ)ᵀ g = g − π Σ g, as x has log π in it."""
        return g - repeat(total(g), self.classes).mul_(self._pi)

    def free_noisy(self, e: Tensor, noisy: Noisy) -> Tensor:
        """θ − log e: the noisy logits with θ not normalised."""
        del noisy
        return self.align(self.logits) - torch.log(e)

    def noise_score(self, e: Tensor) -> Tensor:
        """∂ log p(x)/∂θ = 1 − e of x = θ − log e, θ not normalised."""
        return 1 - e

    def gapped(self, z: Tensor, gap: Tensor | float) -> Softmax:
        """log π moved until the class of z leads by `gap`: that class gets max log π, the others at most that − gap."""
        top = self._log_pi.amax(-1, keepdim=True)
        behind = (self._log_pi - top).clamp(max=-gap).exp()
        return Softmax(torch.lerp(behind, torch.ones_like(behind), z), z, top.exp())

    def conditional(self, z: Tensor, e: Tensor) -> Softmax:
        """x̃: a fresh draw of x (normalised θ) given z = k from exponentials e (Maddison 2017; Paulus 2021).

        x̃_k = −log e_k, x̃_i = −log(e_i/π_i + e_k).
        """
        large = math.log(torch.finfo(e.dtype).max) - 5  # 1/π beyond it times e is not finite
        r = e * torch.exp((-self._log_pi).clamp(max=large))
        e_k = dot(e, z)
        each = spread(e_k, self.classes)
        return Softmax(each / r.sub_(r * z).add_(each), z, 1 / e_k)

    def conditional_vjp(self, z: Tensor, e: Tensor, h: Tensor, noisy: Noisy | None = None) -> Tensor:
        """(dx̃/dθ)ᵀ h for the x̃ that `conditional` makes, or has made."""
        made = noisy if isinstance(noisy, Softmax) else self.conditional(z, e)
        return made.redraw_vjp(self._pi, h)

    def replace(self, z: Tensor, d: int, k: int) -> Tensor:
        """z with variable d set to class k."""
        z = z.clone()
        z[..., d, :] = 0.0
        z[..., d, k] = 1.0
        return z

    def others(self, z: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """The K − 1 other classes of each variable in turn, and the direction to each: itself; both like z."""
        for _ in range(self.classes - 1):
            z = z.roll(1, -1)
            yield z, z

    def class_weights(self, z: Tensor) -> Tensor:
        """The weight of each class in samples, or in relaxed ones: z itself."""
        return z

    def states(self, start: int = 0, stop: int | None = None) -> Tensor:
        """The joint states start … stop − 1 of the K^D, variable 0 slowest: [M, D, K]."""
        D, K = self.event_shape
        device = self.logits.device
        index = torch.arange(start, K**D if stop is None else stop, device=device).double()  # quicker to divide
        powers = torch.tensor([K**d for d in reversed(range(D))], device=device).double()
        digits = (index.unsqueeze(-1) / powers).floor_()  # [M, D], modulo K:
        digits -= (index.unsqueeze(-1) / (K * powers)).floor_().mul_(K)
        return self.one_hot(digits.to(self.logits.dtype))

    def one_hot(self, c: Tensor) -> Tensor:
        """The samples of classes 0 … K − 1, given as numbers [..., D]: [..., D, K]."""
        z = repeat(c.unsqueeze(-1), self.classes)
        return torch.eq(z, torch.arange(self.classes).to(z), out=z)

    def lift(self, s: Tensor) -> Tensor:
        """Expand numbers per sample [...] to multiply samples [..., D, K]."""
        return s.unsqueeze(-1).unsqueeze(-1)

    def per_variable(self, t: Tensor) -> Tensor:
        """Expand numbers per variable [..., D] to multiply samples: [..., D, 1]."""
        return t.unsqueeze(-1)

    def over_classes(self, t: Tensor) -> Tensor:
        """Σ_k t, [..., D, 1]."""
        return t.sum(-1, keepdim=True)

    def flatten(self, rows: Tensor) -> Tensor:
        """Gradients [..., D, K] as gradients of the D K parameters."""
        return rows.flatten(-2)

    # How its noise is integrated over, of one variable.

    def noise_given(self, k: int, r: Tensor, *, redraw: bool) -> Tensor:
        """e_i/e_k = (r_i + π_i)/π_k given class k, from ratios r [M, 1, K − 1]: [M, 1, 1, K].

        The winner's e_k/π_k is the least of all, and what the others exceed it by is exponential again; redraws read
        e_k and these excesses.
        """
        e = r.new_zeros(len(r), 1, 1, self.classes)
        e[..., [i for i in range(self.classes) if i != k]] = r.unsqueeze(1)
        return e + (self.replace(torch.zeros_like(self.logits), 0, k) if redraw else self.mean)

    def noise_turns(self) -> list[float]:
        """None."""
        return []

    def noise_resolution(self) -> float:
        """0: exponentials are as exact where they are small."""
        return 0.0

    def ratio_of(self, k: int, u: float, *, redraw: bool) -> float:
        """u/(1 − u): exponentials change no class at a value of their own."""
        del k, redraw
        return u / (1 - u)
