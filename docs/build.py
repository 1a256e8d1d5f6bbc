"""Writes what is generated.

That is docs/estimators.md, estbench/catalogue.json, configs/schema.json, the tables and the picture of the README, and
the tables of the seven methods in docs/networks.md.

`python docs/build.py` writes; `python docs/build.py --check` says what is stale, and exits 1 if anything is.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections import Counter
from itertools import combinations
from pathlib import Path

import pandas as pd

from estbench.config.editor import json_schema
from estbench.frames import read_frame
from estbench.guide import contents, markdown
from estbench.index import FILE, written
from estbench.intervals import FLAGS
from estbench.plots import draw
from estbench.store import find_runs, read_manifest

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "overview.png"
COMPARE = ("compare", "--estimators", "ste,gumbel,reinforce", "--at", "samples")


def table() -> str:
    """What `estbench compare` prints, at 80 columns."""
    command = [sys.executable, "-m", "estbench", *COMPARE]
    environment = {"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb", "PATH": ""}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=ROOT)
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    return f"```text\n$ estbench {' '.join(COMPARE)}\n" + "\n".join(lines).strip("\n") + "\n```\n"


def flags() -> str:
    """Every flag of results: its name in the column `flags`, its word in tables, and what it means."""
    rows = [f"| `{name}` | {flag.word} | {flag.meaning} |\n" for name, flag in FLAGS.items()]
    return "| flag | in tables | meaning |\n|---|---|---|\n" + "".join(rows)


PUBLISHED = {  # nats, by the problem: Jang, Gu & Poole 2017 (1611.01144), table 1, on MNIST
    "VAE, Bernoulli": (112.2, 110.9, 109.7, 116.0, 111.5, 105.0, 111.5),
    "VAE, categorical": (110.6, 128.8, 107.0, 110.9, 107.8, 101.5, 107.8),
    "SBN, Bernoulli": (72.0, 59.7, 58.9, 58.9, 58.7, 58.5, 59.3),
    "SBN, categorical": (73.1, 67.9, 63.0, 61.8, 61.1, 59.0, 59.7),
}
SEVEN = ("score function", "darn", "muprop", "ste", "slope-annealed ste", "gumbel", "gumbel_st")
LAST_EPOCH = 60


def seven_methods(name: str) -> pd.DataFrame:
    """Rows of a table of results/seven_methods at the last epoch, with the column `of`: a problem of `PUBLISHED`."""
    frame = pd.read_csv(ROOT / "results" / "seven_methods" / f"{name}.csv").query(f"checkpoint == {LAST_EPOCH}")
    network = frame["network"].str.split("[").str[0].str.upper()
    kind = frame["distribution"].replace("bernoulli", "Bernoulli")
    return frame.assign(of=network + ", " + kind)


def final_losses() -> dict[str, dict[str, tuple[float, float]]]:
    """The loss on validation data and half its 95 % interval, by problem and method, the lowest first."""
    frame = seven_methods("training").query("data == 'valid'").sort_values("loss")
    methods = frame["trained_by"].str.split(" τ=").str[0].replace("exact", "exact gradient")
    found: dict[str, dict[str, tuple[float, float]]] = {of: {} for of in PUBLISHED}
    for of, method, loss, high in zip(frame["of"], methods, frame["loss"], frame["loss_high"], strict=True):
        found[of][method] = (loss, high - loss)
    return found


def losses() -> str:
    """The final losses, with the published ones."""
    found = final_losses()
    others = [method for method in found["VAE, Bernoulli"] if method not in SEVEN]
    lines = []
    for method in (*SEVEN, *others):
        cells = ["{:.2f} ± {:.2f}".format(*found[of][method]) for of in PUBLISHED]
        if method in SEVEN:
            published = (values[SEVEN.index(method)] for values in PUBLISHED.values())
            cells = [f"{cell} ({value})" for cell, value in zip(cells, published, strict=True)]
        lines.append(f"| {method} | {' | '.join(cells)} |\n")
    return f"| trained by | {' | '.join(PUBLISHED)} |\n|---|---|---|---|---|\n{''.join(lines)}"


def orders() -> str:
    """How many pairs of the seven have the published order."""
    lines = []
    for of, rows in final_losses().items():
        count, opposite = Counter[str](), []
        for (a, p), (b, q) in combinations(zip(SEVEN, PUBLISHED[of], strict=True), 2):
            difference, error = rows[a][0] - rows[b][0], math.hypot(rows[a][1], rows[b][1])
            told = abs(difference) > error and p != q
            same = told and (difference < 0) == (p < q)
            count["same" if same else "opposite" if told else "not told apart"] += 1
            if told and not same:
                opposite.append(f"{a} < {b}" if difference < 0 else f"{b} < {a}")
        numbers = " | ".join(str(count[key]) for key in ("same", "opposite", "not told apart"))
        lines.append(f"| {of} | {numbers} | {', '.join(opposite)} |\n")
    head = "| | the published order | the opposite | not told apart | the opposite ones, here |"
    return f"{head}\n|---|---|---|---|---|\n{''.join(lines)}"


def qualities() -> str:
    """Relative bias and relative MSE of every method at the last epoch of the training by the exact gradient."""
    frame = seven_methods("results").query("trained_by == 'exact' and status == 'ok'")
    frame = frame.sort_values("method", kind="stable")
    frame = frame.drop_duplicates(["of", "label"])  # the exact row where there is one
    found = {of: frame[frame["of"] == of].set_index("label") for of in PUBLISHED}
    lines = []
    for method in (*SEVEN, *(label for label in found["VAE, Bernoulli"].index if label not in SEVEN)):
        rows = [of.loc[method] for of in found.values()]
        errors = (row["mse"] / row["true_norm"] ** 2 for row in rows)
        cells = (
            f"{bias(row)}, {error:{',.0f' if error >= 100 else '.3g'}}" for row, error in zip(rows, errors, strict=True)
        )
        lines.append(f"| {method} | {' | '.join(cells)} |\n")
    return f"| | {' | '.join(PUBLISHED)} |\n|---|---|---|---|---|\n{''.join(lines)}"


def bias(row: pd.Series) -> str:
    """The relative bias, or its upper bound where no bias was found."""
    if row["bias_verdict"] in ("biased", "unbiased"):
        return f"{row['relative_bias']:.2f}"
    return f"≤ {row['relative_bias_high']:.2f}"


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
        ROOT / "docs" / "networks.md": {"losses": losses(), "orders": orders(), "qualities": qualities()},
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
