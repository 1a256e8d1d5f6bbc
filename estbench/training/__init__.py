"""Estimators in training: samples and expectations in PyTorch whose gradients are those of the catalogue.

`expectation` serves every estimator, `sample` those that want one ∇f at one point, and `straight_through` is the
stop-gradient trick. `check` looks at a function before it is trained, `Online` finds coefficients while training.
"""

from estbench.training.expected import expectation
from estbench.training.inspection import check
from estbench.training.node import sample
from estbench.training.online import Online
from estbench.training.passing import straight_through

__all__ = ["Online", "check", "expectation", "sample", "straight_through"]
