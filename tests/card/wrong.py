"""Functions in all four forms that are wrong on purpose, each with the cause that the card must name."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import gumbel_softmax, logsigmoid, one_hot

from tests.card.entry import Entry
from tests.card.right import bernoulli, classes, log_p, log_pi

# mypy: disable-error-code="no-untyped-def,no-untyped-call"
# As users write them: without types.


# losses


def sign_loss(logits, f):
    """−f log P."""
    z = bernoulli(logits, 2)
    return -(f(z).detach() * log_p(logits, z)).mean()


def summed_loss(logits, f, samples):
    """The sum over samples."""
    z = bernoulli(logits, samples)
    return (f(z).detach() * log_p(logits, z)).sum()


def self_baseline_loss(logits, f, samples):
    """f − f̄, averaged."""
    z = bernoulli(logits, samples)
    r = f(z).detach()
    return ((r - r.mean()) * log_p(logits, z)).mean()


def loo_over_n_minus_1_loss(logits, f, samples):
    """Leave-one-out, and divided by N − 1 as well."""
    z = bernoulli(logits, samples)
    r = f(z).detach()
    b = (r.sum() - r) / (samples - 1)
    return ((r - b) * log_p(logits, z)).sum() / (samples - 1)


def covariance_undivided_loss(logits, f, samples):
    """Σ (f − f̄) log P."""
    z = bernoulli(logits, samples)
    r = f(z).detach()
    return ((r - r.mean()) * log_p(logits, z)).sum()


def covariance_half_n_loss(logits, f, samples):
    """2/N Σ (f − f̄) log P."""
    z = bernoulli(logits, samples)
    r = f(z).detach()
    return ((r - r.mean()) * log_p(logits, z)).sum() * 2 / samples


def mean_twice_loss(logits, f, samples):
    """A mean, divided by N."""
    z = bernoulli(logits, samples)
    return (f(z).detach() * log_p(logits, z)).mean() / samples


def no_score_loss(logits, f):
    """f(z) alone: no gradient at all, but for a term that has none."""
    z = bernoulli(logits, 2)
    return f(z).mean() + 0.0 * logits.sum()


def probability_loss(logits, f):
    """f P(z), one variable at a time: the sigmoid for its logarithm."""
    z = bernoulli(logits, 2)
    p = torch.sigmoid(logits)
    return (f(z).detach() * (z * p + (1 - z) * (1 - p)).sum(-1)).mean()


def softmax_loss(logits, f):
    """Softmax for log-softmax."""
    z = classes(logits, 2)
    return (f(z).detach() * (z * torch.softmax(logits, -1)).sum((-2, -1))).mean()


def log_softmax_twice_loss(logits, f):
    """log-softmax of the softmax."""
    z = classes(logits, 2)
    return (f(z).detach() * log_pi(torch.softmax(logits, -1), z)).mean()


def sigmoid_twice_loss(logits, f):
    """log P with probabilities for logits."""
    z = bernoulli(logits, 2)
    return (f(z).detach() * log_p(torch.sigmoid(logits), z)).mean()


def ones_only_loss(logits, f):
    """z log p alone."""
    z = bernoulli(logits, 2)
    return (f(z).detach() * (z * logsigmoid(logits)).sum(-1)).mean()


def mean_over_variables_loss(logits, f):
    """The mean of log P over variables."""
    z = bernoulli(logits, 2)
    return (f(z).detach() * (z * logsigmoid(logits) + (1 - z) * logsigmoid(-logits)).mean(-1)).mean()


def mean_over_entries_loss(logits, f):
    """The mean of z log π over variables and classes."""
    z = classes(logits, 2)
    return (f(z).detach() * (z * torch.log_softmax(logits, -1)).mean((-2, -1))).mean()


def not_detached_loss(logits, f):
    """f of a straight-through sample is differentiated too."""
    p = torch.sigmoid(logits)
    z = bernoulli(logits, 2)
    st = z + p - p.detach()
    return (f(st) + f(z).detach() * log_p(logits, z)).mean()


def entropy_loss(logits, f):
    """An entropy bonus is left in."""
    z = bernoulli(logits, 2)
    lp = log_p(logits, z)
    return ((f(z) - lp).detach() * lp).mean()


def flipped_loss(logits, f):
    """u > p."""
    u = torch.rand(2, *logits.shape, dtype=logits.dtype)
    z = (u > torch.sigmoid(logits)).to(logits)
    return (f(z).detach() * log_p(logits, z)).mean()


def half_weight_loss(logits, f):
    """A mean over a pair whose parts add up."""
    z, y = bernoulli(logits, 1), bernoulli(logits, 1)
    return 0.5 * ((f(z) - f(y)).detach() * log_p(logits, z)).mean()


def decayed_loss(logits, f):
    """A moving average that has seen the sample: b = 0.7 · 0 + 0.3 f."""
    z = bernoulli(logits, 1)
    r = f(z).detach()
    b = 0.7 * 0.0 + 0.3 * r
    return ((r - b) * log_p(logits, z)).mean()


def normalised_loss(logits, f, samples):
    """Rewards divided by their standard deviation."""
    z = bernoulli(logits, samples)
    r = f(z).detach()
    return ((r - r.mean()) / (r.std() + 1e-8) * log_p(logits, z)).mean()


def best_loss(logits, f, samples):
    """The maximum for a baseline, its own sample in it."""
    z = bernoulli(logits, samples)
    r = f(z).detach()
    return ((r - r.max()) * log_p(logits, z)).mean()


def uniform_loss(logits, f):
    """Samples from the uniform distribution, not weighted."""
    z = torch.bernoulli(torch.full((4, logits.shape[-1]), 0.5, dtype=logits.dtype))
    return (f(z).detach() * log_p(logits, z)).mean()


def probit_loss(logits, f):
    """Normal noise."""
    z = (logits + torch.randn(2, *logits.shape, dtype=logits.dtype) > 0).to(logits)
    return (f(z).detach() * log_p(logits, z)).mean()


# gradients


def arm_half(logits, f):
    """The antithetic half left out."""
    u = torch.rand(4, logits.shape[-1], dtype=logits.dtype)
    return (f((u > torch.sigmoid(-logits)).to(logits)).unsqueeze(-1) * (u - 0.5)).mean(0)


def arm_swapped(logits, f):
    """The halves swapped."""
    u = torch.rand(2, logits.shape[-1], dtype=logits.dtype)
    a, b = (u > torch.sigmoid(-logits)).to(logits), (u < torch.sigmoid(logits)).to(logits)
    return ((f(b) - f(a)).unsqueeze(-1) * (u - 0.5)).mean(0)


def disarm_double(logits, f):
    """Without the ½."""
    u = torch.rand(2, logits.shape[-1], dtype=logits.dtype)
    p = torch.sigmoid(logits)
    a, b = (1 - u < p).to(logits), (u < p).to(logits)
    sign = torch.where(b == 1, -1.0, 1.0).to(logits)
    return ((f(a) - f(b)).unsqueeze(-1) * sign * (a != b) * torch.sigmoid(logits.abs())).mean(0)


def probability_score(logits, f, samples):
    """The score of p."""
    z, p = bernoulli(logits, samples), torch.sigmoid(logits)
    return (f(z).unsqueeze(-1) * (z / p - (1 - z) / (1 - p))).mean(0)


def chained_twice(logits, f, samples):
    """p (1 − p) once too often."""
    z, p = bernoulli(logits, samples), torch.sigmoid(logits)
    return (f(z).unsqueeze(-1) * (z - p) * p * (1 - p)).mean(0)


def not_centred(logits, f, samples):
    """z for z − p."""
    return (f(z := bernoulli(logits, samples)).unsqueeze(-1) * z).mean(0)


def classes_not_centred(logits, f, samples):
    """z for z − π."""
    z = classes(logits, samples)
    return (f(z)[:, None, None] * z).mean(0)


def half_centred(logits, f, samples):
    """z − ½."""
    z = bernoulli(logits, samples)
    return (f(z).unsqueeze(-1) * (z - 0.5)).mean(0)


def numpy_sign(logits, f, samples):
    """(p − z), with numpy."""
    p = 1 / (1 + np.exp(-np.asarray(logits)))
    z = (np.random.rand(samples, *p.shape) < p).astype(float)
    return (np.asarray(f(z))[:, None] * (p - z)).mean(0)


def raw_class_score(logits, f, samples):
    """The score of π."""
    z = classes(logits, samples)
    return (f(z)[:, None, None] * z / torch.softmax(logits, -1)).mean(0)


def local_expectation_without_slope(logits, f):
    """Differences without p (1 − p)."""
    z = bernoulli(logits, 1)
    grads = []
    for d in range(logits.shape[-1]):
        one, zero = z.clone(), z.clone()
        one[:, d], zero[:, d] = 1.0, 0.0
        grads.append((f(one) - f(zero)).mean())
    return torch.stack(grads)


def one_of_n(logits, f, samples):
    """All samples are drawn, one is used, and divided by N."""
    z = bernoulli(logits, samples)
    return f(z)[0] * (z[0] - torch.sigmoid(logits)) / samples


def root_n(logits, f, samples):
    """A sum over √N."""
    z = bernoulli(logits, samples)
    return (f(z).unsqueeze(-1) * (z - torch.sigmoid(logits))).sum(0) / samples**0.5


def gumbel_of_probabilities(logits, f, samples):
    """Gumbel noise on the softmax."""
    u = torch.rand(samples, *logits.shape, dtype=logits.dtype)
    z = one_hot((torch.softmax(logits, -1) - torch.log(-torch.log(u))).argmax(-1), logits.shape[-1]).to(logits)
    return (f(z)[:, None, None] * (z - torch.softmax(logits, -1))).mean(0)


def rewards_squared(logits, f, samples):
    """f for its own baseline: f · f."""
    z = bernoulli(logits, samples)
    r = f(z)
    return ((r * r).unsqueeze(-1) * (z - torch.sigmoid(logits))).mean(0)


# advantages


def grpo(rewards):
    """(r − mean)/std."""
    return (rewards - rewards.mean()) / (rewards.std() + 1e-6)


def mean_baseline(rewards):
    """r − mean."""
    return rewards - rewards.mean()


def first_as_baseline(rewards):
    """r − r_1: one of them has no advantage."""
    return rewards - rewards[0]


def summed_advantages(rewards):
    """N r."""
    return rewards * len(rewards)


def whitened_loo(rewards):
    """Leave-one-out, then divided by N − 1."""
    n = len(rewards)
    return (rewards - (rewards.sum() - rewards) / (n - 1)) / (n - 1)


def clipped_advantages(rewards):
    """max(r, 0)."""
    return rewards.clamp(min=0)


def ranked(rewards):
    """Ranks for rewards."""
    return rewards.argsort().argsort().to(rewards) - (len(rewards) - 1) / 2


def softmax_weights(rewards):
    """exp r/Σ exp r."""
    return torch.softmax(rewards, 0)


def negative_advantages(rewards):
    """mean of the others − r."""
    n = len(rewards)
    return (rewards.sum() - rewards) / (n - 1) - rewards


def running_mean(rewards):
    """r minus a mean that has seen it: a decay of 0.9 that began at r."""
    b = 0.9 * 0.0 + 0.1 * rewards
    return rewards - b


def mean_so_far(rewards):
    """r minus the mean of the rewards up to it, itself among them."""
    return rewards - rewards.cumsum(0) / torch.arange(1, len(rewards) + 1)


def sum_over_others(rewards):
    """r minus the sum of all over N − 1."""
    return rewards - rewards.sum() / (len(rewards) - 1)


# samplers


def detached_sampler(logits):
    """z + p − p: nothing is left."""
    p = torch.sigmoid(logits)
    return torch.bernoulli(p).detach() + p - p


def sign_sampler(logits):
    """z − p + detach(p)."""
    p = torch.sigmoid(logits)
    return torch.bernoulli(p).detach() - p + p.detach()


def flipped_sampler(logits):
    """1 with probability 1 − p."""
    p = torch.sigmoid(logits)
    z = (torch.rand_like(p) > p).to(p)
    return z + p - p.detach()


def noiseless_sampler(logits):
    """The likeliest state."""
    p = torch.sigmoid(logits)
    return (p > 0.5).to(p) + p - p.detach()


def without_temperature(logits):
    """Straight-through with the softmax at τ, and the derivative multiplied by τ."""
    y = gumbel_softmax(logits, tau=0.5, hard=True)
    return y.detach() + 0.5 * (y - y.detach())


def gumbel_sign_sampler(logits):
    """The Gumbel noise with the wrong sign."""
    u = torch.rand_like(logits)
    y = torch.softmax((logits + torch.log(-torch.log(u))) / 0.5, -1)
    return one_hot(y.argmax(-1), y.shape[-1]).to(y) + y - y.detach()


def tempered_sampler(logits):
    """The temperature applied to the logits alone, so that samples are too cold."""
    p = torch.softmax(logits / 0.4, -1)
    z = one_hot(torch.distributions.Categorical(probs=p.detach()).sample(), p.shape[-1]).to(p)
    return z + p - p.detach()


def doubled_sampler(logits):
    """Twice the derivative."""
    p = torch.sigmoid(logits)
    return torch.bernoulli(p).detach() + 2 * p - 2 * p.detach()


def wrong_axis_sampler(logits):
    """Softmax and argmax over the variables."""
    y = torch.softmax(logits - torch.log(-torch.log(torch.rand_like(logits))), 0)
    return one_hot(y.argmax(-1), y.shape[-1]).to(y) + y - y.detach()


def outer_product_loss(logits, f, samples):
    """The mean of f times the mean of log P."""
    z = bernoulli(logits, samples)
    return f(z).detach().mean() * log_p(logits, z).mean()


def shuffled_loss(logits, f, samples):
    """f of another sample."""
    z = bernoulli(logits, samples)
    return (f(z).detach().flip(0)[: samples // 2] * log_p(logits, z)[: samples // 2]).mean()


def clamped(logits, f, samples):
    """Probabilities are kept away from 0 and 1."""
    p = torch.sigmoid(logits).clamp(0.1, 0.9)
    z = torch.bernoulli(p.expand(samples, *logits.shape))
    return (f(z).unsqueeze(-1) * (z - p)).mean(0)


def first_variable_only(logits, f, samples):
    """An index that is fixed."""
    z = bernoulli(logits, samples)
    g = (f(z).unsqueeze(-1) * (z - torch.sigmoid(logits))).mean(0)
    return torch.cat((g[:1], torch.zeros_like(g[1:])))


def uniform_noise(logits, f, samples):
    """Uniform noise for logistic noise."""
    u = torch.rand(samples, *logits.shape, dtype=logits.dtype)
    z = (logits + 2 * u - 1 > 0).to(logits)
    return (f(z).unsqueeze(-1) * (z - torch.sigmoid(logits))).mean(0)


def score_at_other_temperature_loss(logits, f, samples):
    """log P at logits/2."""
    z = bernoulli(logits, samples)
    return (f(z).detach() * log_p(logits / 2, z)).mean()


def half_not_centred(logits, f, samples):
    """Two mistakes: ½ z for z − p."""
    z = bernoulli(logits, samples)
    return 0.5 * (f(z).unsqueeze(-1) * z).mean(0)


def proposal_inverse(logits, f, samples):
    """Samples at half the logits, weighted with Q/P in place of P/Q."""
    z = bernoulli(logits / 2, samples)
    w = (log_p(logits / 2, z) - log_p(logits, z)).exp()
    return ((w * f(z)).unsqueeze(-1) * (z - torch.sigmoid(logits))).mean(0)


def arm_of_one_side(logits, f):
    """ARM whose second sample is 1 where u > p: it should be where u > 1 − p."""
    u = torch.rand_like(logits)
    one, two = (u < torch.sigmoid(logits)).to(logits), (u > torch.sigmoid(logits)).to(logits)
    return (f(two[None])[0] - f(one[None])[0]) * (u - 0.5)


def one_uniform_for_all(logits, f):
    """All variables are drawn with one random number."""
    z = (torch.rand(1, dtype=logits.dtype) < torch.sigmoid(logits)).to(logits)
    return f(z[None])[0] * (z - torch.sigmoid(logits))


def seeded_in_the_call(logits, f, samples):
    """Each call seeds its generator with 0."""
    p = torch.sigmoid(logits).expand(samples, *logits.shape)
    z = torch.bernoulli(p, generator=torch.Generator().manual_seed(0))
    return (f(z).unsqueeze(-1) * (z - p)).mean(0)


def value_of_relaxed(logits, f):
    """f of the relaxed sample times the score of the hard one."""
    u = torch.rand_like(logits)
    x = logits + u.log() - (-u).log1p()
    return f(torch.sigmoid(x / 0.5)[None])[0].detach() * ((x > 0).to(logits) - torch.sigmoid(logits))


def relaxed_baseline(logits, f):
    """f(z) less f of the relaxed sample, whose gradient is not added again."""
    u = torch.rand_like(logits)
    x = logits + u.log() - (-u).log1p()
    z = (x > 0).to(logits)
    return (f(z[None])[0] - 0.7 * f(torch.sigmoid(x / 0.6)[None])[0].detach()) * (z - torch.sigmoid(logits))


def diagonal_of_jacobian(logits, f, samples):
    """The score z (1 − π) of the class that was drawn alone."""
    z = classes(logits, samples)
    return (f(z)[:, None, None] * z * (1 - torch.softmax(logits, -1))).mean(0)


def softmax_of_variables(logits, f, samples):
    """The score z − softmax over the wrong axis."""
    z = classes(logits, samples)
    return (f(z)[:, None, None] * (z - torch.softmax(logits, 0))).mean(0)


def probabilities_as_logits_loss(logits, f):
    """A distribution whose logits are probabilities."""
    d = torch.distributions.Bernoulli(logits=torch.sigmoid(logits))
    z = d.sample()
    return f(z.unsqueeze(0))[0].detach() * d.log_prob(z).sum()


def small_entropy_loss(logits, f, samples):
    """An entropy bonus of 0.2 H."""
    d = torch.distributions.Bernoulli(logits=logits)
    z = d.sample((samples,))
    return (f(z).detach() * d.log_prob(z).sum(-1)).mean() - 0.2 * d.entropy().sum()


def rolled(rewards):
    """The reward of the sample before, less the mean of all."""
    return rewards.roll(1) - rewards.mean()


def minus_sampler(logits):
    """z − p + p.detach()."""
    p = torch.sigmoid(logits)
    return torch.bernoulli(p.detach()) - p + p.detach()


def one_uniform_sampler(logits):
    """A threshold that all variables share."""
    p = torch.sigmoid(logits)
    return (p.detach() > torch.rand(1, dtype=p.dtype)).to(p) + p - p.detach()


def half_updated_baseline(rewards):
    """Half of the mean of all is in the baseline of each."""
    return rewards - 0.5 * rewards.mean()


def disarm_without_weight(logits, f):
    """DisARM without σ(|φ|)."""
    u, p = torch.rand_like(logits), torch.sigmoid(logits)
    one, two = (u < p).to(logits), (1 - u < p).to(logits)
    return 0.5 * (f(one[None])[0] - f(two[None])[0]) * (one - two)


def weighted_positions(rewards, response_mask):
    """Leave-one-out, with a weight that decays over the variables."""
    A = (rewards - rewards.mean()) * len(rewards) / (len(rewards) - 1)
    return A[:, None] * 0.8 ** torch.arange(response_mask.shape[1]) * response_mask


def reversed_advantages(rewards):
    """Leave-one-out, in the reverse order."""
    n = len(rewards)
    return (rewards - (rewards.sum() - rewards) / (n - 1)).flip(0)


def sorted_advantages(rewards):
    """f − f̄, sorted."""
    return (rewards - rewards.mean()).sort().values


def coefficient_of_the_same_samples(rewards):
    """Leave-one-out times a coefficient that is fitted on the same rewards."""
    others = (rewards.sum() - rewards) / (len(rewards) - 1)
    return rewards - (rewards * others).sum() / (others * others).sum().clamp(min=1e-12) * others


def antithetic_difference(logits, f):
    """f(z) s(z) − f(z′) s(z′), each with a score of its own."""
    p, u = torch.sigmoid(logits), torch.rand_like(logits)
    a, b = (u < p).to(p), (1 - u < p).to(p)
    return (f(a[None])[0] * (a - p) - f(b[None])[0] * (b - p)) / 2


def rao_blackwell_of_the_next(logits, f, samples):
    """The expectation over another variable than that of the derivative."""
    pi, z = torch.softmax(logits, -1), classes(logits, samples)
    g, K = torch.zeros_like(logits), logits.shape[-1]
    for d in range(len(logits)):
        e = (d + 1) % len(logits)
        each = [one_hot(torch.full((samples, 1), k), K).to(z) for k in range(K)]
        v = torch.stack([f(torch.cat([z[:, :e], x, z[:, e + 1 :]], 1)) for x in each], 1)
        g[d] = (pi[d] * (v - (v * pi[e]).sum(1, keepdim=True))).mean(0)
    return g


def pairs_of_classes(logits, f, samples):
    """π (1 − π) times the difference to the next class, as with two classes."""
    pi, z = torch.softmax(logits, -1), classes(logits, samples)
    g, K = torch.zeros_like(logits), logits.shape[-1]
    for d in range(len(logits)):
        each = [one_hot(torch.full((samples, 1), k), K).to(z) for k in range(K)]
        v = torch.stack([f(torch.cat([z[:, :d], x, z[:, d + 1 :]], 1)) for x in each], 1)
        g[d] = (pi[d] * (1 - pi[d]) * (v - v.roll(-1, 1))).mean(0)
    return g


def product_of_scores(logits, f, samples):
    """f times the product of all scores, for each variable."""
    z = bernoulli(logits, samples)
    s = (z - torch.sigmoid(logits)).prod(1, keepdim=True)
    return (f(z)[:, None] * s).mean(0).expand_as(logits)


def half_precision(logits, f, samples):
    """f beside a large constant, in float16."""
    z = bernoulli(logits, samples)
    r = ((f(z) + 3000).half() - 3000).to(logits)
    return (r[:, None] * (z - torch.sigmoid(logits))).mean(0)


def spins(logits, f, samples):
    """f of spins −1 and 1, with the score of bits."""
    z = bernoulli(logits, samples)
    return (f(2 * z - 1)[:, None] * (z - torch.sigmoid(logits))).mean(0)


def log_softmax_over_variables_loss(logits, f):
    """log-softmax over the first axis."""
    z = classes(logits, 1)
    return f(z)[0].detach() * (torch.log_softmax(logits, 0) * z[0]).sum()


def step_of_the_logits(logits, f):
    """A difference of f at logits a whole step apart, in a random direction."""
    d = torch.where(torch.rand_like(logits) < 0.5, 1.0, -1.0).to(logits)
    a, b = ((torch.rand_like(logits) < torch.sigmoid(logits + sign * d)).to(logits) for sign in (1, -1))
    return (f(a[None])[0] - f(b[None])[0]) / 2 * d


def self_normalised(logits, f, samples):
    """Uniform samples whose weights are divided by their sum."""
    z = (torch.rand(samples, len(logits), dtype=logits.dtype) < 0.5).to(logits)
    w = log_p(logits, z).exp()
    return (w / w.sum() * f(z)) @ (z - torch.sigmoid(logits))


def sum_of_sample_and_mean(logits):
    """z + π where z is meant: detached together."""
    pi = torch.softmax(logits, -1)
    z = one_hot(torch.multinomial(pi.detach(), 1)[:, 0], pi.shape[-1]).to(pi)
    return (z + pi).detach() + pi - pi.detach()


def laplace_sampler(logits):
    """argmax with Laplace noise in place of Gumbel noise."""
    u = torch.rand_like(logits) - 0.5
    y = torch.softmax(logits - u.sign() * (1 - 2 * u.abs()).log(), -1)
    return one_hot(y.argmax(-1), y.shape[-1]).to(y) + y - y.detach()


def relaxed_density_loss(logits, f):
    """f log q(y) of a relaxed sample that is not detached."""
    d = torch.distributions.RelaxedBernoulli(torch.tensor(0.7, dtype=logits.dtype), logits=logits)
    y = d.rsample()
    return f((y > 0.5).to(logits)[None])[0].detach() * d.log_prob(y).sum()


def smoothed_labels_loss(logits, f, samples):
    """Cross-entropy with label smoothing for −log P."""
    k = torch.distributions.Categorical(logits=logits).sample((samples,))
    each = logits.expand(samples, *logits.shape).transpose(1, 2)
    ce = torch.nn.functional.cross_entropy(each, k, reduction="none", label_smoothing=0.2)
    return -(f(one_hot(k, logits.shape[-1]).to(logits)).detach() * ce.sum(-1)).mean()


def score_at_seven_tenths_loss(logits, f, samples):
    """log π at logits/0.7."""
    z = classes(logits, samples)
    return (f(z).detach() * log_pi(logits / 0.7, z)).mean()


def log_of_mean_exp_loss(logits, f, samples):
    """The gradient of E log Σ exp f, without the part of its value."""
    z = bernoulli(logits, samples)
    return (torch.softmax(f(z).detach(), 0) * log_p(logits, z)).sum()


def fitted_baseline(logits, f, samples):
    """A baseline that is a linear fit of f on the same samples."""
    z = bernoulli(logits, samples)
    r, X = f(z), torch.cat((torch.ones_like(z[:, :1]), z), 1)
    beta = torch.linalg.solve(X.T @ X + 1e-3 * torch.eye(X.shape[1], dtype=z.dtype), X.T @ r)
    return ((r - X @ beta)[:, None] * (z - torch.sigmoid(logits))).mean(0)


def shuffled_advantages(rewards):
    """f − f̄, shuffled."""
    return (rewards - rewards.mean())[torch.randperm(len(rewards))]


def middle_as_baseline(rewards):
    """f less the middle between the largest and the smallest."""
    return rewards - (rewards.max() + rewards.min()) / 2


B, C = "bernoulli", "categorical"

WRONG = (
    Entry(relaxed_density_loss, "loss", B, ("score_mean",)),
    Entry(smoothed_labels_loss, "loss", C, ("score_mean",)),
    Entry(score_at_seven_tenths_loss, "loss", C, ("score_at_temperature_0.7",)),
    Entry(log_of_mean_exp_loss, "loss", B, ("not_linear",)),
    Entry(fitted_baseline, "gradient", B, ("moves",)),
    Entry(shuffled_advantages, "advantages", B, ("order",)),
    Entry(middle_as_baseline, "advantages", B, ("own_reward",)),
    Entry(reversed_advantages, "advantages", B, ("order",)),
    Entry(sorted_advantages, "advantages", C, ("order",)),
    Entry(coefficient_of_the_same_samples, "advantages", B, ("own_reward",)),
    Entry(antithetic_difference, "gradient", B, ("halves_cancel",)),
    Entry(rao_blackwell_of_the_next, "gradient", C, ("several_variables",)),
    Entry(pairs_of_classes, "gradient", C, ("several_classes",)),
    Entry(product_of_scores, "gradient", B, ("several_variables",)),
    Entry(half_precision, "gradient", B, ("rounded",)),
    Entry(spins, "gradient", B, ("no_sample",)),
    Entry(log_softmax_over_variables_loss, "loss", C, ("log_softmax_over_variables",)),
    Entry(step_of_the_logits, "gradient", B, ("law",)),
    Entry(self_normalised, "gradient", B, ("uniform_samples",)),
    Entry(sum_of_sample_and_mean, "sampler", C, ("no_sample",)),
    Entry(laplace_sampler, "sampler", C, ("law",)),
    Entry(proposal_inverse, "gradient", B, ("law",)),
    Entry(arm_of_one_side, "gradient", B, ("flipped_samples", "sign")),
    Entry(one_uniform_for_all, "gradient", B, ("dependent",)),
    Entry(seeded_in_the_call, "gradient", B, ("same_numbers",)),
    Entry(value_of_relaxed, "gradient", B, ("relaxed_f",)),
    Entry(relaxed_baseline, "gradient", B, ("control_variate",)),
    Entry(diagonal_of_jacobian, "gradient", C, ("diagonal",)),
    Entry(softmax_of_variables, "gradient", C, ("softmax_over_variables",)),
    Entry(probabilities_as_logits_loss, "loss", B, ("from_probabilities",)),
    Entry(small_entropy_loss, "loss", B, ("added_term",)),
    Entry(one_uniform_sampler, "sampler", B, ("dependent",)),
    Entry(half_updated_baseline, "advantages", B, ("decay",)),
    Entry(disarm_without_weight, "gradient", B, ("per_variable",)),
    Entry(weighted_positions, "advantages", B, ("per_variable",)),
    Entry(rolled, "advantages", B, ("minus_inverse_n",)),
    Entry(minus_sampler, "sampler", B, ("known_scaled", "sign")),
    Entry(sign_loss, "loss", B, ("sign",)),
    Entry(summed_loss, "loss", B, ("summed",)),
    Entry(self_baseline_loss, "loss", B, ("inclusive",)),
    Entry(loo_over_n_minus_1_loss, "loss", B, ("n_over_n_minus_1",)),
    Entry(covariance_undivided_loss, "loss", B, ("undivided",)),
    Entry(covariance_half_n_loss, "loss", B, ("over_half_n",)),
    Entry(mean_twice_loss, "loss", B, ("divided_twice",)),
    Entry(no_score_loss, "loss", B, ("zero",)),
    Entry(probability_loss, "loss", B, ("probability_of_each",)),
    Entry(softmax_loss, "loss", C, ("probability_of_each",)),
    Entry(log_softmax_twice_loss, "loss", C, ("softmax_twice",)),
    Entry(sigmoid_twice_loss, "loss", B, ("sigmoid_twice",)),
    Entry(ones_only_loss, "loss", B, ("ones_only",)),
    Entry(mean_over_variables_loss, "loss", B, ("mean_over_variables",)),
    Entry(mean_over_entries_loss, "loss", C, ("mean_over_all",)),
    Entry(not_detached_loss, "loss", B, ("not_detached",)),
    Entry(entropy_loss, "loss", B, ("entropy",)),
    Entry(flipped_loss, "loss", B, ("flipped_samples",)),
    Entry(half_weight_loss, "loss", B, ("half",)),
    Entry(decayed_loss, "loss", B, ("decay",)),
    Entry(normalised_loss, "loss", B, ("normalised",)),
    Entry(best_loss, "loss", B, ("not_odd",)),
    Entry(uniform_loss, "loss", B, ("uniform_samples",)),
    Entry(probit_loss, "loss", B, ("probit_samples",)),
    Entry(arm_half, "gradient", B, ("half",)),
    Entry(arm_swapped, "gradient", B, ("sign",)),
    Entry(disarm_double, "gradient", B, ("double",)),
    Entry(probability_score, "gradient", B, ("probability_score",)),
    Entry(chained_twice, "gradient", B, ("chained_twice",)),
    Entry(not_centred, "gradient", B, ("not_centred",)),
    Entry(classes_not_centred, "gradient", C, ("not_centred",)),
    Entry(half_centred, "gradient", B, ("half_centre",)),
    Entry(numpy_sign, "gradient", B, ("sign",)),
    Entry(raw_class_score, "gradient", C, ("probability_score",)),
    Entry(local_expectation_without_slope, "gradient", B, ("probability_score",)),
    Entry(one_of_n, "gradient", B, ("divided_twice",)),
    Entry(root_n, "gradient", B, ("root_n",)),
    Entry(gumbel_of_probabilities, "gradient", C, ("sampled_from_probabilities",)),
    Entry(rewards_squared, "gradient", B, ("squared",)),
    Entry(grpo, "advantages", B, ("normalised",)),
    Entry(mean_baseline, "advantages", C, ("inclusive",)),
    Entry(first_as_baseline, "advantages", B, ("inclusive",)),
    Entry(summed_advantages, "advantages", B, ("summed",)),
    Entry(whitened_loo, "advantages", B, ("inverse_n_minus_1",)),
    Entry(clipped_advantages, "advantages", B, ("clipped",)),
    Entry(ranked, "advantages", B, ("normalised",)),
    Entry(softmax_weights, "advantages", B, ("not_linear",)),
    Entry(negative_advantages, "advantages", B, ("sign",)),
    Entry(running_mean, "advantages", B, ("decay",)),
    Entry(mean_so_far, "advantages", B, ("running_mean",)),
    Entry(sum_over_others, "advantages", B, ("sum_over_n_minus_1",)),
    Entry(detached_sampler, "sampler", B, ("zero",)),
    Entry(sign_sampler, "sampler", B, ("sign", "known_scaled")),
    Entry(flipped_sampler, "sampler", B, ("flipped_samples",)),
    Entry(noiseless_sampler, "sampler", B, ("no_noise",)),
    Entry(without_temperature, "sampler", C, ("known_scaled",)),
    Entry(gumbel_sign_sampler, "sampler", C, ("law",)),
    Entry(doubled_sampler, "sampler", B, ("known_scaled",)),
    Entry(wrong_axis_sampler, "sampler", C, ("law",)),
    Entry(outer_product_loss, "loss", B, ("divided_twice",)),
    Entry(shuffled_loss, "loss", B, ("unrelated",)),
    Entry(clamped, "gradient", B, ("law",)),
    Entry(first_variable_only, "gradient", B, ("some_zero",)),
    Entry(uniform_noise, "gradient", B, ("law",)),
    Entry(score_at_other_temperature_loss, "loss", B, ("score_at_temperature_2",)),
    Entry(half_not_centred, "gradient", B, ("not_centred",)),
    Entry(tempered_sampler, "sampler", C, ("law", "sampled_at_half")),
)
