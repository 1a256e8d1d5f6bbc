"""`estbench list` and `estbench show`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from estbench.cli.console import out, write


def list_(
    what: Annotated[
        Literal["estimators", "objectives", "distributions", "metrics"], typer.Argument(help="What to list.")
    ] = "estimators",
    family: Annotated[str | None, typer.Option(help="Only estimators of this family, such as antithetic.")] = None,
    distribution: Annotated[
        Literal["bernoulli", "categorical"] | None, typer.Option(help="Only estimators that serve this distribution.")
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

    from estbench import guide
    from estbench.tables import Listing

    if what == "estimators":
        rows = guide.estimators(family=family, distribution=distribution, unbiased=unbiased, gradient=gradient)
    else:
        rows = {"objectives": guide.objectives, "distributions": guide.distributions, "metrics": guide.metrics}[what]()
    if file_format == "json":
        write(json.dumps(rows, ensure_ascii=False, indent=1) + "\n")
    else:
        out().print(
            Listing(
                rows,
                prose={"objectives": "formula", "distributions": "meaning", "metrics": "meaning"}.get(
                    what, "reference"
                ),
            )
        )


def show(
    name: Annotated[str, typer.Argument(help="The name of an estimator, an objective or a distribution.")],
) -> None:
    """Show one estimator, objective or distribution: formula, options, cost, sources with BibTeX, identities."""
    from estbench import guide

    out().print(guide.page(name), markup=False, soft_wrap=True)
