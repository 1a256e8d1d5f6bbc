"""Networks with discrete variables: exact losses and gradients, seeds side by side, and examples that stay apart."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from estbench.errors import UsageError
from estbench.networks import base
from estbench.networks.base import Function, Kind, Network, OneLayer, Variables, exactly, loss, unserved
from estbench.networks.gates import Gates
from estbench.networks.gradients import chosen, gradients
from estbench.networks.vae import Vae
from estbench.trainings import loop as loops
from estbench.trainings.loop import initial
from tests.networks.models import BERNOULLI, ONE_LAYER, TWO_LAYERS, batch, made, state_by_state
from tests.sizes import slow

ALL = ONE_LAYER + TWO_LAYERS


@pytest.mark.parametrize(("network", "kind"), ALL)
def test_the_exact_loss_is_a_sum_over_states(network: Network, kind: Kind) -> None:
    """The loss and its gradient by all parameters equal those of a loop over joint states at 1e-10."""
    model, images = made(network, kind, seeds=2)
    x, y = batch(images, 3, 2)
    assert torch.allclose(
        loss(model, kind, x, y, exactly), loss(model, kind, x, y, state_by_state), rtol=1e-12, atol=1e-12
    )
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
    assert torch.allclose(
        loss(model, kind, x, y, exactly)[:, :2], loss(model, kind, x[:, :2], y, exactly), rtol=1e-12, atol=0
    )


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


def test_the_share_of_open_gates() -> None:
    """The mean of p over gates and examples, of each network by itself; networks without gates have none."""
    kind = Kind("bernoulli", 3)
    model, images = made(Gates(units=2, target=0.25), kind, seeds=2)
    x, y = images.valid[:7], images.valid_labels
    found = loops.open_shares(model, kind, x.double(), y)
    assert found is not None
    for s in range(2):
        p = [torch.sigmoid(each.double() @ model.encoder.weight[s] + model.encoder.bias[s, 0]) for each in x]
        assert torch.allclose(found[s], torch.stack(p).mean(), rtol=1e-12, atol=0)
    assert model.target == 0.25
    vae, _ = made(Vae(hidden=2), kind)
    assert loops.open_shares(vae, kind, x, None) is None


def test_gates_are_bernoulli_variables() -> None:
    """A categorical gate is refused, as any distribution that a network does not name; most networks serve all."""
    assert unserved(Gates(), "categorical") == "it has bernoulli variables alone; give distribution: bernoulli"
    assert unserved(Gates(), "bernoulli") is None
    assert unserved(Vae(), "categorical") is None


@pytest.mark.parametrize(("network", "kind"), ALL)
def test_the_likelihood_is_a_sum_over_states(network: Network, kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """−log p equals the logarithm of a loop over joint states at 1e-12, and is below the loss without its rest."""
    model, images = made(network, kind, seeds=2)
    x, y = batch(images, 3, 2)
    nll = model.minus_log_likelihood(x, y)

    def by_loop(f: Function, variables: Variables) -> Tensor:
        uniform = isinstance(network, Vae)
        of = kind.of(torch.zeros_like(variables.logits).flatten(2)) if uniform else variables
        return -state_by_state(lambda z: torch.exp(-f(z)), of).log()

    if isinstance(model, OneLayer):
        monkeypatch.setattr(model, "rest", lambda logits: logits.new_zeros(logits.shape[:2]))
    assert torch.allclose(nll, loss(model, kind, x, y, by_loop), rtol=1e-12, atol=1e-12)
    if not isinstance(network, Vae):
        assert (nll <= loss(model, kind, x, y, exactly) + 1e-12).all()


def test_the_bound_is_above_the_likelihood() -> None:
    """−ELBO ≥ −log p for each image, with equality nowhere: q is not the posterior."""
    model, images = made(Vae(hidden=8), BERNOULLI)
    x, y = batch(images, 5)
    assert (loss(model, BERNOULLI, x, y, exactly) > model.minus_log_likelihood(x, y)).all()


@pytest.mark.parametrize(("network", "kind"), [slow(ONE_LAYER[0]), ONE_LAYER[3], TWO_LAYERS[0]])
def test_states_taken_some_at_a_time_give_the_same(
    network: Network, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loss, likelihood and gradient do not depend on how many values of f are found at once, to 1e-12."""
    model, images = made(network, kind, seeds=2)
    x, y = batch(images, 3, 2)

    def found() -> list[Tensor]:
        values = loss(model, kind, x, y, exactly), model.minus_log_likelihood(x, y)
        return [*values, gradients(model, kind, "all", x, y, exactly)]

    whole = found()
    monkeypatch.setattr(base, "_VALUES", 20)
    monkeypatch.setattr(base, "_DECODED", 20)
    for one, other in zip(found(), whole, strict=True):
        assert torch.allclose(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("network", "kind"), [ONE_LAYER[1], ONE_LAYER[3], TWO_LAYERS[0]])
def test_losses_do_not_depend_on_how_many_examples_are_taken_at_once(
    network: Network, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the rest is of all examples together, as with the target of gates, losses are those of all of them."""
    model, images = made(network, kind, seeds=2)
    x, y = images.train[:40].double(), images.train_labels[:40] if images.train_labels is not None else None
    whole = loops.losses(model, kind, x, y)
    labels = None if y is None else y.expand(2, -1)
    assert torch.allclose(whole, loss(model, kind, x.expand(2, -1, -1), labels, exactly).mean(1), rtol=1e-12)
    nll = loops.minus_log_likelihoods(model, kind, x, y)
    monkeypatch.setattr(loops, "_SUMMANDS", 100)
    assert torch.allclose(loops.losses(model, kind, x, y), whole, rtol=1e-12)
    some = loops.minus_log_likelihoods(model, kind, x, y)
    assert nll is not None
    assert some is not None
    assert torch.allclose(some, nll, rtol=1e-12)
