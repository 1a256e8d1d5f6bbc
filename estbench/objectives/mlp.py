"""A small fixed random network: coupled, non-polynomial, closest to what a model's loss looks like."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from estbench.objectives.base import BOTH
from estbench.options import dataclass


@dataclass(frozen=True)
class Mlp:
    """f(v) = aᵀ tanh(W v + c): W_hd = 2 ε_hd/√D, c_h = ε_h, a_h = ε_h/√hidden, all ε standard normal from `seed`."""

    hidden: Annotated[int, Field(ge=1, le=4096)] = 16
    seed: Annotated[int, Field(ge=0)] = 0

    on: ClassVar[Literal["values"]] = "values"
    distributions: ClassVar[frozenset[str]] = BOTH

    def value(self, v: Tensor) -> Tensor:
        """aᵀ tanh(W v + c)."""
        W, c, a = _weights(self, v.shape[-1], v.dtype, v.device)
        return torch.tanh(v @ W + c) @ a

    def grad(self, v: Tensor) -> Tensor:
        """Wᵀ (a ⊙ (1 − tanh²(W v + c)))."""
        W, c, a = _weights(self, v.shape[-1], v.dtype, v.device)
        return (1 - torch.tanh(v @ W + c).square_()).mul_(a) @ W.T


@lru_cache(maxsize=16)
def _weights(mlp: Mlp, D: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """W as [D, hidden], c and a as [hidden]."""
    rng = np.random.default_rng(mlp.seed)
    W = rng.standard_normal((D, mlp.hidden)) * 2 / np.sqrt(D)
    c = rng.standard_normal(mlp.hidden)
    a = rng.standard_normal(mlp.hidden) / np.sqrt(mlp.hidden)
    like = torch.empty(0, dtype=dtype, device=device)
    return like.new_tensor(W), like.new_tensor(c), like.new_tensor(a)
