"""How a card is written out."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from estbench.card.card import Card
from estbench.card.findings import Beside, Bias, Finding
from estbench.card.members import Figures
from estbench.card.render import merged

LONG = "E ĝ is 25 % of ‖g‖ away from g at N = 4: 512 estimates, p < 1e-12 (sine bernoulli D=1)"
CARD = Card(
    "mine.py:f|<b>",
    "gradient",
    (
        Finding(
            "unbiased",
            False,
            LONG,
            "the baseline is a mean that includes its own sample",
            "inclusive",
            0.0,
            "bernoulli",
        ),
        Finding("deterministic", True, "the same seed", distribution="bernoulli"),
        Finding("deterministic", True, "the same seed", distribution="categorical"),
        Finding("batch of logits", None, "not checked, because it takes none", distribution="bernoulli"),
    ),
    (Bias("bernoulli", ("a pure rescaling: E ĝ = 0.75 g",)),),
    (Beside("bernoulli", "mlp bernoulli D=3", (Figures("f", 4, 4.0, 0.3, 0.4, 0.9),), "the same as `rloo`, in law"),),
)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120])
def test_failures_have_lines_of_their_own(width: int) -> None:
    """At any width the failure comes first, begins a line, and no line is too wide."""
    lines = CARD.to_text(width).splitlines()
    assert max(map(len, lines)) <= width
    below = lines[lines.index("") + 1 :]
    assert below[0].startswith("FAILED")
    assert any(line.strip().startswith("usual cause:") for line in lines)


def test_what_is_the_same_for_both_is_said_once() -> None:
    """Findings that agree for both distributions are one line."""
    assert "deterministic (bernoulli and categorical): the same seed" in CARD.to_text(100)


def test_a_distribution_is_named_once() -> None:
    """Of a finding that comes twice for one distribution, as of two problems, too."""
    (found,) = merged([CARD.findings[1], CARD.findings[1], CARD.findings[2]])
    assert found.distribution == "bernoulli and categorical"


def test_json() -> None:
    """JSON holds the verdict and each finding with its status and cause."""
    read = json.loads(CARD.to_json())
    assert read["ok"] is False
    assert [f["status"] for f in read["findings"]] == ["failed", "ok", "ok", "not checked"]
    assert read["findings"][0]["key"] == "inclusive"
    assert read["beside"][0]["figures"][0]["samples"] == 4


def test_junit() -> None:
    """JUnit's XML counts failures and skipped cases, and its failure holds the cause."""
    root = ElementTree.fromstring(CARD.to_junit())  # noqa: S314 - it is our own
    suite = root.find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("4", "1", "1")
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert "usual cause: the baseline" in (failure.text or "")
    assert failure.get("type") == "inclusive"


def test_junit_fails_where_nothing_was_measured() -> None:
    """A card that knows nothing of the mean has a failing case, as CI does not fail for skipped ones."""
    card = Card("f", "loss", (Finding("unbiased", None, "not checked, because no time was left"),))
    root = ElementTree.fromstring(card.to_junit())  # noqa: S314 - it is our own
    assert root.find("testsuite/testcase/failure") is not None
    assert not card.ok


def test_markdown_and_html_escape() -> None:
    """What a target is called breaks neither a table nor a page."""
    assert "mine.py:f\\|&lt;b>" in CARD.to_markdown()
    assert "mine.py:f|&lt;b&gt;" in CARD._repr_html_()
    assert "| unbiased (bernoulli) | failed |" in CARD.to_markdown()


def test_it_prints_itself() -> None:
    """`repr` and `str` are the text."""
    assert repr(CARD) == str(CARD)
    assert repr(CARD).startswith("mine.py:f|<b> (gradient): failed: 1 of 4 claims")
