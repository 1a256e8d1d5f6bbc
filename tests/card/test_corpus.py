"""The card over functions as users write them: no right one is accused, each wrong one is, with its cause.

Sampling is decided at a relative bias of 25 %. An unbiased function is accused in fewer than 1 of 1000 runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from estbench.card.card import Card
from estbench.card.look import look
from estbench.card.mistakes import MISTAKES
from estbench.card.target import resolved
from tests.card.entry import Entry
from tests.card.right import RIGHT
from tests.card.wrong import WRONG
from tests.sizes import at_whole_size

SEEN = 0.25


def card(entry: Entry, *, brief: bool = True) -> Card:
    """The card of a function."""
    options: dict[str, object] = {}
    found = resolved(entry.function, entry.form, entry.distribution, None, None, unbiased=None, options=options)
    return look(found.subject, found.distributions, smallest=SEEN, limit=20.0, brief=brief)


FAST = {
    "plain_advantages", "reinforce_loss", "importance_loss", "arm", "straight_through",
    "antithetic_difference", "best_loss", "clipped_advantages", "first_variable_only", "half_updated_baseline",
    "laplace_sampler", "middle_as_baseline", "running_mean", "self_normalised", "value_of_relaxed",
}  # fmt: skip
"""A few of each form, right and wrong: the others are slow."""


def each(entries: Sequence[Entry]) -> list[Any]:
    """A parameter for each; slow is what is not in `FAST`."""
    return [pytest.param(e, id=e.id, marks=[] if e.id in FAST else [pytest.mark.slow]) for e in entries]


@pytest.mark.parametrize("entry", each(RIGHT))
def test_right_functions_pass(entry: Entry) -> None:
    """A function that is right has no failure."""
    found = card(entry)
    assert found.ok, str(found)


@pytest.mark.parametrize("entry", each(WRONG))
def test_wrong_functions_fail_with_their_cause(entry: Entry) -> None:
    """A function that is wrong fails, and the first cause that is named is the right one."""
    found = card(entry)
    assert not found.ok
    assert found.failures[0].key in entry.causes, str(found)


@pytest.mark.slow
@at_whole_size
def test_false_alarms() -> None:
    """Over 20 seeds, four right functions that are sampled are never accused: 80 cards, each below 1 in 1000."""
    for name in ("reinforce_loss", "arm", "rloo", "categorical_loss"):
        (entry,) = (e for e in RIGHT if e.id == name)
        found = resolved(entry.function, entry.form, entry.distribution, None, None, unbiased=None, options={})
        for seed in range(1, 21):
            card = look(found.subject, found.distributions, smallest=SEEN, limit=20.0, brief=True, seed=seed)
            assert card.ok, (name, seed, str(card))


def test_the_corpus_is_large() -> None:
    """There are 40 wrong functions and 30 right ones at least, and both in all four forms."""
    assert len(WRONG) >= 40
    assert len(RIGHT) >= 30
    for entries in (WRONG, RIGHT):
        assert {entry.form for entry in entries} == {"sampler", "loss", "gradient", "advantages"}


def test_each_mistake_has_a_key_of_its_own() -> None:
    """No two mistakes have one key."""
    assert len({mistake.key for mistake in MISTAKES}) == len(MISTAKES)
