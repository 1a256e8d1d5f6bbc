"""Steps of a check. Those that call code of users are done in another process, as such code may end or block it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, cast

from estbench.engine.limit import limited
from estbench.engine.pool import Pool
from estbench.engine.tasks import Record, reason

Tell = Callable[[str], None]
"""Is called with what is checked next."""


@dataclass(frozen=True)
class NoResult:
    """Why a step of a check gave no result; `slow`: it was given up because it took too long."""

    reason: str
    slow: bool = False


@dataclass(frozen=True)
class Step:
    """A function and its arguments, which can be sent to another process. `user_code`: it calls code of users."""

    what: str
    user_code: bool
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    timeout: float | None = None

    def pieces(self) -> list[Step]:
        """None: it is one piece."""
        return []

    def cells(self) -> list[str]:
        """One thing that fails as a whole."""
        return [self.what]

    def perform(self) -> list[Record]:
        """One record: what the function returned, or `NoResult`."""
        try:
            with limited(self.timeout):
                seen = self.function(*self.arguments)
        except Exception as error:
            seen = NoResult(reason(error), isinstance(error, TimeoutError))
        return [{"kind": "seen", "key": self.what, "seen": seen}]


class Runner:
    """Does steps in order: here, or, if code of users is to be kept `apart`, those that call it in a worker process.

    `timeout`: seconds after which a step that calls code of users is given up. `tell` is told of each as it begins.
    """

    def __init__(self, tell: Tell, *, apart: bool, timeout: float | None) -> None:
        self._tell, self._timeout = tell, timeout
        self._pool = Pool(1) if apart else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.__exit__(*error)

    def __call__(self, steps: Iterable[Step]) -> list[Any]:
        """What each step has seen, or `NoResult`; what goes wrong in code of our own is raised."""
        each = list(steps)
        user_code = [replace(step, timeout=self._timeout) for step in each if step.user_code]
        found = {id(step): record for step, (record,) in self._execute(user_code)}
        others = iter([found[id(step)] for step in user_code])
        return [_seen(next(others)) if step.user_code else self._own(step) for step in each]

    def _execute(self, steps: Sequence[Step]) -> Iterator[tuple[Step, list[Record]]]:
        if self._pool is None:
            return ((step, step.perform()) for step in self._told(steps))
        done: Any = self._pool(cast(Any, self._told(steps)))  # it does whatever can be performed
        found: Iterator[tuple[Step, list[Record]]] = done
        return found

    def _told(self, steps: Iterable[Step]) -> Iterator[Step]:
        for step in steps:
            self._tell(step.what)
            yield step

    def _own(self, step: Step) -> Any:
        self._tell(step.what)
        return step.function(*step.arguments)


def _seen(record: Record) -> Any:
    return record["seen"] if record["kind"] == "seen" else NoResult(record["reason"])
