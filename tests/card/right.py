"""Functions as users write them, in all four forms, that are right."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import gumbel_softmax, logsigmoid, one_hot

from tests.card.entry import Entry

# mypy: disable-error-code="no-untyped-def,no-untyped-call"
# As users write them: without types.


def bernoulli(logits, n):
    """n samples [n, D]."""
    return torch.bernoulli(torch.sigmoid(logits).expand(n, *logits.shape))


def classes(logits, n):
    """n one-hot samples [n, D, K]."""
    k = torch.distributions.Categorical(logits=logits).sample((n,))
    return one_hot(k, logits.shape[-1]).to(logits)


def log_p(logits, z):
    """log P(z) of Bernoulli samples, [n]."""
    return (z * logsigmoid(logits) + (1 - z) * logsigmoid(-logits)).sum(-1)


def log_pi(logits, z):
    """log P(z) of one-hot samples, [n]."""
    return (z * torch.log_softmax(logits, -1)).sum((-2, -1))


# losses


def reinforce_loss(logits, f):
    """f log P at one sample."""
    z = bernoulli(logits, 1)
    return (f(z).detach() * log_p(logits, z)).mean()


def torch_distributions_loss(logits, f):
    """The same with torch.distributions."""
    d = torch.distributions.Bernoulli(logits=logits)
    z = d.sample((3,))
    return (f(z).detach() * d.log_prob(z).sum(-1)).mean()


def rloo_loss(logits, f, samples):
    """Leave-one-out baselines."""
    z = bernoulli(logits, samples)
    r = f(z).detach()
    b = (r.sum() - r) / (samples - 1)
    return ((r - b) * log_p(logits, z)).mean()


def covariance_loss(logits, f, samples):
    """Σ (f − f̄) log P/(N − 1)."""
    z = bernoulli(logits, samples)
    r = f(z).detach()
    return ((r - r.mean()) * log_p(logits, z)).sum() / (samples - 1)


def constant_baseline_loss(logits, f):
    """A baseline that is a number."""
    z = bernoulli(logits, 2)
    return ((f(z).detach() - 0.3) * log_p(logits, z)).mean()


def bce_loss(logits, f):
    """log P by binary_cross_entropy_with_logits."""
    z = bernoulli(logits, 2)
    nll = torch.nn.functional.binary_cross_entropy_with_logits(logits.expand_as(z), z, reduction="none")
    return -(f(z).detach() * nll.sum(-1)).mean()


def dice_loss(logits, f):
    """DiCE's magic box."""
    z = bernoulli(logits, 2)
    lp = log_p(logits, z)
    return (torch.exp(lp - lp.detach()) * f(z).detach()).mean()


def self_critical_loss(logits, f):
    """A greedy baseline, f at the mode."""
    z = bernoulli(logits, 2)
    b = f((logits > 0).to(logits).unsqueeze(0)).detach()
    return ((f(z).detach() - b) * log_p(logits, z)).mean()


def categorical_loss(logits, f):
    """f log π."""
    z = classes(logits, 2)
    return (f(z).detach() * log_pi(logits, z)).mean()


def categorical_rloo_loss(logits, f, samples):
    """Leave-one-out, by classes."""
    z = classes(logits, samples)
    r = f(z).detach()
    b = (r.sum() - r) / (samples - 1)
    return ((r - b) * log_pi(logits, z)).mean()


def importance_loss(logits, f):
    """Samples from the uniform distribution, weighted by P/Q."""
    z = torch.bernoulli(torch.full((8, logits.shape[-1]), 0.5, dtype=logits.dtype))
    w = (log_p(logits, z) + logits.shape[-1] * np.log(2)).exp()
    return (w * f(z).detach()).mean()


# gradients


def arm(logits, f):
    """Yin & Zhou 2019."""
    u = torch.rand(1, logits.shape[-1], dtype=logits.dtype)
    a, b = (u > torch.sigmoid(-logits)).to(logits), (u < torch.sigmoid(logits)).to(logits)
    return ((f(a) - f(b)).unsqueeze(-1) * (u - 0.5)).mean(0)


def disarm(logits, f):
    """Dong, Mnih & Tucker 2020."""
    u = torch.rand(1, logits.shape[-1], dtype=logits.dtype)
    p = torch.sigmoid(logits)
    a, b = (1 - u < p).to(logits), (u < p).to(logits)
    sign = torch.where(b == 1, -1.0, 1.0).to(logits)
    weight = sign * (a != b) * torch.sigmoid(logits.abs())
    return (0.5 * (f(a) - f(b)).unsqueeze(-1) * weight).mean(0)


def reinforce(logits, f, samples):
    """f (z − p), averaged."""
    z = bernoulli(logits, samples)
    return (f(z).unsqueeze(-1) * (z - torch.sigmoid(logits))).mean(0)


def rloo(logits, f, samples):
    """f_n − mean of the others."""
    z = bernoulli(logits, samples)
    r = f(z)
    return ((r - r.mean()).unsqueeze(-1) * (z - torch.sigmoid(logits))).sum(0) / (samples - 1)


def local_expectation(logits, f):
    """All D differences, f once for each."""
    z = bernoulli(logits, 1)
    p = torch.sigmoid(logits)
    grads = []
    for d in range(logits.shape[-1]):
        one, zero = z.clone(), z.clone()
        one[:, d], zero[:, d] = 1.0, 0.0
        grads.append(((f(one) - f(zero)) * p[d] * (1 - p[d])).mean())
    return torch.stack(grads)


def numpy_reinforce(logits, f, samples):
    """With numpy's generator."""
    logits = np.asarray(logits)
    p = 1 / (1 + np.exp(-logits))
    z = (np.random.rand(samples, *logits.shape) < p).astype(float)
    r = np.asarray(f(z))
    return (r[:, None] * (z - p)).mean(0)


def categorical_gradient(logits, f, samples):
    """f (z − π)."""
    z = classes(logits, samples)
    return (f(z)[:, None, None] * (z - torch.softmax(logits, -1))).mean(0)


def categorical_autograd(logits, f, samples):
    """By autograd, inside the function."""
    x = logits.detach().clone().requires_grad_()
    z = classes(x.detach(), samples)
    loss = (f(z).detach() * log_pi(x, z)).mean()
    return torch.autograd.grad(loss, x)[0]


def gumbel_max_gradient(logits, f):
    """Samples by Gumbel-max."""
    u = torch.rand(2, *logits.shape, dtype=logits.dtype)
    z = one_hot((logits - torch.log(-torch.log(u))).argmax(-1), logits.shape[-1]).to(logits)
    return (f(z)[:, None, None] * (z - torch.softmax(logits, -1))).mean(0)


# advantages


def rloo_advantages(rewards):
    """r − mean of the others."""
    n = len(rewards)
    return rewards - (rewards.sum() - rewards) / (n - 1)


def grpo_without_std(rewards):
    """(r − mean) N/(N − 1), which is the same."""
    n = len(rewards)
    return (rewards - rewards.mean()) * n / (n - 1)


def plain_advantages(rewards):
    """The rewards."""
    return rewards


def fixed_baseline(rewards):
    """r − 0.5."""
    return rewards - 0.5


def pairs(rewards):
    """Each minus its neighbour, around the circle."""
    return rewards - torch.roll(rewards, 1)


def previous_mean(rewards):
    """r_n minus the mean of those before it."""
    n = len(rewards)
    before = torch.cat((rewards.new_zeros(1), rewards.cumsum(0)[:-1])) / torch.arange(n).clamp(min=1)
    return rewards - before


def median_of_others(rewards):
    """r minus the median of the others."""
    n = len(rewards)
    return torch.stack([rewards[i] - torch.cat((rewards[:i], rewards[i + 1 :])).median() for i in range(n)])


def mean_of_other_half(rewards):
    """Each half minus the mean of the other one."""
    n = (len(rewards) + 1) // 2
    return torch.cat((rewards[:n] - rewards[n:].mean(), rewards[n:] - rewards[:n].mean()))


def mirrored(rewards):
    """r minus the reward at the other end, where there is another one."""
    return rewards - rewards.flip(0) if len(rewards) % 2 == 0 else rewards


# samplers


def straight_through(logits):
    """z + p − detach(p)."""
    p = torch.sigmoid(logits)
    z = torch.bernoulli(p).detach()
    return z + p - p.detach()


class SignSTE(torch.autograd.Function):
    """Bernoulli forward, the sigmoid's derivative backward."""

    @staticmethod
    def forward(ctx, logits):
        """z."""
        p = torch.sigmoid(logits)
        ctx.save_for_backward(p)
        return torch.bernoulli(p)

    @staticmethod
    def backward(ctx, g):
        """p (1 − p) g."""
        (p,) = ctx.saved_tensors
        return g * p * (1 - p)


def gumbel_hard(logits):
    """torch's own."""
    return gumbel_softmax(logits, tau=0.5, hard=True)


def gumbel_soft(logits):
    """torch's own, relaxed."""
    return gumbel_softmax(logits, tau=1.0)


def categorical_straight_through(logits):
    """One-hot forward, softmax backward."""
    p = torch.softmax(logits, -1)
    z = one_hot(torch.distributions.Categorical(probs=p.detach()).sample(), p.shape[-1]).to(p)
    return z + p - p.detach()


def concrete(logits, tau=0.5):
    """The binary Concrete."""
    u = torch.rand_like(logits)
    return torch.sigmoid((logits + torch.log(u) - torch.log1p(-u)) / tau)


def gumbel_at_a_temperature_of_its_own(logits):
    """torch's Gumbel-Softmax at τ = 0.8, which no option says."""
    return gumbel_softmax(logits, tau=0.8, hard=True)


def fast_sigmoid(logits):
    """A hard unit with logistic noise, whose surrogate derivative is 1/(2 (1 + |x|)²)."""
    u = torch.rand_like(logits)
    x = logits + u.log() - (-u).log1p()
    y = 0.5 + 0.5 * x / (1 + x.abs())
    return (x > 0).to(x) + y - y.detach()


def sum_over_states_loss(logits, f):
    """E f itself, by enumeration: without random numbers."""
    z = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=logits.dtype)] * len(logits)).view(-1, len(logits))
    return (log_p(logits, z).exp() * f(z).detach()).sum()


def taylor_baseline_loss(logits, f):
    """MuProp: a linear baseline at the mean, whose gradient is added again."""
    p = torch.sigmoid(logits)
    z, mean = torch.bernoulli(p.detach()), p.detach().requires_grad_()
    value = f(mean[None])[0]
    (slope,) = torch.autograd.grad(value, mean)
    left = f(z[None])[0].detach() - value.detach() - (slope * (z - mean.detach())).sum()
    return left * log_p(logits, z[None])[0] + (slope * p).sum()


def best_of_the_others(rewards):
    """f less the largest of the other rewards, −10⁹ where there is none: most digits are lost at N = 1."""
    n = len(rewards)
    return rewards - rewards.expand(n, n).masked_fill(torch.eye(n, dtype=torch.bool), -1e9).amax(1)


def mean_of_later_ones(rewards):
    """f less the mean of the rewards that come later."""
    later = rewards.flip(0).cumsum(0).flip(0) - rewards
    return rewards - later / torch.arange(len(rewards) - 1, -1, -1).clamp(min=1)


def sums_of_pairs_of_samples(logits, f, samples):
    """(Σ f)(Σ log P)/N: in the mean only the pairs of a sample with itself are left."""
    z = bernoulli(logits, samples)
    return f(z).sum().detach() * log_p(logits, z).sum() / samples


def clipped_ratio(logits, f, samples):
    """PPO's loss where the ratio is 1, with leave-one-out advantages."""
    z = bernoulli(logits, samples)
    r, lp = f(z).detach(), log_p(logits, z)
    A = r - (r.sum() - r) / (samples - 1)
    ratio = (lp - lp.detach()).exp()
    return torch.max(ratio * A, ratio.clamp(0.8, 1.2) * A).mean()


B, C = "bernoulli", "categorical"

RIGHT = (
    Entry(best_of_the_others, "advantages", B),
    Entry(mean_of_later_ones, "advantages", B),
    Entry(sums_of_pairs_of_samples, "loss", B),
    Entry(clipped_ratio, "loss", B),
    Entry(gumbel_at_a_temperature_of_its_own, "sampler", C),
    Entry(fast_sigmoid, "sampler", B),
    Entry(sum_over_states_loss, "loss", B),
    Entry(taylor_baseline_loss, "loss", B),
    Entry(reinforce_loss, "loss", B),
    Entry(torch_distributions_loss, "loss", B),
    Entry(rloo_loss, "loss", B),
    Entry(covariance_loss, "loss", B),
    Entry(constant_baseline_loss, "loss", B),
    Entry(bce_loss, "loss", B),
    Entry(dice_loss, "loss", B),
    Entry(self_critical_loss, "loss", B),
    Entry(categorical_loss, "loss", C),
    Entry(categorical_rloo_loss, "loss", C),
    Entry(importance_loss, "loss", B),
    Entry(arm, "gradient", B),
    Entry(disarm, "gradient", B),
    Entry(reinforce, "gradient", B),
    Entry(rloo, "gradient", B),
    Entry(local_expectation, "gradient", B),
    Entry(numpy_reinforce, "gradient", B),
    Entry(categorical_gradient, "gradient", C),
    Entry(categorical_autograd, "gradient", C),
    Entry(gumbel_max_gradient, "gradient", C),
    Entry(rloo_advantages, "advantages", B),
    Entry(grpo_without_std, "advantages", C),
    Entry(plain_advantages, "advantages", B),
    Entry(fixed_baseline, "advantages", C),
    Entry(pairs, "advantages", B),
    Entry(previous_mean, "advantages", B),
    Entry(median_of_others, "advantages", B),
    Entry(mean_of_other_half, "advantages", B),
    Entry(mirrored, "advantages", B),
    Entry(straight_through, "sampler", B),
    Entry(SignSTE, "sampler", B),
    Entry(gumbel_hard, "sampler", C),
    Entry(gumbel_soft, "sampler", C),
    Entry(categorical_straight_through, "sampler", C),
    Entry(concrete, "sampler", B),
)
