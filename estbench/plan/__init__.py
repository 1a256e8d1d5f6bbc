"""The plan of a run: which cells there are, and how the replicates of each problem are cut into shards and jobs."""

from estbench.plan.expand import Cell, EstimatorSpec, Plan, ProblemSpec, expand, fit_key
from estbench.plan.layout import BLOCK, DEVICE_BLOCK, PILOT, Layout, shard_size

__all__ = [
    "BLOCK",
    "DEVICE_BLOCK",
    "PILOT",
    "Cell",
    "EstimatorSpec",
    "Layout",
    "Plan",
    "ProblemSpec",
    "expand",
    "fit_key",
    "shard_size",
]
