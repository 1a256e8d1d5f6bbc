"""Distributions of D independent discrete variables, parametrised by logits; everything estimators need of them."""

from estbench.distributions.bernoulli import Bernoulli, Sigmoid
from estbench.distributions.categorical import Categorical, Softmax

Distribution = Bernoulli | Categorical

__all__ = ["Bernoulli", "Categorical", "Distribution", "Sigmoid", "Softmax"]
