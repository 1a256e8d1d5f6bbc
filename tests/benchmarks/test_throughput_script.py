"""The script that measures speed: every part at its smallest, what a bar means, and that scripts and ours agree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
import torch

from benchmarks import cells, commands, growth, peers, throughput
from benchmarks.scripts import RIVALS, Rival
from benchmarks.stopwatch import Bar, Section, Stopwatch, spread
from estbench import catalogue
from estbench.estimate import estimates
from tests.sizes import at_whole_size

BRIEF = Stopwatch(turns=2, seconds=0.0)


@pytest.fixture(autouse=True)
def _float32() -> Iterator[None]:
    """Scripts are run at both default dtypes: leave torch's as it was."""
    before = torch.get_default_dtype()
    yield
    torch.set_default_dtype(before)


def test_a_bar_is_met_on_its_side() -> None:
    """A bar is an upper limit, or with `least` a lower one; meeting it exactly is enough."""
    assert [Bar("", value, 2.0).met for value in (1.9, 2.0, 2.1)] == [True, True, False]
    assert [Bar("", value, 2.0, least=True).met for value in (1.9, 2.0, 2.1)] == [False, True, True]
    assert str(Bar("x", 3.0, 2.0)) == "x: 3, at most 2: **missed**"


def test_a_spread_is_the_median_and_the_quartiles() -> None:
    """Of 1 … 5 the median is 3 and the quartiles are 2 and 4; dividing divides all three."""
    assert str(spread([5, 4, 3, 2, 1]) / 2) == "1.50 (1.00–2.00)"


def test_ratios_are_over_the_yardstick(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that acts move on, what takes 6 seconds is 3 times a yardstick of 2, every turn."""
    clock = [0.0]
    monkeypatch.setattr("benchmarks.stopwatch.time.thread_time", lambda: clock[0])

    def act(seconds: float) -> None:
        clock[0] += seconds

    assert BRIEF.ratio(lambda: act(6.0), lambda: act(2.0)) == (3.0, 3.0, 3.0)
    assert BRIEF.time(lambda: act(5.0)) == 5.0


@pytest.mark.slow
def test_every_estimator_has_its_cells() -> None:
    """All estimators of the catalogue are measured, on every problem that they serve, each with a bar of its own."""
    benches = {label: cells.Bench(shape, 0, BRIEF, block=2**10) for label, shape in cells.SHAPES.items()}
    lines, bars = cells.section(benches)
    assert len(lines) == 2 + 1 + len(catalogue.ESTIMATORS) + 1  # header, moments, estimators, sweep
    served = sum(line.count("(") for line in lines)
    assert len(bars) == served == len({bar.what for bar in bars})
    limits = {bar.what: bar.limit for bar in bars}
    assert limits["reinforce, D=8"] == 2.5
    assert (limits["gumbel, D=1"], limits["gumbel, D=8"]) == (5.0, 4.0)
    assert limits["gumbel_rao, D=8"] == 25 * 11  # z, and ten redraws


@pytest.mark.parametrize("rival", RIVALS, ids=lambda rival: f"{rival.label}, {rival.shape}")
def test_scripts_and_ours_have_the_same_mean(rival: Rival) -> None:
    """The mean of a script's 2^12 gradients is that of ours, coordinate by coordinate, within 6 standard errors.

    At most 128 coordinates a script, 11 scripts: a false alarm of 3e-6 in all. It would detect a bias of 10 standard
    errors, .16 standard deviations of one gradient, with near certainty.
    """
    n = 2**6 if rival.loop else 2**12
    bench = cells.Bench(rival.shape, 0, BRIEF, block=n * len(torch.zeros(rival.shape).flatten()))
    estimator = catalogue.build(catalogue.ESTIMATORS[rival.name], {})
    (ours,) = estimates(estimator, bench.draw(), [1])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.set_default_dtype(torch.float64)
        theirs = rival.script(bench.problem.distribution.logits, n)
    assert theirs.shape == ours.shape
    error = ((theirs.var(0) + ours.var(0)) / n).sqrt()
    assert bool(((theirs.mean(0) - ours.mean(0)).abs() <= 6 * error).all())


@pytest.mark.slow
def test_the_page_names_what_is_missed() -> None:
    """Small parts make a page: the count of bars, and every missed bar in a list at the end."""
    measured: dict[str, Section] = {
        "replicates": growth.replicates(0, BRIEF, (2000, 4000, 8000)),
        "samples": growth.samples(0, BRIEF, largest=4, replicates=64),
        "peers": peers.section(0, BRIEF, batches=(4,), rivals=RIVALS[:1]),
    }
    assert [(bar.least, bar.limit) for bar in measured["peers"][1]][:1] == [(True, 10.0)]
    measured["memory"] = (["a line"], [Bar("too much", 2.0, 1.0)])
    text = throughput.page(measured, 7, BRIEF, 0.0)
    bars = [bar for _, found in measured.values() for bar in found]
    assert f"{sum(bar.met for bar in bars)} of {len(bars)} bars" in text
    assert "seed 7" in text
    missed = text.split("## Bars missed")[1]
    assert "- too much: 2, at most 1: **missed**" in missed
    assert missed.count("**missed**") == sum(not bar.met for bar in bars)


@at_whole_size
@pytest.mark.slow
def test_memory_is_above_the_imports() -> None:
    """The peak of a small run is a few megabytes above its imports, in a process of its own."""
    _, (peak, grown) = growth.memory(0, (1000, 2000))
    assert 0 < peak.value < 300
    assert grown.value < peak.value


def test_commands_are_measured_against_importing_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command of 3 s is 1.5 times the imports of 1 s and 3 s about it; the run that others read comes first."""
    seconds = {"torch": iter([9.0, 1.0, 3.0, 1.0]), "run": iter([9.0]), "list": iter([3.0, 3.0])}
    begun: list[str] = []

    def cost(command: Sequence[str]) -> growth.Cost:
        what = "torch" if command == commands.TORCH else command[3]
        begun.append(what)
        return growth.Cost(0.0, next(seconds[what]))

    monkeypatch.setattr(commands, "cost", cost)
    lines, (bar,) = commands.section(turns=1, bars={"list": 0.5})
    assert (bar.value, bar.met) == (1.5, False)
    assert "| `estbench list` | 1.50 (1.50–1.50) | 0.5 |" in lines
    assert begun == ["run", "torch", "torch", "list", "torch"]


def test_an_accelerator_is_measured_where_there_is_one() -> None:
    """Both devices get a line; where there is no GPU, that is said."""
    lines, bars = growth.accelerator(0, device="cpu", replicates=10**5)
    assert [line.split(":")[0] for line in lines] == ["- cpu", "- cpu"]
    assert not bars
    if not torch.cuda.is_available():
        assert growth.accelerator(0) == (["No GPU was at hand: nothing was measured on one."], [])
