"""The coefficients of control variates: least variance of an estimate that is linear in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

Coefficient = Annotated[float, Field(allow_inf_nan=False)] | Literal["fitted"]
"""An option that is a coefficient of a control variate: a number, or the best one on draws of its own."""

Estimates = Callable[[Sequence[float]], Tensor]
"""Estimates [R, P] as a function of the coefficients, in which they are linear."""


def least_squares(estimate: Estimates, n: int) -> tuple[float, ...]:
    """The n coefficients c that make the variance, summed over the parameters, of estimates [R, P] least.

    They are linear in c, ĝ = g₀ + Σ_j c_j g_j, so c = −⟨g_i, g_j⟩⁻¹ ⟨g_j, g₀⟩ with totals over replicates and
    parameters of what is centred, also g_j with E g_j = 0: where control variates are perfect, the fit is too. The g_j
    are read off ĝ, asked at 0 and at each unit vector. Each is scaled to length 1 first. What is nothing but rounding
    beside g₀, or a combination of the others, is left at 0, and so is all if nothing finite is found.
    """
    first = estimate([0.0] * n)
    g0 = first.double()
    moved = [estimate(unit).double() for unit in torch.eye(n).tolist()]
    g = torch.stack([_centred(m - g0) for m in moved])  # [n, R P]
    largest = g.abs().amax(1, keepdim=True)  # first by it, as squares may overflow or underflow
    rounding = 8 * torch.finfo(first.dtype).eps * torch.stack([m.abs().amax() for m in moved]).unsqueeze(1)
    some = (largest > rounding) & largest.isfinite()
    g = torch.where(some, g / torch.where(some, largest, 1.0), 0.0)
    length = g.norm(dim=1, keepdim=True)
    g = g / torch.where(some, length, 1.0)
    about = _centred(g0)
    size = about.abs().amax()
    if not (size > 0 and size.isfinite()):
        return (0.0,) * n
    inverse = torch.linalg.pinv(g @ g.T, rtol=1e-10, hermitian=True)
    scale = torch.where(some, size / torch.where(some, largest * length, 1.0), 0.0).squeeze(1)
    c = -inverse @ (g @ (about / size)) * scale
    return tuple(c.nan_to_num(0.0, 0.0, 0.0).tolist())


def _centred(estimates: Tensor) -> Tensor:
    return (estimates - estimates.mean(0)).flatten()


def filled(given: Sequence[Coefficient], fitted: Sequence[float]) -> list[float]:
    """The coefficients given, with the fitted ones, in order, where "fitted" stands."""
    left = iter(fitted)
    return [next(left) if c == "fitted" else c for c in given]
