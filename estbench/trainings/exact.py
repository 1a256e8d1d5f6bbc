"""Exact bias and variance of the gradient of a batch, by enumeration of the joint states of each example.

The logits of example b are a function of the parameters θ with Jacobian J_b = ∂logits_b/∂θ. Of an estimator whose rows
depend on the samples alone, with mean m_b and covariance C_b at the logits of example b, the gradient of the mean loss
over B examples has the bias 1/B Σ_b J_bᵀ (m_b − g_b), g_b = ∂E f/∂logits_b, and the total variance
1/(B² N) Σ_b tr(C_b J_b J_bᵀ) with N samples: examples are independent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from estbench.draws import Draw
from estbench.estimators.base import RowEstimator
from estbench.networks.base import Function, Kind, OneLayer, exactly
from estbench.networks.gradients import chosen, copies, gradients
from estbench.problem import Problem
from estbench.training.given import Given

_NUMBERS = 2**22  # of the estimates of some examples at all states


@dataclass(frozen=True, eq=False)
class Batch:
    """Examples of one network, in float64, and what the exact moments of every estimator there have in common.

    true      the exact gradient of the mean loss, [P]
    J         the Jacobian of the logits of each example, [B, n, P]; n = D or D K
    g         the exact gradient of E f with respect to the logits of each example, [B, n]
    """

    model: Any
    kind: Kind
    x: Tensor
    y: Tensor | None
    true: Tensor
    J: Tensor
    g: Tensor

    @classmethod
    def of(cls, model: nn.Module, kind: Kind, x: Tensor, y: Tensor | None, part: str, seed: int = 0) -> Batch:
        """The batch x [B, pixels] at one seed of a network; `part` as `gradients.chosen` takes it."""
        one: Any = copies(model, seed, 1)
        assert isinstance(one, OneLayer)
        x = x.double().unsqueeze(0)
        y = None if y is None else y.unsqueeze(0)
        true = gradients(one, chosen(one, part), x, y, exactly)[0]
        leaf = one.logits(x).detach().requires_grad_()
        (g,) = torch.autograd.grad(exactly(one.f(x, y), kind.of(leaf.flatten(2))).sum(), leaf)
        return cls(one, kind, x, y, true, jacobian(model, part, x[0], seed), g.reshape(len(x[0]), -1))


def jacobian(model: nn.Module, part: str, x: Tensor, seed: int = 0) -> Tensor:
    """∂logits_b/∂θ of each example: [B, n, P], with a copy of the network for each example."""
    each: Any = copies(model, seed, len(x))
    logits = each.logits(x.unsqueeze(1)).flatten(1)  # [B, n]
    parameters = chosen(each, part)
    rows = [
        torch.cat(
            [
                g.flatten(1)
                for g in torch.autograd.grad(column.sum(), parameters, retain_graph=True, materialize_grads=True)
            ],
            1,
        )
        for column in logits.unbind(1)
    ]
    return torch.stack(rows, 1)


def moments(batch: Batch, estimator: RowEstimator, samples: int) -> tuple[Tensor, float]:
    """(bias [P], total variance) of the gradient of the batch with N samples an example."""
    mean, covariance = at_examples(batch, estimator)
    B, JJ = len(batch.J), batch.J @ batch.J.mT
    bias = torch.einsum("bnp,bn->p", batch.J, mean - batch.g) / B
    return bias, float((covariance * JJ).sum()) / B**2 / samples


def at_examples(batch: Batch, estimator: RowEstimator) -> tuple[Tensor, Tensor]:
    """Mean [B, n] and covariance [B, n, n] of one row of the estimator at the logits of each example."""
    with torch.no_grad():
        logits = batch.model.logits(batch.x)[0]
    n, M = batch.kind.numbers, batch.kind.of(logits[0].flatten()).n_states
    step = max(1, _NUMBERS // (M * n))
    found = [_some(batch, estimator, logits, slice(b, b + step)) for b in range(0, len(logits), step)]
    means, covariances = zip(*found, strict=True)
    return torch.cat(means), torch.cat(covariances)


def _some(batch: Batch, estimator: RowEstimator, logits: Tensor, at: slice) -> tuple[Tensor, Tensor]:
    y = None if batch.y is None else batch.y[:, at]
    f = batch.model.f(batch.x[:, at], y)
    variables = batch.kind.of(logits[at].flatten(1))
    states = variables.states().to(logits)
    R, M = len(logits[at]), len(states)
    given = Given(_without_seeds(f), variables, None)
    draw = Draw(Problem(variables, given), R, M, z=states.expand(R, *states.shape).contiguous())
    with torch.no_grad():
        rows = estimator.rows(draw).reshape(R, M, -1)
    P = variables.log_prob(states).exp().unsqueeze(-1)  # [R, M, 1]
    mean = (P * rows).sum(1)
    centred = rows - mean.unsqueeze(1)
    return mean, (P * centred).mT @ centred


def _without_seeds(f: Function) -> Any:
    """The function of one seed, without the axis of the seeds."""
    return lambda z: f(z.unsqueeze(0)).squeeze(0)


