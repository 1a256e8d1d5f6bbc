"""The estimator that a training step names, and whether it serves the distribution."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from numbers import Integral
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from estbench import catalogue, plugins
from estbench.config.choice import read_estimator
from estbench.config.explain import explain
from estbench.distributions import Distribution
from estbench.distributions.links import link_of
from estbench.errors import UsageError
from estbench.estimators.base import NO_VJP, Estimator, Facts, Referenced, is_estimator
from estbench.estimators.control_variate.lax import Lax
from estbench.estimators.control_variate.relax import Relax
from estbench.options import number
from estbench.plan import EstimatorSpec

CRITIC = (
    "a critic is fitted at one vector of logits, and in training every example has its own, which move at every step; "
    "take rebar, or rloo with more samples"
)


@dataclass(frozen=True)
class Chosen:
    """An estimator and its facts, asked for once."""

    estimator: Estimator
    facts: Facts
    text: str
    served: set[Any] = field(default_factory=set, compare=False)
    """What it is known to serve: to ask again at each step would take longer than a small f."""

    def serves(self, distribution: Distribution, samples: int) -> None:
        """UsageError where it does not serve this distribution, if it is one, or so few samples, with what to do."""
        kind, link = type(distribution), getattr(distribution, "link", None)
        what = (kind, link, getattr(distribution, "event_shape", None), samples)
        if type(samples) is not int or what not in self.served:
            self._serves(checked(distribution), samples)
            self.served.add(what)

    def _serves(self, distribution: Distribution, samples: int) -> None:
        if not isinstance(samples, Integral) or isinstance(samples, bool) or samples < 1:
            raise UsageError(f"samples must be a whole number of at least 1, got {samples!r}")
        if samples < self.facts.min_samples:
            raise UsageError(f"{self.text} needs samples of at least {self.facts.min_samples}, got {samples}")
        if why := self.facts.unserved(distribution.name, link_of(distribution)):
            raise UsageError(f"{self.text} {why}, and the distribution is {distribution.name}")
        if self.facts.unbatchable:
            raise UsageError(f"{self.text} {self.facts.unbatchable}; subtract a running mean of f in f, add it outside")
        most, D = self.facts.max_variables, distribution.n_variables
        if most is not None and most < D and not isinstance(self.estimator, Referenced):
            raise UsageError(f"{self.text} serves at most {most} variables, got {D}")
        states = self.facts.max_states
        if states is not None and distribution.n_states > states:
            raise UsageError(
                f"{self.text} goes through all joint states: at most {states}, got {distribution.n_states}"
            )


def choose(estimator: Estimator | str, temperature: float | None = None) -> Chosen:
    """An estimator by its name, as `name[option=value,…]`, or itself, at another temperature if one is given.

    Raises UsageError for an unknown name, a wrong option, a temperature where there is none or that is to be learned,
    and a fitted critic.
    """
    if temperature is not None:
        temperature = float(number(temperature, "temperature"))
    if isinstance(estimator, type):
        raise UsageError(f"expected an estimator, got the class {estimator.__name__}: write {estimator.__name__}(…)")
    if isinstance(estimator, str):
        return _named(estimator, temperature)
    if not is_estimator(estimator):
        raise UsageError(
            f"expected an estimator or its name, got {type(estimator).__name__} (estbench list estimators)"
        )
    return _chosen(estimator, temperature, type(estimator).__name__)


def demand_generator(generator: object) -> None:
    """UsageError for another source of random numbers than torch's."""
    if not isinstance(generator, torch.Generator):
        raise UsageError(
            f"generator must be a torch.Generator, got {type(generator).__module__}.{type(generator).__name__}"
        )


class _Thing:
    """What a name of the user's stands for, equal to itself alone."""

    def __init__(self, thing: Any) -> None:
        self.thing = thing

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Thing) and self.thing is other.thing

    def __hash__(self) -> int:
        return id(self.thing)


def _named(text: str, temperature: float | None) -> Chosen:
    """What a text stands for, read once; where it names a thing of the user's, as long as that is the same."""
    plugin = _plugin(text)
    return _known(text, temperature, None if plugin is None else _Thing(plugins.thing("estimator", plugin)))


@lru_cache(maxsize=512)
def _plugin(text: str) -> str | None:
    name = _read(text).name
    return name if catalogue.is_plugin(name) else None


@lru_cache(maxsize=512)  # of frozen records of options: no tensors
def _known(text: str, temperature: float | None, thing: _Thing | None) -> Chosen:
    del thing
    return _chosen(catalogue.estimator(_read(text)), temperature, text)


def _read(text: str) -> EstimatorSpec:
    try:
        choice = read_estimator(text)
    except ValidationError as error:
        raise UsageError(f"estimator {text!r}: {_faults(error)}") from None
    specs = choice.specs(())
    if len(specs) > 1:
        raise UsageError(f"estimator {text!r}: give one temperature, got {len(specs)}")
    return specs[0]


def _chosen(estimator: Estimator, temperature: float | None, text: str) -> Chosen:
    if temperature is not None:
        if not hasattr(estimator, "temperature"):
            raise UsageError(f"{text} has no temperature")
        try:
            estimator = replace(estimator, temperature=temperature)  # type: ignore[type-var] # they are dataclasses
        except ValidationError as error:
            raise UsageError(f"{text}: temperature: {_faults(error)}") from None
    if isinstance(estimator, Relax | Lax) and estimator.fitted is not None:
        raise UsageError(f"a fitted {text} cannot be used in training: {CRITIC}")
    facts = estimator.facts
    if facts.node and not hasattr(estimator, "vjp"):
        raise UsageError(f"{text} cannot be used in training: {NO_VJP}")
    return Chosen(estimator, facts, text)


def _faults(error: ValidationError) -> str:
    return "; ".join(message for _, message in explain(error, None, {}))


def to_fit(estimator: Estimator) -> list[str]:
    """The options that are coefficients to be fitted."""
    return [f.name for f in fields(estimator) if getattr(estimator, f.name) == "fitted"]  # type: ignore[arg-type] # as above


def flattened(distribution: Distribution, logits: Tensor) -> Distribution:
    """The same kind of distribution, its logits these, as [B, *event_shape] in float32 or float64."""
    if logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()
    batch = distribution.batch_shape
    if len(batch) != 1:
        logits = logits.reshape(math.prod(batch), *distribution.event_shape)
    return distribution.with_logits(logits)


def checked(distribution: Any) -> Distribution:
    """The distribution, if it is one of ours; UsageError otherwise."""
    if not hasattr(distribution, "with_logits"):
        kind = "a tensor" if isinstance(distribution, Tensor) else f"{type(distribution).__module__}"
        kind = kind if isinstance(distribution, Tensor) else f"{kind}.{type(distribution).__name__}"
        raise UsageError(
            f"expected a distribution of estbench, Bernoulli(logits) or Categorical(logits), got {kind}; Bernoulli "
            "logits are [*batch, D], categorical ones [*batch, D, K]"
        )
    found: Distribution = distribution
    return found
