"""A network of a user whose examples are drawn: one coin whose logit is x w, x = ±1, and f(z) = x z + c²/2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from estbench.distributions import Bernoulli
from estbench.errors import UsageError
from estbench.networks.base import Kind
from estbench.networks.data import Images
from estbench.parametrisation import Jacobian
from estbench.problem import Problem


@dataclass(frozen=True)
class Coins:
    """E f = σ(w) − ½ + c²/2 over all examples, with the derivatives σ′(w) and c."""

    draws_examples: ClassVar[bool] = True
    steps: int = 3
    start: float = 0.5

    def images(self, source: str) -> Images:
        """No table."""
        if source != "signs":
            raise UsageError("data: signs")
        return Images(torch.zeros(0, 1), torch.zeros(0, 1))

    def build(self, _: Images, kind: Kind, generators: Sequence[torch.Generator]) -> Coin:
        """The networks, all alike."""
        assert kind == Kind("bernoulli", 1)
        return Coin(len(generators), self.start)


class Coin(nn.Module):
    """w and c, [S, 1]."""

    part = "w"

    def __init__(self, seeds: int, start: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.full((seeds, 1), start, dtype=torch.float64))
        self.c = nn.Parameter(torch.ones(seeds, 1, dtype=torch.float64))

    def mean_loss(self) -> Tensor:
        """σ(w) − ½ + c²/2."""
        return (self.w.sigmoid() - 0.5 + self.c**2 / 2).detach().squeeze(1)

    def gradients(self) -> dict[str, Tensor]:
        """σ′(w) and c."""
        p = self.w.detach().sigmoid()
        return {"w": p * (1 - p), "c": self.c.detach().clone()}

    def examples(self, number: int, generator: torch.Generator) -> Problem:
        """Signs."""
        x = (2 * torch.randint(2, (number, 1), generator=generator) - 1).double().repeat(len(self.w), 1)
        w = self.w.detach().repeat_interleave(number, 0)
        return Problem(Bernoulli(x * w), Signed(x), jacobian=Jacobian(x.unsqueeze(-1)))

    def others(self, problem: Problem) -> dict[str, Tensor]:
        """c, for each example."""
        S = len(self.c)
        return {"c": self.c.detach().repeat_interleave(len(problem.distribution.logits) // S, 0)}


class Signed:
    """f(z) = x z."""

    on: Literal["flat"] = "flat"
    distributions = frozenset({"bernoulli"})

    def __init__(self, x: Tensor) -> None:
        self.x = x

    def value(self, z: Tensor) -> Tensor:
        """[..., R, N]."""
        return (z * self.x.unsqueeze(1)).sum(-1)


@dataclass(frozen=True)
class Signless(Coins):
    """Its model has no mean loss."""

    def build(self, _: Images, kind: Kind, generators: Sequence[torch.Generator]) -> nn.Linear:  # type: ignore[override]
        """Something else."""
        del kind
        return nn.Linear(1, len(generators))


@dataclass(frozen=True)
class Stepless:
    """It has no number of steps."""

    draws_examples: ClassVar[bool] = True
    images, build = Coins.images, Coins.build
    start: ClassVar[float] = 0.5


@dataclass(frozen=True)
class Wrong(Coins):
    """One member of its model is wrong, in the way of that number."""

    part: str = ""
    mean_loss: str = ""
    gradients: str = ""
    examples: str = ""
    others: str = ""

    def build(self, _: Images, kind: Kind, generators: Sequence[torch.Generator]) -> Coin:
        """The faulty networks."""
        del kind
        return Faulty(len(generators), self)


class Faulty(Coin):
    """The networks of `Wrong`."""

    def __init__(self, seeds: int, wrong: Wrong) -> None:
        super().__init__(seeds, 0.5)
        self.wrong = wrong
        self.part = wrong.part or "w"

    def mean_loss(self) -> Tensor:
        """Too many."""
        found = super().mean_loss()
        return torch.cat((found, found[:1])) if self.wrong.mean_loss else found

    def gradients(self) -> dict[str, Tensor]:
        """One is not there, or of another shape."""
        found = super().gradients()
        if self.wrong.gradients == "0":
            del found["c"]
        elif self.wrong.gradients:
            found["c"] = torch.ones(3, 1, dtype=torch.float64)
        return found

    def examples(self, number: int, generator: torch.Generator) -> Problem:
        """Without a Jacobian, or of one network."""
        found = super().examples(number, generator)
        if self.wrong.examples == "0":
            return Problem(found.distribution, found.objective)
        if self.wrong.examples:
            assert found.jacobian is not None
            some = Bernoulli(found.distribution.logits[:number])
            return Problem(some, found.objective, jacobian=Jacobian(found.jacobian.J[:number]))
        return found

    def others(self, problem: Problem) -> dict[str, Tensor]:
        """Of each network, and not of each example."""
        return {"c": self.c.detach()} if self.wrong.others else super().others(problem)
