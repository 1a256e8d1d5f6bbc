"""Distributions of discrete variables, parametrised by logits; everything estimators need of them.

`base` is the contract. A distribution is made by its name in `DISTRIBUTIONS`, or by its class.
"""

from estbench.distributions.base import (
    Distribution,
    Factorised,
    Integrable,
    Mirrored,
    Noisy,
    Redrawable,
    Relaxable,
)
from estbench.distributions.bernoulli import Bernoulli, Sigmoid
from estbench.distributions.categorical import Categorical
from estbench.distributions.softmax import Softmax

DISTRIBUTIONS: dict[str, type[Bernoulli] | type[Categorical]] = {"bernoulli": Bernoulli, "categorical": Categorical}
"""Name -> class."""

Independent = Bernoulli | Categorical
"""What estimators are given, but for those that need no more than the contract of any distribution."""

__all__ = [
    "DISTRIBUTIONS",
    "Bernoulli",
    "Categorical",
    "Distribution",
    "Factorised",
    "Independent",
    "Integrable",
    "Mirrored",
    "Noisy",
    "Redrawable",
    "Relaxable",
    "Sigmoid",
    "Softmax",
]
