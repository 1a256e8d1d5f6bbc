"""Options of an estimator that change while training: temperatures and slopes that are annealed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from estbench.config.selector import format_selector, parse_selector
from estbench.errors import UsageError


@dataclass(frozen=True)
class Schedule:
    """An estimator by its name and options, of which some go geometrically from a first to a last value.

    At epoch e of E an annealed option has the value a (b/a)^(e/E) (Chung et al. 2017 anneal the slope, Jang et al. 2017
    the temperature).
    """

    selector: str
    anneal: tuple[tuple[str, float, float], ...] = ()

    @classmethod
    def of(cls, selector: str, anneal: Mapping[str, tuple[float, float]] | None = None) -> Schedule:
        """Raises UsageError for an end that is not positive."""
        ends = tuple((option, float(a), float(b)) for option, (a, b) in (anneal or {}).items())
        for option, a, b in ends:
            if not (a > 0 and b > 0):
                raise UsageError(f"anneal: {option} goes from {a:g} to {b:g}; both must be positive")
        return cls(selector, ends)

    def at(self, epoch: float, epochs: float) -> str:
        """The selector at an epoch."""
        if not self.anneal:
            return self.selector
        name, options = parse_selector(self.selector)
        done = epoch / epochs if epochs else 0.0
        now = {option: a * (b / a) ** done for option, a, b in self.anneal}
        return format_selector(name, ({**options, **now}).items())
