"""Estimators and objectives that do what they must not, one thing each."""

from __future__ import annotations

import asyncio
import ctypes
import os
import random
import sys
import threading
import time
from contextlib import suppress
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from estbench.draws import Draw
from estbench.estimators.base import Facts

_OWN = torch.Generator()


class Panic(BaseException):
    """As a panic of an extension in Rust is."""


class Mute(Exception):  # noqa: N818 - a name
    """An exception whose text raises."""

    def __str__(self) -> str:
        """Raises."""
        raise KeyboardInterrupt


def _print() -> None:
    print("PRINTED")  # noqa: T201 - that is the point
    os.write(1, b"WRITTEN\n")
    os.system("echo SHELL")  # noqa: S605 - likewise


def _settings() -> None:
    torch.set_default_dtype(torch.float32)
    torch.set_grad_enabled(False)
    np.seterr(all="raise")
    os.chdir("/")
    sys.path.clear()


def _catching_everything() -> None:
    while True:
        with suppress(Exception):
            time.sleep(3600)


def _raise(error: BaseException) -> None:
    raise error


WRITES: dict[str, Any] = {
    "z": lambda draw: draw.z.clamp_(0.1, 0.9),
    "fz": lambda draw: draw.fz.sub_(1.0),
    "score": lambda draw: draw.score.mul_(2),
    "noise 'main'": lambda draw: draw.noise().clamp_(0.2, 0.8),
    "logits": lambda draw: draw.distribution.logits.clamp_(-0.1, 0.1),
    "mean": lambda draw: draw.distribution.mean.mul_(1.1),
    "y": lambda draw: draw.relaxed(0.5).y.mul_(0.5),
    "optimal_baseline": lambda draw: draw.problem.optimal_baseline.mul_(2),
    "exact_gradient": lambda draw: draw.problem.exact_gradient.mul_(2),
    "the streams": lambda draw: draw._streams.uniform("main", 3, 2),
}
UNCOUNTED: dict[str, Any] = {
    "z": lambda draw: draw.z.numpy().fill(1.0),
    "fz": lambda draw: draw.fz.data.sub_(1.0),
    "fz cannot be set": lambda draw: setattr(draw, "fz", draw.fz - 1),
}


def _in_thread(draw: Draw) -> None:
    thread = threading.Thread(target=lambda: draw.z.mul_(0.5))
    draw.z  # noqa: B018 - it is there before the thread begins
    thread.start()
    thread.join()


def _deleted(draw: Draw) -> None:
    _ = draw.fz
    object.__delattr__(draw, "z")


def _through_numpy(draw: Draw) -> None:
    if draw.R > 32:  # as many as its trial has
        draw.z.numpy()[-1] = 1.0


HIDDEN: dict[str, Any] = {
    "out=": lambda draw: torch.mul(draw.z, 2.0, out=draw.z),
    "a thread": _in_thread,
    "the objective": lambda draw: object.__setattr__(draw.problem, "objective", Odd("none")),
    "z set": lambda draw: object.__setattr__(draw, "z", draw.z * 0.5),
    "z deleted": _deleted,
    "z through numpy, of many": _through_numpy,
    "torch.sigmoid": lambda _: setattr(torch, "sigmoid", torch.tanh),
}
THROWS: dict[str, Any] = {
    "KeyboardInterrupt": lambda: _raise(KeyboardInterrupt()),
    "SystemExit: 0": lambda: sys.exit(0),
    "CancelledError": lambda: _raise(asyncio.CancelledError()),
    "SystemExit: os._exit(7)": lambda: os._exit(7),
    "SystemExit: os.abort()": os.abort,
    "SystemExit: os.execv('/bin/true')": lambda: os.execv("/bin/true", ["true"]),  # noqa: S606 - it is refused
    "GeneratorExit": lambda: _raise(GeneratorExit()),
    "StopIteration": lambda: _raise(StopIteration()),
    "Panic: rust": lambda: _raise(Panic("rust")),
    "Mute: (its text is not available: KeyboardInterrupt)": lambda: _raise(Mute()),
    "BaseExceptionGroup: two (2 sub-exceptions)": lambda: _raise(BaseExceptionGroup("two", [Panic(), ValueError()])),
}
ENDS: dict[str, Any] = {
    "of SIGSEGV": lambda: ctypes.string_at(0),
    "took longer": lambda: time.sleep(3600),
    "took longer, whatever it catches": _catching_everything,
}
QUIET: dict[str, Any] = {"print": _print, "settings": _settings, "fork": os.fork}
RANDOM: dict[str, Any] = {
    "torch": lambda shape: torch.randn(shape, dtype=torch.float64),
    "numpy": lambda shape: torch.from_numpy(np.random.standard_normal(shape)),
    "python": lambda _: random.gauss(0, 1),
    "a coin": lambda _: float(random.random() < 0.5),  # noqa: S311 - no secret
}
SEEDED: dict[str, Any] = {
    "seeded": lambda shape: torch.randn(shape, generator=torch.manual_seed(0), dtype=torch.float64)
}
UNREACHED: dict[str, Any] = {
    "os": lambda shape: torch.from_numpy(np.random.default_rng().standard_normal(shape)),
    "own": lambda shape: torch.randn(shape, generator=_OWN, dtype=torch.float64),
}


@dataclass(frozen=True)
class Unruly:
    """REINFORCE, but for what it does before; `how` is a key of one of the tables above."""

    how: str = ""

    @property
    def facts(self) -> Facts:
        """It claims to depend on the samples alone."""
        return Facts("score function", f=1)

    def rows(self, draw: Draw) -> Tensor:
        """f(z) s(z), after what it must not do."""
        what, _, key = self.how.partition("/")
        if what in ("writes", "uncounted", "hidden"):
            {"writes": WRITES, "uncounted": UNCOUNTED, "hidden": HIDDEN}[what][key](draw)
        if self.how == "quiet/inference":
            with torch.inference_mode():
                return (draw.lift(draw.fz) * draw.score).clone()
        elif what in ("throws", "quiet", "ends"):
            {"throws": THROWS, "quiet": QUIET, "ends": ENDS}[what][key]()
        g = draw.lift(draw.fz) * draw.score
        return g + (RANDOM | SEEDED | UNREACHED)[key](g.shape) if what == "random" else g


@dataclass(frozen=True)
class Grasping(Unruly):
    """The same, but whoever asks it for what it does not have is interrupted."""

    def __getattr__(self, name: str) -> Any:
        """Raises."""
        raise KeyboardInterrupt


def _net() -> torch.nn.Linear:
    net = torch.nn.Linear(2, 1).double()
    net.weight.data = torch.tensor([[0.7, -0.4]], dtype=torch.float64)  # the same in every process
    return net


@dataclass(frozen=True)
class Odd:
    """Σ v², computed as no objective should; `how` says how."""

    how: str = "in place"

    on: ClassVar[str] = "values"
    distributions: ClassVar[frozenset[str]] = frozenset({"bernoulli", "categorical"})
    calls: ClassVar[list[None]] = []
    net: ClassVar[torch.nn.Linear] = _net()

    def value(self, v: Tensor) -> Any:
        """One number a row."""
        f = (v * v).sum(-1)
        if self.how == "in place":
            v -= 0.45
        elif self.how == "whitening":
            f = f - f.mean()
        elif self.how == "dropout":
            f = torch.nn.functional.dropout(f)
        elif self.how == "state":
            self.calls.append(None)
            f = f * len(self.calls)
        elif self.how == "large batches":
            f = f + (v.shape[0] > 1000)
        elif self.how == "linear":
            f = self.net(v).squeeze(-1)
        elif self.how == "steps":
            f = (v > 0.5).to(v).sum(-1)
        elif self.how == "numpy":
            f = torch.as_tensor((v.numpy() ** 2).sum(-1))
        elif self.how == "crash" and v.shape[0] > 100:
            ctypes.string_at(0)
        elif self.how == "column":
            f = f.unsqueeze(-1)
        elif self.how == "array":
            return f.numpy()
        return f
