"""The contract of a distribution of D discrete variables, in the vocabulary of torch's own.

Letters: D variables, K classes each, N samples, P parameters. A sample has the shape `event_shape`: [D], or [D, K]
where it is one-hot. The logits have the shape [*batch_shape, *event_shape]: `batch_shape` is () where all replicates
share them; otherwise each entry of the batch is a distribution of its own. The samples' axis lies between the two:

    samples, scores             [*batch_shape, N, *event_shape]
    log P, f(z)                 [*batch_shape, N]
    logits, means, modes        [*batch_shape, *event_shape]

Without a batch, samples may have any leading axes. `Distribution` is what every distribution has. What only some can do
stands in a protocol of its own: an estimator's facts say which of them it needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Self

from torch import Tensor
from typing_extensions import Protocol, runtime_checkable  # looks a member up without running `__getattr__`


class Distribution(Protocol):
    """A distribution of D discrete variables with a gradient in its logits; immutable."""

    name: ClassVar[str]
    """What it is called in configs and in the facts of estimators and objectives."""
    event_dim: ClassVar[int]
    """The number of axes of `event_shape`: 1 for samples of numbers, 2 for one-hot samples."""
    independent: ClassVar[bool]
    """Whether the variables are independent: closed forms of E f that assume it are used only then."""
    samples_by_noisy: ClassVar[bool]
    """Whether a sample costs no less than its noisy logits (`Relaxable`), so that both are made at once."""

    @property
    def logits(self) -> Tensor:
        """The parameters, [*batch_shape, *event_shape]."""
        ...

    def with_logits(self, logits: Tensor) -> Self:
        """The same kind of distribution, with the same options, at other logits."""
        ...

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """() where all replicates share the logits."""
        ...

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one sample, (D,) or (D, K)."""
        ...

    @property
    def classes(self) -> int:
        """K, the number of classes of one variable."""
        ...

    @property
    def n_variables(self) -> int:
        """D."""
        ...

    @property
    def n_states(self) -> int:
        """The number of joint states, K^D."""
        ...

    def base_noise(self, uniforms: Tensor) -> Tensor:
        """The noise that samples are made of, from uniforms in (0, 1), like samples; it may overwrite them."""
        ...

    def sample(self, noise: Tensor) -> Tensor:
        """Samples of base noise, of its shape."""
        ...

    def inverse_cdf(self, u: Tensor) -> Tensor:
        """Samples of one uniform a variable, [..., D], each variable by its distribution function inverted."""
        ...

    def score(self, z: Tensor) -> Tensor:
        """The score function ∂ log P(z)/∂ logits, like z."""
        ...

    def log_prob(self, z: Tensor) -> Tensor:
        """log P(z): [*batch_shape, N, *event_shape] to [*batch_shape, N]."""
        ...

    @property
    def mode(self) -> Tensor:
        """A likely state, like the logits: values of f are counted from f there, which saves digits."""
        ...

    def states(self, start: int = 0, stop: int | None = None) -> Tensor:
        """The joint states start … stop − 1, variable 0 slowest: [M, *event_shape], the same for the whole batch."""
        ...

    def values(self, z: Tensor) -> Tensor:
        """The ordinal value v(z) = k/(K − 1) of each variable, [..., D]."""
        ...

    def values_vjp(self, g: Tensor) -> Tensor:
        """(dv/dz)ᵀ g for g of shape [..., D], like z."""
        ...

    def numbers(self, z: Tensor) -> Tensor:
        """The class 0 … K − 1 of each variable, [..., D]."""
        ...

    def one_hot(self, c: Tensor) -> Tensor:
        """The samples of classes given as numbers [..., D]."""
        ...

    def lift(self, s: Tensor) -> Tensor:
        """Expand numbers per sample [..., N] to multiply samples."""
        ...

    def per_variable(self, t: Tensor) -> Tensor:
        """Expand numbers per variable [..., D] to multiply samples."""
        ...

    def over_classes(self, t: Tensor) -> Tensor:
        """The sum over the classes of each variable, to multiply samples: t [..., D] itself, or [..., D, 1]."""
        ...

    def align(self, t: Tensor) -> Tensor:
        """Expand numbers like the logits, or with further axes per variable, to multiply samples: [*batch_shape, 1, …].

        Without a batch it is t itself.
        """
        ...

    def flatten(self, rows: Tensor) -> Tensor:
        """Gradients [..., *event_shape] as gradients of the parameters: [..., P]."""
        ...


@runtime_checkable
class Factorised(Protocol):
    """A distribution of independent variables with known means; all but `levels` have the batch's axes first."""

    def flatten(self, rows: Tensor) -> Tensor:
        """[..., *event_shape] as [..., P]."""
        ...

    @property
    def mean(self) -> Tensor:
        """E z, like the logits."""
        ...

    @property
    def marginals(self) -> Tensor:
        """P(z_d = k), [*batch_shape, D, K]."""
        ...

    @property
    def covariance(self) -> Tensor:
        """The covariance within each variable, [*batch_shape, D, k, k] with k numbers in the sample of a variable."""
        ...

    @property
    def canonical(self) -> bool:
        """Whether the score is z − E z."""
        ...

    def deviation(self, z: Tensor) -> Tensor:
        """z − E z, like z."""
        ...

    def chain(self, g: Tensor) -> Tensor:
        """Gradients in canonical logits, in which the score is z − E z, as gradients in the logits, like g."""
        ...

    @property
    def levels(self) -> Tensor:
        """The ordinal values k/(K − 1) of the classes, [K]."""
        ...

    def mean_jac(self, g: Tensor) -> Tensor:
        """(d mean/d logits)ᵀ g, like g [*batch_shape, N, *event_shape]."""
        ...


class Noisy(Protocol):
    """Noisy logits x, [*batch_shape, N, *event_shape], whose hard threshold or argmax is the sample."""

    @property
    def x(self) -> Tensor:
        """x."""
        ...

    @property
    def hard(self) -> Tensor:
        """The sample, like x."""
        ...

    def relax(self, tau: float) -> Tensor:
        """The relaxed sample y at temperature τ, like x."""
        ...

    def vjp(self, y: Tensor, tau: float, g: Tensor) -> Tensor:
        """(dy/dx)ᵀ g, like x."""
        ...


@runtime_checkable
class Relaxable(Protocol):
    """A distribution whose sample is the hard threshold or argmax of logits + noise."""

    def noisy(self, noise: Tensor) -> Noisy:
        """x of base noise."""
        ...

    def noisy_vjp(self, g: Tensor) -> Tensor:
        """(dx/dlogits)ᵀ g, like g."""
        ...

    def free_noisy(self, noise: Tensor, noisy: Noisy) -> Tensor:
        """x as logits + noise, where the logits are not normalised; `noisy` is what `noisy` made of the noise."""
        ...

    def noise_score(self, noise: Tensor) -> Tensor:
        """∂ log p(x)/∂logits of that x, like it."""
        ...

    def hard(self, x: Tensor) -> Tensor:
        """The sample of noisy logits, like x."""
        ...


@runtime_checkable
class Redrawable(Relaxable, Protocol):
    """A distribution that can redraw the noisy logits given the sample."""

    def conditional(self, z: Tensor, noise: Tensor) -> Noisy:
        """x̃ from the law of x given z, of base noise."""
        ...

    def conditional_vjp(self, z: Tensor, noise: Tensor, h: Tensor, noisy: Noisy | None = None) -> Tensor:
        """(dx̃/dlogits)ᵀ h, like h; `noisy` is the x̃ that `conditional` made, if it is at hand."""
        ...


@runtime_checkable
class Mirrored(Protocol):
    """A distribution with an antithetic sample of the same noise."""

    def mirror(self, noise: Tensor) -> Tensor:
        """Base noise of the same law, whose sample is negatively dependent on that of `noise`."""
        ...


@runtime_checkable
class Integrable(Protocol):
    """A distribution of one variable whose noise given the class can be integrated over, by ratios r > 0.

    The ratios [M, axes] have P(all r_i > a_i) = 1/(1 + Σ a): they depend neither on the class nor on the logits.
    """

    noise_scale: ClassVar[bool]
    """Whether noise has a common scale that samples take no notice of: one axis more for what depends on it."""

    def noise_given(self, k: int, r: Tensor, *, redraw: bool) -> Tensor:
        """Base noise given class k, of the sample itself or for redraws: [M, 1, *event_shape] from r [M, 1, axes]."""
        ...

    def ratio_of(self, k: int, u: float, *, redraw: bool) -> float:
        """The ratio that a uniform u of base noise belongs to given class k; 0 or less where there is none."""
        ...

    def noise_turns(self) -> list[float]:
        """The base uniforms at which a sample of the same or of the mirrored noise changes."""
        ...

    def noise_resolution(self) -> float:
        """The relative error of the smallest probability as the noise tells it."""
        ...


def size_text(event_shape: Iterable[int]) -> str:
    """The size of a sample in labels: D=3, or D=3 K=4 where it is one-hot."""
    return " ".join(f"{letter}={n}" for letter, n in zip("DK", event_shape, strict=False))
