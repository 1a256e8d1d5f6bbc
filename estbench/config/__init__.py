"""Configs: YAML with places, a schema whose errors say where, `--set`, selectors, and the way back to plain data."""

from estbench.config.complaint import Place
from estbench.config.document import Document
from estbench.config.load import CONFIG, load, resolve
from estbench.config.schema import Config, Precision, ProblemConfig
from estbench.config.selector import format_selector, parse_selector, selectors

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
