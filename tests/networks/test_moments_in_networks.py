"""Exact and sampled moments of gradients inside networks, against calculations that share no code with them."""

from __future__ import annotations

import itertools
from typing import ClassVar, Literal

import numpy as np
import pytest
import torch

from estbench import catalogue
from estbench.draws import Draw
from estbench.exact import Unavailable
from estbench.intervals import metrics
from estbench.moments import Moments
from estbench.networks.base import Kind, Network
from estbench.networks.sbn import Sbn
from estbench.networks.vae import Vae
from estbench.problem import Problem
from estbench.trainings import exact, sampled
from estbench.trainings.loop import by, generator
from tests.networks.models import ONE_LAYER, batch, made
from tests.sizes import slow

FEW = 3
"""Examples."""


def of(network: Network, kind: Kind, part: str = "encoder", n: int = FEW) -> exact.Batch:
    """A batch of few examples."""
    model, images = made(network, kind)
    x, y = batch(images, n)
    return exact.Batch.of(model, kind, x[0], None if y is None else y[0], part)


class Example:
    """f of one example, as an objective of its own."""

    on: ClassVar[Literal["one-hot"]] = "one-hot"
    distributions = frozenset({"bernoulli", "categorical"})

    def __init__(self, batch: exact.Batch, b: int) -> None:
        y = None if batch.y is None else batch.y[:, b : b + 1]
        self.f = batch.model.f(batch.x[:, b : b + 1], y)

    def value(self, v: torch.Tensor) -> torch.Tensor:
        """f(v), whatever axes come first."""
        event = 2 if self.f_event(v) else 1
        flat = v.reshape(1, 1, -1, *v.shape[v.ndim - event :])
        found: torch.Tensor = self.f(flat).reshape(v.shape[: v.ndim - event])
        return found

    @staticmethod
    def f_event(v: torch.Tensor) -> bool:
        """Whether samples are one-hot: of three classes here."""
        return v.shape[-1] == 3


def by_brute_force(batch: exact.Batch, name: str) -> tuple[torch.Tensor, float]:
    """Mean and total variance of the gradient of the batch over all joint states of all examples together.

    Each row is the estimator's at one example alone, without batch axes, pulled back by autograd and averaged.
    """
    estimator = catalogue.ESTIMATORS[name]()
    B, rows, weights = batch.x.shape[1], [], []
    parameters = [p for n, p in batch.model.named_parameters() if n.startswith("encoder")]
    for b in range(B):
        logits = batch.model.logits(batch.x[:, b : b + 1])[0, 0]
        variables = batch.kind.of(logits.detach().flatten())
        states = variables.states()
        draw = Draw(Problem(variables, Example(batch, b)), len(states), 1, z=states.unsqueeze(1))
        pulled = []
        for row in estimator.rows(draw)[:, 0]:  # type: ignore[attr-defined] # it has rows
            found = torch.autograd.grad(logits, parameters, row, retain_graph=True)
            pulled.append(torch.cat([g.flatten() for g in found]))
        rows.append(torch.stack(pulled))
        weights.append(variables.log_prob(states).exp())
    M, mean, square = len(rows[0]), torch.zeros(rows[0].shape[1], dtype=torch.float64), 0.0
    for combination in itertools.product(range(M), repeat=B):
        P = float(np.prod([weights[b][m] for b, m in enumerate(combination)]))
        g = torch.stack([rows[b][m] for b, m in enumerate(combination)]).mean(0)
        mean += P * g
        square += P * float(g @ g)
    return mean, square - float(mean @ mean)


@pytest.mark.parametrize("name", ["reinforce", "ste", "reinmax", "muprop", "leg"])
@pytest.mark.parametrize(
    ("network", "kind"), [(Vae(hidden=4), Kind("bernoulli", 4)), (Sbn(hidden=4), Kind("categorical", 2, 3))]
)
def test_exact_moments_are_those_over_all_states_of_all_examples(name: str, network: Network, kind: Kind) -> None:
    """Bias and variance of two examples equal a sum over the states of both at once, to 1e-10."""
    two = of(network, kind, n=2)
    bias, variance = exact.moments(two, catalogue.ESTIMATORS[name](), 1)
    mean, spread = by_brute_force(two, name)
    without = (
        sum(  # what the gradient has besides E f
            torch.cat(
                [g.flatten() for g in torch.autograd.grad(two.model.rest(two.model.logits(two.x)).mean(), of_part)]
            )
            for of_part in [[p for n, p in two.model.named_parameters() if n.startswith("encoder")]]
        )
        if isinstance(network, Vae)
        else 0.0
    )
    assert torch.allclose(two.true + bias, mean + without, rtol=0, atol=1e-10 * float(two.true.norm()))
    assert variance == pytest.approx(spread, rel=1e-9)


@pytest.mark.parametrize(("network", "kind"), ONE_LAYER)
@pytest.mark.parametrize("part", ["encoder", "logits"])
def test_unbiased_estimators_are_exactly_unbiased(network: Network, kind: Kind, part: str) -> None:
    """The exact bias of `reinforce`, `muprop` and `leg` is 0, to 1e-12, that of `ste` is not; variance goes as 1/N."""
    few = of(network, kind, part)
    size = float(few.true.norm())
    for name in ("reinforce", "muprop", "leg"):
        bias, variance = exact.moments(few, catalogue.ESTIMATORS[name](), 1)
        assert float(bias.norm()) < 1e-12 * (size + variance**0.5)
        assert exact.moments(few, catalogue.ESTIMATORS[name](), 4)[1] == pytest.approx(variance / 4)
    assert float(exact.moments(few, catalogue.ESTIMATORS["ste"](), 1)[0].norm()) > 1e-4 * size


@pytest.mark.parametrize(("name", "samples"), [("ste", 1), ("muprop", 2), ("rloo", 2), ("gumbel", 1)])
def test_sampled_moments_hold_the_exact_ones(name: str, samples: int) -> None:
    """Intervals of 99.9 % of bias and variance hold the exact values, or for an unbiased estimator 0."""
    few = of(Vae(hidden=4), Kind("categorical", 2, 3))
    estimator = catalogue.ESTIMATORS[name]()
    expects = (by(estimator, samples, generator(1, name, s)) for s in range(32))
    shards = list(sampled.shards(few, expects, 40))
    found = metrics(Moments.unpack(np.concatenate(shards), few.true.numpy()), level=0.999)
    if name in ("ste", "muprop"):
        bias, variance = exact.moments(few, estimator, samples)
        assert float(found["variance_low"]) <= variance <= float(found["variance_high"])
        assert float(found["bias_squared_low"]) <= float(bias @ bias) + 1e-20
        assert float(bias @ bias) <= float(found["bias_squared_high"])
    elif name == "rloo":
        assert float(found["bias_squared_low"]) == 0
    else:
        assert float(found["bias_squared_low"]) > 0


def test_why_there_are_no_exact_moments() -> None:
    """Two layers, parameters of f, noise besides z, and joint estimators are given as reasons."""
    deep = of(Sbn(hidden=4, layers=2), Kind("bernoulli", 2))
    for batch_, name, said in (
        (deep, "ste", "one layer"),
        (of(Vae(hidden=4), Kind("bernoulli", 2), "decoder"), "ste", "f of decoder does too"),
        (of(Vae(hidden=4), Kind("bernoulli", 2), "all"), "ste", "f of all does too"),
        (of(Vae(hidden=4), Kind("bernoulli", 2)), "gumbel", "depend on the samples alone"),
        (of(Vae(hidden=4), Kind("bernoulli", 2)), "rloo", "means of rows"),
    ):
        with pytest.raises(Unavailable, match=said):
            exact.moments(batch_, catalogue.ESTIMATORS[name](), 2)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["encoder", *map(slow, ("between", "decoder"))])
def test_nested_estimates_of_two_layers_are_unbiased(part: str) -> None:
    """`rloo` in both layers is unbiased for all parameters: p > 1e-4, and a bias of a fifth of ‖g‖ would be outside.

    `ste` in both layers is found biased in the first.
    """
    deep = of(Sbn(hidden=4, layers=2), Kind("bernoulli", 2), part, n=2)
    p = {}
    for name in ("rloo", "ste"):
        expect = by(catalogue.ESTIMATORS[name](), 2, generator(3, name))
        shards = np.concatenate(list(sampled.shards(deep, [expect] * 64, 500)))
        found = metrics(Moments.unpack(shards, deep.true.numpy()))
        p[name] = float(found["bias_p_value"])
        if name == "rloo":
            assert float(found["bias_norm_high"]) < float(deep.true.norm()) / 5
    assert p["rloo"] > 1e-4
    if part == "encoder":
        assert p["ste"] < 1e-4
