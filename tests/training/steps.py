"""One training step, and the same by the estimators of the catalogue, example by example."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from estbench.distributions import DISTRIBUTIONS, Independent
from estbench.draws import Draw
from estbench.estimate import estimates
from estbench.estimators.base import Estimator
from estbench.problem import Problem
from estbench.streams import TorchStreams

SHAPES = {"bernoulli": (3,), "categorical": (2, 3)}
EXAMPLES = 4


def seeded(seed: int = 5) -> torch.Generator:
    """A generator."""
    return torch.Generator().manual_seed(seed)


def distribution_of(name: str, logits: Tensor) -> Independent:
    """The distribution of a name."""
    return DISTRIBUTIONS[name](logits)


def some_logits(name: str, variables: int | None = None, *batch: int) -> Tensor:
    """Logits [*batch, D(, K)] in float64, of four examples by default; they require a gradient."""
    D, *K = SHAPES[name]
    shape = (*(batch or (EXAMPLES,)), variables or D, *K)
    return torch.randn(shape, generator=seeded(1), dtype=torch.float64).requires_grad_()


class Network:
    """f(z) = Σ_h tanh(z V + x_b)_h (1 + h): every example b has an f of its own; V are its parameters."""

    def __init__(self, event: tuple[int, ...], batch: tuple[int, ...] = (EXAMPLES,)) -> None:
        P, g = math.prod(event), seeded(2)
        self.event_dim = len(event)
        self.V = torch.randn(P, 4, generator=g, dtype=torch.float64).requires_grad_()
        self.x = torch.randn(*batch, 1, 4, generator=g, dtype=torch.float64)

    def __call__(self, z: Tensor) -> Tensor:
        """[*batch, N, D(, K)] to [*batch, N]."""
        return self.of(z, self.V, self.x)

    def of(self, z: Tensor, V: Tensor, x: Tensor) -> Tensor:
        """The same with given parameters."""
        h = torch.tanh(z.flatten(-self.event_dim) @ V.to(z) + x.to(z))
        return h @ torch.arange(1, 5).to(h)


class One:
    """The f of one example as an objective of the house."""

    on: Literal["one-hot"] = "one-hot"
    distributions = frozenset({"bernoulli", "categorical"})

    def __init__(self, network: Network, example: int) -> None:
        self.network, self.x = network, network.x[example, 0]

    def value(self, v: Tensor) -> Tensor:
        """f(v)."""
        return self.network.of(v, self.network.V.detach(), self.x)


class Row(TorchStreams):
    """What one example gets of the numbers that a whole step reads."""

    def __init__(self, generator: torch.Generator, example: int) -> None:
        super().__init__(torch.device("cpu"), generator)
        self.example = example

    def uniform(
        self, name: str, rows: int, *shape: int, dtype: torch.dtype = torch.float64, reader: str = ""
    ) -> Tensor:
        """Its row."""
        del reader
        assert rows == 1
        return super().uniform(name, EXAMPLES, *shape, dtype=dtype)[self.example :][:1]


def by_the_house(
    estimator: Estimator, name: str, logits: Tensor, network: Network, N: int, *, z_first: bool
) -> tuple[Tensor, list[Draw]]:
    """ĝ [examples, D(, K)] of each example alone, without batch axes, from the numbers of `seeded()`; and its draws."""
    found, draws = [], []
    for b in range(EXAMPLES):
        problem = Problem(distribution_of(name, logits.detach()[b]), One(network, b))
        draw = Draw(problem, 1, N, streams=Row(seeded(), b))
        if z_first:  # a step that takes values of f at the samples draws them first
            assert draw.z.numel()
        found.append(estimates(estimator, draw, [N])[0].view(logits.shape[1:]))
        draws.append(draw)
    return torch.stack(found), draws


def options(text: dict[str, Any]) -> str:
    """Options as they stand in brackets."""
    inside = ",".join(f"{o}={str(v).lower() if isinstance(v, bool) else v}" for o, v in text.items())
    return f"[{inside}]" if inside else ""
