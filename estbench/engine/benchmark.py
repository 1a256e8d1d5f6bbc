"""A benchmark as a whole: a config, its run folder, and the results in it."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from estbench import catalogue
from estbench.config import Config, Document, load, resolve
from estbench.config.network import NetworkConfig
from estbench.config.trajectory import TrajectoryConfig
from estbench.engine.executors import IN_THIS_PROCESS, Execution, serial, versions
from estbench.engine.pool import Pool
from estbench.engine.reproducibility import demand_reproduced
from estbench.engine.run import Execute, Failure, Progress, run
from estbench.engine.stages import WHOLE, Part, stages
from estbench.errors import ResultsError, UsageError
from estbench.expand import expand
from estbench.plan import BLOCK, DEVICE_BLOCK, Plan, recorded
from estbench.plugins import hash_of, in_other_processes
from estbench.processes import cores
from estbench.store import MANIFEST, DamagedManifestError, Store, compatible, read, recorded_layouts, run_folder
from estbench.summary.kept import origin
from estbench.summary.rows import rows_of
from estbench.summary.table import as_csv, files, frame_of, results
from estbench.summary.trainings import TRAININGS, trainings


@dataclass(frozen=True)
class Benchmark:
    """A config, its plan, and the folder it is run in."""

    config: Config
    plan: Plan
    folder: Path
    device: str
    fresh: bool

    @classmethod
    def of(
        cls,
        config: Path | str | Mapping[str, Any] | Document,
        folder: Path | None = None,
        *,
        settings: Sequence[str] = (),
        device: str = "cpu",
        fresh: bool = False,
    ) -> Benchmark:
        """The benchmark of a config file or of plain data, in `folder` or results/<name>.

        Where that folder holds a run already, its shards keep their size. Raises UsageError with all that is wrong.
        """
        if device == "cuda" and not torch.cuda.is_available():
            raise UsageError(
                "--device cuda: this machine, or this build of torch, has no CUDA device; use --device cpu"
            )
        checked = load(config, settings)
        folder = run_folder(Path("results"), checked.name) if folder is None else folder
        known = {} if fresh else recorded_layouts(folder)
        plan = expand(checked, known, BLOCK if device == "cpu" else DEVICE_BLOCK)
        return cls(checked, plan, folder, device, fresh)

    def run(
        self,
        where: Execution = IN_THIS_PROCESS,
        *,
        timeout: float | None = None,
        stop: bool = False,
        part: Part = WHOLE,
    ) -> Generator[Progress | Failure, None, pd.DataFrame]:
        """Do what is still to be done, yielding what happens; results.csv is written at the end, however it comes.

        The generator returns the results: what `yield from` gives, or the value of its StopIteration.
        `timeout`: seconds after which a cell fails that has not finished one job. `part`: one machine's share of it.
        """
        manifest, apart = self.manifest(), kept_apart(self.config)
        with executor(where, self.device, timeout, apart=apart) as execute:
            if not self.fresh and plugins(self.config):
                self._demand_repeated(manifest, execute, timeout, part)
            return (yield from self._run(manifest, execute, timeout, stop, part))

    def _run(
        self, manifest: Mapping[str, Any], execute: Execute, timeout: float | None, stop: bool, part: Part
    ) -> Generator[Progress | Failure, None, pd.DataFrame]:
        with Store(self.folder, dict(manifest), fresh=self.fresh) as store:
            todo = run(self.plan, store, execute, device=self.device, timeout=timeout, stop_on_error=stop, part=part)
            try:
                yield from todo
            except BaseException:
                with suppress(ResultsError):  # the first error is the one to report
                    self._write(store)
                raise
            frame = self._write(store)
            if any(problem.at is not None for problem in self.plan.problems):
                store.write(TRAININGS, as_csv(trainings(self.plan, store.items)))
            return frame

    def _write(self, store: Store) -> pd.DataFrame:
        """Write the results so far, and return them."""
        rows = rows_of(self.plan, store.items)
        frame = frame_of(rows)
        for name, text in files(rows, frame, origin(store.digest, store.manifest)).items():
            store.write(name, text)
        return frame

    def _demand_repeated(
        self, manifest: Mapping[str, Any], execute: Execute, timeout: float | None, part: Part
    ) -> None:
        """UsageError where plug-ins give other values than a run that is to go on has recorded."""
        if not (self.folder / MANIFEST).exists():
            return
        try:
            known = read(self.folder)
        except DamagedManifestError:
            return  # the store restores it, if the journal names the same sources
        if compatible(known.manifest, dict(manifest)):
            return  # the store says so
        if any(tasks for _, tasks in stages(self.plan, known, self.device, part)):
            demand_reproduced(self.folder, self.plan, known.items, execute, device=self.device, timeout=timeout)

    def results(self) -> pd.DataFrame:
        """The results so far, one row per cell."""
        return results(self.plan, read(self.folder).items)

    def manifest(self) -> dict[str, Any]:
        """What the run is and where it was made, once and not per row."""
        return {
            "config": resolve(self.config),
            "seed": self.plan.config.seed,
            **recorded(self.plan),
            "versions": versions(),
            "plugins": {name: hash_of(name, kind) for name, kind in plugins(self.config).items()},
            "device": torch.cuda.get_device_name() if self.device == "cuda" else "cpu",
            "dtype": "float64",
            "threads": 1,
            "cpu": platform.processor() or platform.machine(),
            "git_commit": _git_commit(),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }


def plugins(config: Config) -> dict[str, type[Any]]:
    """Each class of a config that is not of the catalogue, by its name `module:Class`."""
    kinds: dict[str, type[Any]] = {c.spec.name: catalogue.estimator_class(c.spec.name) for c in config.estimators}
    for p in config.problems:
        if isinstance(p, NetworkConfig):
            kinds[p.network.name] = catalogue.network_class(p.network.name)
            by = (each.spec.name for each in p.training.estimator if not isinstance(each, str))
            kinds |= {name: catalogue.estimator_class(name) for name in by}
        else:
            toy = p.start if isinstance(p, TrajectoryConfig) else p
            kinds[toy.objective.name] = catalogue.objective_class(toy.objective.name)
            kinds[toy.distribution.name] = catalogue.distribution_class(toy.distribution.name)
    return {name: kind for name, kind in sorted(kinds.items()) if catalogue.is_plugin(name)}


def kept_apart(config: Config) -> bool:
    """Whether code of users is called in other processes: where there is any that another process can import."""
    names = plugins(config)
    return bool(names) and all(map(in_other_processes, names))


def of_users(plan: Plan) -> bool:
    """The same of a plan: whether it holds code of users, all of which another process can import."""
    named = {name for problem in plan.problems for name in (problem.objective, problem.distribution)}
    names = [name for name in sorted(named | {cell.estimator.name for cell in plan.cells}) if catalogue.is_plugin(name)]
    return bool(names) and all(map(in_other_processes, names))


def executor(
    where: Execution, device: str, timeout: float | None = None, *, apart: bool = False, script: bool = True
) -> AbstractContextManager[Execute]:
    """The executor that works there, open until its context ends.

    This process does the work of one worker itself, unless there is a time limit, which may have to end a process, or
    code of users is to be kept `apart`, as it may end or crash its process. `script`: whether other processes import
    the script that this one runs.
    """
    count = where.workers or cores()
    if where.executor == "dask" or where.scheduler is not None:
        try:
            from estbench.engine.cluster import cluster  # noqa: PLC0415 - Dask is an optional dependency
        except ImportError as error:
            raise UsageError("--executor dask needs Dask: pip install 'estbench[dask]'") from error
        return cluster(count, where.scheduler)
    if device != "cpu":
        count = 1
    here = count == 1 and timeout is None and not apart
    return nullcontext(serial) if here else Pool(count, script=script)


def _git_commit() -> str | None:
    """The commit of the working directory, where there is one."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607 - git is where the user's path says
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
