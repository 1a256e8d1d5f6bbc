"""`estbench check TARGET`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

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


def test_a_function_that_is_right(tmp_path: Path) -> None:
    """Exit 0, and a card."""
    done = estbench(tmp_path, "mine:good", "--as", "gradient", "--distribution", "bernoulli", "--smallest", "0.3")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("mine:good (gradient): ok")


def test_a_function_that_is_wrong(tmp_path: Path) -> None:
    """Exit 3; the failure and its cause stand on lines of their own; what the function prints is not among them."""
    done = estbench(tmp_path, "mine:bad", "--distribution", "bernoulli", "--smallest", "0.3", columns=60)
    assert done.returncode == 3
    assert any(line.startswith("FAILED") for line in done.stdout.splitlines())
    assert "are summed, not averaged" in " ".join(done.stdout.split())
    assert max(map(len, done.stdout.splitlines())) <= 60
    assert "said by mine" not in done.stdout


def test_a_function_that_ends_its_process(tmp_path: Path) -> None:
    """It fails; the command goes on, and its XML is whole."""
    done = estbench(tmp_path, "mine:deadly", "--as", "gradient", "--format", "junit")
    assert done.returncode == 3
    root = ElementTree.fromstring(done.stdout)  # noqa: S314 - it is our own
    failure = root.find("testsuite/testcase/failure")
    assert failure is not None
    assert "it died" in str(failure.get("message"))


@pytest.mark.parametrize("target", ["rloo", "reference"])
def test_formats_for_programs(tmp_path: Path, target: str) -> None:
    """An estimator and a config have JSON, and the same exit codes."""
    done = estbench(tmp_path, target, "--format", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ok"] is True


def test_wrong_usage(tmp_path: Path) -> None:
    """What is nothing is wrong usage, with a suggestion."""
    done = estbench(tmp_path, "gumble")
    assert done.returncode == 2
    assert "Did you mean 'gumbel'?" in done.stderr
    done = estbench(tmp_path, "rloo", "--logits", "[0.5", "--objective", "quadratic")
    assert done.returncode == 2
    assert "--logits" in done.stderr
