"""From the journal of a run to its results."""

from estbench.summary.cells import grouped, packed_shards, prepared, truth
from estbench.summary.details import details, fits, precision_reached
from estbench.summary.reading import Results, layouts, merged, read_results, write_results
from estbench.summary.rows import Finding, findings, results

__all__ = [
    "Finding",
    "Results",
    "details",
    "findings",
    "fits",
    "grouped",
    "layouts",
    "merged",
    "packed_shards",
    "precision_reached",
    "prepared",
    "read_results",
    "results",
    "truth",
    "write_results",
]
