"""The settings of a run: what a config says beside its problems and estimators."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

_RECORDED = ConfigDict(extra="ignore", strict=True)
_Share = Annotated[float, Field(gt=0, lt=1)]
_Whole = Annotated[int, Field(ge=1, le=10**10)]


@dataclass(frozen=True, config=_RECORDED)
class Precision:
    """As many replicates as bring the relative standard error of a metric to `relative`, at most `max_replicates`."""

    relative: _Share
    metric: Literal["variance", "mse", "cosine"]
    max_replicates: _Whole


@dataclass(frozen=True, config=_RECORDED)
class Settings:
    """The settings of a run.

    name        its name, and that of its folder
    seed        decides all draws
    samples     the N of its cells; the largest decides the draws
    methods     exact, monte_carlo, or both
    level       of its intervals
    delta       the largest relative bias that counts as none
    replicates  of each Monte Carlo cell; None where a precision decides
    precision   how precise the cells are to be; None where their replicates are given
    timings     whether the seconds of an estimate are measured
    """

    name: str
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    samples: Annotated[tuple[_Whole, ...], Field(min_length=1)]
    methods: Annotated[tuple[Literal["exact", "monte_carlo"], ...], Field(min_length=1)]
    level: Annotated[float, Field(gt=0.5, lt=1)]
    delta: _Share
    replicates: _Whole | None = None
    precision: Precision | None = None
    timings: bool = False

    def __post_init__(self) -> None:
        """ValueError unless one of `replicates` and `precision` is given."""
        if (self.replicates is None) == (self.precision is None):
            raise ValueError("one of replicates and precision is needed, and no more")
