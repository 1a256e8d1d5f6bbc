"""What an estimator is looked at on: the problems of one distribution and the numbers of samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from estbench.adapters.calls import WAYS
from estbench.card.problems import Probe
from estbench.card.sampling import sample
from estbench.card.subject import Subject
from estbench.estimators.base import Estimator

UNSAID = (0.1, 0.2, 0.3, 0.4, 0.6, 0.67, 0.7, 0.75, 0.8, 0.9, 1.25, 1.5, 2.0, 3.0, 5.0)
"""Temperatures that a sampler may have without an option that says so."""

MEANS, FEWER, MOST = 4096, 2048, 2**16
"""Estimates behind each mean by which a cause is looked for: fewer where a function is called for one at a time, more
where a bias is small, and at most so many."""


@dataclass(frozen=True, eq=False)
class Setting:
    """A subject with the problems of one distribution, `name`, and the N at which it is looked at, in rising order."""

    subject: Subject
    name: str
    problems: Sequence[Probe]
    sizes: Sequence[int]

    @property
    def estimator(self) -> Estimator:
        """The subject's, the same at each use."""
        return self.subject.estimator

    def role(self, role: str) -> Probe:
        """The problem of a role, or the first one."""
        return next((p for p in self.problems if p.role == role), self.problems[0])

    @property
    def R(self) -> int:
        """The estimates behind a mean: fewer where a function is called for one at a time."""
        return FEWER if self.looped else MEANS

    @property
    def looped(self) -> bool:
        """Whether a function is called for one estimate at a time."""
        return WAYS["loop"] in self.estimator.facts.notes

    @property
    def makes_samples(self) -> bool:
        """Whether it is a function that evaluates f at samples of its own."""
        return self.subject.function is not None and self.subject.form in ("loss", "gradient")

    @property
    def temperatures(self) -> list[float]:
        """Those of the members that it is held against: its own first, or those that are usual."""
        tau = getattr(self.estimator, "temperature", None)
        if isinstance(tau, float | int):
            return [float(tau), 1.0, 0.5]
        return [1.0, 0.5, *UNSAID] if self.subject.form == "sampler" else [1.0, 0.5]


def without_zeros(setting: Setting) -> Setting:
    """Leave the smallest N out where a function returns nothing but zeros there, and not at the next one.

    It needs more samples, as a leave-one-out baseline does, and does not say so.
    """
    if setting.subject.function is None or len(setting.sizes) < 2:
        return setting
    problem = setting.role("coupled").problem
    try:
        few = [sample(problem, setting.estimator, N, 32, "zeros") for N in setting.sizes[:2]]
    except Exception:  # the verdict on the mean says so
        return setting
    if float(few[0].abs().max()) == 0.0 and float(few[1].abs().max()) > 0.0:
        return replace(setting, sizes=setting.sizes[1:])
    return setting
