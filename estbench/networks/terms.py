"""Terms that losses of networks with discrete variables have."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus


def minus_log_likelihood(o: Tensor, x: Tensor) -> Tensor:
    """−log p(x) of binary pixels x with logits o: Σ softplus(o) − o x over the last axis."""
    found: Tensor = softplus(o).sum(-1) - torch.linalg.vecdot(o, x.expand_as(o))
    return found


def minus_log_likelihoods(o: Tensor, x: Tensor) -> Tensor:
    """The same of each image x [S, B, pixels] under each of M vectors of logits o [S, M, pixels]: [S, B, M]."""
    return softplus(o).sum(-1).unsqueeze(1) - x @ o.mT
