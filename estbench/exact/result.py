"""What exact moments are: a packed record of them, how they were found, and how exactly; or why there are none."""

from __future__ import annotations

from dataclasses import dataclass

from estbench.moments import Floats, first, second


class Unavailable(Exception):  # noqa: N818 - it is an answer, not a failure
    """Why exact moments cannot be had for a cell."""


@dataclass(frozen=True)
class Exact:
    """Exact moments of an estimator at N samples: one packed record of total weight 1, how it was found, and its error.

    `error` is the larger relative change of bias and variance when the nodes were last doubled, `mean_error` the change
    of the mean, ‖·‖; both are 0 for enumeration.
    What the record cannot say (cosines of a mean of rows known only by their moments) is NaN.
    """

    packed: Floats
    route: str
    error: float
    mean_error: float = 0.0

    @property
    def mean(self) -> Floats:
        """E ĝ, [P]."""
        found: Floats = (first(self.packed) / self.packed[:, :1])[0]
        return found

    @property
    def variance(self) -> Floats:
        """Var ĝ of each coordinate, [P]."""
        found: Floats = (second(self.packed) / self.packed[:, :1])[0]
        return found
