"""Networks with discrete variables: exact losses and gradients, seeds side by side, and examples that stay apart."""

from __future__ import annotations

import pytest
import torch

from estbench.errors import UsageError
from estbench.networks.base import Kind, Network, exactly
from estbench.networks.gates import Gates
from estbench.networks.gradients import chosen, gradients
from estbench.trainings.loop import initial
from tests.networks.models import ONE_LAYER, TWO_LAYERS, batch, made, state_by_state

ALL = ONE_LAYER + TWO_LAYERS


@pytest.mark.parametrize(("network", "kind"), ALL)
def test_the_exact_loss_is_a_sum_over_states(network: Network, kind: Kind) -> None:
    """The loss and its gradient by all parameters equal those of a loop over joint states at 1e-10."""
    model, images = made(network, kind, seeds=2)
    x, y = batch(images, 3, 2)
    assert torch.allclose(model.loss(x, y, exactly), model.loss(x, y, state_by_state), rtol=1e-12, atol=1e-12)
    one, other = (gradients(model, kind, "all", x, y, expect) for expect in (exactly, state_by_state))
    assert torch.allclose(one, other, rtol=0, atol=1e-10 * float(other.norm()))


@pytest.mark.parametrize(("network", "kind"), ALL)
def test_seeds_do_not_meet(network: Network, kind: Kind) -> None:
    """The parameters and the gradient of a seed are the same whoever is beside it."""
    images = network.images("digits")
    alone, beside = (initial(network, images, kind, n, 5).double() for n in (1, 3))
    for p, q in zip(alone.parameters(), beside.parameters(), strict=True):
        assert torch.equal(p[0], q[0])
        assert not torch.equal(q[0], q[1])
    x, y = batch(images, 4)
    x3, y3 = batch(images, 4, 3)
    one = gradients(alone, kind, "all", x, y, exactly)
    assert torch.allclose(gradients(beside, kind, "all", x3, y3, exactly)[:1], one, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(("network", "kind"), [each for each in ALL if not isinstance(each[0], Gates)])
def test_examples_do_not_meet(network: Network, kind: Kind) -> None:
    """The loss of an example does not depend on the others of its batch."""
    model, images = made(network, kind)
    x, y = batch(images, 4)
    assert torch.allclose(model.loss(x, y, exactly)[:, :2], model.loss(x[:, :2], y, exactly), rtol=1e-12, atol=0)


def test_the_target_of_gates() -> None:
    """The share of open gates has its target as minimum: there the divergence and its gradient are 0."""
    model, _ = made(Gates(units=2, target=0.3, strength=1.0), Kind("bernoulli", 3))
    logits = torch.full((1, 5, 3), 0.3, dtype=torch.float64).logit().requires_grad_()
    rest = model.rest(logits)
    (g,) = torch.autograd.grad(rest.sum(), logits)
    assert float(rest.detach().abs().max()) < 1e-15
    assert float(g.abs().max()) < 1e-15
    assert float(model.rest(logits.detach() + 1).min()) > 0.05


def test_parts_are_named() -> None:
    """A part is a module or a parameter by its name; another one is refused with those there are."""
    model, _ = made(*ONE_LAYER[0])
    assert len(chosen(model, "encoder")) == 4
    assert len(chosen(model, "all")) == 8
    assert len(chosen(model, "decoder.0.weight")) == 1
    with pytest.raises(UsageError, match=r"has no 'encode'; it has all, logits, encoder, encoder\.0"):
        chosen(model, "encode")


def test_gates_are_bernoulli_variables() -> None:
    """A categorical gate is refused."""
    with pytest.raises(UsageError, match="give distribution: bernoulli"):
        made(Gates(), Kind("categorical", 2, 3))
