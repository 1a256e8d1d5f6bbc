"""What code of users has changed of the tensors that all estimators share."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from estbench.distributions import Bernoulli
from estbench.draws import Draw
from estbench.engine.purity import ImpureError, demand_purity, held, replaced
from estbench.objectives.function import function_of
from estbench.objectives.quadratic import Quadratic
from estbench.problem import Problem, make
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


@pytest.mark.parametrize(("dtype", "mixed"), [(torch.float64, 1e-8), (torch.float32, 1e-4), (torch.bfloat16, 0.2)])
def test_rows_differ_by_rounding_of_the_type_in_which_f_computes(dtype: torch.dtype, mixed: float) -> None:
    """A mean in float64 of what is computed in a coarser type may change by it in another batch, and by no more."""
    W = torch.linspace(-1, 1, 24, dtype=dtype).view(3, 8)

    def problem(part: float) -> Problem:
        def f(z: Tensor) -> Tensor:  # large batches are computed otherwise
            return torch.tanh(z.to(dtype) @ W).double().mean(-1) * (1 + part * (len(z) > 100))

        d = Bernoulli(torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64))
        return Problem(d, function_of(f, d))

    demand_purity(problem(8 * torch.finfo(dtype).eps))
    with pytest.raises(ImpureError, match="depends on the other rows of the batch"):
        demand_purity(problem(mixed))
