"""Make the card of one estimator, on problems chosen here and on those of the user."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from estbench.card.bias import biased
from estbench.card.calls import calls, random, samples
from estbench.card.card import Card
from estbench.card.comparison import compared
from estbench.card.failures import NAN, failed, raised
from estbench.card.findings import Beside, Bias, Finding
from estbench.card.invariances import float32, invariances
from estbench.card.problems import Probe, probes
from estbench.card.sampling import SEED, sample
from estbench.card.setting import Setting, without_zeros
from estbench.card.subject import NAMES, Subject
from estbench.card.target import UnusableError
from estbench.card.unbiasedness import Verdict, no_bias, two_classes, verdicts
from estbench.isolation import reason
from estbench.preflight.problems import served

_FOLLOW = ("shift of f", "sum over classes", "relabelling")
"""Claims that are false where a mean is not the gradient: the cause of that is told."""


def look(
    subject: Subject,
    distributions: Sequence[str] = NAMES,
    own: Sequence[Probe] = (),
    *,
    smallest: float = 0.1,
    limit: float = 10.0,
    brief: bool = False,
    seed: int = 0,
) -> Card:
    """The card of a subject on some distributions, and on problems of the user's own.

    Sampling for the verdict on bias goes on until relative biases of `smallest` would be seen, or for `limit` seconds.
    `brief`: nothing but whether it runs and is unbiased. `seed`: of all that is drawn.
    """
    token = SEED.set(seed)
    try:
        return _looked(subject, distributions, own, smallest=smallest, limit=limit, brief=brief)
    finally:
        SEED.reset(token)


def _looked(
    subject: Subject,
    distributions: Sequence[str],
    own: Sequence[Probe],
    *,
    smallest: float,
    limit: float,
    brief: bool,
) -> Card:
    """The card of a subject, by a look at it on each distribution that it serves."""
    findings: list[Finding] = []
    biases: list[Bias] = []
    beside: list[Beside] = []
    estimator = subject.estimator
    names = [name for name in distributions if estimator.facts.unserved(name) is None]
    for name in names:
        problems = [p for p in probes(name) if served(p.problem, estimator.facts)]
        problems += [p for p in own if p.problem.distribution.name == name]
        if not problems:
            continue
        each = _Look(subject, name, problems, smallest, limit / len(names), brief)
        each.run()
        findings += each.findings
        biases += each.biases
        beside += each.beside
    return Card(subject.label, subject.form or "estimator", tuple(findings), tuple(biases), tuple(beside))


class _Look:
    """A look at one estimator on the problems of one distribution."""

    def __init__(
        self, subject: Subject, name: str, problems: Sequence[Probe], smallest: float, limit: float, brief: bool
    ) -> None:
        self.subject, self.name, self.problems = subject, name, problems
        self.smallest, self.limit, self.brief = smallest, limit, brief
        self.findings: list[Finding] = []
        self.raises = ""
        self.biases: list[Bias] = []
        self.beside: list[Beside] = []

    def add(self, *findings: Finding) -> None:
        """Keep findings; a failure that only repeats that it raises counts once."""
        for f in findings:
            again = self.raises and f.holds is False and (f.key == "raises" or self.raises in f.text)
            if not (again and f.claim == "runs"):
                kept = replace(f, holds=None, key="", text=f"not checked, because {f.text}") if again else f
                self.findings.append(replace(kept, distribution=self.name))
            if f.key == "raises" and not self.raises:
                self.raises = f.text.partition(" (")[0]

    def run(self) -> None:
        """Look at everything."""
        setting = self.start()
        if setting is None:
            return
        pairs = self.subject.pairs(self.problems, setting.sizes)
        found = verdicts(setting.estimator, pairs, smallest=self.smallest, limit=self.limit)
        self.mean(setting, found)
        if not self.brief:
            self.rest(setting, found)

    def start(self) -> Setting | None:
        """What it is looked at on; None where it does not run at all, which is then a finding."""
        try:
            setting = Setting(self.subject, self.name, self.problems, self.subject.sizes())
            x = sample(setting.role("one").problem, setting.estimator, setting.sizes[0], 8, "first")
        except Exception as error:
            self.add(raised(error))
            return None
        if not bool(x.isfinite().any()):
            self.add(Finding("runs", False, "all its estimates are NaN or infinite", NAN, "nan"))
            return None
        return without_zeros(setting)

    def mean(self, setting: Setting, found: Sequence[Verdict]) -> None:
        """Whether it runs everywhere, what the law of its samples is, and whether its mean is the gradient."""
        broken = next((v for v in found if v.broken), None)
        if broken is None:
            self.add(Finding("runs", True, f"at N = {', '.join(map(str, setting.sizes))}"))
        else:
            self.add(replace(failed(f"{broken.text} ({broken.place})"), key=broken.broken))
        if self.subject.form == "sampler":
            self.add(*_guarded(lambda: [samples(setting, setting.role("coupled"))]))
        if any(v.holds is False for v in found):
            finding, bias = biased(setting, found, brief=self.brief)
            self.biases += [bias] if bias is not None else []
            self.add(finding)
        else:
            self.add(no_bias(found))

    def rest(self, setting: Setting, found: Sequence[Verdict]) -> None:
        """What its calls do, what its estimates must not depend on, and its figures beside those of others."""
        estimator, coupled, N = setting.estimator, setting.role("coupled"), setting.sizes[-1]
        self.add(*_guarded(lambda: calls(setting, coupled, N)))
        unbiased = self.subject.unbiased and all(v.holds is not False for v in found)
        every = _guarded(lambda: invariances(estimator, coupled, N, unbiased=unbiased))
        told = any(f.claim == "unbiased" and f.cause for f in self.findings)
        self.add(*(_follows(f) if told and f.holds is False and f.claim in _FOLLOW else f for f in every))
        own = random(setting, coupled, N)
        self.add(*_guarded(lambda: [float32(estimator, coupled, N, own_random_numbers=own)]))
        if unbiased and coupled.problem.distribution.classes > 2:
            self.add(two_classes(found))
        try:
            self.beside.append(compared(setting, coupled, N))
        except Exception as error:
            text = f"with {setting.R} estimates at once it raised {reason(error)}"
            self.add(Finding("runs", False, text, key="raises"))


def _guarded(some: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """Findings; what raises ends them with one that says so."""
    try:
        yield from some()
    except Exception as error:
        yield raised(error)


def _follows(f: Finding) -> Finding:
    """What is false because the mean is not the gradient, which is told with its cause."""
    return replace(f, holds=None, noted=True, text=f"{f.text}, as the mean is not the gradient", cause="", key="")


def unusable(error: UnusableError) -> Card:
    """The card of a function that works in no form."""
    return Card(error.label, error.form or "form not known", (failed(str(error)),))
