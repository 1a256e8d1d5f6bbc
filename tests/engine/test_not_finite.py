"""Estimates, gradients and trainings that are not finite: their cells fail, and the run folder stays readable."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from estbench.draws import Draw
from estbench.engine import benchmark
from estbench.engine.benchmark import Benchmark
from estbench.estimate import truth
from estbench.estimators.base import Facts
from estbench.frames import read_frame
from estbench.objectives.quadratic import Quadratic
from estbench.problem import Problem
from tests.problems import make
from tests.sizes import slow

HERE = "tests.engine.test_not_finite"
TRAINED = {"estimator": ["exact", "own"], "epochs": 1, "batch": 100, "seeds": 2, "learning_rate": 0.02}
NETWORK: dict[str, Any] = {"kind": "network", "distribution": "bernoulli", "dimensions": 2, "checkpoints": [0, 1]}
CONFIG: dict[str, Any] = {
    "name": "x",
    "replicates": 32,
    "samples": [1],
    "methods": ["exact", "monte_carlo"],
    "problems": [
        {"objective": "quadratic", "distribution": "bernoulli", "logits": [0.5, 1.0]},
        NETWORK | {"network": {"name": "vae", "hidden": 4}, "training": TRAINED},
        {
            "kind": "trajectory",
            "objective": "quadratic",
            "distribution": "bernoulli",
            "logits": 0.3,
            "training": {"steps": 2, "seeds": 3, "learning_rate": 0.1},
            "checkpoints": [0, 2],
        },
    ],
}


@dataclass(frozen=True)
class Times:
    """REINFORCE times a factor, at every sample or where the first variable is 1."""

    factor: float = 1.0
    sometimes: bool = False

    @property
    def facts(self) -> Facts:
        """Exact moments by enumeration."""
        return Facts("score function", f=1, exact="z", unbiased=False)

    def rows(self, draw: Draw) -> Tensor:
        """factor f(z) s(z)."""
        g = draw.lift(draw.fz) * draw.score
        there = draw.z[..., :1] > 0
        return torch.where(there, self.factor * g, g) if self.sometimes else self.factor * g


@dataclass(frozen=True)
class OfItsOwn:
    """REINFORCE, measured against something that is no gradient."""

    how: Literal["nan", "long", "one", "list", "none", "float32", "graph"] = "nan"

    @property
    def facts(self) -> Facts:
        """Exact moments by enumeration."""
        return Facts("score function", f=1, exact="z")

    def reference(self, problem: Problem) -> Any:
        """What it is not, or, with the last two, in another form."""
        g = torch.as_tensor(problem.exact_gradient)
        wrong = {"nan": g * float("nan"), "long": torch.cat([g, g]), "one": g[:1], "list": g.tolist(), "none": None}
        return {**wrong, "float32": g.float(), "graph": g.clone().requires_grad_()}[self.how]

    def rows(self, draw: Draw) -> Tensor:
        """f(z) s(z)."""
        return draw.lift(draw.fz) * draw.score


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """These estimators harm no process: to start another for them would take most of the time."""
    monkeypatch.setattr(benchmark, "kept_apart", lambda _: False)


@pytest.mark.parametrize(
    ("factor", "sometimes"), [slow(("inf", False)), slow(("1e90", True)), ("1e180", True), ("1e300", False)]
)
def test_a_run_of_huge_estimates_can_be_read_and_goes_on(tmp_path: Path, factor: str, sometimes: bool) -> None:
    """Networks and logits that they train diverge: these cells fail with a reason, other estimators have results."""
    wrong = f"{HERE}:Times[factor={factor},sometimes={str(sometimes).lower()}]"
    config = CONFIG | {"estimators": ["reinforce", wrong]}
    for _ in Benchmark.of(config, tmp_path).run():
        pass
    frame = read_frame(tmp_path)
    assert (frame.status[frame.label == "reinforce"] == "ok").all()
    diverged = frame[
        (frame.label != "reinforce") & frame.trained_by.astype(str).str.startswith("tests") & (frame.checkpoint == 1)
    ]
    assert len(diverged) == 2
    if factor == "inf":
        assert (diverged.status == "failed").all()
        assert diverged.reason.str.contains("not finite at this checkpoint: the training has diverged").all()
    for _ in Benchmark.of(config, tmp_path).run():
        pass
    assert read_frame(tmp_path).equals(frame)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("nan", "FloatingPointError: the gradient of its own that an estimator is measured against is not finite"),
        ("long", "ValueError: reference must return one number a parameter, [2], got [4]"),
        ("one", "ValueError: reference must return one number a parameter, [2], got [1]"),
        ("list", "TypeError: reference must return a tensor, got list"),
        ("none", "TypeError: reference must return a tensor, got NoneType"),
    ],
)
def test_a_reference_that_is_no_gradient_fails_its_cells(tmp_path: Path, how: str, said: str) -> None:
    """It is said what is wrong, and the run can be read: another length or NaN in the journal would be damage."""
    names = ["reinforce", f"{HERE}:OfItsOwn[how={how}]"]
    for _ in Benchmark.of(CONFIG | {"problems": CONFIG["problems"][:1], "estimators": names}, tmp_path).run():
        pass
    frame = read_frame(tmp_path)
    assert list(frame.status) == ["ok", "ok", "failed", "failed"]
    assert set(frame.reason[2:]) == {said}


@pytest.mark.parametrize("how", ["float32", "graph"])
def test_a_reference_is_brought_into_form(how: Literal["float32", "graph"]) -> None:
    """It is a float64 tensor without a graph, whatever the estimator made."""
    p = make(Quadratic(), torch.tensor([0.5, 1.0], dtype=torch.float64))
    g = truth(p, OfItsOwn(how=how))
    assert g is not None
    assert (g.dtype, g.requires_grad) == (torch.float64, False)
    torch.testing.assert_close(g, p.exact_gradient, rtol=1e-6, atol=0)
