"""What a card says: findings, one claim each, and the figures of a few other estimators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from estbench.card.members import Figures

Claim = Literal[
    "runs",
    "unbiased",
    "law of the sample",
    "finite at logits ±30",
    "deterministic",
    "writes nothing",
    "pure",
    "cost",
    "shift of f",
    "relabelling",
    "sum over classes",
    "K = 2",
    "batch of logits",
    "non-contiguous logits",
    "float32 logits",
]


@dataclass(frozen=True)
class Finding:
    """One claim about an estimator: it holds, is false, or was not checked (None).

    `text` says how it was checked and what was found, or why it was not checked; `cause` what to look for in the code,
    `key` the name of that cause. `smallest`: the relative bias that would have been seen, where the claim was sampled.
    `noted`: it is false, and not meant to be true. `unchecked`: the problems and N at which it was not checked;
    `partly`: it was checked on others, and on all problems of the user's own.
    """

    claim: Claim
    holds: bool | None
    text: str
    cause: str = ""
    key: str = ""
    smallest: float = 0.0
    distribution: str = ""
    noted: bool = False
    partly: bool = False
    unchecked: tuple[str, ...] = ()

    @property
    def status(self) -> str:
        """ok, failed, not checked, or noted: false, and not meant to be true."""
        return "noted" if self.noted else {True: "ok", False: "failed", None: "not checked"}[self.holds]


@dataclass(frozen=True)
class Bias:
    """What is known of a bias on the card's problems: a line each."""

    distribution: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Beside:
    """Figures of the estimator and of members of the catalogue on one problem, and the members that it equals."""

    distribution: str
    problem: str
    figures: tuple[Figures, ...]
    same: str = ""


@dataclass(frozen=True)
class Findings:
    """All that was found about one estimator.

    target   what was looked at, as it was named
    form     how a function is written: sampler, loss, gradient or advantages; "estimator" for an estimator
    beside   its figures, and those of other estimators, on one problem each
    """

    target: str
    form: str
    findings: tuple[Finding, ...]
    biases: tuple[Bias, ...] = ()
    beside: tuple[Beside, ...] = ()

    @property
    def failures(self) -> tuple[Finding, ...]:
        """The claims that are false."""
        return tuple(f for f in self.findings if f.holds is False)

    @property
    def unmeasured(self) -> tuple[Finding, ...]:
        """Why the mean is not known: on all problems of a distribution, or on one of the user's own."""
        return tuple(f for f in self.findings if f.claim == "unbiased" and f.status == "not checked" and not f.partly)

    @property
    def measured(self) -> bool:
        """Whether the mean is known to be the gradient, or not to be.

        It is known on some problems of each distribution that is served, and on all of the user's own.
        """
        return any(f.claim == "unbiased" for f in self.findings) and not self.unmeasured

    @property
    def ok(self) -> bool:
        """Whether no claim is false, and its mean was measured. The verdict says which parts were not checked."""
        return self.measured and not self.failures
