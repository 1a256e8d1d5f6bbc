"""Findings about a function that cannot be measured."""

from __future__ import annotations

from estbench.card.findings import Finding
from estbench.isolation import reason

NAN = "a division by N − 1 at N = 1, or a logarithm of 0"


def raised(error: Exception) -> Finding:
    """The failure of a function that raised."""
    return failed(f"it raised {reason(error)}")


def failed(text: str) -> Finding:
    """A function that cannot be measured, with the cause if its text tells it."""
    if "no gradient in the logits" in text:
        look = (
            "no gradient reaches the logits: everything that depends on them is detached, or the sample has no "
            "straight-through part"
        )
        return Finding("runs", False, text, look, "zero")
    if "not finite" in text:
        return Finding("runs", False, text, NAN, "nan")
    return Finding("runs", False, text, "", "raises")
