"""Targets that raise, return NaN or end their process, and problems whose gradient is 0: the card says so."""

from __future__ import annotations

import json
import math
import signal
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from estbench.card.card import Card
from estbench.card.check import check
from estbench.card.members import Figures, Member, members, nearest
from estbench.card.problems import probes
from estbench.card.sampling import SEED
from estbench.card.worker import card_apart
from estbench.distributions import Bernoulli
from estbench.draws import Draw
from estbench.errors import UsageError
from estbench.estimators.base import Facts
from estbench.estimators.score_function.rloo import Rloo
from estbench.processes import death
from estbench.testing import assert_matches, assert_unbiased
from tests.preflight.impure import Fresh, TorchNoise

QUICK: dict[str, Any] = {"form": "gradient", "distribution": "bernoulli", "smallest": 0.5}
XOR: dict[str, Any] = {"f": lambda z: (z[..., 0] - z[..., 1]) ** 2, "distribution": Bernoulli(torch.zeros(2))}
"""At logits 0 its gradient is 0."""


def right(logits: Tensor, f: Any, samples: int) -> Tensor:
    """REINFORCE."""
    z = torch.bernoulli(logits.sigmoid().expand(samples, *logits.shape))
    found: Tensor = (f(z).unsqueeze(-1) * (z - logits.sigmoid())).mean(0)
    return found


def of_three(logits: Tensor, f: Any, samples: int) -> Tensor:
    """It takes three variables or one."""
    if len(logits) == 2:
        raise ValueError("two variables")
    return right(logits, f, samples)


def now_and_then(logits: Tensor, f: Any, samples: int) -> Tensor:
    """One estimate of 500 ends Python."""
    if torch.rand(()) < 2e-3:
        raise SystemExit(3)
    return right(logits, f, samples)


def nan_at_times(logits: Tensor, f: Any, samples: int) -> Tensor:
    """One estimate of 500 is NaN."""
    return right(logits, f, samples) * (math.nan if torch.rand(()) < 2e-3 else 1.0)


class Declared(TorchNoise):
    """Noise of torch's generator, in the type of the logits, and no exact moments."""

    facts: ClassVar[Facts] = replace(TorchNoise.facts, exact="none", centred=False)

    def rows(self, draw: Draw) -> Tensor:
        """Unbiased, and in float32 of other numbers."""
        found = draw.lift(draw.fz) * draw.score
        return found + torch.randn_like(found)


@dataclass(frozen=True)
class Raises:
    """`rows`, or asking for its facts, raises."""

    early: bool = False

    @property
    def facts(self) -> Facts:
        """Facts, or an error."""
        if self.early:
            raise ValueError("no facts")
        return Facts("score function")

    def rows(self, draw: Draw) -> Tensor:
        """An error."""
        del draw
        raise ValueError("no rows")


def test_what_raises_has_a_card() -> None:
    """What the target raises is a finding, with the problem and N; what else raises the same is no failure more."""
    for target, text in ((of_three, "it raised ValueError: two variables"), (now_and_then, "it raised SystemExit: 3")):
        card = check(target, **QUICK)
        (failure,) = card.failures
        assert (failure.claim, failure.key) == ("runs", "raises")
        assert failure.text.startswith(text), str(card)
        assert not card.ok
    for estimator, said in ((Raises(), "it raised ValueError: no rows"), (Raises(True), "raised ValueError: no facts")):
        (failure,) = check(estimator, distribution="bernoulli").failures
        assert said in failure.text


def test_what_is_no_dataclass_is_wrong_usage() -> None:
    """An estimator must be a dataclass, and the message says so."""

    class Plain:
        facts = Facts("score function")
        rows = Raises.rows

    with pytest.raises(UsageError, match="is not a dataclass"):
        check(Plain)


@pytest.mark.slow
def test_nan_is_never_ok() -> None:
    """Estimates that are NaN are a failure, what they hide is not checked, and JSON has null in their place."""
    card = check(nan_at_times, **QUICK)
    (failure,) = card.failures
    assert failure.key == "nan"
    assert "estimates are NaN or infinite" in failure.text
    assert {f.status for f in card.findings if f.claim in ("unbiased", "shift of f", "relabelling")} == {"not checked"}
    told = json.loads(card.to_json(), parse_constant=pytest.fail)
    assert told["beside"][0]["figures"][0]["cosine"] is None
    with pytest.raises(UsageError, match="f returns NaN"):
        check("rloo", f=lambda z: z.sum(-1) * math.nan, distribution=Bernoulli(torch.zeros(2)))


def test_assertions_about_what_cannot_be_measured() -> None:
    """They fail, and say that it could not be told, or that it cannot be measured."""
    with pytest.raises(AssertionError, match="could not tell whether"):
        assert_unbiased(of_three, **QUICK)
    with pytest.raises(AssertionError, match="could not tell whether"):
        assert_matches(nan_at_times, "reinforce", **QUICK)
    with pytest.raises(AssertionError, match="cannot be measured: disarm serves bernoulli only"):
        assert_unbiased("disarm", distribution="categorical")
    with pytest.raises(AssertionError, match="cannot be compared: disarm serves bernoulli only"):
        assert_matches("disarm", "rloo", distribution="categorical")
    with pytest.raises(AssertionError, match=r"cannot be measured: .*no parameter for f"):
        assert_matches(lambda logits: logits, "rloo", form="loss")


@pytest.mark.slow
def test_a_gradient_of_zero() -> None:
    """Where g = 0 a bias is told relative to the size of f s: right estimators pass, and wrong ones do not."""
    assert check(right, form="gradient", smallest=0.5, **XOR).ok
    wrong = check(lambda logits, f, samples: right(logits, f, samples) + 0.1, form="gradient", smallest=0.5, **XOR)
    assert not wrong.ok
    assert check("rloo", **XOR).ok


def leave_one_out(logits: Tensor, f: Any, samples: int) -> Tensor:
    """0 at N = 1, as the card finds out."""
    z = torch.bernoulli(logits.sigmoid().expand(samples, *logits.shape))
    r = f(z)
    found: Tensor = ((r - r.mean()).unsqueeze(-1) * (z - logits.sigmoid())).sum(0) / max(samples - 1, 1)
    return found


@pytest.mark.slow
def test_the_users_own_f_stays_where_an_n_is_dropped() -> None:
    """A function that needs two samples is looked at with the user's f, at N = 2."""
    logits = Bernoulli(torch.tensor([0.1, 2.0]))
    card = check(leave_one_out, form="gradient", f=lambda z: z[..., 0] * z[..., 1], distribution=logits, smallest=0.5)
    assert card.ok
    (found,) = (f for f in card.findings if f.claim == "unbiased")
    assert "on 4 problems at N = 2" in found.text


@pytest.mark.slow
def test_the_verdict_names_what_was_not_checked() -> None:
    """The first line says which problems and N were not looked at; a user's own that was not makes it fail."""
    unclear: Any = check("rloo", distribution="bernoulli", smallest=0.5).findings
    whole = Card("mine", "estimator", tuple(f for f in unclear if f.claim == "unbiased"))
    (known,) = whole.findings
    parts = {"holds": None, "unchecked": ("sine bernoulli D=2 at N = 4",)}
    partly = Card("mine", "estimator", (type(known)(**{**vars(known), **parts, "partly": True}),))
    assert partly.ok
    assert " ".join(str(partly).split()).startswith(
        "mine (estimator): ok as far as it was checked; not checked: unbiased (bernoulli) on sine"
    )
    nothing = Card("mine", "estimator", (*whole.findings, type(known)(**{**vars(known), **parts})))
    assert not nothing.ok
    assert "nothing is known of its mean (bernoulli: sine bernoulli D=2 at N = 4)" in " ".join(str(nothing).split())
    assert "sine bernoulli D=2" in nothing.to_junit()


@pytest.mark.slow
def test_a_card_depends_on_its_seed_alone() -> None:
    """Cards made before it, of other seeds too, change nothing; another seed changes what is drawn."""

    def told(seed: int) -> str:
        return check("gumbel[temperature=0.5]", distribution="bernoulli", seed=seed).to_json()

    first = told(1)
    other = told(2)
    assert told(1) == first
    assert other != first
    (member,) = (m for m in members("bernoulli") if m.label == "gumbel[temperature=1]")
    problem = probes("bernoulli")[1].problem
    means = []
    for seed in (1, 2):
        token = SEED.set(seed)
        found = member.mean(problem, 1)
        assert found is not None
        means.append(found[0].tolist())
        SEED.reset(token)
    assert means[0] != means[1]
    assert SEED.get() == 0


def test_exact_members_have_a_distance() -> None:
    """An estimator without error is nearest to members without error: no MSE is divided by 0."""
    problem = probes("bernoulli")[0].problem
    exact = Figures("mine", 1, 2.0, 0.0, 0.0, 1.0)
    whole = [m for m in members("bernoulli") if m.label in ("enumerate", "reinforce")]
    found = nearest(exact, problem, [*whole, Member("rloo", Rloo())], 256)
    assert min(f.relative_mse for f in found) > 0
    assert found[0].label == "enumerate"


DEADLY = """
import os, signal, torch

def target(logits, f):
    os.kill(os.getpid(), signal.SIGSEGV)

def fine(logits, f):
    z = torch.bernoulli(torch.sigmoid(logits))
    return f(z[None])[0] * (z - torch.sigmoid(logits))

def objective(z):
    os.kill(os.getpid(), signal.SIGABRT)
"""


def test_who_ends_the_process(tmp_path: Path) -> None:
    """The function that was called is named with the signal, be it the target or f."""
    path = tmp_path / "deadly_functions.py"
    path.write_text(DEADLY)
    arguments: dict[str, Any] = {"form": "gradient", "distribution": Bernoulli(torch.zeros(2))}
    (of_target,) = card_apart(f"{path}:target", arguments, 60.0).failures
    assert of_target.text == f"calling {path}:target ends the process that does so: it died of SIGSEGV"
    (of_f,) = card_apart(f"{path}:fine", {**arguments, "f": f"{path}:objective"}, 60.0).failures
    assert of_f.text == "calling f, the objective, ends the process that does so: it died of SIGABRT"
    assert death(-36) == "of signal 36"
    assert death(-signal.SIGTERM) == "of SIGTERM"


def test_random_numbers_of_a_backward_pass_come_first() -> None:
    """A layer that draws backward fails for that alone: float32 logits see other numbers, and are not compared."""
    card = check(Fresh("in its type"), distribution="bernoulli", unbiased=False, limit=1)
    assert [f.claim for f in card.failures] == ["pure"]
    assert "read all noise before vjp returns the function" in card.failures[0].text


def test_declared_random_numbers_are_compared_with_no_others() -> None:
    """With exact="none" they are no fault: the card says that it could not look, and what would let it."""
    card = check(Declared, distribution="bernoulli", limit=1)
    assert card.failures == ()
    (pure,) = (f for f in card.findings if f.claim == "pure")
    assert pure.status == "not checked"
    assert "take random numbers from draw.uniform(name)" in pure.text
