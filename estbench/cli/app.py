"""The application: its commands, and what errors look like and exit with."""

from __future__ import annotations

import errno
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from estbench import __version__
from estbench.cli import catalogue, check, compare, export, merge, plot, report, run, status
from estbench.cli.console import plain, silence
from estbench.errors import EstbenchError

INTERRUPTED = 130
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class _Commands(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        """Run a command; what a user can cause or do is one message and its exit code, and no traceback."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")  # that is how pydantic talks
            raise
        except EstbenchError as error:
            typer.echo(f"estbench: {plain(str(error))}", err=True)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            typer.echo("estbench: interrupted", err=True)
            raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(
    name="estbench",
    cls=_Commands,
    help="Measure gradient estimators for discrete variables: bias, variance and cosine against exact gradients.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS: dict[str, Callable[..., None]] = {
    "run": run.run,
    "plot": plot.plot,
    "compare": compare.compare,
    "list": catalogue.list_,
    "show": catalogue.show,
    "status": status.status,
    "report": report.report,
    "export": export.export,
    "merge": merge.merge,
    "check": check.check,
}
for name, command in COMMANDS.items():
    app.command(name)(command)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"estbench {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version


def main() -> None:
    """Run the command line: exit 0 done, 1 internal error, 2 wrong usage, 3 some cells failed, 130 interrupted.

    Plug-ins (`module:Class`) are looked for in the working directory too, after everything that is installed.
    """
    sys.path.append(str(Path.cwd()))
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in FULL:
            silence(sys.stdout)
            typer.echo(f"estbench: what was to be printed cannot be written: {error.strerror}", err=True)
        else:
            traceback.print_exc()
            typer.echo("estbench: this is a bug in estbench; please report the lines above", err=True)
        sys.exit(1)
