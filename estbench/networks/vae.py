"""A discrete variational autoencoder: one layer of discrete latent variables with a uniform prior."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass as record
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from estbench.networks.base import Expect, Kind, minus_log_mean
from estbench.networks.data import Images, images
from estbench.networks.layers import mlp
from estbench.networks.terms import minus_log_likelihood, minus_log_likelihoods
from estbench.options import dataclass


@dataclass(frozen=True)
class Vae:
    """−ELBO = E f(z) + KL(q ‖ p): f(z) = −log p(x | z), p(z) uniform, the KL divergence in closed form.

    Encoder and decoder have one hidden layer of tanh units; pixels are binary and independent given z.

    hidden  the number of units of a hidden layer
    """

    hidden: Annotated[int, Field(ge=1)] = 32

    def images(self, source: str) -> Images:
        """Binary images."""
        return images(source).binary

    def build(self, images: Images, kind: Kind, generators: Sequence[torch.Generator]) -> VaeModel:
        """The networks, one for each generator."""
        return VaeModel(images.pixels, images.pixels, self.hidden, kind, generators)


class VaeModel(nn.Module):
    """The networks of `Vae`: `encoder` and `decoder`."""

    def __init__(
        self, inputs: int, outputs: int, hidden: int, kind: Kind, generators: Sequence[torch.Generator]
    ) -> None:
        super().__init__()
        self.kind = kind
        self.encoder = mlp([inputs, hidden, kind.numbers], generators)
        self.decoder = mlp([kind.numbers, hidden, outputs], generators)

    def logits(self, x: Tensor) -> Tensor:
        """[S, B, D(, K)]."""
        encoded: Tensor = self.encoder(x)
        return encoded.view(*x.shape[:2], *self.kind.event)

    def f(self, x: Tensor, y: Tensor | None) -> Decoded:  # noqa: ARG002 - of the contract
        """−log p(x | z)."""
        return Decoded(self.decoder, self.kind, x)

    def rest(self, logits: Tensor) -> Tensor:
        """KL(q ‖ uniform) = Σ_d (log K − H(q_d)): [S, B]."""
        return self.kind.of(logits.flatten(2)).kl_to_uniform()

    def minus_log_likelihood(self, x: Tensor, y: Tensor | None) -> Tensor:
        """−log Σ_z p(z) p(x | z) with uniform p(z): [S, B]."""
        return minus_log_mean(self.f(x, y), self.kind.of(x.new_zeros(*x.shape[:2], self.kind.numbers)))

    def importance_weighted(self, x: Tensor, y: Tensor | None, expect: Expect) -> Tensor:
        """−log 1/K Σ_k p(x | z_k) p(z_k)/q(z_k | x), z_k ~ q(z | x), with uniform p(z): [S, B]."""
        f, q, log_p = self.f(x, y), self.kind.of(self.logits(x).flatten(2)), -math.log(self.kind.states)
        return expect(lambda z: f(z) + q.log_prob(z) - log_p, q)


@record(frozen=True, eq=False)
class Decoded:
    """−log p(x | z) of images x [S, B, pixels], whose logits the decoder gives."""

    decoder: nn.Module
    kind: Kind
    x: Tensor

    def __call__(self, z: Tensor) -> Tensor:
        """[S, B, N] at samples [S, B, N, D(, K)]."""
        o = self.decoder(self.kind.flatten(z).flatten(1, 2))
        o = o.view(*z.shape[:3], o.shape[-1])
        return minus_log_likelihood(o, self.x.unsqueeze(2))

    def of_states(self, states: Tensor) -> Tensor:
        """[S, B, M] at states [M, D(, K)], each decoded once."""
        return minus_log_likelihoods(self.decoder(self.kind.flatten(states).expand(len(self.x), -1, -1)), self.x)
