"""How the logits of a problem depend on its parameters: a linear map with a fixed Jacobian J, [n, P].

n is D or D K, the numbers in one sample. `vjp` makes gradients of the parameters of those of the logits, Jᵀ g; `jvp`
makes a change of the logits of one of the parameters, J v. Whatever stands between parameters and logits does it by
these two: variables that share their logits, inputs of a layer, an encoder at one example.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from estbench.distributions import Distribution
from estbench.rounding import rounding


class Parametrisation(Protocol):
    """A map from parameters to the logits of a distribution; a batch of logits may have a map for each entry."""

    def parameters(self, d: Distribution) -> int:
        """P."""
        ...

    def vjp(self, rows: Tensor, d: Distribution) -> Tensor:
        """Jᵀ g for gradients g [..., *event] of the logits: [..., P]. The batch axes, if any, come just before."""
        ...

    def jvp(self, v: Tensor, d: Distribution) -> Tensor:
        """J v for v [..., P]: [..., *event]."""
        ...


@dataclass(frozen=True)
class Free:
    """The parameters are the logits: J = 1."""

    def parameters(self, d: Distribution) -> int:
        """D or D K."""
        return math.prod(d.event_shape)

    def vjp(self, rows: Tensor, d: Distribution) -> Tensor:
        """The rows, flat."""
        return d.flatten(rows)

    def jvp(self, v: Tensor, d: Distribution) -> Tensor:
        """The same numbers in the shape of the logits."""
        return v.reshape(*v.shape[:-1], *d.event_shape)


@dataclass(frozen=True)
class Tied:
    """All variables share one logit, or one vector of K logits: J is a column of D identities."""

    def parameters(self, d: Distribution) -> int:
        """1 or K."""
        return math.prod(d.event_shape[1:])

    def vjp(self, rows: Tensor, d: Distribution) -> Tensor:
        """The sum over the variables; what cancels leaves 0, not rounding."""
        summed = rows.sum(-d.event_dim, keepdim=True)
        size = torch.linalg.vector_norm(rows, 1, -d.event_dim, keepdim=True).mul_(rounding(d.n_variables, rows.dtype))
        return d.flatten(summed.masked_fill_(summed.abs() <= size, 0.0))

    def jvp(self, v: Tensor, d: Distribution) -> Tensor:
        """The same numbers for each variable."""
        one = v.reshape(*v.shape[:-1], 1, *d.event_shape[1:])
        return one.expand(*v.shape[:-1], *d.event_shape)


@dataclass(frozen=True, eq=False)
class Jacobian:
    """Any J: [n, P], or [*batch, n, P] with one for each entry of the batch of logits."""

    J: Tensor

    def parameters(self, d: Distribution) -> int:
        """P."""
        del d
        return self.J.shape[-1]

    def vjp(self, rows: Tensor, d: Distribution) -> Tensor:
        """Jᵀ g."""
        return self.of_flat(d.flatten(rows))

    def of_flat(self, g: Tensor) -> Tensor:
        """Jᵀ g for g [..., n]: [..., P]."""
        product: Tensor = g.unsqueeze(-2) @ self.J.to(g.dtype)
        return product.squeeze(-2)

    def jvp(self, v: Tensor, d: Distribution) -> Tensor:
        """J v."""
        product: Tensor = self.J.to(v.dtype) @ v.unsqueeze(-1)
        return FREE.jvp(product.squeeze(-1), d)

    def with_flat_batch(self) -> Jacobian:
        """The same with one batch axis in place of several."""
        return self if self.J.ndim < 4 else Jacobian(self.J.flatten(0, -3))


FREE, TIED = Free(), Tied()
