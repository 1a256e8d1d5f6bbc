"""Bias, variance and cosine similarity of gradient estimators for discrete variables, against exact gradients.

    import estbench
    from estbench import Bernoulli

    frame = estbench.measure(["rloo", "gumbel[temperature=0.5]"], f, Bernoulli([0.5, -1.0]), samples=[2, 4])

Names are loaded when they are first used: importing estbench imports neither torch nor pandas.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from estbench.version import __version__ as __version__

if TYPE_CHECKING:
    from estbench import testing
    from estbench.adapters import adapt
    from estbench.api.comparing import compare
    from estbench.api.curl import curl
    from estbench.api.exact import exact_gradient
    from estbench.api.measuring import measure
    from estbench.card.check import check
    from estbench.distributions import Bernoulli, Categorical
    from estbench.training import expectation, sample, straight_through

_HOMES = {
    "Bernoulli": "estbench.distributions",
    "Categorical": "estbench.distributions",
    "adapt": "estbench.adapters",
    "check": "estbench.card.check",
    "compare": "estbench.api.comparing",
    "curl": "estbench.api.curl",
    "exact_gradient": "estbench.api.exact",
    "expectation": "estbench.training",
    "measure": "estbench.api.measuring",
    "sample": "estbench.training",
    "straight_through": "estbench.training",
    "testing": "estbench.testing",
}
"""The module where each name is defined, or that it is."""

__all__ = [
    "Bernoulli",
    "Categorical",
    "adapt",
    "check",
    "compare",
    "curl",
    "exact_gradient",
    "expectation",
    "measure",
    "sample",
    "straight_through",
    "testing",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(_HOMES[name])
    value = module if module.__name__ == f"{__name__}.{name}" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
