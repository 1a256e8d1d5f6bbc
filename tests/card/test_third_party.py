"""What the card finds of code of other packages; each is skipped where it is not installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import distributions as td

from estbench.card.card import Card
from estbench.card.check import check

# mypy: disable-error-code="no-untyped-def,no-untyped-call"
# As users write them: without types.


def torch_gumbel_softmax(logits):
    """torch.nn.functional."""
    return torch.nn.functional.gumbel_softmax(logits, tau=0.5, hard=True)


def torch_straight_through(logits):
    """torch.distributions."""
    return td.OneHotCategoricalStraightThrough(logits=logits).rsample()


def torch_relaxed_bernoulli(logits):
    """torch.distributions."""
    return td.RelaxedBernoulli(torch.tensor(0.5, dtype=logits.dtype), logits=logits).rsample()


def torch_log_prob(logits, f):
    """torch.distributions."""
    d = td.Bernoulli(logits=logits)
    z = d.sample((2,))
    return (f(z).detach() * d.log_prob(z).sum(-1)).mean()


def reinmax_reinmax(logits):
    """ReinMax's own function."""
    package = pytest.importorskip("reinmax")
    return package.reinmax(logits, 1.0)[0]


def pyro_relaxed_bernoulli(logits):
    """Pyro's straight-through Concrete."""
    package = pytest.importorskip("pyro.distributions")
    return package.RelaxedBernoulliStraightThrough(torch.tensor(0.5, dtype=logits.dtype), logits=logits).rsample()


def relaxit_straight_through(logits):
    """relaxit's straight-through Bernoulli."""
    package = pytest.importorskip("relaxit.distributions")
    return package.StraightThroughBernoulli(logits=logits).rsample()


def snntorch_fast_sigmoid(logits):
    """snnTorch's threshold with a surrogate derivative, at logits with logistic noise."""
    package = pytest.importorskip("snntorch.surrogate")
    u = torch.rand_like(logits)
    return package.fast_sigmoid(slope=25)(logits + torch.log(u) - torch.log1p(-u))


B, C = "bernoulli", "categorical"


def card(function: Callable[..., Any], form: Any, distribution: str) -> Card:
    """The card, sampled until 20 % would be seen, however long a busy machine takes."""
    return check(function, form=form, distribution=distribution, smallest=0.2, limit=300)


def slow(*values: Any) -> Any:
    """A parameter that is looked at among the slow tests."""
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "distribution", "member"),
    [
        slow(torch_gumbel_softmax, C, "gumbel_st[temperature=0.5]"),
        (torch_straight_through, C, "ste"),
        slow(torch_relaxed_bernoulli, B, "gumbel[temperature=0.5]"),
        (reinmax_reinmax, C, "reinmax[temperature=1]"),
        slow(pyro_relaxed_bernoulli, B, "gumbel_st[temperature=0.5]"),
        slow(relaxit_straight_through, B, "ste"),
    ],
    ids=lambda x: getattr(x, "__name__", None),
)
def test_samplers_are_what_they_are_called(function: Any, distribution: str, member: str) -> None:
    """These samplers pass: biased, as they are meant to be, and in law the estimators of the catalogue."""
    found = card(function, "sampler", distribution)
    assert found.ok, str(found)
    assert any(f.status == "noted" and f.claim == "unbiased" for f in found.findings)
    assert f"`{member}`" in found.beside[0].same, str(found)


@pytest.mark.slow
def test_log_prob_of_torch_is_unbiased() -> None:
    """f log_prob of torch.distributions passes as unbiased."""
    found = card(torch_log_prob, "loss", B)
    assert found.ok
    assert found.failures == ()
    assert [f.status for f in found.findings if f.claim == "unbiased"] == ["ok"]


@pytest.mark.slow
def test_a_surrogate_of_snntorch() -> None:
    """Straight through a fast sigmoid: the samples are right, and the bias, which is no other's, is described."""
    found = card(snntorch_fast_sigmoid, "sampler", B)
    assert found.ok, str(found)
    assert [f.status for f in found.findings if f.claim == "law of the sample"] == ["ok"]
    assert found.beside[0].same == ""
    assert any("is turned away from g" in line or "rescaling" in line for line in found.biases[0].lines)
