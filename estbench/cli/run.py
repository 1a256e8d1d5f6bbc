"""`estbench run`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from estbench.cli.console import err, out, plain
from estbench.errors import UsageError

if TYPE_CHECKING:
    from estbench.engine.run import Failure, Progress
    from estbench.plan import Plan

QUICK, RIGOROUS = 2_000, 200_000
LINE_EVERY = 5.0  # seconds


def run(
    config: Annotated[Path, typer.Argument(help="A config in YAML, such as configs/bernoulli.yaml.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The run folder; by default results/<name of the config>.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The seed, in place of the config's.")] = None,
    workers: Annotated[int, typer.Option("-j", "--workers", min=0, help="Processes; 0 is one for each core.")] = 0,
    executor: Annotated[Literal["local", "dask"], typer.Option(help="Where the work is done.")] = "local",
    scheduler: Annotated[str | None, typer.Option(help="The address of a running Dask scheduler to join.")] = None,
    device: Annotated[Literal["cpu", "cuda"], typer.Option(help="What computes.")] = "cpu",
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Replace a value: problems.0.dimensions=3.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List every cell with its cost; run nothing.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help=f"{QUICK} replicates a cell.")] = False,
    rigorous: Annotated[bool, typer.Option("--rigorous", help=f"{RIGOROUS} replicates a cell.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete what the run folder holds and start over.")] = False,
    on_error: Annotated[
        Literal["continue", "stop"], typer.Option("--on-error", help="What to do when a cell fails.")
    ] = "continue",
    cell_timeout: Annotated[
        float | None, typer.Option(min=0.001, metavar="SECONDS", help="Longer than this in one job, and a cell fails.")
    ] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print nothing but errors.")] = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Print the whole table, and what is skipped.")
    ] = False,
) -> None:
    """Run a benchmark, or go on with it: what is done is never done again.

    Exit codes: 0 all cells done, 2 wrong usage or config (nothing ran), 3 some cells failed, 130 interrupted.
    """
    if quick and rigorous:
        raise UsageError("--quick and --rigorous contradict each other; give one of them")
    wanted = list(settings or [])
    wanted += [f"replicates={QUICK}"] if quick else [f"replicates={RIGOROUS}"] if rigorous else []
    wanted += [] if seed is None else [f"seed={seed}"]

    from estbench.engine.benchmark import Benchmark
    from estbench.engine.executors import Where

    benchmark = Benchmark.of(config, output, settings=wanted, device=device, fresh=fresh)
    if dry_run:
        _list_cells(benchmark.plan)
        return
    failed = 0
    try:
        with _display(benchmark.plan, quiet) as show:
            where = Where(executor, workers, scheduler)
            for event in benchmark.run(where, timeout=cell_timeout, stop=on_error == "stop"):
                failed += show(event)
    except KeyboardInterrupt:
        again = f"estbench run {config}" + (f" -o {output}" if output else "")
        err().print(f"Interrupted. All finished work is in {benchmark.folder}; to go on: {plain(again)}", markup=False)
        raise typer.Exit(130) from None
    frame = benchmark.results()
    if not quiet:
        from estbench.tables import digest, summary

        out().print((summary if verbose else digest)(frame, level=benchmark.plan.config.level))
        err().print(f"Results: {benchmark.folder / 'results.csv'}", markup=False)
        err().print(f"Figures: estbench plot {benchmark.folder}", markup=False)
    if failed or (frame["status"] == "failed").any():
        count = int((frame["status"] == "failed").sum())
        err().print(f"{count} of {len(frame)} cells failed; the others are saved.", markup=False)
        raise typer.Exit(3)


def _list_cells(plan: Plan) -> None:
    """Every cell with its cost, then how many there are; nothing is run."""
    from estbench.engine.forecast import forecast
    from estbench.tables import Listing

    lines = forecast(plan)
    out().print(Listing(lines))
    skipped = sum(cell.reason is not None for cell in plan.cells)
    done = len(plan.cells) - skipped
    err().print(f"{len(plan.cells)} cells: {done} to run, {skipped} skipped. Nothing was run.", markup=False)


@contextmanager
def _display(plan: Plan, quiet: bool) -> Iterator[Callable[[Progress | Failure], int]]:
    """A function that shows an event and says how many cells it made fail.

    On a terminal a bar; else a line every few seconds.
    """
    from rich import progress

    from estbench.engine.run import Failure

    console = err()
    started = last = time.monotonic()
    replicates = 0
    bar = progress.Progress(
        progress.TextColumn(plain(plan.config.name), markup=False),
        progress.BarColumn(),
        progress.TextColumn("{task.completed}/{task.total} tasks"),
        progress.TextColumn("{task.fields[rate]}"),
        progress.TimeRemainingColumn(),
        console=console,
        disable=quiet or not console.is_terminal,
        transient=True,
    )
    row = bar.add_task("", total=None, rate="")

    def show(event: Progress | Failure) -> int:
        nonlocal last, replicates
        if isinstance(event, Failure):
            if not quiet:
                console.print(f"failed: {plain(event.cell.estimator.label)}: {plain(event.reason)}", markup=False)
            return 1
        replicates += event.replicates
        now = time.monotonic()
        rate = f"{replicates / max(now - started, 1e-9):,.0f} replicates/s"
        bar.update(row, completed=event.done, total=event.total, rate=rate)
        if bar.disable and not quiet and now - last > LINE_EVERY:
            left = (now - started) / max(event.done, 1) * (event.total - event.done)
            console.print(f"{event.done}/{event.total} tasks, {rate}, about {left:.0f} s left")
            last = now
        return 0

    with bar:
        yield show
