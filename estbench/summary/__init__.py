"""From the journal of a run to its results. `table`, which makes frames, is the one module here that needs pandas."""

from estbench.summary.cells import grouped, packed_shards, prepared, rarest, truth
from estbench.summary.details import fits, precision_reached
from estbench.summary.endings import endings
from estbench.summary.reading import Results, read_results
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
