"""Adam on the critic of LAX and RELAX, with its gradients written out: autograd takes several times as long."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from itertools import cycle, islice

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
    points, maps             x_i, like these, and M_i
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
        self._maps, self._transposed = zip(*map(_recorded, maps, points), strict=True)
        self._x = torch.stack([bounded(x) for x in points]).flatten(3)  # [points, R, N, P]

    def estimate(self, critic: Critic) -> Tensor:
        """ĝ, like z."""
        return self._estimate(critic, critic.hidden(self._x))

    def _estimate(self, critic: Critic, h: Tensor) -> Tensor:
        R, N, *event = self.score.shape
        value = (h[: R * N] @ critic.a).view(R, N, *[1] * len(event))
        estimate = torch.addcmul(self.constant, value, self.score, value=-1)
        if self.beside is not None:
            estimate.addcmul_(critic.eta, self.beside)
        slopes = critic.slope(h).view(-1, *self.score.shape)
        for M, slope in zip(self._maps, slopes, strict=True):
            estimate += M(slope)
        return estimate

    def gradient(self, critic: Critic) -> Tensor:
        """∂ mean ‖ĝ‖² / ∂(W, b, a, η), flat as `Critic.numbers`.

        With Q = ∂ mean ‖ĝ‖²/∂ĝ, h = tanh(W x + b) and q = 1 − h²: through r(x₀) go α = −Q·s, and through each
        ∇r(x) = Wᵀ(a q) goes V = Mᵀ Q, of which U = V Wᵀ reaches a q; q has the slope −2 h q in W x + b.
        """
        W, _, a, _ = critic
        h = critic.hidden(self._x)  # [points R N, H]
        Q = self._outer(self._estimate(critic, h))  # [R, N, D] or [R, N, D, K]
        V = torch.cat([transposed(Q) for transposed in self._transposed]).view(-1, W.shape[1])  # [points R N, P]
        q = 1 - h * h
        aq = a * q
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
        """∂ mean ‖project ĝ‖²/∂ĝ: what the logits of tied variables share reaches each of them."""
        projected = self.problem.project(estimate)  # [R, N, P]
        shared = estimate.ndim - self.problem.distribution.event_dim  # the axis of the variables
        shape = [*estimate.shape]
        if self.problem.tie:
            shape[shared] = 1
        return (projected * (2 / projected[..., 0].numel())).view(shape).expand_as(estimate)


def descended(batches: Iterable[Parts], start: Critic, steps: int, eta: bool) -> Critic:
    """The critic after so many steps of Adam on W, b and a (and η), each on the next of the batches, over and over."""
    theta = torch.cat([t.flatten() for t in start])
    critic = start.of_flat(theta)  # views
    m, v = torch.zeros_like(theta), torch.zeros_like(theta)
    for k, batch in enumerate(islice(cycle(batches), steps), 1):
        gradient = batch.gradient(critic)
        if not eta:
            gradient[-1] = 0.0
        m.lerp_(gradient, 1 - BETA_1)
        v.mul_(BETA_2).addcmul_(gradient, gradient, value=1 - BETA_2)
        spread = v.sqrt().div_((1 - BETA_2**k) ** 0.5).add_(EPSILON)
        theta.addcdiv_(m, spread, value=-LEARNING_RATE / (1 - BETA_1**k))
    return critic


def _recorded(linear: Map, like: Tensor) -> tuple[Map, Map]:
    """A linear map M and Mᵀ as autograd records them: what M makes of its constants is made once."""
    with torch.enable_grad():
        h, q = (torch.zeros_like(like).requires_grad_() for _ in range(2))
        image = linear(h)
        (back,) = torch.autograd.grad(image, h, q, create_graph=True)

    def mapped(of: Tensor, by: Tensor, v: Tensor) -> Tensor:
        (found,) = torch.autograd.grad(of, by, v, retain_graph=True)
        return found

    return partial(mapped, back, q), partial(mapped, image, h)
