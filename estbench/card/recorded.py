"""What a function does during its calls: the samples at which it asks for f, and writes into what it is given."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from estbench.adapters import adapt
from estbench.adapters.signature import Form
from estbench.card.findings import Finding
from estbench.card.law import frequency_cause
from estbench.card.sampling import sample
from estbench.card.transforms import make_like
from estbench.estimators.base import Estimator
from estbench.isolation import reason
from estbench.problem import Problem

CALLS = 256


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
        self.seen.append(v.detach().clone())
        return self.problem.objective.value(self.problem.inputs(v))


def samples_asked(problem: Problem, estimator: Estimator, N: int, streams: Iterator[str]) -> Tensor:
    """The samples at which f is asked in one call for each of the streams: [n, D] or [n, D, K]."""
    recording = Recording(problem)
    recorded = make_like(problem, recording, problem.distribution.logits)
    for stream in streams:
        sample(recorded, estimator, N, 1, stream)
    shape = problem.distribution.event_shape
    return torch.cat([z.reshape(-1, *shape) for z in recording.seen]) if recording.seen else torch.empty(0, *shape)


def unlike_law(problem: Problem, estimator: Estimator, N: int) -> tuple[str, str] | None:
    """The cause, where the samples at which f is asked do not have the law of the logits: its key and what to look for.

    This alone is no fault: antithetic and enumerated samples have other laws.
    """
    z = samples_asked(problem, estimator, N, (f"asked {i}" for i in range(CALLS)))
    if len(z) < CALLS // 2 or not bool(((z == 0) | (z == 1)).all()):
        return None
    return frequency_cause(z.mean(0), problem.distribution.logits, len(z))


def same_samples_twice(problem: Problem, estimator: Estimator, N: int) -> bool:
    """Whether two calls with the same seed ask for f at the same samples: what differs then is kept between calls."""
    one, two = (samples_asked(problem, estimator, N, iter(["twice"])) for _ in range(2))
    return one.shape == two.shape and len(one) > 0 and torch.equal(one, two)


def writes(
    target: Any, form: Form | None, distribution: str, samples: int | None, problem: Problem, N: int, options: Any
) -> Finding:
    """Whether a function writes into the logits or the rewards that it is given."""
    if inspect.isclass(target) or not callable(target):
        return Finding("writes nothing", None, "not checked, because it is no plain function")
    written: list[bool] = []
    if not inspect.isroutine(target):
        target = copy.deepcopy(target)  # its state is its own

    def watched(first: Any, *others: Any, **named: Any) -> Any:
        before = _copy(first)
        found = target(first, *others, **named)
        if before is not None and not _same(before, first):
            written.append(True)
        return found

    try:
        functools.update_wrapper(watched, target)
        watched.__signature__ = inspect.signature(getattr(target, "forward", target))  # type: ignore[attr-defined] # read by inspect
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
