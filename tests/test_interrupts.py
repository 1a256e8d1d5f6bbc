"""Ctrl-C: ends in order at the first, at once at a later one, with one message and exit code 130."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from estbench import interrupts
from estbench.interrupts import deferred
from tests.cli.forked import PATIENCE, environment

IN_C = """
import ctypes, estbench.cli
run = ctypes.pythonapi.PyRun_String
run.restype, run.argtypes = ctypes.py_object, [ctypes.c_char_p, ctypes.c_int, ctypes.py_object, ctypes.py_object]
estbench.cli.main = lambda: run(b"raise KeyboardInterrupt", 257, {}, {})
from estbench.__main__ import main
main()
"""
TWICE = """
import signal, sys, time
import estbench.interrupts, estbench.cli.app as app
app.AGAIN = 0.05
def press():
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:  # a library makes nothing of it
        pass
    signal.raise_signal(signal.SIGINT)  # the same one, passed on by a parent
    time.sleep(0.1)
    signal.raise_signal(signal.SIGINT)
    print("NOT ENDED")
app.app = press
from estbench.__main__ import main
main()
"""


@pytest.mark.parametrize("script", [IN_C, TWICE])
def test_the_exit_code_is_130(script: str, tmp_path: Path) -> None:
    """No interrupt ends the process by its signal, be it in C code of a library; a later one is not held back."""
    (tmp_path / "pressed.py").write_text(script)
    said = subprocess.run(
        [sys.executable, "-m", "pressed"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (said.returncode, said.stdout, said.stderr) == (130, "", "estbench: interrupted\n")


def test_an_interrupt_is_heard_where_what_must_end_has_ended() -> None:
    """It comes when the context ends, once, though it is sent twice; the handler is as before."""
    before, steps = signal.getsignal(signal.SIGINT), []
    with pytest.raises(KeyboardInterrupt), deferred():  # noqa: PT012 - what is in there must all be done
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        steps.append("done")
    assert steps == ["done"]
    assert signal.getsignal(signal.SIGINT) is before
    with deferred():
        pass


def test_a_later_interrupt_is_heard_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who presses Ctrl-C again does not want to wait."""
    monkeypatch.setattr(interrupts, "AGAIN", -1.0)
    with pytest.raises(KeyboardInterrupt), deferred():  # noqa: PT012 - likewise
        signal.raise_signal(signal.SIGINT)
        pytest.fail("it was not heard")
