"""A distribution of variables that are not independent: what the contract of distributions asks for, and no more."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


@dataclass(frozen=True, eq=False)
class Chain:
    """A Markov chain of D binary variables with logits a: P(z_d = 1 | z_{d−1}) = σ(a_d + c (2 z_{d−1} − 1)).

    a is [*batch, D], c the coupling; the first variable has P(z_1 = 1) = σ(a_1).
    """

    logits: Tensor
    coupling: float = 0.8

    name: ClassVar[str] = "chain"
    event_dim: ClassVar[int] = 1
    independent: ClassVar[bool] = False
    samples_by_noisy: ClassVar[bool] = False
    classes = 2

    def with_logits(self, logits: Tensor) -> Chain:
        """The same coupling at other logits."""
        return replace(self, logits=logits)

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The axes before the variables'."""
        return tuple(self.logits.shape[:-1])

    @property
    def event_shape(self) -> tuple[int, ...]:
        """(D,)."""
        return (self.n_variables,)

    @property
    def n_variables(self) -> int:
        """D."""
        return self.logits.shape[-1]

    @property
    def n_states(self) -> int:
        """2^D."""
        return int(2**self.n_variables)

    def align(self, t: Tensor) -> Tensor:
        """An axis for the samples after those of the batch."""
        return t.unsqueeze(len(self.batch_shape)) if self.batch_shape else t

    def _given_last(self, z: Tensor) -> Tensor:
        """The logits of each variable given the one before it."""
        side = torch.cat((torch.zeros_like(z[..., :1]), 2 * z[..., :-1] - 1), -1)
        return self.align(self.logits) + self.coupling * side

    def base_noise(self, uniforms: Tensor) -> Tensor:
        """The uniforms."""
        return uniforms

    def sample(self, u: Tensor) -> Tensor:
        """One variable after the other."""
        z = torch.zeros_like(u)
        for d in range(self.n_variables):
            z[..., d] = (u[..., d] < torch.sigmoid(self._given_last(z)[..., d])).to(z)
        return z

    def inverse_cdf(self, u: Tensor) -> Tensor:
        """The samples of these uniforms."""
        return self.sample(u)

    def log_prob(self, z: Tensor) -> Tensor:
        """The sum of the logarithms of the conditional probabilities."""
        phi = self._given_last(z)
        return (z * logsigmoid(phi) + (1 - z) * logsigmoid(-phi)).sum(-1)

    def score(self, z: Tensor) -> Tensor:
        """z_d less its conditional probability."""
        return z - torch.sigmoid(self._given_last(z))

    @property
    def mode(self) -> Tensor:
        """Every variable as its own logit has it."""
        return (self.logits > 0).to(self.logits)

    def states(self, start: int = 0, stop: int | None = None) -> Tensor:
        """All binary vectors."""
        index = torch.arange(start, self.n_states if stop is None else stop).unsqueeze(-1)
        return (index >> torch.arange(self.n_variables - 1, -1, -1) & 1).to(self.logits)

    def values(self, z: Tensor) -> Tensor:
        """z."""
        return z

    def values_vjp(self, g: Tensor) -> Tensor:
        """g."""
        return g

    def numbers(self, z: Tensor) -> Tensor:
        """z."""
        return z

    def one_hot(self, c: Tensor) -> Tensor:
        """c."""
        return c

    def lift(self, s: Tensor) -> Tensor:
        """One more axis."""
        return s.unsqueeze(-1)

    def per_variable(self, t: Tensor) -> Tensor:
        """t."""
        return t

    def over_classes(self, t: Tensor) -> Tensor:
        """t."""
        return t

    def flatten(self, rows: Tensor) -> Tensor:
        """The rows."""
        return rows
