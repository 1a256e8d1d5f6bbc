"""docs/training.md is true: its Python runs, and its lists are those of the facts."""

from __future__ import annotations

import math
import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import OneHotCategoricalStraightThrough

from estbench import catalogue
from estbench.distributions import Bernoulli, Categorical
from estbench.estimators.base import Estimator
from estbench.training import expectation, sample
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


@pytest.mark.parametrize("K", [2, 3])
def test_the_sum_over_all_states_is_right(K: int) -> None:
    """The block that stands for TraceEnum_ELBO: value and all gradients are those of independent enumeration."""
    (block,) = re.findall(r"```python\n(q = Categorical.*?)```", PAGE, re.DOTALL)
    encoder, decoder = (torch.nn.Linear(n, m).double() for n, m in ((4, 6), (6, 4)))
    x = torch.randn(8, 4, generator=seeded(), dtype=torch.float64)

    def nll(z: Tensor) -> Tensor:
        value: Tensor = (decoder(z) - x.unsqueeze(1)).square().sum(-1)
        return value

    names: dict[str, Any] = {"encoder": encoder, "x": x, "nll": nll, "math": math, "Categorical": Categorical}
    exec(compile(block.replace("view(8, 2, 3)", f"view(8, {6 // K}, {K})"), "docs/training.md", "exec"), names)  # noqa: S102 - it is our own page
    parameters = [*encoder.parameters(), *decoder.parameters()]
    found = [p.grad for p in parameters if p.grad is not None]

    probabilities, value = encoder(x).view(8, 6 // K, K).softmax(-1), torch.zeros(8, dtype=torch.float64)
    for classes in product(range(K), repeat=6 // K):
        z = torch.eye(K, dtype=torch.float64)[list(classes)]
        P = (probabilities * z).sum(-1).prod(-1)
        value = value + P * (nll(z.flatten().expand(8, 1, -1)).squeeze(1) + P.log() + len(classes) * math.log(K))
    torch.testing.assert_close(names["bound"], value)
    torch.testing.assert_close(found, list(torch.autograd.grad(value.mean(), parameters)))


@pytest.mark.parametrize("live", [False, True])
def test_log_q_of_live_logits_is_noise_alone(live: bool) -> None:
    """The gradient by `enumerate` is exact with log q of detached logits; else it is so in mean, and noisy."""
    logits, M = torch.tensor([[0.4, -1.3], [0.8, 0.1]], dtype=torch.float64), 4000

    def loss(z: Tensor, at: Tensor) -> Tensor:
        return torch.sin(2 * z.sum(-1) + 0.3) + Bernoulli(at).log_prob(z)

    leaf = logits.clone().requires_grad_()
    states = Bernoulli(leaf).states().expand(2, -1, -1)
    (g,) = torch.autograd.grad((Bernoulli(leaf).log_prob(states).exp() * loss(states, leaf)).sum(), leaf)
    many = logits.repeat(M, 1).requires_grad_()
    at = many if live else many.detach()
    value = expectation(lambda z: loss(z, at), Bernoulli(many), "enumerate", generator=seeded())
    found = torch.autograd.grad(value.sum(), many)[0].view(M, 2, 2)
    assert (found.var(0).min() > 0.05) == live
    torch.testing.assert_close(found.mean(0), g, rtol=0.0, atol=0.05 if live else 1e-12)  # six standard errors


def test_estimators_of_the_page_exist() -> None:
    """Every estimator that a call on the page names is in the catalogue."""
    called = re.findall(r'(?:sample|expectation)\(.*?"(\w+)[\["]', PAGE.split("## A whole example")[0])
    assert len(called) > 15
    assert set(called) <= {*catalogue.ESTIMATORS}
