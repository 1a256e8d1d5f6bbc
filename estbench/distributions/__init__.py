"""Distributions of D independent discrete variables, parametrised by logits; everything estimators need of them."""

from estbench.distributions.bernoulli import Bernoulli
from estbench.distributions.categorical import Categorical

Distribution = Bernoulli | Categorical

__all__ = ["Bernoulli", "Categorical", "Distribution"]
