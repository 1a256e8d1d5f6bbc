"""Configs: YAML with places, a schema whose errors say where, `--set`, selectors, and the way back to plain data."""

from estbench.config.load import load, resolve
from estbench.config.schema import Config, Precision, ProblemConfig
from estbench.config.selector import format_selector, parse_selector, split

__all__ = ["Config", "Precision", "ProblemConfig", "format_selector", "load", "parse_selector", "resolve", "split"]
