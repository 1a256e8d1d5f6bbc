"""Tasks: pieces of work that any process can do from their description alone, and that return records."""

from estbench.engine.tasks.cost import CostTask
from estbench.engine.tasks.exact import ExactTask
from estbench.engine.tasks.failure import Record, reason
from estbench.engine.tasks.fit import FitTask
from estbench.engine.tasks.group import Group, problem_of
from estbench.engine.tasks.network import NetworkTask
from estbench.engine.tasks.shard import ShardTask
from estbench.engine.tasks.timing import TimingTask
from estbench.engine.tasks.train import TrainTask
from estbench.engine.tasks.trajectory import Looked, TrajectoryTask

__all__ = [
    "CostTask",
    "ExactTask",
    "FitTask",
    "Group",
    "Looked",
    "NetworkTask",
    "Record",
    "ShardTask",
    "Task",
    "TimingTask",
    "TrainTask",
    "TrajectoryTask",
    "problem_of",
    "reason",
]

Task = CostTask | FitTask | ExactTask | ShardTask | TimingTask | TrainTask | NetworkTask | TrajectoryTask
