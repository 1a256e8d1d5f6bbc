"""`estbench check`: the report card of an estimator or a function, and a look at a config before a long run."""

from __future__ import annotations

import time
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from estbench.cli.arguments import Form, finite, is_file
from estbench.cli.console import err, out, write
from estbench.cli.distribution import distribution_at
from estbench.errors import UsageError
from estbench.names import ALIASES
from estbench.printable import escaped

if TYPE_CHECKING:
    from estbench.card.config import ConfigCard
    from estbench.preflight.check import Check

QUICK = 5.0
"""Seconds before progress is shown."""

Format = Literal["table", "json", "markdown", "junit"]

MEANING = """
exactly: E ĝ = g in exact moments, of rows at every N. sampled (x % seen): E ĝ by sampling; a bias above x % of ‖g‖, in
any direction, would have been suspected in 9 of 10 samples; what is suspected is sampled again, and the chance that any
unbiased estimator is called false in a whole check is below 1 in 1000. Estimators are looked at on the problems above
and, if they are called unbiased, on up to 5 small ones of one to three variables; fitted ones before they are fitted.
""".replace("\n", " ").strip()


def check(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="my_file.py:thing, package.module:thing, a name such as rloo or gumbel[temperature=0.5], or a config: "
            "a file in YAML, or the name of a shipped one.",
        ),
    ],
    form: Annotated[Form | None, typer.Option("--as", help="How a function is written; by default found out.")] = None,
    distribution: Annotated[
        str | None, typer.Option(help="bernoulli or categorical; by default all that the target serves.")
    ] = None,
    samples: Annotated[int | None, typer.Option(min=1, help="The samples that one call of a function uses.")] = None,
    objective: Annotated[
        str | None, typer.Option(metavar="F", help="An f of your own, my_file.py:f, to look at as well; with --logits.")
    ] = None,
    logits: Annotated[
        str | None, typer.Option(metavar="JSON", help="Logits of your own, such as '[0.5, -1]' or '[[0, 1, 2]]'.")
    ] = None,
    biased: Annotated[bool, typer.Option("--biased", help="It is meant to be biased: no failure.")] = False,
    smallest: Annotated[
        float, typer.Option(min=1e-3, max=10, callback=finite, help="Sampling ends where so large a bias is seen.")
    ] = 0.1,
    limit: Annotated[
        float, typer.Option(min=0, max=1e6, metavar="SECONDS", callback=finite, help="Sampling ends after this.")
    ] = 10.0,
    timeout: Annotated[
        float, typer.Option(min=0.1, max=1e8, metavar="SECONDS", callback=finite, help="The whole card, at most.")
    ] = 600.0,
    file_format: Annotated[Format, typer.Option("--format", help="The format.")] = "table",
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Of a config: replace a value.")
    ] = None,
    cell_timeout: Annotated[
        float,
        typer.Option(
            min=0.001,
            max=1e8,
            metavar="SECONDS",
            callback=finite,
            help="Of a config: longer than this, and one look at a plug-in is given up.",
        ),
    ] = 60.0,
) -> None:
    """Print the report card of an estimator or a function; or check a config before a long run.

    The card: bias, exactly or by sampling, with its usual cause; invariances; cost; members of the catalogue beside it.
    Of a config: its objectives, the claims of its estimators, and how long it will take. Each says how it was checked,
    or why it was not. Code of users is called in a process of its own.

    Exit codes: 0 nothing is wrong, 2 wrong usage or config, 3 something is wrong, cells will fail, or nothing was
    measured.
    """
    if _is_config(target):
        _config(Path(target), settings or [], cell_timeout, file_format)
        return
    if settings:
        raise UsageError("--set is for configs; write options in brackets: gumbel[temperature=0.5]")
    from estbench.card.worker import card_apart
    from estbench.config.plugged import named

    arguments: dict[str, Any] = {
        "form": form,
        "distribution": distribution if logits is None else distribution_at(distribution, logits),
        "samples": samples,
        "f": objective,
        "unbiased": False if biased else None,
        "smallest": smallest,
        "limit": limit,
    }
    card = card_apart(named(target), arguments, timeout)
    if file_format == "table":
        write(escaped(card.to_text(out().width)))
    else:
        write({"json": card.to_json, "markdown": card.to_markdown, "junit": card.to_junit}[file_format]())
    if not card.ok:
        raise typer.Exit(3)


def _is_config(target: str) -> bool:
    """Whether a target is a config: a file in YAML, or no name of anything else."""
    if not target:
        raise typer.BadParameter("expected an estimator, a function or a config, got ''")
    if target.endswith((".yaml", ".yml")) or (":" not in target and is_file(target)):
        return True
    if ":" in target or "[" in target or target in ALIASES:
        return False
    from estbench import catalogue, plugins
    from estbench.config.complaint import closest
    from estbench.config.shipped import shipped

    if target in shipped():
        return True
    if target in catalogue.ESTIMATORS or plugins.alias("estimator", target) is not None:
        return False
    hint = closest(target, [*catalogue.ESTIMATORS, *ALIASES, *shipped()])
    raise UsageError(
        f"{target!r} is not an estimator (estbench list estimators), a config (a file in YAML, or one of "
        f"{', '.join(shipped())}) or a function, which is written my_file.py:thing.{hint}"
    )


def _config(config: Path, settings: list[str], cell_timeout: float, file_format: Format) -> None:
    """A look at a config."""
    from estbench.config import load
    from estbench.engine.benchmark import kept_apart
    from estbench.engine.guarded import demand_survived
    from estbench.expand import expand
    from estbench.isolation import stdout_to_stderr
    from estbench.preflight.check import checked

    if "\0" in str(config):
        raise typer.BadParameter("a name has no NUL characters")
    demand_survived(config, settings, cell_timeout)
    read = load(config, settings)
    plan = expand(read)
    start, last = time.monotonic(), [time.monotonic()]

    def tell(what: str) -> None:
        now = time.monotonic()
        if now - start > QUICK and now - last[0] > 2:
            last[0] = now
            err().print(escaped(f"{now - start:.0f} s: {what}"), markup=False)

    with stdout_to_stderr():
        found = checked(plan, tell, apart=kept_apart(read), timeout=cell_timeout)
    if file_format == "table":
        _print(found)
    else:
        from estbench.card.config import ConfigCard

        card: ConfigCard = ConfigCard(escaped(str(config)), found)
        write({"json": card.to_json, "markdown": card.to_markdown, "junit": card.to_junit}[file_format]())
    least = "at least " if plan.config.precision else "about "
    takes = "for an unknown time" if isnan(found.seconds) else f"{least}{found.seconds:.0f} s on one core"
    err().print(f"{len(plan.cells)} cells, {takes}.", markup=False)
    if not found.well:
        raise typer.Exit(3)


def _print(found: Check) -> None:
    """Tables, and lines of their own for what is wrong or was not checked."""
    from estbench.tables.listing import Listing

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
            console.print(escaped(line), markup=False)
