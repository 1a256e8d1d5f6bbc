"""Configs: YAML with places, a schema whose errors say where, `--set`, selectors, and the way back to plain data.

What needs the catalogue, and with it torch, is imported when it is asked for: results are read without.
"""

from typing import TYPE_CHECKING, Any

from estbench.config.complaint import Place
from estbench.config.document import Document
from estbench.config.selector import format_selector, parse_selector, selectors

if TYPE_CHECKING:
    from estbench.config.loading import CONFIG, load, resolve
    from estbench.config.problem import ProblemConfig
    from estbench.config.schema import Config, Precision

__all__ = [
    "CONFIG",
    "Config",
    "Document",
    "Place",
    "Precision",
    "ProblemConfig",
    "format_selector",
    "load",
    "parse_selector",
    "resolve",
    "selectors",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from estbench.config import loading, problem, schema  # noqa: PLC0415

    homes: dict[str, Any] = {"Config": schema, "Precision": schema, "ProblemConfig": problem}
    return getattr(homes.get(name, loading), name)
