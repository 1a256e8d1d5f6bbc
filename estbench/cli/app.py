"""The application: its commands, and what errors look like and exit with."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated

import typer

from estbench import __version__
from estbench.cli import catalogue, check, compare, export, plot, report, run, status
from estbench.errors import EstbenchError

app = typer.Typer(
    name="estbench",
    help="Measure gradient estimators for discrete variables: bias, variance and cosine against exact gradients.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (run.run, plot.plot, compare.compare, catalogue.list_, catalogue.show, status.status, report.report):
    app.command(command.__name__.strip("_"))(command)
app.command("export")(export.export)
app.command("check")(check.check)


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
    """Run the command line: exit 0 done, 1 internal error, 2 wrong usage, 3 some cells failed, 130 interrupted."""
    try:
        app()
    except EstbenchError as error:
        typer.echo(f"estbench: {error}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except KeyboardInterrupt:
        typer.echo("estbench: interrupted", err=True)
        sys.exit(130)
    except Exception:
        traceback.print_exc()
        typer.echo("estbench: this is a bug in estbench; please report the lines above", err=True)
        sys.exit(1)
