"""Members of the catalogue beside an estimator: their means, their draws, and their figures at equal evaluations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from math import inf, isnan, log, nan, sqrt
from typing import Any

import torch
from pydantic import ValidationError
from scipy.stats import ks_2samp
from torch import Tensor

from estbench import catalogue
from estbench.card.observed import ROUNDING, observe
from estbench.card.problems import probes
from estbench.card.sampling import SEED, sample
from estbench.config.selector import format_selector
from estbench.draws import Draw
from estbench.estimate import estimates, truth
from estbench.estimators.base import Estimator, Fitted, Referenced, RowEstimator, evaluations
from estbench.isolation import Isolated
from estbench.moments import Floats
from estbench.objectives.base import Objective
from estbench.preflight.problems import served
from estbench.preflight.trial import same
from estbench.problem import Evaluations, Problem, make
from estbench.streams import Streams

TEMPERATURES = (1.0, 0.5)
VARIANTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("reinforce", {"baseline": "mean"}),
    ("reinforce", {"baseline": "optimal"}),
    ("ste", {"proxy": "identity"}),
    ("darn", {"centre": "mean"}),
)
"""Members with other options than by default."""


@dataclass(frozen=True)
class Member:
    """A member of the catalogue with options, and its selector."""

    label: str
    estimator: Estimator

    def mean(self, problem: Problem, N: int) -> Mean | None:
        """E ĝ on a problem and its standard error, kept; None where it does not serve it."""
        if not serves(self.estimator, problem, N):
            return None
        own = self.estimator.facts.min_samples if isinstance(self.estimator, RowEstimator) else N
        d = problem.distribution
        logits = tuple(d.logits.flatten().tolist())
        return _mean(self.estimator, problem.objective, d.name, logits, d.event_shape, own, SEED.get())  # type: ignore[arg-type] # hashable: ours


Mean = tuple[Floats, Floats]
"""A mean and its standard error, [P] each."""

EPS = 2.0**-52

MEAN_OF = 2**14
"""Estimates behind the mean of a member that has no exact one at hand."""


@lru_cache(maxsize=1024)
def _mean(
    estimator: Estimator,
    objective: Objective,
    distribution: str,
    logits: tuple[float, ...],
    event_shape: tuple[int, ...],
    N: int,
    seed: int,
) -> Mean:
    del seed  # what is sampled depends on it: it is part of the key
    shaped = torch.tensor(logits, dtype=torch.float64).view(event_shape)
    problem = make(objective, shaped, distribution)
    found = observe(problem, estimator, N, MEAN_OF, "member")
    return found.m, found.se


def members(distribution: str, temperatures: Iterable[float] = TEMPERATURES) -> tuple[Member, ...]:
    """The members that serve a distribution, at some temperatures where they have one.

    Left out are those that need a fit, that have a true gradient of their own, or whose estimates are means of others.
    """
    return _members(distribution, tuple(dict.fromkeys(temperatures)))


@lru_cache(maxsize=16)
def _members(distribution: str, temperatures: tuple[float, ...]) -> tuple[Member, ...]:
    found = []
    for name, options in (*((name, {}) for name in catalogue.ESTIMATORS), *VARIANTS):
        kind = catalogue.estimator_class(name)
        has_temperature = "temperature" in catalogue.option_names(kind)
        for more in [{"temperature": t} for t in temperatures] if has_temperature else [{}]:
            try:
                estimator = catalogue.build(kind, {**options, **more})
            except ValidationError:  # not at this temperature
                continue
            facts = estimator.facts
            plain = not (isinstance(estimator, Referenced) or facts.within_shard or facts.inner > 1)
            if plain and facts.unserved(distribution) is None and not _fits(estimator, distribution):
                found.append(Member(format_selector(name, sorted({**options, **more}.items())), estimator))
    return tuple(found)


def _fits(estimator: Estimator, distribution: str) -> bool:
    """Whether an estimator has numbers that are fitted with these options."""
    if not isinstance(estimator, Fitted):
        return False
    problem = probes(distribution)[0].problem
    return bool(estimator.fit(problem, _draw(problem, 1)) != estimator)


def serves(estimator: Estimator, problem: Problem, N: int) -> bool:
    """Whether an estimator serves a problem at N samples."""
    return served(problem, estimator.facts) and estimator.facts.min_samples <= N


def draw_by_draw(problem: Problem, estimator: Estimator, N: int, candidates: Iterable[Member]) -> tuple[str, float]:
    """The member that gives the same estimates from the same draw, or a multiple of them: its selector, the factor.

    ("", 0) if there is none.
    """
    with Isolated("card", SEED.get(), "members"):
        mine = estimates(estimator, _draw(problem, N), [N])[0]
    if not float(mine.abs().max()) > 0:
        return "", 0.0
    multiple = "", 0.0
    for candidate in candidates:
        if not serves(candidate.estimator, problem, N):
            continue
        theirs = estimates(candidate.estimator, _draw(problem, N), [N])[0]
        if same(mine, theirs):
            return candidate.label, 1.0
        square = float((theirs * theirs).sum())
        factor = float((mine * theirs).sum()) / square if square > 0 else 0.0
        if factor and not multiple[0] and same(mine, factor * theirs):
            multiple = candidate.label, factor
    return multiple


def _draw(problem: Problem, N: int, R: int = 64) -> Draw:
    return Draw(problem, R, N, streams=Streams(SEED.get(), "card/members", range(1)))


def in_law(mine: Tensor, problem: Problem, N: int, candidates: Iterable[Member], level: float = 1e-4) -> list[str]:
    """The members whose estimates [R, P] cannot be told from these by Kolmogorov-Smirnov tests.

    Each coordinate, one linear combination of them, and the squared length are tested. `level` is that of all tests
    together (Bonferroni).
    """
    return [c.label for c in candidates if serves(c.estimator, problem, N) and _alike(mine, c, problem, N, level)]


def _alike(mine: Tensor, candidate: Member, problem: Problem, N: int, level: float) -> bool:
    theirs = sample(problem, candidate.estimator, N, max(len(mine), 4096), "law")
    mix = torch.linspace(1.0, 2.0, mine.shape[1], dtype=mine.dtype).cos()

    def mixed(x: Tensor) -> Tensor:
        return x @ mix

    def squared(x: Tensor) -> Tensor:
        return (x * x).sum(-1)

    pairs = [(f(mine), f(theirs)) for f in (mixed, squared)]
    pairs += [(mine[:, i], theirs[:, i]) for i in range(mine.shape[1])]
    scale = float(theirs.abs().max()) * ROUNDING or 1.0
    rounded = [[(x / scale).round().numpy() for x in pair] for pair in pairs]
    return all(ks_2samp(a, b, method="asymp").pvalue >= level / len(pairs) for a, b in rounded)


@dataclass(frozen=True)
class Figures:
    """Variance, MSE and cosine of an estimator on one problem, at so many samples and evaluations of f and ∇f."""

    label: str
    samples: int
    evaluations: float
    relative_variance: float
    relative_mse: float
    cosine: float


def figures(label: str, estimator: Estimator, problem: Problem, N: int, x: Tensor) -> Figures:
    """From estimates x [R, P]; variance and MSE over ‖g‖², which is eps² at least. NaN where some are not finite."""
    g = truth(problem, estimator)
    assert g is not None
    if not bool(x.isfinite().all()):
        return Figures(label, N, counted(estimator, problem, N), nan, nan, nan)
    square, norm = float(g @ g), x.norm(dim=-1)
    cosine = float(torch.where(norm > 0, (x @ g) / norm.clamp(min=1e-300) / sqrt(square), 0.0).mean())
    mse = max(float(((x - g) ** 2).sum(-1).mean()), EPS**2 * square)
    return Figures(label, N, counted(estimator, problem, N), float(x.var(0).sum()) / square, mse / square, cosine)


def counted(estimator: Estimator, problem: Problem, N: int) -> float:
    """Evaluations of f and of ∇f of one estimate, as the problem counts them on a draw of its own."""
    counting = replace(problem, evaluations=Evaluations())
    with Isolated("card", SEED.get(), "cost"):
        estimates(estimator, Draw(counting, 1, N, streams=Streams(SEED.get(), "card/cost", range(1))), [N])
    return counting.evaluations.f + counting.evaluations.df


def nearest(target: Figures, problem: Problem, candidates: Iterable[Member], R: int, most: int = 3) -> list[Figures]:
    """The members of the nearest MSE at no more evaluations, and about as many."""
    found = []
    for candidate in candidates:
        N = _samples_for(candidate.estimator, problem, target.evaluations)
        if N is not None:
            x = sample(problem, candidate.estimator, N, R, "figures")
            found.append(figures(candidate.label, candidate.estimator, problem, N, x))

    def distance(other: Figures) -> float:
        one, two = (max(f.relative_mse, ROUNDING**2) for f in (other, target))  # one that is exact is near to another
        apart = abs(log(one / two)) + abs(other.cosine - target.cosine)
        return inf if isnan(apart) else apart

    return sorted(sorted(found, key=distance)[:most], key=lambda f: f.relative_mse)


def _samples_for(estimator: Estimator, problem: Problem, budget: float) -> int | None:
    """The largest N whose evaluations a budget allows, if it uses more than half of it."""
    facts, D, K = estimator.facts, problem.D, problem.distribution.classes
    for N in range(16, 0, -1):
        spent = sum(evaluations(count, D, K, N) for count in (facts.f, facts.df))
        if serves(estimator, problem, N) and budget / 2 < spent <= budget:
            return N
    return None
