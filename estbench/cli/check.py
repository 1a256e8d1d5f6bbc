"""`estbench check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from estbench.cli.console import err, out, plain


def check(
    config: Annotated[Path, typer.Argument(help="A config in YAML.")],
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Replace a value.")] = None,
) -> None:
    """Check a config before a long run: its exact gradients by every road, the claims of its estimators, its time.

    Exit codes: 0 all is well, 2 wrong usage or config, 3 cells will fail, or something is not what it claims to be.
    """
    from estbench.config import load
    from estbench.plan import expand
    from estbench.preflight.check import checked
    from estbench.tables import Listing

    plan = expand(load(config, settings or []))
    found = checked(plan)
    out().print(Listing(found.rows, prose="problem"))
    for line in found.false_claims:
        out().print(plain(line), markup=False, soft_wrap=True)
    least = "at least " if plan.config.precision else "about "
    err().print(f"{len(plan.cells)} cells, {least}{found.seconds:.0f} s on one core.", markup=False)
    if not found.well:
        raise typer.Exit(3)
