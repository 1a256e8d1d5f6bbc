"""`estbench compare`."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from estbench.cli.arguments import Form, finite, is_file
from estbench.cli.console import err
from estbench.cli.measured import Measured, Wanted, measured, of_config
from estbench.cli.table_output import check_output, write_table
from estbench.columns import COMPARISON
from estbench.errors import UsageError
from estbench.imports import quick_imports
from estbench.outputs import TableFormat
from estbench.printable import escaped

if TYPE_CHECKING:
    from rich.console import Console

    from estbench.comparison import At, Entry, Metric


def compare(
    results: Annotated[
        list[Path] | None,
        typer.Argument(help="Run folders, or a config, which is measured; without any, a built-in suite is."),
    ] = None,
    estimators: Annotated[
        str | None, typer.Option(help="Names, with options if need be: ste,gumbel[temperature=0.5]")
    ] = None,
    objective: Annotated[
        str | None, typer.Option(help="Measured in place of the suite: 'quadratic[target=0.3]', my_module:f")
    ] = None,
    logits: Annotated[
        str | None, typer.Option(help="Logits of its variables: '[0.5, -1]'; of categorical ones '[[0, 1, 2]]'")
    ] = None,
    distribution: Annotated[
        str | None, typer.Option(help="Of its variables; by default bernoulli, or categorical for rows of logits.")
    ] = None,
    samples: Annotated[
        str | None, typer.Option(help="N, such as 1,4; by default the smallest that all take, or what a budget allows.")
    ] = None,
    temperatures: Annotated[str | None, typer.Option(help="Such as 0.5,1, for estimators that have one.")] = None,
    replicates: Annotated[int | None, typer.Option(min=32, help="Estimates of each cell; by default 20000.")] = None,
    budget: Annotated[
        float | None,
        typer.Option(
            callback=finite,
            help="So many samples, evaluations or seconds (--at) for one estimate: each estimator has its largest N "
            "that fits.",
        ),
    ] = None,
    jobs: Annotated[int, typer.Option("-j", "--jobs", min=0, help="Processes that measure; 0: one a core.")] = 1,
    form: Annotated[
        Form | None, typer.Option("--as", help="How functions among the estimators are written; by default found out.")
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
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**63 - 1, help="Seed of what is measured; by default 0, or the config's.")
    ] = None,
    cell_timeout: Annotated[
        float,
        typer.Option(
            min=0.001,
            max=1e8,
            metavar="SECONDS",
            callback=finite,
            help="A plug-in that takes longer than this in one job fails, where compare measures.",
        ),
    ] = 60.0,
    mixed: Annotated[bool, typer.Option("--mixed", help="Compare runs of other versions or devices too.")] = False,
    fail_on: Annotated[
        str | None, typer.Option(metavar="METRIC>RATIO", help="Exit 4 if a ratio is surely above: 'variance>1.05'.")
    ] = None,
    file_format: Annotated[TableFormat, typer.Option("--format", help="The format.")] = "table",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The file; by default stdout.")] = None,
) -> None:
    """Rank estimators that saw the same draws: ratios with paired intervals, adjusted p-values, a verdict each.

    Exit codes: 0 done, 2 wrong usage or folder, 3 cells failed and the others are ranked, 4 --fail-on.
    """
    metric, limit = _limit(fail_on, metric)
    check_output(file_format, output)
    with quick_imports():
        from estbench.comparison import compared
        from estbench.names import split

    if form is not None:
        from estbench.config.plugged import in_form

        estimators = ",".join(in_form([name.strip() for name in split(estimators or "")], form))
    wanted = Wanted(
        objective, logits, distribution, samples, temperatures, replicates, seed, at, budget, jobs, cell_timeout
    )
    made = _cells(results, estimators, reference, mixed, wanted)
    for line in made.failures:
        err().print(escaped(line), markup=False)
    if made.failures and not made.cells:
        raise typer.Exit(3)
    fixed = results or objective is not None or budget is not None
    bases: list[At] = [at] if at else ["samples"] if fixed else ["samples", "evaluations"]
    found = compared(
        made.cells,
        reference=reference,
        metric=metric,
        at=bases,
        correction=correction,
        margin=margin,
        samples=made.N,
        budget=budget,
        without=made.skipped,
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
    if made.failures:
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


def _cells(
    results: list[Path] | None, estimators: str | None, reference: str | None, mixed: bool, wanted: Wanted
) -> Measured:
    """The cells that are to be compared: of run folders, of a config, or measured on the suite or on one problem."""
    given = [option for option in ("objective", "logits", "distribution") if getattr(wanted, option) is not None]
    if given and (results or wanted.objective is None):
        beside = "run folders or a config" if results else "--objective"
        raise UsageError(f"--{given[0]} {'does not go with' if results else 'goes with'} {beside}")
    if not results:
        settings = [option for option in ("samples", "temperatures", "replicates") if getattr(wanted, option)]
        if settings and wanted.objective is None:
            raise UsageError(f"--{settings[0]} goes with --objective or a config; the suite has its own")
        return measured(estimators, reference, wanted)
    if any(is_file(path) and path.suffix in (".yaml", ".yml") for path in results):
        if len(results) > 1:
            raise UsageError("compare takes one config, or run folders")
        found = of_config(results[0], wanted)
        return replace(found, cells=_named(found.cells, estimators, reference))
    return Measured(_named(_runs(results, mixed), estimators, reference))


def _named(pool: list[Entry], estimators: str | None, reference: str | None) -> list[Entry]:
    """The cells of the estimators and of the reference, or all."""
    from estbench.comparison import is_named, selected
    from estbench.names import split

    names = [name.strip() for name in split(estimators or "")]
    if not names:
        return pool
    chosen = selected(pool, names)
    if reference is None or any(is_named(entry.cell.estimator, reference) for entry in chosen):
        return chosen
    return [*chosen, *(entry for entry in selected(pool, [reference], "--reference") if entry not in chosen)]


def _runs(results: list[Path], mixed: bool) -> list[Entry]:
    """The cells of some run folders. They are read without the code that made them."""
    from estbench.comparison import entries
    from estbench.store import find_runs
    from estbench.summary import read_results

    folders = {folder.resolve(): folder for path in results for folder in find_runs(path)}
    return entries([read_results(folder) for folder in folders.values()], mixed)
