"""Writes what is generated.

That is docs/estimators.md, estbench/catalogue.json, configs/schema.json, the tables and the picture of the README, and
the tables of the seven methods in docs/networks.md.

`python docs/build.py` writes; `python docs/build.py --check` says what is stale, and exits 1 if anything is.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path

import seven_methods

from estbench.cli.app import app
from estbench.config.editor import json_schema
from estbench.frames import read_frame
from estbench.guide import contents, markdown
from estbench.index import FILE, written
from estbench.intervals import FLAGS
from estbench.plots import draw
from estbench.store import find_runs, read_manifest
from estbench.threads import environment

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "overview.png"
COMPARE = ("compare", "--estimators", "ste,gumbel,reinforce", "--at", "samples")


def table() -> str:
    """What `estbench compare` prints, at 80 columns."""
    printed = io.StringIO()
    plain = environment({"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"})
    with plain, contextlib.chdir(ROOT), contextlib.redirect_stdout(printed):
        if app(COMPARE, standalone_mode=False):
            sys.exit(f"estbench {' '.join(COMPARE)} fails")
    lines = [line.rstrip() for line in printed.getvalue().splitlines()]
    return f"```text\n$ estbench {' '.join(COMPARE)}\n" + "\n".join(lines).strip("\n") + "\n```\n"


def flags() -> str:
    """Every flag of results: its name in the column `flags`, its word in tables, and what it means."""
    rows = [f"| `{name}` | {flag.word} | {flag.meaning} |\n" for name, flag in FLAGS.items()]
    return "| flag | in tables | meaning |\n|---|---|---|\n" + "".join(rows)


def with_tables(path: Path, tables: dict[str, str]) -> str:
    """A page with its tables made anew, each between two comments."""
    text = path.read_text()
    for name, made in tables.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
        head, rest = text.split(begin)
        text = head + begin + made + end + rest.split(end)[1]
    return text


def pages() -> dict[Path, str]:
    """Every generated text, by path."""
    parts = {
        ROOT / "README.md": {"compare": table(), "flags": flags()},
        ROOT / "docs" / "networks.md": seven_methods.tables(),
    }
    return {
        ROOT / "docs" / "estimators.md": markdown(),
        FILE: written(contents()),
        ROOT / "configs" / "schema.json": json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n",
        **{path: with_tables(path, tables) for path, tables in parts.items()},
    }


def picture() -> None:
    """The overview of the coupled problem of the reference run."""
    (run,) = find_runs(ROOT / "results" / "reference")
    folder = PICTURE.parent / "drawn"
    level = read_manifest(run)["config"]["level"]
    drawn = draw(read_frame(run), folder, ["overview"], "png", level=level)
    PICTURE.write_bytes(next(path for path in drawn if path.name.startswith("mlp")).read_bytes())
    for path in drawn:
        path.unlink()
    folder.rmdir()


def main() -> None:
    """Write, or check."""
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text() != text]
    if sys.argv[1:] == ["--check"]:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is stale: make docs")
        sys.exit(bool(stale))
    for path in stale:
        path.write_text(pages()[path])
    picture()


if __name__ == "__main__":
    main()
