"""`estbench.testing`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import estbench
from estbench.errors import UsageError
from estbench.testing import assert_matches, assert_unbiased
from tests.card.right import arm, disarm, gumbel_hard, rloo, straight_through
from tests.card.wrong import disarm_double, self_baseline_loss


def test_unbiased_passes() -> None:
    """Estimators and functions that are unbiased pass."""
    assert_unbiased("rloo", distribution="bernoulli")
    assert_unbiased(arm, form="gradient", distribution="bernoulli", smallest=0.2)


def test_biased_fails_with_the_card() -> None:
    """The error says how large the bias is and what to look for."""
    with pytest.raises(AssertionError, match=r"includes\s+the\s+sample\s+it\s+is\s+subtracted\s+from"):
        assert_unbiased(self_baseline_loss, form="loss", distribution="bernoulli", smallest=0.2)
    with pytest.raises(AssertionError, match="ste is not unbiased"):
        assert_unbiased("ste", distribution="bernoulli")


@pytest.mark.slow
def test_a_biased_sampler_fails_though_its_card_is_ok() -> None:
    """What a card takes as meant is not unbiased."""
    with pytest.raises(AssertionError, match="is not unbiased"):
        assert_unbiased(straight_through, form="sampler", distribution="bernoulli")


def test_could_not_tell() -> None:
    """Where the time does not suffice, the assertion fails and says what would have been seen."""
    with pytest.raises(AssertionError, match="could not tell"):
        assert_unbiased("carms", limit=0.0)
    with pytest.raises(AssertionError, match="could not tell"):
        assert_matches("carms", "stratified", distribution="categorical", limit=0.0)
    with pytest.raises(AssertionError, match="no problem is served by both"):
        assert_matches("carms", "disarm")


def test_matches() -> None:
    """What is the same draw by draw, or in law, passes."""
    assert_matches("darn", "zgr", distribution="bernoulli", smallest=0.3)
    assert_matches(arm, "arm", form="gradient", distribution="bernoulli", smallest=0.2)
    assert_matches(gumbel_hard, "gumbel_st[temperature=0.5]", form="sampler", distribution="categorical", smallest=0.2)
    assert_matches(rloo, "rloo", form="gradient", distribution="bernoulli", smallest=0.3)


def test_different_estimators_do_not_match() -> None:
    """Another mean, or another variance about the same mean, is a difference."""
    with pytest.raises(AssertionError, match="differ"):
        assert_matches("reinforce", "rloo", distribution="bernoulli")
    with pytest.raises(AssertionError, match="differ"):
        assert_matches(disarm_double, disarm, form="gradient", other_form="gradient", distribution="bernoulli")


def gradient(logits: Tensor, f: Any, samples: int) -> Tensor:
    """REINFORCE."""
    p = logits.sigmoid()
    z = torch.bernoulli(p.expand(samples, *p.shape))
    estimate: Tensor = (f(z).unsqueeze(-1) * (z - p)).mean(0)
    return estimate


ARGUMENTS = ("form", "distribution", "samples", "smallest", "limit", "seed")
WRONG = [np.array([1, 2]), [], "x", object(), -1, 1j]


@pytest.mark.parametrize("given", WRONG, ids=lambda given: type(given).__name__)
@pytest.mark.parametrize(
    ("call", "name"),
    [(call, name) for call in (estbench.check, estbench.testing.assert_unbiased) for name in ARGUMENTS]
    + [(estbench.adapt, name) for name in ARGUMENTS[:3]],
)
def test_wrong_arguments(call: Any, name: str, given: Any) -> None:
    """Each is refused by its name, and is no fault of the function."""
    with pytest.raises(UsageError, match=f"^{name}"):
        call(gradient, **{"form": "gradient", "distribution": "bernoulli", name: given})
