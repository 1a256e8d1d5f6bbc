"""Terms that losses of networks with discrete variables have."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from estbench.distributions.categorical import log_softmax


def minus_log_likelihood(o: Tensor, x: Tensor) -> Tensor:
    """−log p(x) of binary pixels x with logits o: Σ softplus(o) − o x over the last axis."""
    found: Tensor = softplus(o).sum(-1) - torch.linalg.vecdot(o, x.expand_as(o))
    return found


def minus_log_likelihoods(o: Tensor, x: Tensor) -> Tensor:
    """The same of each image x [S, B, pixels] under each of M vectors of logits o [S, M, pixels]: [S, B, M]."""
    return softplus(o).sum(-1).unsqueeze(1) - x @ o.mT


def kl_to_uniform(logits: Tensor, event_dim: int) -> Tensor:
    """KL(q ‖ uniform), summed over the variables, of Bernoulli logits [..., D] or categorical ones [..., D, K]."""
    if event_dim == 1:
        p = torch.sigmoid(logits)
        return (p * logsigmoid(logits) + (1 - p) * logsigmoid(-logits) + math.log(2)).sum(-1)
    log_q = log_softmax(logits)
    return (log_q.exp() * (log_q + math.log(logits.shape[-1]))).sum((-1, -2))
