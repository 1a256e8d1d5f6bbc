"""`estbench check TARGET`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from estbench.card.check import check
from estbench.card.config import ConfigCard
from estbench.card.target import resolved
from estbench.cli import check as command
from estbench.errors import UsageError
from tests.sizes import at_whole_size

ROOT = Path(__file__).parents[2]
MINE = """
import os, torch

def good(logits, f, samples):
    z = torch.bernoulli(torch.sigmoid(logits).expand(samples, *logits.shape))
    return (f(z).unsqueeze(-1) * (z - torch.sigmoid(logits))).mean(0)

def bad(logits, f, samples):
    print("said by mine")
    z = torch.bernoulli(torch.sigmoid(logits).expand(samples, *logits.shape))
    return (f(z).unsqueeze(-1) * (z - torch.sigmoid(logits))).sum(0)

def deadly(logits, f):
    os.kill(os.getpid(), 9)
"""


def estbench(folder: Path, *arguments: str, columns: int = 80) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    (folder / "mine.py").write_text(MINE)
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "COLUMNS": str(columns), "NO_COLOR": "1"}
    command = [sys.executable, "-m", "estbench", "check", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.parametrize("name", ["good[form=gradient]", "good[samples=2,distribution=bernoulli]", "made"])
def test_what_is_said_of_a_function_in_brackets_is_taken(name: str, tmp_path: Path) -> None:
    """`my_file.py:fn[form=…,samples=…,distribution=…]` is the function with that said, and an adapted one is it."""
    (tmp_path / "said.py").write_text(MINE + "\nfrom estbench import adapt\nmade = adapt(good, samples=2)\n")
    found = resolved(f"{tmp_path}/said.py:{name}", None, None, None, None, unbiased=None, options={})
    assert (found.subject.form, found.subject.options) == ("gradient", {})
    assert found.subject.samples == (None if "form" in name else 2)


@pytest.mark.parametrize("logits", [None, "[0.5]"])
def test_another_link_is_refused_for_what_it_is(logits: str | None) -> None:
    """The options of a distribution are read, with and without logits, and wrong ones are named."""
    with pytest.raises(UsageError, match="the card looks at Bernoulli variables with the link sigmoid"):
        command.check("reinforce", distribution="bernoulli[link=probit]", logits=logits)
    with pytest.raises(UsageError, match="probot"):
        command.check("reinforce", distribution="bernoulli[link=probot]", logits=logits)


@pytest.mark.slow
@at_whole_size
def test_a_function_that_is_right(tmp_path: Path) -> None:
    """Exit 0, and a card."""
    done = estbench(tmp_path, "mine:good", "--as", "gradient", "--distribution", "bernoulli", "--smallest", "0.3")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("mine:good (gradient): ok")


@at_whole_size
@pytest.mark.slow
def test_a_function_that_is_wrong(tmp_path: Path) -> None:
    """Exit 3; the failure and its cause stand on lines of their own; what the function prints is not among them."""
    done = estbench(tmp_path, "mine:bad", "--distribution", "bernoulli", "--smallest", "0.3", columns=60)
    assert done.returncode == 3
    assert any(line.startswith("FAILED") for line in done.stdout.splitlines())
    assert "are summed, not averaged" in " ".join(done.stdout.split())
    assert max(map(len, done.stdout.splitlines())) <= 60
    assert "said by mine" not in done.stdout


@pytest.mark.slow
@at_whole_size
def test_a_function_that_ends_its_process(tmp_path: Path) -> None:
    """It fails; the command goes on, and its XML is whole."""
    done = estbench(tmp_path, "mine:deadly", "--as", "gradient", "--format", "junit")
    assert done.returncode == 3
    root = ElementTree.fromstring(done.stdout)  # noqa: S314 - it is our own
    failure = root.find("testsuite/testcase/failure")
    assert failure is not None
    assert "it died" in str(failure.get("message"))


CONFIG = """
name: small
replicates: 1000
problems: [{objective: quadratic, distribution: bernoulli, logits: 1.0}]
estimators: [reinforce]
"""


def test_a_config(tmp_path: Path) -> None:
    """A config is looked at as before, in the formats of cards too, in Python as well."""
    path = tmp_path / "small.yaml"
    path.write_text(CONFIG)
    card = check(path)
    assert isinstance(card, ConfigCard)
    assert json.loads(card.to_json())["ok"] is True
    assert "| reinforce | ok |" in repr(card)
    suite = ElementTree.fromstring(card.to_junit()).find("testsuite")  # noqa: S314 - it is our own
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures")) == ("2", "0")


def test_options_of_targets() -> None:
    """An option stands in brackets; one that is unknown or of another type is wrong usage."""
    target = "tests.card.right:concrete"
    assert check(f"{target}[tau=0.4]", distribution="bernoulli", smallest=0.5, limit=60.0).ok
    for wrong in (f"{target}[nosuch=1]", "rloo[nosuch=1]"):
        with pytest.raises(UsageError, match="has no option 'nosuch'"):
            check(wrong)
    with pytest.raises(UsageError, match="temperature"):
        check("gumbel[temperature=warm]")


def test_wrong_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is nothing is wrong usage, with a suggestion."""
    monkeypatch.chdir(ROOT / "docs")
    with pytest.raises(UsageError, match="Did you mean 'gumbel'"):
        command.check("gumble")
    with pytest.raises(UsageError, match="--logits: expected"):
        command.check("rloo", logits="[0.5")
    with pytest.raises(UsageError, match="--set is for configs"):
        command.check("rloo", settings=["a=1"])
