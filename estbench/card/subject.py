"""What a card is about: an estimator, or a function that is made into one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from estbench.adapters import Adapted
from estbench.card.problems import Probe
from estbench.estimators.base import Estimator, RowEstimator

Form = Literal["sampler", "loss", "gradient", "advantages"]

NAMES = ("bernoulli", "categorical")


@dataclass(frozen=True, eq=False)
class Subject:
    """An estimator with its label; `build` makes a new instance.

    `form` and `function`: how the function is written that it was made of, and itself; None for an estimator.
    `unbiased`: whether it is meant to be unbiased; `demanded`: even where it equals a biased estimator of the
    catalogue. `samples`: those of one call, where it is said.
    """

    label: str
    build: Callable[[], Estimator]
    form: Form | None
    function: Any
    unbiased: bool
    samples: int | None = None
    demanded: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def estimator(self) -> Estimator:
        """One instance, the same at each use: what it found out about a function is kept with it."""
        return self.build()

    def sizes(self) -> list[int]:
        """The numbers of samples at which it is looked at: the smallest, the next one, and one that is larger.

        Of a function they are among those at which it was found to work, where it is told how many samples to use.
        """
        facts = self.estimator.facts
        if isinstance(self.estimator, RowEstimator):
            return [max(facts.min_samples, 2)]
        step = facts.multiple
        first = -(-facts.min_samples // step) * step
        if self.samples is not None:
            return sorted({first, max(first, self.samples)})
        if self.form in ("sampler", "loss") and not self.takes_samples:
            return [first]
        if isinstance(self.estimator, Adapted):
            works = [n for n in self.estimator.found.sizes if n >= first and n % step == 0]
            return sorted({works[min(i, len(works) - 1)] for i in (0, 1, 3)}) if works else [first]
        return sorted({first, first + step, first + 3 * step})

    @property
    def takes_samples(self) -> bool:
        """Whether a function is told how many samples to use."""
        if self.function is None or self.form == "advantages":
            return True
        return isinstance(self.estimator, Adapted) and self.estimator.function.parameters.samples is not None

    @property
    def couples_samples(self) -> bool:
        """Whether an estimate is not the mean of independent ones, so that its mean may depend on N."""
        if self.function is None or self.form == "advantages":
            return not isinstance(self.estimator, RowEstimator)
        return self.samples is None and self.form != "sampler" and self.takes_samples

    def pairs(self, probes: Sequence[Probe], sizes: Sequence[int]) -> list[tuple[Probe, int]]:
        """The problems and N of the tests of its mean, N of `sizes`.

        A function that is sampled is looked at with one variable at every N, and elsewhere at the largest N and, on the
        last of the problems, at the smallest one: each costs many calls.
        """
        if self.function is None or self.form == "advantages":
            return [(probe, N) for probe in probes for N in sizes]
        found = []
        for i, probe in enumerate(probes):
            every = sizes if i == 0 else sizes[:1] if i == len(probes) - 1 else sizes[-1:]
            found += [(probe, N) for N in every]
        return found
