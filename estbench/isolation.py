"""Isolation of user code: what a call of a plug-in does to the process is undone when the call ends.

Whatever imports, builds or calls a plug-in does so inside `Isolated`. Undone are changes of random numbers, standard
output, settings of Python, torch and numpy, the working directory and the environment, handlers of signals and of
logging, functions that it replaces, child processes. What it raises becomes an exception with a text; only a Ctrl-C of
the user goes on.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import io
import logging
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from hashlib import sha256
from operator import is_
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import numpy as np
import torch
from torch import overrides
from torch.utils import _python_dispatch

from estbench.interrupts import end_process

LONGEST = 500
"""Characters of a reason."""

_ALONE = threading.RLock()
"""Held during a call: generators, settings and standard output belong to the process, not to a thread."""


class UserCodeError(Exception):
    """An error of user code whose text says all: what it raised beside an `Exception`, or what it must not do."""


def reason(error: BaseException) -> str:
    """An error as the reason why a cell failed: one line without control characters."""
    if isinstance(error, UserCodeError):
        return str(error)
    try:
        text = str(error)
    except BaseException as second:  # its text is user code too
        text = f"(its text is not available: {type(second).__name__})"
    if isinstance(error, BaseExceptionGroup):
        text += f" [{'; '.join(reason(each) for each in error.exceptions[:3])}]"
    text = " ".join(f"{type(error).__name__}: {text}".split())
    return "".join(c for c in text if c.isprintable())[:LONGEST].rstrip(": ")


class Isolated:
    """A context for one call of user code.

    The global generators of torch, numpy and Python are seeded from `entropy` (numbers and texts) and are as before
    afterwards, so that what the call draws is the same in any process. What it prints goes to standard error. What it
    raises leaves the context as an `Exception`, except an interrupt that came as a signal. `os._exit`, and what else
    would end this process, is an exception. What it replaces in torch, numpy or estbench is put back, and is an
    exception too. A child that it forks ends where the call ends.
    """

    def __init__(self, *entropy: object) -> None:
        self._entropy = entropy

    def __enter__(self) -> Self:
        _ALONE.acquire()
        self._inner = bool(_DEPTH)
        _DEPTH.append(None)
        if self._inner:  # it draws the same as outside of another call, and the other one does not notice
            self._restore = [_generators()]
        else:
            for told in BEGINNING:
                told(self._entropy)
            self._interrupted = False
            self._replaced: list[str] = []
            self._restore = [_generators(), _settings(), _output(), _signals(), self._interrupts()]
            self._restore += [_names(self._replaced), _python(), _ends()]
        seed(*self._entropy)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._inner:
            exit_if_forked()
        while self._restore:  # what refers to itself is freed late, and these are large
            self._restore.pop()()
        _DEPTH.pop()
        _ALONE.release()
        if self._inner:
            return
        if self._interrupted:
            raise KeyboardInterrupt
        if error is not None and not isinstance(error, Exception):
            raise UserCodeError(reason(error)) from None
        if self._replaced and error is None:
            raise UserCodeError(f"it replaces {', '.join(self._replaced)}, which all others use too")

    def _interrupts(self) -> Callable[[], None]:
        """Note whether Ctrl-C was pressed: user code can raise KeyboardInterrupt by itself, or swallow ours."""
        if threading.current_thread() is not threading.main_thread():
            return _nothing
        before = signal.getsignal(signal.SIGINT)
        if not callable(before):
            return lambda: _back(signal.SIGINT, before)

        def heard(number: int, frame: Any) -> None:
            self._interrupted = True
            before(number, frame)

        signal.signal(signal.SIGINT, heard)
        return lambda: _back(signal.SIGINT, before)


BEGINNING: list[Callable[[tuple[object, ...]], None]] = []
"""Are told of each call as it begins, by what its numbers are seeded from: of what a process dies is known then."""

_DEPTH: list[None] = []
"""One entry for each call that is under way: a call within another one is part of it."""


_FORKED: list[None] = []


def _in_child() -> None:
    if _DEPTH:
        _FORKED.append(None)


os.register_at_fork(after_in_child=_in_child)


def exit_if_forked() -> None:
    """End this process if user code has forked it and come back: it is no second worker."""
    if _FORKED:
        end_process(0)


_ENDS = ("_exit", "abort", "execv", "execve")


def _ends() -> Callable[[], None]:
    """The functions that end a process: in this one they are exceptions, in children that the call forks they work."""
    here, before = os.getpid(), {name: getattr(os, name) for name in _ENDS}

    def refusing(name: str) -> Callable[..., None]:
        def end(*arguments: Any, **options: Any) -> None:
            if os.getpid() != here:
                before[name](*arguments, **options)
            raise SystemExit(f"os.{name}({', '.join(map(repr, arguments[:1]))})")

        return end

    def restore() -> None:
        vars(os).update(before)

    vars(os).update({name: refusing(name) for name in _ENDS})
    return restore


def seed(*entropy: object) -> None:
    """Seed the global generators of torch, numpy and Python from numbers and texts."""
    number = int.from_bytes(sha256(repr(entropy).encode()).digest()[:8], "big")
    torch.default_generator.manual_seed(number >> 1)
    if _cuda():
        torch.cuda.manual_seed_all(number >> 1)
    np.random.seed([number >> 32, number & 0xFFFFFFFF])
    random.seed(number)


def _cuda() -> bool:
    """Whether CUDA is in use: asking for its generators would begin it."""
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call] # of torch


def _nothing() -> None:
    """Nothing is to be restored."""


def _back(number: signal.Signals, handler: Any) -> None:
    if handler is not None:  # None: it was not installed from Python
        signal.signal(number, handler)


def _generators() -> Callable[[], None]:
    of_torch, of_numpy, of_python = torch.get_rng_state(), np.random.get_state(), random.getstate()
    of_cuda = torch.cuda.get_rng_state_all() if _cuda() else None

    def restore() -> None:
        torch.set_rng_state(of_torch)
        np.random.set_state(of_numpy)
        random.setstate(of_python)
        if of_cuda is not None:
            torch.cuda.set_rng_state_all(of_cuda)

    return restore


_POP: tuple[Callable[[], Any], ...] = (_python_dispatch._pop_mode, overrides._pop_mode)

_left_open: list[Any] = []
"""Modes that were left open, kept: torch 2.4 crashes once they are freed."""


def _modes() -> tuple[int, int]:
    """How many modes of dispatch and of functions are entered: each sees, and can change, all that torch computes."""
    return torch._C._len_torch_dispatch_stack(), torch._C._len_torch_function_stack()


def _default_device() -> torch.device | None:
    """What `torch.set_default_device` was given last in this thread; None: nothing, or None."""
    context = getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)
    return None if context is None else context.device


def _settings() -> Callable[[], None]:
    dtype, grad, threads, errors = (
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.get_num_threads(),
        np.geterr(),
    )
    deterministic, path = torch.are_deterministic_algorithms_enabled(), list(sys.path)
    anomaly, modes = torch.is_anomaly_enabled(), _modes()
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
        for pop, depth, before in zip(_POP, _modes(), modes, strict=True):
            for _ in range(depth - before):  # `with` was left open
                _left_open.append(pop())
        np.seterr(**errors)
        sys.path[:] = path
        if folder is not None:
            with suppress(OSError):
                os.chdir(folder)

    return restore


def _python() -> Callable[[], None]:
    """Limits, hooks, warnings, logging, the environment and the table of modules."""
    limit, collects, trace, profile = sys.getrecursionlimit(), gc.isenabled(), sys.gettrace(), sys.getprofile()
    root = logging.getLogger()
    level, handlers, disabled = root.level, list(root.handlers), root.manager.disable
    environment, caught, modules = dict(os.environ), warnings.catch_warnings(), dict(sys.modules)
    caught.__enter__()

    def restore() -> None:
        if __name__ not in sys.modules:  # the table was cleared
            sys.modules.update(modules)
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
        if dict(os.environ) != environment:
            os.environ.clear()
            os.environ.update(environment)

    return restore


_SIGNALS = (signal.SIGTERM, signal.SIGALRM, signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD)


def _signals() -> Callable[[], None]:
    """Handlers, and the alarm clock."""
    if threading.current_thread() is not threading.main_thread():
        return _nothing
    before = [(number, signal.getsignal(number)) for number in _SIGNALS]
    ticking = signal.getitimer(signal.ITIMER_REAL)[0] > 0

    def restore() -> None:
        if not ticking and signal.getitimer(signal.ITIMER_REAL)[0] > 0:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before:
            if signal.getsignal(number) is not handler:
                _back(number, handler)

    return restore


def _names(replaced: list[str]) -> Callable[[], None]:
    """The functions and classes that all others use; names of those that are replaced are added to a list."""
    before = [(place, vars(place).copy()) for place in _shared()]

    def restore() -> None:
        for place, known in before:
            now = vars(place)
            if [*now] == [*known] and all(map(is_, now.values(), known.values())):
                continue
            for name in [name for name in now if name not in known and _inherits(place, name)]:
                delattr(place, name)
                replaced.append(f"{place.__name__}.{name}")
            for name, value in known.items():
                if now.get(name) is not value:
                    setattr(place, name, value)
                    if not _by_torch(place, name, now.get(name)):
                        replaced.append(f"{place.__name__}.{name}")

    return restore


def _by_torch(place: Any, name: str, value: Any) -> bool:
    """Whether torch itself has bound that name: with the default dtype, or as it imports more of itself."""
    code = getattr(value, "__code__", None)
    return (place, name) == (torch, "Storage") or (code is not None and code.co_filename.startswith(_TORCH))


_TORCH = str(Path(torch.__file__).parent)


def _inherits(place: Any, name: str) -> bool:
    """Whether a class has an attribute of that name from another one."""
    return not name.startswith("__") and any(name in vars(base) for base in getattr(place, "__mro__", ())[1:])


def _shared() -> Iterator[Any]:
    """Modules and classes whose names nobody else may bind."""
    yield from (torch, torch.Tensor, torch.nn.functional, np, np.random)
    for name, kind in _KINDS:
        if (module := sys.modules.get(name)) is not None:
            yield module
            yield getattr(module, kind)


_KINDS = (
    ("estbench.draws", "Draw"),
    ("estbench.problem", "Problem"),
    ("estbench.moments", "Moments"),
    ("estbench.distributions.bernoulli", "Bernoulli"),
    ("estbench.distributions.categorical", "Categorical"),
)


@contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Let all that is printed in here go to standard error: a look at an attribute may run user code, too."""
    restore = _output()
    try:
        yield
    finally:
        restore()


def _output() -> Callable[[], None]:
    """Standard output becomes standard error, for Python and for all else in this process; either may be closed."""
    before = sys.stdout, sys.stderr
    for stream in before:
        _flush(stream)
    kept = [(number, _copy(number)) for number in (1, 2)]
    _point_at_error()
    error = _ERROR
    sys.stdout = sys.stderr = cast(Any, error)

    def restore() -> None:
        for stream in (sys.stdout, sys.stderr, error, *before):  # a plug-in may have kept any of them
            _flush(stream)
        _flush_c()
        sys.stdout, sys.stderr = before
        for number, copy in kept:
            if copy is not None:
                os.dup2(copy, number)
                os.close(copy)

    return restore


class _Bytes(io.RawIOBase):
    """Standard error without a buffer; closing it closes nothing else."""

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Any) -> int:
        """Write all of it; what nobody reads is lost."""
        with suppress(OSError):
            os.write(2, data)
        return len(data)


class _Error(io.TextIOBase):
    """The same for text. Threads may write at once, which `io.TextIOWrapper` does not survive."""

    encoding, errors = "utf-8", "backslashreplace"

    def __init__(self) -> None:
        self.buffer = _Bytes()

    def writable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """That of standard error."""
        return 2

    def write(self, text: str) -> int:
        """Write a text; its length."""
        self.buffer.write(text.encode(self.encoding, self.errors))
        return len(text)


_ERROR = _Error()
"""One for all calls: `print` in another thread borrows the stream, and crashes where that is freed meanwhile."""


def _copy(number: int) -> int | None:
    try:
        return os.dup(number)
    except OSError:  # it is closed
        return None


def _point_at_error() -> None:
    try:
        os.dup2(2, 1)
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)


def _flush(stream: Any) -> None:
    with suppress(Exception):  # closed, or a pipe that nobody reads
        stream.flush()


def _flush_c() -> None:
    with suppress(OSError, AttributeError, TypeError):
        _library_of_c().fflush(None)


@cache
def _library_of_c() -> ctypes.CDLL:
    return ctypes.CDLL(None)


def next_numbers() -> tuple[float, float, float]:
    """The next numbers of torch's, numpy's and Python's global generators: others once one of them was used."""
    return float(torch.rand((), dtype=torch.float64, device="cpu")), np.random.random(), random.random()  # noqa: S311 # no secret


def states_beside_torch() -> object:
    """The states of numpy's and Python's global generators: equal where nothing was drawn in between."""
    _, keys, *rest = np.random.get_state()
    return random.getstate(), np.asarray(keys).tobytes(), *rest


def generator(kind: str, number: int, device: torch.device) -> Any:
    """A generator of its own that is seeded with a number: "torch", "numpy", or a key of "jax"."""
    if kind == "torch":
        return torch.Generator(device).manual_seed(number)
    if kind == "numpy":
        return np.random.default_rng(number)
    return importlib.import_module("jax").random.PRNGKey(number % 2**32)
