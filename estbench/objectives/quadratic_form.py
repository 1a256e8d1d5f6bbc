"""A quadratic form of the flattened sample: coupled, and the setting of the published tables for ReinMax, ZGR, MVE."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from estbench.distributions import Factorised
from estbench.errors import UsageError
from estbench.objectives.base import BOTH
from estbench.options import dataclass


@dataclass(frozen=True)
class QuadraticForm:
    """f(z) = zᵀ A z + bᵀ z on the flattened z of n = D (Bernoulli) or D K numbers (Hooper & Shekhovtsov 2026).

    Without A (or b) it is drawn from `seed`: A = (G + Gᵀ)/2 with standard normal G, b standard normal.
    A need not be symmetric: ∇f = (A + Aᵀ) z + b.
    """

    A: tuple[tuple[float, ...], ...] | None = None
    b: tuple[float, ...] | None = None
    seed: Annotated[int, Field(ge=0)] = 0

    on: ClassVar[Literal["flat"]] = "flat"
    distributions: ClassVar[frozenset[str]] = BOTH

    def value(self, z: Tensor) -> Tensor:
        """zᵀ A z + bᵀ z."""
        A, b = self._coefficients(z)
        return ((z @ A + b) * z) @ z.new_ones(z.shape[-1])

    def grad(self, z: Tensor) -> Tensor:
        """(A + Aᵀ) z + b."""
        A, b = self._coefficients(z)
        return z @ (A + A.T) + b

    def expectation(self, distribution: Factorised) -> Tensor:
        """μᵀ A μ + tr(A Σ) + bᵀ μ, with the covariance Σ: p q, or diag π − π πᵀ within a variable."""
        mu, blocks = distribution.flatten(distribution.mean), distribution.covariance  # [..., n], [..., D, k, k]
        A, b = self._coefficients(mu)
        D, k = blocks.shape[-3:-1]
        within = A.view(D, k, D, k).diagonal(dim1=0, dim2=2).movedim(-1, 0)  # [D, k, k]
        expected: Tensor = torch.linalg.vecdot(mu @ A, mu) + (within * blocks).sum((-3, -2, -1)) + mu @ b
        return expected

    def _coefficients(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return _coefficients(self, z.shape[-1], z.dtype, z.device)


@lru_cache(maxsize=16)
def _coefficients(form: QuadraticForm, n: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(form.seed)
    G, g = rng.standard_normal((n, n)), rng.standard_normal(n)
    rows = ((G + G.T) / 2).tolist() if form.A is None else form.A
    b = g.tolist() if form.b is None else form.b
    if len(b) != n or len(rows) != n or any(len(row) != n for row in rows):
        raise UsageError(
            f"objective quadratic_form: A has {len(rows)} rows and b {len(b)} numbers, but a sample has {n}; "
            f"give A as {n} rows of {n} and b as {n} numbers, or leave them out to draw them from `seed`"
        )
    return torch.tensor(rows, dtype=dtype, device=device), torch.tensor(b, dtype=dtype, device=device)
