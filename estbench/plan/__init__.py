"""The plan of a run: which cells there are, and how the replicates of each problem are cut into shards and jobs.

It is plain data: `estbench.expand` makes it from a config, `plan_of` reads it from a manifest.
"""

from estbench.plan.given import Given
from estbench.plan.layout import BLOCK, DEVICE_BLOCK, PILOT, Layout, shard_size
from estbench.plan.record import plan_of, recorded
from estbench.plan.settings import Precision, Settings
from estbench.plan.spec import (
    TEMPERATURE,
    Cell,
    Checkpoint,
    EstimatorSpec,
    Options,
    Plan,
    ProblemSpec,
    Training,
    classes_of,
    content_hash,
    fit_key,
)

__all__ = [
    "BLOCK",
    "DEVICE_BLOCK",
    "PILOT",
    "TEMPERATURE",
    "Cell",
    "Checkpoint",
    "EstimatorSpec",
    "Given",
    "Layout",
    "Options",
    "Plan",
    "Precision",
    "ProblemSpec",
    "Settings",
    "Training",
    "classes_of",
    "content_hash",
    "fit_key",
    "plan_of",
    "recorded",
    "shard_size",
]
