"""Make the card of one estimator, on problems chosen here and on those of the user."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from estbench.adapters import Adapted
from estbench.card.calls import calls, samples
from estbench.card.card import Card
from estbench.card.describe import described
from estbench.card.diagnosis import Cause, biased_members, fitting, per_coordinate
from estbench.card.failures import NAN, failed, raised
from estbench.card.findings import Beside, Bias, Finding
from estbench.card.invariances import float32, invariances, shifted
from estbench.card.linearity import Linearity, linearity
from estbench.card.members import (
    Member,
    draw_by_draw,
    figures,
    in_law,
    members,
    nearest,
    serves,
)
from estbench.card.observed import Observed, observe
from estbench.card.problems import Probe, linear, probes, quadratic
from estbench.card.recorded import evidence
from estbench.card.sampling import SEED, sample
from estbench.card.setting import FEWER, Setting, without_zeros
from estbench.card.subject import NAMES, Subject
from estbench.card.target import UnusableError
from estbench.card.unbiasedness import Verdict, no_bias, two_classes, verdicts
from estbench.isolation import reason
from estbench.preflight.problems import served
from estbench.preflight.unbiasedness import percent

FIGURES = 4096
"""Estimates behind each figure."""

LIKELY = 8
"""Members with about the same mean, of which one may be the one."""


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
        self.estimator = subject.estimator
        self.findings: list[Finding] = []
        self.raises = ""
        self.biases: list[Bias] = []
        self.beside: list[Beside] = []

    def add(self, *findings: Finding) -> None:
        """Keep findings; what only repeats that it raises is no failure more."""
        for f in findings:
            again = self.raises and f.holds is False and (f.key == "raises" or self.raises in f.text)
            if not (again and f.claim == "runs"):
                kept = replace(f, holds=None, key="", text=f"not checked, because {f.text}") if again else f
                self.findings.append(replace(kept, distribution=self.name))
            if f.key == "raises" and not self.raises:
                self.raises = f.text.partition(" (")[0]

    def run(self) -> None:
        """Look at everything."""
        try:
            self.setting = Setting(self.subject, self.name, self.problems, self.subject.sizes())
            x = sample(self.setting.role("one").problem, self.estimator, self.setting.sizes[0], 8, "first")
        except Exception as error:
            self.add(raised(error))
            return
        if not bool(x.isfinite().any()):
            self.add(Finding("runs", False, "all its estimates are NaN or infinite", NAN, "nan"))
            return
        self.setting = without_zeros(self.setting)
        pairs = self.subject.pairs(self.problems, self.setting.sizes)
        found = verdicts(self.estimator, pairs, smallest=self.smallest, limit=self.limit)
        broken = next((v for v in found if v.broken), None)
        if broken is None:
            self.add(Finding("runs", True, f"at N = {', '.join(map(str, self.setting.sizes))}"))
        else:
            self.add(replace(failed(f"{broken.text} ({broken.place})"), key=broken.broken))
        if self.subject.form == "sampler":
            self.add(*self.guarded(lambda: [samples(self.setting, self.setting.role("coupled"))]))
        biased = any(v.holds is False for v in found)
        if biased:
            self.tell_bias(found)
        else:
            self.add(no_bias(found))
        if self.brief:
            return
        N = self.setting.sizes[-1]
        coupled = self.setting.role("coupled")
        self.add(*self.guarded(lambda: calls(self.setting, coupled, N)))
        unbiased = self.subject.unbiased and not biased
        every = self.guarded(lambda: invariances(self.estimator, coupled, N, unbiased=unbiased))
        told = any(f.claim == "unbiased" and f.cause for f in self.findings)
        self.add(*(_follows(f) if told and f.holds is False and f.claim in _FOLLOW else f for f in every))
        own = self.subject.function is not None and self.estimator.facts.exact == "none"
        self.add(*self.guarded(lambda: [float32(self.estimator, coupled, N, own_random_numbers=own)]))
        if self.name == "categorical" and unbiased:
            self.add(two_classes(found))
        self.compare(coupled, N)

    def guarded(self, some: object) -> Iterator[Finding]:
        """Findings; what raises ends them with one that says so."""
        try:
            yield from some()  # type: ignore[operator] # a function of none
        except Exception as error:
            yield raised(error)

    # bias

    def observations(self, R: int, worst: Verdict) -> list[Observed]:
        """Means on the simplest problem, without and with a constant added to f, on others, and where it is worst."""
        one, coupled = self.setting.role("one"), self.setting.role("coupled")
        simplest = self.setting.role("two") if self.name == "categorical" else one
        sizes = [N for N in self.setting.sizes if N != 1] or self.setting.sizes
        few, many = sizes[0], sizes[-1]
        pairs = dict.fromkeys(
            [(simplest, many), (one, few), (simplest, worst.N), (worst.probe, worst.N), (coupled, many)]
        )
        found = [
            observe(p, self.estimator, few, R, "mean/simplest") for p in (simplest.problem, shifted(simplest.problem))
        ]
        for probe, N in pairs:
            if (probe, N) != (simplest, few):
                found.append(observe(probe.problem, self.estimator, N, R, f"mean/{probe.label}/{N}"))
        return found

    def tell_bias(self, found: Sequence[Verdict]) -> None:
        """Say that it is biased; without a cause where looking for one raises."""
        try:
            self.biased(found)
        except Exception as error:
            first = max((v for v in found if v.holds is False), key=lambda v: v.bias)
            holds = False if self.subject.unbiased else None
            text = f"biased: {first.text}; looking for the cause, it raised {reason(error)}"
            self.add(Finding("unbiased", holds, text, key="other", noted=holds is None))

    def biased(self, found: Sequence[Verdict]) -> None:
        """Say so, with the cause."""
        first = max((v for v in found if v.holds is False), key=lambda v: v.bias)
        R = self.setting.R
        seen = self.observations(R, first)
        cause = fitting(seen)
        known = None if cause is not None else self.known(seen)
        text = first.text
        lines = (
            []
            if self.brief
            else list(described(self.subject, self.estimator, self.setting.role("coupled"), first.N, seen, R))
        )
        straight = linearity(self.estimator, self.setting.role("one").problem, self.setting.sizes[-1])
        moved = self.moved(seen)
        lines += [moved] if moved else []
        lines += [] if cause is not None else list(straight.lines)
        key, look = _cause_of(cause, known, straight, moved)
        if key in _VAGUE and self.setting.makes_samples:
            key, look = self.evidence(first) or (key, look)
        if key == "other" and (found_ := self.per_coordinate(first.N, R)) is not None:
            cause, key, look = found_, found_.key, found_.look
        as_known = known is not None and abs(known[1] - 1) < 0.02
        if as_known and known is not None:
            lines.insert(0, f"E ĝ is that of `{known[0].label}`, which is biased")
        excused = as_known and self.subject.function is not None and not self.subject.demanded
        holds = None if not self.subject.unbiased or excused else False
        if not self.subject.unbiased and cause is not None and cause.key in _NEVER_MEANT:
            holds = False
        if not self.subject.unbiased and known is not None and not as_known:
            holds = False
        said = f"{text}; {cause.says}" if cause is not None else text
        self.biases.append(Bias(self.name, tuple(lines)))
        noted = holds is None
        self.add(Finding("unbiased", holds, f"biased: {said}", "" if noted else look, key, noted=noted))

    def known(self, seen: Sequence[Observed]) -> tuple[Member, float] | None:
        """The biased member of the catalogue that it is, times a factor. A mean alone tells little of a factor."""
        biased = [c for c in members(self.name, self.setting.temperatures) if c.estimator.facts.unbiased is False]
        for member, factor in biased_members(seen, biased)[:LIKELY]:
            if (factor == 1 and not self.subject.unbiased) or self.is_that(member, factor):
                return member, factor
        return None

    def is_that(self, member: Member, factor: float) -> bool:
        """Whether it has the law of a biased member times a factor, and not its mean alone, which others may have."""
        N, probe = self.setting.sizes[-1], self.setting.role("coupled")
        if not serves(member.estimator, probe.problem, N):
            return False
        x = sample(probe.problem, self.estimator, N, self.setting.R, "law") / factor
        return bool(in_law(x, probe.problem, N, [member]))

    def per_coordinate(self, N: int, R: int) -> Cause | None:
        """Whether each coordinate has a factor of its own, from three f at the same logits."""
        problem = self.setting.role("coupled").problem
        some = (problem, linear(problem), quadratic(problem))
        more = 2 * R if R == FEWER else 16 * R
        return per_coordinate([observe(p, self.estimator, N, more, f"factor {i}") for i, p in enumerate(some)])

    def evidence(self, worst: Verdict) -> tuple[str, str] | None:
        """What its calls tell of the cause: that they are all the same, or the samples at which f is asked."""
        if isinstance(self.estimator, Adapted) and not self.estimator.found.random:
            return "same_numbers", (
                "every call gives the same estimate: its random numbers are the same each time, as where the function "
                "seeds a generator"
            )
        probe = self.setting.role("coupled")
        return evidence(probe.problem, self.estimator, self.setting.sizes[-1]) or (
            evidence(worst.probe.problem, self.estimator, self.setting.sizes[-1]) if worst.probe is not probe else None
        )

    def moved(self, seen: Sequence[Observed]) -> str:
        """Whether a constant added to f moves the mean."""
        base, shifted_ = seen[:2]
        d = shifted_.m - base.m
        noise = (shifted_.noise**2 + base.noise**2) ** 0.5
        if bool((abs(d) > 5 * noise).any()):
            return f"it moves with a constant added to f: by {percent(float((d @ d) ** 0.5) / base.size)} of ‖g‖"
        return ""

    # comparison with the catalogue

    def compare(self, probe: Probe, N: int) -> None:
        """Figures beside members of the catalogue."""
        R = self.setting.R
        try:
            whole = members(self.name, self.setting.temperatures[:3])
            mine = figures(self.subject.label, self.estimator, probe.problem, N, R)
            others = [c for c in whole if c.estimator != self.estimator]
            near = nearest(mine, probe.problem, others, FIGURES)
            self.beside.append(Beside(self.name, probe.label, (mine, *near), self.same(probe, N, whole)))
        except Exception as error:
            self.add(Finding("runs", False, f"with {R} estimates at once it raised {reason(error)}", key="raises"))

    def same(self, probe: Probe, N: int, whole: Sequence[Member]) -> str:
        """The member that it equals."""
        own = type(self.estimator)
        others = [c for c in whole if type(c.estimator) is not own]
        if self.subject.function is None or self.subject.form == "advantages":
            label, factor = draw_by_draw(probe.problem, self.estimator, N, others)
            if label:
                return (
                    f"the same as `{label}`, draw by draw"
                    if factor == 1
                    else f"{factor:.4g} times `{label}`, draw by draw"
                )
        R = self.setting.R
        x = sample(probe.problem, self.estimator, N, R, "law")
        likely = [c for c in others if serves(c.estimator, probe.problem, N)]
        alike = in_law(x, probe.problem, N, likely)
        one = self.setting.role("one")
        if alike and one is not probe:
            y = sample(one.problem, self.estimator, N, R, "law one")
            alike = in_law(y, one.problem, N, [c for c in likely if c.label in alike])
        if not alike:
            return ""
        return f"the same as {' and '.join(f'`{a}`' for a in alike[:3])}, in law as far as {R} estimates tell"


_FOLLOW = ("shift of f", "sum over classes", "relabelling")
"""Claims that are false where a mean is not the gradient: the cause of that is told."""

_VAGUE = ("moves", "other", "known_scaled", "decay", "factor", "factor_of_n", "unrelated")
"""Causes that say little: the samples at which f is asked may say more."""

_NEVER_MEANT = ("zero", "sign", "half_sign", "double_sign", "flipped_samples", "no_noise")
"""Mistakes that nobody means to make, also where a bias is meant."""


def _follows(f: Finding) -> Finding:
    """What is false because the mean is not the gradient, which is told with its cause."""
    return replace(f, holds=None, noted=True, text=f"{f.text}, as the mean is not the gradient", cause="", key="")


def unusable(error: UnusableError) -> Card:
    """The card of a function that works in no form."""
    return Card(error.label, error.form or "form not known", (failed(str(error)),))


def _cause_of(
    cause: Cause | None, known: tuple[Member, float] | None, straight: Linearity, moved: str
) -> tuple[str, str]:
    """The key of the cause and what to look for."""
    if cause is not None:
        return cause.key, cause.look
    if straight.key:
        return straight.key, straight.look
    if known is not None:
        label, c = known[0].label, known[1]
        if abs(c - 1) < 0.02:
            return "known", f"this is what `{label}` does, which is biased"
        own = getattr(known[0].estimator, "temperature", None)
        tau = "; its temperature is that, so that 1/τ is missing in the derivative" if own == c != 1 else ""
        if c == -1:
            return "known_scaled", f"E ĝ is −1 times that of `{label}`: the sign of the derivative is wrong"
        return "known_scaled", f"E ĝ is {c:.3g} times that of `{label}`: look for a constant factor{tau}"
    if moved:
        return (
            "moves",
            "the baseline depends on the sample that it is subtracted from, or the score does not have mean 0",
        )
    return "other", "no usual mistake fits: see how the bias is described"
