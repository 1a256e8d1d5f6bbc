"""Estimators whose mean is right at ordinary logits, and that are wrong in another way."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from estbench.draws import Draw
from estbench.estimators.base import BERNOULLI, Facts

REINFORCE = Facts("score function", BERNOULLI, f=1)


@dataclass(frozen=True)
class InPlace:
    """It subtracts a constant from the values of f that all share."""

    facts: ClassVar[Facts] = REINFORCE

    def rows(self, draw: Draw) -> Tensor:
        """(f − 1) s, written into f."""
        draw.fz.sub_(1.0)
        return draw.lift(draw.fz) * draw.score


@dataclass(frozen=True)
class Unstable:
    """The score by way of probabilities: 0/0 where they round."""

    facts: ClassVar[Facts] = REINFORCE

    def rows(self, draw: Draw) -> Tensor:
        """f (z/p − (1 − z)/(1 − p)) p (1 − p), 0/0 at large logits."""
        p = draw.distribution.mean
        q = 1 - p
        return draw.lift(draw.fz) * (draw.z / p * (p * q) - (1 - draw.z) * (p * q) / q)


@dataclass(frozen=True)
class DefaultType:
    """A tensor of the default type."""

    facts: ClassVar[Facts] = REINFORCE

    def rows(self, draw: Draw) -> Tensor:
        """In float64 whatever the logits are."""
        return (draw.lift(draw.fz) * draw.score).double()


@dataclass(frozen=True)
class FrontAxes:
    """The logits are taken to have no batch axis."""

    facts: ClassVar[Facts] = REINFORCE

    def rows(self, draw: Draw) -> Tensor:
        """f (z − p), with p of the first logits."""
        p = torch.sigmoid(draw.distribution.logits.reshape(-1, draw.problem.D)[0] * 1.0)
        if draw.distribution.batch_shape:
            p = p + 0.1
        return draw.lift(draw.fz) * (draw.z - p)


@dataclass(frozen=True)
class Flattened:
    """It asks for logits that are contiguous."""

    facts: ClassVar[Facts] = REINFORCE

    def rows(self, draw: Draw) -> Tensor:
        """`view` of what may not be contiguous."""
        logits = draw.distribution.logits
        p = torch.sigmoid(torch.as_strided(logits, logits.shape, torch.empty(logits.shape).stride()))
        return draw.lift(draw.fz) * (draw.z - p)


@dataclass(frozen=True)
class Stateful:
    """It counts its calls."""

    facts: ClassVar[Facts] = REINFORCE
    calls: ClassVar[list[int]] = []

    def rows(self, draw: Draw) -> Tensor:
        """(f − number of calls) s."""
        self.calls.append(1)
        return draw.lift(draw.fz - 0.01 * len(self.calls)) * draw.score


@dataclass(frozen=True)
class Undeclared:
    """It evaluates f twice."""

    facts: ClassVar[Facts] = REINFORCE

    def rows(self, draw: Draw) -> Tensor:
        """f(z) s, where f is asked once more."""
        return draw.lift(draw.problem.f(draw.z) + 0 * draw.fz) * draw.score


@dataclass(frozen=True)
class Ordered:
    """Only the last variable has a gradient."""

    facts: ClassVar[Facts] = REINFORCE

    def rows(self, draw: Draw) -> Tensor:
        """f s of the last variable alone."""
        s = draw.score.clone()
        s[..., :-1] = 0.0
        return draw.lift(draw.fz) * s


FAULTY = (
    (InPlace, "in_place"),
    (Unstable, "extreme"),
    (DefaultType, "float32"),
    (FrontAxes, "layout"),
    (Flattened, "layout"),
    (Stateful, "state"),
    (Undeclared, "cost"),
    (Ordered, "some_zero"),
)
