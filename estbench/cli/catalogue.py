"""`estbench list` and `estbench show`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from estbench.cli.arguments import place
from estbench.cli.console import out, write
from estbench.printable import wrapped

if TYPE_CHECKING:
    from estbench.index import Contents


def contents() -> Contents:
    """What the catalogue holds: from the index where that is fresh, else from the code, which takes longer."""
    from estbench import index

    found = index.read()
    if found is None:
        from estbench import guide

        found = guide.contents()
    return found


def completed(incomplete: str) -> list[str]:
    """The names that a word on the command line may become."""
    return [name for name in contents().pages if name.startswith(incomplete)]


def list_(
    what: Annotated[
        Literal["estimators", "objectives", "distributions", "networks", "metrics"],
        typer.Argument(help="What to list."),
    ] = "estimators",
    family: Annotated[str | None, typer.Option(help="Only estimators of this family, such as antithetic.")] = None,
    distribution: Annotated[
        Literal["bernoulli", "categorical"] | None,  # written out: `--help` names them without reading the catalogue
        typer.Option(help="Only estimators that serve this distribution."),
    ] = None,
    unbiased: Annotated[
        bool | None, typer.Option("--unbiased/--biased", help="Only estimators that are unbiased, or that are not.")
    ] = None,
    gradient: Annotated[
        bool | None, typer.Option("--gradient/--no-gradient", help="Only estimators that need ∇f, or that do not.")
    ] = None,
    file_format: Annotated[Literal["table", "json"], typer.Option("--format", help="The format.")] = "table",
) -> None:
    """List what the catalogue holds, with filters."""
    import json

    from estbench.index import metrics
    from estbench.tables.listing import Listing

    if what == "metrics":
        rows = metrics()
    elif what == "estimators":
        rows = contents().listed(family=family, distribution=distribution, unbiased=unbiased, gradient=gradient)
    else:
        found = contents()
        named = {"objectives": found.objectives, "distributions": found.distributions, "networks": found.networks}
        rows = list(named[what])
    rows += [dict.fromkeys(rows[0], "") | row for row in _offered(what)]
    if file_format == "json":
        write(json.dumps(rows, ensure_ascii=False, indent=1) + "\n")
        return
    prose = {"estimators": "reference", "objectives": "formula"}.get(what, "meaning")
    out().print(Listing(rows, prose=prose))
    if any(row.get("unbiased") == "own" for row in rows):
        out().print("own: unbiased for the gradient of an expectation of its own (estbench show NAME).", markup=False)


def _offered(what: str) -> list[dict[str, object]]:
    """A row for each estimator or objective that files (--plugin) and installed packages offer."""
    from estbench.offers import FILES, points

    kind = what.removesuffix("s")
    if not FILES and not points(kind):
        return []
    from estbench import plugins

    prose = {"estimators": "reference", "objectives": "formula"}.get(what, "meaning")
    return [{"name": name, prose: source} for name, source in plugins.offered(kind)]  # type: ignore[arg-type] # it is one of three


def show(
    name: Annotated[
        str,
        typer.Argument(
            help="An estimator, an objective or a distribution, with options if need be: reinforce[baseline=optimal], "
            "mine:Mix[alpha=0.9].",
            autocompletion=completed,
        ),
    ],
    figure: Annotated[
        Path | None,
        typer.Option(
            parser=place,
            metavar="FILE",
            help="Draw the estimator into this file (png, svg or pdf): a relaxation as samples at five temperatures, "
            "any other as a neuron, with its samples and its backward factor against the logit.",
        ),
    ] = None,
) -> None:
    """Show what an estimator, objective or distribution is: formula, bias, cost, options, identities, sources."""
    from estbench.index import unknown

    if figure is not None:
        from estbench.pictures import picture

        out().print(str(picture(name, figure)), markup=False, soft_wrap=True)
        return
    pages = contents().pages
    if name in pages:
        page = pages[name]
    elif ":" in name or "[" in name or _offered("estimators") or _offered("objectives"):
        from estbench import guide

        page = guide.page(name)
    else:
        raise unknown(name, list(pages))
    console = out()
    console.print(wrapped(page, console.width), markup=False, soft_wrap=True, end="")
