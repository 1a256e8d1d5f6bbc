"""Labels are text: words that mean "unknown" elsewhere, and signs of every format, come out as they went in."""

from __future__ import annotations

import csv
import io
import json
import re

import pandas as pd
import pytest
from matplotlib.text import Text
from rich.console import Console

from estbench.config import load
from estbench.errors import UsageError
from estbench.outputs import FIGURES
from estbench.plots import DRAWN_BY
from estbench.tables.formats import encode, for_readers
from estbench.tables.ranking import ranking
from estbench.tables.summary import summary
from estbench.views import finished, readable
from tests.frames import LABELS, NAN, frame, measured


@pytest.fixture(scope="module")
def labelled() -> pd.DataFrame:
    """One Monte Carlo cell for each label."""
    return frame(measured("ste", NAN, n, "monte_carlo", label=label) for label in LABELS for n in (1, 4))


@pytest.mark.parametrize("label", ["", " ", " a", "a\n", "a\x1b"])
def test_labels_that_would_not_be_seen_are_refused(label: str) -> None:
    """An empty label, spaces at an end and signs that do not print: what may be given is said."""
    problem = {"objective": "quadratic", "distribution": "bernoulli", "logits": [1.0]}
    with pytest.raises(UsageError, match="expected one line of 1 to"):
        load({"name": "x", "problems": [problem], "estimators": [{"name": "ste", "label": label}]})


def test_every_label_is_the_name_of_its_rows(labelled: pd.DataFrame) -> None:
    """Two labels never become one, and none becomes the name of the estimator."""
    assert list(dict.fromkeys(readable(labelled)["name"])) == LABELS


def test_csv_has_every_label(labelled: pd.DataFrame) -> None:
    """Read as text, or by pandas as the help of `export` says, the column of labels is what was given."""
    text = encode(labelled, "csv").decode()
    assert [row["label"] for row in csv.DictReader(io.StringIO(text))][::2] == LABELS
    read = pd.read_csv(io.StringIO(text), keep_default_na=False, na_values=[""])
    assert list(read["label"])[::2] == LABELS


def test_json_and_parquet_have_every_label(labelled: pd.DataFrame) -> None:
    """A label null is a text, and what is unknown is none."""
    records = json.loads(encode(labelled, "json"))
    assert [record["label"] for record in records][::2] == LABELS
    assert records[0]["temperature"] is None
    read = pd.read_parquet(io.BytesIO(encode(labelled, "parquet")))
    assert list(read["label"])[::2] == LABELS


def test_markdown_has_every_label(labelled: pd.DataFrame) -> None:
    """Without its escapes each is in a row of its own, and every row has as many cells as the head."""
    lines = encode(for_readers(labelled), "markdown").decode().splitlines()
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    assert len({len(row) for row in cells}) == 1
    shown = [re.sub(r"\\(.)", r"\1", row[1].strip()) for row in cells[2::2]]
    assert shown == LABELS


def test_latex_has_every_label(labelled: pd.DataFrame) -> None:
    """No sign of LaTeX is left bare in a label, and no two labels are written alike."""
    lines = encode(for_readers(labelled), "latex").decode().splitlines()[4:-2:2]
    cells = [re.split(r"(?<!\\)&", line)[1].strip() for line in lines]
    assert len(set(cells)) == len(LABELS)
    for cell in cells:
        left = re.sub(r"\\[&%$#_{}]|\\text\w+(\{\}|\{2\})|\$\\\w+\$", "", cell)
        assert not set(left) & set("&%$#_\\"), cell


def test_tables_for_the_terminal_have_every_label(labelled: pd.DataFrame) -> None:
    """As they are: brackets are no markup, and nothing is unknown."""
    console = Console(file=io.StringIO(), width=200)
    with console.capture() as text:
        console.print(summary(labelled, 0.95))
    for label in LABELS:
        assert re.search(rf"^{re.escape(label)} ", text.get(), re.MULTILINE), label


@pytest.mark.parametrize("kind", ["overview", "samples"])
def test_figures_have_every_label(labelled: pd.DataFrame, kind: str) -> None:
    """In the legend or along the axis, as it is."""
    figure = DRAWN_BY[kind](finished(readable(labelled)), 0.95)
    assert figure is not None
    texts = {text.get_text() for text in figure.findobj(Text) if isinstance(text, Text)}
    assert {label for label in LABELS if not any(text.startswith(label) for text in texts)} == set()


@pytest.mark.parametrize("kind", list(FIGURES))
def test_every_figure_says_the_level_of_the_run(kind: str) -> None:
    """80 % where the intervals are at 80 %, and nowhere 95 %."""
    rows = [
        measured("gumbel", tau, n, method) for tau in (0.5, 1.0) for n in (1, 4) for method in ("monte_carlo", "exact")
    ]
    figure = DRAWN_BY[kind](finished(readable(frame(rows))), 0.8)
    assert figure is not None
    said = " ".join(text.get_text() for text in figure.texts)
    assert "80 %" in said
    assert "95" not in said


def test_a_ranking_has_labels_that_look_unknown() -> None:
    """`ranking` shows None and nan as names."""
    rows = [
        {"problem": "p", "basis": "equal samples", "rank": i + 1, "name": label, "temperature": NAN, "samples": 1,
         "f_evaluations": 1, "grad_evaluations": 0, "metric": "mse", "value": 1.0, "value_low": 0.9, "value_high": 1.1,
         "ratio": 1.0, "ratio_low": 0.9, "ratio_high": 1.1, "verdict": "", "flags": ""}
        for i, label in enumerate(["NA", "nan", "None"])
    ]  # fmt: skip
    console = Console(file=io.StringIO(), width=120)
    with console.capture() as text:
        console.print(ranking(pd.DataFrame(rows), "NA", 0.95))
    for i, label in enumerate(["NA", "nan", "None"]):
        assert f"{i + 1} {label} " in re.sub(" +", " ", text.get())
