"""The command line in this process."""

import signal
import sys

import pytest

from estbench.cli.app import main


def perform(*arguments: object) -> int:
    """Give a command; its exit code. What Ctrl-C does, and where modules are found, is as before afterwards."""
    heard = signal.getsignal(signal.SIGINT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["estbench", *map(str, arguments)])
        patch.setattr(sys, "path", [*sys.path])
        with pytest.raises(SystemExit) as end:
            main()
    signal.signal(signal.SIGINT, heard)
    return int(end.value.code or 0)
