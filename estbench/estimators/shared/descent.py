"""Adam on the critic of LAX and RELAX, with its gradients written out: autograd takes several times as long."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from copy import copy
from itertools import islice

import torch
from torch import Tensor

from estbench.estimators.shared.critic import Critic, bounded
from estbench.problem import Problem

LEARNING_RATE = 0.01
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8  # of Adam, as in Kingma & Ba 2015

Map = Callable[[Tensor], Tensor]


class Parts:
    """An estimate as a function of its critic: ĝ = A + η B − r(x₀) s + Σ_i M_i ∇r(x_i), i from 0, the M_i linear.

    constant, beside, score  A, B and s, [R, N, D] or [R, N, D, K]; no B is 0
    points, maps             x_i, like these, and M_i, which mix only numbers of one variable where they are independent
    """

    def __init__(
        self,
        problem: Problem,
        constant: Tensor,
        score: Tensor,
        points: tuple[Tensor, ...],
        maps: tuple[Map, ...],
        beside: Tensor | None = None,
    ) -> None:
        self.problem, self.constant, self.score, self.beside = problem, constant, score, beside
        self._size = math.prod(
            problem.distribution.event_shape[1:] if problem.distribution.independent else score.shape[2:]
        )
        self._maps = torch.cat([_matrices(M, score, self._size) for M in maps])  # [points R N variables, size, size]
        self._x = torch.stack([bounded(x) for x in points]).flatten(3)  # [points, R, N, P]

    def split(self, size: int) -> Iterator[Parts]:
        """The same for so many replicates at a time."""
        R, points = len(self.score), len(self._x)
        maps = self._maps.view(points, R, -1, self._size, self._size)
        for i in range(0, R, size):
            part, some = copy(self), slice(i, i + size)
            part.constant, part.score = self.constant[some], self.score[some]
            part.beside = None if self.beside is None else self.beside[some]
            part._x, part._maps = self._x[:, some].contiguous(), maps[:, some].flatten(0, 2).contiguous()
            yield part

    def hidden(self, critic: Critic) -> Tensor:
        """tanh(W x + b) at all points, [points R N, H]; it depends on W and b alone."""
        return critic.hidden(self._x)

    def estimate(self, critic: Critic, h: Tensor) -> Tensor:
        """ĝ, like z, where h is `hidden` of this critic."""
        return self._estimate(critic, h, critic.a * (1 - h * h))

    def _estimate(self, critic: Critic, h: Tensor, aq: Tensor) -> Tensor:
        R, N, *event = self.score.shape
        value = (h[: R * N] @ critic.a).view(R, N, *[1] * len(event))
        estimate = torch.addcmul(self.constant, value, self.score, value=-1)
        if self.beside is not None:
            estimate.addcmul_(critic.eta, self.beside)
        return estimate.add_(self._mapped(aq @ critic.W))  # ∇r = Wᵀ(a q)

    def _mapped(self, slopes: Tensor) -> Tensor:
        """Σ_i M_i v_i of v [points R N, P], like z."""
        if self._size == 1:
            each = self._maps * slopes.view(self._maps.shape)
        else:
            each = torch.bmm(self._maps, slopes.view(-1, self._size, 1))
        return each.view(-1, *self.score.shape).sum(0)

    def _transposed(self, Q: Tensor) -> Tensor:
        """M_iᵀ Q for each i, [points R N, P]."""
        repeated = Q.expand(len(self._x), *Q.shape).reshape(-1, self._size, 1)
        each = self._maps * repeated if self._size == 1 else torch.bmm(self._maps.mT, repeated)
        return each.view(-1, self._x.shape[-1])

    def gradient(self, critic: Critic) -> Tensor:
        """∂ mean ‖ĝ‖² / ∂(W, b, a, η), flat as `Critic.numbers`.

        With Q = ∂ mean ‖ĝ‖²/∂ĝ, h = tanh(W x + b) and q = 1 − h²: through r(x₀) go α = −Q·s, and through each
        ∇r(x) = Wᵀ(a q) goes V = Mᵀ Q, of which U = V Wᵀ reaches a q; q has the slope −2 h q in W x + b.
        """
        W, _, a, _ = critic
        h = self.hidden(critic)  # [points R N, H]
        q = 1 - h * h
        aq = a * q
        Q = self._outer(self._estimate(critic, h, aq))  # [R, N, D] or [R, N, D, K]
        V = self._transposed(Q)  # [points R N, P]
        U = V @ W.T
        inner = torch.mul(U, h).mul_(-2)
        alpha = (Q * self.score).view(-1, W.shape[1]).sum(1)  # [R N], −α
        n = len(alpha)
        inner[:n] -= alpha.unsqueeze(1)
        inner *= aq
        dW = torch.addmm(aq.T @ V, inner.T, self._x.view(-1, W.shape[1]))
        da = U.mul_(q).sum(0) - alpha @ h[:n]
        deta = a.new_zeros(1) if self.beside is None else (Q * self.beside).sum().view(1)
        return torch.cat((dW.flatten(), inner.sum(0), da, deta))

    def _outer(self, estimate: Tensor) -> Tensor:
        """∂ mean ‖Jᵀ ĝ‖²/∂ĝ = 2 J Jᵀ ĝ/(R N)."""
        problem = self.problem
        projected = problem.project(estimate)  # [R, N, P]
        return problem.parametrisation.jvp(projected * (2 / projected[..., 0].numel()), problem.distribution)


def descended(batches: Iterator[Parts], start: Critic, steps: int, eta: bool) -> Critic:
    """The critic after so many steps of Adam on W, b and a (and η), each on the next of the batches."""
    theta = torch.cat([t.flatten() for t in start])
    critic = start.of_flat(theta)  # views
    m, v = torch.zeros_like(theta), torch.zeros_like(theta)
    for k, batch in enumerate(islice(batches, steps), 1):
        gradient = batch.gradient(critic)
        if not eta:
            gradient[-1] = 0.0
        m.lerp_(gradient, 1 - BETA_1)
        v.mul_(BETA_2).addcmul_(gradient, gradient, value=1 - BETA_2)
        spread = v.sqrt().div_((1 - BETA_2**k) ** 0.5).add_(EPSILON)
        theta.addcdiv_(m, spread, value=-LEARNING_RATE / (1 - BETA_1**k))
    return critic


def _matrices(linear: Map, like: Tensor, size: int) -> Tensor:
    """A linear map that mixes so many numbers at a time as matrices, [R N P / size, size, size]: M e_j in column j."""
    unit = torch.eye(size, dtype=like.dtype, device=like.device)
    images = (linear(e.repeat(like.numel() // size).view(like.shape)).reshape(-1, size) for e in unit)
    return torch.stack(list(images), -1)
