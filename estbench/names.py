"""Aliases of estimators and objectives, and lists of names separated by commas.

It needs neither torch nor the catalogue, so that results can be read without them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

ALIASES: dict[str, str] = {
    "score_function": "reinforce",
    "likelihood_ratio": "reinforce",
    "bengio_centred": "reinforce[baseline=optimal]",
    "loo": "rloo",
    "loorf": "rloo",
    "vargrad": "rloo",
    "straight_through": "ste",
    "local_expectation": "leg",
    "ram": "leg",
    "go": "leg",
    "indecater": "leg",
    "gumbel_softmax": "gumbel",
    "concrete": "gumbel",
    "st_gumbel": "gumbel_st",
    "u2g": "disarm",
}
"""Other names of estimators, as selectors: a name, or a name with options."""

OBJECTIVE_ALIASES: dict[str, str] = {"parity": "product[offset=1, slope=-2]"}

_TOKEN = re.compile(r"""  "(?:[^"\\]|\\.)*" | '[^']*' | . """, re.DOTALL | re.VERBOSE)


def split(text: str) -> Iterator[str]:
    """The parts of a text between its outermost commas: `a,b[c=1,d=2]` has two. Nothing for an empty text."""
    depth = start = 0
    for token in _TOKEN.finditer(text):
        if token[0] in "[{":
            depth += 1
        elif token[0] in "]}":
            depth -= 1
        elif token[0] == "," and depth == 0:
            yield text[start : token.start()]
            start = token.end()
    if text.strip():
        yield text[start:]
