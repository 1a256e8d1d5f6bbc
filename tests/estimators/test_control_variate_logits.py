"""REBAR at logits of ±30, against 90 digits."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, localcontext
from functools import partial

import numpy as np
import pytest
import torch

from estbench.distributions import Bernoulli, Categorical
from estbench.draws import MAIN, Draw
from estbench.estimators.control_variate.rebar import Rebar
from estbench.moments import Floats
from estbench.objectives.quadratic import Quadratic
from estbench.problem import Problem
from tests.estimators.noise import rows


def quadratic(theta: list[Decimal], y: list[Decimal]) -> Decimal:
    """(v − .45)² of the ordinal value v of one variable; a Bernoulli one has one logit and y its value."""
    v = y[0] if len(theta) == 1 else sum((yk * k for k, yk in enumerate(y)), Decimal(0)) / (len(y) - 1)
    return (v - Decimal("0.45")) ** 2


def relaxed(x: list[Decimal], tau: Decimal) -> list[Decimal]:
    """σ(x/τ), softmax(x/τ)."""
    if len(x) == 1:
        return [1 / (1 + (-x[0] / tau).exp())]
    y = [(t / tau).exp() for t in x]
    return [t / sum(y) for t in y]


def tilde(theta: list[Decimal], k: int, v: list[Decimal]) -> list[Decimal]:
    """x̃ of one variable of class k."""
    if len(theta) == 1:
        p = 1 / (1 + (-theta[0]).exp())
        u = p * v[0] if k else p + (1 - p) * v[0]
        return [theta[0] + ((1 - u) / u).ln()]
    Z = sum((t.exp() for t in theta), Decimal(0))
    return [-(v[k] + (v[i] * Z / t.exp() if i != k else Decimal(0))).ln() for i, t in enumerate(theta)]


def first_tilde(theta: list[Decimal], k: int, v: Decimal) -> Decimal:
    """x̃ of one Bernoulli variable."""
    return tilde(theta, k, [v])[0]


def slope(of: Callable[[list[Decimal]], Decimal], theta: list[Decimal]) -> list[Decimal]:
    """∂/∂θ by a central difference of 10⁻³⁰, in digits to spare."""
    h = Decimal("1e-30")
    steps = [[h if i == j else Decimal(0) for j in range(len(theta))] for i in range(len(theta))]
    up = [of([t + s for t, s in zip(theta, step, strict=True)]) for step in steps]
    down = [of([t - s for t, s in zip(theta, step, strict=True)]) for step in steps]
    return [(a - b) / (2 * h) for a, b in zip(up, down, strict=True)]


def rebar_in_decimals(logits: list[float], k: int, e: list[float], v: list[float], tau: float, eta: float) -> Floats:
    """The parts of REBAR for one variable: [f(z) − η f(ỹ)] s, η ∂ f(y) and −η ∂ f(ỹ), [3, P], in 90 digits."""
    with localcontext() as context:
        context.prec = 90
        theta, noise, redraw = ([Decimal(t) for t in ts] for ts in (logits, e, v))
        T, c = Decimal(tau), Decimal(eta)
        z = [Decimal(k)] if len(theta) == 1 else [Decimal(int(i == k)) for i in range(len(theta))]

        def log_p(t: list[Decimal]) -> Decimal:
            if len(t) == 1:
                return -(1 + (-t[0] if k else t[0]).exp()).ln()
            return t[k] - sum((s.exp() for s in t), Decimal(0)).ln()

        def path(t: list[Decimal]) -> Decimal:
            if len(t) == 1:
                return quadratic(t, relaxed([t[0] + ((1 - noise[0]) / noise[0]).ln()], T))
            return quadratic(t, relaxed([s - u.ln() for s, u in zip(t, noise, strict=True)], T))

        def path_tilde(t: list[Decimal]) -> Decimal:
            return quadratic(t, relaxed(tilde(t, k, redraw), T))

        signal = quadratic(theta, z) - c * path_tilde(theta)
        parts = [signal * s for s in slope(log_p, theta)], slope(path, theta), [-s for s in slope(path_tilde, theta)]
        return np.array([[float(t) for t in part] for part in (parts[0], *([c * t for t in p] for p in parts[1:]))])


FAR = [
    *(([30.0], 1, [u], [v]) for u in (1e-14, 0.2, 0.9) for v in (1e-9, 0.3, 0.99, 1 - 2.0**-30)),
    *(([30.0], 0, [1 - 2.0**-45], [v]) for v in (1e-9, 0.001, 0.3, 0.99, 0.999, 1 - 2.0**-30)),
    *(([-30.0], 1, [u], [v]) for u in (1e-16, 5e-14) for v in (1e-9, 0.3, 0.99, 0.999, 1 - 2.0**-30)),
    *(([-30.0], 0, [u], [v]) for u in (1e-12, 0.2, 0.9) for v in (1e-9, 0.3, 0.99)),
    *(([30.0, -30.0, 0.5], 0, [0.7, 1.1, 0.4], [v, 0.3, 0.6]) for v in (1e-9, 0.4, 3.0)),
    *(([30.0, -30.0, 0.5], 2, [3.0, 1.1, 1e-13], [0.4, 0.3, v]) for v in (1e-9, 0.4, 3.0)),
    *(([30.0, -30.0, 0.5], 1, [3.0, 1e-27, 1.0], [0.4, v, 2.0]) for v in (1e-9, 0.4, 3.0)),
]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_rebar_at_large_logits(dtype: torch.dtype) -> None:
    """At logits of ±30 each row is right to 50 roundings of its largest part, in float64 and in float32."""
    for logits, k, e, v in FAR:
        theta = torch.tensor(logits if len(logits) == 1 else [logits], dtype=dtype)
        noise, redraw = (torch.tensor(t, dtype=dtype).view(1, 1, *theta.shape) for t in (e, v))
        if bool((noise == 1).any()) or bool((redraw == 1).any()):
            continue  # not a uniform of float32
        d = Bernoulli(theta) if len(logits) == 1 else Categorical(theta)
        z = torch.full_like(noise, float(k)) if len(logits) == 1 else torch.eye(3, dtype=dtype)[k].view(1, 1, 1, 3)
        of = Problem(d, Quadratic())
        row = rows(Rebar(temperature=0.5, eta=0.8), Draw(of, 1, 1, z=z, noise={MAIN: noise, "redraw/0": redraw}))[0]
        parts = rebar_in_decimals(logits, k, noise.flatten().tolist(), redraw.flatten().tolist(), 0.5, 0.8)
        size = np.abs(parts).max()
        assert np.abs(row - parts.sum(0)).max() <= 50 * torch.finfo(dtype).eps * size, (logits, k, e, v)


def pull_error(pull: Callable[[Bernoulli, torch.Tensor, torch.Tensor], torch.Tensor]) -> float:
    """The largest relative error of dx̃/dφ over the Bernoulli rows of `FAR`."""
    worst = 0.0
    for logits, k, _, v in FAR:
        if len(logits) > 1:
            continue
        d, z = Bernoulli(torch.tensor(logits, dtype=torch.float64)), torch.tensor([[[float(k)]]], dtype=torch.float64)
        with localcontext() as context:
            context.prec = 90
            (right,) = slope(partial(first_tilde, k=k, v=Decimal(v[0])), [Decimal(logits[0])])
        worst = max(worst, abs(float(pull(d, z, torch.tensor([[v]], dtype=torch.float64))) / float(right) - 1))
    return worst


def test_the_derivative_of_the_redraw_at_large_logits() -> None:
    """dx̃/dφ keeps all its digits at ±30, where the textbook's 1 − q/(1 − u′), 1 − p/u′ loses a tenth and more."""

    def textbook(d: Bernoulli, z: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        p = d.mean
        u = torch.where(z == 1, p * v, p + (1 - p) * v)
        return torch.where(z == 1, 1 - (1 - p) / (1 - u), 1 - p / u)

    assert pull_error(lambda d, z, v: d.conditional_vjp(z, v, torch.ones_like(v))) < 1e-14
    assert pull_error(textbook) > 0.1
