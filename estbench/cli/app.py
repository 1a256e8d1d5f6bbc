"""The application: its commands, and what errors look like and exit with."""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from estbench.cli import catalogue, check, compare, export, init, merge, plot, report, run, status
from estbench.cli.console import open_streams, silence, tell
from estbench.cli.plugin import with_plugins
from estbench.errors import EstbenchError, FullError
from estbench.interrupts import AGAIN, end_process
from estbench.printable import escaped
from estbench.version import __version__

INTERRUPTED = 130
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
EXIT_CODES = (
    "Exit codes: 0 done, 1 a bug in estbench, 2 wrong usage, config or folder, 3 some cells failed, 4 --fail-on, "
    "5 the disk is full, 130 interrupted."
)


class _Commands(TyperGroup):
    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Read what stands before the command."""
        with _readable():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        """Run a command; errors that a user can cause end in one message and an exit code, without a traceback."""
        try:
            with _readable():
                return super().invoke(ctx)
        except EstbenchError as error:
            tell(f"estbench: {escaped(str(error))}")
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            tell("estbench: interrupted")
            raise typer.Exit(INTERRUPTED) from None


@contextmanager
def _readable() -> Iterator[None]:
    """Errors of the parser are shown without control characters, in the form of this program's own messages."""
    try:
        yield
    except Exception as error:
        if isinstance(message := getattr(error, "message", None), str):
            error.message = escaped(message).removeprefix("Value error, ")  # type: ignore[attr-defined] # pydantic's
        raise


app = typer.Typer(
    name="estbench",
    cls=_Commands,
    help="Measure gradient estimators for discrete variables: bias, variance and cosine against exact gradients, "
    "computed in double precision (float64).",
    epilog=EXIT_CODES,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # brackets in help texts are selectors, not markup
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
    "init": init.init,
}
for name, command in COMMANDS.items():
    app.command(name)(with_plugins(command))


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"estbench {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version
    if context.invoked_subcommand is None:  # versions of click differ in where they print this, and in the exit code
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(2)


def main() -> None:
    """Run the command line; `EXIT_CODES` says how it ends.

    Plug-ins (`module:Class`) are looked for in the working directory too, after everything that is installed.
    """
    open_streams()
    interrupted = _note_interrupts()
    try:
        here = str(Path.cwd())
    except OSError as error:
        tell(f"estbench: the working directory cannot be used ({error.strerror}); change to another")
        sys.exit(2)
    if here not in sys.path:
        sys.path.append(here)
    try:
        app()
    except KeyboardInterrupt:
        tell("estbench: interrupted")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # nobody reads what the parser complains of
        silence(sys.stdout)
        silence(sys.stderr)
        sys.exit(2)
    except Exception as error:
        if interrupted:  # an import in C makes other errors of it
            tell("estbench: interrupted")
            sys.exit(INTERRUPTED)
        sys.exit(_explain(error))


def _note_interrupts() -> list[float]:
    """The times of each Ctrl-C, as they come: the first is a KeyboardInterrupt, a later one ends the program at once.

    What comes within AGAIN seconds of the first is the same one: programs that start this one may pass it on.
    """
    seen: list[float] = []
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:

        def interrupt(number: int, frame: Any) -> None:
            seen.append(time.monotonic())
            if len(seen) == 1:
                signal.default_int_handler(number, frame)
            if seen[-1] - seen[0] > AGAIN:
                with suppress(OSError):
                    os.write(2, b"estbench: interrupted\n")
                end_process(INTERRUPTED)

        signal.signal(signal.SIGINT, interrupt)
    return seen


def _explain(error: Exception) -> int:
    """Print an error that no command has handled, and return the exit code."""
    if isinstance(error, OSError) and error.errno in FULL:
        silence(sys.stdout)
        tell(f"estbench: what was to be printed cannot be written: {error.strerror}")
        return FullError.exit_code
    if isinstance(error, OSError) and isinstance(error.filename, str | bytes) and error.strerror:
        where = escaped(error.filename if isinstance(error.filename, str) else repr(error.filename))
        tell(f"estbench: {where}: {error.strerror}")
        return 2
    tell("".join(traceback.format_exception(error)).rstrip())
    tell("estbench: this is a bug in estbench; please report the lines above")
    return 1
