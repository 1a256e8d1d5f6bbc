"""The page that says what was measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from benchmarks.coverage_bias import Bias, Rare
from benchmarks.coverage_cells import ESTIMATORS, INTERVALS, LOW, RATIOS, Row, Tally, too_few, too_many
from benchmarks.coverage_networks import EXAMPLES, METRICS, SHARDS, SIZE, InNetwork
from benchmarks.coverage_verdicts import UNBIASED
from estbench.intervals.flags import RARE as LEAST

Called = tuple[float, int, Counter[str]]

HEAD = """# Coverage of the 95 % intervals

{facts} `make coverage` writes this page anew.

Each repeat is a small benchmark with streams of its own, drawn and summed by the engine, and cut into the shards that a
run of R replicates has: {shards}.
The objective is E Σ_d (z_d − 0.45)² of Bernoulli variables, N = 1. The problem is p, times the number of variables;
*mixed × 8* has p = .5, .1, .02, .005 twice. The exact values are those of the exact engine (enumeration; quadrature at
one variable). At 8 variables those of ARM and ST-Gumbel follow from those of one variable, as the objective is a sum;
their cosine is a one-dimensional integral.

Entries: **coverage in % ± its binomial standard error / coverage among the repeats without a flag** (– if these are
fewer than 20). The ratios are paired, against REINFORCE on the same draws; flags of either side count for them.
*flags*: the share of repeats, in %, that carry each. Flags see the same draws as the interval: where nearly all repeats
are flagged, the others are those that missed the rare events, and their coverage says so.

*verdict*: **ok** if all coverages are such as 93 to 97 % would give (with a chance of 1 % or more). Otherwise it names
the interval, and

- **FAILS**: below 93 %, and at most half of the repeats carry a flag
- **flagged**: not within 93 to 97 %, and more than half of the repeats carry a flag

or, above 97 %, why that is exempt:

- **to 99**: bias² and cosine of mean, up to 99 %
- **degenerate**: variance and MSE where ‖ĝ − g‖² hardly varies (standard deviation below a quarter of its mean)
- **constant**: cosine where every estimate has the same, ±1: the interval starts there and extends inward
- **sign**: cosine of mean of one variable: the interval is one sign, or [−1, 1] while zero is not excluded
- **says nothing**: cosine of mean where most intervals are [−1, 1], as the mean is lost in noise
- **boundary**: bias² and cosine of mean beyond 99 %: the truth is the end of what is possible, 0 or ±1
- **unpaired**: ratio, where the draws hardly separate most pairs and the wider, unpaired error is used, and flagged
- **wide**: nothing of these: wider than it need be
"""

VERDICTS = """
## Verdicts on bias

{runs} runs, each with a seed of its own, of {cells} cells:
{names},
each at two variables of p = .5 and of .1, N = 2, R = 20000. Runs with any false *biased*, which may be 5 %:
**{adjusted:.1f} %** after Holm ({ok}); {plain:.1f} % without correction, which promises less.

(1 + bias) × REINFORCE with the best baseline, at two variables of p = .3, N = 1, {repeats} runs for each row, at the
number of replicates that *inconclusive* asks for and at three times that. *Unbiased within 1 %* may be said in 5 % of
runs if the bias is 1 % or more, *biased* in 5 % if there is none.

"""


BIASED = """
## Bias of biased estimators

{repeats} repeats of every cell, one estimate from the fewest samples. *size*: ‖b‖ in standard errors of the mean, 0 for
what is unbiased. *below*, *above*: repeats, in %, in which the exact bias² lies below or above its interval.
*wrong verdict*, in %: *unbiased* with δ just below the true relative bias, or, where there is no bias, *biased*
(p < .05). Both may be 5 %; the interval may hold more than 97 % where b is 0 or lies across the noise, as its direction
is not known.

"""

RARE = """
## A rare class beside an ordinary variable

Sine of two Bernoulli variables, one with a class that is expected so many times among R = 2000, the other p = .6;
reinforce, muprop and leg, {repeats} repeats. *unflagged*: repeats, in %, without any flag that the estimates themselves
raise; *biased*: of those, called *biased* (p < .05) though unbiased; *variance*: of those, the intervals of the
variance that hold. Below {least:g} a run flags `rare_event` whatever was seen, and withholds the verdict.

"""


NETWORKS = """
## Thousands of parameters in a network

{repeats} repeats of every cell: the gradient of the encoder of a variational autoencoder of digits (`vae[hidden=32]`,
6 Bernoulli variables, {examples} examples, N = 1), R = {R} in {shards} shards, at epochs of a training by the exact
gradient. The records are kept in the span of the means of the shards, as runs keep them. Exact values are those of
enumeration. *size*: ‖b‖ in standard errors of the mean. *p < .05*: repeats, in %, in which the test of no bias rejects;
where *size* is 0 they may be 5 %.

"""


def network_section(cells: Sequence[InNetwork], repeats: int) -> str:
    """The table of gradients inside a network."""
    head = ["epoch", "estimator", "P", "size", *METRICS, "p < .05", "flags", "verdict"]
    rows = []
    for c in cells:
        carried = ", ".join(f"{name} {100 * count / c.trials:.1f}" for name, count in c.flags.most_common()) or "none"
        numbers = [str(c.tallies[metric]) for metric in METRICS]
        low = f"{100 * c.low_p / c.trials:.1f}"
        rows.append(
            [f"{c.epoch}", c.estimator, f"{c.parameters}", f"{c.size:.1f}", *numbers, low, carried, c.verdict()]
        )
    return NETWORKS.format(repeats=repeats, examples=EXAMPLES, R=SHARDS * SIZE, shards=SHARDS) + table(head, rows)


def bias_section(cells: Sequence[Bias], repeats: int) -> str:
    """The table of biased and unbiased cells."""

    def percent(count: int, of: int) -> str:
        return f"{100 * count / of:.1f}"

    rows = [
        [
            c.objective,
            str(c.logits) if len(str(c.logits)) < 50 else f"{len(c.logits)} variables",
            c.estimator,
            f"{c.R}",
            f"{c.size:.1f}",
            percent(c.trials - c.below - c.above, c.trials),
            percent(c.below, c.trials),
            percent(c.above, c.trials),
            percent(c.unbiased if c.size > 0 else c.biased, c.trials),
            c.verdict(),
        ]
        for c in cells
    ]
    head = ["f", "logits", "estimator", "R", "size", "holds", "below", "above", "wrong verdict", "verdict"]
    return BIASED.format(repeats=repeats) + table(head, rows)


def rare_section(rows: Sequence[Rare], repeats: int) -> str:
    """The table of a rare class."""

    def percent(count: int, of: int) -> str:
        return f"{100 * count / of:.1f}" if of >= 20 else "–"

    return RARE.format(repeats=repeats, least=LEAST) + table(
        ["expected", "unflagged", "biased", "variance"],
        [
            [
                f"{r.expected:g}",
                percent(r.quiet, r.trials),
                percent(r.biased, r.quiet),
                percent(r.quiet - r.missed, r.quiet),
            ]
            for r in rows
        ],
    )


def page(
    facts: str, shards: str, rows: list[Row], wrong: tuple[int, int], runs: int, called: Sequence[Called], repeats: int
) -> str:
    """Head, a table for each estimator, what stands out, and the verdicts."""
    text = HEAD.format(facts=facts, shards=shards)
    head = ["p", "R", *INTERVALS, *RATIOS, "flags", "verdict"]
    for label in ESTIMATORS:
        text += f"\n## {label}\n\n" + table(head, [cells(row) for row in rows if row.estimator == label])
    adjusted, plain = (100 * count / runs for count in wrong)
    text += standing_out(rows) + VERDICTS.format(
        runs=runs,
        cells=2 * len(UNBIASED),
        names=", ".join(UNBIASED),
        adjusted=adjusted,
        plain=plain,
        ok="too many" if too_many(wrong[0], runs, 0.05) else "ok",
        repeats=repeats,
    )
    return text + table(
        ["bias", "R", "unbiased %", "biased %", "inconclusive %", "false verdicts"],
        [
            [
                f"{100 * bias:g} %",
                f"{R}",
                *(f"{100 * found[call] / repeats:.1f}" for call in ("unbiased", "biased", "inconclusive")),
                "too many" if too_many(found["unbiased" if bias else "biased"], repeats, 0.05) else "ok",
            ]
            for bias, R, found in called
        ],
    )


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)) + "\n"


def cells(row: Row) -> list[str]:
    """A row, as text."""
    trials = row.tallies["variance"].trials
    carried = ", ".join(f"{name} {100 * count / trials:.1f}" for name, count in row.flags.most_common()) or "none"
    numbers = [str(row.tallies.get(metric, "")) for metric in (*INTERVALS, *RATIOS)]
    found = {metric: tally.verdict() for metric, tally in row.tallies.items()}
    why = "; ".join(f"{metric}: {verdict}" for metric, verdict in found.items() if verdict != "ok") or "ok"
    return [row.problem, f"{row.R}", *numbers, carried, why]


def standing_out(rows: list[Row]) -> str:
    """The count of verdicts, and each interval that is short or wide."""
    every = [(f"{row.estimator}, p = {row.problem}, R = {row.R}", t) for row in rows for t in row.tallies.values()]
    count = Counter(tally.verdict() for _, tally in every)
    text = f"\n## In all\n\n{len(every)} intervals: " + ", ".join(
        f"{n} {verdict}" for verdict, n in count.most_common()
    )

    def listed(title: str, found: list[tuple[str, Tally]]) -> str:
        lines = "".join(
            f"\n- {where}, {t.metric}: {t}, unflagged {100 * t.quiet / t.trials:.0f} %" for where, t in found
        )
        return f"\n{title}:" + (f"\n{lines}\n" if found else " none.\n")

    silent = [(where, t) for where, t in every if t.quiet >= 20 and too_few(t.quiet_hits, t.quiet, LOW)]
    return (
        text
        + ".\n"
        + listed("Below 93 % and not flagged", [(w, t) for w, t in every if t.verdict() == "FAILS"])
        + listed("Above 97 % without a reason", [(w, t) for w, t in every if t.verdict() == "wide"])
        + listed("Below 93 % among the repeats without a flag", silent)
    )
