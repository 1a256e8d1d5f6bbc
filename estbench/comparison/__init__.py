"""Paired comparison of estimators that saw the same draws."""

from estbench.comparison.entries import At, Entry, entries, is_named, selected, skipped
from estbench.comparison.pairs import NO_INTERVAL, Metric
from estbench.comparison.ranking import COLUMNS, Compared, compared, sentence

__all__ = [
    "COLUMNS",
    "NO_INTERVAL",
    "At",
    "Compared",
    "Entry",
    "Metric",
    "compared",
    "entries",
    "is_named",
    "selected",
    "sentence",
    "skipped",
]
