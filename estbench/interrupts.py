"""Ctrl-C: the first one ends the program in order, a later one at once."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

AGAIN = 1.0
"""Seconds within which a second SIGINT is the same Ctrl-C: the terminal sends one, and a parent may pass it on."""

end_process = os._exit
"""End this process at once. In calls of user code, and in their threads, `os._exit` does not (`estbench.isolation`)."""


@contextmanager
def deferred() -> Iterator[None]:
    """Ctrl-C takes effect when this context ends, so that its body is not interrupted; a second Ctrl-C, at once."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    waiting: list[float] = []

    def note(number: int, frame: Any) -> None:
        waiting.append(time.monotonic())
        if waiting[-1] - waiting[0] > AGAIN:
            before(number, frame)

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if waiting:
        before(signal.SIGINT, None)
