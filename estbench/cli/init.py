"""`estbench init`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from estbench.cli.arguments import place
from estbench.cli.console import err, out
from estbench.errors import UsageError

STARTER = "starter"


def init(
    name: Annotated[
        Path,
        typer.Argument(
            parser=place, metavar="[NAME]", help="A config that is shipped (bernoulli, everything, …), or a new name."
        ),
    ] = Path("benchmark"),
) -> None:
    """Write NAME.yaml: a copy of the shipped config of that name, or a short commented one to be edited.

    A file that is there already is left as it is.
    """
    from estbench.config.shipped import shipped

    file = name if name.suffix in (".yaml", ".yml") else name.with_name(f"{name.name}.yaml")
    known = shipped()
    text = known.get(file.stem, known[STARTER]).read_text(encoding="utf-8")
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise UsageError(f"{file}: is there already, and is left as it is; give another name") from None
    except OSError as error:
        raise UsageError(f"{file}: cannot be written: {error.strerror}") from None
    out().print(str(file), markup=False, soft_wrap=True)
    err().print(f"Shipped configs: {', '.join(known)}.")
    err().print(f"Next: estbench run {shlex.quote(str(file))}", markup=False)
