"""Wrong inputs of what is put into training: one message each, of what is wrong and what is expected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from estbench.distributions import Bernoulli
from estbench.errors import UsageError
from estbench.estimators.antithetic.disarm import Disarm
from estbench.training import expectation, sample, straight_through

ONE, SOME = torch.zeros(1), torch.zeros(3)
LEARNED = torch.ones((), requires_grad=True)


def variables() -> Bernoulli:
    """A batch of four examples with three variables."""
    return Bernoulli(torch.zeros(4, 3, requires_grad=True))


def f(z: Tensor) -> Tensor:
    """A sum of them."""
    return z.sum(-1)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"f": 3}, "f must be a function of samples, got int"),
        ({"f": SOME}, "f must be a function of samples, got Tensor"),
        ({"f": lambda z: z.sum()}, r"one number for each sample: \[4, 2\] for samples \[4, 2, 3\], got \[\]"),
        ({"f": lambda z: z}, r"got \[4, 2, 3\]"),
        ({"f": lambda z: z.detach().numpy().sum(-1)}, "got ndarray"),
        ({"f": lambda z: z.sum(-1).long()}, r"floating-point numbers, got torch\.int64"),
        ({"f": lambda z: z.mul_(2).sum(-1)}, r"f writes into its samples"),
        ({"f": lambda z: z.detach().sum(-1), "estimator": "gumbel"}, "no differentiable function of its samples"),
        ({"f": lambda z: z.detach().sum(-1), "estimator": "muprop"}, "no differentiable function of its samples"),
        ({"distribution": SOME}, "expected a distribution of estbench, .* got a tensor"),
        ({"distribution": torch.distributions.Bernoulli(0.5)}, r"got torch\.distributions\.bernoulli\.Bernoulli"),
        ({"estimator": Disarm}, r"expected an estimator, got the class Disarm: write Disarm\("),
        ({"estimator": None}, "expected an estimator or its name, got NoneType"),
        ({"estimator": "disrm"}, "Did you mean 'disarm'"),
        ({"estimator": "gumbel", "temperature": "a"}, "temperature must be a number, got 'a'"),
        ({"estimator": "gumbel", "temperature": SOME}, r"temperature must be a number, got \[3\]"),
        ({"estimator": "gumbel", "temperature": LEARNED}, r"gets none: .* give a number, or temperature\.detach\(\)"),
        ({"estimator": "gumbel", "temperature": LEARNED * 2}, r"temperature requires a gradient"),
        ({"estimator": "gumbel", "temperature": -1.0}, "expected a number > 0, got -1"),
        ({"generator": 3}, r"generator must be a torch\.Generator, got builtins\.int"),
        ({"generator": np.random.default_rng(0)}, r"generator must be a torch\.Generator"),
        ({"samples": 2.0}, r"samples must be a whole number of at least 1, got 2\.0"),
        ({"f": lambda z: z[:, 0, 0]}, r"; with samples=None f takes one sample of each example"),
        (
            {"f": lambda z: z, "samples": None},
            r"\[4\] for .* got \[4, 3\]; .* give samples=1 if it has one",
        ),
        ({"estimator": "rloo", "samples": None}, "rloo needs samples of at least 2, got 1"),
        ({"f": lambda z: z.mul_(2).sum(-1), "samples": None}, "f writes into its samples"),
        ({"samples": True}, "samples must be a whole number of at least 1, got True"),
    ],
)
def test_expectation(changed: dict[str, Any], said: str) -> None:
    """Of f, of the distribution, of the estimator and its options."""
    given: dict[str, Any] = {"f": f, "distribution": variables(), "estimator": "disarm", "samples": 2} | changed
    with pytest.raises(UsageError, match=said):
        expectation(**given)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: sample(SOME, "ste"), "expected a distribution"),  # type: ignore[arg-type]
        (lambda: sample(variables(), "reinforce"), "use expectation"),
        (lambda: sample(variables(), "rloo"), "use expectation"),
        (lambda: sample(variables(), "ste", generator=3), r"must be a torch\.Generator"),  # type: ignore[arg-type]
        (lambda: sample(variables(), "ste", samples=0), "at least 1, got 0"),
        (lambda: straight_through(SOME, ONE), r"one shape, got \[3\] and \[1\]"),
        (lambda: straight_through(ONE.to("meta"), ONE), "on one device, got meta and cpu"),
        (lambda: straight_through([1.0], ONE), "hard must be a tensor, got list"),  # type: ignore[arg-type]
        (lambda: straight_through(ONE, 1.0), "soft must be a tensor, got float"),  # type: ignore[arg-type]
        (lambda: straight_through(ONE, ONE.long()), r"soft must be floating point .* got torch\.int64"),
        (lambda: straight_through(ONE + 1j, ONE), r"hard must be of real numbers, got torch\.complex64"),
    ],
)
def test_nodes(call: Callable[[], Tensor], said: str) -> None:
    """Of `sample` and of `straight_through`."""
    with pytest.raises(UsageError, match=said):
        call()


@pytest.mark.parametrize("temperature", [2, 0.5, np.float32(0.5), torch.tensor(0.5), torch.tensor([0.5])])
def test_numbers_are_temperatures(temperature: Any) -> None:
    """Numbers, and tensors of one number without a gradient; one with a gradient where none is recorded."""
    assert sample(variables(), "gumbel", temperature=temperature).requires_grad
    with torch.no_grad():
        assert sample(variables(), "gumbel", temperature=LEARNED).shape == (4, 3)  # type: ignore[arg-type]


def test_a_result_that_is_overwritten() -> None:
    """Where f is called again and writes into what it returned, values would be compared with themselves."""
    kept = torch.empty(4, 1)
    with pytest.raises(UsageError, match="overwrites what it returned before"):
        expectation(lambda z: kept.copy_(z.sum(-1)), variables(), "disarm")
    assert expectation(lambda z: kept.copy_(z.sum(-1)), variables(), "reinforce").shape == (4,)  # one call
    with pytest.raises(UsageError, match="overwrites what it returned before"):
        expectation(lambda z: kept[:, 0].copy_(z.sum(-1)), variables(), "disarm", samples=None)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_is_no_wrong_input(dtype: torch.dtype) -> None:
    """Logits of half precision have gradients of their type, and logits that require none give a value alone."""
    logits = torch.zeros(4, 3, dtype=dtype, requires_grad=True)
    for value in (expectation(f, Bernoulli(logits), "disarm", 2), sample(Bernoulli(logits), "ste")):
        (g,) = torch.autograd.grad(value.sum(), logits)
        assert g.dtype == dtype
    assert not expectation(f, Bernoulli(logits.detach()), "disarm", 2).requires_grad
