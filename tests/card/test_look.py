"""What a card says of estimators: those of the catalogue, and those that are wrong in one way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch

import estbench
from estbench.card.check import check
from estbench.card.look import look
from estbench.card.target import resolved
from estbench.distributions import Bernoulli, Categorical
from estbench.draws import Draw
from estbench.errors import UsageError
from estbench.estimators.base import Estimator, Facts
from tests.card.faulty import FAULTY
from tests.estimators.wrong_on_purpose import WRONG
from tests.sizes import thinned


@pytest.mark.parametrize(("kind", "key"), thinned(2, FAULTY), ids=lambda x: getattr(x, "__name__", str(x)))
def test_each_fault_is_found(kind: type[Estimator], key: str) -> None:
    """An estimator that is wrong in one way fails with that key, and says what to look for."""
    card = check(kind, smallest=0.5)
    found = {f.key: f for f in card.failures}
    assert key in found, str(card)
    assert found[key].cause


@pytest.mark.parametrize(
    "kind",
    thinned(9, WRONG),
    ids=lambda kind: kind.__name__,
)
def test_estimators_right_at_one_size_fail(kind: Any) -> None:
    """An estimator that is unbiased at one N alone is biased, and the cause says how it depends on N."""
    card = check(kind, distribution="bernoulli" if kind.__name__ != "CarmsOverHalfN" else "categorical", smallest=0.3)
    first = card.failures[0]
    assert first.claim == "unbiased"
    if kind.__name__ != "WrongCorrection":  # its mean is no multiple of g
        assert first.key in (
            "over_half_n",
            "undivided",
            "inverse_n_minus_1",
            "half_n_minus_1",
            "summed",
        ), str(card)


@pytest.mark.slow
@pytest.mark.parametrize("name", thinned(3, ["rloo", "disarm", "leg"]))
def test_unbiased_members_pass(name: str) -> None:
    """Unbiased estimators of the catalogue have no failure, and are compared with others."""
    card = check(name, distribution="bernoulli", smallest=0.3)
    assert card.ok, str(card)
    assert len(card.beside[0].figures) == 4
    assert card.beside[0].figures[0].label == name


def test_a_biased_member_is_described() -> None:
    """A biased estimator passes as it says that it is; where its bias vanishes is said."""
    card = check("darn", distribution="bernoulli", smallest=0.5)
    assert card.ok
    (bias,) = card.biases
    assert "E ĝ is that of `darn`, which is biased" in bias.lines
    assert "on a quadratic f it vanishes, exactly" in bias.lines
    assert card.beside[0].same == "the same as `reinmax[temperature=1]`, draw by draw"
    assert not check("darn", distribution="bernoulli", unbiased=True, smallest=0.5).ok


@pytest.mark.slow
def test_a_temperature_is_taken_down() -> None:
    """Of a relaxation it is said how its bias falls with the temperature."""
    (bias,) = check("gumbel[temperature=0.5]", distribution="bernoulli", smallest=0.5).biases
    assert any(line.startswith("at a quarter of the temperature") for line in bias.lines)


@pytest.mark.slow
def test_rescaled_members_are_named() -> None:
    """2 times an estimator of the catalogue is said to be that."""

    def double(logits: Any, f: Any, samples: int) -> Any:
        z = torch.bernoulli(torch.sigmoid(logits).expand(samples, *logits.shape))
        return 2 * (f(z).unsqueeze(-1) * (z - torch.sigmoid(logits))).mean(0)

    card = check(double, form="gradient", distribution="bernoulli")
    assert card.failures[0].key == "double"
    assert card.biases[0].lines[0].startswith("a pure rescaling: E ĝ = ")


@pytest.mark.slow
def test_a_function_of_ones_own() -> None:
    """A user's f at a user's logits is one more problem."""
    card = estbench.check(
        "rloo", f=lambda z: (z[..., 0] - z[..., 1]) ** 2, distribution=Bernoulli(torch.tensor([0.1, 2.0]))
    )
    (found,) = [f for f in card.findings if f.claim == "unbiased"]
    assert "on 4 problems" in found.text
    with pytest.raises(UsageError, match="f needs logits"):
        check("rloo", f=lambda z: z.sum(-1))


def inclusive(logits: Any, f: Any, samples: int, scale: float = 1.0) -> Any:
    """Its baseline is the mean of all."""
    z = torch.bernoulli(torch.sigmoid(logits).expand(samples, *logits.shape))
    r = f(z)
    return scale * ((r - r.mean()).unsqueeze(-1) * (z - torch.sigmoid(logits))).mean(0)


@pytest.mark.parametrize(
    ("options", "N"),
    [
        ({}, [2, 4]),
        pytest.param({"samples": 4}, [4], marks=[pytest.mark.slow]),
        pytest.param({"form": "gradient", "scale": 2.0}, [2, 4], marks=[pytest.mark.slow]),
    ],
)
def test_an_adapted_function_has_the_card_of_the_function(options: dict[str, Any], N: list[int]) -> None:
    """What `adapt` has made is looked at as the function that it was made of, with all that was said of it."""
    subject = resolved(
        estbench.adapt(inclusive, **options), None, "bernoulli", None, None, unbiased=None, options={}
    ).subject
    assert (subject.function, subject.form, subject.unbiased) == (inclusive, "gradient", True)
    assert subject.options == {"scale": options.get("scale", 1.0)}
    assert [n for n in subject.sizes() if n > 1] == N
    card = look(subject, ["bernoulli"], smallest=0.5, brief=True)
    assert [f.claim for f in card.failures] == ["unbiased"], str(card)


@dataclass(frozen=True)
class Twice:
    """Rows that are twice as large as they should be."""

    facts: ClassVar[Facts] = Facts("score function", unbiased=True, f=1)

    def rows(self, draw: Draw) -> torch.Tensor:
        """2 f s."""
        return 2 * draw.lift(draw.fz) * draw.score


def test_no_factor_of_a_mean_of_rows_depends_on_n() -> None:
    """At N = 2, where 2 g is N g, rows of twice the size are said to be that, and not summed."""
    subject = resolved(Twice, None, "bernoulli", None, None, unbiased=None, options={}).subject
    card = look(subject, ["bernoulli"], brief=True)
    assert [f.key for f in card.failures] == ["double"], str(card)


@pytest.mark.parametrize(
    ("target", "given", "message"),
    [
        ("rloo", {"form": "loss"}, "rloo is an estimator, and only a function has a form"),
        ("rloo", {"samples": 1}, "rloo needs N ≥ 2, got samples=1"),
        (lambda rewards: (rewards - rewards.mean()) / (len(rewards) - 1), {"samples": 1}, "needs N ≥ 2, got samples=1"),
        (estbench.adapt(inclusive, form="gradient"), {"form": "loss"}, "form: 'loss' and 'gradient' are given"),
        (estbench.adapt(inclusive, form="gradient"), {"scale": 2.0}, "is an instance: it has its options already"),
    ],
)
def test_what_is_given_twice_or_in_vain_is_refused(target: Any, given: dict[str, Any], message: str) -> None:
    """A form of an estimator, an N that it does not take, and two forms of one function are wrong usage."""
    with pytest.raises(UsageError, match=message):
        check(target, distribution="bernoulli", **given)


def test_a_distribution_that_is_not_served() -> None:
    """Asking for a distribution that the target does not serve is wrong usage."""
    with pytest.raises(UsageError, match="serves"):
        check("disarm", distribution=Categorical(torch.zeros(1, 3)))
    with pytest.raises(UsageError, match="link sigmoid"):
        check("rloo", distribution=Bernoulli(torch.zeros(2), link="probit"))
    with pytest.raises(UsageError, match="expected bernoulli, categorical"):
        check("rloo", distribution="poisson")


@pytest.mark.slow
def test_nothing_measured_is_no_success() -> None:
    """Where no time is left for anything, the card is not ok and says why."""
    card = check("carms", limit=0.0)
    assert not card.ok
    assert not card.measured
    (found,) = [f for f in card.findings if f.claim == "unbiased"]
    assert found.status == "not checked"
    assert "because no time was left to sample" in found.text


def test_nan_everywhere_is_a_failure() -> None:
    """A function that returns NaN fails at once."""

    def nan(logits: Any, f: Any) -> Any:
        return (
            f(torch.bernoulli(torch.sigmoid(logits)).unsqueeze(0)) * logits * (1.0 if logits.sum() < 1.0 else torch.nan)
        )

    card = check(nan, form="gradient", distribution="bernoulli", smallest=0.5)
    assert [f.key for f in card.failures] == ["nan"]


def test_a_loss_without_gradient() -> None:
    """A loss that does not depend on the logits fails with its cause, though it cannot be measured at all."""

    def detached(logits: Any, f: Any) -> Any:
        return f(torch.bernoulli(torch.sigmoid(logits)).unsqueeze(0)).mean()

    card = check(detached, form="loss", distribution="bernoulli", smallest=0.5)
    assert [f.key for f in card.failures] == ["zero"]
    assert not card.ok
