"""The page on Python: its code runs, and says what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "python.md"


def test_the_code_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All blocks, one after the other in one session, without a warning and without a file."""
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) >= 5
    scope: dict[str, object] = {"__name__": "__main__"}
    for block in blocks:
        exec(compile(block, PAGE.name, "exec"), scope)  # noqa: S102 - it is our page
    said = capsys.readouterr().out
    assert "Sequential is in training mode, with 2 (Dropout): call .eval() on it first" in said
    assert "budget of 4 evaluations" in said
    assert "enumeration" in said
    assert not list(tmp_path.iterdir())
