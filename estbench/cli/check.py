"""`estbench check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from estbench.cli.console import err, out


def check(
    config: Annotated[Path, typer.Argument(help="A config in YAML.")],
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Replace a value.")] = None,
) -> None:
    """Check a config before a long run: its validity, its exact gradients by every road, its cost and its time."""
    from estbench.config import load
    from estbench.engine.check import checked
    from estbench.plan import expand
    from estbench.tables import Listing

    plan = expand(load(config, settings or []))
    rows, seconds = checked(plan)
    out().print(Listing(rows, prose="problem"))
    err().print(f"{len(plan.cells)} cells, about {seconds:.0f} s on one core.", markup=False)
