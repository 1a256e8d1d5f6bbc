"""Estimators that go wrong, and little else: every worker that meets one imports this."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Literal

import torch
from pydantic.dataclasses import dataclass

from estbench.draws import Draw
from estbench.estimators.base import Facts

HOURS = 10_000.0


@dataclass(frozen=True)
class Odd:
    """REINFORCE, but for what it does before it answers, when it is sampled; `place` is where it leaves its marks."""

    how: Literal["kill", "kill once", "loop", "sleep", "catch", "escape", "exit"] = "kill"
    place: str = ""

    @property
    def facts(self) -> Facts:
        """Nothing exact."""
        return Facts("score function", f=1, exact="none")

    def rows(self, draw: Draw) -> torch.Tensor:
        """f(z) s(z)."""
        getattr(self, f"_{self.how.replace(' ', '_')}")()
        return draw.lift(draw.fz) * draw.score

    def _kill(self) -> None:
        (Path(self.place) / str(os.getpid())).touch()
        os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does when memory runs out

    def _kill_once(self) -> None:
        if not list(Path(self.place).iterdir()):
            self._kill()

    def _loop(self) -> None:
        while True:
            pass

    def _sleep(self) -> None:
        time.sleep(HOURS)

    def _catch(self) -> None:
        end = time.monotonic() + HOURS
        while time.monotonic() < end:
            try:
                time.sleep(HOURS)
            except TimeoutError:
                continue

    def _escape(self) -> None:
        raise ValueError("\x1b[31mred\x1b]0;title\x07 [bold]loud[/bold] <script>alert(1)</script>\r\nnext \u202eenil")

    def _exit(self) -> None:
        sys.exit("gone")
