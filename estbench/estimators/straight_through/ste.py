"""The straight-through estimator: ∇f at the sample, passed back as if sampling were smooth in the logits."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from torch import Tensor

from estbench.draws import Draw
from estbench.estimators.base import BERNOULLI, BOTH, LINKS, Facts, Node, Vjp
from estbench.estimators.shared.proxies import FIXED, PROXIES, SCALED
from estbench.options import dataclass

Proxy = Literal[
    "sigmoid",
    "softmax",
    "identity",
    "hard_sigmoid",
    "relu",
    "clipped_relu",
    "hardtanh",
    "approx_sign",
    "swish_sign",
    "fast_sigmoid",
    "steep_sigmoid",
    "atan",
    "piecewise_quadratic",
    "piecewise_exponential",
]


@dataclass(frozen=True)
class Ste(Node):
    """∇f(z) times a backward factor.

    proxy   sigmoid, softmax (one and the same): J(p) f′, J(π) g, which is p′(φ) f′ with any link of Bernoulli
            variables; identity: f′, or g less its mean over the classes; the others (Bernoulli only): ψ(φ) f′, see
            `proxies`. Bernoulli(hard_sigmoid(φ)) with the backward of the identity is link hard_sigmoid, proxy identity
    slope   a of the default proxy: a J(σ(aφ)) f′, a J(softmax(aθ)) g, while z is drawn at slope 1 (Chung et al. 2017)
    scale   the proxy's own parameter (b, k or α), where it has one; by default its paper's
    sample  bernoulli: z is drawn; threshold: z = 1[φ > 0], argmax θ, without any randomness
    """

    proxy: Proxy = "sigmoid"
    slope: Annotated[float, Field(gt=0)] = 1.0
    scale: Annotated[float, Field(gt=0)] | None = None
    sample: Literal["bernoulli", "threshold"] = "bernoulli"

    @model_validator(mode="after")
    def _no_idle_option(self) -> Self:
        if self.slope != 1 and self.proxy not in ("sigmoid", "softmax"):
            raise ValueError(f"slope is for proxy=sigmoid (or softmax), but the proxy is {self.proxy}")
        if self.scale is not None and self.proxy not in SCALED:
            raise ValueError(f"proxy={self.proxy} has no scale; these have: {', '.join(SCALED)}")
        return self

    @property
    def facts(self) -> Facts:
        """Biased: differences of f are replaced by ∇f at the sample. Exact on linear f (default proxy, slope 1)."""
        return Facts(
            "straight-through",
            links=LINKS if self.slope == 1 else LINKS - {"identity"},
            distributions=BERNOULLI if self.proxy in PROXIES else BOTH,
            unbiased=False,
            df=1,
            node=True,
            sources=("hinton2012", "bengio2013", "yin2019understanding", "chung2017"),
            identities=("unbiased on linear f (default proxy, slope 1, drawn samples)",),
        )

    def vjp(self, draw: Draw) -> tuple[Tensor, Vjp]:
        """z, and J(p) g, or ψ(φ) g."""
        d = draw.distribution
        z = draw.z if self.sample == "bernoulli" else d.align(d.mode).expand(draw.R, draw.N, *d.event_shape)
        if self.proxy in FIXED:
            return z, lambda g: FIXED[self.proxy](d.align(d.logits)) * g
        if self.proxy in SCALED:
            scale = () if self.scale is None else (self.scale,)
            return z, lambda g: SCALED[self.proxy](d.align(d.logits), *scale) * g
        if self.proxy == "identity":
            return z, d.centred
        if self.slope != 1:
            return z, lambda g: self.slope * d.tempered(1 / self.slope).mean_jac(g)
        return z, draw.mean_jac

    def rows(self, draw: Draw) -> Tensor:
        """J(p) f′(z), or ψ(φ) f′(z)."""
        if self.proxy in ("sigmoid", "softmax") and self.slope == 1 and self.sample == "bernoulli":
            return draw.straight_through  # the same, and cheaper where f is of ordinal values
        return super().rows(draw)
