"""The report: every label as text, and a bounded size, with a word on what is left out."""

from __future__ import annotations

import html
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from estbench import report
from tests.frames import LABELS, NAN, frame, measured

MANIFEST = Path(__file__).parents[2] / "results" / "reference" / "manifest.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run folder with a manifest, whose name needs quotes."""
    path = tmp_path / "my run"
    path.mkdir()
    shutil.copy(MANIFEST, path)
    return path


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[pd.DataFrame]:
    """The frames that figures would be drawn of; none is drawn."""
    frames: list[pd.DataFrame] = []

    def record(given: pd.DataFrame, *_: Any, **__: Any) -> Sequence[Path]:
        frames.append(given)
        return []

    monkeypatch.setattr(report, "draw", record)
    return frames


def page(folder: Path, rows: pd.DataFrame) -> str:
    """The page that is written of these rows."""
    return report.write(folder, rows).read_text()


@pytest.mark.usefixtures("drawn")
def test_every_label_is_text(folder: Path) -> None:
    """Each label, of an estimator or of a problem, stands in the page as it was given, and none becomes markup."""
    text = page(folder, frame(measured("ste", NAN, 1, "monte_carlo", label=name, problem=name) for name in LABELS))
    cells = [html.unescape(cell) for cell in re.findall(r"<td[^>]*>([^<]*)</td>", text)]
    heads = [html.unescape(head) for head in re.findall(r"<h2[^>]*>([^<]*)", text)]
    for label in LABELS:
        assert label in cells
        assert any(head.strip() == label for head in heads)
    assert "<b>" not in text


@pytest.mark.parametrize("beyond", [0, 1])
def test_problems_beyond_the_limit_have_no_figures(folder: Path, drawn: list[pd.DataFrame], beyond: int) -> None:
    """Twenty problems have figures; one more has its table, and is told of with the command that draws it."""
    labels = [f"problem {i}" for i in range(20 + beyond)]
    text = html.unescape(page(folder, frame(measured("ste", NAN, 1, "monte_carlo", problem=name) for name in labels)))
    assert list(drawn[0]["problem"]) == labels[:20]
    assert all(label in text for label in labels)
    said = f"Figures of the first 20 of 21 problems; `estbench plot '{folder}'` draws those of all."
    assert (said in text) == bool(beyond)


@pytest.mark.usefixtures("drawn")
@pytest.mark.parametrize("beyond", [0, 1])
def test_results_beyond_the_limit_are_told_of(folder: Path, beyond: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many rows as the limit says are in the tables; one more is told of with the command that writes it."""
    assert report.ROWS == 10_000
    monkeypatch.setattr(report, "ROWS", 1_000)  # a page is made in a tenth of the time
    one = frame([measured("ste", NAN, 1, "monte_carlo")])
    rows = pd.concat([one] * (1_000 + beyond), ignore_index=True)
    rows["samples"] = range(1, len(rows) + 1)
    text = html.unescape(page(folder, rows))
    assert len(re.findall(r"<tr>\s*<td", text)) == 1_000
    said = f"The first 1,000 of 1,001 results; `estbench export '{folder}'` writes all."
    assert (said in text) == bool(beyond)


def test_figures_are_in_the_page(folder: Path) -> None:
    """Every kind of the report, of every problem, as an image in the page."""
    rows = [measured("gumbel", tau, n, "exact") for tau in (0.5, 1.0) for n in (1, 4)]
    text = page(folder, frame(rows))
    assert text.count('src="data:image/png;base64,') == 3
