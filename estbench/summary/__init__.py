"""From the journal of a run to its results. `table`, which makes frames, is the one module here that needs pandas.

Metrics need scipy, which is imported when they are asked for: how far a run has come is said without.
"""

from typing import TYPE_CHECKING, Any

from estbench.summary.cells import grouped, packed_shards, prepared, rarest, truth
from estbench.summary.details import fits, precision_reached
from estbench.summary.endings import endings
from estbench.summary.reading import Results, read_results

if TYPE_CHECKING:
    from estbench.summary.rows import Finding, findings

__all__ = [
    "Finding",
    "Results",
    "endings",
    "findings",
    "fits",
    "grouped",
    "packed_shards",
    "precision_reached",
    "prepared",
    "rarest",
    "read_results",
    "truth",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from estbench.summary import rows  # noqa: PLC0415

    return getattr(rows, name)
