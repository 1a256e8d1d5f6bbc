"""`estbench run`."""

from __future__ import annotations

import re
import shlex
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.text import Text

from estbench.cli.arguments import finite, place
from estbench.cli.console import err, out
from estbench.errors import EstbenchError, UsageError
from estbench.imports import quick_imports
from estbench.printable import escaped

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    import pandas as pd

    from estbench.engine.benchmark import Benchmark
    from estbench.engine.guarded import Usable
    from estbench.engine.run import Failure, Progress
    from estbench.engine.stages import Part
    from estbench.plan import Plan

MAX_SECONDS = 1e8  # three years
QUICK, RIGOROUS = 2_000, 200_000
MANY = 2000
"""Cells above which a list of them is plain text."""

ONCE = {"fresh", "dry_run"}  # what is not said again to go on


def run(
    context: typer.Context,
    config: Annotated[
        Path,
        typer.Argument(
            parser=place, metavar="CONFIG", help="A config in YAML, or the name of a shipped one, such as bernoulli."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            parser=place,
            metavar="FOLDER",
            help="The run folder; by default results/<name of the config>.",
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=2**63 - 1, help="The seed, in place of the config's.")] = None,
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
    timings: Annotated[
        bool, typer.Option("--timings", help="Measure the seconds of an estimate too, for compare --at seconds.")
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete what the run folder holds and start over.")] = False,
    part: Annotated[
        str | None,
        typer.Option(metavar="K/N", help="Do the K-th of N parts, in a folder of its own; estbench merge joins them."),
    ] = None,
    on_error: Annotated[
        Literal["continue", "stop"], typer.Option("--on-error", help="What to do when a cell fails.")
    ] = "continue",
    cell_timeout: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            max=MAX_SECONDS,
            metavar="SECONDS",
            callback=finite,
            help="Longer than this in one job, and a cell fails.",
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print nothing but errors.")] = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Print the whole table, and what is skipped.")
    ] = False,
) -> None:
    """Run a benchmark, or go on with it: what is done is never done again; what failed is tried again.

    Exit codes: 0 all cells done, 2 wrong usage or config (nothing ran), 3 some cells failed, 5 the disk is full,
    130 interrupted.
    """
    wanted = _settings(config, settings or [], seed, quick, rigorous, timings)
    elsewhere = executor == "dask" or scheduler is not None or device != "cpu"
    _prepare(1 if elsewhere or dry_run else workers)
    with nullcontext() if quiet else err().status(Text(escaped(f"Planning {config}"))):
        with quick_imports():
            from estbench.cli.display import display
            from estbench.engine.benchmark import Benchmark
            from estbench.engine.executors import Execution
            from estbench.engine.run import Failure, Progress

        left = _usable(config, wanted, cell_timeout, stop=on_error == "stop")
        benchmark = Benchmark.of(left.config, output, settings=left.settings, device=device, fresh=fresh)
    for line in left.failures:
        err().print(escaped(line), markup=False)
    if dry_run:
        _list_cells(benchmark.plan)
        raise typer.Exit(3 if left.failures else 0)
    worked = failing = False
    try:
        with display(benchmark.plan, quiet) as show:
            where = Execution(executor, workers, scheduler)
            work = benchmark.run(where, timeout=cell_timeout, stop=on_error == "stop", part=_part(part))

            def see(event: Progress | Failure) -> None:
                nonlocal worked, failing
                failing = failing or isinstance(event, Failure)
                worked = worked or (isinstance(event, Progress) and event.total > 0)
                show(event)

            frame = _followed(work, see)
    except KeyboardInterrupt:
        again = escaped(_again(context))
        err().print(f"Interrupted. All finished work is in {benchmark.folder}; to go on: {again}", markup=False)
        raise typer.Exit(130) from None
    except EstbenchError:
        if not failing or on_error == "continue":
            raise
        err().print(f"Stopped at the first failure. All finished work is in {benchmark.folder}.", markup=False)
        raise typer.Exit(3) from None
    if not quiet:
        _say(frame, benchmark, worked=worked, verbose=verbose)
    failed = int((frame["status"] == "failed").sum())
    if failed:
        err().print(f"{failed} of {len(frame)} cells failed; the others are saved.", markup=False)
    if left.failures:
        what = "entry of the config was" if len(left.failures) == 1 else "entries of the config were"
        err().print(f"{len(left.failures)} {what} left out, for the reasons above, and can be run later.", markup=False)
    raise typer.Exit(3 if failed or left.failures else 0)


def _usable(config: Path, settings: list[str], seconds: float | None, *, stop: bool) -> Usable:
    """What of a config can be run; where a run is to stop at the first failure, all of it or nothing."""
    with quick_imports():
        from estbench.engine.guarded import Usable, demand_survived, usable

    if stop:
        demand_survived(config, settings, seconds)
        return Usable(config, settings)
    return usable(config, settings, seconds)


def _say(frame: pd.DataFrame, benchmark: Benchmark, *, worked: bool, verbose: bool) -> None:
    """The results of a run, what contradicts itself in them, and where they are."""
    from estbench.tables.summary import digest, summary

    plan, folder = benchmark.plan, benchmark.folder
    out().print((summary if verbose else digest)(frame, level=plan.config.level))
    _say_contradictions(frame)
    if not worked:
        err().print("All is done already; nothing was run.")
    if len(frame) < len(plan.cells):
        err().print(f"{len(frame)} of {len(plan.cells)} cells have results; estbench merge joins parts.")
    err().print(f"Results: {folder / 'results.csv'}", markup=False)
    err().print(f"Figures: estbench plot {shlex.quote(str(folder))}", markup=False)


def _followed(work: Generator[Progress | Failure, None, pd.DataFrame], see: Callable[[Any], None]) -> pd.DataFrame:
    """Let a run go on to its end, each event seen; what it returns."""
    while True:
        try:
            event = next(work)
        except StopIteration as end:
            frame: pd.DataFrame = end.value
            return frame
        see(event)


def _say_contradictions(frame: pd.DataFrame) -> None:
    """Which rows contradict a claim or each other: the table, which may be cut, is not the place for it alone."""
    from estbench.intervals.flags import CONTRADICTIONS, FLAGS

    for flag in CONTRADICTIONS:
        rows = frame[[flag in str(words).split() for words in frame["flags"]]]
        if len(rows):
            names = ", ".join(dict.fromkeys(map(str, rows["label"])))
            err().print(f"{names}: {FLAGS[flag].meaning} ({len(rows)} of {len(frame)} rows).", markup=False)


def _settings(
    config: Path, given: list[str], seed: int | None, quick: bool, rigorous: bool, timings: bool
) -> list[str]:
    """What is to be replaced in a config, by --set and by options of its own."""
    if quick and rigorous:
        raise UsageError("--quick and --rigorous contradict each other; give one of them")
    if quick or rigorous:
        _refuse_precision(config, given, "--quick" if quick else "--rigorous")
        given = [*given, f"replicates={QUICK if quick else RIGOROUS}"]
    if timings:
        given = [*given, "timings=true"]
    return given if seed is None else [*given, f"seed={seed}"]


def _prepare(workers: int) -> None:
    """Where there are to be workers, what they need is imported while this process imports what it needs."""
    from estbench.processes import cores, prepare

    if (workers or cores()) > 1:
        prepare("estbench.engine.pool")


def _refuse_precision(config: Path, settings: list[str], option: str) -> None:
    from estbench.config import load

    if (precision := load(config, settings).precision) is not None:
        raise UsageError(
            f"{option} sets the replicates, and does not go with the precision that {config} asks for; "
            f"to change that: --set precision.relative={precision.relative:g}"
        )


def _part(text: str | None) -> Part:
    from estbench.engine.stages import WHOLE, Part

    if text is None:
        return WHOLE
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise UsageError(f"--part: expected K/N with 1 ≤ K ≤ N, such as 2/3, got {text!r}")
    return Part(int(match[1]), int(match[2]))


def _again(context: typer.Context) -> str:
    """The command that goes on with this one: the same, but for what is to be said once only."""
    words = [context.command_path]
    for option in context.command.params:
        value: Any = context.params.get(option.name or "")
        if value == option.get_default(context) or value in (None, [], ()) or option.name in ONCE:
            continue
        values = value if isinstance(value, list | tuple) else [value]
        name = [] if option.param_type_name == "argument" else option.opts[:1]
        for each in values:
            words += name if value is True else [*name, str(each)]
    return shlex.join(words).replace(shlex.quote(context.command_path), context.command_path, 1)


def _list_cells(plan: Plan) -> None:
    """Every cell with its cost, problem by problem, then how many there are; nothing is run.

    More than `MANY` are for `less -S` and `grep`: lines that are not fitted to the width, which takes a minute for 10⁵.
    """
    from estbench.preflight.forecast import forecast
    from estbench.tables.listing import Listing, aligned_text

    problems = forecast(plan)
    for problem, rows in problems.items():
        if len(plan.cells) > MANY:
            out().out(f"{escaped(problem)}\n{aligned_text(rows)}\n", highlight=False)
            continue
        out().print(escaped(problem), markup=False, style="bold", soft_wrap=True)
        out().print(Listing(rows, prose="note"))
    to_run = sum(row["note"] == "to run" for rows in problems.values() for row in rows)
    skipped = len(plan.cells) - to_run
    err().print(f"{len(plan.cells)} cells: {to_run} to run, {skipped} skipped. Nothing was run.", markup=False)
