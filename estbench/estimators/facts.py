"""What is claimed of an estimator, and what it serves."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from estbench.distributions import links

Family = Literal[
    "score function",
    "straight-through",
    "relaxation",
    "antithetic",
    "Rao-Blackwell",
    "control variate",
    "perturbation",
    "adapted",
]

BERNOULLI = frozenset({"bernoulli"})
CATEGORICAL = frozenset({"categorical"})
BOTH = BERNOULLI | CATEGORICAL
SIGMOID = frozenset({"sigmoid"})
LINKS = frozenset(links.LINKS)


@dataclass(frozen=True)
class Count:
    """A number of evaluations per sample (or per estimate) that depends on D and K: its text for tables, and itself."""

    text: str
    number: Callable[[int, int], int]
    per_estimate: bool = False


@dataclass(frozen=True)
class Facts:
    """What is claimed of an estimator; each claim has a test that would fail if it were false.

    family         the chapter of the catalogue
    distributions  which variables it serves
    general        it needs nothing of a distribution but the contract (`distributions.base.Distribution`): not that the
                   variables are independent, nor any mean; it then serves every distribution
    links          the links of Bernoulli variables that it serves: by default the sigmoid, for whose logistic noise it
                   is made; LINKS where its formula holds for any p(φ)
    unbiased       E ĝ is the true gradient for every objective; None: nothing is claimed
    f, df          evaluations of f and of ∇f per sample: a number, or a `Count` of (D, K)
    evaluates_relaxed  f or ∇f is wanted off the vertices {0, 1}^D or one-hot
    min_samples    the smallest N
    multiple       N is a multiple of this number
    max_variables  the largest D, where there is one
    max_states     the most joint states, where it goes through them all
    exact          what makes exact moments possible: "z" (it depends on the samples alone), "smooth" (it depends on
                   `noise`, smoothly where z is constant), or "none"
    noise          the named streams it reads beside the samples z themselves; "main" is the noise that z is made of
    additive       given z, the estimate is a sum of parts that read one stream each
    inner          given z, the estimate is a mean of `inner` independent ones of the same method with inner = 1
    depends_on_noise_scale  for categorical variables it depends on the scale of the exponentials, not on their
                   ratios alone
    unbatchable    why logits cannot have batch axes, a problem of its own for each replicate; None: they can. Fitted
                   numbers are shared by the whole batch
    node           it wants of f one gradient a sample, at one point, and is linear in it: it has `vjp` (see
                   `base.Node`) and can be a stochastic node of a network (`training.sample`)
    centred        Σ_k ĝ_k = 0 in every draw (categorical)
    symmetric      the order of the samples does not matter to a joint estimator: its exact moments then go through
                   multisets of samples, not all tuples. Rows need not say it: their mean never depends on the order
    within_shard   a replicate reads others of its shard, as a moving average does, but none of other shards
    sources        keys into `references.REFERENCES`
    identities     what it equals, and when
    notes          what else a user should know of this implementation
    """

    family: Family
    distributions: frozenset[str] = BOTH
    general: bool = False
    links: frozenset[str] = SIGMOID
    unbiased: bool | None = True
    f: int | Count = 0
    df: int | Count = 0
    evaluates_relaxed: bool = False
    min_samples: int = 1
    multiple: int = 1
    max_variables: int | None = None
    max_states: int | None = None
    exact: Literal["z", "smooth", "none"] = "z"
    noise: tuple[str, ...] = ()
    additive: bool = False
    inner: int = 1
    depends_on_noise_scale: bool = False
    unbatchable: str | None = None
    node: bool = False
    centred: bool = True
    symmetric: bool = False
    within_shard: bool = False
    sources: tuple[str, ...] = ()
    identities: tuple[str, ...] = field(default=())
    notes: tuple[str, ...] = ()

    def unserved(self, distribution: str, link: str = "sigmoid") -> str | None:
        """Why it does not serve a distribution of this name and link, or None if it does."""
        if not self.general and distribution not in self.distributions:
            return f"serves {' and '.join(sorted(self.distributions))} only"
        if link not in self.links:
            return f"serves the link {' and '.join(sorted(self.links))} only"
        return None


def why_no_estimate(facts: Facts, distribution: str, link: str, D: int, K: int, samples: int) -> str | None:
    """Why an estimator with these facts gives no estimate from N samples of D variables of K classes, or None."""
    if (reason := facts.unserved(distribution, link)) is not None:
        return reason
    if samples < facts.min_samples:
        return f"needs N ≥ {facts.min_samples}"
    if samples % facts.multiple:
        return f"needs an N that is a multiple of {facts.multiple}"
    if facts.max_variables is not None and facts.max_variables < D:
        return f"needs D ≤ {facts.max_variables}"
    if facts.max_states is not None and D * math.log2(K) > math.log2(facts.max_states):
        return f"goes through all joint states, and {K}^{D} are more than {facts.max_states}"
    return None


def evaluations(count: int | Count, D: int, K: int, N: int) -> int:
    """The number of evaluations per estimate of N samples at D variables of K classes."""
    if isinstance(count, int):
        return count * N
    return count.number(D, K) * (1 if count.per_estimate else N)
