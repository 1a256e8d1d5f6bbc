"""Options that are numbers take numbers of Python, numpy and torch, alike wherever they are given."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

import estbench
from estbench import catalogue
from estbench.adapters import adapt
from estbench.errors import UsageError
from estbench.estimators.control_variate.rebar import Rebar
from estbench.estimators.relaxation.gumbel import Gumbel
from estbench.estimators.straight_through.gapped_st import GappedSt
from estbench.networks.vae import Vae
from estbench.objectives.quadratic import Quadratic
from estbench.options import _is_number

HALF: list[Any] = [0.5, np.float32(0.5), np.float64(0.5), np.array(0.5), torch.tensor(0.5), torch.tensor([0.5])]
ONE: list[Any] = [1, np.int64(1), np.uint8(1), torch.tensor(1)]
NO_NUMBERS: list[Any] = [
    True,
    np.True_,
    torch.tensor(True),
    "0.5",
    "inf",
    b"0.5",
    0.5j,
    torch.ones(2),
    np.ones(2),
    [0.5],
]
LEARNED: list[Any] = [nn.Parameter(torch.tensor(0.5)), torch.tensor(1.0, requires_grad=True) * 2]
KINDS: tuple[Any, ...] = (catalogue.ESTIMATORS, catalogue.OBJECTIVES, catalogue.NETWORKS)
NUMERIC = [
    (kind, option)
    for known in KINDS
    for kind in known.values()
    for option, info in kind.__pydantic_fields__.items()
    if _is_number(info.annotation)
]


@pytest.mark.parametrize("value", [*HALF, *ONE])
def test_a_number_is_one_of_python(value: Any) -> None:
    """Built by name or place, changed, or given with a name."""
    found = [Gumbel(temperature=value), Gumbel(value), replace(Gumbel(), temperature=value), Rebar(eta=value)]
    number = float(value)
    assert [type(vars(one).get("eta", one.temperature)) for one in found] == [float] * 4  # type: ignore[attr-defined]
    assert found[:3] == [Gumbel(number)] * 3
    assert found[3] == Rebar(eta=number)
    assert estbench.sample(estbench.Bernoulli(torch.zeros(3)), "gumbel", temperature=value).shape == (3,)


@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
def test_what_is_no_number_is_refused(value: Any) -> None:
    """By a built estimator and by a measurement with a name; but words that an option has are taken."""
    with pytest.raises((UsageError, ValidationError)):
        Gumbel(temperature=value)
    for estimator in ("gumbel", Gumbel()):
        with pytest.raises(UsageError, match="temperature must be a number, got"):
            estbench.sample(estbench.Bernoulli(torch.zeros(3)), estimator, temperature=value)
    with pytest.raises(UsageError, match="temperature"):
        estbench.measure([{"name": "gumbel", "temperature": value}], Quadratic(), estbench.Bernoulli([0.5]))
    assert GappedSt(gap="p").gap == "p"
    assert Rebar(eta="fitted").eta == "fitted"


@pytest.mark.parametrize("value", LEARNED)
@pytest.mark.parametrize(("kind", "option"), NUMERIC)
def test_no_option_takes_a_tensor_that_requires_a_gradient(kind: Any, option: str, value: Any) -> None:
    """It would get none, which each says in the same words."""
    with pytest.raises(UsageError, match=rf"{option} requires a gradient, and gets none: .*, or {option}\.detach\(\)"):
        kind(**{option: value})


def test_without_gradients_it_is_a_number() -> None:
    """Where none are wanted, as in an evaluation of what was trained."""
    with torch.no_grad():
        assert Gumbel(temperature=LEARNED[0]) == Gumbel(temperature=0.5)


def test_all_options_of_numbers_are_known() -> None:
    """Of estimators, objectives and networks, some beside a word; not lists, texts and truth values."""
    named = {(kind.__name__, option) for kind, option in NUMERIC}
    assert {("Gumbel", "temperature"), ("Rebar", "eta"), ("GappedSt", "gap"), ("Vae", "hidden")} <= named
    assert {("Rebar", "tune_temperature"), ("Ste", "proxy")}.isdisjoint(named)
    assert Vae(hidden=np.int64(3)) == Vae(hidden=3)  # type: ignore[arg-type]


def test_a_gradient_is_refused_wherever_an_option_is_given() -> None:
    """In lists of options, of functions of users, and as temperatures of a measurement."""
    learned = nn.Parameter(torch.tensor([0.5, 0.1]))
    with pytest.raises(UsageError, match="target requires a gradient"):
        Quadratic(target=learned)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="temperatures requires a gradient"):
        estbench.measure(["gumbel"], Quadratic(), estbench.Bernoulli([0.5]), temperatures=list(learned))
    with pytest.raises(UsageError, match="temperature requires a gradient"):
        adapt(torch.nn.functional.gumbel_softmax, temperature=learned[0])


def test_infinity_is_a_number() -> None:
    """Where an option takes it."""
    assert catalogue.ESTIMATORS["mve"](t=np.float32(math.inf)).t == math.inf  # type: ignore[call-arg,attr-defined]
