"""The columns of the two tables: results, one row per cell, and a comparison, one row per ranking and estimator.

Name, meaning, heads, formula, type and notation of a column are stated here, once. All code that lists, writes, draws
or reports a column reads them here: a new column is an entry below and the code that computes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Dtype = Literal["text", "int64", "Int64", "float64", "boolean"]
Notation = Literal["text", "given", "number", "interval", "percent", "seconds"]


@dataclass(frozen=True)
class Column:
    """One column of a table.

    name       in results.csv and in frames; with `interval`, name_low and name_high follow it
    meaning    what it is, in words; `formula` as a formula
    dtype      of its values in a frame: of pandas, where `Int64` and `boolean` may be unknown; `text` is a string
    metric     whether it is measured, and listed by `estbench list metrics`
    head       above a column of a table for readers; `label` above a panel and along an axis of a figure
    notation   how a table for readers writes it: as `text`, as it was `given`, a `number` of three digits, …
    rank       None: tables for readers leave it out. In narrow tables the highest rank is left out first, 0 never
    optional   left out of tables for readers where no row has it
    panel      whether it has a panel in the overview
    note       a line below the table that shows it
    when_true  what a table for readers writes where a boolean is true
    """

    name: str
    meaning: str
    dtype: Dtype = "float64"
    formula: str = ""
    metric: bool = True
    interval: bool = False
    head: str = ""
    label: str = ""
    notation: Notation = "number"
    rank: int | None = None
    optional: bool = False
    panel: bool = False
    note: str = ""
    when_true: str = "yes"

    @property
    def names(self) -> tuple[str, ...]:
        """Its name, and those of the ends of its interval."""
        return (self.name, f"{self.name}_low", f"{self.name}_high") if self.interval else (self.name,)


def given(name: str, meaning: str, dtype: Dtype = "text", *, head: str = "", label: str = "", rank: int | None = None,
          optional: bool = False, when_true: str = "yes") -> Column:  # fmt: skip
    """A column of what was chosen, not measured."""
    notation: Notation = "text" if dtype == "text" else "given"
    return Column(name, meaning, dtype, metric=False, head=head, label=label, notation=notation, rank=rank,
                  optional=optional, when_true=when_true)  # fmt: skip


COLUMNS: tuple[Column, ...] = (
    given("problem", "the problem: its label, or what tells it from the others"),
    given("distribution", "the distribution of z"),
    given("objective", "the objective f with its options"),
    given("dimensions", "number of variables D", "int64"),
    given("categories", "number of values of a variable; 2 for Bernoulli", "int64"),
    given("logits", "the logits as the config gives them"),
    given("estimator", "the estimator"),
    given("options", "its options that differ from their defaults"),
    given("label", "the name of estimator and options in tables and figures", head="estimator", rank=0),
    given("temperature", "its temperature τ", "float64", head="τ", label="temperature τ", rank=0, optional=True),
    given("samples", "samples per estimate", "int64", head="N", label="samples per estimate N", rank=0),
    given("method", "monte_carlo, or exact: by enumeration or quadrature", head="method", rank=3),
    given("replicates", "number of estimates R that were drawn", "Int64"),
    given("status", "ok, failed or skipped"),
    given("reason", "why it failed or was skipped; for an exact row, what is known of its error"),
    given("true_norm", "length of the exact gradient", "float64"),
    Column(
        "bias_squared", "corrected for noise: it may be negative where it cannot be told from 0",
        formula="‖E ĝ − g‖²", interval=True, head="bias²", label="bias²", notation="interval", rank=0, panel=True,
    ),
    Column("bias_norm", "root of bias², 0 where that is negative", formula="√max(0, bias²)", interval=True),
    Column(
        "relative_bias", "bias norm over the length of the exact gradient",
        formula="‖E ĝ − g‖/‖g‖", interval=True, head="rel. bias", notation="percent", rank=5,
    ),
    Column("bias_p_value", "of the hypothesis E ĝ = g, all coordinates at once"),
    Column(
        "bias_verdict", "unbiased (within ±δ of ‖g‖), biased, or inconclusive, with the replicates it would take",
        "text", head="verdict", notation="text", rank=0,
    ),
    given("declared_unbiased", "whether the estimator's facts declare E ĝ = g for every objective; empty in older runs",
          "boolean", head="declared", rank=9, optional=True, when_true="unbiased"),
    Column(
        "variance", "trace of the covariance",
        formula="tr Cov ĝ", interval=True, head="variance", label="variance", notation="interval", rank=1, panel=True,
    ),
    Column(
        "mse", "mean squared error: bias² + variance",
        formula="E ‖ĝ − g‖²", interval=True, head="MSE", label="MSE", rank=4, panel=True,
    ),
    Column(
        "cosine", "mean cosine; an estimate of 0 counts as cosine 0; at one parameter, agreement of signs",
        formula="E cos(ĝ, g)", interval=True, head="cosine", label="cosine", notation="interval", rank=2, panel=True,
    ),
    Column("cosine_of_mean", "cosine of the mean: another number than the mean cosine", formula="cos(E ĝ, g)"),
    Column("snr", "signal-to-noise ratio", formula="‖E ĝ‖/√variance"),
    Column(
        "scaled_bias_squared", "bias² after rescaling ĝ by s = ‖g‖/‖E ĝ‖: the error of direction alone",
        formula="‖s E ĝ − g‖²",
    ),
    Column("scaled_variance", "variance after the same rescaling", formula="s² tr Cov ĝ"),
    Column("zero_fraction", "share of estimates that are exactly 0", formula="P(ĝ = 0)"),
    Column("non_finite", "number of estimates that are NaN or infinite", "Int64"),
    Column(
        "flags", "warnings that an interval may not hold; tables explain each",
        "text", head="flags", notation="text", rank=0, optional=True,
    ),
    Column("f_evaluations", "evaluations of f for one estimate, counted", "Int64", head="f", notation="given", rank=6),
    Column(
        "grad_evaluations", "evaluations of ∇f for one estimate, counted",
        "Int64", head="∇f", notation="given", rank=7,
    ),
    Column(
        "seconds_per_estimate",
        "wall time of the estimator on its own, one thread, where --timings asks for it: median of three, no interval",
        head="time", notation="seconds", rank=8, optional=True,
        note="time: the median of three timings in a row; it carries no interval.",
    ),
    Column(
        "work_normalised_variance", "variance × evaluations of f and ∇f: what it costs at equal work",
        formula="variance·(f+∇f)",
    ),
    given("kind", "toy: an objective at given logits; network: the gradient of a network in training; trajectory: the "
          "logits of many seeds in training, whose metrics are means over seeds with intervals of Student over seeds"),
    given("network", "the network with its options"),
    given("checkpoint", "epochs of training before the gradient was measured; of a trajectory, steps", "Int64",
          label="epoch"),
    given("trained_by", "by what it was trained until then: exact, or an estimator and its N"),
    given("parameters", "the part of the parameters whose gradient it is"),
    given("batch", "number of examples in the loss", "Int64"),
    given("seeds", "of a trajectory, number of seeds whose mean the row holds: its intervals are over them", "Int64"),
    Column(
        "curl", "of a trajectory, where curl asks for it: asymmetry of the Jacobian J of E ĝ in the logits, exact; 0 "
        "where E ĝ is the gradient of something", formula="‖J − Jᵀ‖/‖J + Jᵀ‖", head="curl", rank=10, optional=True,
    ),
)  # fmt: skip
"""The columns of results, in the order of results.csv."""

COMPARISON: tuple[Column, ...] = (
    given("problem", "the problem"),
    given("basis", "what is held equal"),
    given("rank", "place by value within problem and basis", "Int64", head="#", rank=0),
    given("name", "the estimator, and the run where there are several", head="estimator", rank=0),
    given("temperature", "its temperature τ", "float64", head="τ", rank=1, optional=True),
    given("samples", "samples per estimate", "int64", head="N", rank=4),
    given("f_evaluations", "evaluations of f for one estimate, counted", "int64", head="f", rank=5),
    given("grad_evaluations", "evaluations of ∇f for one estimate, counted", "int64", head="∇f", rank=6),
    given("metric", "what is compared"),
    Column("value", "the metric, which is its head", interval=True, notation="interval", rank=0),
    given("reference_temperature", "temperature τ of the reference that the row is compared with", "float64",
          head="τ of ref.", rank=0, optional=True),
    Column("ratio", "the value over that of the reference: exact where both have exact rows, else on the same draws "
           "where they are shared", interval=True, head="ratio", rank=0),
    Column("p_value", "of the hypothesis that the ratio is 1"),
    Column("p_adjusted", "the p-value adjusted over all rows"),
    Column(
        "verdict", "better, worse, equivalent, identical, inconclusive or always zero; empty for the reference",
        "text", head="verdict", notation="text", rank=0,
    ),
    Column("bias_verdict", "as in the results", "text", head="bias", notation="text", rank=3, optional=True),
    given("declared_unbiased", "as in the results", "boolean", head="declared", rank=7, optional=True,
          when_true="unbiased"),
    Column("flags", "as in the results, and what is said of the pair",
           "text", head="flags", notation="text", rank=0, optional=True),
    given("run", "the run folder"),
)  # fmt: skip
"""The columns of a comparison."""


TRAINING: tuple[Column, ...] = (
    given("kind", "network or trajectory"),
    given("problem", "what is trained: the network, or the objective with its logits and the optimiser",
          head="problem", rank=6),
    given("network", "the network with its options; empty for a trajectory", head="network", rank=5, optional=True),
    given("distribution", "the distribution of its variables"),
    given("dimensions", "number of variables D of a layer", "int64"),
    given("categories", "number of values of a variable", "int64"),
    given("trained_by", "by what it is trained: exact, or an estimator and its N", head="trained by", rank=0),
    given("samples", "samples N for each example, or for each step of a trajectory", "int64"),
    given("checkpoint", "epochs of training, or steps of a trajectory", "int64", head="epoch", rank=0, label="epoch"),
    given("data", "train: those that are trained on; valid: those kept back; empty for a trajectory", head="data",
          rank=0, optional=True),
    given("seeds", "number of networks, or of vectors of logits", "int64", head="seeds", rank=1),
    Column("loss", "exact loss, the mean over all examples and seeds; its interval is over seeds", interval=True,
           head="loss", label="loss", notation="interval", rank=0),
    Column("loss_q05", "5 % of the seeds have a smaller loss"),
    Column("loss_q50", "the median over seeds", head="median", rank=3),
    Column("loss_q95", "95 % of the seeds have a smaller loss"),
    Column("nll", "exact −log p of the data, all joint states summed, the mean over examples and seeds: the limit of "
           "importance-weighted bounds; empty where a network has none", interval=True,
           head="−log p", label="−log p", notation="interval", rank=4),
    Column("importance_weighted", "importance-weighted bound of −log p by K samples for each example, the mean over "
           "examples and seeds; its interval is over seeds; it is there where importance_samples asks for it",
           formula="−log 1/K Σ_k p(x, z_k)/q(z_k|x)", interval=True, head="bound, K", label="importance-weighted bound",
           notation="interval", rank=4, optional=True),
    given("importance_samples", "samples K of that bound for each example; it is there where the bound is", "Int64",
          head="K", rank=4, optional=True),
    Column("open_share", "share of open gates, the mean over all examples, gates and seeds; its interval is over "
           "seeds; empty where a network has no gates", interval=True, head="open", label="share of open gates",
           notation="interval", rank=3),
    Column("open_target", "the share of gates that is to be open", head="target", rank=3),
    Column("share_worse", "share of the seeds whose loss is larger than before the training",
           head="worse", notation="percent", rank=2),
    Column("true_norm", "of a trajectory, length of the exact gradient, mean over seeds", head="‖g‖", rank=4,
           optional=True),
)  # fmt: skip
"""The columns of training.csv."""

ASKED = tuple(column for column in TRAINING if column.name in ("importance_weighted", "importance_samples"))
"""Those of them that are there only where a config asks for them."""


def names(columns: Iterable[Column] = COLUMNS) -> list[str]:
    """The names in a frame, in order: the ends of an interval follow their value."""
    return [name for column in columns for name in column.names]


def dtypes(columns: Iterable[Column] = COLUMNS) -> dict[str, str]:
    """Name → type of all columns except text, as `DataFrame.astype` takes them."""
    return {name: column.dtype for column in columns for name in column.names if column.dtype != "text"}


def text(columns: Iterable[Column] = COLUMNS) -> list[str]:
    """The names of the columns of text."""
    return [column.name for column in columns if column.dtype == "text"]


def column(name: str) -> Column:
    """The column of results with that name; KeyError if there is none."""
    return _BY_NAME[name]


def head(name: str) -> str:
    """What stands above a column of results in a table for readers; the name itself if it has no other."""
    found = _BY_NAME.get(name)
    return (found.head if found is not None else "") or name


def heads(columns: Iterable[Column] = COLUMNS) -> dict[str, str]:
    """Name → head of all columns that have one."""
    return {column.name: column.head for column in columns if column.head}


_BY_NAME = {column.name: column for column in COLUMNS}
INTERVALS = tuple(column.name for column in COLUMNS if column.interval)
PANELS = tuple(column.name for column in COLUMNS if column.panel)
