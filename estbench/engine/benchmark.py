"""A benchmark as a whole: a config, its run folder, and the results in it."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from estbench import __version__
from estbench.config import load, resolve
from estbench.engine.executors import HERE, Where, choose
from estbench.engine.run import Failure, Progress, run
from estbench.errors import UsageError
from estbench.plan import Plan, expand
from estbench.store import Store, read, run_folder, write_atomically
from estbench.summary import layouts, results


@dataclass(frozen=True)
class Benchmark:
    """A plan and the folder it is run in."""

    plan: Plan
    folder: Path
    device: str
    fresh: bool

    @classmethod
    def of(
        cls,
        config: Path | str | Mapping[str, Any],
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
        recorded = {}
        if not fresh and (folder / "manifest.json").exists():
            recorded = layouts(read(folder).manifest)
        return cls(expand(checked, recorded), folder, device, fresh)

    def run(
        self, where: Where = HERE, *, timeout: float | None = None, stop: bool = False
    ) -> Iterator[Progress | Failure]:
        """Do what is still to be done, yielding what happens; results.csv is written at the end, however it comes."""
        with Store(self.folder, self.manifest(), fresh=self.fresh) as store, choose(where, self.device) as execute:
            try:
                yield from run(self.plan, store, execute, device=self.device, timeout=timeout, stop_on_error=stop)
            finally:
                frame = results(self.plan, store.items)
                write_atomically(self.folder / "results.csv", frame.to_csv(index=False, lineterminator="\n"))

    def results(self) -> pd.DataFrame:
        """The results so far, one row per cell."""
        return results(self.plan, read(self.folder).items)

    def manifest(self) -> dict[str, Any]:
        """What the run is and where it was made, once and not per row."""
        problems = zip(self.plan.problems, self.plan.layouts, strict=True)
        return {
            "config": resolve(self.plan.config),
            "seed": self.plan.config.seed,
            "layout": {spec.id: layout.record() for spec, layout in problems},
            "versions": {
                "estbench": __version__,
                "python": platform.python_version(),
                "torch": version("torch"),
                "numpy": version("numpy"),
                "scipy": version("scipy"),
            },
            "device": torch.cuda.get_device_name() if self.device == "cuda" else "cpu",
            "dtype": "float64",
            "threads": 1,
            "cpu": platform.processor() or platform.machine(),
            "git_commit": _git_commit(),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }


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
