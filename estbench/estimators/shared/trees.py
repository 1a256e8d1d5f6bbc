"""Binary trees over the classes: a categorical as K − 1 Bernoulli nodes, each with an antithetic twin.

Node n splits its classes into L_n and R_n, with logit α_n = log π(R_n) − log π(L_n) and s_n = σ(α_n). The turn
b_n = 1[u_n < s_n], 1 being right, has the twin b̃_n = 1[1 − u_n < s_n]. From the root, b leads to the class z, b̃ to z̃.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from estbench.distributions import Independent
from estbench.distributions.tables import table
from estbench.draws import Draw, per_variable

NODES = "trees/nodes"
"""The stream of the nodes' uniforms, shared by all estimators on trees."""

Order = Literal["ascending", "descending", "index"]


@dataclass(frozen=True, eq=False)
class Tree:
    """`side` [D, K − 1, K]: 1 where class c is in R_n, −1 where it is in L_n, else 0; `log_mean` [D, K]: log π.

    Of batched logits all tables have the axes [R, 1] first.
    """

    side: Tensor
    log_mean: Tensor

    def _only(self, side: int) -> Tensor:
        return self.log_mean.unsqueeze(-2).masked_fill(self.side != side, -torch.inf)

    @cached_property
    def alpha(self) -> Tensor:
        """α_n, [D, K − 1]."""
        return self._only(1).logsumexp(-1) - self._only(-1).logsumexp(-1)

    @cached_property
    def d_alpha(self) -> Tensor:
        """∂α_n/∂θ_c = π_c/π(R_n) for c ∈ R_n, −π_c/π(L_n) for c ∈ L_n, else 0: [D, K − 1, K]."""
        return torch.softmax(self._only(1), -1) - torch.softmax(self._only(-1), -1)

    @cached_property
    def s(self) -> Tensor:
        """s_n, the probability of going right: [D, K − 1]."""
        return torch.sigmoid(self.alpha)

    def leaf(self, b: Tensor) -> Tensor:
        """The class that the turns b [R, N, D, K − 1] lead to: the one all of whose nodes turn its way; one-hot."""
        rights = (self.side > 0).sum(-2)  # [D, K]
        z = b.new_empty(*b.shape[:-1], rights.shape[-1])
        return torch.eq(per_variable(b, self.side), rights, out=z)

    def coupled(self, draw: Draw) -> tuple[Tensor, Tensor]:
        """z and z̃, one-hot [R, N, D, K]."""
        u = nodes(draw)
        z, z_twin = (self.leaf(torch.lt(v, self.s, out=torch.empty_like(v))) for v in (u, 1 - u))
        return z, z_twin

    def parting(self, z: Tensor, z_twin: Tensor) -> Tensor:
        """b_n − b̃_n at the node where the ways to z and z̃ part, 0 at all others: [R, N, D, K − 1]."""
        sides = per_variable(z - z_twin, self.side.mT)  # ±2 where they part, ±1 where one comes through
        return sides.div_(2).trunc_()

    def breakpoints(self) -> dict[str, list[Tensor]]:
        """Where estimates jump in u_n: at s_n and 1 − s_n (D = 1)."""
        return {NODES: [torch.stack((s, 1 - s)) for s in self.s[0]]}


def nodes(draw: Draw) -> Tensor:
    """The uniforms u_n, [R, N, D, K − 1]."""
    D, K = draw.distribution.event_shape
    return draw.uniform(NODES, D * (K - 1)).view(draw.R, draw.N, D, K - 1)


def disarm(draw: Draw, tree: Tree) -> Tensor:
    """(f(z) − f(z̃)) Σ_n h_n ∂α_n/∂θ, [R, N, D, K] (Dong, Mnih & Tucker 2021).

    h_n = ½ (b_n − b̃_n) max(s_n, 1 − s_n) where n is on the ways to both z and z̃, ½ (b_n − s_n) where it is on that to z
    alone, −½ (b̃_n − s_n) where it is on that to z̃ alone. As Σ (b_n − s_n) ∂α_n/∂θ over the whole way to z is z − π, the
    sum is ½ (z − z̃) less ½ (b_n − b̃_n) min(s_n, 1 − s_n) ∂α_n/∂θ of the one node n where the ways part.
    """
    z, z_twin = tree.coupled(draw)
    difference = draw.problem.difference(draw.problem.f(z), draw.problem.f(z_twin))
    common = torch.sigmoid(-tree.alpha.abs()).unsqueeze(-1) * tree.d_alpha  # min(s, 1 − s) ∂α/∂θ: [D, K − 1, K]
    less = per_variable(tree.parting(z, z_twin), common)
    return draw.lift(difference / 2) * (z - z_twin - less)


@table
def sticks(distribution: Independent, order: Order) -> Tree:
    """Stick-breaking: node n turns right to the n-th class in the order of π, left to all later ones."""
    theta = distribution.align(distribution.logits)
    key = {"ascending": theta, "descending": -theta, "index": torch.zeros_like(theta)}[order]
    position = key.argsort(dim=-1, stable=True).argsort(-1).unsqueeze(-2)  # of each class: [D, 1, K]
    n = torch.arange(distribution.classes - 1, device=theta.device).unsqueeze(-1)
    return Tree((position == n).to(theta) - (position > n).to(theta), distribution.align(distribution.log_mean))


@table
def halves(distribution: Independent) -> Tree:
    """A balanced tree: a node with the classes a, …, b − 1 splits them at ⌊(a + b)/2⌋, the upper half to the right."""
    K = distribution.classes
    a, middle, b = torch.tensor([*_splits(0, K)], device=distribution.logits.device).T.unsqueeze(-1)  # each [K − 1, 1]
    c = torch.arange(K, device=distribution.logits.device)
    side = ((middle <= c) & (c < b)).to(distribution.logits) - ((a <= c) & (c < middle)).to(distribution.logits)
    log_mean = distribution.align(distribution.log_mean)
    return Tree(side.expand(*log_mean.shape[:-1], -1, -1), log_mean)


def _splits(a: int, b: int) -> Iterator[tuple[int, int, int]]:
    if b - a > 1:
        middle = (a + b) // 2
        yield a, middle, b
        yield from _splits(a, middle)
        yield from _splits(middle, b)
