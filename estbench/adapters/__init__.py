"""Estimators made of code that was not written for estbench, which runs unchanged.

There are four forms of such code, each in a module of its own: `sampler`, `loss`, `gradient` and `advantages` (`FORMS`
says what each takes and returns). Logits are given as [D] or [D, K] in float64. f takes samples [n, D], or one-hot
[n, D, K], and returns [n]; what it is asked is counted. The global generators of torch, numpy and Python are seeded
from the draw around all calls, so that the same seed gives the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields
from typing import Any, cast

from pydantic import ValidationError

from estbench.adapters.adapted import OWN, Adapted, class_of
from estbench.adapters.signature import FORMS, Form, demand_written, may_have
from estbench.errors import UsageError
from estbench.estimators.base import Estimator, is_estimator
from estbench.function_options import as_options, name_of

__all__ = ["FORMS", "Adapted", "Form", "adapt", "class_of", "may_have", "name_of"]


def adapt(
    target: Any,
    form: Form | None = None,
    distribution: str | None = None,
    samples: int | None = None,
    **options: Any,
) -> Estimator:
    """An estimator that calls a function: one like any other, whose facts are found out by calling it.

    target        a function, an `autograd.Function`, or anything that can be called; an estimator is returned
    form          one of `FORMS`; by default the one that fits the signature and what a call returns
    distribution  bernoulli, categorical, or "bernoulli[link=probit]"; by default those whose samples it makes
    samples       the samples that one call uses. An estimate of N samples is the mean of N/samples calls. By default
                  one call uses all N if the function has a parameter for it, and one sample otherwise
    options       arguments of the function by their names

    Raises UsageError where the function works in no form, with what went wrong in each.
    """
    if is_estimator(target):
        return cast(Estimator, target() if isinstance(target, type) else target)
    demand_written(form, samples)
    if not (distribution is None or isinstance(distribution, str)):
        raise UsageError(
            f"distribution={distribution!r:.80}: expected a name: bernoulli, categorical, or bernoulli[link=probit]"
        )
    kind: Any = class_of(target)
    names = [field.name for field in fields(kind)]
    own = as_options(options, names)
    _demand_options(name_of(target), options, own, fields(kind))
    try:
        made = kind(form=form, distribution=distribution, samples=None if samples is None else int(samples), **own)
    except ValidationError as error:
        wrong = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}, got {e['input']!r:.80}" for e in error.errors())
        raise UsageError(f"{name_of(target)}: {'; '.join(wrong)}") from None
    except TypeError as error:
        raise UsageError(f"{name_of(target)}: {error}") from None
    _ = made.found  # where it works in no form, this says so
    return cast(Estimator, made)


def _demand_options(label: str, given: Mapping[str, Any], own: Mapping[str, Any], known: Sequence[Field[Any]]) -> None:
    """UsageError for options that a function does not have, and for those that are needed and not given."""
    names = [field.name for field in known if field.name not in OWN]
    if unknown := [name for name, option in zip(given, own, strict=True) if option not in names]:
        raise UsageError(f"{label} has no option {unknown[0]!r}; it has {', '.join(names) or 'none'}")
    needed = [field.name for field in known if field.default is MISSING and field.default_factory is MISSING]
    if missing := [name for name in needed if name not in own]:
        call = f"estbench.adapt({label.rpartition(':')[2]}, {', '.join(f'{name}=…' for name in missing)})"
        raise UsageError(f"{label}: {', '.join(missing)} must be given, as {call}")
