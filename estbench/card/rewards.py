"""How advantages change with the rewards: E A_n s(z_n) = g where A_n = r_n − b_n, and b_n does not depend on r_n."""

from __future__ import annotations

import torch
from torch import Tensor

from estbench.adapters import Adapted
from estbench.adapters.groups import Groups
from estbench.estimators.base import Estimator

STEP = 1e-4
CLOSE = 1e-3
SEEDS = 16


def by_rewards(estimator: Estimator, N: int, D: int) -> tuple[str, str] | None:
    """The cause of a bias, from how advantages change with single rewards: its key and what to look for."""
    assert isinstance(estimator, Adapted)
    groups = Groups(estimator.function, D, estimator.found.array)
    J = torch.stack([responses(groups, N, number) for number in range(SEEDS if estimator.found.random else 1)])
    own = J.diagonal(dim1=-2, dim2=-1)
    strongest = J.abs().argmax(-2)
    other = (strongest != torch.arange(N)) & (J.abs().amax(-2) > 2 * own.abs() + CLOSE)
    if 2 * int(other.sum()) > other.numel():
        return "order", (
            "advantages do not stand at the places of their rewards: that of a sample follows the reward of another "
            "one (a sort, a flip, a shuffle, a wrong index)"
        )
    if bool(((own - 1).abs() <= CLOSE).all()):
        return None
    low, high = float(own.min()), float(own.max())
    by = f"{low:.2g}" if high - low <= CLOSE else f"{low:.2g} to {high:.2g}, by the sample,"
    return "own_reward", (
        f"A_n changes by {by} where its own reward r_n alone grows by 1, and must by 1: what is subtracted, or divided "
        "by, depends on the sample's own reward"
    )


def responses(groups: Groups, N: int, number: int) -> Tensor:
    """∂A_n/∂r_m, [N, N], at rewards that all differ, with the random numbers of a seed; of tokens the mean."""
    r = torch.sin(torch.arange(1.0, N + 1, dtype=torch.float64) * 2.4)
    columns = []
    for m in range(N):
        step = torch.zeros_like(r)
        step[m] = STEP
        columns.append((groups.one(r + step, number) - groups.one(r - step, number)) / (2 * STEP))
    return torch.stack(columns, 1).view(N, N, -1).mean(-1)
