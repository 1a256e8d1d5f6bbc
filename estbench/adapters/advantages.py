"""(rewards [N], …) -> advantages: the estimate is the mean of A_n s(z_n), s the score; A depends on the rewards alone.

verl, TRL and OpenRLHF write their policy-gradient estimators in this form. The rewards are f(z_n). The parameters that
such functions have beside the rewards are filled in by name: a mask of tokens is all ones [N, D], as each variable is
one token; the index of the prompt is the same for all N samples, which form one group; its size is N. Rewards per token
are [N, D], with the reward at the last token.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from estbench.draws import Draw


def estimate(advantages: Callable[[Tensor], Tensor], draw: Draw, samples: int, *, shift_free: bool) -> Tensor:
    """(1/N) Σ_n A_n s(z_n), or A_nd s_d(z_n) where A is [N, D]: [R, D(, K)].

    Rounding errors become 0: where all rewards of an estimate are equal, a function that does not depend on a constant
    added to them is given zeros, and advantages that are rounding beside the rewards are 0.
    """
    f = draw.fz[:, :samples].clone()
    if shift_free:
        f[(draw.problem.from_first(f) == 0).all(1)] = 0.0
    A = advantages(f)
    size = torch.as_tensor(draw.problem.size).to(f).expand(draw.R, 1).squeeze(1)
    rounding = (2 + samples**0.5) * torch.finfo(f.dtype).eps * torch.maximum(f.abs().amax(1), size)
    A = A.masked_fill(A.abs() <= rounding.view(-1, *[1] * (A.ndim - 1)), 0.0)
    d = draw.distribution
    weights = d.lift(A) if A.ndim == 2 else d.per_variable(A)
    return (weights * draw.score[:, :samples]).mean(1)
