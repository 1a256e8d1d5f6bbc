"""`--plugin my_file.py`, an option of every command."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any

import typer

from estbench.cli.arguments import place

_OPTION = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin", parser=place, metavar="FILE.py", help="A file whose estimators and objectives are known by name."
    ),
]


def with_plugins(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the option; the files are imported where one of their names is asked for."""

    @functools.wraps(command)
    def run(*arguments: Any, plugin: list[Path] | None = None, **options: Any) -> None:
        if plugin:
            from estbench.offers import use

            use(plugin)
        command(*arguments, **options)

    own = inspect.signature(command, eval_str=True)
    option = Parameter("plugin", Parameter.KEYWORD_ONLY, default=None, annotation=_OPTION)
    signature = own.replace(parameters=[*own.parameters.values(), option])
    run.__signature__ = signature  # type: ignore[attr-defined] # it is what `inspect` reads
    run.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()} | {"return": None}
    return run
