"""Whether the mean of an estimator is the gradient of some function of the logits, for any f."""

from __future__ import annotations

import torch
from torch import Tensor

from estbench.api.problem import F, problem_of
from estbench.distributions import Distribution
from estbench.errors import UsageError
from estbench.estimators.base import Estimator
from estbench.exact import Unavailable
from estbench.exact.curl import STEP
from estbench.exact.curl import curl as of_problem
from estbench.isolation import Isolated
from estbench.objectives.function import On
from estbench.objectives.training_mode import buffers_kept
from estbench.training.chosen import choose


@torch.inference_mode(mode=False)
def curl(
    estimator: Estimator | str,
    f: F,
    distribution: Distribution,
    samples: int = 1,
    *,
    step: float = STEP,
    on: On | None = None,
) -> Tensor:
    """‖J − Jᵀ‖/‖J + Jᵀ‖ with J = ∂E ĝ(φ)/∂φ, Frobenius norms, at each vector of logits: [*batch_shape] in float64.

    A field is the gradient of a function exactly if its Jacobian is symmetric everywhere. An unbiased estimator has 0:
    its mean is the gradient of E f. Where a biased one has not, following its mean minimises no function of the logits.

    estimator     a name with options, such as "ste[proxy=identity]", or an estimator
    f, on         as `exact_gradient` takes them
    distribution  Bernoulli(logits) or Categorical(logits), with any batch axes
    samples       N
    step          h of the central differences of exact means; their error is near h² times a third derivative, plus
                  1e-16/h of rounding. Asymmetry below 1e-14 ‖E ĝ‖/h counts as 0

    UsageError where the exact mean of the estimator is not found by enumeration: where it reads noise beside the
    samples, and where there are too many joint states; and for what `exact_gradient` and `expectation` refuse.
    """
    with Isolated("curl"):
        chosen = choose(estimator)
    chosen.serves(distribution, samples)
    problem = problem_of(f, distribution, on)
    d = problem.distribution
    flat = problem.at(d.logits.reshape(-1, *d.event_shape))
    try:
        with buffers_kept(problem.objective), Isolated("curl"):
            return of_problem(flat, chosen.estimator, samples, step).view(d.batch_shape)
    except Unavailable as why:
        raise UsageError(f"the curl of {chosen.text} is not known: {why}") from None
