"""`estbench check`."""

from __future__ import annotations

import time
from math import isnan
from pathlib import Path
from typing import Annotated

import typer

from estbench.cli.arguments import finite, place
from estbench.cli.console import err, out, plain

QUICK = 5.0
"""Seconds in which no progress is said."""

MEANING = """
exactly: E ĝ = g in exact moments, of rows at every N. sampled (x % seen): E ĝ by sampling; a bias above x % of ‖g‖, in
any direction, would have been suspected in 9 of 10 samples; what is suspected is sampled again, and the chance that any
unbiased estimator is called false in a whole check is below 1 in 1000. Estimators are looked at on the problems above
and, if they are called unbiased, on up to 5 small ones of one to three variables; fitted ones before they are fitted.
""".replace("\n", " ").strip()


def check(
    config: Annotated[
        Path, typer.Argument(parser=place, metavar="CONFIG", help="A config in YAML, or the name of a shipped one.")
    ],
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Replace a value.")] = None,
    cell_timeout: Annotated[
        float,
        typer.Option(
            min=0.001,
            max=1e8,
            metavar="SECONDS",
            callback=finite,
            help="Longer than this, and one look at a plug-in is given up.",
        ),
    ] = 60.0,
) -> None:
    """Check a config before a long run: its objectives, the claims of its estimators, and how long it will take.

    Says of each claim how it was checked, or why it was not. Plug-ins are asked in a process of their own.

    Exit codes: 0 nothing is wrong, 2 wrong usage or config, 3 cells will fail, or something is not what it claims to
    be.
    """
    from estbench.config import load
    from estbench.engine.benchmark import kept_apart
    from estbench.engine.guarded import demand_survived
    from estbench.expand import expand
    from estbench.isolation import stdout_to_stderr
    from estbench.preflight.check import checked
    from estbench.tables.listing import Listing

    demand_survived(config, settings or [], cell_timeout)
    read = load(config, settings or [])
    plan = expand(read)
    start, last = time.monotonic(), [time.monotonic()]

    def tell(what: str) -> None:
        now = time.monotonic()
        if now - start > QUICK and now - last[0] > 2:
            last[0] = now
            err().print(plain(f"{now - start:.0f} s: {what}"), markup=False)

    with stdout_to_stderr():
        found = checked(plan, tell, apart=kept_apart(read), timeout=cell_timeout)
    console = out()
    console.print(Listing(found.problems, prose="problem"))
    for rows in (found.objectives, found.estimators):
        console.print()
        console.print(Listing(rows, prose="checked"))
    console.print()
    console.print(MEANING, style="dim", markup=False)
    for lines in (found.unchecked, found.faults):
        if lines:
            console.print()
        for line in lines:
            console.print(plain(line), markup=False)
    least = "at least " if plan.config.precision else "about "
    takes = "for an unknown time" if isnan(found.seconds) else f"{least}{found.seconds:.0f} s on one core"
    err().print(f"{len(plan.cells)} cells, {takes}.", markup=False)
    if not found.well:
        raise typer.Exit(3)
