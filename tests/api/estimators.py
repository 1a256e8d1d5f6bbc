"""Estimators of users: a dataclass, a class without options, functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from estbench.draws import Draw
from estbench.estimators.base import Facts

SCORE = Facts("score function", f=1)


@dataclass(frozen=True)
class Scaled:
    """`scale` times REINFORCE."""

    scale: float = 1.0

    facts: ClassVar[Facts] = Facts("score function", f=1, unbiased=False)

    def rows(self, draw: Draw) -> Tensor:
        """scale f(z) s(z)."""
        return self.scale * draw.lift(draw.fz) * draw.score


@dataclass(frozen=True)
class Warm:
    """τ times REINFORCE."""

    temperature: float

    facts: ClassVar[Facts] = Facts("score function", f=1, unbiased=False)

    def rows(self, draw: Draw) -> Tensor:
        """τ f(z) s(z)."""
        return self.temperature * draw.lift(draw.fz) * draw.score


class Plain:
    """REINFORCE, in a class that is no dataclass."""

    facts = SCORE

    def rows(self, draw: Draw) -> Tensor:
        """f(z) s(z)."""
        return draw.lift(draw.fz) * draw.score


class Fails(Plain):
    """It raises."""

    def rows(self, draw: Draw) -> Tensor:
        """Nothing."""
        raise RuntimeError(f"out of luck with {draw.N}")


def with_torch(logits: Tensor, f: object, samples: int) -> Tensor:
    """REINFORCE with samples from torch's global generator."""
    p = torch.sigmoid(logits)
    z = (torch.rand(samples, len(logits), dtype=p.dtype) < p).to(p.dtype)
    return (f(z)[:, None] * (z - p)).mean(0)  # type: ignore[operator, no-any-return] # f is a function


@dataclass(frozen=True)
class Noisy(Scaled):
    """REINFORCE that draws numbers which it does not use, wherever it is asked."""

    @property
    def facts(self) -> Facts:  # type: ignore[override]
        """Those of REINFORCE."""
        torch.rand(3)
        return SCORE

    def rows(self, draw: Draw) -> Tensor:
        """f(z) s(z)."""
        np.random.rand(3)
        return super().rows(draw)
