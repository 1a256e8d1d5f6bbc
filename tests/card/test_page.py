"""docs/report-card.md says what is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "report-card.md").read_text()
BLOCKS = re.findall(r"<!-- run -->\n```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_the_code_of_the_page_runs(block: str) -> None:
    """The Python of the page runs as it stands."""
    exec(compile(block, "report-card.md", "exec"), {"__name__": "__main__"})  # noqa: S102 - it is our own


def test_all_code_of_the_page_is_run() -> None:
    """No block of Python is left out."""
    assert PAGE.count("```python") == len(BLOCKS) == 2
