"""What code of users has changed of the tensors that all estimators share."""

from __future__ import annotations

import math

import pytest
import torch

from estbench.draws import Draw
from estbench.engine.purity import held, replaced
from estbench.objectives.quadratic import Quadratic
from estbench.problem import make
from estbench.streams import Streams


@pytest.mark.parametrize("written", [math.nan, 1e-300, 1.0])
def test_any_other_number_over_0_is_seen(written: float) -> None:
    """A write through numpy memory shows in the copies, also of NaN and of next to nothing; NaN left alone does not."""
    problem = make(Quadratic(), torch.tensor([0.5, -1.0], dtype=torch.float64), "bernoulli")
    draw = Draw(problem, 8, 2, streams=Streams(0, "purity", range(1)))
    z, score = draw.z.numpy(), draw.score.numpy()
    score[0, 0, 0] = math.nan
    before = held(draw, copies=True)
    assert replaced(draw, before) == []
    z[z == 0] = written
    assert replaced(draw, before) == ["z"]
