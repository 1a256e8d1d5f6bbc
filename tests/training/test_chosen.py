"""Estimators by name in training: what a name stands for now, not what it stood for once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch import Tensor

from estbench.distributions import Bernoulli
from estbench.estimators.control_variate.rebar import Rebar
from estbench.training import expectation

SOURCE = """
from dataclasses import dataclass
from estbench.estimators.base import Facts

@dataclass(frozen=True)
class Mine:
    factor: float = 1.0

    @property
    def facts(self):
        return Facts("score function", f=1)

    def rows(self, draw):
        return {times} * self.factor * draw.lift(draw.fz) * draw.score

mine = Mine(factor={factor})
"""


@pytest.mark.parametrize("thing", ["Mine", "mine"])
def test_a_class_that_is_written_anew_gives_new_numbers(
    thing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a name that was used before: with twice the rows, or as an instance with another option, ĝ is as it is now."""
    monkeypatch.chdir(tmp_path)
    file, name = tmp_path / f"anew_{thing}_x.py", f"anew_{thing}_x.py:{thing}"

    def gradient() -> Tensor:
        logits = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
        generator = torch.Generator().manual_seed(0)
        value = expectation(lambda z: z.sum(-1) + 1, Bernoulli(logits), name, generator=generator)
        (g,) = torch.autograd.grad(value.sum(), logits)
        return g

    file.write_text(SOURCE.format(times=1, factor=1.0))
    first = gradient()
    for i, (times, factor) in enumerate(((2, 1.0), (2, 3.0)), start=1):
        file.write_text(SOURCE.format(times=times, factor=factor))
        os.utime(file, ns=(i, i))
        assert torch.equal(gradient(), first * times * (factor if thing == "mine" else 1.0))


def test_a_temperature_replaces_that_at_which_rebar_was_fitted() -> None:
    """η as it was fitted, at the temperature that is given."""
    found = []
    for rebar in (Rebar(fitted=(0.5, 0.8)), Rebar(eta=0.8)):
        logits = torch.zeros(4, 3, dtype=torch.float64, requires_grad=True)
        generator = torch.Generator().manual_seed(0)
        value = expectation(
            lambda z: (z - 0.3).square().sum(-1).exp(), Bernoulli(logits), rebar, temperature=0.1, generator=generator
        )
        found.append(torch.autograd.grad(value.sum(), logits)[0])
    assert torch.equal(*found)
