"""What can be made of results, by name: kinds of figures, their file formats, and formats of tables."""

from __future__ import annotations

from typing import Literal

FIGURES = {
    "overview": "bias², variance, MSE and cosine of every estimator",
    "temperature": "bias² and variance against temperature",
    "samples": "variance and MSE against the number of samples N",
    "cosine": "cosine against temperature and N",
}
"""The kinds of figures, and what each shows of a problem."""

IN_REPORT = ("overview", "temperature", "samples")

FigureFormat = Literal["png", "svg", "pdf"]
TableFormat = Literal["table", "csv", "json", "markdown", "latex", "parquet"]
