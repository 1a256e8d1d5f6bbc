"""What the values of arguments and options must be, beyond their types."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import typer

Form = Literal["sampler", "loss", "gradient", "advantages"]
"""The forms of functions (`estbench.adapters.FORMS`), here without torch."""


def place(text: str | Path) -> Path:
    """The path of a file or folder; BadParameter for an empty one, which is not the working directory."""
    if not str(text):
        raise typer.BadParameter("expected the name of a file or folder, got ''; `.` is the working directory")
    if "\0" in str(text):
        raise typer.BadParameter("a name has no NUL characters")
    return Path(text)


def is_file(path: str | Path) -> bool:
    """Whether there is a file of that name; False for names that the system refuses, such as one of 300 letters."""
    try:
        return Path(path).is_file()
    except OSError:
        return False


def finite(value: float | None) -> float | None:
    """A number that is neither infinite nor NaN; BadParameter otherwise."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"expected a finite number, got {value:g}")
    return value
