"""The program: `estbench`, and `python -m estbench`.

Before anything else is imported, the working directory is moved to the end of the path, and Ctrl-C is handled.
"""

import atexit
import os
import sys

INTERRUPTED = 130


def main() -> None:
    """Run the command line; Ctrl-C ends it without a traceback, from the first import on."""
    ended: list[int] = []
    atexit.register(_end, ended)  # called after all other exit handlers, as it is the first
    try:
        from estbench.threads import ONE_THREAD  # noqa: PLC0415 - the imports may be interrupted too

        os.environ.update(ONE_THREAD)  # the commands and their workers share the cores by processes alone
        from estbench.cli import main as run  # noqa: PLC0415
        from estbench.cli.console import only_ours  # noqa: PLC0415

        with only_ours():
            run()
    except KeyboardInterrupt:
        ended.append(INTERRUPTED)
        os.write(2, b"estbench: interrupted\n")
        sys.exit(INTERRUPTED)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            ended.append(end.code or 0)
        if end.code == INTERRUPTED:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 2)  # the message has been printed; libraries are to print nothing after it
        raise


def _end(ended: list[int]) -> None:
    """End the process with its exit code, once all else has been done.

    Unloading torch would take a tenth of the time of importing it. And after Ctrl-C in code that a library in C called,
    Python itself may end the process by the signal, with another exit code.
    """
    if not ended:
        return
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):  # it is closed, or nobody reads it
            if ended[-1] != INTERRUPTED:
                return  # Python says so
    os._exit(ended[-1])


def _working_directory_last() -> None:
    """`python -m` looks for modules in the working directory first; here they are looked for there last.

    A checkout that is the working directory still goes before an estbench that is installed elsewhere.
    """
    try:
        here = os.getcwd()  # noqa: PTH109 - pathlib would be imported from the working directory
    except OSError:  # it has been deleted
        return
    if sys.flags.safe_path or sys.path[:1] not in ([""], [here]):
        return
    rest = sys.path[1:]
    others = [i for i, folder in enumerate(rest) if os.path.isdir(os.path.join(folder, "estbench"))]  # noqa: PTH112, PTH118
    last = others[0] if others and __file__.startswith(os.path.join(here, "estbench")) else len(rest)  # noqa: PTH118
    sys.path[:] = [*rest[:last], here, *rest[last:]]


if __name__ == "__main__":
    _working_directory_last()
    main()
