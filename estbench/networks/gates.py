"""Conditional computation: blocks of a classifier that hard gates switch off, with a target for how many are on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass as record
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from estbench.errors import UsageError
from estbench.networks.base import Expect, Kind, minus_log_mean
from estbench.networks.data import Images, images
from estbench.networks.layers import Linears
from estbench.options import dataclass

_MOST = 10_000
"""Classes."""


@dataclass(frozen=True)
class Gates:
    """E f(z) + c KL(ρ ‖ p̄): f(z) = cross-entropy of a classifier whose block d is multiplied by z_d.

    This is conditional computation (Bengio, Léonard & Courville 2013). The gates are Bernoulli variables whose logits
    are linear in the image. p̄_d is the mean of p_d over the batch, which is to be ρ: KL(ρ ‖ p̄) is the sum over d of
    ρ log(ρ/p̄_d) + (1 − ρ) log((1 − ρ)/(1 − p̄_d)), in closed form.

    units     the units of one block
    target    ρ
    strength  c
    """

    distributions: ClassVar[frozenset[str]] = frozenset({"bernoulli"})
    units: Annotated[int, Field(ge=1)] = 16
    target: Annotated[float, Field(gt=0, lt=1)] = 0.3
    strength: Annotated[float, Field(ge=0)] = 0.1

    def images(self, source: str) -> Images:
        """Images with grey values and labels."""
        found = images(source)
        if found.train_labels is None or found.valid_labels is None:
            raise UsageError(f"network gates is a classifier, and the images of {source} have no labels")
        if (classes := _classes(found)) > _MOST:
            raise UsageError(f"network gates: the labels of {source} make {classes} classes; there can be {_MOST}")
        return found

    def build(self, images: Images, kind: Kind, generators: Sequence[torch.Generator]) -> GatesModel:
        """The networks, one for each generator."""
        return GatesModel(self, images.pixels, _classes(images), kind, generators)


def _classes(images: Images) -> int:
    """Those of all labels, also where some are only in the data that are kept back."""
    assert images.train_labels is not None
    assert images.valid_labels is not None
    return int(torch.cat((images.train_labels, images.valid_labels)).max()) + 1


class GatesModel(nn.Module):
    """The networks of `Gates`: `encoder` gives the logits of the gates, `decoder` is the classifier."""

    def __init__(
        self, options: Gates, pixels: int, classes: int, kind: Kind, generators: Sequence[torch.Generator]
    ) -> None:
        super().__init__()
        self.options, self.kind, self.target = options, kind, options.target
        width = kind.numbers * options.units
        self.encoder = Linears(pixels, kind.numbers, generators)
        self.decoder = nn.ModuleDict(
            {"hidden": Linears(pixels, width, generators), "output": Linears(width, classes, generators)}
        )

    def logits(self, x: Tensor) -> Tensor:
        """[S, B, D]."""
        encoded: Tensor = self.encoder(x)
        return encoded

    def f(self, x: Tensor, y: Tensor | None) -> Gated:
        """The cross-entropy of the labels."""
        assert y is not None
        return Gated(torch.relu(self.decoder["hidden"](x)), self.decoder["output"], y, self.options.units)

    def rest(self, logits: Tensor) -> Tensor:
        """c KL(ρ ‖ p̄), the same for each example: [S, B]."""
        rho, B = self.options.target, logits.shape[1]
        log_p, log_q = (torch.logsumexp(logsigmoid(t), 1) - math.log(B) for t in (logits, -logits))
        kl = rho * (math.log(rho) - log_p) + (1 - rho) * (math.log(1 - rho) - log_q)
        return self.options.strength * kl.sum(-1, keepdim=True).expand(-1, B)

    def open_share(self, x: Tensor) -> Tensor:
        """The mean of p over the gates: [S, B]."""
        return self.logits(x).sigmoid().mean(-1)

    def minus_log_likelihood(self, x: Tensor, y: Tensor | None) -> Tensor:
        """−log Σ_z p(z | x) p(y | x, z): [S, B]."""
        return self.importance_weighted(x, y, minus_log_mean)

    def importance_weighted(self, x: Tensor, y: Tensor | None, expect: Expect) -> Tensor:
        """−log 1/K Σ_k p(y | x, z_k), z_k ~ p(z | x): [S, B]."""
        return expect(self.f(x, y), self.kind.of(self.logits(x)))


@record(frozen=True, eq=False)
class Gated:
    """The cross-entropy of labels y [S, B] where gate d multiplies the `units` hidden units of block d."""

    hidden: Tensor
    output: nn.Module
    y: Tensor
    units: int

    def __call__(self, z: Tensor) -> Tensor:
        """[S, B, N] at gates [S, B, N, D]."""
        gated = self.hidden.unsqueeze(2) * z.repeat_interleave(self.units, -1)
        o = self.output(gated.flatten(1, 2))
        o = o.view(*z.shape[:3], o.shape[-1])
        return -torch.log_softmax(o, -1).gather(-1, self.y[..., None, None].expand(*z.shape[:3], 1)).squeeze(-1)
