"""Links p(a) of Bernoulli variables: the probability of 1 as a function of the logit, also called pre-activation, a.

sigmoid       p = σ(a). It is the canonical link: the score is z − p.
hard_sigmoid  p = (clip(a, −1, 1) + 1)/2. A sign unit with uniform noise on (−1, 1): stochastic rounding of a to ±1
              (Courbariaux et al. 2015, BinaryConnect; Hubara et al. 2016).
probit        p = Φ(a). A threshold unit with standard normal noise: the escape noise of a spiking neuron whose membrane
              potential lies a standard deviations above its threshold.
identity      p = a, which must lie in (0, 1): stochastic rounding of a to 0 or 1.

Where the hard sigmoid is saturated, |a| ≥ 1, z is certain, p q = 0, and p′/(p q) would be 0/0. There p′ = 0, and so are
the score and the exact gradient: what a sampled estimator can find. At |a| = 1 this is the derivative to the outside;
the surrogate derivative of the same name (`ste[proxy=hard_sigmoid]`) is ½ there, as in its paper.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

LinkName = Literal["sigmoid", "hard_sigmoid", "probit", "identity"]


@dataclass(frozen=True)
class Link:
    """p and q = 1 − p, their logarithms, the slope p′, and the scores of z = 1, p′/p, and of z = 0, −p′/q, of logits a.

    `certain` are logits at which z is 0, or 1, as surely as float64 can tell, and the other value is not impossible.
    """

    p: Callable[[Tensor], Tensor]
    log_p: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]
    score: Callable[[Tensor], Tensor]
    mirror: Callable[[Tensor], Tensor]
    certain: tuple[float, float]

    def q(self, a: Tensor) -> Tensor:
        """1 − p, without a subtraction: p at the mirrored logit."""
        return self.p(self.mirror(a))

    def log_q(self, a: Tensor) -> Tensor:
        """log (1 − p)."""
        return self.log_p(self.mirror(a))


def _sigmoid_slope(a: Tensor) -> Tensor:
    return torch.sigmoid(a) * torch.sigmoid(-a)


def _hard_sigmoid(a: Tensor) -> Tensor:
    return torch.where(a.abs() < 1, (a + 1) / 2, (a > 0).to(a.dtype))  # no derivative where it is saturated


def _hard_slope(a: Tensor) -> Tensor:
    return 0.5 * (a.abs() < 1).to(a.dtype)


def _hard_score(a: Tensor) -> Tensor:
    return torch.where(a.abs() < 1, 1 / (a + 1), 0.0)


def _probit(a: Tensor) -> Tensor:
    half: Tensor = torch.special.erfc(a / -math.sqrt(2)) / 2  # erfc, as torch's ndtr loses the tail
    return half


def _log_probit(a: Tensor) -> Tensor:
    log: Tensor = torch.special.log_ndtr(a)
    return log


def _probit_slope(a: Tensor) -> Tensor:
    return torch.exp(a.square() / -2) / math.sqrt(2 * math.pi)


def _probit_score(a: Tensor) -> Tensor:
    score: Tensor = math.sqrt(2 / math.pi) / torch.special.erfcx(a / -math.sqrt(2))  # n(a)/Φ(a), where both underflow
    return score


_EPS = 2.0**-53

LINKS: dict[LinkName, Link] = {
    "sigmoid": Link(torch.sigmoid, logsigmoid, _sigmoid_slope, lambda a: torch.sigmoid(-a), torch.neg, (-700.0, 700.0)),
    "hard_sigmoid": Link(
        _hard_sigmoid,
        lambda a: torch.log(_hard_sigmoid(a)),
        _hard_slope,
        _hard_score,
        torch.neg,
        (_EPS - 1, 1 - _EPS),
    ),
    "probit": Link(_probit, _log_probit, _probit_slope, _probit_score, torch.neg, (-37.0, 37.0)),
    "identity": Link(lambda a: a, torch.log, torch.ones_like, lambda a: 1 / a, lambda a: 1 - a, (2.0**-1000, 1 - _EPS)),
}


def has_link(kind: object) -> bool:
    """Whether a distribution, or a class of them, has a link that can be chosen."""
    return hasattr(kind, "link")


def link_of(distribution: object) -> str:
    """The link of a distribution; the sigmoid where it has none, as what takes it is made for canonical logits."""
    return str(getattr(distribution, "link", "sigmoid"))
