"""What a run says where it contradicts itself, a claim, or what can be known: flags, and verdicts that are withheld."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic.dataclasses import dataclass
from scipy import stats
from torch import Tensor
from typer.testing import CliRunner

from estbench.cli.app import app
from estbench.config import load
from estbench.draws import Draw
from estbench.engine.benchmark import Benchmark
from estbench.estimators.base import Facts
from estbench.estimators.score_function.reinforce import Reinforce
from estbench.expand import expand
from estbench.intervals import Exactly, Shards, bias, disagreement, flags, verdict
from estbench.summary import rows
from tests.intervals.bounds import at_most, draws
from tests.intervals.cells import Cell, reinforce, scaled
from tests.sizes import slow


@dataclass(frozen=True)
class Longer:
    """REINFORCE times a factor, declared unbiased."""

    factor: float = 1.1

    @property
    def facts(self) -> Facts:
        """A claim that is false."""
        return Facts("score function", f=1)

    def rows(self, draw: Draw) -> Tensor:
        """factor · ĝ."""
        return self.factor * Reinforce(baseline="optimal").rows(draw)


@dataclass(frozen=True)
class TwoFaced:
    """REINFORCE, and something else where draws are weighted."""

    factor: float = 1.1

    @property
    def facts(self) -> Facts:
        """REINFORCE's."""
        return Facts("score function", f=1)

    def rows(self, draw: Draw) -> Tensor:
        """ĝ, or factor · ĝ."""
        return (1.0 if draw.weights is None else self.factor) * Reinforce(baseline="optimal").rows(draw)


HERE = "tests.summary.test_contradictions"
CONFIG: dict[str, Any] = {
    "name": "run",
    "replicates": 4000,
    "samples": [2],
    "methods": ["exact", "monte_carlo"],
    "problems": [{"objective": "sine", "distribution": "bernoulli", "logits": [-1.0, 0.5]}],
    "estimators": ["reinforce", "rloo", "leg", "ste"],
}


def frame_of(folder: Path, **changes: Any) -> pd.DataFrame:
    """The results of a run."""
    benchmark = Benchmark.of({**CONFIG, **changes}, folder)
    for _ in benchmark.run():
        pass
    return benchmark.results()


def flagged(frame: pd.DataFrame, flag: str) -> set[tuple[str, str]]:
    """(label, method) of the rows with a flag."""
    rows = frame[[flag in str(words).split() for words in frame["flags"]]]
    return set(zip(rows["label"], rows["method"], strict=True))


def test_a_claim_that_a_run_refutes(tmp_path: Path) -> None:
    """Declared unbiased and found biased: both rows are flagged, in results, in `run` and in `compare`; others not.

    The bias is 10 % of ‖g‖, 7 standard errors.
    """
    names = [*CONFIG["estimators"], f"{HERE}:Longer"]
    frame = frame_of(tmp_path / "run", estimators=names, replicates=40_000)
    own = frame[frame["label"] == f"{HERE}:Longer"]
    assert own["declared_unbiased"].all()
    assert set(own["bias_verdict"]) == {"biased"}
    assert flagged(frame, "claim_refuted") == {(f"{HERE}:Longer", "exact"), (f"{HERE}:Longer", "monte_carlo")}
    assert not frame.loc[frame["label"] == "ste", "declared_unbiased"].any()
    config = tmp_path / "c.yaml"
    config.write_text(json.dumps(CONFIG | {"estimators": names, "replicates": 40_000}))
    said = CliRunner().invoke(app, ["run", str(config), "-o", str(tmp_path / "run")])
    assert f"{HERE}:Longer: declared unbiased, and found biased (2 of 10 rows)." in said.output
    said = CliRunner().invoke(app, ["compare", str(tmp_path / "run"), "--estimators", f"ste,{HERE}:Longer"])
    assert "refuted: declared unbiased, and found biased." in " ".join(said.stdout.split())


@pytest.mark.parametrize("samples", [slow(1), 2])
def test_exact_moments_that_the_draws_exclude(tmp_path: Path, samples: int) -> None:
    """Exact moments of another estimator than what is sampled flag both rows; those that agree are left alone.

    The variances differ by 21 %, some 6 standard errors.
    """
    names = [*CONFIG["estimators"], f"{HERE}:TwoFaced", f"{HERE}:TwoFaced[factor=1]"]
    frame = frame_of(tmp_path / "run", estimators=names, samples=[samples])
    assert flagged(frame, "exact_disagrees") == {(f"{HERE}:TwoFaced", method) for method in CONFIG["methods"]}


@pytest.mark.parametrize(("factor", "refuted"), [(1.02, False), (1.1, True)])
def test_a_claim_needs_more_than_a_verdict_to_be_refuted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factor: float, refuted: bool
) -> None:
    """A row that is *biased* at p between .001 and .05 leaves the claim alone; below .001 it refutes it."""
    settings = {"estimators": [f"{HERE}:Longer[factor={factor}]"], "replicates": 20_000, "methods": ["monte_carlo"]}
    if not refuted:
        monkeypatch.setattr(rows, "adjust", lambda p: np.full_like(p, 0.01))
        monkeypatch.setattr(bias, "bound_within", lambda *_: False)
    frame = frame_of(tmp_path / "run", **settings)
    assert set(frame["bias_verdict"]) == {"biased"}
    assert bool(flagged(frame, "claim_refuted")) == refuted


def test_constants_that_differ() -> None:
    """Two constants exclude each other beyond rounding; one that was never seen to vary says nothing of a variance."""
    cell = reinforce(0.3, 1, baseline=0.45**2 * 0.3 + 0.55**2 * 0.7)
    still = scaled(cell, 0.0)
    (s,) = draws(still, 1024, 1)
    assert s.v == 0
    for mean, p in ((s.m, np.nan), (s.m + 1e-3, 0.0)):
        np.testing.assert_equal(disagreement(s, Exactly(mean, 0.0))[0], p)
    assert np.isnan(disagreement(s, Exactly(s.m, 1.0))).all()


@pytest.mark.slow
def test_rate_of_false_disagreement() -> None:
    """Right moments: p < .05 and p < .002 about as often as they say, in 1000 benchmarks; 10 % off in either is seen.

    A rate of .13 in place of .05 is caught with 99 % certainty.
    """
    trials, cell = 1000, reinforce(0.3, 3)
    assert stats.binom.sf(at_most(0.065, trials), trials, 0.13) > 0.99
    mean = cell.prob @ cell.values
    found = np.array([disagreement(s, Exactly(mean, cell.truth["variance"])) for s in draws(cell, 6400, trials)])
    for level in (0.05, 0.002):
        assert ((found < level).sum(0) <= at_most(1.3 * level, trials)).all(), (found < level).mean(0)
    (s,) = draws(cell, 1_000_000, 1)
    assert disagreement(s, Exactly(1.1 * mean, cell.truth["variance"]))[0] < 1e-6
    assert disagreement(s, Exactly(mean, 1.1 * cell.truth["variance"]))[1] < 1e-6
    assert np.isnan(disagreement(s, Exactly(1.1 * mean, 1.1 * cell.truth["variance"], mean_error=1.0, error=1.0))).all()


TAIL = Cell(
    np.concatenate((np.linspace(-1.0, 1.0, 40), [-6.0, 30.0]))[:, None],
    np.concatenate((np.full(40, 0.0247), [0.01, 0.002])),
    np.array([1.0]),
)
"""Two thirds of the variance lie where 1 estimate of 500 is."""


@pytest.mark.slow
def test_a_tail_that_was_not_seen_refutes_nothing() -> None:
    """Of 304 draws half have not seen the tail: neither moment is called wrong more often than p says, in 2000 runs.

    By the draws' own standard errors one run in twenty would be, at p < .002. Enough draws do show a wrong variance.
    """
    trials, mean = 2000, TAIL.prob @ TAIL.values
    v, fourth = TAIL.truth["variance"], float(TAIL.prob @ np.linalg.norm(TAIL.values - mean, axis=1) ** 4)
    seen = list(draws(TAIL, 304, trials))
    p, by_themselves = (
        np.array([disagreement(s, exactly) for s in seen])
        for exactly in (Exactly(mean, v, fourth=fourth), Exactly(mean, v))
    )
    for level in (0.05, 0.002):
        assert ((p < level).sum(0) <= at_most(level, trials)).all(), (level, (p < level).mean(0))
    assert (by_themselves[:, 1] < 0.002).sum() > at_most(0.002, trials)
    (s,) = draws(TAIL, 1_000_000, 1)
    assert disagreement(s, Exactly(mean, 1.3 * v, fourth=1.69 * fourth))[1] < 1e-6


def test_a_rare_class_is_flagged_whatever_was_seen(tmp_path: Path) -> None:
    """At a logit of −10 one sample in 22 000 has the class: all sampled rows are flagged, and none has a verdict."""
    problems = [CONFIG["problems"][0] | {"logits": [-10.0, 0.5]}, *CONFIG["problems"]]
    names = ["reinforce", "muprop", "leg", "rloo", "reinforce[baseline=mean]", "ste"]
    frame = frame_of(tmp_path / "run", problems=problems, estimators=names)
    rare = frame[frame["logits"] == "[-10,0.5]"]
    sampled = rare[rare["method"] == "monte_carlo"]
    assert sampled["flags"].str.contains("rare_event").all()
    assert (
        sampled["bias_verdict"]
        .str.fullmatch(r"inconclusive: about \d+ more replicates would show the rarest event")
        .all()
    )
    assert not rare.loc[rare["method"] == "exact", "flags"].str.contains("rare_event").any()
    assert len(sampled) == len(names)
    assert not frame.loc[frame["logits"] == "[-1,0.5]", "flags"].str.contains("rare_event").any()


def test_a_rare_joint_event_is_flagged_whatever_was_seen(tmp_path: Path) -> None:
    """Where f is large in a rare event of common classes, estimators that miss it are not said to be biased."""
    objective = {"name": "product", "offset": 0.5, "slope": 4.0}
    problem = CONFIG["problems"][0] | {"objective": objective, "logits": [-2.0, -2.5, -3.0]}
    frame = frame_of(tmp_path / "run", problems=[problem], estimators=["reinforce", "muprop"], seed=1, replicates=1000)
    sampled = frame[frame["method"] == "monte_carlo"]
    assert (sampled["bias_p_value"] < 1e-3).any()  # as if it were refuted
    assert sampled["flags"].str.contains("rare_event").all()
    assert not frame["flags"].str.contains("claim_refuted").any()
    assert sampled["bias_verdict"].str.contains("would show the rarest event").all()


def test_a_rare_class_silences_the_verdict() -> None:
    """Below 30 expected samples of a class neither *biased* nor *unbiased* is said, above it either is."""
    cell = reinforce(0.3, 1)
    for factor, said in ((1.0, "unbiased"), (2.0, "biased")):
        (s,) = draws(scaled(cell, factor), 10_000_000, 1)
        for rarest, quiet in ((29.9, True), (30.0, False)):
            own = Shards.of(s.moments, rarest=rarest)
            assert ("rare_event" in flags(own)) is quiet
            assert verdict(own, 1e-9).partition(":")[0] == ("inconclusive" if quiet else said)
    assert verdict(Shards.of(s.moments, rarest=1e-30), 1e-9) == "inconclusive: sampling never shows the rarest event"


@pytest.mark.parametrize(
    ("problem", "rarest"),
    [
        ({"logits": [-10.0, 0.5]}, 4.5397868702434395e-05),
        ({"logits": [0.5, 10.0]}, 4.5397868702434395e-05),
        ({"logits": [0.0]}, 0.5),
        ({"logits": [-100.0]}, 3.720075976020836e-44),
        ({"logits": 3.0, "dimensions": 4, "tie": True}, 4 * 0.04742587317756678),
        ({"distribution": "categorical", "logits": [[0.0, 0.0, 0.0], [0.0, 5.0, 0.0]]}, 0.006648354478866004),
    ],
)
def test_the_rarest_class(problem: dict[str, Any], rarest: float) -> None:
    """The smallest probability of a class of any variable; D times that where all variables share one logit."""
    config = {**CONFIG, "problems": [CONFIG["problems"][0] | problem]}
    assert expand(load(config)).problems[0].rarest == pytest.approx(rarest, rel=1e-12)
