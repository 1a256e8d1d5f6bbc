"""`estbench check`: what estimators claim, held against what they do."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic.dataclasses import dataclass
from torch import Tensor

from estbench import catalogue
from estbench.config import load
from estbench.distributions import Factorised
from estbench.draws import Draw
from estbench.estimators.base import Facts
from estbench.expand import expand
from estbench.objectives.linear import Linear
from estbench.preflight.check import Check, checked
from tests.sizes import slow

PROBLEMS: list[dict[str, Any]] = [
    {"objective": "sine", "distribution": "bernoulli", "logits": [0.6]},
    {"objective": {"name": "mlp", "seed": 1}, "distribution": "bernoulli", "logits": [0.5, -1.0]},
    {"objective": "quadratic", "distribution": "categorical", "logits": [[0.2, -0.5, 0.4]]},
]


@dataclass(frozen=True)
class Claims:
    """ĝ = c f(z) s(z), f evaluated `times` times, and the claims that are made of it."""

    scale: float = 1.0
    times: int = 1
    f: int = 1
    df: int = 0
    unbiased: bool = True
    exact: Literal["z", "smooth", "none"] = "z"
    noisy: bool = False

    @property
    def facts(self) -> Facts:
        """What the options say."""
        return Facts("score function", f=self.f, df=self.df, unbiased=self.unbiased, exact=self.exact)

    def _each(self, draw: Draw) -> Tensor:
        for _ in range(self.times - 1):
            draw.problem.f(draw.z)
        if self.noisy:
            draw.uniform("mine", draw.problem.D)
        return self.scale * draw.lift(draw.fz) * draw.score


@dataclass(frozen=True)
class Claiming(Claims):
    """Row by row."""

    def rows(self, draw: Draw) -> Tensor:
        """c f(z) s(z)."""
        return self._each(draw)


@dataclass(frozen=True)
class Coupled(Claims):
    """All samples at once."""

    def joint(self, draw: Draw, samples: int) -> Tensor:
        """c mean f(z) s(z)."""
        return self._each(draw)[:, :samples].mean(1)


@dataclass(frozen=True)
class Skewed(Linear):
    """A linear objective whose closed form of E f is off by a factor."""

    factor: float = 1.0

    def expectation(self, distribution: Factorised) -> Tensor:
        """The factor times Σ_d w_d E v_d."""
        return self.factor * super().expectation(distribution)


def check(*estimators: Any, **changes: Any) -> Check:
    """What is found of these estimators on the three problems."""
    config = {"name": "c", "replicates": 512, "samples": [1, 2], "temperatures": [0.5], "problems": PROBLEMS}
    return checked(expand(load({**config, "estimators": list(estimators), **changes})))


@pytest.fixture(autouse=True)
def _no_forecast(monkeypatch: pytest.MonkeyPatch) -> None:
    """The seconds of the run, which fits foretell, are tested by themselves."""
    monkeypatch.setattr("estbench.preflight.duration._fit", lambda *_: 0.0)


@pytest.fixture
def _no_own_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    """The small problems of a check's own, beside those of the config, are tested by themselves."""
    monkeypatch.setattr("estbench.preflight.check.own_problems", tuple)


def claiming(**options: Any) -> dict[str, Any]:
    """The plug-in with these options, labelled `mine`."""
    return {"name": "tests.preflight.test_claims:Claiming", "label": "mine", **options}


DECIDED: list[dict[str, Any]] = [
    {
        "objective": "sine",
        "distribution": "bernoulli",
        "logits": {"normal": {"scale": 6.0, "seed": 1}},
        "dimensions": 2,
    },
    *({"objective": "quadratic", "distribution": "bernoulli", "logits": [phi]} for phi in (0.0, 9.0, -30.0)),
    {"objective": "power", "distribution": "categorical", "logits": [[12.0, 0.0, -3.0]]},
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("names", "problems"),
    [
        (["reinforce", "rloo", "ste", "gumbel", "disarm", "unordered_set"], PROBLEMS[1:]),
        slow(([*catalogue.ESTIMATORS], PROBLEMS[1:])),
        slow(([*catalogue.ESTIMATORS], PROBLEMS[:1] + DECIDED)),
    ],
    ids=["some", "moderate", "more"],
)
@pytest.mark.usefixtures("_no_own_problems")
def test_the_catalogue_keeps_its_claims(names: list[str], problems: list[dict[str, Any]]) -> None:
    """Every estimator at its defaults: nothing is wrong, at moderate logits; at 0 and where nearly all is decided.

    All of them are slow.
    """
    found = check(*names, problems=problems, temperatures=[1.0])
    assert found.faults == []
    assert found.well
    assert {row["verdict"] for row in found.problems} == {"ok"}
    assert {row["estimator"] for row in found.estimators} == set(names)
    assert all("pure" in row["checked"] and "cost counted" in row["checked"] for row in found.estimators)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"times": 2}, "declare 1 f and 0 ∇f an estimate at N = 1, but 2 f and 0 ∇f were counted"),
        slow(({"f": 3}, "declare 3 f and 0 ∇f an estimate at N = 1, but 1 f and 0 ∇f were counted")),
        slow(({"df": 1}, "declare 1 f and 1 ∇f an estimate at N = 1, but 1 f and 0 ∇f were counted")),
        slow(({"scale": 1.000001}, "say that it is unbiased, but ‖E ĝ − g‖ = ")),
        slow(({"scale": -1.0}, "say that it is unbiased, but ‖E ĝ − g‖ = ")),
        ({"noisy": True}, "say exact = 'z', but LookupError: this draw holds no noise named 'mine'"),
    ],
)
@pytest.mark.usefixtures("_no_own_problems")
def test_false_claims_are_found_and_nothing_else(options: dict[str, Any], said: str) -> None:
    """Each false claim is one line that names the estimator, the claim and the first problem; true ones are none."""
    found = check("reinforce", claiming(**options))
    (line,) = found.faults
    assert line.startswith(f"mine: its facts {said}")
    assert "(sine bernoulli D=1 logits=[0.6]), and " in line
    assert not found.well
    assert {row["estimator"]: row["verdict"] for row in found.estimators} == {"reinforce": "ok", "mine": "false"}


def test_the_size_of_a_bias_is_told() -> None:
    """ĝ = 1.5 f(z) s(z) is off by half of g, in the mean of coupled samples too; both its lines are shown."""
    found = check(
        {"name": "tests.preflight.test_claims:Coupled", "label": "mine", "scale": 1.5, "f": 2},
        problems=PROBLEMS[:1],
        samples=[2],
    )
    cost, mean, *more = found.faults
    assert not more
    assert "declare 4 f and 0 ∇f an estimate at N = 2, but 2 f" in cost
    bias, size = (float(mean.split(f"{name} = ")[1].split(" ")[0].rstrip(",")) for name in ("‖E ĝ − g‖", "‖g‖"))
    assert bias == pytest.approx(size / 2, rel=0.01)  # of three digits each


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"scale": 2.0, "unbiased": False}, {"noisy": True, "exact": "none"}])
@pytest.mark.usefixtures("_no_own_problems")
def test_what_is_not_claimed_is_not_false(options: dict[str, Any]) -> None:
    """An estimator that says it is biased, or reads noise of its own and has no exact moments, is believed."""
    assert check(claiming(**options)).well


@pytest.mark.slow
def test_means_without_exact_moments_are_sampled() -> None:
    """An estimator that says it has none is tested by sampling, and a bias of a tenth of ‖g‖ is found."""
    found = check(claiming(scale=1.1, exact="none"))
    (line,) = found.faults
    assert "its facts say that it is unbiased, but its mean is" in line
    assert "sampled twice, p = " in line
    (row,) = found.estimators
    assert row["verdict"] == "false"


@pytest.mark.slow
def test_large_problems_are_sampled() -> None:
    """Where all states are too many to go through at once, means are sampled, and looked at on small problems."""
    large = {"objective": "linear", "distribution": "bernoulli", "logits": 0.3, "dimensions": 13}
    found = check(claiming(scale=2.0), problems=[large])
    (line,) = found.faults
    assert "linear bernoulli D=13" in line
    right = check("reinforce", problems=[large | {"dimensions": 25}])
    assert right.well
    assert "sampled at N = 2 on 1 problem" in right.estimators[0]["checked"]


def test_what_was_not_looked_at_is_not_ok() -> None:
    """Without an exact gradient, and where events are too rare to be sampled, nothing is called ok."""
    found = check("reinforce", problems=[{"objective": "mlp", "distribution": "bernoulli", "logits": [0.1] * 21}])
    assert found.well
    assert [row["verdict"] for row in found.problems] == ["in part"]
    assert [row["verdict"] for row in found.estimators] == ["in part"]
    gradient, mean = found.unchecked
    assert gradient.startswith("mlp: exact gradient not checked, because there is none: no closed form, and 2^21 joint")
    assert mean.startswith("reinforce: unbiased not checked at N = 2, because the exact gradient is not known")
    rare = {"objective": "sine", "distribution": "bernoulli", "logits": [-12.0, 0.5]}
    line = check("arms", problems=[rare], samples=[2]).unchecked[0]
    assert "because an event of probability 6e-06 is too rare to be sampled" in line


@pytest.mark.parametrize("factor", [1.01, 1 + 1e-8])
def test_an_objective_that_is_wrong_is_blamed_and_not_its_estimators(factor: float) -> None:
    """A closed form that is not the expectation of f is found; what is measured against it is no one's fault."""
    objective = {"name": "tests.preflight.test_claims:Skewed", "factor": factor}
    found = check("reinforce", problems=[PROBLEMS[0] | {"objective": objective}])
    assert found.problems[0]["verdict"] == "false"
    gradient, *more = found.faults
    assert "the routes to it disagree" in gradient
    assert all(line.startswith("tests.preflight.test_claims:Skewed: ") for line in [gradient, *more])
    assert not found.well


@pytest.mark.parametrize("phi", [0.0, -20.0, 30.0])
@pytest.mark.parametrize("target", [0.45, 0.5])
def test_rounding_is_no_disagreement(phi: float, target: float) -> None:
    """Where the gradient is 0, or next to nothing beside f, rounding of f is told from an error."""
    objective = {"name": "quadratic", "target": target}
    assert check("reinforce", problems=[{"objective": objective, "distribution": "bernoulli", "logits": [phi]}]).well


def test_estimators_without_cells_are_not_ok() -> None:
    """An estimator that serves no problem has a line that says why nothing of it was looked at."""
    (row,) = check("zgr", "ar", problems=PROBLEMS[:1]).estimators[1:]
    assert row == {"estimator": "ar", "verdict": "in part", "checked": "not checked: serves categorical only"}


def test_cells_that_will_fail_are_told() -> None:
    """What raises when it is counted is a verdict of its problem."""
    found = check(
        "ste", {"name": "tests.cli.plugged:Faulty", "label": "faulty"}, problems=PROBLEMS[:1], methods=["exact"]
    )
    assert not found.well
    assert found.problems[0]["verdict"] == "ok"
    assert found.faults == ["faulty: 2 cells will fail: ArithmeticError: no (sine bernoulli D=1 logits=[0.6])"]


@pytest.mark.parametrize(("how", "said"), [("dropout", "Odd.value is random"), ("whitening", "the other rows")])
def test_impure_objectives_are_told(how: str, said: str) -> None:
    """A run would refuse them, so all cells will fail, for the reason that the run would give."""
    objective = {"name": "tests.unruly:Odd", "how": how}
    problem = {"objective": objective, "distribution": "bernoulli", "logits": [0.6, -1.0]}
    found = check("reinforce", problems=[problem], methods=["exact"])
    assert not found.well
    assert "all its cells will fail: ImpureError" not in found.faults[0]
    assert "all its cells will fail" in found.faults[0]
    assert said in found.faults[0]
