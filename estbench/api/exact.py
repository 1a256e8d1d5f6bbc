"""The exact gradient of E f(z)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

import torch
from torch import Tensor

from estbench.api.problem import F, problem_of
from estbench.distributions import Distribution
from estbench.errors import UsageError
from estbench.isolation import Isolated
from estbench.objectives.function import On, name_of
from estbench.objectives.training_mode import buffers_kept
from estbench.problem import MAX_STATES

if TYPE_CHECKING:

    class ExactGradient(Tensor):
        """A tensor that says how it was found."""

        route: Literal["closed form", "enumeration"]


@torch.inference_mode(mode=False)  # a caller may be in it; closed forms are differentiated
def exact_gradient(f: F, distribution: Distribution, *, on: On | None = None) -> ExactGradient:
    """∇ E f(z) with respect to the logits of z, Σ_z P(z) f(z) ∂ log P(z)/∂ logits.

    It is a tensor like the logits: [D] for Bernoulli(logits), [D, K] for Categorical(logits), of their type and on
    their device; computed in float64. Its attribute `route` is "closed form", where an objective has one, or
    "enumeration": the sum over all joint states, of which there may be 2^20.

    f               any callable that is given samples [n, D], or one-hot [n, D, K], and returns [n]: a function, a
                    module of torch, a method, a function of numpy arrays. Or an objective: an instance, its class, or a
                    selector such as "quadratic[target=0.45]". What does not take float64 is given float32.
                    Parameters in f do not matter: no gradient reaches them
    on              what f is a function of, where it is not the sample: "values" for the ordinal values k/(K − 1),
                    [n, D]. By default a function that takes no one-hot samples is given these

    UsageError where f is random, keeps state or mixes samples (dropout or batch norm in training mode), where it cannot
    be evaluated, and where there are too many joint states and no closed form.
    """
    problem = problem_of(f, distribution, on)
    with buffers_kept(problem.objective), Isolated("exact gradient"):
        found = problem.exact_gradient
    name = name_of(f) if not isinstance(f, str) else f
    if found is None or problem.route == "none":
        raise UsageError(
            f"there is no exact gradient: f ({name}) has no closed form, and the joint states, "
            f"{problem.distribution.classes}^{problem.D}, are more than {MAX_STATES}, the most that are enumerated. "
            "Take fewer variables, or an objective with `expectation`, E f(z) in closed form"
        )
    if not bool(found.isfinite().all()):
        raise UsageError(f"f ({name}) is NaN or infinite at some sample: no exact gradient")
    logits = distribution.logits
    gradient = cast("ExactGradient", found.view(logits.shape).to(logits))
    gradient.route = problem.route
    return gradient
