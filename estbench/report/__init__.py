"""report.html: one page with the tables and figures of a run, that needs no other file and no network.

Its size is bounded: the figures of the first `PROBLEMS` problems and the first `ROWS` results are in it. What is left
out is named, with the command that shows it.
"""

from __future__ import annotations

import base64
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from estbench.outputs import IN_REPORT
from estbench.plots import draw
from estbench.printable import plain
from estbench.store import read_manifest, write_atomically
from estbench.tables.cells import cells
from estbench.tables.flags import meanings
from estbench.tables.summary import left_out_of
from estbench.views import describe, finished, readable

PROBLEMS = 20  # whose figures are in a report: three of them take some 200 kB
ROWS = 10_000  # of the tables, some 400 bytes each


def write(
    folder: Path,
    frame: pd.DataFrame,
    show: Callable[[int, int], None] | None = None,
    *,
    trainings: pd.DataFrame | None = None,
) -> Path:
    """Draw the figures and write report.html into a run folder; returns its path.

    `trainings` are the losses along trainings, where there are any.
    `show` is told how many figures are drawn, of how many. Everything that a config can say reaches the page as text:
    the template escapes it.
    """
    environment = Environment(
        loader=PackageLoader("estbench.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    manifest = read_manifest(folder)
    level = manifest["config"]["level"]
    rows = readable(frame)
    labels = list(rows["problem"].unique())
    drawn = frame[rows["problem"].isin(labels[:PROBLEMS]).to_numpy()]
    page = environment.get_template("page.html.j2").render(
        name=plain(manifest["config"]["name"]),
        facts=_facts(manifest),
        problems=_problems(rows.head(ROWS)),
        figures=list(_figures(drawn, level, trainings, show)),
        meanings=meanings(finished(rows)["flags"]),
        level=f"{100 * level:g} %",
        left_out=_left_out(folder, len(labels), len(rows)),
    )
    path = folder / "report.html"
    write_atomically(path, page)
    return path


def _figures(
    frame: pd.DataFrame, level: float, trainings: pd.DataFrame | None, show: Callable[[int, int], None] | None
) -> Iterator[dict[str, str]]:
    with TemporaryDirectory() as folder:
        for path in draw(frame, Path(folder), IN_REPORT, "png", level=level, trainings=trainings, show=show):
            yield {"name": path.stem, "data": base64.b64encode(path.read_bytes()).decode("ascii")}


def _left_out(folder: Path, problems: int, rows: int) -> list[str]:
    """A line for each limit that the run is beyond."""
    where = shlex.quote(plain(folder))
    said = []
    if problems > PROBLEMS:
        said.append(
            f"Figures of the first {PROBLEMS} of {problems:,} problems; `estbench plot {where}` draws those of all."
        )
    if rows > ROWS:
        said.append(f"The first {ROWS:,} of {rows:,} results; `estbench export {where}` writes all.")
    return said


def _facts(manifest: dict[str, Any]) -> dict[str, str]:
    config, versions = manifest["config"], manifest["versions"]
    facts = {
        "seed": config["seed"],
        "replicates": config.get("replicates", "by precision"),
        "device": f"{manifest['device']}, {manifest['dtype']}, {manifest['threads']} thread",
        "processor": manifest["cpu"],
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "config hash": manifest["config_hash"][:16],
        "commit": manifest["git_commit"] or "–",
        "begun": manifest["created"],
    }
    return {key: plain(value) for key, value in facts.items()}


def _problems(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """The problems in order, each with the heads and rows of its table, and lines on what is missing."""
    done = finished(rows)
    shown = cells(done, every_interval=True) if len(done) else []
    heads = [(column.head, column.right) for column in shown]
    lines = list(zip(*([cell.strip() for cell in column.cells] for column in shown), strict=True))
    own: dict[str, list[tuple[str, ...]]] = {}
    for problem, line in zip(done["problem"], lines, strict=True):
        own.setdefault(problem, []).append(line)
    missing = {problem: left_out_of(part) for problem, part in rows[rows["status"] != "ok"].groupby("problem")}
    first = rows.drop_duplicates("problem")
    known = dict(list(rows.groupby("problem", sort=False)))
    return [
        {
            "label": problem,
            "details": describe(known[problem]),
            "heads": heads,
            "rows": own.get(problem, []),
            "missing": [f"{remark.head.strip()}: {remark.text}" for remark in missing.get(problem, [])],
        }
        for problem in first["problem"]
    ]
