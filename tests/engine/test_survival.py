"""What a run survives: kills of it and of its workers, full disks, damage, second runs, estimators gone wrong."""

from __future__ import annotations

import ast
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import estbench
from estbench.engine.limit import limited
from estbench.isolation import BEGINNING, Isolated
from estbench.store import read
from tests.cli.forked import PATIENCE, Forks, Said, alive, environment, until
from tests.engine.runs import CONFIG, LESS, config, odd, same_as, statuses, values
from tests.sizes import SMALL

ADJUSTED = ["bias_p_value", "bias_verdict"]  # over all cells of a run


@pytest.fixture(scope="module")
def whole(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was left alone."""
    folder = tmp_path_factory.mktemp("whole")
    assert forks.run(config(folder), "run", "run.yaml", "-qj1", "-o", "whole") == Said(0, "", "")
    return folder / "whole"


# --- kills of the run ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_kills_and_resumes(forks: Forks, whole: Path, tmp_path: Path) -> None:
    """A run killed at random moments goes on each time; nothing is lost, twice or missing: the bytes are the same."""
    config(tmp_path)
    rng = random.Random(1)  # noqa: S311 - no secret
    done: dict[Any, Any] = {}
    kills = 0
    while kills < 6:
        command = forks.begin(tmp_path, "run", "run.yaml", "-qj1", "-o", "run")
        time.sleep(rng.uniform(0.0, 0.25))
        command.send(signal.SIGKILL)
        kills += command.wait().code == -signal.SIGKILL
        if (tmp_path / "run/manifest.json").exists():
            now = read(tmp_path / "run").items
            assert done.items() <= now.items()
            done = now
    assert forks.run(tmp_path, "run", "run.yaml", "-qj1", "-o", "run").code == 0
    assert done.items() <= read(tmp_path / "run").items.items()
    same_as(tmp_path / "run", whole)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2] if SMALL else [1, 2])
def test_fifty_kills(whole: Path, tmp_path: Path, workers: int) -> None:
    """The same for fifty kills of `python -m estbench run`, its workers left to find out, at any moment of its life."""
    config(tmp_path)
    rng = random.Random(workers)  # noqa: S311 - no secret
    command = [sys.executable, "-m", "estbench", "run", "run.yaml", f"-qj{workers}", "-o", "run"]
    begin = time.monotonic()
    subprocess.run(command, cwd=config(tmp_path), env=environment(), check=True, timeout=PATIENCE)
    life = time.monotonic() - begin
    (tmp_path / "run").rename(tmp_path / "finished")
    kills = finished = 0
    while kills < (2 if SMALL else 25):
        with subprocess.Popen(command, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE) as process:
            try:
                process.wait(rng.uniform(0.3, 1.1) * life)  # most of a life are imports
                finished += 1
                same_as(tmp_path / "run", whole)
                (tmp_path / "run").rename(tmp_path / f"finished-{finished}")
            except subprocess.TimeoutExpired:
                process.kill()
                kills += 1
    subprocess.run(command, cwd=tmp_path, env=environment(), check=True, timeout=PATIENCE)
    same_as(tmp_path / "run", whole)


def test_a_killed_run_leaves_no_workers_behind(forks: Forks, tmp_path: Path) -> None:
    """When a run is killed its workers end by themselves, even those that would never have finished."""
    config(tmp_path, LESS, estimators=[odd("sleep")])
    command = forks.begin(tmp_path, "run", "run.yaml", "-qj2", "-o", "run")
    until(lambda: len(command.workers()) >= 2)  # the second one is to find and to end what others leave behind
    workers = command.workers()
    os.kill(command.pid, signal.SIGKILL)
    assert command.wait().code == -signal.SIGKILL
    until(lambda: not any(map(alive, workers)), 60)


@pytest.mark.slow
def test_interrupts_with_workers(forks: Forks, tmp_path: Path) -> None:
    """Ctrl-C reaches workers too, and at any moment of theirs: nothing but the message is printed, and all are gone."""
    config(tmp_path, LESS, estimators=[odd("sleep"), "reinforce"])
    for wait in (0.1, 1.0):  # while the workers are starting, and later
        command = forks.begin(tmp_path, "run", "run.yaml", "-j2", "-o", "run")
        until(lambda command=command: command.err.exists() and "run:" in command.err.read_text())  # planned
        time.sleep(wait)
        workers = command.workers()
        command.send(signal.SIGINT)
        said = command.wait()
        assert said.code == 130
        assert [line.split()[0] for line in said.err.splitlines()] == ["run:", "Interrupted."]
        until(lambda workers=workers: not any(map(alive, workers)), 60)


# --- deaths of workers --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_workers_that_die_and_workers_that_hang(forks: Forks, tmp_path: Path) -> None:
    """A killed worker costs nothing; what kills or hangs each time fails with its reason, and all else is done.

    A job whose worker was killed once is done again by the same seed, so its results are those of a run without
    deaths. A cell that kills every worker has failed after three.
    """
    for name in ("kill", "kill once"):
        (tmp_path / name).mkdir()
    good = ["reinforce", odd("kill once", tmp_path / "kill once"), "gumbel"]
    bad = [odd("kill", tmp_path / "kill"), odd("loop"), odd("sleep"), odd("exit")]
    config(tmp_path, LESS, estimators=[*bad, *good])
    said = forks.run(tmp_path, "run", "run.yaml", "-qj2", "-o", "run", "--cell-timeout", 1)
    assert said.code == 3
    assert {line.partition(": ")[2] for line in said.err.splitlines()[:-1]} == {
        "kill: its worker process died 3 times, the last time of SIGKILL (out of memory?)",
        "loop: TimeoutError: it took longer than 1 s (--cell-timeout)",
        "sleep: TimeoutError: it took longer than 1 s (--cell-timeout)",
        "exit: SystemExit: gone",
    }
    assert [len(list((tmp_path / name).iterdir())) for name in ("kill", "kill once")] == [3, 1]
    fate = dict.fromkeys(("reinforce", "kill once", "gumbel"), "ok")
    assert statuses(tmp_path / "run") == fate | dict.fromkeys(("kill", "loop", "sleep", "exit"), "failed")
    config(tmp_path, LESS, estimators=good)  # its worker has been killed once, and is not again
    assert forks.run(tmp_path, "run", "run.yaml", "-qj1", "-o", "alone") == Said(0, "", "")
    together = values(tmp_path / "run").query("label in @fate").reset_index(drop=True)
    assert together.drop(columns=ADJUSTED).equals(values(tmp_path / "alone").drop(columns=ADJUSTED))


@pytest.mark.slow
@pytest.mark.parametrize("why", ["too long", "cleaned"])
def test_workers_begin_without_a_server(forks: Forks, whole: Path, tmp_path: Path, why: str) -> None:
    """The server of workers listens in TMPDIR: where it cannot, or no longer can, they begin without it."""
    folder = tmp_path / ("t" * (150 if why == "too long" else 1))
    folder.mkdir()
    variables = {**environment(), "TMPDIR": str(folder)}
    command = forks.begin(config(tmp_path), "run", "run.yaml", "-qj2", "-o", "run", variables=variables)
    if why == "cleaned":
        until(lambda: [*folder.glob("pymp-*/listener-*")])
        for listener in folder.glob("pymp-*/listener-*"):
            listener.unlink()
    assert command.wait() == Said(0, "", "")
    same_as(tmp_path / "run", whole)


@pytest.mark.slow
def test_workers_import_what_the_run_imports(whole: Path, tmp_path: Path) -> None:
    """Modules that lie where the command is given are none of its workers', whatever they are called."""
    for name in ("estbench", "yaml", "torch"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('found')")
    command = [str(Path(sys.executable).with_name("estbench")), "run", "run.yaml", "-qj2", "-o", "run"]
    assert ended(command, config(tmp_path)) == Said(0, "", "")
    same_as(tmp_path / "run", whole)


def ended(command: list[str], folder: Path) -> Said:
    """The end of a command in a process of its own."""
    done = subprocess.run(
        command, check=False, cwd=folder, env=environment(), capture_output=True, text=True, timeout=PATIENCE
    )
    return Said(done.returncode, done.stdout, done.stderr)


@pytest.mark.slow  # the same message of `measure` is seen in tests/api
def test_a_script_that_workers_run_too(tmp_path: Path) -> None:
    """A script without `if __name__ == '__main__'` is told of it, and no cell is said to have failed."""
    script = f"""
from pathlib import Path
from estbench.engine.benchmark import Benchmark
from estbench.engine.executors import Execution
for _ in Benchmark.of({CONFIG!r}, Path("run")).run(Execution("local", 2)): pass
"""
    (tmp_path / "script.py").write_text(script)
    said = ended([sys.executable, "script.py"], tmp_path)
    assert said.code == 1
    assert "under `if __name__ == '__main__':`" in said.err.splitlines()[-1]
    assert not [item for item in read(tmp_path / "run").items if item[0] == "failed"]


# --- disks and damage ---------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("largest", [1_000, 20_000])
def test_a_full_disk(forks: Forks, whole: Path, tmp_path: Path, largest: int) -> None:
    """When the disk is full, at once or later, one message says so; what was written is readable, and it goes on."""
    config(tmp_path)
    (tmp_path / "run").mkdir()
    said = forks.run(tmp_path, "run", "run.yaml", "-qj1", "-o", "run", largest=largest)
    assert said.code == 5
    assert said.err.count("\n") == 1
    assert "File too large. Make room" in said.err
    kept = read(tmp_path / "run").items if (tmp_path / "run/manifest.json").exists() else {}
    assert bool(kept) == (largest > 10_000)
    assert forks.run(tmp_path, "run", "run.yaml", "-qj1", "-o", "run").code == 0
    assert kept.items() <= read(tmp_path / "run").items.items()
    same_as(tmp_path / "run", whole)


def damaged(whole: Path, folder: Path, lines: list[bytes]) -> Path:
    """A copy of a run with other lines in its journal."""
    run = config(folder) / "run"
    run.mkdir()
    (run / "manifest.json").write_bytes((whole / "manifest.json").read_bytes())
    (run / "journal.jsonl").write_bytes(b"".join(lines))
    return run


def lines_of(run: Path) -> list[bytes]:
    """The lines of its journal."""
    return (run / "journal.jsonl").read_bytes().splitlines(keepends=True)


@pytest.mark.slow
def test_a_torn_last_line_is_done_again(forks: Forks, whole: Path, tmp_path: Path) -> None:
    """A last line that is torn is dropped, and what it had is computed again."""
    lines = lines_of(whole)
    run = damaged(whole, tmp_path, [*lines[:-1], lines[-1][: len(lines[-1]) // 2]])
    assert forks.run(tmp_path, "run", "run.yaml", "-qj1", "-o", "run").code == 0
    same_as(run, whole)


@pytest.mark.slow
def test_a_flipped_byte_is_refused_and_can_be_cut_out(forks: Forks, whole: Path, tmp_path: Path) -> None:
    """A byte flipped in the middle is told with its line, and nothing is touched; without it the run is mended."""
    lines = lines_of(whole)
    middle = len(lines) // 2
    flipped = bytearray(lines[middle])
    flipped[len(flipped) // 2] ^= 1
    run = damaged(whole, tmp_path, [*lines[:middle], bytes(flipped), *lines[middle + 1 :]])
    before = (run / "journal.jsonl").read_bytes()
    for command in (["run", "run.yaml", "-qj1", "-o", "run"], ["status", "run"], ["export", "run"], ["compare", "run"]):
        said = forks.run(tmp_path, *command)
        assert said.code == 2
        assert f"journal.jsonl, line {middle + 1}: damaged or edited" in said.err
        assert "Traceback" not in said.err
    assert (run / "journal.jsonl").read_bytes() == before
    (run / "journal.jsonl").write_bytes(b"".join(lines[:middle] + lines[middle + 1 :]))
    assert forks.run(tmp_path, "run", "run.yaml", "-qj1", "-o", "run").code == 0
    same_as(run, whole)


def test_a_duplicate_counts_once_and_a_contradiction_is_refused(forks: Forks, whole: Path, tmp_path: Path) -> None:
    """A record that stands there twice is one; with another result it is refused, both lines being named."""
    lines = lines_of(whole)
    run = damaged(whole, tmp_path, [*lines, lines[-1], lines[0]])
    said = forks.run(tmp_path, "run", "run.yaml", "-j1", "-o", "run")
    assert said.code == 0
    assert "All is done already" in said.err
    assert values(run).equals(values(whole))


def test_one_run_at_a_time(forks: Forks, tmp_path: Path) -> None:
    """A second run on one folder is refused, with --fresh too; a kill of the first leaves no lock behind."""
    config(tmp_path, LESS)
    assert forks.run(tmp_path, "run", "run.yaml", "-qj1", "-o", "run").code == 0
    journal = (tmp_path / "run/journal.jsonl").read_bytes()
    config(tmp_path, LESS, estimators=[*LESS["estimators"], odd("sleep")])
    first = forks.begin(tmp_path, "run", "run.yaml", "-qj1", "-o", "run")
    until(lambda: "sleep" in (tmp_path / "run/manifest.json").read_text())
    for fresh in ([], ["--fresh"]):
        said = forks.run(tmp_path, "run", "run.yaml", "-qj1", "-o", "run", *fresh)
        assert said.code == 2
        assert "another process is writing to this run" in said.err
    first.send(signal.SIGKILL)
    assert first.wait().code == -signal.SIGKILL
    assert (tmp_path / "run/journal.jsonl").read_bytes().startswith(journal)
    config(tmp_path, LESS)
    assert forks.run(tmp_path, "run", "run.yaml", "-qj1", "-o", "run", "--fresh").code == 0


# --- estimators gone wrong ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_estimators_that_hang_alone(forks: Forks, tmp_path: Path) -> None:
    """With one worker too, and --cell-timeout, what loops or sleeps for ever fails, and the others finish."""
    config(tmp_path, LESS, estimators=["reinforce", odd("loop"), odd("sleep"), "gumbel"])
    said = forks.run(tmp_path, "run", "run.yaml", "-qj1", "-o", "run", "--cell-timeout", 1)
    assert said.code == 3
    assert statuses(tmp_path / "run") == {"reinforce": "ok", "loop": "failed", "sleep": "failed", "gumbel": "ok"}


@pytest.mark.slow
def test_estimators_that_will_not_be_told(forks: Forks, tmp_path: Path) -> None:
    """What hangs and catches the TimeoutError is ended with its worker, and fails as what kills its workers does."""
    config(tmp_path, LESS, estimators=["reinforce", odd("catch")])
    said = forks.run(tmp_path, "run", "run.yaml", "-qj1", "-o", "run", "--cell-timeout", 1)
    assert said.code == 3
    assert "failed: catch: its worker process died 3 times, the last time with exit code 1" in said.err
    assert statuses(tmp_path / "run") == {"reinforce": "ok", "catch": "failed"}


def test_a_limit_in_any_thread() -> None:
    """A limit stops a loop in the main thread and in others, says how long it was, and leaves what is in time alone."""

    def told(seconds: float) -> str:
        try:
            with limited(seconds):
                while True:
                    pass
        except TimeoutError as error:
            return f"{type(error).__name__}: {error}"

    assert told(0.05) == "TimeoutError: it took longer than 0.05 s (--cell-timeout)"
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(told(0.05)), daemon=True)
    thread.start()
    thread.join(60)
    assert found == ["TimeoutError: it took longer than 0.05 s (--cell-timeout)"]
    before = signal.getsignal(signal.SIGALRM)
    for seconds in (None, 60.0):
        with limited(seconds):
            pass
    assert signal.getsignal(signal.SIGALRM) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_limit_that_runs_out_as_a_call_of_user_code_begins() -> None:
    """It stops what follows, and the call is not left open: standard output is as before, and the next is isolated."""
    stdout = sys.stdout

    def late() -> None:
        with limited(60):
            with Isolated("late"):
                pass
            time.sleep(5)

    BEGINNING.append(lambda _: signal.raise_signal(signal.SIGALRM))
    try:
        with pytest.raises(TimeoutError):
            late()
    finally:
        BEGINNING.pop()
    assert sys.stdout is stdout
    with Isolated("next"):
        assert sys.stdout is sys.stderr is not stdout


# --- names that would be more than names --------------------------------------------------------------------------

LABELS = [
    "<script>alert(1)</script>",
    "[red]loud[/red] [link=https://example.org]here[/link]",
    "$\\frac{1}{",
    "{{ 7*7 }} {% raise %}",
    "../../../etc/passwd",
    "=cmd|' /C calc'!A0",
    "100 % & #_^~\\",
]


@pytest.mark.slow
def test_names_are_only_names(forks: Forks, tmp_path: Path) -> None:
    """Markup, terminal codes and paths in labels and in errors are text: in tables, reports, figures and file names."""
    names = ["reinforce", "ste", "gumbel", "arm", "disarm", "gumbel_st", "darn"]
    entries = [{"name": name, "label": label} for name, label in zip(names, LABELS, strict=True)]
    config(tmp_path, LESS, estimators=[*entries, odd("escape")])
    run = forks.run(tmp_path, "run", "run.yaml", "-j1", "-o", "run", "-v")
    assert run.code == 3
    page = forks.run(tmp_path, "report", "run")
    plotted = forks.run(tmp_path, "plot", "run", "--format", "svg", "--kind", "overview")
    others = [forks.run(tmp_path, *words) for words in (["status", "run"], ["export", "run"], ["compare", "run"])]
    formats = [forks.run(tmp_path, "compare", "run", "--format", form) for form in ("markdown", "latex", "json", "csv")]
    for said in (page, plotted, *others, *formats):
        assert said.code == 0, said.err
    for said in (run, page, plotted, *others, *formats):
        for text in (said.out, said.err):
            assert not any(c in text for c in "\x1b\x07\r\u202e")
    assert "[red]loud[/red]" in run.out.replace("\n", "")
    assert "ValueError: [31mred]0;title [bold]loud[/bold] <script>alert(1)</script> next enil" in run.err
    html = (tmp_path / "run/report.html").read_text()
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "{{ 7*7 }} {% raise %}" in html
    for svg in (tmp_path / "run/figures").iterdir():
        assert "<script" not in svg.read_text()
    made = {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*")}
    assert made == {"run", "run.yaml"}
    kept = {path.name for path in (tmp_path / "run").iterdir()}
    assert kept == {"manifest.json", "journal.jsonl", "results.csv", "summary.jsonl", "report.html", "figures"}


def test_no_code_is_read_from_a_run_folder() -> None:
    """Nothing in the package unpickles, evaluates or loads objects: what a run folder holds is only ever data."""
    modules = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
    calls = {"eval", "exec", "torch.load", "np.load", "numpy.load", "yaml.load", "yaml.unsafe_load", "pd.read_pickle"}
    names = {call.rpartition(".")[2] for call in calls}

    def last(function: ast.expr) -> str:  # to write out every call would take two seconds
        return str(getattr(function, "attr", getattr(function, "id", "")))

    words = re.compile(rf"\b({'|'.join(modules)})\b|\b({'|'.join(names)})\s*\(")
    for path in Path(estbench.__file__).parent.rglob("*.py"):
        text = path.read_text()
        if not words.search(text):  # so it is in most files, and to go through all trees would take two seconds
            continue
        for node in ast.walk(ast.parse(text)):
            imported = {
                alias.name.split(".")[0] for alias in getattr(node, "names", []) if isinstance(alias, ast.alias)
            }
            imported.add(str(getattr(node, "module", "")).split(".")[0])
            to_workers = {"cloudpickle"} if path.name == "given.py" else set()  # bytes of this process, of no file
            assert not (modules & imported) - to_workers, path
            if isinstance(node, ast.Call) and last(node.func) in names and ast.unparse(node.func) in calls:
                plain = {word.arg for word in node.keywords if ast.unparse(word) == "allow_pickle=False"}
                assert plain, f"{path}:{node.lineno}"  # an array of numbers, or an error
