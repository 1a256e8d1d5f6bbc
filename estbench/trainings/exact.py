"""Exact gradients of a batch, and the exact bias and variance of estimates of it, by enumeration of joint states.

The logits of example b are a function of the parameters θ with the Jacobian J_b = ∂logits_b/∂θ. Of an estimator whose
rows depend on the samples alone, with mean m_b and covariance C_b at the logits of example b, the gradient of the mean
loss over B examples has the bias 1/B Σ_b J_bᵀ (m_b − g_b), g_b = ∂E f/∂logits_b, and the total variance
1/(B² N) Σ_b tr(C_b J_b J_bᵀ) with N samples: examples are independent.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from estbench.draws import Draw
from estbench.estimators.base import Estimator, RowEstimator
from estbench.exact import Unavailable
from estbench.networks.base import Function, Kind, OneLayer, exactly
from estbench.networks.gradients import LOGITS, chosen, copies, gradients
from estbench.parametrisation import Jacobian
from estbench.problem import Problem
from estbench.training.given import Given
from estbench.training.precision import Autocast

_NUMBERS = 2**22
"""Numbers in the rows of some examples at all joint states, which are found at once."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Examples x [1, B, pixels] with labels y [1, B] of one network, in float64, and a part of its parameters.

    true  the exact gradient of the mean loss with respect to that part, [P]
    """

    model: Any
    kind: Kind
    x: Tensor
    y: Tensor | None
    part: str
    true: Tensor
    route: ClassVar[str] = "enumeration"

    @classmethod
    def of(cls, model: Any, kind: Kind, x: Tensor, y: Tensor | None, part: str, seed: int = 0) -> Batch:
        """The batch x [B, pixels], y [B] at one seed of a network; `part` as `gradients.chosen` takes it."""
        one = copies(model, seed, 1)
        x, y = x.double().unsqueeze(0), None if y is None else y.unsqueeze(0)
        return cls(one, kind, x, y, part, gradients(one, kind, part, x, y, exactly)[0])

    @cached_property
    def jacobian(self) -> Jacobian:
        """J_b of each example, [B, n, P] with n = D or D K; a copy of the network for each example keeps them apart."""
        B, n = self.x.shape[1], self.kind.numbers
        if self.part == LOGITS:
            return Jacobian(torch.eye(B * n, dtype=self.x.dtype).view(B, n, B * n))
        each = copies(self.model, 0, B)
        logits = each.logits(self.x.transpose(0, 1)).flatten(1)  # [B, n]
        parameters = chosen(each, self.part)
        rows = []
        for column in logits.unbind(1):
            found = torch.autograd.grad(column.sum(), parameters, retain_graph=True, materialize_grads=True)
            rows.append(torch.cat([g.flatten(1) for g in found], 1))
        return Jacobian(torch.stack(rows, 1))

    @cached_property
    def of_logits(self) -> Tensor:
        """g_b = ∂E f/∂logits_b, [B, n]."""
        leaf = self.model.logits(self.x).detach().requires_grad_()
        expected = exactly(self.model.f(self.x, self.y), self.kind.of(leaf.flatten(2)))
        (g,) = torch.autograd.grad(expected.sum(), leaf)
        found: Tensor = g.reshape(-1, self.kind.numbers)
        return found


def why_not(batch: Batch, estimator: Estimator) -> str | None:
    """Why there are no exact moments of an estimator there; None if there are."""
    if not isinstance(batch.model, OneLayer):
        return "exact moments in a network: of one layer of discrete variables"
    if batch.part != LOGITS and not _of_logits(batch):
        return f"exact moments in a network: of parameters that the logits depend on, and f of {batch.part} does too"
    if not isinstance(estimator, RowEstimator) or estimator.facts.exact != "z" or estimator.facts.noise:
        return "exact moments in a network: of means of rows that depend on the samples alone"
    return None


def _of_logits(batch: Batch) -> bool:
    """Whether the part has a share in the logits alone, and none in f."""
    parameters = chosen(batch.model, batch.part)
    z = batch.kind.of(batch.model.logits(batch.x).flatten(2)).mode.unsqueeze(-1 - batch.kind.event_dim).detach()
    value = batch.model.f(batch.x, batch.y)(z).sum()
    if not value.requires_grad:
        return True
    return all(g is None for g in torch.autograd.grad(value, parameters, allow_unused=True))


def moments(batch: Batch, estimator: Estimator, samples: int) -> tuple[Tensor, float]:
    """(bias [P], total variance) of the gradient of the batch with N samples an example; `Unavailable` if unknown."""
    if (reason := why_not(batch, estimator)) is not None:
        raise Unavailable(reason)
    assert isinstance(estimator, RowEstimator)
    mean, covariance = at_examples(batch, estimator)
    jacobian, B = batch.jacobian, batch.x.shape[1]
    bias = jacobian.of_flat(mean - batch.of_logits).mean(0)
    return bias, float((covariance * (jacobian.J @ jacobian.J.mT)).sum()) / B**2 / samples


def at_examples(batch: Batch, estimator: RowEstimator) -> tuple[Tensor, Tensor]:
    """Mean [B, n] and covariance [B, n, n] of one row of the estimator at the logits of each example."""
    with torch.no_grad():
        logits = batch.model.logits(batch.x)[0].flatten(1)
    step = max(1, _NUMBERS // (batch.kind.states * batch.kind.numbers))
    found = [_some(batch, estimator, logits, slice(b, b + step)) for b in range(0, len(logits), step)]
    means, covariances = zip(*found, strict=True)
    return torch.cat(means), torch.cat(covariances)


def _some(batch: Batch, estimator: RowEstimator, logits: Tensor, at: slice) -> tuple[Tensor, Tensor]:
    problem = problem_at(batch, at, logits)
    variables = problem.distribution
    states = variables.states().to(logits)
    R, M = len(variables.logits), len(states)
    draw = Draw(problem, R, M, z=states.expand(R, *states.shape).contiguous())
    with torch.no_grad():
        rows = estimator.rows(draw).reshape(R, M, -1)
    P = variables.log_prob(states).exp().unsqueeze(-1)  # [R, M, 1]
    mean = (P * rows).sum(1)
    centred = rows - mean.unsqueeze(1)
    return mean, (P * centred).mT @ centred


def problem_at(batch: Batch, at: slice | Tensor, logits: Tensor | None = None) -> Problem:
    """Some examples as a problem with a batch of logits, which are found where they are not given for all, [B, n]."""
    if logits is None:
        with torch.no_grad():
            logits = batch.model.logits(batch.x)[0].flatten(1)
    f = batch.model.f(batch.x[:, at], None if batch.y is None else batch.y[:, at])
    variables = batch.kind.of(logits[at])
    return Problem(variables, Given(_without_seeds(f), variables, None, Autocast.now(variables.logits.device)))


def _without_seeds(f: Function) -> Any:
    """The function of one seed, without the axis of the seeds."""
    return lambda z: f(z.unsqueeze(0)).squeeze(0)
