"""docs/training.md is true: its Python runs, and its lists are those of the facts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import OneHotCategoricalStraightThrough

from estbench import catalogue
from estbench.distributions import Categorical
from estbench.estimators.base import Estimator
from estbench.training import sample
from tests.estimators.members import variants
from tests.training.steps import options, seeded

PAGE = (Path(__file__).parents[2] / "docs" / "training.md").read_text()


@pytest.mark.slow
def test_the_python_of_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """All blocks, one after the other; the last trains a small model by each of five estimators."""
    state, names = torch.get_rng_state(), {"__name__": "page"}
    try:
        for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
            exec(compile(block, "docs/training.md", "exec"), names)  # noqa: S102 - it is our own page
    finally:
        torch.set_rng_state(state)
    assert len(re.findall(r"^.*: [\d.]+ to [\d.]+$", capsys.readouterr().out, re.MULTILINE)) == 5


def test_the_page_names_the_nodes() -> None:
    """Whom `sample` serves: each estimator that is a node by default, or at the options that make it one."""
    (listed,) = re.findall(r"^`sample` serves (.*?)\. All others", PAGE, re.DOTALL | re.MULTILINE)
    found = set()
    for name, kind in catalogue.ESTIMATORS.items():
        one: Any = kind()
        if one.facts.node:
            found.add(name)
        else:
            found |= {name + options(o) for o in variants(name) if _at(kind, o).facts.node}
    assert set(re.findall(r"`([^`]+)`", listed)) == found


def _at(kind: Any, given: dict[str, Any]) -> Estimator:
    made: Estimator = kind(**given)
    return made


def test_the_table_of_migration_is_right() -> None:
    """What stands for torch's straight-through categorical has its gradient, at the same sample."""
    logits = torch.randn(6, 2, 3, generator=seeded(), dtype=torch.float64).requires_grad_()
    above = torch.randn(6, 2, 3, generator=seeded(1), dtype=torch.float64)
    theirs = OneHotCategoricalStraightThrough(logits=logits).rsample()
    ours: Tensor = sample(Categorical(logits), "ste")
    for_them, for_us = (torch.autograd.grad((z * above).sum(), logits)[0] for z in (theirs, ours))
    torch.testing.assert_close(for_us, for_them)  # J(π) g: the same for every sample
    assert torch.equal(ours.sum(-1), torch.ones(6, 2, dtype=torch.float64))


def test_estimators_of_the_page_exist() -> None:
    """Every estimator that a call on the page names is in the catalogue."""
    called = re.findall(r'(?:sample|expectation)\(.*?"(\w+)[\["]', PAGE.split("## A whole example")[0])
    assert len(called) > 15
    assert set(called) <= {*catalogue.ESTIMATORS}
