"""`estbench.check`: the report card of one estimator or function."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, overload

from estbench.api.measuring import Seed
from estbench.card.card import Card
from estbench.card.config import ConfigCard, config_card
from estbench.card.look import look, unusable
from estbench.card.subject import Form
from estbench.card.target import UnusableError, resolved, settled


@overload
def check(target: Path) -> ConfigCard: ...


@overload
def check(
    target: Any,
    form: Form | None = None,
    distribution: Any = None,
    samples: int | None = None,
    f: Callable[[Any], Any] | Any | None = None,
    *,
    unbiased: bool | None = None,
    smallest: float = 0.1,
    limit: float = 10.0,
    seed: Seed = 0,
    **options: Any,
) -> Card: ...


def check(
    target: Any,
    form: Form | None = None,
    distribution: Any = None,
    samples: int | None = None,
    f: Callable[[Any], Any] | Any | None = None,
    *,
    unbiased: bool | None = None,
    smallest: float = 0.1,
    limit: float = 10.0,
    seed: Seed = 0,
    **options: Any,
) -> Card | ConfigCard:
    """Check an estimator on small problems whose gradient is known: bias and its cause, invariances, cost, figures.

    The card prints itself. `card.ok` says that nothing was found to be wrong and that the mean was measured;
    `card.failures` are the claims that are false, each with its usual cause; `card.to_json()` holds all of it.

    target        an estimator (its class or an instance), a name of the catalogue such as "rloo" or
                  "gumbel[temperature=0.5]", "my_file.py:thing", "package.module:thing", or a function in one of four
                  forms (`estbench.adapt`). Of a config, "my_run.yaml" or a Path, it is said whether it can be run as it
                  is; no other argument matters then
    form          how a function is written: sampler, loss, gradient or advantages; by default found out
    distribution  "bernoulli", "categorical", or a distribution with logits, such as estbench.Bernoulli(logits=[0.5]):
                  then a problem with these logits is added. By default all that the target serves
    samples       the samples that one call of a function uses
    f             a function of samples of your own, on which it is looked at as well, at the logits of `distribution`
    unbiased      whether it is meant to be unbiased. By default what an estimator's facts say; a sampler need not be,
                  other functions must be, unless their mean is that of a biased member of the catalogue
    smallest      sampling goes on until relative biases of this size would be seen (9 times of 10),
    limit         or for so many seconds
    seed          of all that is drawn, an int or a generator of numpy: the same seed gives the same card, as long as
                  the time suffices
    options       arguments of the function, or options of the estimator

    Raises UsageError for any other target. A function that works in no form has a card that says so.
    """
    if isinstance(target, Path) or (isinstance(target, str) and target.endswith((".yaml", ".yml"))):
        return config_card(Path(target))
    seed = settled(smallest, limit, seed, unbiased)
    try:
        found = resolved(target, form, distribution, samples, f, unbiased=unbiased, options=options)
    except UnusableError as error:
        return unusable(error)
    return look(found.subject, found.distributions, found.own, smallest=smallest, limit=limit, seed=seed)
