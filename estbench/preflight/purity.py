"""Tests that an estimator is a pure function of its draw: each returns what is wrong and what to do, or nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from estbench.catalogue import facts_of
from estbench.draws import Draw
from estbench.estimators.base import NO_VJP, RowEstimator
from estbench.isolation import Isolated, generator, next_numbers, seed
from estbench.preflight.counted_objective import counted_objective
from estbench.preflight.trial import KEPT, MORE, REPLICATES, Trial, same
from estbench.problem import Evaluations
from estbench.streams import TorchStreams

TIMES = 32
MANY = TIMES * REPLICATES
"""Replicates of a block about as large as those of runs: the noise of the usual ones, so many times over."""

OWN_STREAM = "take random numbers from draw.uniform(name), and name the stream in facts.noise"

GENERATORS = ("torch", "numpy", "Python")

BACKWARD = "the function that its vjp returns"
READ_FIRST = "read all noise before vjp returns the function"


def impurities(trial: Trial) -> Iterator[str]:
    """What an estimator does that a pure function of its draw does not, one sentence each.

    Where two calls on one draw differ the rest cannot be told, and is left out.
    """
    if text := overwritten(trial) or repeated(trial) or backward(trial):
        yield text
        return
    if random_of_its_own(trial):
        facts = facts_of(trial.build())
        if facts.exact != "none" or facts.node:  # a layer takes its numbers from the generator that `sample` is given
            yield (
                "two calls on the same draw give different estimates where the global generators of torch, numpy and "
                f"Python are seeded differently: {OWN_STREAM}" + (", or say exact='none'" if not facts.node else "")
            )
        if text := uncounted(trial):
            yield text
        return
    for check in (uncounted, other_replicates, other_samples, other_rows):
        if text := check(trial):
            yield text


def random_of_its_own(trial: Trial) -> bool:
    """Whether estimates from one draw change with the seed of the global generators."""
    one, two = (trial.each(trial.draw("a"), seed=seed) for seed in (0, 1))
    return not same(one, two)


def repeated(trial: Trial) -> str:
    """State: estimates from a draw before and after those from another one, and from a new instance."""
    estimator = trial.build()
    before = trial.each(trial.draw("a"), estimator)
    other = trial.each(trial.draw("b"), estimator)
    after = trial.each(trial.draw("a"), estimator)
    if not same(before, after):
        return (
            "two calls on the same draw give different estimates: it keeps state between calls, or makes random "
            f"numbers that no seed reaches; keep no state, and {OWN_STREAM}"
        )
    if not same(other, trial.each(trial.draw("b"))):
        return (
            "a new instance gives other estimates from the same draw than one that was called before: it keeps state "
            "between calls; an estimator is a pure function of its draw"
        )
    return ""


def overwritten(trial: Trial) -> str:
    """Writes in place into what a draw shares with other estimators, those that change nothing as well."""
    estimator, draw = trial.build(), trial.draw()
    _prepare(draw)
    shared = _shared(draw)
    kept = {name: (tensor.clone(), tensor._version) for name, tensor in shared.items()}
    for _ in range(2):  # what the first call adds to the draw is watched during the second
        trial.each(draw, estimator)
        for name, (value, version) in kept.items():
            if shared[name]._version != version or not torch.equal(shared[name].nan_to_num(), value.nan_to_num()):
                return (
                    f"it writes in place into {name}, which other estimators read too; "
                    "work on a copy (x.clone()), or use operations without a final underscore"
                )
        shared = _shared(draw)
        kept = {name: (tensor.clone(), tensor._version) for name, tensor in shared.items()}
    return ""


def uncounted(trial: Trial) -> str:
    """Evaluations of f and ∇f that the objective sees and the problem's counter does not.

    The second call counts: what belongs to the problem, such as E f, has been computed by then.
    """
    problem = trial.problem
    D = problem.D
    numbers = D if problem.ordinal else problem.numbers
    objective, seen = counted_objective(problem.objective, numbers)
    trial = trial.of(replace(problem, objective=objective, evaluations=Evaluations()))
    counted = trial.problem.evaluations
    trial.each(trial.draw("a"))
    before = seen.f + seen.df - counted.f - counted.df
    trial.each(trial.draw("b"))
    hidden = seen.f + seen.df - counted.f - counted.df - before
    if not hidden:
        return ""
    each = hidden / (REPLICATES * (trial.samples + MORE))
    return (
        f"it evaluates the objective {each:.3g} times a sample behind the problem's counter; "
        "call draw.fz, draw.dfz, draw.problem.f and draw.problem.df, which count"
    )


def other_replicates(trial: Trial) -> str:
    """Whether an estimate depends on other replicates, on how many there are in a block, or on its place there."""
    coupled = facts_of(trial.build()).within_shard
    whole = trial.each(trial.draw())
    others = trial.each(trial.draw(over_replicates=lambda a, b: torch.cat((a[:KEPT], b[KEPT:]))))
    unit, remedy = ("shard", "") if coupled else ("replicate", "; use only its own samples, never a mean over axis 0")
    if not same(others[:KEPT], whole[:KEPT]):
        return f"the estimates of a {unit} change with the noise of other {unit}s of the block{remedy}"
    alone = trial.each(trial.draw(replicates=KEPT, over_replicates=lambda a, _: a[:KEPT]))
    if not same(alone, whole[:KEPT]):
        return f"estimates depend on the number of replicates in a block ({KEPT} or {REPLICATES}); do not read draw.R"
    many = trial.each(trial.draw(replicates=MANY, over_replicates=lambda a, _: a.repeat(TIMES, *[1] * (a.ndim - 1))))
    if not (same(many[:REPLICATES], whole) and same(many[-REPLICATES:], whole)):
        return f"estimates depend on the number of replicates in a block ({REPLICATES} or {MANY}); do not read draw.R"
    order = torch.arange(REPLICATES)
    order = order.view(-1, KEPT).flip(0).flatten() if coupled else order.flip(0)
    moved = trial.each(trial.draw(over_replicates=lambda a, _: a[order]))
    if not same(moved, whole[order]):
        return f"the estimates of a {unit} depend on its place in the block; treat all alike"
    return ""


def other_samples(trial: Trial) -> str:
    """Whether a row reads samples that are not its own, or a joint estimate samples beyond its N."""
    whole, N = trial.each(trial.draw()), trial.samples
    if isinstance(trial.build(), RowEstimator):
        last = N + MORE - 1
        changed = trial.each(trial.draw(over_samples=lambda a, b: torch.cat((b[:, :last], a[:, last:]), 1)))
        fewer = trial.each(trial.draw(samples=N))
        if same(changed[:, last], whole[:, last]) and same(fewer, whole[:, :N]):
            return ""
        return (
            "the row of a sample changes with the other samples, so that rows are not independent; "
            "return one estimate for each replicate from `joint`"
        )
    changed = trial.each(trial.draw(over_samples=lambda a, b: torch.cat((a[:, :N], b[:, N:]), 1)))
    fewer = trial.each(trial.draw(samples=N))
    if same(changed, whole) and same(fewer, whole):
        return ""
    return (
        f"an estimate from {N} samples changes with samples beyond them; read the first `samples` alone, [:, :samples]"
    )


def _prepare(draw: Draw) -> None:
    """Compute what most estimators share."""
    for name in ("z", "score", "fz", "dfz", "x"):
        with suppress(Exception):  # an f without a gradient, say: who needs it will say so
            getattr(draw, name)
    for name in ("mean", "q", "marginals"):
        getattr(draw.distribution, name, None)  # coupled variables have none of them


def _shared(draw: Draw) -> dict[str, Tensor]:
    """All tensors that lie below a draw by their paths, those with public names first."""
    found = sorted(_tensors(draw, "draw"), key=lambda named: named[0].count("._"))
    return {re.sub(r"\._noise\[\(?('[^']*').*\]", r".noise(\1)", path): tensor for path, tensor in found}


def _tensors(thing: Any, path: str, depth: int = 4) -> Iterator[tuple[str, Tensor]]:
    """All tensors that lie below an object of this package, with the path to each."""
    if isinstance(thing, Tensor):
        yield path, thing
    elif depth and isinstance(thing, Mapping):
        for key, value in thing.items():
            yield from _tensors(value, f"{path}[{key!r}]", depth - 1)
    elif depth and type(thing).__module__.startswith("estbench.") and not isinstance(thing, Callable):  # type: ignore[arg-type] # a special form
        for name, value in vars(thing).items():
            yield from _tensors(value, f"{path}.{name}", depth - 1)


def backward(trial: Trial) -> str:
    """Of a stochastic node: what the function of g that its `vjp` returns does beside giving the same rows each time.

    The draw reads its noise as in training: from one generator, in the order in which it is asked for.
    """
    estimator = trial.build()
    if not (facts_of(estimator).node and hasattr(estimator, "vjp")):
        return ""
    device = trial.problem.distribution.logits.device
    streams = TorchStreams(device, generator("torch", 0, device))
    counted = Evaluations()
    draw = Draw(replace(trial.problem, evaluations=counted), REPLICATES, trial.samples, streams=streams)
    with Isolated("preflight", 0):
        h, of = estimator.vjp(draw)
        g = trial.problem.df(h).clone()
        kept, noise, reads = g.clone(), set(draw._noise), streams.reads
        seed("preflight", 1)
        untouched = next_numbers()
        seed("preflight", 1)
        first = of(g).detach().clone()
        moved = [name for name, a, b in zip(GENERATORS, untouched, next_numbers(), strict=True) if a != b]
        again = of(g).detach()
    if streams.reads != reads:
        late = ", ".join(f" '{name}'" for name, *_ in draw._noise.keys() - noise)
        return f"{BACKWARD} reads noise{late}, so that it is drawn in the backward pass; {READ_FIRST}"
    if moved:
        return (
            f"{BACKWARD} draws from the global generator of {' and '.join(moved)}, so that each backward pass gives "
            f"another gradient; {READ_FIRST}, and {OWN_STREAM}"
        )
    if not torch.equal(g, kept):
        return f"{BACKWARD} writes in place into the g that it is given; work on a copy (g.clone())"
    if not _identical(first, again):
        return (
            f"{BACKWARD} gives other rows when it is called again with the same g: it keeps state, or makes random "
            f"numbers that no seed reaches; make its rows of g and the draw alone, and {READ_FIRST}"
        )
    if counted.f + counted.df:
        return "its vjp evaluates f or ∇f, and in a layer there is no f; use the g that the function is given"
    return ""


def _identical(a: Tensor, b: Tensor) -> bool:
    """To the last bit; NaN is equal to itself."""
    return a.shape == b.shape and torch.allclose(a, b, rtol=0.0, atol=0.0, equal_nan=True)


def other_rows(trial: Trial) -> str:
    """Of a stochastic node: whether its `vjp` is that of its rows, and linear in ∇f."""
    estimator = trial.build()
    if not facts_of(estimator).node:
        return ""
    if not hasattr(estimator, "vjp"):
        return NO_VJP
    draw = trial.draw("a")
    with Isolated("preflight", 0):
        h, of = estimator.vjp(draw)
        g = draw.problem.df(h)
        rows, cubed, combined = of(g), of(g**3), of(g**3 - 2 * g)
    if not same(rows, trial.each(trial.draw("a"))):
        return "its rows are not what its vjp makes of ∇f at its point: leave `rows` to estbench.estimators.base.Node"
    return "" if same(combined, cubed - 2 * rows) else "what its vjp makes of ∇f is not linear in it: say node=False"
