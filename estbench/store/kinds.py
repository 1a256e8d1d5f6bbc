"""The kinds of journal records: a frozen dataclass for each, which is checked when a journal is read.

    kind     key                        dataclass
    run      none                       `RunHead`
    layout   problem id/stage           `LayoutHead`
    source   package or plug-in         `SourceHead`
    problem  problem id                 `ProblemResult`
    cost     cell key                   `CostResult`
    timing   cell key                   `TimingResult`
    job      problem id/first shard     `JobResult`, for each cell key
    exact    cell key                   `ExactResult`, or `NoExactResult`
    fit      problem id/estimator       `FitResult`
    trained  training id/epoch          `TrainedResult`
    seeds    cell key                   `SeedsResult`, or `NoExactResult`
    failed   cell key                   `Failed`

The first three are the head of a journal: to which run it belongs. Items stay the JSON that they are; the dataclasses
say what it has to be.
"""

from __future__ import annotations

import base64
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, JsonValue, Strict, StrictBool, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from estbench.errors import ResultsError
from estbench.store.records import Item, incomplete, named

HEAD = ("run", "layout", "source")

_RECORD = ConfigDict(extra="ignore")


def _array(text: str) -> str:
    if len(base64.b64decode(text, validate=True)) % 8:
        raise ValueError("not the bytes of float64 numbers")
    return text


Array = Annotated[str, AfterValidator(_array)]
"""An array as `estbench.store.records.encode` writes it."""

Count = Annotated[int, Strict(), Field(ge=0, le=2**53)]
Share = Annotated[float, Strict(), Field(ge=0, le=1)]
Seconds = Annotated[float, Strict(), Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True, config=_RECORD)
class RunHead:
    """What decides the draws of all problems.

    seed     the seed of the run
    samples  the largest N of its cells
    device   what computes: cpu, or the name of an accelerator
    dtype    of the computation
    """

    seed: Annotated[int, Strict(), Field(ge=0, lt=2**63)]
    samples: Annotated[int, Strict(), Field(ge=1, le=2**53)]
    device: str
    dtype: str


@dataclass(frozen=True, config=_RECORD)
class LayoutHead:
    """How the replicates of one problem are cut in one stage (see `estbench.plan.Layout`).

    first, end      its shards: first ≤ shard < end
    shard_size      replicates in a shard
    shards_per_job  shards in a job
    block_rows      replicates that are computed at once
    """

    first: Count
    end: Count
    shard_size: Count
    shards_per_job: Count
    block_rows: Count


@dataclass(frozen=True, config=_RECORD)
class SourceHead:
    """By what the results were computed.

    version  of the package; of a plug-in, what the manifest says of its source
    """

    version: JsonValue


@dataclass(frozen=True, config=_RECORD)
class ProblemResult:
    """What is known of a problem.

    route         how its gradient was found; null where it was not
    true          the gradient, [P]; null where it is not known
    parameters    P, where the gradients are recorded in the span of their means (see `estbench.moments.in_span`)
    rarest_event  the share of samples that show the rarest effect on f; runs of earlier versions do not have it
    """

    route: str | None
    true: Array | None
    parameters: Count | None = None
    rarest_event: Share | None = None


@dataclass(frozen=True, config=_RECORD)
class CostResult:
    """What one estimate of a cell costs, and what it is measured against.

    f, df      evaluations of f and of ∇f
    seconds    what an estimate takes, in runs of earlier versions; null: not timed
    unbiased   whether its estimator is declared to be
    reference  the gradient it is measured against, [P], where that is not the problem's
    """

    f: Count
    df: Count
    seconds: Seconds | None = None
    unbiased: StrictBool | None = None
    reference: Array | None = None


@dataclass(frozen=True, config=_RECORD)
class TimingResult:
    """What one estimate of a cell takes.

    seconds  on the clock, one thread
    """

    seconds: Seconds


@dataclass(frozen=True, config=_RECORD)
class JobResult:
    """What some shards gave for one cell.

    moments  [shards, 8 + 3P], see `estbench.moments`
    """

    moments: Array


@dataclass(frozen=True, config=_RECORD)
class ExactResult:
    """Exact moments of a cell.

    moments            [1, 8 + 3P]
    route              how they were found
    error, mean_error  bounds of their error, and of that of the mean
    """

    moments: Array
    route: str
    error: Array
    mean_error: Array


@dataclass(frozen=True, config=_RECORD)
class NoExactResult:
    """Why a cell has no exact moments."""

    reason: str


@dataclass(frozen=True, config=_RECORD)
class FitResult:
    """What fitting an estimator to a problem found.

    fields   its fields and their values
    f, df    evaluations of f and of ∇f
    seconds  that it took
    """

    fields: dict[str, JsonValue]
    f: Count
    df: Count
    seconds: Seconds | None


@dataclass(frozen=True, config=_RECORD)
class TrainedResult:
    """Networks after some epochs of training, or logits after some steps.

    parameters    all parameters of the first seed
    train, valid  the exact loss on all data that are trained on, and on those kept back, of each seed; for logits
                  `train` is E f(z)
    gradient      the length of the exact gradient of each seed, for logits
    …_nll         −log p of the data, with all joint states summed, the mean over examples; where the network has it
    …_weighted    the importance-weighted bound of −log p, the mean over examples; where it is asked for
    …_open        the share of open gates, the mean over examples and gates; where the network has gates
    target        the share that is to be open
    seconds       since the training began
    """

    parameters: Array
    train: Array
    valid: Array | None = None
    gradient: Array | None = None
    train_nll: Array | None = None
    valid_nll: Array | None = None
    train_weighted: Array | None = None
    valid_weighted: Array | None = None
    train_open: Array | None = None
    valid_open: Array | None = None
    target: Share | None = None
    seconds: Seconds | None = None


@dataclass(frozen=True, config=_RECORD)
class SeedsResult:
    """What a cell is like at the logits of all seeds of a training.

    seeds       those whose estimates are finite; `non_finite` are the others
    means       of each metric: its mean and its standard deviation over these
    f, df       evaluations of f and of ∇f for one estimate
    estimates   that were drawn for each seed
    """

    seeds: Count
    non_finite: Count
    means: dict[str, Array]
    f: Count
    df: Count
    estimates: Count


@dataclass(frozen=True, config=_RECORD)
class Failed:
    """Why a cell failed."""

    reason: str


_NO_EXACT = TypeAdapter[Any](NoExactResult)
_KINDS: dict[str, TypeAdapter[Any]] = {
    "run": TypeAdapter(RunHead),
    "layout": TypeAdapter(LayoutHead),
    "source": TypeAdapter(SourceHead),
    "problem": TypeAdapter(ProblemResult),
    "cost": TypeAdapter(CostResult),
    "timing": TypeAdapter(TimingResult),
    "job": TypeAdapter(JobResult),
    "exact": TypeAdapter(ExactResult),
    "fit": TypeAdapter(FitResult),
    "trained": TypeAdapter(TrainedResult),
    "seeds": TypeAdapter(SeedsResult),
    "failed": TypeAdapter(Failed),
}


def check_item(item: Item, result: Any, where: str) -> None:
    """ResultsError, beginning with `where`, unless a result has the fields of its kind, each of its type and range."""
    kind = item[0]
    if (adapter := _KINDS.get(kind)) is None:
        raise ResultsError(_wrong(where, item, f"there is no kind {kind!r}"))
    reasoned = kind in ("exact", "seeds") and isinstance(result, dict) and "reason" in result
    try:
        (_NO_EXACT if reasoned else adapter).validate_python(result)
    except ValidationError as error:
        found = error.errors(include_url=False)
        missing = [".".join(map(str, each["loc"])) for each in found if each["type"] == "missing"]
        if len(missing) == len(found):
            raise incomplete(f"{where}: {named(item)}", missing) from None
        first = next(each for each in found if each["type"] != "missing")
        at = ".".join(map(str, first["loc"]))
        raise ResultsError(_wrong(where, item, f"{at}: {first['msg']}".removeprefix(": "))) from None


def _wrong(where: str, item: Item, what: str) -> str:
    return (
        f"{where}: damaged or edited: {named(item)}: {what}. Restore the file, or delete that line: `estbench run` "
        "computes again what it had."
    )
