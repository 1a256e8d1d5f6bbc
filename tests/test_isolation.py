"""Code of users: what it does stays in its call, and is said of the cell that did it."""

from __future__ import annotations

import gc
import io
import logging
import os
import random
import signal
import sys
import textwrap
import warnings
import weakref
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.random import mtrand
from torch.utils._device import DeviceContext
from torch.utils._python_dispatch import TorchDispatchMode

from estbench import catalogue
from estbench.draws import Draw
from estbench.engine.benchmark import Benchmark
from estbench.engine.executors import IN_THIS_PROCESS, Execution
from estbench.engine.run import Failure
from estbench.errors import UsageError
from estbench.isolation import Isolated, UserCodeError
from estbench.problem import Problem, make
from estbench.sources import current, source_hash
from estbench.streams import Streams
from tests.cli.forked import Forks
from tests.sizes import SMALL, thinned
from tests.unruly import HIDDEN, QUIET, RANDOM, THROWS, UNCOUNTED, UNREACHED, WRITES, Odd

TOGETHER = ["bias_p_value", "bias_verdict"]
SINE: dict[str, Any] = {"objective": "sine", "distribution": "bernoulli", "logits": [0.83, -1.9]}
BEFORE, AFTER = ["reinforce", "gumbel", "reinforce[baseline=optimal]"], ["rloo", "muprop"]


@pytest.mark.parametrize("before", [None, "cpu", "meta"])
@pytest.mark.parametrize("inside", [None, "cpu", "meta", "nothing"])
def test_default_device_and_dtype_of_the_user(before: str | None, inside: str | None) -> None:
    """What `torch.set_default_device` and `set_default_dtype` were given before a call holds after it."""
    dtype = torch.get_default_dtype()
    try:
        torch.set_default_device(before)
        torch.set_default_dtype(torch.float64)
        with Isolated("device"):
            torch.set_default_dtype(torch.float16)
            if inside != "nothing":
                torch.set_default_device(inside)
        assert torch.empty(0).device.type == (before or "cpu")
        assert torch._C._len_torch_function_stack() == (before is not None)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(dtype)


def ran(
    folder: Path,
    estimators: Sequence[Any],
    where: Execution = IN_THIS_PROCESS,
    problem: Any = SINE,
    seed: int = 0,
    timeout: float | None = None,
) -> tuple[pd.DataFrame, list[str]]:
    """The results of a small run, and why cells failed."""
    config = {
        "name": "isolation",
        "seed": seed,
        "replicates": 512,
        "samples": [2],
        "temperatures": [0.5],
        "problems": [problem],
        "estimators": [*estimators],
    }
    benchmark = Benchmark.of(config, folder)
    failed = [event.reason for event in benchmark.run(where, timeout=timeout) if isinstance(event, Failure)]
    return benchmark.results(), failed


def unruly(how: str) -> dict[str, str]:
    """The entry of such an estimator."""
    return {"name": "tests.unruly:Unruly", "how": how, "label": "unruly"}


def others(frame: pd.DataFrame) -> str:
    """The rows of all but the unruly one."""
    return str(frame[frame.label != "unruly"].drop(columns=TOGETHER).to_csv(index=False))


def statuses(frame: pd.DataFrame) -> dict[str, str]:
    """The status of the unruly one by each method."""
    mine = frame[frame.label == "unruly"]
    return dict(zip(mine.method, mine.status, strict=True))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The rows of the others where there is no unruly one."""
    return others(ran(tmp_path_factory.mktemp("alone") / "run", BEFORE + AFTER)[0])


FAILS = [*(f"writes/{key}" for key in WRITES), *(f"uncounted/{key}" for key in UNCOUNTED)]
FAILS += [f"throws/{key}" for key in THROWS]


@pytest.mark.parametrize("how", thinned(4, FAILS))
def test_what_must_not_be_done_fails_alone(how: str, alone: str, tmp_path: Path) -> None:
    """A write into what is shared, or whatever is thrown, fails its own cells by name; others keep each bit."""
    frame, failed = ran(tmp_path / "run", [*BEFORE, unruly(how), *AFTER])
    assert set(statuses(frame).values()) == {"failed"}
    assert how.partition("/")[2] in failed[0], failed
    assert others(frame) == alone


@pytest.mark.parametrize("key", QUIET)
def test_what_can_be_undone_is_undone(key: str, alone: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Prints go to standard error; settings, the working directory and children are none of the others' business."""
    before = (torch.get_default_dtype(), torch.is_grad_enabled(), np.geterr(), Path.cwd(), list(sys.path))
    frame, failed = ran(tmp_path / "run", [*BEFORE, unruly(f"quiet/{key}"), *AFTER])
    assert not failed
    assert others(frame) == alone
    assert before == (torch.get_default_dtype(), torch.is_grad_enabled(), np.geterr(), Path.cwd(), list(sys.path))
    assert capfd.readouterr().out == ""


def _closed() -> None:
    sys.stdout.close()
    sys.stderr.close()
    os.close(1)
    os.close(2)


def _replaced() -> None:
    sys.stdout = sys.stderr = io.StringIO()


DONE: dict[str, Any] = {
    "sys.stdout and sys.stderr are replaced": _replaced,
    "standard streams are closed": _closed,
    "warnings are errors": lambda: warnings.simplefilter("error"),
    "the recursion limit": lambda: sys.setrecursionlimit(200),
    "garbage collection": gc.disable,
    "logging": lambda: logging.disable(logging.CRITICAL),
    "log handlers": lambda: logging.basicConfig(level=0, stream=sys.stdout, force=True),
    "signal handlers": lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
    "an alarm": lambda: signal.setitimer(signal.ITIMER_REAL, 3600),
    "the environment": os.environ.clear,
    "the device": lambda: torch.set_default_device("meta"),
    "the default dtype": lambda: torch.set_default_dtype(torch.float16),
    "a mode of functions": lambda: DeviceContext(torch.device("meta")).__enter__(),  # type: ignore[no-untyped-call]
    "a mode of dispatch": lambda: TorchDispatchMode().__enter__(),  # type: ignore[no-untyped-call]
    "anomalies": lambda: torch.autograd.set_detect_anomaly(mode=True),
    "the compiler of torch": lambda: __import__("torch._dynamo"),
    "the table of modules": sys.modules.clear,
    "threads of torch": lambda: torch.set_num_threads(3),
}


def _state() -> dict[str, Any]:
    root = logging.getLogger()
    return {
        "streams": (sys.stdout, sys.stderr, os.fstat(1).st_ino, os.fstat(2).st_ino),
        "warnings": list(warnings.filters),
        "limit": (sys.getrecursionlimit(), gc.isenabled(), torch.get_num_threads(), torch.empty(0).device),
        "logging": (root.level, list(root.handlers), root.manager.disable),
        "signals": (signal.getsignal(signal.SIGTERM), signal.getitimer(signal.ITIMER_REAL)[0] > 0),
        "environment": dict(os.environ),
        "modules": sys.modules.get(__name__),
        "modes": (torch._C._len_torch_dispatch_stack(), torch._C._len_torch_function_stack()),
        "anomalies": torch.is_anomaly_enabled(),
        "dtype": (torch.get_default_dtype(), vars(torch)["Storage"]),
    }


@pytest.mark.parametrize("key", DONE)
def test_a_call_leaves_no_trace(key: str) -> None:
    """Whatever it does to streams, warnings, limits, logging, signals and the environment is undone."""
    before = _state()
    with Isolated(0):
        DONE[key]()
    assert _state() == before


def test_a_mode_that_was_left_open_is_freed() -> None:
    """Nothing keeps a mode that a call has entered and not left, and the collector finds no fault with it."""
    with Isolated(0):
        mode = TorchDispatchMode()  # type: ignore[no-untyped-call] # of torch
        mode.__enter__()  # type: ignore[no-untyped-call] # of torch
        freed = weakref.ref(mode)
        del mode
    gc.collect()
    assert freed() is None


def test_prints_go_to_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    """Those of Python, of the system and of a shell; also those of a stream that was kept."""
    with Isolated(0):
        QUIET["print"]()
        kept = sys.stdout
    kept.write("LATER")
    said = capfd.readouterr()
    assert said.out == ""
    assert all(word in said.err for word in ("PRINTED", "WRITTEN", "SHELL", "LATER"))


@pytest.mark.parametrize(
    ("place", "name"), [(torch, "sigmoid"), (torch.Tensor, "sum"), (np, "exp"), (Draw, "score"), (Problem, "f")]
)
def test_what_all_use_is_not_replaced(place: Any, name: str) -> None:
    """A function or a class of torch, numpy or estbench that a call replaces is put back, and said."""
    before = vars(place).get(name)
    with (
        pytest.raises(UserCodeError, match=f"it replaces {place.__name__}.{name}, which all others use too"),
        Isolated(0),
    ):
        setattr(place, name, None)
    assert vars(place).get(name) is before


@pytest.mark.parametrize("key", thinned(4, HIDDEN))
def test_hidden_writes_fail_alone(key: str, alone: str, tmp_path: Path) -> None:
    """Writes by `out=`, by threads and where no trial has them, and what is replaced behind the draw's back."""
    frame, failed = ran(tmp_path / "run", [*BEFORE, unruly(f"hidden/{key}"), *AFTER])
    assert statuses(frame)["monte_carlo"] == "failed", failed
    assert statuses(frame)["exact"] == ("ok" if "of many" in key else "failed")
    assert others(frame) == alone


def test_inference_mode_stays_in_the_call(alone: str, tmp_path: Path) -> None:
    """What is first computed in `torch.inference_mode()` of one has a gradient for others."""
    frame, failed = ran(tmp_path / "run", [unruly("quiet/inference"), *BEFORE, *AFTER])
    assert not failed
    assert others(frame) == alone


@pytest.mark.parametrize("key", thinned(6, RANDOM))
def test_global_generators_are_the_runs(key: str, tmp_path: Path) -> None:
    """Their numbers are of the seed, whatever the workers; there is no exact row, and our own generators stay."""
    states = torch.get_rng_state(), repr(np.random.get_state(legacy=False)), random.getstate()
    (a, _), (b, _) = (ran(tmp_path / str(seed), [unruly(f"random/{key}")], seed=seed) for seed in (0, 1))
    more, _ = ran(tmp_path / "more", [unruly(f"random/{key}")], Execution(workers=2))
    assert statuses(a) == {"exact": "skipped", "monte_carlo": "ok"}
    reasons = dict(zip(a.method, a.reason, strict=True))
    assert reasons["exact"] == "it makes random numbers of its own (ask the draw: draw.uniform(name, ...))"
    variance = [frame[frame.method == "monte_carlo"].variance.item() for frame in (a, more, b)]
    assert variance[0] == variance[1] != variance[2]
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1:] == (repr(np.random.get_state(legacy=False)), random.getstate())


@pytest.mark.parametrize("normals", [0, 1, 2])
def test_numpy_goes_on_where_it_was(normals: int) -> None:
    """Also after calls within calls, with the second of two normal numbers at hand, and with a generator changed."""
    np.random.seed(5)
    expected = [np.random.normal() for _ in range(normals)], np.random.random(700).tolist(), np.random.normal()
    np.random.seed(5)
    before = [np.random.normal() for _ in range(normals)]
    inside = []
    for _ in range(2):
        with Isolated("outer"):
            first = np.random.normal()
            with Isolated("inner"):
                inside.append([np.random.normal() for _ in range(3)])
            inside[-1] += [first, np.random.normal()]
            mtrand.set_bit_generator(np.random.PCG64(1))
            np.random.normal()
    assert (before, np.random.random(700).tolist(), np.random.normal()) == expected
    assert inside[0] == inside[1]


def test_seeding_a_global_generator_makes_no_exact_row(tmp_path: Path) -> None:
    """Numbers that are the same at every call are random numbers all the same: the sampled row alone has them."""
    frame, _ = ran(tmp_path / "run", [unruly("random/seeded")])
    assert statuses(frame) == {"exact": "skipped", "monte_carlo": "ok"}


@pytest.mark.parametrize("key", UNREACHED)
def test_random_numbers_that_no_seed_reaches_are_refused(key: str, tmp_path: Path) -> None:
    """An estimator with a generator of its own, or numbers of the system, differs between two calls on one draw."""
    frame, failed = ran(tmp_path / "run", [unruly(f"random/{key}")])
    assert statuses(frame) == {"exact": "failed", "monte_carlo": "failed"}
    assert "two calls on one draw differ" in failed[0]


def test_the_end_of_a_process_is_not_that_of_the_run(alone: str, tmp_path: Path) -> None:
    """A segmentation fault costs workers and the cells that did it, with one worker as with more."""
    frame, failed = ran(tmp_path / "run", [*BEFORE, unruly("ends/of SIGSEGV"), *AFTER])
    assert set(statuses(frame).values()) == {"failed"}
    assert "of SIGSEGV" in failed[0]
    assert others(frame) == alone


def test_what_is_asked_of_a_class_is_not_asked_of_its_members(alone: str, tmp_path: Path) -> None:
    """Whether an estimator is fitted, say, is looked up without running its `__getattr__`."""
    grasping = {"name": "tests.unruly:Grasping", "label": "unruly"}
    frame, failed = ran(tmp_path / "run", [*BEFORE, grasping, *AFTER])
    assert not failed
    assert others(frame) == alone


@pytest.fixture(scope="module")
def dask_cluster() -> Iterator[Execution]:
    """Two Dask workers for all tests: each takes seconds to start."""
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(silence_logs=logging.CRITICAL, **options) as local,
    ):
        yield Execution(executor="dask", scheduler=local.scheduler_address)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_what_never_ends_fails_with_a_time_limit(workers: int, alone: str, tmp_path: Path) -> None:
    """With --cell-timeout a cell that hangs has failed, and the rest goes on."""
    entries = [*BEFORE, unruly("ends/took longer"), *AFTER]
    frame, failed = ran(tmp_path / "run", entries, Execution(workers=workers), timeout=1.0)
    assert set(statuses(frame).values()) == {"failed"}
    assert "took longer than 1 s" in failed[0]
    assert others(frame) == alone


@pytest.mark.slow
@pytest.mark.parametrize(
    "how",
    ["throws/KeyboardInterrupt", "throws/SystemExit: 0", "throws/CancelledError", "quiet/fork", "ends/took longer"],
)
@pytest.mark.parametrize("timeout", [30.0] if SMALL else [None, 30.0])
def test_with_dask_too(how: str, timeout: float | None, dask_cluster: Execution, alone: str, tmp_path: Path) -> None:
    """On a Dask cluster nothing hangs, and the others keep each bit."""
    if how.startswith("ends"):
        timeout = 1.0 if timeout else pytest.skip("only a limit ends it")
    frame, failed = ran(tmp_path / "run", [*BEFORE, unruly(how), *AFTER], dask_cluster, timeout=timeout)
    assert bool(failed) == (not how.startswith("quiet"))
    assert how.partition("/")[2] in (failed or [how])[0]
    assert others(frame) == alone


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("in place", "Odd.value writes in place into what it is given"),
        ("whitening", "Odd.value depends on the other rows of the batch"),
        ("large batches", "Odd.value depends on the other rows of the batch"),
        ("dropout", "Odd.value is random"),
        ("state", "Odd.value keeps state"),
    ],
)
def test_impure_objectives_are_refused(how: str, said: str, tmp_path: Path) -> None:
    """What was seen is the reason why all cells of that problem fail; nothing of it is called exact."""
    frame, failed = ran(
        tmp_path / "run", ["reinforce"], problem=SINE | {"objective": {"name": "tests.unruly:Odd", "how": how}}
    )
    assert set(frame.status) == {"failed"}
    assert said in failed[0]
    assert frame.true_norm.isna().all()


def test_a_network_inside_an_objective(tmp_path: Path) -> None:
    """`nn.Linear` whose weights ask for gradients is as one whose weights do not: ‖g‖ of w·z is that of p q w."""
    frame, failed = ran(
        tmp_path / "run",
        ["reinforce", "ste"],
        problem=SINE | {"objective": {"name": "tests.unruly:Odd", "how": "linear"}},
    )
    assert not failed
    p = torch.sigmoid(torch.tensor(SINE["logits"], dtype=torch.float64))
    expected = float((p * (1 - p) * Odd.net.weight.detach()[0]).norm())
    assert frame.true_norm.to_numpy() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("how", ["steps", "numpy"])
def test_without_a_gradient_only_those_fail_that_need_one(how: str, tmp_path: Path) -> None:
    """f that torch cannot differentiate is said to have no gradient; score-function estimators go on."""
    problem = SINE | {"objective": {"name": "tests.unruly:Odd", "how": how}}
    frame, failed = ran(tmp_path / "run", ["reinforce", "ste"], problem=problem)
    assert all("f has no gradient" in why for why in failed), failed
    assert set(frame[frame.label == "ste"].status) == {"failed"}
    assert set(frame[frame.label == "reinforce"].status) == {"ok"}


def test_an_interrupt_of_the_user_goes_on() -> None:
    """Ctrl-C is a signal: it ends the call, even if the code swallows it; KeyboardInterrupt by itself does not."""
    with pytest.raises(UserCodeError, match="KeyboardInterrupt"), Isolated(0):
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt), Isolated(0), suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    before = signal.getsignal(signal.SIGINT)
    with Isolated(0):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert signal.getsignal(signal.SIGINT) == before


# --- what a plug-in reads -----------------------------------------------------------------------------------------

READING = """
from pathlib import Path
from typing import ClassVar

from pydantic.dataclasses import dataclass

from estbench.estimators.base import Facts

WEIGHT = Path(__file__).with_name("weight.txt")


@dataclass(frozen=True)
class Weighted:
    on: ClassVar[str] = "values"
    distributions: ClassVar[frozenset[str]] = frozenset({"bernoulli"})

    def value(self, v):
        return float(WEIGHT.read_text()) * (v * v).sum(-1)


@dataclass(frozen=True)
class Scaled:
    @property
    def facts(self):
        return Facts("score function", f=1)

    def rows(self, draw):
        return float(WEIGHT.read_text()) * draw.lift(draw.fz) * draw.score
"""


@pytest.mark.parametrize(
    ("what", "methods"), thinned(3, product(["objective", "estimator"], [["monte_carlo"], ["exact"]]))
)
def test_a_changed_data_file_is_another_run(
    what: str, methods: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before replicates are added, recorded values are computed again; where they differ nothing is touched."""
    name = f"reading{random.SystemRandom().randrange(10**9)}"
    (tmp_path / f"{name}.py").write_text(READING)
    (tmp_path / "weight.txt").write_text("1.0")
    monkeypatch.syspath_prepend(str(tmp_path))
    objective, estimator = (f"{name}:Weighted", "reinforce") if what == "objective" else ("sine", f"{name}:Scaled")
    config = {
        "name": "data",
        "replicates": 512,
        "samples": [2],
        "methods": methods,
        "problems": [SINE | {"objective": objective}],
        "estimators": [estimator],
    }

    def again(**changes: Any) -> str:
        list(Benchmark.of(config | changes, tmp_path / "run").run())
        return Benchmark.of(config | changes, tmp_path / "run").results().to_csv()

    before = again()
    more = {"replicates": 1024, "samples": [1, 2]}
    files = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    (tmp_path / "weight.txt").write_text("1.5")
    said = r"(?s)this run cannot go on.*was .* and is .*--fresh"
    with pytest.raises(UsageError, match=said):
        again(**more)
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == files
    assert again() == before  # nothing is to be done
    (tmp_path / "weight.txt").write_text("1.0")
    assert len(again(**more)) > len(before)


# --- sources ------------------------------------------------------------------------------------------------------

PLUGIN = '''
"""A module."""
import math
from dataclasses import dataclass
from {helper} import scaled

FACTOR = 2.0

@dataclass
class Mine:
    """An objective."""
    on = "values"
    distributions = frozenset(("bernoulli",))
    def value(self, v):
        return scaled(v) * FACTOR

class Other:
    pass
'''
HELPER = """
A = 3.0
B = 4.0

def scaled(x):
    return x * A

def unused(x):
    return x + B
"""


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, Path, str]]:
    """A plug-in and its helper module as files, and the name of the plug-in."""
    number = random.SystemRandom().randrange(10**9)
    plugin, helper = tmp_path / f"plugin{number}.py", tmp_path / f"helper{number}.py"
    plugin.write_text(PLUGIN.format(helper=helper.stem))
    helper.write_text(HELPER)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield plugin, helper, plugin.stem
    for name in (plugin.stem, helper.stem):
        sys.modules.pop(name, None)


def edited(path: Path, old: str, new: str) -> None:
    """Edit a file, and let it look edited."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 10**7))


@pytest.mark.parametrize(
    ("which", "old", "new", "differs"),
    [
        (0, '"""An objective."""', '"""Another text."""  # and a comment', False),
        (0, "class Other:\n    pass", "class Other:\n    x = 1", False),
        (0, "import math\n", "import math\n\n\n", False),
        (1, "B = 4.0", "B = 5.0", False),
        (0, "FACTOR = 2.0", "FACTOR = 2.5", True),
        (0, "* FACTOR", "/ FACTOR", True),
        (0, "class Other", "Mine.more = 3\nclass Other", True),
        (1, "A = 3.0", "A = 3.5", True),
        (1, "x * A", "A * x", True),
    ],
)
def test_the_hash_is_of_what_the_class_uses(
    which: int, old: str, new: str, differs: bool, written: tuple[Path, Path, str]
) -> None:
    """Code that the class uses changes it, in its module or in another of the user's; nothing else does."""
    *files, name = written
    before = source_hash(current(name).Mine)
    edited(Path(files[which]), old, new)
    assert (source_hash(current(name).Mine) != before) == differs


def test_a_relative_import_in_a_branch_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a class takes from its own package belongs to it, also where the import is inside `if` or `try`."""
    monkeypatch.syspath_prepend(str(tmp_path))
    package = tmp_path / f"branched{random.SystemRandom().randrange(10**9)}"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "scale.py").write_text("SCALE = 1.0\n")
    (package / "mine.py").write_text("if True:\n    from .scale import SCALE\n\n\nclass Mine:\n    scale = SCALE\n")
    name = f"{package.name}.mine"
    before = source_hash(current(name).Mine)
    edited(package / "scale.py", "1.0", "2.0")
    assert source_hash(current(name).Mine) != before


@pytest.mark.parametrize("folder", ["site-packages", "dist-packages"])
def test_packages_installed_elsewhere_are_no_code_of_the_user(
    folder: str, written: tuple[Path, Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is installed for the user, or below a virtual environment, is not hashed: it may be all of torch."""
    _, helper, name = written
    library = helper.parent / "lib" / folder
    library.mkdir(parents=True)
    installed = helper.rename(library / helper.name)
    monkeypatch.syspath_prepend(str(library))
    before = source_hash(current(name).Mine)
    edited(installed, "A = 3.0", "A = 3.5")
    assert source_hash(current(name).Mine) == before


def test_a_changed_file_is_read_anew(written: tuple[Path, Path, str]) -> None:
    """Within one Python session a class is what its file, and that of its helper, say now."""
    plugin, helper, name = written
    kind: Any = catalogue.objective_class(f"{name}:Mine")
    assert kind().value(1.0) == 6.0
    assert catalogue.objective_class(f"{name}:Mine") is kind
    edited(helper, "A = 3.0", "A = 5.0")
    assert catalogue.objective_class(f"{name}:Mine")().value(1.0) == 10.0  # type: ignore[arg-type] # a number will do
    edited(plugin, "FACTOR = 2.0", "FACTOR = 3.0")
    assert catalogue.objective_class(f"{name}:Mine")().value(1.0) == 15.0  # type: ignore[arg-type] # likewise


def test_a_redefined_class_gives_new_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A class put under a name that another had is the one that is measured, in one Python session."""
    import tests.unruly

    problem = SINE | {"objective": {"name": "tests.unruly:Odd", "how": "none"}}
    before, _ = ran(tmp_path / "a", ["reinforce"], problem=problem)

    class Twice(Odd):
        def value(self, v: torch.Tensor) -> Any:
            return 2 * super().value(v)

    monkeypatch.setattr(tests.unruly, "Odd", Twice)
    after, _ = ran(tmp_path / "b", ["reinforce"], problem=problem)
    assert after.true_norm.to_numpy() == pytest.approx(2 * before.true_norm.to_numpy(), rel=1e-12)


def written_config(folder: Path, module: str) -> str:
    """The name of a config whose estimator is in a module of that text."""
    (folder / "mine.py").write_text(module)
    config = """
        name: mine
        replicates: 512
        samples: [1]
        problems: [{objective: sine, distribution: bernoulli, logits: [0.5]}]
        estimators: [reinforce, "mine:Mine"]
    """
    (folder / "run.yaml").write_text(textwrap.dedent(config))
    return "run.yaml"


@pytest.mark.slow
@pytest.mark.parametrize("how", ["sys.exit(0)", "os._exit(0)", "os.execv('/bin/true', ['true'])"])
@pytest.mark.parametrize("command", [("run", "-q"), ("check",)])
def test_an_exit_while_the_config_is_read_is_said(
    command: tuple[str, ...], how: str, forks: Forks, tmp_path: Path
) -> None:
    """The end of the process in a module that a config names is a message; `run` runs the rest, and `check` nothing.

    What it prints is not ours.
    """
    config = written_config(tmp_path, f"import os, sys\nprint('hello')\n{how}\n")
    said = forks.run(tmp_path, command[0], config, *command[1:])
    assert (said.code, said.out) == (3 if command[0] == "run" else 2, "")
    assert "cannot be imported: SystemExit: " in said.err


ENDING = """
import os, sys
from typing import ClassVar

from pydantic.dataclasses import dataclass


@dataclass(frozen=True)
class Mine:
    on: ClassVar[str] = "values"
    distributions: ClassVar[frozenset[str]] = frozenset({"bernoulli"})

    def value(self, v):
        HOW
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["sys.exit(0)", "os._exit(0)"])
def test_an_exit_in_the_first_call_of_an_objective_is_said(how: str, forks: Forks, tmp_path: Path) -> None:
    """An objective is asked for one value as the config is read, too."""
    config = written_config(tmp_path, ENDING.replace("HOW", how))
    text = (tmp_path / config).read_text().replace("sine", '"mine:Mine"').replace('reinforce, "mine:Mine"', "reinforce")
    (tmp_path / config).write_text(text)
    said = forks.run(tmp_path, "run", config, "-q")
    assert (said.code, said.out) == (2, "")
    assert "mine:Mine cannot be evaluated at a sample: SystemExit: " in said.err


LOUD = """
import atexit, os, threading, time

from pydantic.dataclasses import dataclass

from estbench.estimators.score_function.reinforce import Reinforce


@dataclass(frozen=True)
class Mine(Reinforce):
    @property
    def facts(self):
        print("FACTS")
        return super().facts


def late():
    for _ in range(200):
        time.sleep(0.005)
        print("LATE", flush=True)


threading.Thread(target=late).start()  # Python waits for it: a daemon that prints while Python ends may crash it
atexit.register(lambda: print("EXIT"))
atexit.register(lambda: os.write(1, b"EXIT"))
"""


@pytest.mark.slow  # alone it would start the server of commands
def test_threads_and_exit_handlers_print_to_standard_error(forks: Forks, tmp_path: Path) -> None:
    """What a plug-in prints between our calls of it, or at the end, is not among the results."""
    said = forks.run(tmp_path, "check", written_config(tmp_path, LOUD))
    assert said.code == 0, said
    assert not [word for word in ("LATE", "EXIT", "FACTS") if word in said.out]
    assert "LATE" in said.err
    assert said.err.count("EXIT") == 2


def test_a_draw_is_freed_where_it_ends() -> None:
    """Nothing in a draw refers back to it: its memory is used again at once, not when the garbage collector runs."""
    f = catalogue.build(catalogue.objective_class("sine"), {})
    problem = make(f, torch.zeros(2, dtype=torch.float64), "bernoulli")
    draw = Draw(problem, 4, 2, streams=Streams(0, "freed", range(1)), shard=4)
    assert draw.fz.shape == draw.score.shape[:2]
    seen = weakref.ref(draw)
    gc.disable()
    try:
        del draw
        assert seen() is None
    finally:
        gc.enable()


def test_a_call_within_another_draws_what_it_draws_alone() -> None:
    """What user code draws does not depend on the call that it is part of, which does not notice."""
    with Isolated("inner"):
        alone = torch.rand(2)
    with Isolated("outer"):
        before = torch.rand(2)
    with Isolated("outer"):
        with Isolated("inner"):
            within = torch.rand(2)
        after = torch.rand(2)
    assert torch.equal(within, alone)
    assert torch.equal(after, before)


METHODS = """
class Mine:
    @staticmethod
    def scale(x):
        return x * {static}

    @classmethod
    def shift(cls, x):
        return x + {of_class}

    @property
    def size(self):
        return {getter}

    def value(self, x, power={default}):
        return self.scale(x) ** power
"""


@pytest.mark.parametrize("changed", ["static", "of_class", "getter", "default"])
def test_the_hash_of_a_class_without_a_source(changed: str) -> None:
    """Whatever method differs, of whatever kind, the hash does; what is typed in twice is the same."""
    numbers = {"static": 2, "of_class": 3, "getter": 4, "default": 5}

    def hashed(**values: int) -> str:
        scope: dict[str, Any] = {"__name__": "typed_in"}
        exec(METHODS.format(**values), scope)  # noqa: S102 - as a notebook does
        return source_hash(scope["Mine"])

    assert hashed(**numbers) == hashed(**numbers) != hashed(**numbers | {changed: 9})
