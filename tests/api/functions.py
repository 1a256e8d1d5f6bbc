"""Functions f of samples, of the kinds that users have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

LOGITS = [0.5, -1.0, 2.0]
ROWS = [[0.5, -1.0, 0.3], [1.0, 0.0, -0.5]]


def coupled(z: Tensor) -> Tensor:
    """Σ_d (z_d − 0.45)² + z_1 z_D: [n, D] to [n]."""
    return ((z - 0.45) ** 2).sum(-1) + z[:, 0] * z[:, -1]


def coupled_numpy(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same of an array."""
    found: NDArray[np.float64] = (np.square(z - 0.45).sum(-1) + z[:, 0] * z[:, -1]).astype(np.float64)
    return found


def of_classes(z: Tensor) -> Tensor:
    """Of one-hot samples: Σ_dk (d + 1) k² z_dk + z_11 z_21: [n, D, K] to [n]."""
    d, k = (torch.arange(n, dtype=z.dtype) for n in z.shape[1:])
    return (z * k**2 * (d + 1).unsqueeze(-1)).sum((-1, -2)) + z[:, 0, 0] * z[:, 1, 0]


class Energy:
    """An object whose method is f."""

    def __init__(self, weight: float) -> None:
        self.weight = weight

    def of(self, z: Tensor) -> Tensor:
        """weight · f(z)."""
        return self.weight * coupled(z)


class Weighted:
    """An object that is f."""

    def __init__(self, weight: float) -> None:
        self.weight = weight

    def __call__(self, z: Tensor) -> Tensor:
        """weight · f(z)."""
        return self.weight * coupled(z)


@dataclass(frozen=True)
class Called:
    """The same with an option."""

    scale: float = 1.0

    def __call__(self, z: Tensor) -> Tensor:
        """scale · f(z)."""
        return self.scale * coupled(z)


class Counting(nn.Module):
    """A module that counts its calls, and draws numbers that it does not use."""

    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, z: Tensor) -> Tensor:
        """f(z)."""
        self.calls += 1
        return noisy(z)


def noisy(z: Tensor) -> Tensor:
    """f(z), after numbers from the global generators."""
    torch.rand(3)
    np.random.rand(3)
    return coupled(z)


def network(inputs: int, *more: nn.Module, dtype: torch.dtype = torch.float32) -> nn.Module:
    """A small network [n, inputs] to [n, 1], always the same."""
    linear = [nn.Linear(inputs, 5), nn.Linear(5, 1)]
    with torch.no_grad():
        for i, layer in enumerate(linear):
            for parameter in layer.parameters():
                parameter.copy_(torch.sin(torch.arange(parameter.numel()) + i + 1.0).view(parameter.shape))
    return nn.Sequential(linear[0], nn.Tanh(), *more, linear[1]).to(dtype)
