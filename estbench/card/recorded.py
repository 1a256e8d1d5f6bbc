"""What a function does during its calls: the samples at which it evaluates f, and writes into its arguments."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from estbench.adapters import adapt
from estbench.adapters.signature import Form, callable_of, parameters_of
from estbench.adapters.watched import watched
from estbench.card.findings import Finding
from estbench.card.law import DEPENDENT, NO_SAMPLE, SHARED, WITHIN, dependence, frequency_cause
from estbench.card.sampling import sample
from estbench.card.transforms import make_like
from estbench.estimators.base import Estimator
from estbench.isolation import reason
from estbench.problem import Problem

CALLS = 256
PLACES = 64
"""Samples of a call that are looked at one by one."""


@dataclass(frozen=True, eq=False)
class Recording:
    """f, which keeps the samples that it is asked for, as they come: [n, D] or one-hot [n, D, K] each."""

    problem: Problem
    seen: list[Tensor] = field(default_factory=list)

    @property
    def on(self) -> Literal["values", "flat", "one-hot"]:
        """Samples as they are."""
        return "one-hot"

    @property
    def distributions(self) -> frozenset[str]:
        """As f."""
        return self.problem.objective.distributions

    def value(self, v: Tensor) -> Tensor:
        """f of the samples: [...]."""
        v = watched(v, lambda z: self.seen.append(z.clone()))
        return self.problem.objective.value(self.problem.inputs(v))


@dataclass(frozen=True, eq=False)
class Asked:
    """The samples at which f was evaluated, [m, D] or [m, D, K] for each of some calls, and whether ∇f was, too."""

    problem: Problem
    calls: tuple[Tensor, ...]
    differentiated: bool

    @property
    def samples(self) -> Tensor:
        """Those of all calls."""
        return torch.cat(self.calls) if self.calls else torch.empty(0, *self.problem.distribution.event_shape)


def asked(problem: Problem, estimator: Estimator, N: int, streams: Iterable[str], R: int = 1) -> Asked:
    """The samples at which f is evaluated for R estimates from each of the streams: these are the calls where R = 1."""
    recording = Recording(problem)
    recorded = make_like(problem, recording, problem.distribution.logits)
    shape, calls = problem.distribution.event_shape, []
    for stream in streams:
        recording.seen.clear()
        sample(recorded, estimator, N, R, stream)
        if recording.seen:
            calls.append(torch.cat([z.reshape(-1, *shape) for z in recording.seen]))
    return Asked(problem, tuple(calls), recorded.evaluations.df > 0)


def single_calls(problem: Problem, estimator: Estimator, N: int) -> Asked:
    """The samples at which f is evaluated in some calls, one by one."""
    return asked(problem, estimator, N, (f"asked {i}" for i in range(CALLS)))


def evidence(seen: Asked, estimator: Estimator, N: int, R: int) -> tuple[str, str] | None:
    """The cause of a bias, from the samples at which f is evaluated in single calls: its key and what to look for.

    They alone are no fault: antithetic, enumerated and relaxed samples have other laws. R: the estimates by which a law
    is looked at where some calls show nothing.
    """
    problem, z = seen.problem, seen.samples
    if len(z) < CALLS // 2:
        return None
    if bool(((z < -WITHIN) | (z > 1 + WITHIN)).any()):
        return "no_sample", f"f is evaluated at values from {float(z.min()):.3g} to {float(z.max()):.3g}: {NO_SAMPLE}"
    hard = ((z == 0) | (z == 1)).flatten(1).all(1)
    if not bool(hard.all()):
        return _relaxed(seen, some_hard=bool(hard.any()))
    if _set_one_by_one(seen):
        return _dependent(seen)
    many = asked(problem, estimator, N, ["asked"], R).samples
    return _unlike_law(seen) or _dependent(seen) or frequency_cause(many.mean(0), problem.independent, R)


def halves_cancel(calls: Sequence[Tensor]) -> tuple[str, str] | None:
    """The cause of a mean of 0 where the samples of a call depend on each other, as those of an antithetic pair do."""
    if len({len(call) for call in calls}) != 1 or not 1 < len(calls[0]) <= PLACES:
        return None
    numbers = torch.stack([*calls]).flatten(2).unbind(-1)  # one of each sample, [calls, samples] each
    if max(map(dependence, numbers)) <= DEPENDENT:
        return None
    return "halves_cancel", (
        "the halves of an antithetic pair cancel: f(z) s(z) and f(z′) s(z′), each with the score of its own sample, "
        "must be added, not subtracted"
    )


def _relaxed(seen: Asked, *, some_hard: bool) -> tuple[str, str]:
    if not seen.differentiated and not some_hard:
        return "relaxed_f", (
            "f is evaluated at relaxed samples, or at means, and its value multiplies a score: the score needs f of "
            "the hard sample"
        )
    if some_hard:
        return "control_variate", (
            "f of relaxed samples (or of a mean) is a control variate whose parts do not cancel: what is subtracted "
            "must come back as the gradient of its mean, with the same coefficient and temperature, z̃ drawn given the "
            "hard sample, and no detach"
        )
    return "relaxation", (
        "f is evaluated at relaxed samples alone: E ĝ is the gradient of E f of the relaxed sample, which is another "
        "one at every temperature; where that is meant, say so (--biased)"
    )


def _unlike_law(seen: Asked) -> tuple[str, str] | None:
    """Samples do not have the probabilities of the logits: those at one place of each call, or all of them."""
    d, z = seen.problem.independent, seen.samples
    sizes = {len(call) for call in seen.calls}
    if len(sizes) == 1 and (m := sizes.pop()) <= PLACES:
        places = torch.stack(seen.calls).mean(0)
        each = [frequency_cause(places[j], d, len(seen.calls)) for j in range(m)]
        wrong, right = [cause for cause in each if cause], [j for j in range(m) if each[j] is None]
        if wrong and right and frequency_cause(places[right].mean(0), d, len(right) * len(seen.calls)) is None:
            return wrong[0][0], f"of the samples of a call some have another law, and may be no baseline: {wrong[0][1]}"
    return frequency_cause(z.mean(0), d, len(z))


def _set_one_by_one(seen: Asked) -> bool:
    """Whether variables are set one by one, or states are gone through: some stand still from call to call."""
    sizes = {len(call) for call in seen.calls}
    if len(sizes) != 1 or sizes.pop() > PLACES:
        return False
    places = torch.stack(seen.calls).mean(0)
    return bool(((places == 0) | (places == 1)).any())


def _dependent(seen: Asked) -> tuple[str, str] | None:
    """Variables depend on each other in the first sample of each call."""
    first = torch.stack([call[0] for call in seen.calls])
    return ("dependent", SHARED) if dependence(first) > DEPENDENT else None


def same_samples_twice(problem: Problem, estimator: Estimator, N: int) -> bool:
    """Whether two calls with the same seed ask for f at the same samples: what differs then is kept between calls."""
    one, two = (asked(problem, estimator, N, ["twice"]).samples for _ in range(2))
    return one.shape == two.shape and len(one) > 0 and torch.equal(one, two)


def writes(
    target: Any, form: Form | None, distribution: str, samples: int | None, problem: Problem, N: int, options: Any
) -> Finding:
    """Whether a function writes into the logits or the rewards that it is given."""
    called, listed = callable_of(target), inspect.Signature(parameters_of(target)[0])
    written: list[bool] = []
    if not inspect.isroutine(target) and not inspect.isclass(target):
        called = copy.deepcopy(target)  # its state is its own

    def watched(first: Any, *others: Any, **named: Any) -> Any:
        before = _copy(first)
        if inspect.isclass(target):  # an autograd.Function takes no names
            others, named = listed.bind(first, *others, **named).args[1:], {}
        found = called(first, *others, **named)
        if before is not None and not _same(before, first):
            written.append(True)
        return found

    try:
        functools.update_wrapper(watched, target)
        watched.__signature__ = listed  # type: ignore[attr-defined] # read by inspect
        estimator = adapt(watched, form, distribution, None if form == "advantages" else samples, **options)
        sample(problem, estimator, N, 1, "written")
    except Exception as error:  # whatever it does when it is called once more
        return Finding("writes nothing", None, f"not checked, because it raised {reason(error)}")
    if written:
        look = "work on a copy (x.clone()), or use operations without a final underscore"
        return Finding("writes nothing", False, "it writes in place into what it is given", look, "in_place")
    return Finding("writes nothing", True, "what it is given stays as it is")


def _copy(x: Any) -> Any:
    if isinstance(x, Tensor) and not torch._C._functorch.is_functorch_wrapped_tensor(x):
        return x.detach().clone()
    return x.copy() if isinstance(x, np.ndarray) else None


def _same(before: Any, after: Any) -> bool:
    if isinstance(before, Tensor):
        return torch.equal(before, after.detach())
    return bool(np.array_equal(before, after))
