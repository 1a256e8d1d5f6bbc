"""`estbench init`."""

from __future__ import annotations

import keyword
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
    of: Annotated[
        str | None, typer.Argument(metavar="[OF]", help="After `estimator` or `objective`: the name of what to write.")
    ] = None,
) -> None:
    """Write NAME.yaml: a copy of the shipped config of that name, or a short commented one to be edited.

    `init estimator NAME` writes NAME.py, a commented estimator that works, and test_NAME.py; `init objective NAME`
    likewise. A file that is there already is left as it is.
    """
    if of is not None:
        _starter(str(name), of)
        return
    from estbench.config.shipped import shipped

    file = name if name.suffix in (".yaml", ".yml") else name.with_name(f"{name.name}.yaml")
    known = shipped()
    text = known.get(file.stem, known[STARTER]).read_text(encoding="utf-8")
    _write(file, text)
    err().print(f"Shipped configs: {', '.join(known)}.")
    err().print(f"Next: estbench run {shlex.quote(str(file))}", markup=False)


def _starter(what: str, of: str) -> None:
    """An estimator or an objective and its test; both names must be free before either is written."""
    from estbench.cli.starters import STARTERS

    if what not in STARTERS:
        raise UsageError(f"init {what} {of}: expected one name, or one of {', '.join(STARTERS)} and a name")
    module = of.removesuffix(".py")
    if not module.isidentifier() or keyword.iskeyword(module):
        raise UsageError(f"init {what}: expected a Python name, such as my_{what}, got {of!r}")
    kind = "".join(word.capitalize() for word in module.split("_")) or module
    files = [Path(f"{module}.py"), Path(f"test_{module}.py")]
    for file in files:
        if file.exists():
            raise UsageError(f"{file}: is there already, and is left as it is; give another name")
    for file, text in zip(files, STARTERS[what], strict=True):
        _write(file, text.format(name=module, kind=kind))
    if what == "estimator":
        err().print(f"Next: estbench check {module}.py:{kind}", markup=False)


def _write(file: Path, text: str) -> None:
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise UsageError(f"{file}: is there already, and is left as it is; give another name") from None
    except OSError as error:
        raise UsageError(f"{file}: cannot be written: {error.strerror}") from None
    out().print(str(file), markup=False, soft_wrap=True)
