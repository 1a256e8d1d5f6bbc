"""What a user would write: vectorised PyTorch for gradients one by one, by hand or with packages.

Every script returns the gradients of a batch, [B, P], in torch's default dtype: float32, as most would have it, or
float64, which is what ours are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import gumbel_softmax, one_hot

TARGET = 0.45

Script = Callable[[Tensor, int], Tensor]


def f(z: Tensor) -> Tensor:
    """Σ_d (v_d − 0.45)², v_d the value of a Bernoulli variable or k/(K − 1)."""
    return ((z - TARGET) ** 2).sum(-1)


def ordinal(z: Tensor) -> Tensor:
    """k/(K − 1) of one-hot z."""
    return z @ torch.linspace(0, 1, z.shape[-1], dtype=z.dtype)


def leaf(logits: Tensor, batch: int) -> Tensor:
    """The logits once for each gradient of a batch."""
    return logits.expand(batch, *logits.shape).clone().requires_grad_()


def gradient(loss: Tensor, logits: Tensor) -> Tensor:
    """The gradient of each, [B, P]."""
    (g,) = torch.autograd.grad(loss.sum(), logits)
    return g.flatten(1)


def gumbel_soft(logits: Tensor, batch: int) -> Tensor:
    """F.gumbel_softmax."""
    x = leaf(logits, batch)
    return gradient(f(ordinal(gumbel_softmax(x, tau=1.0))), x)


def gumbel_hard(logits: Tensor, batch: int) -> Tensor:
    """F.gumbel_softmax(hard=True)."""
    x = leaf(logits, batch)
    return gradient(f(ordinal(gumbel_softmax(x, tau=1.0, hard=True))), x)


def one_by_one(logits: Tensor, batch: int) -> Tensor:
    """F.gumbel_softmax in the loop of many published examples: one backward pass for each gradient."""
    return torch.cat([gumbel_hard(logits, 1) for _ in range(batch)])


def reinforce(logits: Tensor, batch: int) -> Tensor:
    """torch.distributions.OneHotCategorical and log_prob."""
    x = leaf(logits, batch)
    d = torch.distributions.OneHotCategorical(logits=x)
    z = d.sample()
    return gradient(f(ordinal(z)) * d.log_prob(z).sum(-1), x)


def reinforce_bernoulli(logits: Tensor, batch: int) -> Tensor:
    """torch.distributions.Bernoulli and log_prob."""
    x = leaf(logits, batch)
    d = torch.distributions.Bernoulli(logits=x)
    z = d.sample()
    return gradient(f(z) * d.log_prob(z).sum(-1), x)


def relaxed_bernoulli(logits: Tensor, batch: int) -> Tensor:
    """torch.distributions.RelaxedBernoulli.rsample."""
    x = leaf(logits, batch)
    return gradient(f(torch.distributions.RelaxedBernoulli(torch.tensor(1.0), logits=x).rsample()), x)


def arm(logits: Tensor, batch: int) -> Tensor:
    """ARM by its formula."""
    u, p = torch.rand(batch, *logits.shape), torch.sigmoid(logits)
    return (f((u > 1 - p).to(u)) - f((u < p).to(u))).unsqueeze(-1) * (u - 0.5)


def straight_through(logits: Tensor, batch: int) -> Tensor:
    """z + p − p.detach(), on a categorical sample."""
    x = leaf(logits, batch)
    p = torch.softmax(x, -1)
    z = one_hot(torch.distributions.Categorical(probs=p.detach()).sample(), p.shape[-1]).to(p)
    return gradient(f(ordinal(z + p - p.detach())), x)


class Rival(NamedTuple):
    """A script, the estimator that it computes, and on what; `loop`: one gradient at a time."""

    label: str
    name: str
    shape: tuple[int, ...]
    script: Script
    loop: bool = False


RIVALS = (
    Rival("F.gumbel_softmax", "gumbel", (8, 4), gumbel_soft),
    Rival("F.gumbel_softmax", "gumbel", (8, 16), gumbel_soft),
    Rival("F.gumbel_softmax(hard)", "gumbel_st", (8, 4), gumbel_hard),
    Rival("F.gumbel_softmax(hard)", "gumbel_st", (8, 16), gumbel_hard),
    Rival("F.gumbel_softmax(hard), one by one", "gumbel_st", (8, 16), one_by_one, loop=True),
    Rival("straight-through by detach", "ste", (8, 16), straight_through),
    Rival("OneHotCategorical, log_prob", "reinforce", (8, 4), reinforce),
    Rival("OneHotCategorical, log_prob", "reinforce", (8, 16), reinforce),
    Rival("Bernoulli, log_prob", "reinforce", (8,), reinforce_bernoulli),
    Rival("RelaxedBernoulli.rsample", "gumbel", (8,), relaxed_bernoulli),
    Rival("ARM by its formula", "arm", (8,), arm),
)


def of_reinmax(package: Any) -> Iterator[Rival]:
    """reinmax, as its README calls it."""

    def script(logits: Tensor, batch: int) -> Tensor:
        x = leaf(logits, batch)
        z, _ = package.reinmax(x, 1.0)
        return gradient(f(ordinal(z)), x)

    for shape in ((8, 4), (8, 16)):
        yield Rival("reinmax.reinmax", "reinmax", shape, script)


def of_storch(package: Any) -> Iterator[Rival]:
    """Storchastic: a batch as an independent dimension, and the loop of its own example of gradient variances."""
    methods = import_module("storch.method")

    def backward(method: Any, logits: Tensor) -> None:
        package.add_cost(f(method(torch.distributions.Bernoulli(logits=logits))), "f")
        package.backward()

    def scripts(kind: Any) -> tuple[Script, Script]:
        def batched(logits: Tensor, batch: int) -> Tensor:
            x = leaf(logits, batch)
            backward(kind("z", n_samples=1), package.denote_independent(x, 0, "replicates"))
            assert x.grad is not None
            return x.grad * batch  # the cost is a mean over the batch

        def loop(logits: Tensor, batch: int) -> Tensor:
            method, x, found = kind("z", n_samples=1), logits.clone().requires_grad_(), []
            for _ in range(batch):
                backward(method, x)
                assert x.grad is not None
                found.append(x.grad.clone())
                x.grad = None
            return torch.stack(found)

        return batched, loop

    for name, kind in (("reinforce", methods.ScoreFunction), ("gumbel", methods.GumbelSoftmax)):
        batched, loop = scripts(kind)
        yield Rival(f"storch {kind.__name__}", name, (8,), batched)
        yield Rival(f"storch {kind.__name__}, one by one", name, (8,), loop, loop=True)


PACKAGES: Mapping[str, Callable[[Any], Iterator[Rival]]] = {"reinmax": of_reinmax, "storch": of_storch}
"""Packages that are measured where they are installed; storch is the last, as it changes torch when imported."""
