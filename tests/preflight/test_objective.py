"""Objectives that are not what they say are found, each with the right sentence; those of the catalogue are right."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from estbench import catalogue
from estbench.distributions import Factorised
from estbench.objectives.linear import Linear
from estbench.objectives.mlp import Mlp
from estbench.objectives.power import Power
from estbench.objectives.quadratic import Quadratic
from estbench.objectives.quadratic_form import QuadraticForm
from estbench.objectives.sine import Sine
from estbench.preflight.objective import Answer, answers
from tests.problems import make
from tests.sizes import slow

BERNOULLI = [0.7, -1.4, 0.2]
CATEGORICAL = [[0.3, -0.9, 0.5, 0.1], [-0.2, 0.7, 1.1, -1.0]]


def found(objective: Any, logits: Any = BERNOULLI, tie: bool = False) -> dict[str, Answer]:
    """What is said of each claim."""
    return {a.claim: a for a in answers(make(objective, torch.tensor(logits, dtype=torch.float64), tie))}


@pytest.mark.parametrize("name", catalogue.OBJECTIVES)
@pytest.mark.parametrize(
    "logits",
    [BERNOULLI, [0.1] * 14, [0.1] * 24, [-30.0, 40.0], CATEGORICAL, slow([[0.3, -0.9, 0.5, 0.1]] * 12)],
    ids=["3", "14", "24", "extreme", "2x4", "12x4"],
)
def test_the_catalogue_is_right(name: str, logits: Any) -> None:
    """No objective is accused, tied or not, at few and many states; ∇f is always checked."""
    objective = catalogue.build(catalogue.objective_class(name), {})
    if ("categorical" if isinstance(logits[0], list) else "bernoulli") in objective.distributions:
        for tie in (False, True)[: 1 if len(logits) > 11 else 2]:
            said = found(objective, logits, tie)
            assert not [a for a in said.values() if a.holds is False]
            assert said["∇f"].holds
            assert len(logits) > 11 or said["exact gradient"].holds


class OfTheMean(Sine):
    """E f taken for f(E v), which it is for linear f alone."""

    def expectation(self, distribution: Factorised) -> Tensor:
        """f(E v)."""
        return self.value((distribution.marginals * distribution.levels).sum(-1))


class Independent(Mlp):
    """E f as a sum over variables that are looked at one by one, all others at 0."""

    def expectation(self, distribution: Factorised) -> Tensor:
        """Σ_d E f(v_d e_d) − (D − 1) f(0)."""
        P = distribution.marginals  # [D, K]
        v = torch.eye(len(P), dtype=P.dtype).unsqueeze(1) * distribution.levels.view(1, -1, 1)  # [D, K, D]
        return (P * self.value(v)).sum() - (len(P) - 1) * self.value(torch.zeros(len(P), dtype=P.dtype))


class WrongFromFive(Linear):
    """E f that is right for few variables only."""

    def expectation(self, distribution: Factorised) -> Tensor:
        """Off by half a per cent of a variable where there are more than twenty."""
        right = super().expectation(distribution)
        return right * 1.2 if len(distribution.marginals) > 20 else right


class WrongSign(Quadratic):
    """∇f with the other sign."""

    def grad(self, v: Tensor) -> Tensor:
        """−∇f."""
        return -super().grad(v)


class HalfForm(QuadraticForm):
    """∇(zᵀA z + bᵀz) with A z for (A + Aᵀ) z."""

    def grad(self, v: Tensor) -> Tensor:
        """Half of what A gives."""
        whole = super().grad(v)
        return (whole + super().grad(torch.zeros_like(v))) / 2


class AtVertices(Power):
    """∇f that is right where variables are 0 or 1."""

    def grad(self, v: Tensor) -> Tensor:
        """As if v were rounded."""
        return super().grad(v.round())


class OffVertices(Power):
    """∇f that is right where no variable is 0 or 1."""

    def grad(self, v: Tensor) -> Tensor:
        """0 at vertices."""
        return super().grad(v) * ((v > 0) & (v < 1))


@dataclass(frozen=True)
class Rounded:
    """f that computes in another type than that of its values; its derivative is a part too large."""

    dtype: Any
    wrong: float = 0.0
    on = "values"
    distributions = frozenset({"bernoulli", "categorical"})

    def value(self, v: Tensor) -> Tensor:
        """sin(v_1 + 2 v_2 + …), the mean over three phases in the type of v."""
        n = torch.arange(1, v.shape[-1] + 1, dtype=self.dtype)
        return torch.sin((v.to(self.dtype) * n).sum(-1, keepdim=True) + n[:3]).to(v.dtype).mean(-1)

    def grad(self, v: Tensor) -> Tensor:
        """In float64."""
        n = torch.arange(1.0, v.shape[-1] + 1, dtype=v.dtype)
        return torch.cos((v * n).sum(-1, keepdim=True) + n[:3]).mean(-1, keepdim=True) * n * (1 + self.wrong)


class OneVariable(Quadratic):
    """∇f that is wrong for the last variable alone."""

    def grad(self, v: Tensor) -> Tensor:
        """A tenth more."""
        g = super().grad(v).clone()
        g[..., -1] *= 1.1
        return g


@dataclass(frozen=True)
class Detached:
    """f whose graph leaves a part out."""

    on = "values"
    distributions = frozenset({"bernoulli", "categorical"})

    def value(self, v: Tensor) -> Tensor:
        """Σ v · v, the second v a constant for autograd."""
        return (v * v.detach()).sum(-1)


@dataclass(frozen=True)
class Numbers:
    """f without a graph."""

    on = "values"
    distributions = frozenset({"bernoulli", "categorical"})

    def value(self, v: Tensor) -> Tensor:
        """Σ v², by numpy."""
        return torch.as_tensor((v.detach().numpy() ** 2).sum(-1))


@pytest.mark.parametrize(
    ("kind", "claim", "said"),
    [
        (OfTheMean, "exact gradient", "the routes to it disagree"),
        (OfTheMean, "E f", "`expectation` is not the mean of `value`"),
        (Independent, "exact gradient", "the routes to it disagree"),
        (Independent, "E f", "`expectation` is not the mean of `value`"),
        (WrongSign, "∇f", "`grad` is not the derivative of `value`"),
        (HalfForm, "∇f", "`grad` is not the derivative of `value`"),
        (AtVertices, "∇f", "`grad` is not the derivative of `value`"),
        (OffVertices, "∇f", "`grad` is not the derivative of `value`"),
        (OneVariable, "∇f", "`grad` is not the derivative of `value`"),
        (Detached, "∇f", "∇f by autograd is not the derivative of `value`"),
    ],
)
def test_wrong_objectives_are_found(kind: Any, claim: str, said: str) -> None:
    """A closed form of E f that assumes too much, and ∇f that is no derivative, for both kinds of variables."""
    for logits in (BERNOULLI, CATEGORICAL):
        answer = found(kind(), logits)[claim]
        assert answer.holds is False
        assert answer.text.startswith(said)


@pytest.mark.parametrize("kind", [OfTheMean, Independent])
def test_large_problems_are_checked_on_their_first_variables(kind: Any) -> None:
    """Where not all states can be enumerated, a closed form is compared on fewer variables."""
    answer = found(kind(), [0.3] * 40)["E f"]
    assert answer.holds is False
    assert "the first 12 variables alone" in answer.text


def test_large_problems_are_sampled() -> None:
    """A closed form that is wrong for many variables only is found from sampled values and gradients."""
    said = found(WrongFromFive(weights=None), [1.5] * 30)
    assert said["E f"].holds is False
    assert "but the mean of 65536 samples of f is" in said["E f"].text
    assert said["exact gradient"].holds is False
    assert "away from the mean of an unbiased estimator" in said["exact gradient"].text


def test_f_without_gradient_is_told() -> None:
    """What autograd cannot differentiate is not checked, and nothing else is said of it."""
    said = found(Numbers())
    assert said["∇f"].holds is None
    assert said["∇f"].text.startswith("∇f raises TypeError: f has no gradient")
    assert said["exact gradient"].holds


def test_a_derivative_is_checked_to_the_digits_of_the_type_in_which_f_computes() -> None:
    """Of float32 it is right or 5 % wrong, as of float64; of bfloat16 differences say nothing."""
    for dtype in (torch.float64, torch.float32):
        assert found(Rounded(dtype))["∇f"].holds
        assert found(Rounded(dtype, wrong=0.05))["∇f"].holds is False
    said = found(Rounded(torch.bfloat16))["∇f"]
    assert (said.holds, said.text) == (None, "f is rounded to 8e-03 of itself, which hides its derivative")
