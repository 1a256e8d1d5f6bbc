"""A two-layer network of hard thresholds with Gaussian inputs, trained on the labels of another (Yin et al. 2019)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass as record
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from estbench.distributions import Bernoulli
from estbench.draws import Draw
from estbench.errors import UsageError
from estbench.networks.base import GAUSSIAN, POPULATION, Kind
from estbench.networks.coarse import INDICATORS, TwoLayer
from estbench.networks.coarse_moments import CoarseMoments, coarse_moments
from estbench.networks.data import Images
from estbench.options import dataclass
from estbench.parametrisation import Jacobian
from estbench.problem import Problem
from estbench.rounding import rounding

OPTIMAL = "optimal"
_Numbers = tuple[float, ...] | None
_NEAR = 0.1


@dataclass(frozen=True)
class CoarseGradient:
    """y(Z) = vᵀ 1[Z w > 0] with Gaussian Z, that learns the labels of another such network: loss E ½ (y − y*)².

    All is known in closed form: see `networks.coarse`. There are D hidden units.

    inputs         n, the length of w and of each row of Z
    theta          the angle between w and w* at the start
    norm           ‖w‖ at the start
    v, v_star      numbers, one a hidden unit; drawn as standard normals if not given. v: optimal is the v of least loss
                   at theta
    seed           of what is drawn: v, v* and the directions of w* and w, the same for all networks side by side
    start          given: all begin as above; random: each at normal v and a w of random direction; minimum: each near
                   the spurious local minimum at w = −w* (in a random direction, at an angle between π − 0.1 and π)
    steps          steps of an epoch, as there is no end of examples
    """

    draws_examples: ClassVar[bool] = True
    distributions: ClassVar[frozenset[str]] = frozenset({"bernoulli"})

    inputs: Annotated[int, Field(ge=2, le=10_000)] = 20
    theta: Annotated[float, Field(gt=0, lt=math.pi)] = 1.0
    norm: Annotated[float, Field(gt=0, le=1e6)] = 1.0
    v: tuple[float, ...] | Literal["optimal"] | None = None
    v_star: _Numbers = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    start: Literal["given", "random", "minimum"] = "given"
    steps: Annotated[int, Field(ge=1, le=10**6)] = 100

    @model_validator(mode="after")
    def _finite(self) -> Self:
        if self.start != "given" and (self.v is not None or self.theta != 1):
            raise ValueError(f"start: {self.start} has v and theta of its own; give neither")
        numbers = () if self.v is None or self.v == OPTIMAL else self.v
        if not all(map(math.isfinite, (*numbers, *(self.v_star or ())))):
            raise ValueError("v and v_star are finite numbers")
        return self

    def images(self, source: str) -> Images:
        """No table of examples: they are drawn. UsageError unless the source is `gaussian` or `population`."""
        if source not in (GAUSSIAN, POPULATION):
            raise UsageError(
                f"its examples are drawn: data: {GAUSSIAN} (batches of examples) or {POPULATION} (mean gradients, "
                f"as of a batch without end), got {source!r}"
            )
        nothing = torch.zeros(0, self.inputs, dtype=torch.float64)
        return Images(nothing, nothing)

    def build(self, images: Images, kind: Kind, generators: Sequence[torch.Generator]) -> Thresholds:
        """The networks, one for each generator; UsageError where v or v* does not fit the number of units."""
        del images
        m = kind.dimensions
        for name, given in (("v", self.v), ("v_star", self.v_star)):
            if given is not None and given != OPTIMAL and len(given) != m:
                raise UsageError(f"{name} has {len(given)} numbers; it needs one for each of {m} units")
        g = torch.Generator().manual_seed(self.seed)
        drawn = [torch.randn(k, generator=g, dtype=torch.float64) for k in (m, m, self.inputs, self.inputs)]
        v, v_star = (
            of if given is None or given == OPTIMAL else torch.tensor(given, dtype=torch.float64)
            for given, of in zip((self.v, self.v_star), drawn, strict=False)
        )
        if self.v == OPTIMAL:
            v = optimal(v_star, self.theta)
        w_star = drawn[2] / drawn[2].norm()
        starts = [self._start(v, v_star, w_star, drawn[3], each) for each in generators]
        vs, ws = (torch.stack(of) for of in zip(*starts, strict=True))
        return Thresholds(vs, ws, v_star, w_star)

    def _start(self, v: Tensor, v_star: Tensor, w_star: Tensor, u: Tensor, g: torch.Generator) -> tuple[Tensor, Tensor]:
        """v and w of one network."""
        theta = self.theta
        if self.start != "given":
            v, u = (torch.randn(len(of), generator=g, dtype=torch.float64) for of in (v, u))
        if self.start == "random":
            return v, self.norm * u / u.norm()
        if self.start == "minimum":
            v, theta = spurious(v_star), math.pi - _NEAR * float(torch.rand((), generator=g, dtype=torch.float64))
        across = u - (u @ w_star) * w_star
        return v, self.norm * (math.cos(theta) * w_star + math.sin(theta) * across / across.norm())


def optimal(v_star: Tensor, theta: float) -> Tensor:
    """The v of least loss at an angle: (I + 11ᵀ)⁻¹ (s I + 11ᵀ) v* = s v* + (1 − s) Σ v*/(m + 1), s = 1 − 2θ/π."""
    s = 1 - 2 * theta / math.pi
    found: Tensor = s * v_star + (1 - s) * v_star.sum() / (len(v_star) + 1)
    return found


def spurious(v_star: Tensor) -> Tensor:
    """The optimal v at θ = π, with w = −w* a local minimum; UsageError unless (1ᵀv*)² < (m + 1)/2 ‖v*‖².

    Yin et al. (2019), proposition 1.
    """
    m = len(v_star)
    if not float(v_star.sum() ** 2) < (m + 1) / 2 * float(v_star @ v_star):
        raise UsageError(
            "start: minimum needs a spurious local minimum, which there is where (Σ v*)² < (m + 1)/2 Σ v*²; here it is "
            f"{float(v_star.sum() ** 2):.3g} against {(m + 1) / 2 * float(v_star @ v_star):.3g}: give another v_star"
        )
    return optimal(v_star, math.pi)


class Thresholds(nn.Module):
    """S networks with v [S, m] and w [S, n], in float64, and the one that labels: `networks.base.Drawn`."""

    part = "w"

    def __init__(self, v: Tensor, w: Tensor, v_star: Tensor, w_star: Tensor) -> None:
        super().__init__()
        self.v, self.w = nn.Parameter(v), nn.Parameter(w)
        self.v_star, self.w_star = v_star, w_star

    def two_layer(self) -> TwoLayer:
        """All of them, for closed forms."""
        S = len(self.v)
        return TwoLayer(self.v.detach(), self.w.detach(), self.v_star.expand(S, -1), self.w_star.expand(S, -1))

    def mean_loss(self) -> Tensor:
        """The population loss, [S]."""
        return self.two_layer().loss()

    def gradients(self) -> dict[str, Tensor]:
        """Those of the population loss."""
        net = self.two_layer()
        return {"v": net.gradient_v(), "w": net.gradient_w()}

    def examples(self, number: int, generator: torch.Generator) -> Problem:
        """Inputs Z ~ N(0, 1), with their labels."""
        m, n = self.v.shape[1], self.w.shape[1]
        Z = torch.randn(1, number, m, n, generator=generator, dtype=torch.float64)
        return of_examples(self.two_layer(), Z.expand(len(self.v), -1, -1, -1))

    def others(self, problem: Problem) -> dict[str, Tensor]:
        """∂/∂v = (vᵀz − y*) z at the units z = 1[Z w > 0] of each example."""
        units = problem.distribution.align(problem.distribution.mode)  # [S number, 1, m]
        assert isinstance(problem.objective, Square)
        return {"v": (problem.objective.error(units).unsqueeze(-1) * units).squeeze(1)}

    def mean_gradient(self, estimator: Any) -> Tensor | str:
        """The mean coarse gradient, in closed form where the proxy is a multiple of an indicator."""
        if _by_proxy(estimator) and estimator.proxy in INDICATORS:
            return self.two_layer().coarse_gradient_w(estimator.proxy)
        return f"ste[sample=threshold] with proxy {', '.join(INDICATORS)}"

    def moments(self, estimator: Any) -> CoarseMoments | str:
        """Those of any proxy behind a threshold, by quadrature; a mean that has a closed form is exact."""
        if not _by_proxy(estimator):
            return "ste[sample=threshold] with any proxy"
        net = self.first()
        found = coarse_moments(net, backward_factor(estimator), (1.0, 1 / (estimator.scale or 1.0)))
        if estimator.proxy not in INDICATORS:
            return found
        return CoarseMoments(net.coarse_gradient_w(estimator.proxy), found.variance, 0.0, found.error)

    def first(self) -> TwoLayer:
        """The first of the networks."""
        net = self.two_layer()
        return TwoLayer(net.v[0], net.w[0], net.v_star[0], net.w_star[0])


def _by_proxy(estimator: Any) -> bool:
    """Whether an estimator sends a threshold forward and a proxy back: all its samples are the same."""
    return getattr(estimator, "sample", None) == "threshold" and hasattr(estimator, "proxy")


def backward_factor(estimator: Any) -> Callable[[Tensor], Tensor]:
    """ψ [n] at pre-activations [n], by the estimator's own code: its rows where ∇f = 1."""

    def psi(x: Tensor) -> Tensor:
        logits = x.view(-1, 1)
        one = Square(torch.ones_like(logits).unsqueeze(1), (x > 0).to(x.dtype).view(-1, 1) - 1)
        rows: Tensor = estimator.rows(Draw(Problem(Bernoulli(logits), one), len(x), 1))
        return rows.flatten()

    return psi


@record(frozen=True, eq=False)
class Square:
    """f(z) = ½ (vᵀz − y)² of binary units z [..., R, N, m]: v [R, 1, m], y [R, 1].

    Labels are sums too: where units and labels agree the error is 0, and not what rounding leaves of it. `size` [R, 1]
    is the sum of the absolute values of the terms of y; |y| if it is not given.
    """

    v: Tensor
    y: Tensor
    size: Tensor | None = None

    on: Literal["flat"] = "flat"
    distributions: frozenset[str] = frozenset({"bernoulli"})

    def value(self, z: Tensor) -> Tensor:
        """[..., R, N]."""
        return self.error(z).square() / 2

    def grad(self, z: Tensor) -> Tensor:
        """(vᵀz − y) v."""
        return self.error(z).unsqueeze(-1) * self.v

    def error(self, z: Tensor) -> Tensor:
        """vᵀz − y."""
        terms = z * self.v
        found = terms.sum(-1) - self.y
        size = terms.abs().sum(-1) + (self.y.abs() if self.size is None else self.size)
        return found.masked_fill_(found.abs() <= rounding(terms.shape[-1], found.dtype) * size, 0.0)


def of_examples(net: TwoLayer, Z: Tensor) -> Problem:
    """The problem of examples Z [S, B, m, n] of networks [S]: logits Z w [S B, m], and Z as their Jacobian."""
    logits = torch.einsum("sbmn,sn->sbm", Z, net.w).flatten(0, 1)
    labelled = (torch.einsum("sbmn,sn->sbm", Z, net.w_star) > 0).to(Z.dtype)
    y, size = (torch.einsum("sbm,sm->sb", labelled, v).reshape(-1, 1) for v in (net.v_star, net.v_star.abs()))
    v = net.v.unsqueeze(1).expand(Z.shape[:3]).reshape(-1, 1, Z.shape[2])
    return Problem(Bernoulli(logits), Square(v, y, size), jacobian=Jacobian(Z.flatten(0, 1)))
