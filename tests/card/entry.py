"""A function of the corpus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from estbench.card.subject import Form


@dataclass(frozen=True)
class Entry:
    """A function, how it is written, the variables that it is for, and the keys of causes of which one is right.

    `slow`: it can be called for one estimate at a time only, resembles another one, or takes seconds.
    """

    function: Any
    form: Form
    distribution: str
    causes: tuple[str, ...] = ()
    slow: bool = False

    @property
    def id(self) -> str:
        """A test's name."""
        return str(self.function.__name__)
