"""`estbench compare`."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from estbench.cli.arguments import finite
from estbench.cli.console import err, plain
from estbench.cli.table_output import check_output, write_table
from estbench.columns import COMPARISON
from estbench.errors import UsageError
from estbench.imports import quick_imports
from estbench.outputs import TableFormat

if TYPE_CHECKING:
    from rich.console import Console

    from estbench.comparison import At, Entry, Metric


def compare(
    results: Annotated[
        list[Path] | None, typer.Argument(help="Run folders; without any, a built-in suite is run.")
    ] = None,
    estimators: Annotated[
        str | None, typer.Option(help="Names, with options if need be: ste,gumbel[temperature=0.5]")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(help="What the others are compared with; by default the first.")
    ] = None,
    metric: Annotated[
        Literal["variance", "mse", "work"] | None,
        typer.Option(help="What is compared; by default that of --fail-on, else mse."),
    ] = None,
    at: Annotated[
        Literal["samples", "evaluations", "seconds"] | None,
        typer.Option(
            help="What is held equal: samples (the default), evaluations (in the suite too), or seconds, whose own "
            "error the intervals leave out. An MSE is compared where estimates cost the same."
        ),
    ] = None,
    correction: Annotated[
        Literal["holm", "bh", "none"], typer.Option(help="Adjustment of the p-values of the ratios.")
    ] = "holm",
    margin: Annotated[
        float, typer.Option(min=1e-6, max=10, callback=finite, help="Ratios this near to 1 are equivalent.")
    ] = 0.05,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="The seed of the suite.")] = 0,
    mixed: Annotated[bool, typer.Option("--mixed", help="Compare runs of other versions or devices too.")] = False,
    fail_on: Annotated[
        str | None, typer.Option(metavar="METRIC>RATIO", help="Exit 4 if a ratio is surely above: 'variance>1.05'.")
    ] = None,
    file_format: Annotated[TableFormat, typer.Option("--format", help="The format.")] = "table",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The file; by default stdout.")] = None,
) -> None:
    """Rank estimators that saw the same draws: ratios with paired intervals, adjusted p-values, a verdict each.

    Exit codes: 0 done, 2 wrong usage or folder, 3 cells of the suite failed and the others are ranked, 4 --fail-on.
    """
    metric, limit = _limit(fail_on, metric)
    check_output(file_format, output)
    with quick_imports():
        from estbench.comparison import compared
        from estbench.names import ALIASES, split

    named = {"--estimators": estimators or ""}
    chosen = {name.strip() for name in split(named["--estimators"])}
    if (
        chosen
        and reference is not None
        and ALIASES.get(reference, reference) not in {ALIASES.get(n, n) for n in chosen}
    ):
        named["--reference"] = reference
    failed: list[str] = []
    if results:
        pool, N = _runs(results, named, mixed)
    else:
        pool, N, failed = _suite(named, seed, timings=at == "seconds")
    for line in failed:
        err().print(plain(line), markup=False)
    if failed and not pool:
        raise typer.Exit(3)
    bases: list[At] = [at] if at else ["samples"] if results else ["samples", "evaluations"]
    found = compared(
        pool,
        reference=reference,
        metric=metric,
        at=bases,
        correction=correction,
        margin=margin,
        samples=N,
    )

    frame = found.frame

    def show(console: Console) -> None:
        for part in found.shown():
            console.print(part)

    write_table(frame, COMPARISON, file_format, output, show)
    sure = frame[~frame["flags"].str.contains("rare_event")]
    if limit is not None and (sure["ratio_low"] > limit).any():
        worst = sure.nlargest(1, "ratio_low").iloc[0]
        err().print(f"--fail-on {fail_on}: {worst['name']} is at {worst['ratio']:.3g}", markup=False)
        raise typer.Exit(4)
    if failed:
        raise typer.Exit(3)


def _limit(fail_on: str | None, metric: Metric | None) -> tuple[Metric, float | None]:
    """The metric and the largest ratio that are asked for."""
    if fail_on is None:
        return metric or "mse", None
    match = re.fullmatch(r"\s*(variance|mse|work)\s*>\s*(\d*\.?\d+(?:[eE][+-]?\d+)?)\s*", fail_on)
    if not match or metric not in (None, match[1]):
        wanted = metric or "variance"
        raise UsageError(f"--fail-on: expected {wanted}>RATIO, such as '{wanted}>1.05', got {fail_on!r}")
    found: Metric = match[1]  # type: ignore[assignment] # one of the three that the pattern takes
    return found, float(match[2])


def _runs(results: list[Path], named: dict[str, str], mixed: bool) -> tuple[list[Entry], None]:
    """The cells of some run folders that are named, or all. They are read without the code that made them."""
    from estbench.comparison import entries, selected
    from estbench.names import split
    from estbench.store import find_runs
    from estbench.summary import read_results

    folders = {folder.resolve(): folder for path in results for folder in find_runs(path)}
    runs = [read_results(folder) for folder in folders.values()]
    pool = entries(runs, mixed)
    names = [name.strip() for text in named.values() for name in split(text)]
    return selected(pool, names) if names else pool, None


def _suite(named: dict[str, str], seed: int, *, timings: bool) -> tuple[list[Entry], int, list[str]]:
    """The cells of the built-in suite for the estimators that these options name, the N of the reference, and failures.

    A failure is a line with the name of the estimator and the reason.
    """
    with quick_imports():
        from estbench.config import selectors
        from estbench.engine.guarded import breaks
        from estbench.suite import N, run_suite

    places = {name: place for option, text in named.items() for name, place in selectors(option, text)}
    if not places:
        raise UsageError("give --estimators a,b,c for the built-in suite, or the run folders to compare")
    broken = {name: why for name in places if (why := breaks(name)) is not None}
    left = {name: place for name, place in places.items() if name not in broken}
    lines = [f"{name} failed: {why}" for name, why in broken.items()]
    if not left:
        return [], N, lines
    pool, failures = run_suite(list(left), seed, list(left.values()), timings=timings)
    count = Counter((failure.cell.estimator.label, failure.reason) for failure in failures)
    lines += [f"{label} failed in {n} cell{'s' * (n > 1)}: {why}" for (label, why), n in count.items()]
    return pool, N, lines
