"""Whether the samples of a sampler have the law that the logits say: P(z_d = k) = π_dk."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from estbench.card.findings import Finding
from estbench.card.sampling import SEED
from estbench.distributions import Independent
from estbench.isolation import Isolated
from estbench.preflight.unbiasedness import percent
from estbench.problem import Problem

WITHIN = 1e-3
"""How far a sample in float32 may lie outside [0, 1]."""

LIMIT = 5.0
"""Standard errors by which a frequency may differ from its probability."""

FITTED = 6.0
"""By how much, in χ², a number that was fitted must make a distribution better than one that was not."""

DEPENDENT = 6.0
"""A correlation, in standard errors, that chance does not explain."""

SHARED = (
    "variables that should be independent are not: one random number, or a broadcast of it, is used for several of them"
)

Law = Callable[[Independent], Tensor]
"""Probabilities, like the logits."""

PROPOSAL = "samples of a proposal need the weights P(z)/Q(z), not divided by their sum, and the score of P"

LAWS: tuple[tuple[str, Law, str], ...] = (
    (
        "flipped_samples",
        lambda d: d.with_logits(-d.logits).mean,
        "samples are 1 with probability 1 − p: u > p stands for u < p, or the noise has the wrong sign",
    ),
    (
        "no_noise",
        lambda d: d.mode,
        "no noise is added: it always returns the likeliest state",
    ),
    (
        "uniform_samples",
        lambda d: d.with_logits(torch.zeros_like(d.logits)).mean,
        f"the samples do not depend on the logits; {PROPOSAL}",
    ),
    (
        "probit_samples",
        # with several classes these probabilities have no closed form
        lambda d: torch.special.ndtr(d.logits) if d.event_dim == 1 else torch.full_like(d.logits, torch.nan),
        "the noise is normal, not logistic: P(z = 1) is Φ(φ)",
    ),
    (
        "sampled_from_probabilities",
        lambda d: d.with_logits(d.mean).mean,
        "noise is added to probabilities, not to the logits (or to log π)",
    ),
)
"""Distributions that wrong code often draws from."""

LOOK = (
    "samples do not have the probabilities of the logits: look for the sign and the kind of the noise, for uniforms or "
    "probabilities that are clipped or rounded, for a temperature that divides the logits before the noise is added, "
    f"and for the axis of softmax and argmax; {PROPOSAL}"
)


def law(drawn: Callable[[int], Tensor], problem: Problem, first: int, more: int) -> Finding:
    """How often each class comes in the samples of a sampler, n of which are `drawn(n)`, against its probability.

    `first`: how many are drawn at first; `more` of a second sample where the first one is suspicious.
    """
    d = problem.independent
    P = d.mean
    for n in (first, more):
        with Isolated("card", SEED.get(), "law", n), torch.no_grad():
            z = drawn(n).detach().to(d.logits)
        if text := _no_samples(z, d):
            return Finding("law of the sample", False, text, NO_SAMPLE, "no_sample")
        z = d.hard(z - 0.5)  # z may be relaxed
        frequency = z.mean(0)
        se = (P * (1 - P) / n).sqrt()
        if _like(frequency, P, n) and (worst := dependence(z)) > DEPENDENT:
            if n == first:
                continue
            text = f"variables of a sample depend on each other: a correlation of {worst / n**0.5:.2g}"
            return Finding("law of the sample", False, text, SHARED, "dependent")
        if _like(frequency, P, n):
            seen = (LIMIT + 1.3) * float(se.max())
            text = f"P(z) is that of the logits: sampled {n} times, {percent(seen)} would have been seen"
            return Finding("law of the sample", True, text)
    worst = int((frequency - P).abs().argmax())
    often = percent(float(frequency.flatten()[worst]))
    text = f"a class of probability {P.flatten()[worst]:.3f} is drawn in {often} of the calls"
    key, look = frequency_cause(frequency, d, more) or ("law", LOOK)
    return Finding("law of the sample", False, text, look, key)


NO_SAMPLE = (
    "a sample of a Bernoulli variable is 0 or 1, one of classes is one-hot, and relaxed ones lie between: look for a "
    "missing detach in z + (y − y.detach()), and for spins ±1"
)


def _no_samples(z: Tensor, d: Independent) -> str:
    """What shows that z [n, D(, K)] are neither samples nor relaxed ones; empty where they may be."""
    low, high = float(z.min()), float(z.max())
    if low < -WITHIN or high > 1 + WITHIN:
        return f"samples have values from {low:.3g} to {high:.3g}"
    total = d.class_weights(z).sum(-1)
    if float((total - 1).abs().max()) > WITHIN:
        return f"the classes of a sample add up to {float(total.max()):.3g}, not to 1"
    return ""


def frequency_cause(frequency: Tensor, d: Independent, n: int) -> tuple[str, str] | None:
    """Why n samples have these frequencies, like the logits: a key and what to look for; None where they should."""
    if _like(frequency, d.mean, n):
        return None
    found = [(_apart(frequency, other(d), n), key, look) for key, other, look in LAWS if _like(frequency, other(d), n)]
    found.append((FITTED * d.n_variables * (d.classes - 1), "law", LOOK))  # any probabilities
    tau = _temperature(frequency, d, n)
    if tau is not None:
        look = (
            f"samples are drawn at logits/{tau:.2g}: the temperature belongs to the derivative alone; uniforms that "
            f"are clipped do about the same; {PROPOSAL}"
        )
        found.append((_apart(frequency, d.tempered(tau).mean, n) + FITTED, "law", look))
    return min(found)[1:]


def _apart(frequency: Tensor, P: Tensor, n: int) -> float:
    """χ² of frequencies about probabilities."""
    return float(((frequency - P) ** 2 / (P * (1 - P) / n).clamp(min=1e-12)).sum())


def _like(frequency: Tensor, P: Tensor, n: int) -> bool:
    """Whether n samples of these probabilities may have these frequencies."""
    return bool(((frequency - P).abs() <= LIMIT * (P * (1 - P) / n).sqrt() + 1e-12).all())


def dependence(z: Tensor) -> float:
    """The largest correlation between variables of independent samples [n, D(, K)], in standard errors."""
    x = (z - z.mean(0)) / z.std(0).clamp(min=1e-12)
    x = x.view(len(z), z.shape[1], -1)
    each = torch.einsum("ndk,nel->dekl", x, x).abs().amax((-1, -2)) / len(z) ** 0.5
    return float(each.fill_diagonal_(0.0).max())


def _temperature(frequency: Tensor, d: Independent, n: int) -> float | None:
    """The temperature at which the logits have these frequencies; None if there is none, or if one always fits."""
    if d.n_states == 2:
        return None
    best = None
    for tau in torch.linspace(0.1, 4.0, 79).tolist():
        expected = d.tempered(tau).mean
        z = (frequency - expected).abs() / (expected * (1 - expected) / n).sqrt().clamp(min=1e-12)
        worst = float(z.max())
        if worst < 4.0 and (best is None or worst < best[0]):
            best = worst, tau
    return None if best is None else best[1]
