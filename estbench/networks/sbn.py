"""Structured output prediction: the lower half of an image given its upper half, through one or two discrete layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass as record
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from estbench.networks.base import Expect, Kind, minus_log_mean
from estbench.networks.data import Images, images
from estbench.networks.layers import mlp
from estbench.networks.vae import Decoded, VaeModel
from estbench.options import dataclass


@dataclass(frozen=True)
class Sbn:
    """E f(z), f(z) = −log p(lower | z), z ~ q(z | upper): a stochastic (sigmoid belief) network (Raiko et al. 2015).

    With two layers z₂ is drawn given z₁, and the loss is E_z₁ E_z₂|z₁ f(z₂). Each map has one hidden layer of tanh
    units; pixels are binary and independent given z.

    hidden  the number of units of a hidden layer
    layers  the number of layers of discrete variables
    """

    hidden: Annotated[int, Field(ge=1)] = 32
    layers: Literal[1, 2] = 1

    def images(self, source: str) -> Images:
        """Binary images."""
        return images(source).binary

    def build(self, images: Images, kind: Kind, generators: Sequence[torch.Generator]) -> SbnModel | TwoLayers:
        """The networks, one for each generator."""
        model = SbnModel if self.layers == 1 else TwoLayers
        return model(*halves(images.pixels), self.hidden, kind, generators)


def halves(pixels: int) -> tuple[int, int]:
    """The pixels of the upper half and of the lower."""
    return pixels // 2, pixels - pixels // 2


class SbnModel(VaeModel):
    """The networks of `Sbn` with one layer: `encoder` and `decoder`, as in a `Vae` with other inputs and outputs."""

    def logits(self, x: Tensor) -> Tensor:
        """Those of the upper half: [S, B, D(, K)]."""
        return super().logits(x[..., : x.shape[-1] // 2])

    def f(self, x: Tensor, y: Tensor | None) -> Decoded:
        """−log p(lower | z)."""
        return super().f(x[..., x.shape[-1] // 2 :], y)

    def rest(self, logits: Tensor) -> Tensor:
        """0: [S, B]."""
        return logits.new_zeros(logits.shape[:2])

    def minus_log_likelihood(self, x: Tensor, y: Tensor | None) -> Tensor:
        """−log Σ_z q(z | upper) p(lower | z): [S, B]."""
        return self.importance_weighted(x, y, minus_log_mean)

    def importance_weighted(self, x: Tensor, y: Tensor | None, expect: Expect) -> Tensor:
        """−log 1/K Σ_k p(lower | z_k), z_k ~ q(z | upper): [S, B]. q is the prior here, so that it cancels."""
        return expect(self.f(x, y), self.kind.of(self.logits(x).flatten(2)))


class TwoLayers(nn.Module):
    """The networks of `Sbn` with two layers: `encoder`, `between` and `decoder`."""

    layers = 2

    def __init__(
        self, inputs: int, outputs: int, hidden: int, kind: Kind, generators: Sequence[torch.Generator]
    ) -> None:
        super().__init__()
        self.kind = kind
        self.encoder = mlp([inputs, hidden, kind.numbers], generators)
        self.between = mlp([kind.numbers, hidden, kind.numbers], generators)
        self.decoder = mlp([kind.numbers, hidden, outputs], generators)

    def loss(self, x: Tensor, y: Tensor | None, expect: Expect) -> Tensor:  # noqa: ARG002 - of the contract
        """E_z₁ E_z₂|z₁ −log p(lower | z₂): [S, B]."""
        upper, lower = x.tensor_split([x.shape[-1] // 2], -1)
        inner = Inner(self.between, Decoded(self.decoder, self.kind, lower), self.kind, expect)
        return expect(inner, self.kind.of(self.encoder(upper)))

    def minus_log_likelihood(self, x: Tensor, y: Tensor | None) -> Tensor:
        """−log Σ_z₁ q(z₁ | upper) Σ_z₂ q(z₂ | z₁) p(lower | z₂): [S, B]."""
        return self.loss(x, y, minus_log_mean)

    def importance_weighted(self, x: Tensor, y: Tensor | None, expect: Expect) -> Tensor:
        """−log 1/K Σ_k p(lower | z₂_k), z₁_k ~ q(z₁ | upper), z₂_k ~ q(z₂ | z₁_k): [S, B]."""
        return self.loss(x, y, expect)


@record(frozen=True, eq=False)
class Inner:
    """E_z₂|z₁ f(z₂) as a function of z₁."""

    between: nn.Module
    f: Decoded
    kind: Kind
    expect: Expect

    def __call__(self, z: Tensor) -> Tensor:
        """[S, B, N] at z₁ [S, B, N, D(, K)]: every sample is an example of the second layer."""
        B, N = z.shape[1:3]
        logits = self.between(self.kind.flatten(z).flatten(1, 2))
        repeated = Decoded(self.f.decoder, self.kind, self.f.x.repeat_interleave(N, 1))
        return self.expect(repeated, self.kind.of(logits)).view(-1, B, N)
