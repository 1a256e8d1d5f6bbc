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

OF_TRAININGS = {
    "checkpoints": "bias², variance and cosine of a network or of logits against the epoch or step of the training",
    "losses": "losses of networks or of logits against the epoch or step, and at the end of the training",
    "angle": "cosine of coarse gradients against the angle of w and w*",
}
"""More kinds, which show what comes of a training: all its checkpoints together."""

IN_REPORT = ("overview", "temperature", "samples", "checkpoints", "losses", "angle")

FigureFormat = Literal["png", "svg", "pdf"]
TableFormat = Literal["table", "csv", "json", "markdown", "latex", "parquet"]
