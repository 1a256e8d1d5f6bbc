"""Made-up results frames in the shape of results.csv, for everything that only shows them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from estbench.columns import names, text

NAN = float("nan")
COLUMNS = tuple(names())
TEXT = set(text()) - {"bias_verdict", "flags"}

LABELS = ["NA", "nan", "None", "null", "<NA>", "a,b", 'say "x"', "it's", "a|b", "<b>x</b>", "[red]x[/red]", "$x_1$",
          "a & b", "50 %", "#1", "x\\y", "τ = ½", "-1.5e3", "=1+1"]  # fmt: skip
"""Words that mean "unknown" elsewhere, and signs of every format."""

# name: (bias² at τ = 1, its power of τ, variance at τ = 1, its power of τ, cosine, f, ∇f); power None: no temperature
ESTIMATORS: dict[str, tuple[float, float | None, float, float | None, float, int, int]] = {
    "reinforce": (0.0, None, 1.6e-2, None, 0.13, 1, 0),
    "reinforce[baseline=mean]": (0.0, None, 3.1e-3, None, 0.42, 1, 0),
    "ste": (8.3e-3, None, 3.0e-2, None, 0.55, 0, 1),
    "reinmax": (2.1e-4, None, 4.4e-2, None, 0.36, 0, 1),
    "gumbel": (9.0e-4, 2.0, 6.2e-3, -1.1, 0.61, 0, 1),
    "gumbel_st": (1.1e-3, 1.7, 2.4e-2, -1.4, 0.33, 0, 1),
    "darn": (0.0, None, 3.9e-2, None, 0.29, 0, 1),
    "enumerate": (0.0, None, 0.0, None, 1.0, 2, 0),
}


def row(**values: object) -> dict[str, object]:
    """One row with every column: those not given are unknown, but for the names and an `ok` Monte Carlo cell."""
    blank: dict[str, object] = {name: "" if name in TEXT else NAN for name in COLUMNS}
    usual: dict[str, object] = {"problem": "quadratic", "distribution": "bernoulli", "objective": "quadratic"}
    usual |= {"dimensions": 1, "logits": "[1.0]", "estimator": "ste", "samples": 1, "method": "monte_carlo"}
    usual |= {"replicates": 20000, "status": "ok", "true_norm": 0.02, "bias_verdict": "", "flags": ""}
    unknown = set(values) - set(COLUMNS)
    assert not unknown, unknown
    return blank | usual | values


def frame(rows: Iterable[dict[str, object]]) -> pd.DataFrame:
    """The rows as a frame with exactly the columns of results.csv, in order."""
    return pd.DataFrame(list(rows), columns=list(COLUMNS))


def measured(
    name: str, temperature: float, samples: int, method: str, seed: int = 0, **values: object
) -> dict[str, object]:
    """A row of one estimator of ESTIMATORS: its exact numbers, or these with errors as 20 000 replicates make them."""
    b, bias_power, v, variance_power, cosine, f, df = ESTIMATORS[name]
    replicates, true_norm = 20000, 0.0197
    tau = 1.0 if math.isnan(temperature) else temperature
    bias, variance = b * tau ** (bias_power or 0.0), v * tau ** (variance_power or 0.0) / samples
    cosine = 1.0 if cosine == 1.0 else math.tanh(cosine * math.sqrt(samples))
    exact = {"bias_squared": bias, "variance": variance, "mse": bias + variance, "cosine": cosine}
    width = dict.fromkeys(exact, 0.0)
    verdict = "biased" if b else "unbiased"
    if method == "monte_carlo":
        mean_error = 2 * math.sqrt(variance / replicates)
        width = {
            "bias_squared": 2 * mean_error * math.sqrt(bias) + mean_error**2,
            "variance": 0.03 * variance,
            "mse": 0.03 * (bias + variance),
            "cosine": 2 * math.sqrt(max(0.0, 1 - cosine**2) / replicates),
        }
        if mean_error > 0.04 * true_norm and not b:
            verdict = "inconclusive: about 250000 more replicates"
    g = np.random.default_rng(seed)
    out: dict[str, object] = {}
    for metric, value in exact.items():
        half = width[metric]
        middle = value + half * g.uniform(-0.6, 0.6)
        floor = -1.0 if metric == "cosine" else 0.0
        out |= {metric: middle, f"{metric}_low": max(floor, middle - half), f"{metric}_high": middle + half}
        if metric == "bias_squared":
            ends = (middle, max(0.0, middle - half), middle + half)
            for suffix, end in zip(("", "_low", "_high"), ends, strict=True):
                out[f"bias_norm{suffix}"] = math.sqrt(max(0.0, end))
                out[f"relative_bias{suffix}"] = math.sqrt(max(0.0, end)) / true_norm
    out |= {"estimator": name.partition("[")[0], "options": name.partition("[")[2].rstrip("]"), "label": name}
    out |= {"temperature": temperature, "samples": samples, "method": method, "true_norm": true_norm}
    out |= {"replicates": replicates if method == "monte_carlo" else NAN, "bias_verdict": verdict}
    out |= {"zero_fraction": 0.0, "non_finite": 0, "f_evaluations": f * samples, "grad_evaluations": df * samples}
    return row(**(out | {"seconds_per_estimate": 2.3e-8 * samples} | values))


def results(
    problems: Sequence[str] = ("quadratic logits=1",),
    temperatures: Sequence[float] = (0.1, 0.25, 0.5, 1.0, 2.0),
    samples: Sequence[int] = (1, 2, 4, 8, 16),
    methods: Sequence[str] = ("monte_carlo", "exact"),
    estimators: Sequence[str] = tuple(ESTIMATORS),
) -> pd.DataFrame:
    """A whole run: every estimator, temperature (where it has one), number of samples and method of every problem."""
    return frame(
        measured(name, tau, n, method, seed=(17 * i + 5 * j + n), problem=problem)
        for i, problem in enumerate(problems)
        for j, name in enumerate(estimators)
        for tau in (temperatures if ESTIMATORS[name][1] is not None else (NAN,))
        for n in samples
        for method in methods
    )
