"""`estbench list` and `estbench show`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

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

    filters = {"family": family, "distribution": distribution, "unbiased": unbiased, "gradient": gradient}
    if what == "metrics":
        rows = metrics()
    elif what == "estimators":
        rows = _estimators(**filters)
    else:
        found = contents()
        named = {"objectives": found.objectives, "distributions": found.distributions, "networks": found.networks}
        rows = [*named[what], *_offered(what, named[what][0])]
    if file_format == "json":
        write(json.dumps(rows, ensure_ascii=False, indent=1) + "\n")
        return
    prose = {"estimators": "reference", "objectives": "formula"}.get(what, "meaning")
    out().print(Listing(rows, prose=prose))
    if any(row.get("unbiased") == "own" for row in rows):
        out().print("own: unbiased for the gradient of an expectation of its own (estbench show NAME).", markup=False)


def _estimators(**filters: Any) -> list[dict[str, Any]]:
    """The rows of the estimators that pass the filters; what packages offer is imported where there is a filter."""
    found = contents()
    if filters == dict.fromkeys(filters):
        return [*found.listed(), *_offered("estimators", found.estimators[0].row)]
    if _is_offered("estimators"):
        from estbench import guide

        found = replace(found, estimators=[*found.estimators, *guide.offered()])
    return found.listed(**filters)


def _offered(what: str, like: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each thing that files (--plugin) and installed packages offer, with the columns of another row."""
    if not _is_offered(what):
        return []
    from estbench import plugins

    kind: Any = what.removesuffix("s")
    prose = {"estimators": "reference", "objectives": "formula"}.get(what, "meaning")
    return [dict.fromkeys(like, "") | {"name": name, prose: source} for name, source in plugins.offered(kind)]


def _is_offered(what: str) -> bool:
    """Whether there are files that may offer such things, or packages that do."""
    from estbench.offers import FILES, points

    return bool(FILES or points(what.removesuffix("s")))


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
    elif ":" in name or "[" in name or _is_offered("estimators") or _is_offered("objectives"):
        from estbench import guide

        page = guide.page(name)
    else:
        raise unknown(name, list(pages))
    console = out()
    console.print(wrapped(page, console.width), markup=False, soft_wrap=True, end="")
