"""The tables of docs/networks.md about the seven methods of Jang, Gu & Poole (2017), from results/seven_methods."""

from __future__ import annotations

import math
from collections import Counter
from itertools import combinations
from pathlib import Path

import pandas as pd

RUN = Path(__file__).resolve().parent.parent / "results" / "seven_methods"

PUBLISHED = {  # nats, by the problem: Jang, Gu & Poole 2017 (1611.01144), table 1, on MNIST
    "VAE, Bernoulli": (112.2, 110.9, 109.7, 116.0, 111.5, 105.0, 111.5),
    "VAE, categorical": (110.6, 128.8, 107.0, 110.9, 107.8, 101.5, 107.8),
    "SBN, Bernoulli": (72.0, 59.7, 58.9, 58.9, 58.7, 58.5, 59.3),
    "SBN, categorical": (73.1, 67.9, 63.0, 61.8, 61.1, 59.0, 59.7),
}
SEVEN = ("score function", "darn", "muprop", "ste", "slope-annealed ste", "gumbel", "gumbel_st")
LAST_EPOCH = 60


def tables() -> dict[str, str]:
    """The tables, by the names that they have in the page."""
    return {"losses": losses(), "orders": orders(), "qualities": qualities()}


def last_rows(name: str) -> pd.DataFrame:
    """Rows of a table of the run at the last epoch, with the column `of`: a problem of `PUBLISHED`."""
    frame = pd.read_csv(RUN / f"{name}.csv").query(f"checkpoint == {LAST_EPOCH}")
    network = frame["network"].str.split("[").str[0].str.upper()
    kind = frame["distribution"].replace("bernoulli", "Bernoulli")
    return frame.assign(of=network + ", " + kind)


def final_losses() -> dict[str, dict[str, tuple[float, float]]]:
    """The loss on validation data and half its 95 % interval, by problem and method, the lowest first."""
    frame = last_rows("training").query("data == 'valid'").sort_values("loss")
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
    frame = last_rows("results").query("trained_by == 'exact' and status == 'ok'")
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
