"""`estbench.measure`: the numbers of `estbench run`, for objects of a session, with nothing written."""

from __future__ import annotations

import subprocess
import sys
import threading
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from pandas.testing import assert_frame_equal

import estbench
from estbench import Bernoulli, Categorical, measure
from estbench.columns import names
from estbench.engine.benchmark import Benchmark
from estbench.errors import UsageError
from estbench.estimators.score_function.reinforce import Reinforce
from estbench.isolation import states_beside_torch
from tests.api.estimators import Fails, Noisy, Plain, Scaled, Warm, with_torch
from tests.api.functions import (
    LOGITS,
    ROWS,
    Called,
    Counting,
    Energy,
    Weighted,
    coupled,
    coupled_numpy,
    network,
    of_classes,
)
from tests.coupled import Chain
from tests.sizes import slow

QUICK: dict[str, Any] = {"replicates": 64, "methods": "monte_carlo"}


def exact_variance(logits: list[float], f: Any, scale: float = 1.0) -> float:
    """tr Cov of scale f(z) s(z), one sample, as a sum over the states of Bernoulli variables."""
    p = torch.sigmoid(torch.tensor(logits, dtype=torch.float64))
    z = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * len(logits))
    P = torch.where(z == 1, p, 1 - p).prod(-1, keepdim=True)
    g = scale * f(z)[:, None] * (z - p)
    return float((P * g**2).sum() - ((P * g).sum(0) ** 2).sum())


def test_columns_and_numbers() -> None:
    """One row per cell with the columns of results.csv; exact rows are sums over the states."""
    frame = measure(["reinforce", "rloo"], coupled, Bernoulli(LOGITS), samples=[1, 4], replicates=512)
    assert list(frame.columns) == names()
    exact = frame[(frame["method"] == "exact") & (frame["estimator"] == "reinforce")].set_index("samples")
    for N in (1, 4):
        assert exact.loc[N, "variance"] == pytest.approx(exact_variance(LOGITS, coupled) / N, rel=1e-10)
    norm = float(estbench.exact_gradient(coupled, Bernoulli(LOGITS)).norm())
    assert frame["true_norm"].dropna().unique() == pytest.approx([norm], rel=1e-12)
    sampled = frame[(frame["method"] == "monte_carlo") & (frame["status"] == "ok")]
    assert (sampled["variance_low"] < sampled["variance_high"]).all()
    assert set(sampled["bias_verdict"].str.partition(":")[0]) <= {"unbiased", "biased", "inconclusive"}
    assert frame.loc[frame["status"] == "skipped", "reason"].unique() == ["needs N ≥ 2"]


def test_a_function_may_use_the_memory_of_its_result_again() -> None:
    """As with `out=`: an estimate has each value as it was returned, and not two of the later one."""
    buffers: dict[int, torch.Tensor] = {}

    def f(z: torch.Tensor) -> torch.Tensor:
        return torch.exp(z.sum(-1), out=buffers.setdefault(len(z), torch.empty_like(z[:, 0])))

    row = measure("disarm", f, Bernoulli([0.5, -1.0]), **QUICK).iloc[0]
    assert row["status"] == "ok"
    assert row["variance_low"] > 0


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_numbers_of_a_run(tmp_path: Path, jobs: int) -> None:
    """The same problem, seed and replicates give what `estbench run` gives, in every bit."""
    selectors = ["rloo", "gumbel", "rebar", "reinforce[baseline=optimal]"]
    shared: dict[str, Any] = {"samples": [2, 4], "temperatures": [0.5, 1.0], "replicates": 256}
    problem = {"objective": "quadratic[target=0.3]", "distribution": "bernoulli", "logits": LOGITS}
    config = {"name": "run", "seed": 7, "estimators": selectors, "problems": [problem], **shared}
    benchmark = Benchmark.of(config, tmp_path / "run")
    for _ in benchmark.run():
        pass
    given = [*selectors[:3], Reinforce(baseline="optimal")]
    frame = measure(given, "quadratic[target=0.3]", Bernoulli(LOGITS), seed=7, jobs=jobs, **shared)
    assert_frame_equal(pd.DataFrame(frame), benchmark.results(), check_exact=True)


F_KINDS: dict[str, tuple[Any, Any]] = {
    "function": (coupled, coupled),
    "lambda": (lambda z: z.prod(-1), lambda z: z.prod(-1)),
    "method": (Energy(2.0).of, Energy(2.0).of),
    "numpy": (coupled_numpy, coupled),
    "float32": (network(3), lambda z: network(3)(z.float()).double().squeeze(-1).detach()),
}


@pytest.mark.parametrize("kind", F_KINDS)
def test_any_f(kind: str) -> None:
    """Any callable on samples is measured as it is."""
    f, plain = F_KINDS[kind]
    (row,) = measure("reinforce", f, Bernoulli(LOGITS), methods="exact").to_dict("records")
    tolerance = 1e-5 if kind == "float32" else 1e-10
    assert row["variance"] == pytest.approx(exact_variance(LOGITS, plain), rel=tolerance)


def test_what_is_cast_is_said() -> None:
    """The column of the objective says what f is given where that is not float64 samples as tensors."""
    shown = {
        kind: measure("reinforce", F_KINDS[kind][0], Bernoulli(LOGITS), **QUICK)["objective"].iloc[0]
        for kind in ("function", "numpy", "float32")
    }
    assert shown["function"] == "tests.api.functions:coupled"
    assert shown["numpy"].endswith("[library=numpy]")
    assert shown["float32"].endswith("Sequential[dtype=float32]")
    of_values = measure("ste", lambda v: (v - 0.45).square().sum(-1), Categorical(ROWS), **QUICK)
    assert of_values["objective"].iloc[0].endswith("[on=values]")


def test_f_without_a_gradient() -> None:
    """A function of numpy arrays has no gradient: estimators that ask for it fail, and say so; others do not."""
    frame = measure(["reinforce", "ste"], coupled_numpy, Bernoulli(LOGITS), **QUICK).set_index("label")
    assert frame.loc["reinforce", "status"] == "ok"
    assert "no gradient" in str(frame.loc["ste", "reason"])


def test_one_hot_samples() -> None:
    """f of one-hot samples [n, D, K]."""
    frame = measure(["reinforce", "gumbel[temperature=0.5]"], of_classes, Categorical(ROWS), **QUICK)
    assert (frame["status"] == "ok").all()
    assert frame["categories"].unique() == [3]


def test_estimators_of_any_kind() -> None:
    """Instances, classes and functions, each by a name of its own; what is called the same is numbered."""
    first = lambda logits, f, samples: 1 * with_torch(logits, f, samples)  # noqa: E731 - as users write it
    second = lambda logits, f, samples: 2 * with_torch(logits, f, samples)  # noqa: E731 - likewise
    given = [Plain, Plain(), Scaled, Scaled(2.0), Warm, Warm(3.0), with_torch, first, second]
    frame = measure(given, coupled, Bernoulli(LOGITS), temperatures=[0.5, 1], **QUICK)
    assert (frame["status"] == "ok").all()
    labels = ["Plain", "Plain #2", "Scaled", "Scaled[scale=2]", "Warm", "with_torch", "<lambda>", "<lambda> #2"]
    assert list(dict.fromkeys(frame["label"])) == labels
    assert sorted(frame.loc[frame["label"] == "Warm", "temperature"]) == [0.5, 1.0, 3.0]
    one = frame.drop_duplicates("label").set_index("label")["variance"]
    assert one["Scaled[scale=2]"] == pytest.approx(4 * one["Plain"])
    assert one["<lambda> #2"] == pytest.approx(4 * one["<lambda>"])  # they read the same draws


def test_the_same_for_any_number_of_processes() -> None:
    """Functions and classes that no import leads to, with random numbers of torch's: the same bits with 1 and 3."""
    scope: dict[str, Any] = {"torch": torch, "with_torch": with_torch, "coupled": coupled}
    exec(  # noqa: S102 - as a notebook does
        "def f(z): return coupled(z)\ndef mine(logits, f, samples): return with_torch(logits, f, samples)", scope
    )
    one, three = (
        measure([scope["mine"], Scaled(2.0)], scope["f"], Bernoulli(LOGITS), samples=[1, 3], replicates=96, jobs=jobs)
        for jobs in (1, 3)
    )
    assert_frame_equal(one, three, check_exact=True)


@cache
def ste_and_relax() -> pd.DataFrame:
    """What is measured where nothing is switched off."""
    return measure(["ste", "relax"], coupled, Bernoulli(LOGITS), **QUICK)


@pytest.mark.parametrize("context", [torch.no_grad, slow(torch.inference_mode)])
def test_whatever_the_caller_is_in(context: Any) -> None:
    """Estimators have gradients though the caller has switched them off, also of logits that were made so."""
    expected = ste_and_relax()
    with context():
        found = measure(["ste", "relax"], coupled, Bernoulli(torch.tensor(LOGITS, dtype=torch.float64)), **QUICK)
        gradient = estbench.exact_gradient("quadratic", Bernoulli(torch.tensor(LOGITS, dtype=torch.float64)))
    assert_frame_equal(found, expected)
    assert torch.equal(gradient, estbench.exact_gradient("quadratic", Bernoulli(LOGITS)))


def test_what_cannot_be_sent() -> None:
    """What another process cannot have is refused with a remedy; one process measures it."""
    lock = threading.Lock()
    f = lambda z: coupled(z) * (1 - lock.locked())  # noqa: E731 - as users write it
    with pytest.raises(UsageError, match=r"cannot go to another process .*jobs=1"):
        measure("reinforce", f, Bernoulli(LOGITS), jobs=2, **QUICK)
    assert measure("reinforce", f, Bernoulli(LOGITS), **QUICK)["status"].tolist() == ["ok"]


def test_redefinition() -> None:
    """A function or class that is defined anew under its name gives the new numbers, as in a notebook."""
    scope: dict[str, Any] = {"__name__": "__main__", "dataclass": __import__("dataclasses").dataclass}
    scope |= {"Scaled": Scaled, "coupled": coupled, "ClassVar": None}
    f = "def f(z): return {} * coupled(z)"
    kind = "@dataclass(frozen=True)\nclass Mine(Scaled):\n    scale: float = {}"
    variances = []
    for factor, scale in ((1.0, 1.0), (2.0, 1.0), (2.0, 3.0)):
        exec(f.format(factor), scope)  # noqa: S102 - as a notebook does
        exec(kind.format(scale), scope)  # noqa: S102 - likewise
        frame = measure(scope["Mine"], scope["f"], Bernoulli(LOGITS), methods="exact")
        assert frame["label"].tolist() == ["Mine"]
        variances.append(frame["variance"].item())
    expected = exact_variance(LOGITS, coupled)
    assert variances == pytest.approx([expected, 4 * expected, 36 * expected], rel=1e-10)


def test_a_closure_that_changes() -> None:
    """What f reads when it is called counts, not what it read in an earlier call of measure."""
    scale = torch.ones((), dtype=torch.float64)
    f = lambda z: scale * coupled(z)  # noqa: E731 - as users write it
    before = measure("reinforce", f, Bernoulli(LOGITS), methods="exact")["variance"].item()
    scale.mul_(2)
    after = measure("reinforce", f, Bernoulli(LOGITS), methods="exact")["variance"].item()
    assert after == pytest.approx(4 * before, rel=1e-10)


def test_several_problems() -> None:
    """One f on several distributions, several on one, or in pairs."""
    small, large = Bernoulli([0.0]), Bernoulli(LOGITS)
    given: list[tuple[Any, Any]] = [
        (coupled, [small, large]), ([coupled, "quadratic"], large), ([coupled, "quadratic"], [small, large]),
    ]  # fmt: skip
    for fs, distributions in given:
        assert measure("reinforce", fs, distributions, **QUICK)["problem"].nunique() == 2
    with pytest.raises(UsageError, match="pairs 0 and 1 are the same problem"):
        measure("reinforce", [coupled, coupled], large, **QUICK)
    with pytest.raises(UsageError, match="lists of one length, got 2 and 3"):
        measure("reinforce", [coupled, coupled], [small, large, small], **QUICK)


@pytest.mark.parametrize("kind", ["lambdas", "instances", "dataclasses", "methods", "files"])
def test_several_f_of_one_name(kind: str, tmp_path: Path) -> None:
    """They are told apart by the options that they show or by a number, and each has its own exact numbers."""
    file = tmp_path / "several_f.py"
    file.write_text("def f(z, scale: float = 1.0): return scale * (((z - 0.45) ** 2).sum(-1) + z[:, 0] * z[:, -1])")
    given: dict[str, tuple[list[Any], list[str]]] = {
        "lambdas": ([lambda z: 1 * coupled(z), lambda z: 5 * coupled(z)], ["<lambda>", "<lambda> #2"]),
        "instances": ([Weighted(1.0), Weighted(5.0)], ["Weighted", "Weighted #2"]),
        "dataclasses": ([Called(1.0), Called(5.0)], ["Called", "Called[scale=5]"]),
        "methods": ([Energy(1.0).of, Energy(5.0).of], ["Energy.of", "Energy.of #2"]),
        "files": ([f"{file}:f", f"{file}:f[scale=5]"], ["f", "f[scale=5]"]),
    }
    fs, names = given[kind]
    frame = measure("reinforce", fs, Bernoulli(LOGITS), methods="exact")
    assert frame["problem"].nunique() == 2
    assert frame["objective"].str.rpartition(":")[2].tolist() == names
    expected = exact_variance(LOGITS, coupled)
    assert frame["variance"].tolist() == pytest.approx([expected, 25 * expected], rel=1e-10)


def test_truth_values_are_numbers() -> None:
    """An f that returns whether something holds has the numbers of its indicator."""
    frame = measure("reinforce", lambda z: z[:, 0] > 0.5, Bernoulli(LOGITS), methods="exact")
    assert frame["variance"].item() == pytest.approx(exact_variance(LOGITS, lambda z: z[:, 0]), rel=1e-10)


NUMBERS: dict[str, Any] = {"several": np.array([1, 2]), "text": "x", "none": [], "complex": 1j, "tensor": torch.ones(2)}


@pytest.mark.parametrize("kind", NUMBERS)
@pytest.mark.parametrize("name", ["replicates", "level", "delta", "precision", "timings", "on", "jobs", "seed"])
def test_wrong_arguments(name: str, kind: str) -> None:
    """Each is refused by its name."""
    with pytest.raises(UsageError, match=f"^{name}"):
        measure("rloo", coupled, Bernoulli(LOGITS), **{"methods": "monte_carlo", name: NUMBERS[kind]})


def test_numbers_of_numpy_and_torch() -> None:
    """They are taken wherever a number is, without axes too."""
    given: dict[str, Any] = {"samples": torch.tensor(2), "replicates": np.array(64), "jobs": np.int64(1)}
    given |= {"level": np.float32(0.75), "methods": "monte_carlo"}
    frame = measure("rloo", coupled, Bernoulli(LOGITS), **given)
    assert_frame_equal(frame, measure("rloo", coupled, Bernoulli(LOGITS), samples=2, level=0.75, **QUICK))


def test_one_f_has_one_name() -> None:
    """On several distributions it is the same f, a bound method too."""
    energy = Energy(2.0)
    frame = measure("reinforce", [energy.of, energy.of], [Bernoulli([0.0]), Bernoulli(LOGITS)], methods="exact")
    assert frame["objective"].nunique() == 1


def test_distributions_of_one_class() -> None:
    """Those of a user are told apart by their options."""
    pair = [Chain(torch.tensor([0.5, 1.0]), c) for c in (0.8, 3.0)]
    frame = measure("reinforce", "linear", pair, methods="exact")
    assert frame["problem"].nunique() == 2
    assert frame["true_norm"].nunique() == 2
    assert frame["distribution"].str.rpartition(":")[2].tolist() == ["Chain", "Chain[coupling=3]"]


def test_names_of_the_catalogue_are_its_own() -> None:
    """What a notebook calls like a member of the catalogue is another thing beside it."""
    scope: dict[str, Any] = {"__name__": "__main__", "coupled": coupled}
    exec("def linear(z): return coupled(z)", scope)  # noqa: S102 - as a notebook does
    exec("def reinforce(logits, f, samples): return 0 * logits", scope)  # noqa: S102 - likewise
    frame = measure("reinforce", ["linear", scope["linear"]], Bernoulli(LOGITS), methods="exact")
    assert frame["problem"].nunique() == frame["variance"].nunique() == 2
    both = measure(["reinforce", scope["reinforce"]], coupled, Bernoulli(LOGITS), **QUICK)
    assert both["label"].tolist() == ["reinforce", "__main__:reinforce"]


def test_the_session_is_left_as_it_is() -> None:
    """Generators of torch and numpy and buffers of modules, whatever f does to them."""
    counting = Counting()
    torch.manual_seed(3)
    np.random.seed(3)
    before = torch.get_rng_state().tolist(), states_beside_torch()
    for f in (counting, f"{Counting.__module__}:noisy"):
        estbench.exact_gradient(f, Bernoulli(LOGITS))
        estbench.curl("ste", f, Bernoulli(LOGITS))
        estbench.curl(Noisy(), f, Bernoulli(LOGITS))
        measure("reinforce", f, Bernoulli(LOGITS), **QUICK)
        estbench.compare(["reinforce", "ste"], f=f, distribution=Bernoulli(LOGITS), replicates=64)
    assert (torch.get_rng_state().tolist(), states_beside_torch()) == before
    assert counting.calls.item() == 0


def test_seeds() -> None:
    """An int, or a generator of numpy that moves on; the same gives the same, another gives others."""

    def variance(seed: Any) -> float:
        return float(measure("reinforce", coupled, Bernoulli(LOGITS), seed=seed, **QUICK)["variance"].item())

    assert variance(3) == variance(np.int64(3)) != variance(4)
    rng = np.random.default_rng(0)
    first, second = variance(rng), variance(rng)
    assert first != second
    assert first == variance(np.random.default_rng(0)) == variance(int(np.random.default_rng(0).integers(2**63)))


def test_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file is made, neither here nor among the temporary ones, and the global generators are left alone."""
    here, temporary = tmp_path / "here", tmp_path / "temporary"
    here.mkdir()
    temporary.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("TMPDIR", str(temporary))
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index] # of the usual generator
    measure(["rloo", with_torch], coupled, Bernoulli(LOGITS), samples=2, **QUICK)
    assert list(tmp_path.rglob("*")) in ([here, temporary], [temporary, here])
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # type: ignore[index] # of the usual generator


def test_failures_are_rows() -> None:
    """An estimator that raises leaves the reason in its rows; the others are measured."""
    frame = measure(["reinforce", Fails()], coupled, Bernoulli(LOGITS), **QUICK).set_index("label")
    assert frame["status"].to_dict() == {"reinforce": "ok", "Fails": "failed"}
    assert "out of luck" in str(frame.loc["Fails", "reason"])
    assert "failed" in repr(frame.reset_index())


def test_shown_as_the_command_line_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """repr is the table of `estbench run`, in colour in a notebook; what is no such table is shown by pandas."""
    monkeypatch.setenv("COLUMNS", "120")
    frame = measure(["reinforce", "rloo"], coupled, Bernoulli(LOGITS), samples=2, **QUICK)
    lines = repr(frame).splitlines()
    assert lines[0].startswith("tests.api.functions:coupled bernoulli D=3 logits=[0.5,-1,2]")
    assert any(line.split()[:3] == ["estimator", "N", "bias²"] for line in lines)
    assert "± reaches to the farther end of the 95 % interval" in repr(frame)
    assert str(frame._repr_html_()).startswith("<pre")
    assert "<table" in str(frame[["variance"]]._repr_html_())
    assert "reinforce" in repr(frame[frame["label"] == "reinforce"])
    assert repr(frame[["variance"]]) == repr(pd.DataFrame(frame)[["variance"]])
    assert "extra" in repr(frame.assign(extra=1)[["label", "extra"]])
    assert repr(frame.assign(extra=1)) == repr(pd.DataFrame(frame).assign(extra=1))
    many = pd.concat([frame] * 40)
    assert repr(many) == repr(pd.DataFrame(many))  # it does not know what it was made of


def test_frames_go_to_files(tmp_path: Path) -> None:
    """A frame is written as any frame is."""
    frame = measure("reinforce", coupled, Bernoulli(LOGITS), **QUICK)
    frame.to_parquet(tmp_path / "frame.parquet")
    frame.to_pickle(tmp_path / "frame.pickle")
    assert_frame_equal(pd.read_pickle(tmp_path / "frame.pickle"), frame)  # noqa: S301 - ours
    assert pd.read_parquet(tmp_path / "frame.parquet")["variance"].tolist() == frame["variance"].tolist()


REFUSED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "unknown name": ("rlo", {}, r"estimators\[0\]: unknown estimator 'rlo'. Did you mean 'rloo'"),
    "unknown option": (["rloo", "gumbel[tau=1]"], {}, r"estimators\[1\].*unknown key 'tau'"),
    "none": ([], {}, "at least one"),
    "no estimator": ([3], {}, r"estimators\[0\]: expected a name, an estimator or a function, got 3"),
    "twice": (["rloo", "rloo"], {}, r"estimators\[1\]: is the same as estimators\[0\]"),
    "same object": ([with_torch, with_torch], {}, r"is the same as estimators\[0\]"),
    "samples": ("rloo", {"samples": [0]}, "samples: expected a number ≥ 1, got 0"),
    "replicates": ("rloo", {"replicates": 3}, "replicates: expected a number ≥ 32"),
    "methods": ("rloo", {"methods": "montecarlo"}, "methods.*'monte_carlo'"),
    "seed": ("rloo", {"seed": "a"}, "seed: expected an int or a numpy.random.Generator"),
    "negative seed": ("rloo", {"seed": -1}, "seed: expected a number ≥ 0"),
    "jobs": ("rloo", {"jobs": -1}, "jobs"),
    "temperature": ("gumbel", {"temperatures": [0]}, "temperatures.*> 0"),
    "key": ("rloo", {"precision": {"rel": 0.1}}, "unknown key 'rel'. Allowed: relative, metric, max_replicates"),
    "both": ("rloo", {"replicates": 64, "precision": {"relative": 0.1}}, "not both"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refused(kind: str) -> None:
    """One error that says what was given and what is allowed."""
    estimators, settings, words = REFUSED[kind]
    with pytest.raises(UsageError, match=words):
        measure(estimators, coupled, Bernoulli(LOGITS), **settings)


def test_logits_of_several_problems_are_refused() -> None:
    """Logits with a batch are several problems, which a list says."""
    with pytest.raises(UsageError, match="logits of one problem"):
        measure("rloo", coupled, Bernoulli([LOGITS, LOGITS]))


def test_precision_and_timings() -> None:
    """As many replicates as a precision takes; timed where that is asked for."""
    frame = measure(
        "reinforce", coupled, Bernoulli(LOGITS), methods="monte_carlo", timings=True,
        precision={"relative": 0.2, "max_replicates": 2048},
    )  # fmt: skip
    assert frame["replicates"].item() >= 1024
    assert frame["seconds_per_estimate"].item() > 0


@pytest.mark.slow
def test_a_script_without_a_guard(tmp_path: Path) -> None:
    """A script that measures with several processes need not protect itself from being imported by them."""
    script = tmp_path / "script.py"
    script.write_text(
        "import estbench\n"
        "def f(z): return z.prod(-1)\n"
        "frame = estbench.measure('reinforce', f, estbench.Bernoulli([0.5, -1.0]), replicates=64, jobs=2)\n"
        "print('once', frame['variance'].notna().sum())\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.splitlines() == ["once 2"]


def test_f_that_ends_the_process() -> None:
    """What an f does that would end the process is said of the f."""

    def leaving(z: torch.Tensor) -> torch.Tensor:
        raise SystemExit(len(z))

    with pytest.raises(UsageError, match=r"f \(leaving\) cannot be evaluated: .*SystemExit: [0-9]+"):
        measure("rloo", leaving, Bernoulli([0.5]), samples=2, replicates=64)
