"""Settings of the process that user code may change: each function notes some, and what it returns puts them back."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import overrides
from torch.utils import _python_dispatch

_MODES: tuple[tuple[Callable[[], list[Any]], Callable[[], Any]], ...] = (
    (_python_dispatch._get_current_dispatch_mode_stack, _python_dispatch._pop_mode),
    (overrides._get_current_function_mode_stack, overrides._pop_mode),
)
"""What lists the modes that are entered, and what leaves the last: each can change all that torch computes."""


def _default_device() -> torch.device | None:
    """What `torch.set_default_device` was given last in this thread; None: nothing, or None."""
    context = getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)
    return None if context is None else context.device


def of_torch_and_numpy() -> Callable[[], None]:
    """Types, modes, threads and errors of torch and numpy; the working directory, and the path of modules."""
    dtype, grad, threads, errors = (
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.get_num_threads(),
        np.geterr(),
    )
    deterministic, path = torch.are_deterministic_algorithms_enabled(), list(sys.path)
    anomaly, modes = torch.is_anomaly_enabled(), [len(entered()) for entered, _ in _MODES]
    device = _default_device()
    folder: Path | None = None
    with suppress(OSError):  # it has been deleted
        folder = Path.cwd()

    def restore() -> None:
        if torch.get_default_dtype() != dtype:
            torch.set_default_dtype(dtype)
        if torch.is_grad_enabled() != grad:
            torch.set_grad_enabled(grad)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        if torch.are_deterministic_algorithms_enabled() != deterministic:
            torch.use_deterministic_algorithms(deterministic)
        if _default_device() != device:
            torch.set_default_device(device)
            if device is None:  # torch 2.4 takes the None that is left there for a device
                with suppress(AttributeError):
                    del torch._GLOBAL_DEVICE_CONTEXT.device_context
        if torch.is_anomaly_enabled() != anomaly:
            torch.autograd.set_detect_anomaly(anomaly)
        for (entered, leave), before in zip(_MODES, modes, strict=True):
            left_open = entered()[before:]  # torch 2.4 crashes later where nothing else holds a mode that it leaves
            for _ in left_open:
                leave()
        np.seterr(**errors)
        sys.path[:] = path
        if folder is not None:
            with suppress(OSError):
                os.chdir(folder)

    return restore


def of_python() -> Callable[[], None]:
    """Limits, hooks, warnings, logging, the environment and the table of modules."""
    limit, collects, trace, profile = sys.getrecursionlimit(), gc.isenabled(), sys.gettrace(), sys.getprofile()
    root = logging.getLogger()
    level, handlers, disabled = root.level, list(root.handlers), root.manager.disable
    environment, caught = _environment(), warnings.catch_warnings()
    names, modules = [*sys.modules], [*sys.modules.values()]  # a dictionary takes several times as long
    caught.__enter__()

    def restore() -> None:
        if __name__ not in sys.modules:  # the table was cleared
            sys.modules.update(zip(names, modules, strict=True))
        sys.setrecursionlimit(limit)
        (gc.enable if collects else gc.disable)()
        if sys.gettrace() is not trace:
            sys.settrace(trace)
        if sys.getprofile() is not profile:
            sys.setprofile(profile)
        caught.__exit__(None, None, None)
        if root.level != level:  # setting it empties the caches of all loggers
            root.setLevel(level)
        root.handlers[:], root.manager.disable = handlers, disabled
        if _environment() != environment:
            os.environb.clear()
            os.environb.update(environment)

    return restore


def _environment() -> dict[bytes, bytes]:
    """The environment; Python has it as a dictionary, and else copies it variable by variable."""
    return dict(getattr(os.environb, "_data", os.environb))


_SIGNALS = (signal.SIGTERM, signal.SIGALRM, signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD)


def of_signals() -> Callable[[], None]:
    """Handlers, and the alarm clock."""
    if threading.current_thread() is not threading.main_thread():
        return nothing
    before = [(number, signal.getsignal(number)) for number in _SIGNALS]
    ticking = signal.getitimer(signal.ITIMER_REAL)[0] > 0

    def restore() -> None:
        if not ticking and signal.getitimer(signal.ITIMER_REAL)[0] > 0:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before:
            if signal.getsignal(number) is not handler:
                put_back(number, handler)

    return restore


def put_back(number: signal.Signals, handler: Any) -> None:
    """Make this the handler of a signal again."""
    if handler is not None:  # None: it was not installed from Python
        signal.signal(number, handler)


def nothing() -> None:
    """Nothing is to be restored."""
