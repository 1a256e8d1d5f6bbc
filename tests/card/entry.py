"""A function of the corpus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from estbench.card.subject import Form


@dataclass(frozen=True)
class Entry:
    """A function, how it is written, the variables that it is for, and the keys of causes of which one is right."""

    function: Any
    form: Form
    distribution: str
    causes: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """A test's name."""
        return str(self.function.__name__)
