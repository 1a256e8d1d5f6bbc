"""Flags of results in short words, and what they mean."""

from __future__ import annotations

from collections.abc import Iterable

from estbench.intervals.flags import MEANING
from estbench.printable import plain

SHORT = {
    "constant": "const",
    "rare_event": "rare",
    "few_events": "few",
    "heavy_tail": "tail",
    "skewed_mean": "skew",
    "exact_disagrees": "≠exact",
    "claim_refuted": "refuted",
    "non_finite": "nan",
}
PAIRED = {
    "unpaired": "shared draws do not tell these two apart (not shared, or proportional): compared as if independent",
    "identical": "the two agree draw by draw",
}


def split(flags: object) -> list[str]:
    """The flags of one row, given as words with spaces or commas between."""
    return plain(flags).replace(",", " ").split()


def short(flags: object) -> str:
    """The flags of one row in short words."""
    return " ".join(SHORT.get(flag, flag) for flag in split(flags))


def meanings(rows: Iterable[object]) -> list[str]:
    """One line for every flag that some row has and that has a meaning."""
    present = {flag for flags in rows for flag in split(flags)}
    return [f"{SHORT.get(flag, flag)}: {text}." for flag, text in (MEANING | PAIRED).items() if flag in present]
