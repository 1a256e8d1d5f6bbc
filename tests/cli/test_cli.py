"""The command line: what each command does, what it prints where, and how it ends."""

from __future__ import annotations

import importlib
import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from typer.main import get_command

from estbench.cli import display
from estbench.cli.app import app
from estbench.columns import names as columns
from estbench.engine.benchmark import Benchmark
from estbench.engine.run import Progress
from estbench.store import read
from estbench.store.manifest import ConfigRecord, ManifestRecord
from estbench.store.records import canonical, checksum
from estbench.store.records import line as journal_line
from tests.cli.forked import PATIENCE, Forks, Said, environment, until
from tests.cli.here import perform
from tests.sizes import slow, thinned

CONFIG: dict[str, Any] = {
    "name": "tiny",
    "seed": 3,
    "replicates": 512,
    "samples": [1, 2],
    "temperatures": [0.5],
    "problems": [
        {"objective": {"name": "quadratic", "target": 0.3}, "distribution": "bernoulli", "logits": [0.6]},
        {"objective": "sine", "distribution": "categorical", "logits": [[0.2, -0.5, 0.4]]},
    ],
    "estimators": ["reinforce", "gumbel"],
}
CELLS = 2 * 2 * 2 * 2
Cli = Callable[..., Said]


PLUGINS = "tests.cli.plugged"
FAULTY = {"name": f"{PLUGINS}:Faulty", "label": "faulty"}


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """The command line in this process, in an empty folder that holds tiny.yaml."""
    monkeypatch.chdir(tmp_path)
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("COLUMNS", "TERM", "NO_COLOR"):
        monkeypatch.setenv(name, environment()[name])
    config(tmp_path)

    def run(*arguments: object) -> Said:
        code = perform(*arguments)
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return run


def config(folder: Path, file: str = "tiny.yaml", **changes: Any) -> Path:
    """A config file with these changes."""
    path = folder / file
    path.write_text(yaml.safe_dump({**CONFIG, **changes}))
    return path


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run; nobody writes to it."""
    folder = tmp_path_factory.mktemp("cli")
    config(folder)
    assert perform("run", folder / "tiny.yaml", "-o", folder / "run", "-qj1") == 0
    return folder / "run"


def clean(said: Said, code: int) -> str:
    """The one message of a command that ended with this code, without a traceback."""
    assert said.code == code, said.err
    assert said.err.count("estbench: ") == 1
    assert "Traceback" not in said.err
    return said.err


def tree(folder: Path) -> dict[str, bytes]:
    """All files of a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def values(path: Path) -> pd.DataFrame:
    """results.csv as text."""
    return pd.read_csv(path, dtype=str)


# --- help ---------------------------------------------------------------------------------------------------------


def test_every_command_and_option_is_explained() -> None:
    """The commands are those promised, and each has a help text for itself and for every option and argument."""
    commands = get_command(app).commands  # type: ignore[attr-defined] # a group
    assert list(commands) == "run plot compare list show status report export merge check init".split()
    for name, command in commands.items():
        assert command.help, name
        for parameter in command.params:
            assert getattr(parameter, "help", None), (name, parameter.name)


def test_run_has_the_options_it_was_promised_with() -> None:
    """`estbench run` takes every option of the interface, by its long and its short name."""
    run = get_command(app).commands["run"]  # type: ignore[attr-defined] # a group
    options = {name for parameter in run.params for name in parameter.opts}
    promised = (
        "-o --seed -j --executor --scheduler --device --set --dry-run --quick --rigorous --fresh --on-error -q -v"
    )
    assert options >= {*promised.split(), "--cell-timeout", "--part"}


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["run", "--help"], ["merge", "-h"], ["--version"]])
def test_help_and_version_go_to_stdout(cli: Cli, arguments: list[str]) -> None:
    """Help and version are results: they are printed to stdout, and the exit code is 0."""
    said = cli(*arguments)
    assert (said.code, said.err) == (0, "")
    assert "estbench" in said.out


def test_python_m_estbench() -> None:
    """`python -m estbench` is the same program."""
    said = subprocess.run(
        [sys.executable, "-m", "estbench", "--version"], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    assert said.stdout.startswith("estbench ")


@pytest.mark.parametrize("arguments", [["nonsense"], ["run"], ["run", "tiny.yaml", "-j", "x"], ["run", "--wrong"], []])
def test_wrong_usage(cli: Cli, arguments: list[str]) -> None:
    """Unknown commands and options, and values that cannot be, exit with 2 and no traceback, and run nothing."""
    said = cli(*arguments)
    assert said.code == 2
    assert "Traceback" not in said.err
    assert not Path("results").exists()


# --- run ----------------------------------------------------------------------------------------------------------


def test_run_then_run_again(cli: Cli) -> None:
    """A run writes results/<name> and prints a table; the same again says that all is done, and changes nothing."""
    first = cli("run", "tiny.yaml", "-j", 1)
    folder = Path("results/tiny")
    assert first.code == 0
    assert "reinforce" in first.out
    assert first.err.splitlines()[0] == "tiny: 16 cells, 2 problems"
    assert f"Results: {folder}/results.csv" in first.err
    frame = pd.read_csv(folder / "results.csv")
    assert list(frame.columns) == columns()
    assert (frame["status"] == "ok").sum() == CELLS
    before = tree(folder)
    again = cli("run", "tiny.yaml", "-j", 1)
    assert (again.code, again.out) == (0, first.out)
    assert "All is done already" in again.err
    assert "All is done already" not in first.err
    assert tree(folder) == before


def test_quiet_prints_nothing_and_failures_are_told_all_the_same(cli: Cli) -> None:
    """`-q` prints nothing where all is well; a failure is printed, once for each reason, and exits with 3."""
    said = cli("run", "tiny.yaml", "-qj1")
    assert said == Said(0, "", "")
    config(Path(), "faulty.yaml", estimators=[*CONFIG["estimators"], FAULTY])
    said = cli("run", "faulty.yaml", "-qj1")
    assert (said.code, said.out) == (3, "")
    assert said.err.splitlines() == [
        "failed: faulty: ArithmeticError: no",
        "8 of 24 cells failed; the others are saved.",
    ]


def test_on_error_stop(cli: Cli) -> None:
    """`--on-error stop` ends at the first failure with 3, and keeps what was done; `continue` does the rest."""
    config(Path(), estimators=[*CONFIG["estimators"], FAULTY])
    said = cli("run", "tiny.yaml", "-qj1", "--on-error", "stop")
    assert said.code == 3
    assert said.err.count("ArithmeticError: no") == 1
    kept = read(Path("results/tiny")).items
    assert kept
    assert cli("run", "tiny.yaml", "-qj1").code == 3
    assert kept.items() <= read(Path("results/tiny")).items.items()


def test_verbose_prints_more(cli: Cli) -> None:
    """`-v` prints every cell, the default one line per estimator."""
    digest, summary = cli("run", "tiny.yaml", "-j1"), cli("run", "tiny.yaml", "-j1", "-v")
    assert len(summary.out.splitlines()) > len(digest.out.splitlines())
    assert "exact" in summary.out


def test_dry_run_lists_and_does_nothing(cli: Cli) -> None:
    """`--dry-run` lists every cell with its replicates, and touches no disk."""
    config(Path(), estimators=["reinforce", "rloo"])
    said = cli("run", "tiny.yaml", "--dry-run", "--rigorous")
    assert said.code == 0
    assert sum("200000" in line.replace(",", "") for line in said.out.splitlines()) == 2 * 3
    assert said.out.count("skipped: needs N ≥ 2") == 4
    assert said.err == "16 cells: 12 to run, 4 skipped. Nothing was run.\n"
    assert not Path("results").exists()


def test_dry_run_of_very_many_cells_is_aligned_text(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the same words in the same order as the tables, with every column at one place."""
    config(Path(), estimators=["reinforce", "rloo"])
    monkeypatch.setenv("COLUMNS", "400")
    tables = cli("run", "tiny.yaml", "--dry-run").out
    monkeypatch.setattr("estbench.cli.run.MANY", 0)
    text = cli("run", "tiny.yaml", "--dry-run").out
    assert text.split() == tables.split()
    lines = [line for line in text.splitlines() if line.startswith(("estimator", "reinforce", "rloo"))]
    assert {line.find("MC") for line in lines} == {-1, lines[0].find("method")}


def test_settings_and_seed_replace_what_the_config_says(cli: Cli) -> None:
    """`--set`, as often as it is given, and `--seed` change the run, and the manifest says so."""
    assert cli("run", "tiny.yaml", "-qj1", "--set", "samples=[2]", "--set", "level=0.9", "--seed", 7).code == 0
    manifest = read(Path("results/tiny")).manifest
    assert (manifest["config"]["samples"], manifest["config"]["level"], manifest["seed"]) == ([2], 0.9, 7)


def test_quick_then_full_goes_on(cli: Cli) -> None:
    """After `--quick` the full run adds to what is there; after the full one, `--quick` is refused and says why."""
    path = config(Path(), replicates=5000, methods=["monte_carlo"])
    assert cli("run", path, "--quick", "-qj1").code == 0
    quick = Path("results/tiny/journal.jsonl").read_bytes()
    assert set(pd.read_csv("results/tiny/results.csv")["replicates"]) == {2000}
    assert cli("run", path, "-qj1").code == 0
    full = tree(Path("results/tiny"))
    assert full["journal.jsonl"].startswith(quick)
    assert (pd.read_csv("results/tiny/results.csv")["replicates"] >= 5000).all()
    assert "now fewer are asked for: 2000" in clean(cli("run", path, "--quick", "-qj1"), 2)
    assert tree(Path("results/tiny")) == full
    assert "contradict each other" in clean(cli("run", path, "--quick", "--rigorous"), 2)


@pytest.mark.parametrize("option", ["--quick", "--rigorous"])
def test_a_number_of_replicates_and_a_precision(cli: Cli, option: str) -> None:
    """`--quick` and `--rigorous` are refused by name where the config, or --set, asks for a precision."""
    fixed = {key: value for key, value in CONFIG.items() if key != "replicates"}
    Path("tiny.yaml").write_text(yaml.safe_dump({**fixed, "precision": {"relative": 0.1}}))
    said = clean(cli("run", "tiny.yaml", option, "-q"), 2)
    assert f"{option} sets the replicates, and does not go with the precision that tiny.yaml asks for" in said
    assert "--set replicates" not in said
    Path("tiny.yaml").write_text(yaml.safe_dump(fixed))
    assert cli("run", "tiny.yaml", option, "--dry-run").code == 0
    assert not Path("results").exists()


def test_another_config_is_refused_until_fresh(cli: Cli) -> None:
    """A changed config is refused with a diff, and nothing is lost; `--fresh` starts over."""
    assert cli("run", "tiny.yaml", "-qj1").code == 0
    before = tree(Path("results"))
    config(Path(), temperatures=[0.7])
    refused = clean(cli("run", "tiny.yaml", "-j1"), 2)
    assert "-temperatures: [0.5]" in refused
    assert "+temperatures: [0.7]" in refused
    assert "--fresh" in refused
    assert tree(Path("results")) == before
    assert cli("run", "tiny.yaml", "-qj1", "--fresh").code == 0
    assert read(Path("results/tiny")).manifest["config"]["temperatures"] == [0.7]


def test_output_folder(cli: Cli) -> None:
    """`-o` names the run folder; with blanks in it, the next command is still printed so that it can be pasted."""
    said = cli("run", "tiny.yaml", "-j1", "-o", "a b/run")
    assert said.code == 0
    assert {"manifest.json", "journal.jsonl", "results.csv"} <= tree(Path("a b/run")).keys()
    (line,) = [line for line in said.err.splitlines() if line.startswith("Figures: ")]
    assert shlex.split(line)[1:] == ["estbench", "plot", "a b/run"]


def test_ten_thousand_cells_begin_at_once(tmp_path: Path) -> None:
    """A sweep of 10 000 cells is planned, and the first of its tasks done, in less than two seconds of this process."""
    objectives = [{"name": "quadratic", "target": 0.01 * i} for i in range(25)]
    shared = {"distribution": "bernoulli", "logits": [0.6, 0.1]}
    data: dict[str, Any] = {
        **CONFIG,
        "samples": [*range(1, 11)],
        "temperatures": [0.1 * i for i in range(1, 11)],
        "problems": [{**shared, "objective": objective} for objective in objectives],
        "estimators": ["gumbel", "gumbel_st"],
    }
    begin = time.process_time()
    benchmark = Benchmark.of(data, tmp_path / "run")
    assert len(benchmark.plan.cells) == 10_000
    with closing(benchmark.run()) as events:
        assert next(event for event in events if isinstance(event, Progress) and event.done).total > 100
        assert time.process_time() - begin < 2


def test_progress_without_a_terminal_is_lines(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where stderr is no terminal, progress is plain lines: tasks done and known, replicates/s, time left."""
    monkeypatch.setattr(display, "LINE_EVERY", 0.0)
    lines = cli("run", "tiny.yaml", "-j1").err.splitlines()
    counts = [line.split(" tasks")[0] for line in lines if " tasks" in line]
    assert counts[-1] == "9/9"  # for each problem: costs, exact moments (of two classes: one task), two jobs
    assert any("replicates/s, about" in line for line in lines)
    assert not any("\x1b" in line or "\r" in line for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize("no_color", [False, True])
def test_terminals_get_a_bar_and_no_color_is_honoured(forks: Forks, tmp_path: Path, no_color: bool) -> None:
    """On a terminal the plan and then a bar are drawn, without colours if NO_COLOR is set; nothing is elsewhere."""
    config(tmp_path)
    variables = {**environment(), "TERM": "xterm-256color"}
    if not no_color:
        del variables["NO_COLOR"]
    with terminal() as (name, drawn):
        said = forks.run(tmp_path, "run", "tiny.yaml", "-j1", err=name, variables=variables)
        until(lambda: "Figures: " in drawn())
    assert said.code == 0
    assert 0 < drawn().index("Planning tiny.yaml") < drawn().index(" tasks")
    assert "━" in drawn()
    assert bool(re.search(r"\x1b\[[0-9;]*3[0-9]", drawn())) != no_color
    assert "\x1b" not in said.out


@contextmanager
def terminal() -> Iterator[tuple[str, Callable[[], str]]]:
    """The name of a terminal, and what has been written to it."""
    parent, child = pty.openpty()
    pieces: list[bytes] = []

    def read_on() -> None:
        with suppress(OSError):
            while piece := os.read(parent, 4096):
                pieces.append(piece)

    reader = threading.Thread(target=read_on, daemon=True)
    reader.start()
    try:
        yield os.ttyname(child), lambda: b"".join(pieces).decode()
    finally:
        os.close(child)
        reader.join(PATIENCE)
        os.close(parent)


# --- parts and merging --------------------------------------------------------------------------------------------


def test_parts_merge_to_the_whole(cli: Cli) -> None:
    """The parts of a run, made apart and in any order, merge to the bytes of one run, with nothing left to do."""
    estimators = [*CONFIG["estimators"], "rebar", "rloo"]  # one is fitted, one joint
    path = config(Path(), replicates=80_000, estimators=estimators)
    assert cli("run", path, "-qj1", "-o", "whole").code == 0
    for k in (3, 1, 2):
        assert cli("run", path, "-qj1", "-o", f"part{k}", "--part", f"{k}/3").code == 0
    part = read(Path("part2"))
    assert part.items.keys() < read(Path("whole")).items.keys()
    with_rows = [pd.read_csv(f"part{k}/results.csv") for k in (1, 2, 3)]
    assert sum(len(frame[frame["status"] == "ok"]) for frame in with_rows) < CELLS  # only whole cells are shown
    said = cli("merge", "part2", "part3", "part1", "-o", "merged")
    assert said.code == 0
    assert "Results: merged/results.csv" in said.err
    assert values(Path("merged/results.csv")).equals(values(Path("whole/results.csv")))
    kinds = [[item for item in read(Path(name)).items if item[0] == "job"] for name in ("part1", "part2", "part3")]
    assert not set(kinds[0]) & set(kinds[1])
    assert sum(map(len, kinds)) == sum(item[0] == "job" for item in read(Path("whole")).items)
    assert "All is done already" in cli("run", path, "-j1", "-o", "merged").err


def test_a_part_resumes_as_that_part(cli: Cli) -> None:
    """A part that is run again is done, whatever the others have; and the rest can be done in its folder."""
    assert cli("run", "tiny.yaml", "-qj1", "--part", "2/2").code == 0
    said = cli("run", "tiny.yaml", "-j1", "--part", "2/2")
    assert "All is done already" in said.err
    assert cli("run", "tiny.yaml", "-qj1").code == 0
    assert len(pd.read_csv("results/tiny/results.csv")) == CELLS


def test_parts_with_a_precision_extend_what_was_merged(cli: Cli) -> None:
    """With a precision the parts make the pilot; the merged run goes on to what the precision asks for."""
    precision = {"relative": 0.02, "metric": "variance", "max_replicates": 20000}
    changes: dict[str, Any] = {"precision": precision, "methods": ["monte_carlo"]}
    data = {key: value for key, value in CONFIG.items() if key != "replicates"} | changes
    Path("tiny.yaml").write_text(yaml.safe_dump(data))
    assert cli("run", "tiny.yaml", "-qj1", "-o", "whole").code == 0
    for k in (1, 2):
        assert cli("run", "tiny.yaml", "-qj1", "-o", f"part{k}", "--part", f"{k}/2").code == 0
    assert cli("merge", "part1", "part2", "-o", "merged").code == 0
    assert cli("run", "tiny.yaml", "-qj1", "-o", "merged").code == 0
    assert values(Path("merged/results.csv")).equals(values(Path("whole/results.csv")))


def test_a_finer_precision_goes_on(cli: Cli) -> None:
    """A run to a precision goes on to a finer one with more replicates: what was done is kept, the rest is added."""
    base = {key: value for key, value in CONFIG.items() if key != "replicates"} | {"methods": ["monte_carlo"]}

    def at(relative: float, most: int) -> pd.DataFrame:
        precision = {"relative": relative, "metric": "variance", "max_replicates": most}
        Path("tiny.yaml").write_text(yaml.safe_dump(base | {"precision": precision}))
        assert cli("run", "tiny.yaml", "-qj1").code == 0
        return pd.read_csv("results/tiny/results.csv")

    journal = Path("results/tiny/journal.jsonl")
    first, before = at(0.05, 10_000), journal.read_bytes()
    second = at(0.001, 40_000)
    assert journal.read_bytes().startswith(before)
    assert (second["replicates"] >= first["replicates"]).all()
    assert first["replicates"].max() <= 10_000 < second["replicates"].max() <= 40_000
    assert "can only become finer" in clean(cli("run", "tiny.yaml", "-q", "--set", "precision.relative=.03"), 2)


@pytest.mark.parametrize("part", ["0/2", "3/2", "2", "a/b", "-1/2", "1/0", "1/2/3"])
def test_parts_that_cannot_be(cli: Cli, part: str) -> None:
    """A part is K/N with 1 ≤ K ≤ N."""
    assert "--part: expected K/N" in clean(cli("run", "tiny.yaml", f"--part={part}"), 2)


def test_what_does_not_fit_is_not_merged(cli: Cli, run_folder: Path) -> None:
    """Runs of another seed, and folders that are none, are refused with 2, and nothing is written."""
    assert cli("run", "tiny.yaml", "-qj1", "--seed", 9).code == 0
    assert "seed: was 9, now 3" in clean(cli("merge", run_folder, "results/tiny", "-o", "c"), 2)
    assert "nowhere: not a run folder" in clean(cli("merge", run_folder, "nowhere", "-o", "c"), 2)
    assert cli("merge", run_folder).code == 2
    assert not Path("c").exists()


# --- reading results ----------------------------------------------------------------------------------------------


def test_status_counts_every_cell(cli: Cli, run_folder: Path) -> None:
    """`status` says how many cells are done, and how many there are."""
    said = cli("status", run_folder)
    assert said.code == 0
    assert said.out.splitlines()[-2].split() == ["all", "16", "0", "0", "0", "16"]


def test_status_of_any_journal(cli: Cli, run_folder: Path) -> None:
    """Whatever lines a journal lacks, at its end or within, a cell is done or is to come, and `run` mends it."""
    lines = (run_folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    folder = Path("results/tiny")
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_bytes((run_folder / "manifest.json").read_bytes())
    kinds = [{record["kind"] for record in json.loads(line)["records"]} for line in lines]
    firsts = {next(i for i, found in enumerate(kinds) if kind in found) for kind in ("problem", "cost", "exact", "job")}
    for i in firsts:
        for left in (lines[:i], lines[:i] + lines[i + 1 :]):
            (folder / "journal.jsonl").write_bytes(b"".join(left))
            assert cli("status").code == 0
        assert cli("run", "tiny.yaml", "-qj1").code == 0
        assert values(folder / "results.csv").equals(values(run_folder / "results.csv"))


def test_export_in_every_format(cli: Cli, run_folder: Path) -> None:
    """csv, json and parquet hold the same cells; json and parquet have the vectors; -o writes what stdout gets."""
    csv = cli("export", run_folder).out
    assert csv == (run_folder / "results.csv").read_text()
    assert cli("export", run_folder, "-o", "out.csv") == Said(0, "", "")
    assert Path("out.csv").read_text() == csv
    records = json.loads(cli("export", run_folder, "--format", "json").out)
    assert len(records) == CELLS
    assert all(len(record["true_gradient"]) == len(record["mean_gradient"]) for record in records)
    assert cli("export", run_folder, "--format", "parquet", "-o", "out.parquet").code == 0
    assert list(pd.read_parquet("out.parquet")["variance"]) == [record["variance"] for record in records]
    assert "name a file with -o" in clean(cli("export", run_folder, "--format", "parquet"), 2)
    for kind in ("csv", "parquet"):
        assert "nowhere/out" in clean(cli("export", run_folder, "--format", kind, "-o", "nowhere/out"), 2)


@pytest.mark.parametrize(
    ("kind", "begin", "end"),
    [
        ("table", "quadratic[target=0.3] bernoulli", "."),
        ("markdown", "| problem | estimator |", "|"),
        ("latex", r"\begin{tabular}", r"\end{tabular}"),
    ],
)
def test_export_for_readers(cli: Cli, run_folder: Path, kind: str, begin: str, end: str) -> None:
    """A table, Markdown and LaTeX name every estimator, on stdout and with -o alike."""
    said = cli("export", run_folder, "--format", kind)
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(begin)
    assert said.out.rstrip().endswith(end)
    assert cli("export", run_folder, "--format", kind, "-o", "out").code == 0
    assert Path("out").read_text() == said.out
    for record in json.loads(cli("export", run_folder, "--format", "json").out):
        assert record["label"].replace("_", r"\_" if kind in ("markdown", "latex") else "_") in said.out


def test_what_fitting_cost(cli: Cli) -> None:
    """`status` shows the evaluations and seconds of fits, `export` what they found; without a fit both are silent."""
    estimators = ["reinforce", {"name": "reinforce", "baseline": "optimal", "oracle": False, "label": "mine"}, "rebar"]
    config(Path(), "fits.yaml", name="fits", estimators=estimators)
    assert cli("run", "fits.yaml", "-qj1").code == 0
    records = json.loads(cli("export", "results", "--format", "json").out)
    of = {label: [r["fit"] for r in records if r["label"] == label] for label in ("reinforce", "mine", "rebar")}
    assert set(map(str, of["reinforce"])) == {"None"}
    for label in ("mine", "rebar"):
        distinct = {json.dumps(fit): fit for fit in of[label]}
        assert all(fit["fields"] and fit["seconds"] > 0 for fit in distinct.values())
        f, df = (sum(fit[name] for fit in distinct.values()) for name in ("f_evaluations", "grad_evaluations"))
        assert f > 0
        assert f"{len(distinct)} {f:,} {df:,}" in " ".join(line_of(cli("status").out, label).split())
    assert line_of(cli("status").out, "fitted").split() == ["fitted", "fits", "f", "∇f", "time"]
    assert cli("export", "results", "--format", "parquet", "-o", "out.parquet").code == 0
    texts = pd.read_parquet("out.parquet")["fit"]
    assert [None if pd.isna(text) else json.loads(text) for text in texts] == [r["fit"] for r in records]


def line_of(text: str, first: str) -> str:
    """The line of a text that begins with this word."""
    (line,) = [line for line in text.splitlines() if line.split()[:1] == [first]]
    return line


def test_a_folder_of_runs_is_read_as_one(cli: Cli) -> None:
    """`export` of a folder of runs has the cells of all, and says of each from which it is."""
    config(Path(), "other.yaml", name="other", estimators=["ste", "rloo"])
    for name in ("tiny", "other"):
        assert cli("run", f"{name}.yaml", "-qj1").code == 0
    records = json.loads(cli("export", "results", "--format", "json").out)
    assert {record["run"] for record in records} == {"tiny", "other"}
    assert len(records) == 2 * CELLS
    assert [line.split()[0] for line in cli("status").out.splitlines() if line.startswith("results/")] == [
        "results/other",
        "results/tiny",
    ]


@pytest.mark.parametrize(
    ("arguments", "choices"),
    [
        (("compare", "--metric", "cosine"), "'variance', 'mse', 'work'"),
        (("run", "x", "--device", "tpu"), "'cpu', 'cuda'"),
    ],
)
def test_a_choice_that_is_none(cli: Cli, arguments: tuple[str, ...], choices: str) -> None:
    """A word that is none of an option's choices is refused with all of them, in words of our own."""
    said = cli(*arguments)
    assert said.code == 2
    text = " ".join(said.err.replace("│", " ").split())
    assert f"Invalid value for '{arguments[-2]}': '{arguments[-1]}' is not one of {choices}." in text


def test_plot_and_report(cli: Cli, run_folder: Path) -> None:
    """`plot` prints the files it draws, where and of the kinds it is told; `report` writes a page into the folder."""
    said = cli("plot", run_folder, "-o", "drawn", "--kind", "samples", "--format", "svg")
    assert said.code == 0
    assert sorted(said.out.split()) == sorted(map(str, Path("drawn").iterdir()))
    assert {path.suffix for path in Path("drawn").iterdir()} == {".svg"}
    few = [["--kind", "samples,cosine"], ["--kind", "samples", "--kind", " cosine"]]
    drawn = [cli("plot", run_folder, "-o", f"drawn{i}", *kinds).out.splitlines() for i, kinds in enumerate(few)]
    assert [Path(path).name for path in drawn[0]] == [Path(path).name for path in drawn[1]]
    assert {Path(path).stem.split("-")[-1] for path in drawn[0]} == {"samples", "cosine"}
    assert "--kind pie: no such kind of figure" in clean(cli("plot", run_folder, "--kind", "samples,pie"), 2)
    said = cli("report", run_folder)
    assert Path(said.out.strip()).read_text().startswith("<!doctype html>")


def test_compare_speaks_json_and_nothing_else_on_stdout(cli: Cli, run_folder: Path) -> None:
    """`estbench compare --format json` can be piped into another program, with results and with the built-in suite."""
    rows = json.loads(cli("compare", run_folder, "--format", "json", "--reference", "gumbel").out)
    assert {row["name"] for row in rows} == {"reinforce", "gumbel"}
    said = cli("compare", "--estimators", "ste,reinforce", "--format", "json")
    assert {row["name"] for row in json.loads(said.out)} == {"ste", "reinforce"}
    assert said.err == ""


@pytest.mark.parametrize(
    ("arguments", "said", "caret"),
    [
        (["--estimators", "ste, gumbl,arm"], "unknown estimator 'gumbl'. Did you mean 'gumbel'?", "gumbl"),
        (["--estimators", "ste,gumbel[temperature=-1]"], "temperature: expected a number > 0, got -1", "gumbel"),
        (["--estimators", "ste,straight_through"], "is the same as estimators[0]", "straight_through"),
        (["--estimators", "ste", "--reference", "gumbl"], "unknown estimator 'gumbl'.", "gumbl"),
    ],
)
def test_what_the_suite_complains_of_names_the_option(cli: Cli, arguments: list[str], said: str, caret: str) -> None:
    """A wrong name or option is told at the option it was typed in, as it was typed, with a caret under it."""
    option = " ".join(arguments[-2:])
    head, text, mark = clean(cli("compare", *arguments), 2).splitlines()
    assert head.startswith(f"estbench: {option}: {said}")
    assert text.endswith(f" | {option}")
    assert text[mark.index("^") :].startswith(caret)


def test_the_suite_ranks_the_others_beside_what_fails(cli: Cli) -> None:
    """Each plug-in that fails has a line with its name and why; the others are ranked; nothing else is on stdout."""
    Path("exits_at_import.py").write_text("import sys; print('IMPORTED'); sys.exit(0)")
    Path("crashes_at_import.py").write_text("import ctypes; ctypes.string_at(0)")
    why = {
        "tests.unruly:Unruly[how=writes/fz]": "failed in 9 cells: Unruly changes what other estimators read too: fz",
        "tests.unruly:Unruly[how=throws/KeyboardInterrupt]": "failed in 9 cells: KeyboardInterrupt",
        "exits_at_import:Mine": "failed: estimator plug-in 'exits_at_import:Mine' cannot be imported: SystemExit: 0",
        "crashes_at_import:Mine": "failed: importing the plug-in module crashes_at_import ends the process",
    }
    said = cli("compare", "--estimators", ",".join(["reinforce", *why, "ste"]), "--at", "samples", "--format", "json")
    assert said.code == 3
    assert {row["name"] for row in json.loads(said.out)} == {"reinforce", "ste"}
    assert all(f"{name} {text}" in said.err for name, text in why.items()), said.err
    alone = cli("compare", "--estimators", "exits_at_import:Mine")
    assert (alone.code, alone.out) == (3, "")


BUILT = """
from pydantic.dataclasses import dataclass
from estbench.estimators.score_function.reinforce import Reinforce

@dataclass(frozen=True)
class Mine(Reinforce):
    def __post_init__(self):
        raise RuntimeError("no licence")

@dataclass(frozen=True)
class Fine(Reinforce):
    pass

@dataclass(frozen=True)
class Odd:
    on = "values"
    distributions = frozenset({"bernoulli"})
    def __post_init__(self):
        raise RuntimeError("no data")
    def value(self, v):
        return v.sum(-1)
"""


def test_what_cannot_be_imported_or_built_is_left_out_of_a_run(cli: Cli) -> None:
    """Each has a line with its place and why; the rest of the config is run, exit 3; mended, it is added."""
    Path("exits_at_import.py").write_text("import sys; print('IMPORTED'); sys.exit(0)")
    Path("crashes_at_import.py").write_text("import ctypes; ctypes.string_at(0)")
    Path("lacks_a_package.py").write_text("import no_such_package")
    Path("built.py").write_text(BUILT)
    odd, good = {"objective": "built:Odd", "distribution": "bernoulli", "logits": 0.0}, CONFIG["problems"][0]
    names = ["exits_at_import:Mine", "reinforce", "crashes_at_import:Mine", "lacks_a_package:Mine", "built:Mine"]
    Path("broken.yaml").write_text(yaml.safe_dump(CONFIG | {"problems": [odd, good], "estimators": names}))
    said = cli("run", "broken.yaml", "-qj1", "-o", "run")
    assert said.code == 3
    for why in (
        "estimators[0] failed: estimator plug-in 'exits_at_import:Mine' cannot be imported: SystemExit: 0",
        "estimators[2] failed: importing the plug-in module crashes_at_import ends the process that does so",
        "estimators[3] failed: estimator plug-in 'lacks_a_package:Mine' cannot be imported: No module named 'no_such",
        "estimators[4] failed: it cannot be built: RuntimeError: no licence",
        "problems[0] failed: it cannot be built: RuntimeError: no data",
        "5 entries of the config were left out",
    ):
        assert why in said.err
    assert "IMPORTED" not in said.out
    assert set(pd.read_csv("run/results.csv")["estimator"]) == {"reinforce"}
    mended = ["--set", f"problems=[{json.dumps(good)}]", "--set", "estimators=[reinforce, 'built:Fine']"]
    assert cli("run", "broken.yaml", "-qj1", "-o", "run", *mended).code == 0
    assert set(pd.read_csv("run/results.csv")["estimator"]) == {"reinforce", "built:Fine"}


@pytest.mark.parametrize("wrong", ["no_such_module:Mine", "built:NoSuchClass", "built:Fine[baseline=meen]"])
def test_a_plugin_that_is_only_misspelt_is_a_wrong_config(cli: Cli, wrong: str) -> None:
    """A module, class or option that there is not ends the run before it begins, with its place."""
    Path("built.py").write_text(BUILT)
    said = clean(cli("run", "tiny.yaml", "-o", "run", "--set", f"estimators=[reinforce, '{wrong}']"), 2)
    assert "estimators[1].name" in said
    assert not Path("run").exists()


@pytest.mark.slow
def test_the_suite_waits_for_no_plugin_that_hangs(cli: Cli) -> None:
    """--cell-timeout ends what takes longer, in its import or in a job."""
    Path("hangs_at_import.py").write_text("import time; time.sleep(600)")
    Path("hangs.py").write_text(
        "import time\nfrom pydantic.dataclasses import dataclass\n"
        "from estbench.estimators.score_function.reinforce import Reinforce\n"
        "@dataclass(frozen=True)\nclass Mine(Reinforce):\n    def rows(self, draw): time.sleep(600)\n"
    )
    said = cli("compare", "--estimators", "hangs_at_import:Mine,hangs:Mine", "--cell-timeout", "1")
    assert said.code == 3
    assert "hangs_at_import takes longer than 1 s (--cell-timeout)" in said.err
    assert "hangs:Mine failed in 9 cells: TimeoutError: it took longer than 1 s (--cell-timeout)" in said.err


@pytest.mark.parametrize("command", ["run tiny.yaml --dry-run", "compare --estimators ste"])
@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_that_is_none(cli: Cli, command: str, seed: int) -> None:
    """A seed below 0 or beyond 63 bits is told at --seed; the largest is taken."""
    said = cli(*command.split(), "--seed", seed)
    assert said.code == 2
    assert "Invalid value for '--seed'" in said.err
    assert "Traceback" not in said.err
    assert cli("run", "tiny.yaml", "--dry-run", "--seed", 2**63 - 1).code == 0


def test_a_reference_by_another_name(cli: Cli) -> None:
    """--reference takes aliases, and one that is compared already is not added a second time."""
    said = cli("compare", "--estimators", "reinforce,ste", "--reference", "straight_through", "--format", "json")
    rows = json.loads(said.out)
    assert {row["name"] for row in rows} == {"reinforce", "ste"}
    assert {row["name"] for row in rows if row["verdict"] == ""} == {"ste"}


def test_list_and_show(cli: Cli) -> None:
    """The catalogue is listed and shown; names that are not in it are refused with a suggestion."""
    names = {row["name"] for row in json.loads(cli("list", "--format", "json").out)}
    assert {"reinforce", "ste", "gumbel"} <= names
    assert json.loads(cli("list", "objectives", "--format", "json").out)
    assert "variance" in cli("list", "metrics").out
    assert "Options" in cli("show", "gumbel").out
    said = clean(cli("show", "gumble"), 2)
    assert "there is no estimator, objective, distribution or network 'gumble'. Did you mean 'gumbel'?" in said
    assert "(estbench list estimators, …)" in said
    assert "Did you mean 'quadratic'" in clean(cli("show", "quadratc"), 2)
    assert cli("show", "parity").out == cli("show", "product[offset=1,slope=-2]").out


def test_plugins_are_shown(cli: Cli) -> None:
    """A class of one's own has a page like those of the catalogue; what is no estimator or objective is told so."""
    plugin(MINE)
    said = cli("show", "my_plugin:Mine")
    assert said.code == 0
    assert said.out.startswith("my_plugin:Mine\n\nĝ = f(z) s(z).\n\n")
    for line in ("Family        score function", "Serves        bernoulli", "Cost          1 f per sample", "scale=1"):
        assert line in said.out
    needy = cli("show", f"{PLUGINS}:Needy").out
    assert "ĝ = c f(z) s(z)." in needy
    assert "Options       text=no, c (needed)" in needy
    assert f"Facts         give {PLUGINS}:Needy[c=…]" in needy
    assert "scale=2" in cli("show", "my_plugin:Mine[scale=2]").out
    assert "my_plugin:Mine has no option 'width'; its options: scale" in clean(
        cli("show", "my_plugin:Mine[width=2]"), 2
    )
    page = [f"{PLUGINS}:Sum", "", "An objective of one's own: f(v) = Σ v.", "", "Options       none"]
    assert cli("show", f"{PLUGINS}:Sum").out.splitlines()[:5] == page
    assert "is not an estimator: it has no `facts`" in clean(cli("show", f"{PLUGINS}:Other"), 2)
    assert "No module named 'nosuch'" in clean(cli("show", "nosuch:Thing"), 2)


def test_check(cli: Cli) -> None:
    """`check` says by which routes the gradient was found, which claims are false, and what the run will take."""
    said = cli("check", "tiny.yaml")
    assert said.code == 0
    assert "closed form" in said.out
    assert "16 cells, about" in said.err
    plugin(MINE.replace("f=1", "f=2"))
    config(Path.cwd(), estimators=["my_plugin:Mine"])
    said = cli("check", "tiny.yaml")
    assert said.code == 3
    assert "my_plugin:Mine: its facts declare 2 f and 0 ∇f an estimate at N = 1, but 1 f" in said.out
    config(Path.cwd(), estimators=[FAULTY])
    said = cli("check", "tiny.yaml")
    assert said.code == 3
    assert "8 cells will fail" not in said.out
    assert "4 cells will fail: ArithmeticError: no" in said.out


MINE = """
from pydantic.dataclasses import dataclass
from estbench.draws import Draw
from estbench.estimators.base import BERNOULLI, Facts

@dataclass(frozen=True)
class Mine:
    \"\"\"ĝ = f(z) s(z).\"\"\"

    scale: float = 1.0

    @property
    def facts(self) -> Facts:
        return Facts("score function", BERNOULLI, f=1)

    def rows(self, draw: Draw):
        return draw.lift(draw.fz) * draw.score
"""


def plugin(text: str) -> None:
    """my_plugin.py in the working directory, as a new process would find it."""
    Path("my_plugin.py").write_text(text)
    sys.modules.pop("my_plugin", None)
    importlib.invalidate_caches()


def test_a_plugin_that_was_edited_starts_no_mixture(cli: Cli) -> None:
    """A run goes on with the plug-in it began with, and is refused with another, for an estimator or an objective."""
    plugin(MINE)
    config(Path.cwd(), estimators=["my_plugin:Mine"], problems=CONFIG["problems"][:1])
    assert cli("run", "tiny.yaml", "-qj1", "-o", "run").code == 0
    assert list(read(Path("run")).manifest["plugins"]) == ["my_plugin:Mine"]
    plugin(MINE)
    assert "All is done already" in cli("run", "tiny.yaml", "-j1", "-o", "run").err
    before = tree(Path("run"))
    plugin(MINE.replace("* draw.score", "* draw.score * 2"))
    said = clean(cli("run", "tiny.yaml", "-qj1", "-o", "run", "--set", "replicates=1024"), 2)
    assert "my_plugin:Mine has changed since" in said
    assert "--fresh" in said
    assert tree(Path("run")) == before
    assert cli("run", "tiny.yaml", "-qj1", "-o", "run", "--fresh").code == 0
    other = {**CONFIG["problems"][0], "objective": f"{PLUGINS}:Sum"}
    config(Path.cwd(), problems=[other])
    assert list(Benchmark.of("tiny.yaml").manifest()["plugins"]) == [f"{PLUGINS}:Sum"]


# --- bad input ----------------------------------------------------------------------------------------------------


def problem(**changes: Any) -> dict[str, Any]:
    """The config with its first problem changed."""
    return {"problems": [{**CONFIG["problems"][0], **changes}]}


def estimator(**entry: Any) -> dict[str, Any]:
    """The config with this estimator."""
    return {"estimators": [entry]}


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "unknown estimator": (estimator(name="gumble"), "unknown estimator 'gumble'. Did you mean 'gumbel'?"),
    "unknown objective": (problem(objective="quadratc"), "unknown objective 'quadratc'. Did you mean 'quadratic'?"),
    "unknown option": (estimator(name="reinforce", baselin="mean"), "unknown key 'baselin'. Did you mean 'baseline'?"),
    "option that cannot be": (estimator(name="reinforce", baseline="meen"), "got 'meen'. Did you mean 'mean'?"),
    "unknown key": ({"sample": [1]}, "unknown key 'sample'. Did you mean 'samples'?"),
    "text for a number": ({"replicates": "many"}, "replicates: expected an integer, got 'many'"),
    "text for a list": ({"problems": "quadratic"}, "problems: expected a list"),
    "temperature 0": ({"temperatures": [0.0]}, "temperatures[0]: expected a number > 0, got 0"),
    "temperature below 0": (estimator(name="gumbel", temperature=-1), "expected a number > 0, got -1"),
    "N = 0": ({"samples": [0]}, "samples[0]: expected a number ≥ 1, got 0"),
    "K = 1": (problem(distribution="categorical", categories=1, logits=0.0), "expected a number ≥ 2, got 1"),
    "logits too few": (problem(dimensions=3), "expected a list of 3 (dimensions: 3), got one of 1"),
    "logits ragged": (problem(distribution="categorical", logits=[[0.1, 0.2], [0.2]]), "expected a list of 2"),
    "logits NaN": (problem(logits=[float("nan")]), "expected a finite number, got .nan"),
    "logits infinite": (problem(logits=[float("-inf")]), "expected a finite number, got -.inf"),
    "logits 1e6": (problem(logits=[1e6]), "expected a logit between -100 and 100, got 1000000"),
    "logits -1e6": (problem(logits=[-1e6]), "expected a logit between -100 and 100, got -1000000"),
    "seed below 0": ({"seed": -1}, "seed: expected a number ≥ 0, got -1"),
    "no problems": ({"problems": []}, "problems: expected at least one item"),
    "name that leads elsewhere": ({"name": "../../x"}, "name: expected"),
    "name with a control character": ({"name": "a\x1b[31m"}, "name: expected"),
    "label with a control character": (estimator(name="ste", label="\x1b[31mred"), "expected one line"),
    "label turned around": (estimator(name="ste", label="\u202edetsurt"), "expected one line"),
    "plug-in that is not there": (
        estimator(name="nosuch:Thing"),
        "cannot be imported: No module named 'nosuch'",
    ),
    "plug-in that is none": (estimator(name="os:getpid"), "is not an estimator"),
    "objective returning NaN": (problem(objective=f"{PLUGINS}:Nan"), "Nan is nan at a sample"),
    "objective that raises": (problem(objective=f"{PLUGINS}:Raises"), "cannot be evaluated at a sample: KeyError"),
    "objective of another shape": (problem(objective=f"{PLUGINS}:Wide"), "must return one number for each sample"),
    "objective as an estimator": (estimator(name=f"{PLUGINS}:Nan"), "is not an estimator: it has no `facts`"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_configs(cli: Cli, name: str) -> None:
    """A bad config gets one message that says where, what was given and what is allowed; nothing is made on disk."""
    changes, expected = BAD[name]
    path = config(Path(), "bad.yaml", **changes)
    said = cli("run", path, "-o", "new")
    assert expected in clean(said, 2)
    assert "bad.yaml:" in said.err
    assert said.out == ""
    assert "\x1b" not in said.err
    assert not Path("new").exists()


TEXTS: dict[str, tuple[str | bytes, str]] = {
    "not YAML": ("a: [1,\nb: }", "bad.yaml:2:4: not YAML"),
    "empty": ("", "the config is empty"),
    "a comment": ("# nothing\n", "the config is empty"),
    "a list": ("- a\n", "expected key: value, got a list"),
    "binary": (b"\x00\xff\xfe", "not UTF-8 text"),
    "10 MB": ("#" + "x" * 10_000_000, "larger than 1 MB"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_files_that_are_no_configs(cli: Cli, name: str) -> None:
    """What is not YAML, is empty, or is far too large is refused by its name."""
    text, expected = TEXTS[name]
    Path("bad.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert expected in clean(cli("run", "bad.yaml"), 2)
    assert not Path("results").exists()


def test_configs_that_cannot_be_read(cli: Cli) -> None:
    """No such file, and a folder in place of one, are told."""
    assert "no such file; there is tiny.yaml" in clean(cli("run", "tyny.yaml"), 2)
    Path("folder").mkdir()
    assert "folder" in clean(cli("run", "folder"), 2)
    assert "--set" in clean(cli("run", "tiny.yaml", "--set", "nothing"), 2)


def test_places_that_cannot_be_written(cli: Cli) -> None:
    """A file where the folder should be, above it or in it, is refused and left as it is."""
    Path("file").write_text("mine")
    Path("full").mkdir()
    Path("full/thesis.tex").write_text("mine too")
    before = tree(Path())
    for place, expected in (("file", "not a folder"), ("file/run", "Not a directory"), ("full", "is not a run folder")):
        assert expected in clean(cli("run", "tiny.yaml", "-o", place), 2)
        assert expected in clean(cli("run", "tiny.yaml", "-o", place, "--fresh"), 2)
    assert tree(Path()) == before


@pytest.mark.parametrize("command", ["plot", "status", "report", "export", "compare"])
def test_folders_that_are_no_results(cli: Cli, command: str) -> None:
    """A results folder that is not there, is a file, is empty or holds something else is told apart."""
    Path("empty").mkdir()
    Path("full").mkdir()
    Path("full/thesis.tex").write_text("mine")
    for place, expected in {
        "nowhere": "there is no such folder",
        "full/thesis.tex": "not a folder",
        "empty": "is empty",
        "full": "holds no run",
    }.items():
        assert f"{place}: {expected}" in clean(cli(command, place), 2)


@pytest.mark.parametrize("command", [slow("plot --kind overview"), "report"])
def test_the_table_beside_a_run_is_not_read(
    cli: Cli, command: str, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Figures and report are the same whatever became of results.csv: they are made from the checked journal."""
    if command == "report":  # its figures are those of `plot`
        monkeypatch.setattr("estbench.report.draw", lambda *_, **__: [])
    drawn = {}
    for state in ("whole", "missing", "foreign", "cut", "flipped", "pipe"):
        folder = Path(state) / "tiny"
        folder.mkdir(parents=True)
        for name in ("manifest.json", "journal.jsonl", "results.csv"):
            (folder / name).write_bytes((run_folder / name).read_bytes())
        table = folder / "results.csv"
        text = table.read_text()
        if state in ("missing", "pipe"):
            table.unlink()
        if state == "pipe":
            os.mkfifo(table)
        elif state in ("foreign", "cut", "flipped"):
            table.write_text(
                {"foreign": "a,b\n1,2\n", "cut": text[: len(text) // 2], "flipped": text.replace("0.", "9.")}[state]
            )
        assert cli(*command.split(), state).code == 0
        products = [folder / "report.html"] if command == "report" else sorted((folder / "figures").iterdir())
        drawn[state] = {path.name: path.read_bytes() for path in products}
    assert drawn["whole"]
    assert all(each == drawn["whole"] for each in drawn.values())


def remade(folder: Path, records: list[Any], manifest: Any) -> None:
    """A run folder with these records and this manifest, whose checksums are right, as another version may leave it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "journal.jsonl").write_bytes(b"".join(journal_line(canonical([record])) for record in records))
    (folder / "manifest.json").write_text(json.dumps(manifest | {"crc32": checksum(canonical(manifest))}))


READING = ("status", "export", "compare", "merge -o joined", "run tiny.yaml -qj1 -o")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Any], Any]:
    """The records, one of each kind among them, and the manifest of a run."""
    folder = tmp_path_factory.mktemp("written")
    estimators = [*CONFIG["estimators"], "rebar", FAULTY]
    benchmark = Benchmark.of({**CONFIG, "estimators": estimators}, folder / "run")
    for _ in benchmark.run():
        pass
    lines = (folder / "run" / "journal.jsonl").read_text().splitlines()
    manifest = json.loads((folder / "run" / "manifest.json").read_text())
    records = [record for line in lines for record in json.loads(line)["records"]]
    return records, {k: v for k, v in manifest.items() if k != "crc32"}


@pytest.mark.parametrize("kind", ["problem", "cost", "fit", "exact", "job", "failed"])
def test_records_that_lack_a_field(cli: Cli, kind: str, written: tuple[list[Any], Any]) -> None:
    """A record without one of the fields that this version writes is refused by every reader: line, field, remedy."""
    records, manifest = written
    number = next(i for i, record in enumerate(records) if record["kind"] == kind)
    cells = records[number].get("cells", {})
    result = next(iter(cells.values()), records[number])
    came_later = {"unbiased", "rarest_event"}  # unknown where it lacks
    for field in result.keys() - {"kind", "key"} - came_later:
        less = {name: value for name, value in result.items() if name != field}
        record = records[number] | {"cells": dict.fromkeys(cells, less)} if cells else less
        remade(Path("old"), [*records[:number], record, *records[number + 1 :]], manifest)
        before = tree(Path("old"))
        for command in READING:
            said = clean(cli(*command.split(), "old"), 2)
            assert f"old/journal.jsonl, line {number + 1}: " in said
            assert f" lacks {field}: it was written by another version of estbench" in said
            assert "run again into a new folder" in said
        assert tree(Path("old")) == before
        assert not Path("joined").exists()


def paths(data: Any, *above: Any) -> Iterator[tuple[Any, ...]]:
    """Where each key of nested mappings is, and of the first of each list."""
    inner = data.items() if isinstance(data, dict) else list(enumerate(data))[:1] if isinstance(data, list) else ()
    for key, value in inner:
        if isinstance(data, dict):
            yield (*above, key)
        yield from paths(value, *above, key)


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_manifests_that_lack_a_key(
    every: bool, cli: Cli, written: tuple[list[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any one key of the manifest, however deep, no command ends in a traceback; what is needed is named.

    One of the commands for each key, in turns; all of them are slow.
    """
    monkeypatch.setattr("estbench.report.draw", lambda *_, **__: [])  # figures read no manifest
    records, manifest = written
    named = set()
    commands = ("status", "merge -o joined", "run tiny.yaml -qj1 -o", "report")
    for i, (*above, key) in enumerate(paths(manifest)):
        less = json.loads(json.dumps(manifest))
        inner = less
        for part in above:
            inner = inner[part]
        del inner[key]
        remade(Path("old"), records, less)
        for command in commands if every else (commands[i % 4],):
            said = cli(*command.split(), "old")
            assert said.code in (0, 2, 3), (above, key, command, said.err)
            assert "Traceback" not in said.err
            named |= {key} if f"{key}: it was written by another version" in said.err else set()
            remade(Path("old"), records, less)
    required = {field.name for kind in (ManifestRecord, ConfigRecord) for field in fields(kind)} - {"plugins"}
    assert named == required | {"options"}


def test_dask_that_is_not_installed(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--executor dask` without Dask says what to install, before anything is written."""
    monkeypatch.delitem(sys.modules, "estbench.engine.cluster", raising=False)
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.setitem(sys.modules, "dask", None)
    assert "pip install 'estbench[dask]'" in clean(cli("run", "tiny.yaml", "--executor", "dask"), 2)
    assert not Path("results").exists()


def test_bugs_keep_their_traceback(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that is nobody's fault but ours exits with 1, and shows where."""
    monkeypatch.setattr("estbench.index.read", lambda: 1 / 0)
    said = cli("show", "ste")
    assert said.code == 1
    assert "ZeroDivisionError" in said.err
    assert "this is a bug in estbench" in said.err


# --- readers that go away, and interrupts -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    thinned(
        6,
        [
            "list --format json", "list", "show gumbel", "export run", "export run --format json",
            "export run --format table", "compare run", "export run --format markdown", "list --help",
            "--help", "compare run --format csv", "status run", "--version",
        ],
    ),
)  # fmt: skip
def test_a_reader_that_goes_away_is_no_error(forks: Forks, tmp_path: Path, run_folder: Path, arguments: str) -> None:
    """`| head -1` ends quietly, with 0."""
    words = [str(run_folder) if word == "run" else word for word in arguments.split()]
    said = forks.run(tmp_path, *words, unread=[1])
    assert (said.code, said.err) == (0, "")


def test_a_run_goes_on_when_nobody_listens(forks: Forks, tmp_path: Path) -> None:
    """A run whose output nobody reads any more, as after `2>&1 | head -1`, finishes all the same."""
    config(tmp_path)
    assert forks.run(tmp_path, "run", "tiny.yaml", "-j1", unread=[1, 2]).code == 0
    assert len(pd.read_csv(tmp_path / "results/tiny/results.csv")) == CELLS


@pytest.mark.parametrize("arguments", ["run no.yaml", "run", "run --set", "no-such-command"])
def test_an_error_that_nobody_reads_has_its_exit_code(forks: Forks, tmp_path: Path, arguments: str) -> None:
    """Wrong usage exits with 2 where nobody reads the message either, as after `2>&1 | true`."""
    for unread in ([2], [1, 2]):
        assert forks.run(tmp_path, *arguments.split(), unread=unread) == Said(2, "", "")


def test_messages_show_paths_as_they_are(forks: Forks, tmp_path: Path) -> None:
    """A folder whose name reads like the code of an emoji is named by its name."""
    config(tmp_path)
    assert "Results: :x:/results.csv" in forks.run(tmp_path, "run", "tiny.yaml", "-j1", "-o", ":x:").err


def test_a_full_disk_behind_stdout_is_told(forks: Forks, tmp_path: Path) -> None:
    """Results that stdout does not take are an error, told in one line."""
    for arguments in (["list"], ["list", "--format", "json"]):
        assert "No space left on device" in clean(forks.run(tmp_path, *arguments, out="/dev/full"), 5)


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 2])
def test_interrupts(forks: Forks, tmp_path: Path, times: int) -> None:
    """Ctrl-C, once or twice, exits with 130 and prints the command to go on with; it goes on to the same results."""
    config(tmp_path, replicates=400_000)
    options = ["-o", "a b", "-j1", "--set", "samples=[1, 2]", "--seed", "4"]
    command = forks.begin(tmp_path, "run", "tiny.yaml", *options, "--fresh")
    journal = tmp_path / "a b" / "journal.jsonl"
    until(lambda: journal.exists() and journal.read_bytes().count(b"\n") > 1)  # the run has begun, and has a result
    for _ in range(times):
        command.send(signal.SIGINT)
    said = command.wait()
    assert said.code == 130
    assert "Traceback" not in said.err
    before = journal.read_bytes()
    (line,) = [line for line in said.err.splitlines() if line.startswith("Interrupted.")]
    words = shlex.split(line.partition("to go on: ")[2])
    assert words[0] == "estbench"
    assert "--fresh" not in words
    assert forks.run(tmp_path, *words[1:]).code == 0
    assert journal.read_bytes().startswith(before)
    assert forks.run(tmp_path, "run", "tiny.yaml", "-qj1", "--set", "samples=[1, 2]", "--seed", 4, "-o", "c").code == 0
    assert values(tmp_path / "a b/results.csv").equals(values(tmp_path / "c/results.csv"))
