"""Estimators that are no pure functions of their draw, each in its own way; their means are right where they can be.

They are plug-ins, as anybody's are.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from estbench.draws import Draw
from estbench.estimators.base import Facts, Node, Vjp
from estbench.problem import Evaluations
from tests.problems import make

FACTS = Facts("score function", f=1)


def rows(draw: Draw) -> Tensor:
    """f(z) s(z)."""
    return draw.lift(draw.fz) * draw.score


@dataclass(frozen=True)
class Pure:
    """REINFORCE: what all others are made of."""

    facts: ClassVar[Facts] = FACTS

    def rows(self, draw: Draw) -> Tensor:
        """f(z) s(z)."""
        self.before(draw)
        return rows(draw)

    def before(self, draw: Draw) -> None:
        """What it does before it answers."""


class CentresInPlace(Pure):
    """f(z) is centred where it lies."""

    def before(self, draw: Draw) -> None:
        """A write that the next call sees."""
        draw.fz.sub_(0.1)


class ClampsGradient(Pure):
    """A write that changes nothing the second time."""

    facts: ClassVar[Facts] = replace(FACTS, df=1)

    def before(self, draw: Draw) -> None:
        """∇f is bounded."""
        draw.dfz.clamp_(-0.01, 0.01)


class ClampsNothing(Pure):
    """A write that changes nothing at all, here."""

    def before(self, draw: Draw) -> None:
        """∇f is bounded where it never is."""
        draw.score.clamp_(-1e9, 1e9)


class ClampsNoise(Pure):
    """Noise is bounded."""

    def before(self, draw: Draw) -> None:
        """In place."""
        draw.noise().clamp_(1e-3, 0.999)


class ClampsLogits(Pure):
    """Logits are bounded."""

    def before(self, draw: Draw) -> None:
        """In place."""
        draw.problem.distribution.logits.clamp_(-1.0, 1.0)


class ScalesScore(Pure):
    """The score is multiplied."""

    def before(self, draw: Draw) -> None:
        """In place."""
        draw.score.mul_(1.5)


class ThroughNumpy(Pure):
    """Samples are written through an array that shares their memory, which no version counter sees."""

    def before(self, draw: Draw) -> None:
        """In place, with numpy."""
        draw.z.numpy()[...] = 1 - draw.z.numpy()


class OfTheProblem(Pure):
    """What the problem keeps is written."""

    def before(self, draw: Draw) -> None:
        """In place."""
        draw.problem.optimal_baseline.zero_()


class OfRelaxed(Pure):
    """Relaxed samples are written."""

    facts: ClassVar[Facts] = replace(FACTS, noise=("main",), exact="smooth")

    def before(self, draw: Draw) -> None:
        """In place."""
        draw.relaxed(0.5).y.mul_(0.5)


@dataclass(frozen=True)
class Remembers(Pure):
    """A baseline of all values of f that this instance has seen."""

    def before(self, draw: Draw) -> None:
        """Counts them."""
        object.__setattr__(self, "_seen", [*getattr(self, "_seen", []), float(draw.fz.mean())])

    def rows(self, draw: Draw) -> Tensor:
        """(f(z) − b) s(z)."""
        self.before(draw)
        return (draw.lift(draw.fz) - float(np.mean(getattr(self, "_seen")))) * draw.score  # noqa: B009 - it has no such field


@dataclass(frozen=True)
class KeepsTheFirst(Pure):
    """A baseline of the first draw that an instance sees, and no other."""

    def rows(self, draw: Draw) -> Tensor:
        """(f(z) − b) s(z)."""
        if not hasattr(self, "_first"):
            object.__setattr__(self, "_first", float(draw.fz.mean()))
        return (draw.lift(draw.fz) - float(getattr(self, "_first"))) * draw.score  # noqa: B009 - it has no such field


class Counts(Pure):
    """Something that grows from call to call, in the class."""

    calls: ClassVar[list[int]] = []

    def rows(self, draw: Draw) -> Tensor:
        """f(z) s(z), and a little more each time."""
        self.calls.append(1)
        return rows(draw) * (1 + 1e-4 * len(self.calls))


class TorchNoise(Pure):
    """Noise of torch's generator."""

    def rows(self, draw: Draw) -> Tensor:
        """Unbiased, and different each time."""
        return rows(draw) + torch.randn(draw.score.shape, dtype=torch.float64)


class NumpyNoise(Pure):
    """Noise of numpy's generator."""

    def rows(self, draw: Draw) -> Tensor:
        """Unbiased, and different each time."""
        return rows(draw) + torch.from_numpy(np.random.randn(*draw.score.shape))


class PythonNoise(Pure):
    """Noise of the standard library's generator."""

    def rows(self, draw: Draw) -> Tensor:
        """Unbiased, and different each time."""
        return rows(draw) + random.gauss(0, 1)


class BehindTheCounter(Pure):
    """f is asked of the objective."""

    facts: ClassVar[Facts] = replace(FACTS, f=0)

    def rows(self, draw: Draw) -> Tensor:
        """f(z) s(z)."""
        v = draw.distribution.values(draw.z) if draw.problem.ordinal else draw.z.flatten(2)
        return draw.lift(draw.problem.objective.value(v)) * draw.score


class ByTheOracle(Pure):
    """f is asked of the problem's oracle, which has counters of its own."""

    facts: ClassVar[Facts] = replace(FACTS, f=0)

    def rows(self, draw: Draw) -> Tensor:
        """f(z) s(z)."""
        return draw.lift(draw.problem.oracle.f(draw.z)) * draw.score


class ByAnotherProblem(Pure):
    """f is asked of a problem that it makes."""

    facts: ClassVar[Facts] = replace(FACTS, f=0)

    def rows(self, draw: Draw) -> Tensor:
        """f(z) s(z)."""
        return draw.lift(make(draw.problem.objective, draw.problem.distribution.logits).f(draw.z)) * draw.score


class ResetsTheCounter(Pure):
    """The counter is put back."""

    facts: ClassVar[Facts] = replace(FACTS, f=0)

    def rows(self, draw: Draw) -> Tensor:
        """f(z) s(z)."""
        counts: Evaluations = draw.problem.evaluations
        found = rows(draw)
        counts.f = 0
        return found


class GradientBehindTheCounter(Pure):
    """∇f is taken by autograd of the objective."""

    def rows(self, draw: Draw) -> Tensor:
        """f(z) s(z), and 0 times ∇f."""
        with torch.enable_grad():
            v = draw.distribution.values(draw.z).requires_grad_() if draw.problem.ordinal else draw.z.flatten(-2)
            v = v.detach().requires_grad_()
            (g,) = torch.autograd.grad(draw.problem.objective.value(v).sum(), v)
        return rows(draw) + 0 * g.sum()


class BatchMean(Pure):
    """A baseline of all replicates of the block."""

    def rows(self, draw: Draw) -> Tensor:
        """(f(z) − mean f) s(z)."""
        return draw.lift(draw.fz - draw.fz.mean()) * draw.score


class Whitened(Pure):
    """f standardised over the block."""

    facts: ClassVar[Facts] = replace(FACTS, unbiased=False)

    def rows(self, draw: Draw) -> Tensor:
        """(f(z) − mean f)/std f s(z)."""
        return draw.lift((draw.fz - draw.fz.mean(0)) / draw.fz.std(0)) * draw.score


class Previous(Pure):
    """A baseline of the replicate before."""

    def rows(self, draw: Draw) -> Tensor:
        """(f(z_r) − f(z_{r−1})) s(z_r)."""
        return draw.lift(draw.fz - draw.fz.roll(1, 0)) * draw.score


class SortedReplicates(Pure):
    """Replicates come out in another order."""

    def rows(self, draw: Draw) -> Tensor:
        """f(z) s(z), sorted."""
        return rows(draw).sort(0).values


class ByTheSize(Pure):
    """Scaled by the number of replicates."""

    def rows(self, draw: Draw) -> Tensor:
        """(1 + 1/R) f(z) s(z)."""
        return rows(draw) * (1 + 1 / draw.R)


class ByALargeBlock(Pure):
    """Scaled where a block is as large as those of runs."""

    def rows(self, draw: Draw) -> Tensor:
        """f(z) s(z), and a tenth more from 1000 replicates on."""
        return rows(draw) * (1.1 if draw.R >= 1000 else 1)


class ByThePlace(Pure):
    """Every other replicate gets a baseline."""

    def rows(self, draw: Draw) -> Tensor:
        """(f(z_r) − [r odd]) s(z_r)."""
        odd = torch.arange(draw.R, dtype=torch.float64).remainder(2).unsqueeze(1)
        return draw.lift(draw.fz - odd) * draw.score


class Chained(Pure):
    """Rows read the sample before."""

    def rows(self, draw: Draw) -> Tensor:
        """(f(z_n) − f(z_{n−1})) s(z_n)."""
        f = draw.fz.clone()
        f[:, 1:] -= draw.fz[:, :-1]
        return draw.lift(f) * draw.score


class LeaveOneOutRows(Pure):
    """RLOO as rows."""

    facts: ClassVar[Facts] = replace(FACTS, min_samples=2)

    def rows(self, draw: Draw) -> Tensor:
        """N/(N − 1) (f(z_n) − mean f) s(z_n)."""
        f = draw.fz
        return draw.lift((f - f.mean(1, keepdim=True)) * draw.N / (draw.N - 1)) * draw.score


class DividedRows(Pure):
    """Rows that are divided by the number of samples already."""

    def rows(self, draw: Draw) -> Tensor:
        """f(z_n) s(z_n)/N."""
        return rows(draw) / draw.N


@dataclass(frozen=True)
class AllSamples:
    """A joint estimate that reads all samples of the draw."""

    facts: ClassVar[Facts] = FACTS

    def joint(self, draw: Draw, samples: int) -> Tensor:
        """The mean over all that there are."""
        del samples
        return rows(draw).mean(1)


@dataclass(frozen=True)
class LastSamples:
    """A joint estimate that reads the last samples of the draw."""

    facts: ClassVar[Facts] = FACTS

    def joint(self, draw: Draw, samples: int) -> Tensor:
        """The mean over the last N."""
        return rows(draw)[:, -samples:].mean(1)


WRITES = {
    CentresInPlace: "draw.fz",
    ClampsGradient: "draw.dfz",
    ClampsNothing: "draw.score",
    ClampsNoise: "draw.noise",
    ClampsLogits: "logits",
    ScalesScore: "draw.score",
    ThroughNumpy: "draw.z",
    OfTheProblem: "optimal_baseline",
    OfRelaxed: ".y",
}
SAID = {
    Remembers: "two calls on the same draw give different estimates",
    KeepsTheFirst: "a new instance gives other estimates from the same draw",
    Counts: "two calls on the same draw give different estimates",
    TorchNoise: "two calls on the same draw give different estimates",
    NumpyNoise: "two calls on the same draw give different estimates",
    PythonNoise: "two calls on the same draw give different estimates",
    BehindTheCounter: "evaluates the objective 1 times a sample behind the problem's counter",
    ByTheOracle: "evaluates the objective 1 times a sample behind the problem's counter",
    ByAnotherProblem: "evaluates the objective 1 times a sample behind the problem's counter",
    ResetsTheCounter: "evaluates the objective 1 times a sample behind the problem's counter",
    GradientBehindTheCounter: "evaluates the objective 1 times a sample behind the problem's counter",
    BatchMean: "change with the noise of other replicates",
    Whitened: "change with the noise of other replicates",
    Previous: "change with the noise of other replicates",
    SortedReplicates: "change with the noise of other replicates",
    ByTheSize: "depend on the number of replicates in a block",
    ByALargeBlock: "depend on the number of replicates in a block (48 or 1536)",
    ByThePlace: "depend on its place in the block",
    Chained: "the row of a sample changes with the other samples",
    LeaveOneOutRows: "the row of a sample changes with the other samples",
    DividedRows: "the row of a sample changes with the other samples",
    AllSamples: "an estimate from 2 samples changes with samples beyond them",
    LastSamples: "an estimate from 2 samples changes with samples beyond them",
}
"""Each estimator, and what must be said of it."""


@dataclass(frozen=True)
class RowsAlone:
    """It says that it is a node, and has rows alone."""

    facts: ClassVar[Facts] = replace(FACTS, unbiased=False, f=0, df=1, node=True)

    def rows(self, draw: Draw) -> Tensor:
        """Those of straight-through."""
        return draw.straight_through


FRESH: dict[str, Callable[[Draw, Tensor], Any]] = {
    "torch": lambda _, g: torch.rand(g.shape, dtype=torch.float64),
    "in its type": lambda _, g: torch.rand_like(g),  # float32 logits see other numbers
    "numpy": lambda _, g: torch.from_numpy(np.random.random_sample(g.shape)),
    "Python": lambda *_: random.gauss(0.5, 1.0),
    "unseeded": lambda _, g: torch.from_numpy(np.random.default_rng().random(g.shape)),
    "uniform": lambda draw, _: draw.uniform("fresh", *draw.z.shape[2:]),
    "base noise": lambda draw, _: draw.noise("fresh"),
    "a twin": lambda draw, _: draw.with_same_noise().uniform("fresh", *draw.z.shape[2:]),
    "redrawn": lambda draw, _: draw.redraw(0).sigmoid(),
}
"""Noise U like g, by where it comes from."""


@dataclass(frozen=True)
class Fresh(Node):
    """Straight-through times noise of mean 1, which is drawn where the function of g is called."""

    how: str = "torch"
    facts: ClassVar[Facts] = Facts("straight-through", unbiased=False, df=1, exact="none", node=True, centred=False)

    def vjp(self, draw: Draw) -> tuple[Tensor, Vjp]:
        """z, and J(p) g (½ + U)."""
        return draw.z, lambda g: (draw.distribution.mean_jac(g) * (0.5 + FRESH[self.how](draw, g))).to(g)


class CountsBackward(Fresh):
    """The second call of the function gives twice the gradient."""

    def vjp(self, draw: Draw) -> tuple[Tensor, Vjp]:
        """z, and J(p) g times the number of calls."""
        d, calls = draw.distribution, list[int]()

        def back(g: Tensor) -> Tensor:
            calls.append(0)
            return d.mean_jac(g) * len(calls)

        return draw.z, back


class DoublesInPlace(Fresh):
    """The function writes into g, which no other estimator sees at its point."""

    def vjp(self, draw: Draw) -> tuple[Tensor, Vjp]:
        """z/2, and 2 J(p) g."""
        d = draw.distribution
        return draw.z / 2, lambda g: d.mean_jac(g.mul_(2))


class WeightsByF(Fresh):
    """Linear in g, and it asks for f."""

    def vjp(self, draw: Draw) -> tuple[Tensor, Vjp]:
        """z, and f(z) J(p) g."""
        d = draw.distribution
        return draw.z, lambda g: draw.lift(draw.fz) * d.mean_jac(g)


class RandomForward(Fresh):
    """Noise of torch's generator, read before the function is returned."""

    def vjp(self, draw: Draw) -> tuple[Tensor, Vjp]:
        """z, and J(p) g (½ + U)."""
        d, u = draw.distribution, torch.rand(draw.z.shape, dtype=torch.float64)
        return draw.z, lambda g: d.mean_jac(g) * (0.5 + u).to(g)


class ReadFirst(Fresh):
    """As it should be."""

    def vjp(self, draw: Draw) -> tuple[Tensor, Vjp]:
        """z, and J(p) g (½ + U), U read here."""
        d, u = draw.distribution, draw.uniform("fresh", *draw.z.shape[2:])
        return draw.z, lambda g: d.mean_jac(g) * (0.5 + u)


LATE: dict[Fresh, str] = {
    Fresh("torch"): "draws from the global generator of torch",
    Fresh("in its type"): "draws from the global generator of torch",
    Fresh("numpy"): "draws from the global generator of numpy",
    Fresh("Python"): "draws from the global generator of Python",
    Fresh("unseeded"): "two calls on the same draw give different estimates",
    Fresh("uniform"): "reads noise 'fresh', so that it is drawn in the backward pass; read all noise before vjp",
    Fresh("base noise"): "reads noise 'fresh'",
    Fresh("a twin"): "reads noise, so that",
    Fresh("redrawn"): "reads noise 'redraw/0'",
    CountsBackward(): "gives other rows when it is called again with the same g",
    DoublesInPlace(): "writes in place into the g that it is given",
    WeightsByF(): "its vjp evaluates f",
    RandomForward(): "take random numbers from draw.uniform(name), and name the stream in facts.noise",
}
"""Layers whose backward pass does more than it may, and what must be said of each."""
