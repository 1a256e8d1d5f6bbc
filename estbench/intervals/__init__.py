"""Standard errors, intervals, tests and verdicts from the moments of shards of gradient estimates.

s = Shards.of(moments)      variance(s), cosine(s), … -> Estimate(value, low, high)
metrics(moments)            all metric columns at once; `exact_metrics` for a weighted draw
verdict(s, p_adjusted)      unbiased, biased or inconclusive, p adjusted over the run by `adjust`
ratio(a, b); compare(r, p)  paired comparison: better, worse, equivalent, identical or inconclusive
shards_needed(pilot, …)     for a wanted precision
"""

from estbench.intervals.adjust import ADJUSTMENTS, adjust, bh, holm, none
from estbench.intervals.agreement import FALSE_ALARM, Exactly, disagreement
from estbench.intervals.bias import (
    bias_bound,
    bias_norm,
    bias_p_value,
    bias_squared,
    relative_bias,
    replicates_to_decide,
    verdict,
)
from estbench.intervals.cosine import cosine, cosine_of_mean, mean_norm, scaled_bias_squared, scaled_variance, snr
from estbench.intervals.flags import FLAGS, flags
from estbench.intervals.metrics import exact_metrics, exact_verdict, metrics, metrics_of
from estbench.intervals.paired import Ratio, compare, exact_ratio, geometric_mean, ratio
from estbench.intervals.plan import precision, shards_needed
from estbench.intervals.shards import Estimate, OutOfRange, Shards, in_range
from estbench.intervals.variance import Metric, mse, variance

__all__ = [
    "ADJUSTMENTS",
    "FALSE_ALARM",
    "FLAGS",
    "Estimate",
    "Exactly",
    "Metric",
    "OutOfRange",
    "Ratio",
    "Shards",
    "adjust",
    "bh",
    "bias_bound",
    "bias_norm",
    "bias_p_value",
    "bias_squared",
    "compare",
    "cosine",
    "cosine_of_mean",
    "disagreement",
    "exact_metrics",
    "exact_ratio",
    "exact_verdict",
    "flags",
    "geometric_mean",
    "holm",
    "in_range",
    "mean_norm",
    "metrics",
    "metrics_of",
    "mse",
    "none",
    "precision",
    "ratio",
    "relative_bias",
    "replicates_to_decide",
    "scaled_bias_squared",
    "scaled_variance",
    "shards_needed",
    "snr",
    "variance",
    "verdict",
]
