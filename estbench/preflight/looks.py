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
class Lost:
    """Why a step of a check gave no result; `slow`: it was given up because it took too long."""

    reason: str
    slow: bool = False


@dataclass(frozen=True)
class Look:
    """A function and its arguments, which can be sent to another process. `user_code`: it calls code of users."""

    what: str
    user_code: bool
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    timeout: float | None = None

    def pieces(self) -> list[Look]:
        """None: it is one piece."""
        return []

    def cells(self) -> list[str]:
        """One thing that fails as a whole."""
        return [self.what]

    def perform(self) -> list[Record]:
        """One record: what the function returned, or `Lost`."""
        try:
            with limited(self.timeout):
                seen = self.function(*self.arguments)
        except Exception as error:
            seen = Lost(reason(error), isinstance(error, TimeoutError))
        return [{"kind": "seen", "key": self.what, "seen": seen}]


class Looking:
    """Does looks in order: here, or, if code of users is to be kept `apart`, those that ask it in a worker process.

    `timeout`: seconds after which a look that asks code of users is given up. `tell` is told of each as it begins.
    """

    def __init__(self, tell: Tell, *, apart: bool, timeout: float | None) -> None:
        self._tell, self._timeout = tell, timeout
        self._pool = Pool(1) if apart else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.__exit__(*error)

    def __call__(self, looks: Iterable[Look]) -> list[Any]:
        """What each look has seen, or `Lost`; what goes wrong in code of our own is raised."""
        each = list(looks)
        user_code = [replace(look, timeout=self._timeout) for look in each if look.user_code]
        found = {id(look): record for look, (record,) in self._execute(user_code)}
        others = iter([found[id(look)] for look in user_code])
        return [_seen(next(others)) if look.user_code else self._own(look) for look in each]

    def _execute(self, looks: Sequence[Look]) -> Iterator[tuple[Look, list[Record]]]:
        if self._pool is None:
            return ((look, look.perform()) for look in self._told(looks))
        done: Any = self._pool(cast(Any, self._told(looks)))  # it does whatever can be performed
        found: Iterator[tuple[Look, list[Record]]] = done
        return found

    def _told(self, looks: Iterable[Look]) -> Iterator[Look]:
        for look in looks:
            self._tell(look.what)
            yield look

    def _own(self, look: Look) -> Any:
        self._tell(look.what)
        return look.function(*look.arguments)


def _seen(record: Record) -> Any:
    return record["seen"] if record["kind"] == "seen" else Lost(record["reason"])
