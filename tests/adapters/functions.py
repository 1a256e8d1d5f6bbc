"""Functions in the four forms as users have them, right and wrong, and what of the catalogue they equal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch import distributions as td

F = Callable[[Any], Any]


class StraightThrough(torch.autograd.Function):
    """z ~ Bernoulli(σ(φ)), backward σ′(φ) ∂f/∂z: `ste`."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor) -> Tensor:
        """A sample."""
        p = logits.sigmoid()
        ctx.save_for_backward(p)
        return torch.bernoulli(p)

    @staticmethod
    def backward(ctx: Any, *grad: Any) -> Any:
        """As if it were its mean."""
        (p,) = ctx.saved_tensors
        return grad[0] * p * (1 - p)


def straight_through(logits: Tensor) -> Tensor:
    """The same without a class of its own: z + p − p.detach()."""
    p = logits.sigmoid()
    z = (torch.rand_like(p) < p).to(p)
    return z + p - p.detach()


class Layer(torch.nn.Module):
    """The same as a module, in float32."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, logits: Tensor) -> Tensor:
        """A sample."""
        p = logits.float().sigmoid()
        z = torch.bernoulli(p.detach())
        return z + self.scale * (p - p.detach())


def one_at_a_time(logits: Tensor) -> Tensor:
    """The same, written for one vector of logits: it asks for the length, and goes through the variables."""
    (D,) = logits.shape
    p = logits.sigmoid()
    z = torch.stack([torch.bernoulli(p[d].detach()) for d in range(D)])
    return z + p - p.detach()


def score_function(logits: Tensor, f: F) -> Tensor:
    """f(z) log P(z): `reinforce`."""
    d: Any = td.Bernoulli(logits=logits)
    z = d.sample()
    surrogate: Tensor = f(z).detach() * d.log_prob(z).sum(-1)
    return surrogate


def score_function_in_double_loop(logits: Tensor, f: F) -> Tensor:
    """The same, with conditions on values of tensors, which no batch can have."""
    logs, z = [], []
    for logit in logits:
        p = logit.sigmoid()
        one = torch.rand(()) < p.item()
        z.append(1.0 if one else 0.0)
        logs.append(p.log() if one else (1 - p).log())
    surrogate: Tensor = f(torch.tensor(z)) * torch.stack(logs).sum()
    return surrogate


def classes_score_function(logits: Tensor, f: F) -> Tensor:
    """The same for categorical variables."""
    d: Any = td.OneHotCategorical(logits=logits)
    z = d.sample()
    surrogate: Tensor = f(z) * d.log_prob(z).sum(-1)
    return surrogate


def leave_one_out(logits: Tensor, f: F, samples: int) -> Tensor:
    """The gradient with the mean of the others as baseline: `rloo`."""
    p = logits.sigmoid()
    z = (torch.rand(samples, *logits.shape, dtype=logits.dtype) < p).to(p)
    fz = f(z)
    A: Tensor = fz - (fz.sum() - fz) / (samples - 1)
    return (A[:, None] * (z - p)).mean(0)


def with_autograd(logits: Tensor, f: F, samples: int = 1) -> Tensor:
    """REINFORCE by autograd, of logits that are expected to require a gradient."""
    d: Any = td.Bernoulli(logits=logits.expand(samples, -1))
    z = d.sample()
    (g,) = torch.autograd.grad((f(z) * d.log_prob(z).sum(-1)).mean(), logits)
    return g


def in_numpy(logits: np.ndarray[Any, Any], f: F, samples: int) -> np.ndarray[Any, Any]:
    """`rloo` in numpy."""
    p = 1 / (1 + np.exp(-logits))
    z = (np.random.rand(samples, logits.size) < p).astype(np.float32)
    fz = f(z)
    A = fz - (fz.sum() - fz) / (samples - 1)
    found: np.ndarray[Any, Any] = (A[:, None] * (z - p)).mean(axis=0)
    return found


def with_generator(logits: Tensor, f: F, samples: int, generator: torch.Generator) -> Tensor:
    """REINFORCE with a torch.Generator that it is given."""
    p = logits.sigmoid()
    z = torch.bernoulli(p.expand(samples, -1), generator=generator)
    A: Tensor = f(z)
    return (A[:, None] * (z - p)).mean(0)


def with_rng(logits: np.ndarray[Any, Any], f: F, samples: int, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """REINFORCE with a generator of numpy that it is given."""
    p = 1 / (1 + np.exp(-logits))
    z = (rng.random((samples, len(p))) < p).astype(float)
    found: np.ndarray[Any, Any] = (f(z)[:, None] * (z - p)).mean(0)
    return found


def rloo_advantages(rewards: Tensor) -> Tensor:
    """r_n less the mean of the others."""
    n = len(rewards)
    return rewards - (rewards.sum() - rewards) / (n - 1)


def rloo_of_batch(rewards: Tensor) -> Tensor:
    """The same along the last axis."""
    n = rewards.shape[-1]
    return (rewards - rewards.mean(-1, keepdim=True)) * n / (n - 1)


def grpo(rewards: Tensor, num_generations: int, eps: float = 1e-4) -> Tensor:
    """Group-relative advantages as trainers hold them: groups of prompts in one list, normalised."""
    mean = rewards.view(-1, num_generations).mean(1).repeat_interleave(num_generations)
    std = rewards.view(-1, num_generations).std(1).repeat_interleave(num_generations)
    return (rewards - mean) / (std + eps)


def outcome_advantages(
    token_level_rewards: Tensor, response_mask: Tensor, index: np.ndarray[Any, Any]
) -> tuple[Tensor, Tensor]:
    """Leave-one-out advantages per token, in the signature that verl has."""
    scores = token_level_rewards.sum(-1)
    groups: dict[Any, list[int]] = {}
    for i, name in enumerate(index):
        groups.setdefault(name, []).append(i)
    A = torch.zeros_like(scores)
    for members in groups.values():
        n = len(members)
        for i in members:
            A[i] = scores[i] * n / (n - 1) - scores[members].mean() * n / (n - 1)
    A = A.unsqueeze(-1) * response_mask
    return A, A


def numpy_advantages(rewards: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Leave-one-out in numpy."""
    found: np.ndarray[Any, Any] = rewards - (np.sum(rewards) - rewards) / (rewards.size - 1)
    return found


def previous_reward(rewards: Tensor) -> Tensor:
    """The reward before it as baseline: the order matters."""
    return rewards - rewards.roll(1)


def first_of_the_best(rewards: Tensor) -> Tensor:
    """1 for the best, the first one if several are: the order matters among equals alone."""
    A = torch.zeros_like(rewards)
    A[rewards.argmax()] = 1.0
    return A


def mirrored_of_even(rewards: Tensor) -> Tensor:
    """The reward at the other end as baseline, for an even number of them: the order matters there alone."""
    return rewards - rewards.flip(0) if len(rewards) % 2 == 0 else rewards


def in_pairs(rewards: Tensor) -> Tensor:
    """Each reward less the other one of its pair: an odd number of rewards raises."""
    return (rewards.view(-1, 2) - rewards.view(-1, 2).flip(1)).flatten()


def pairs_of_antithetic(logits: Tensor, f: F, samples: int) -> Tensor:
    """Score function at u and 1 − u, an even number of samples."""
    u = torch.rand(samples // 2, 1, *logits.shape, dtype=logits.dtype)
    z = (torch.cat((u, 1 - u), 1).view(samples, *logits.shape) < logits.sigmoid()).to(logits)
    mean: Tensor = (f(z)[:, None] * (z - logits.sigmoid())).mean(0)
    return mean


def self_inclusive(rewards: Tensor) -> Tensor:
    """r_n less the mean of all, itself among them: shrunk by 1 − 1/N."""
    return rewards - rewards.mean()


def noisy_advantages(rewards: Tensor) -> Tensor:
    """Leave-one-out with noise of its own."""
    return rloo_advantages(rewards) + 0.1 * torch.randn_like(rewards)
