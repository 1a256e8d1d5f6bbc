"""Text that can be printed: on one line, and without what could steer a terminal."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence


def plain(text: object) -> str:
    """Text on one line without control, format or surrogate characters (escapes, bidi marks); "" for an unknown.

    Unknown are None, NaN and pandas' NA.
    """
    unknown = text is None or (isinstance(text, float) and math.isnan(text)) or type(text).__name__ == "NAType"
    kept = (c for c in ("" if unknown else str(text)) if c.isspace() or unicodedata.category(c)[0] != "C")
    return " ".join("".join(kept).split())


def distinct(estimators: Iterable[object], options: Iterable[object], labels: Sequence[object]) -> list[str]:
    """Row by row the label, else estimator[options]; both, where one label is given to two estimators."""
    pairs = zip(map(plain, estimators), map(plain, options), strict=True)
    full = [name + (f"[{given}]" if given else "") for name, given in pairs]
    own = [plain(label) or whole for label, whole in zip(labels, full, strict=True)]
    meant: dict[str, set[str]] = {}
    for label, whole in zip(own, full, strict=True):
        meant.setdefault(label, set()).add(whole)
    return [
        f"{label} · {whole}" if len(meant[label]) > 1 and label != whole else label
        for label, whole in zip(own, full, strict=True)
    ]
