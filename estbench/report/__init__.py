"""report.html: one page with the tables and figures of a run, that needs no other file and no network."""

from __future__ import annotations

import base64
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from estbench.plots import draw
from estbench.store import read, write_atomically
from estbench.tables.numbers import measured, number
from estbench.views import finished, plain, readable

METRICS = ("bias_squared", "variance", "mse", "cosine")


def write(folder: Path, frame: pd.DataFrame) -> Path:
    """Draw the figures and write report.html into a run folder; returns its path.

    Everything that a config can say reaches the page as text: the template escapes it.
    """
    environment = Environment(
        loader=PackageLoader("estbench.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    with TemporaryDirectory() as drawn:
        figures = [
            {"name": path.stem, "data": base64.b64encode(path.read_bytes()).decode("ascii")}
            for path in draw(frame, Path(drawn), ["overview", "temperature", "samples"], "png")
        ]
    manifest = read(folder).manifest
    page = environment.get_template("page.html.j2").render(
        name=plain(manifest["config"]["name"]),
        facts=_facts(manifest),
        problems=[_problem(problem, part) for problem, part in readable(frame).groupby("problem", sort=False)],
        figures=figures,
        level=f"{100 * manifest['config']['level']:g} %",
    )
    path = folder / "report.html"
    write_atomically(path, page)
    return path


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


def _problem(problem: Any, part: pd.DataFrame) -> dict[str, Any]:
    rows = []
    for _, row in finished(part).iterrows():
        cells = [plain(row["name"]), number(row["temperature"]), plain(row["samples"]).removesuffix(".0")]
        cells.append({"monte_carlo": "Monte Carlo"}.get(row["method"], plain(row["method"])))
        for metric in METRICS:
            value, reach = measured(row[metric], row[f"{metric}_low"], row[f"{metric}_high"])
            cells.append(f"{value} ± {reach}" if reach else value)
        rows.append([*cells, plain(row["bias_verdict"]), plain(row["flags"])])
    left = part[part["status"] != "ok"]
    reasons = left.groupby(["status", "name", "reason"], sort=False).size().reset_index(name="count")
    missing = [f"{r['status']}: {plain(r['name'])}: {plain(r['reason'])} ({r['count']})" for _, r in reasons.iterrows()]
    return {"label": plain(problem), "rows": rows, "missing": missing}
