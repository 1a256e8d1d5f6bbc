"""docs/report-card.md says what is so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

PAGE = (Path(__file__).parents[2] / "docs" / "report-card.md").read_text()
BLOCKS = re.findall(r"<!-- run -->\n```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_card_of_the_page_is_as_printed() -> None:
    """The first block runs as it stands, and its card begins as the page shows it."""
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(BLOCKS[0], "report-card.md", "exec"), names)  # noqa: S102 - it is our own
    shown, *_ = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    assert names["card"].to_text(96).startswith(shown)


def test_the_assertions_of_the_page_hold() -> None:
    """The second block runs as it stands."""
    exec(compile(BLOCKS[1], "report-card.md", "exec"), {"__name__": "__main__"})  # noqa: S102 - it is our own


def test_all_code_of_the_page_is_run() -> None:
    """No block of Python is left out."""
    assert PAGE.count("```python") == len(BLOCKS) == 2
