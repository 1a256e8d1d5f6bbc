"""What the command line takes and prints: texts, encodings, streams, folders, values, and where modules are found."""

from __future__ import annotations

import json
import random
import string
import subprocess
import sys
import time
from collections.abc import Mapping
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.table import Table
from typer.main import get_command
from typer.testing import CliRunner

from estbench.cli.app import EXIT_CODES, app
from estbench.cli.console import out
from estbench.config import load
from estbench.config.document import MAX_DEPTH
from estbench.config.shipped import shipped
from estbench.errors import UsageError
from estbench.index import metrics
from estbench.printable import escaped
from tests.cli.forked import PATIENCE, Forks, Said, environment
from tests.cli.here import perform
from tests.sizes import thinned

CONFIG: dict[str, Any] = {
    "name": "small",
    "replicates": 64,
    "problems": [{"objective": "quadratic", "distribution": "bernoulli", "logits": [0.6]}],
    "estimators": ["reinforce"],
}


@pytest.fixture(scope="module")
def done(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small.yaml and its run, in `run`; nobody writes to the latter."""
    folder = tmp_path_factory.mktemp("done")
    (folder / "small.yaml").write_text(yaml.safe_dump(CONFIG))
    assert forks.run(folder, "run", "small.yaml", "-qj1", "-o", "run") == Said(0, "", "")
    return folder


def program(
    *arguments: str, folder: Path, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """`python -m estbench` as a user starts it."""
    return subprocess.run(
        [sys.executable, "-m", "estbench", *arguments],
        cwd=folder,
        env={**environment(), **(variables or {})},
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )


# --- help ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", ["80", "120"])
def test_help_shows_every_text_as_it_was_written(columns: str) -> None:
    """Each help text stands in the help of its command, brackets included."""
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined] # a group
        shown = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": columns}).output
        words = "".join(shown.split())
        for parameter in command.params:
            assert "".join(str(getattr(parameter, "help", "")).split()) in words, (name, parameter.name)


def test_exit_codes_are_told() -> None:
    """`estbench --help` says what each exit code means."""
    shown = CliRunner().invoke(app, ["--help"]).output
    assert " ".join(EXIT_CODES.split()) in " ".join(shown.split())


# --- text that a terminal or an encoding cannot take -----------------------------------------------------------------


def test_plain_text_escapes_what_steers_a_terminal() -> None:
    """Control, bidirectional and undecodable characters are escapes; all else, line ends too, stays."""
    assert escaped("a\x1b[31m\u202eb\udcff\u2028\n∇f ≥ é") == r"a\x1b[31m\u202eb\udcff\u2028" + "\n∇f ≥ é"


def test_tables_escape_names(capsys: pytest.CaptureFixture[str]) -> None:
    """So are those in the cells and titles of tables."""
    table = Table("x\x1b]0;t\x07", title="\u202etitle")
    table.add_row("\x1b[2J")
    out().print(table)
    out().print("a\x1bb", markup=False)
    said = capsys.readouterr().out
    assert not {c for c in said if not c.isprintable()} - {"\n"}
    assert r"a\x1bb" in said


@pytest.mark.parametrize("encoding", thinned(3, ["ascii", "latin-1", "cp1252"]))
def test_any_encoding_of_standard_output(done: Path, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    """Each command ends as it does in UTF-8; what the encoding lacks is written as escapes, which JSON has too."""
    run, config = str(done / "run"), str(done / "small.yaml")
    for arguments in (
        ["list"],
        ["list", "metrics", "--format", "json"],
        ["show", "rebar"],
        ["status", run],
        ["export", run],
        ["compare", run],
        ["check", config],
        ["run", config, "--dry-run"],
    ):
        streams = [TextIOWrapper(BytesIO(), encoding=encoding) for _ in range(2)]
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", streams[0])
            patch.setattr(sys, "stderr", streams[1])
            code = perform(*arguments)
        texts = []
        for stream in streams:
            stream.flush()
            texts.append(stream.buffer.getvalue().decode(encoding))
        assert code == 0, texts
        if "json" in arguments:
            assert json.loads(texts[0]) == metrics()


@pytest.mark.parametrize("name", thinned(2, ["a\x1b[31mred", "a\u202eb", "a\udcffb"]))
def test_folders_with_odd_names(forks: Forks, done: Path, tmp_path: Path, name: str) -> None:
    """A run in a folder whose name steers a terminal, or is not UTF-8, works; the name is printed in escapes."""
    folder = tmp_path / name
    for arguments in (
        ["run", str(done / "small.yaml"), "-j1", "-o", str(folder)],
        ["status", str(folder)],
        ["export", str(folder)],
    ):
        said = forks.run(tmp_path, *arguments)
        assert said.code == 0, said.err
        assert not {c for c in said.out + said.err if c != "\n" and not c.isprintable()}
    missing = forks.run(tmp_path, "status", name + "x")
    assert missing.code == 2
    assert escaped(name) in missing.err


# --- streams, folders and modules ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_closed_standard_output(done: Path, tmp_path: Path) -> None:
    """`export >&-` says that there is nowhere to write to; a run goes on, and its files are what they should be."""
    command = f"{sys.executable} -m estbench"
    for line, code, told in (
        (f"{command} export {done / 'run'} >&-", 2, "standard output is closed"),
        (f"{command} run {done / 'small.yaml'} -j1 -o {tmp_path / 'run'} <&- >&- 2>&-", 0, ""),
    ):
        said = subprocess.run(
            ["/bin/sh", "-c", line], capture_output=True, text=True, env=environment(), timeout=PATIENCE, check=False
        )
        assert said.returncode == code, said.stderr
        assert told in said.stderr
        assert "Traceback" not in said.stderr
    assert (tmp_path / "run/journal.jsonl").read_bytes().count(b"\n") == (
        (done / "run/journal.jsonl").read_bytes().count(b"\n")
    )


def test_a_working_directory_that_was_deleted(tmp_path: Path) -> None:
    """A working directory that is no more is told of, as nothing can be found from it."""
    line = f"cd {tmp_path} && rmdir {tmp_path} && exec {sys.executable} -m estbench list"
    said = subprocess.run(
        ["/bin/sh", "-c", line], capture_output=True, text=True, env=environment(), timeout=PATIENCE, check=False
    )
    assert said.returncode == 2, said.stderr
    assert "working directory" in said.stderr
    assert "Traceback" not in said.stderr


@pytest.mark.parametrize("module", ["random", "yaml"])
def test_modules_of_the_working_directory_shadow_nothing(tmp_path: Path, module: str) -> None:
    """`python -m estbench` imports the standard library and installed packages, whatever lies around."""
    (tmp_path / f"{module}.py").write_text("raise SystemExit('shadowed')")
    said = program("list", folder=tmp_path)
    assert (said.returncode, said.stderr) == (0, b"")


# --- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", ""],
        ["run", "small.yaml", "-o", ""],
        ["run", "small.yaml", "-j1", "-o", "o" * 256],
        ["run", "small.yaml", "--cell-timeout", "inf"],
        ["run", "small.yaml", "--cell-timeout", "nan"],
        ["run", "small.yaml", "--cell-timeout", "1e300"],
        ["run", "small.yaml", "--set", ".".join(["a"] * 1000) + "=1"],
        ["run", "small.yaml", "--set", "problems.0.logits=" + "1" * 401],
        ["run", "small.yaml", "--set", "problems.0.logits=" + "1" * 5000],
        ["run", "small.yaml", "--set", "problems.0.logits=0x" + "f" * 400],
        ["run", "small.yaml", "--set", "problems.0.logits=1e999"],
        ["run", "small.yaml", "--set", "problems.0.logits='inf'"],
        ["run", "small.yaml", "--set", "replicates='inf'"],
        ["run", "small.yaml", "--set", "estimators=[{name: gumbel, temperature: 1e999}]"],
        ["run", "small.yaml", "--set", "estimators=[{name: inf}]"],
        ["run", "small.yaml", "--part", "0/0"],
        ["export", "run", "-o", ""],
        ["merge", "run", "-o", ""],
        ["plot", "run", "-o", ""],
        ["compare", "run", "--margin", "nan"],
    ],
    ids=lambda arguments: " ".join(arguments)[:40],
)
def test_values_that_cannot_be(forks: Forks, done: Path, arguments: list[str]) -> None:
    """Each is refused with one message and exit code 2; nothing is written."""
    before = sorted(path.name for path in done.iterdir() if not path.name.startswith("."))
    said = forks.run(done, *arguments)
    assert said.code == 2, said
    assert "Traceback" not in said.err
    assert said.err
    assert sorted(path.name for path in done.iterdir() if not path.name.startswith(".")) == before


def test_a_label_that_is_called_inf() -> None:
    """Only a number may be infinite: a quoted "inf" elsewhere is text."""
    config = load({**CONFIG, "estimators": [{"name": "reinforce", "label": "inf"}]})
    assert config.estimators[0].spec.label == "inf"


def test_plain_data_nested_without_end() -> None:
    """A mapping that holds itself is refused."""
    endless: dict[str, Any] = dict(CONFIG)
    endless["problems"] = [endless]
    with pytest.raises(UsageError, match=f"more than {MAX_DEPTH} levels"):
        load(endless)
    with pytest.raises(UsageError, match="largest number"):
        load({**CONFIG, "replicates": 10**400})


def test_thousands_of_equal_estimators_are_refused_at_once() -> None:
    """Each is compared with those before it by a look-up."""
    start = time.process_time()
    with pytest.raises(UsageError, match=r"estimators\[1\]: is the same as estimators\[0\]"):
        load({**CONFIG, "estimators": ["reinforce"] * 3000})
    assert time.process_time() - start < 15


@pytest.mark.parametrize("command", ["check", "compare", "export", "plot", "report", "run", "show", "status", "merge"])
def test_a_name_that_the_system_refuses(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file name of 300 letters is one that does not exist, wherever a name is taken."""
    monkeypatch.chdir(tmp_path)
    for name in ("x" * 300, "x" * 300 + ".yaml", "x" * 300 + ".py:f", "a/" * 3000):
        said = CliRunner().invoke(app, [command, name])
        assert isinstance(said.exception, SystemExit), (name, said.exception)
        assert said.exit_code == 2, (name, said.output)


def test_any_command_line_ends_with_a_message(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random words, numbers and options, for six seconds: never a traceback, and always a known exit code."""
    monkeypatch.chdir(done)
    rng = random.Random(7)  # noqa: S311 - no secret
    commands = get_command(app).commands  # type: ignore[attr-defined] # a group
    odd = [
        "",
        "-",
        "--",
        "inf",
        "nan",
        "1e999",
        "-1",
        "0",
        "9" * 400,
        "é\x1b[0m",
        "\udcff",
        "[",
        "a[b",
        "a:b",
        "[[[",
        "{}",
    ]
    odd += [
        "x" * 300,
        "/",
        ".",
        "..",
        "/dev/null",
        "=",
        "a=b",
        "estimators.9=1",
        "problems.0.logits=.nan",
        "mine:Mix[a=1]",
    ]
    values = ["small.yaml", "table", "json", *odd]
    end = time.monotonic() + 6
    for _ in range(150):
        name = rng.choice([*commands, "nonsense"])
        if name in ("merge", "init"):  # they write where they are told to
            continue
        options = [o for p in commands[name].params for o in p.opts if o.startswith("-")] if name in commands else []
        arguments = [name, rng.choice(values)]
        arguments += [rng.choice([*options, *values, rng.choice(string.printable)]) for _ in range(rng.randint(0, 4))]
        if name == "run":
            arguments.append("--dry-run")
        if (name == "compare" and len(arguments) < 3) or time.monotonic() > end:
            continue
        said = CliRunner().invoke(app, [a for a in arguments if a not in ("-o", "--output", "--install-completion")])
        assert said.exception is None or isinstance(said.exception, SystemExit), (arguments, said.exception)
        assert said.exit_code in {0, 2, 3}, (arguments, said.output)


# --- configs that are shipped ------------------------------------------------------------------------------------


def test_init_writes_a_config_that_runs(forks: Forks, tmp_path: Path) -> None:
    """`init` writes a commented config, or a copy of a shipped one, and never over a file."""
    assert forks.run(tmp_path, "init").out == "benchmark.yaml\n"
    assert forks.run(tmp_path, "init", "bernoulli").out == "bernoulli.yaml\n"
    assert (tmp_path / "bernoulli.yaml").read_bytes() == shipped()["bernoulli"].read_bytes()
    before = (tmp_path / "benchmark.yaml").read_text()
    assert before.count("#") > 10
    assert load(tmp_path / "benchmark.yaml").name == "benchmark"
    again = forks.run(tmp_path, "init", "benchmark")
    assert again.code == 2
    assert "left as it is" in again.err
    assert (tmp_path / "benchmark.yaml").read_text() == before


def test_shipped_configs_are_taken_by_name(forks: Forks, tmp_path: Path) -> None:
    """`run bernoulli` takes the shipped one, unless a file has that name; other names are told of `init`."""
    said = forks.run(tmp_path, "run", "bernoulli", "--dry-run", "--quick")
    assert said.code == 0, said.err
    missing = forks.run(tmp_path, "run", "bernouli")
    assert missing.code == 2
    assert "estbench init" in missing.err
