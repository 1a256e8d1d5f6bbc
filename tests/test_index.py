"""The catalogue is listed and shown from an index that is never believed where the code says otherwise."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from estbench import guide, index
from estbench.cli.app import app
from estbench.cli.catalogue import completed
from estbench.index import Contents

HEAVY = {"torch", "pandas", "numpy", "estbench.catalogue"}


def said(*arguments: str) -> Result:
    """What a command says, at 200 columns."""
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})


@pytest.fixture(scope="module")
def from_code() -> Contents:
    """What the code says."""
    return guide.contents()


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the index, which is read in its place and may be spoiled."""
    path = tmp_path / "catalogue.json"
    path.write_text(index.FILE.read_text())
    monkeypatch.setattr(index, "FILE", path)
    return path


def test_the_index_is_what_the_code_says(from_code: Contents) -> None:
    """`make docs` was run since the sources changed, and every row and page is that of the code."""
    assert index.read() == from_code, "make docs"


@pytest.mark.parametrize("spoiled", ["", "[]", "{}", '{"sources": 1}', None])
def test_a_damaged_index_is_not_read(copy: Path, spoiled: str | None, from_code: Contents) -> None:
    """Whatever stands in its place, the code answers."""
    copy.unlink() if spoiled is None else copy.write_text(spoiled)
    assert index.read() is None
    assert said("show", "rebar").stdout.split() == from_code.pages["rebar"].split()


def test_an_estimator_that_was_just_added_is_listed(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index of other sources is left alone: name, row and page come from the code."""
    record = json.loads(copy.read_text())
    record["estimators"] = [entry for entry in record["estimators"] if entry["row"]["name"] != "rebar"]
    del record["pages"]["rebar"]
    copy.write_text(json.dumps(record))
    assert "rebar" not in said("list").stdout
    monkeypatch.setattr(index, "digests", lambda: {"catalogue.py": "as if it had changed"})
    assert "rebar" in said("list").stdout
    assert said("show", "rebar").exit_code == 0


def test_the_digests_cover_every_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed byte, a new file and another name each change it; a file that is no source does not."""
    for source in index.SOURCES:
        path = tmp_path / source
        path.parent.mkdir(exist_ok=True)
        path.mkdir(exist_ok=True) if not path.suffix else path.write_text("x")
    monkeypatch.setattr(index, "ROOT", tmp_path)
    seen = [index.digests()]
    added = tmp_path / "estimators" / "new" / "one.py"
    added.parent.mkdir()
    for text in ("", "a"):
        added.write_text(text)
        seen.append(index.digests())
    added.rename(added.with_name("two.py"))
    (tmp_path / "draws.py").write_text("no source of words")
    seen.append(index.digests())
    assert all(a != b for a, b in combinations(seen, 2))


def test_a_changed_source_is_one_changed_line() -> None:
    """The file has a line for each source, so that branches that change different sources merge."""
    lines = index.FILE.read_text().splitlines()
    for source, found in index.digests().items():
        assert sum(f'"{source}": "{found}"' in line for line in lines) == 1


def test_list_and_show_import_nothing_heavy() -> None:
    """Neither torch nor pandas nor the catalogue is imported for what the index knows."""
    code = (
        "import sys; from estbench.cli.app import app\n"
        "for words in 'list', 'list objectives', 'show rebar', 'show bengio_centred':\n"
        "    try: app(words.split())\n"
        "    except SystemExit as end: assert not end.code, words\n"
        f"    assert not {HEAVY} & set(sys.modules), words"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)


def test_the_list_explains_what_is_unbiased_for_a_gradient_of_its_own() -> None:
    """The word `own` has a line below the table, where some row has it."""
    note = "own: unbiased for the gradient of an expectation of its own"
    assert note in said("list").stdout
    assert note not in said("list", "--family", "antithetic").stdout
    assert note not in said("list", "objectives").stdout


def test_names_are_completed() -> None:
    """A word begun becomes the names that begin so."""
    assert completed("gumbel") == ["gumbel", "gumbel_st", "gumbel_rao", "gumbel_softmax"]


def test_a_page_says_what_it_is_then_how_then_how_biased_then_the_cost() -> None:
    """In this order, on every page of an estimator: a sentence, the formula, the bias and its reason, the cost."""
    contents = index.read()
    assert contents is not None
    for entry in contents.estimators:
        name = entry.row["name"]
        title, sentence, formula, *rest = contents.pages[name].split("\n\n")
        assert title == name
        assert sentence[0].isupper() or sentence[0] in "∇"
        assert sentence.endswith(".")
        assert formula != sentence
        bias = next(i for i, text in enumerate(rest) if text.split()[0].strip(",;:.") in BIAS)
        assert WHY.search(rest[bias]), rest[bias]
        assert rest[bias + 1].startswith("Unbiased  ")
        assert rest[bias + 1].splitlines()[1].startswith("Cost  ")


BIAS = {"Biased", "Unbiased", "Exact", "One-sided"}
WHY = re.compile(r": | as | for | at | but |, at ")
"""What stands before the reason, or the condition, in a sentence on bias."""


def test_a_page_with_options_has_the_facts_at_these_options() -> None:
    """`show NAME[option=value]` builds it; an option that does not fit is told, with those there are."""
    for options, unbiased in (("one-sided", "yes"), ("smoothed", "no")):
        page = said("show", f"stochastic_ad[variant={options}]").stdout
        assert f"Unbiased      {unbiased}\n" in page
        assert f"variant={options}" in page
    wrong = said("show", "rloo[x=1]")
    assert wrong.exit_code == 2
    assert "rloo has no option 'x'; its options: none" in wrong.output
    wrong = said("show", "rebar[temperature=-1]")
    assert wrong.exit_code == 2
    assert "temperature" in wrong.output
