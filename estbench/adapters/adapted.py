"""Estimators made of functions: one class for each function, with the function's own options as its options."""

from __future__ import annotations

import dataclasses
import inspect
import re
import warnings
from functools import lru_cache, partial
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from estbench.adapters import advantages
from estbench.adapters.calls import Calls
from estbench.adapters.function import STREAM, Function, named, number_of
from estbench.adapters.groups import Groups
from estbench.adapters.signature import FORMS, TEMPERATURES, Form, guessed, parameters
from estbench.adapters.trial import Found, tried
from estbench.distributions import DISTRIBUTIONS, links
from estbench.draws import Draw
from estbench.errors import UsageError
from estbench.estimators.base import LINKS, Count, Facts
from estbench.function_options import Target, class_with, name_of
from estbench.isolation import Isolated, UserCodeError, reason
from estbench.tensor_versions import cached_property


class Adapted:
    """An estimator that calls a function: what all such classes have in common.

    form          how the function is written (`FORMS`); by default found out
    samples       the samples that one call uses; an estimate of N samples is the mean of N/samples calls. By default
                  one call uses all N if the function has such a parameter, and one sample otherwise
    distribution  what the function makes samples of: bernoulli, categorical, or "bernoulli[link=probit]"; by default
                  found out
    """

    target: ClassVar[Any]
    form: Form | None
    samples: int | None
    distribution: str | None

    @cached_property
    def function(self) -> Function:
        """The function with its options."""
        own = {name: value for name, value in self._given().items() if name not in OWN}
        found = parameters(self.target, self.form)
        return Function(self.target, found, named(own, found))

    @cached_property
    def found(self) -> Found:
        """What it does, found out by calling it; UsageError where it works in no form."""
        shown = f"{name_of(self.target)}: "
        try:
            function = self.function
        except TypeError as error:
            raise UsageError(shown + str(error)) from None
        forms = (self.form,) if self.form is not None else guessed(function.parameters)
        if forms in (("loss",), ("gradient",)) and function.parameters.f is None:
            raise UsageError(f"{shown}a {forms[0]} is a function of (logits, f), and this has no parameter for f")
        if forms == ("sampler",) and function.parameters.f is not None:
            raise UsageError(
                f"{shown}a sampler is a function of the logits alone, and {function.parameters.f!r} stands for f: it "
                "may be a loss or a gradient"
            )
        name, _ = _distribution(self.distribution)
        try:
            with Isolated(STREAM, "trial"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return tried(function, forms, name, self.samples)
        except UsageError as error:
            hint = "" if self.form else f" If it is written otherwise, give form=: {', '.join(FORMS)}"
            raise UsageError(f"{shown}{error}.{hint}") from None
        except UserCodeError as error:
            raise UsageError(f"{shown}after calls that worked it raised {reason(error)}") from error

    @property
    def facts(self) -> Facts:
        """Nothing is claimed of its bias; the rest was found out by calling it."""
        found = self.found
        of_rewards = found.form == "advantages"
        _, link = _distribution(self.distribution)
        return Facts(
            "adapted",
            distributions=found.distributions,
            general=of_rewards,
            links=LINKS if of_rewards else frozenset({link}),
            unbiased=None,
            f=_count(found.f, found.counted),
            df=_count(found.df, found.counted),
            min_samples=found.samples,
            multiple=self.samples or (found.step if self._takes_all else found.samples),
            exact="z" if of_rewards and not found.random else "none",
            centred=of_rewards,
            symmetric=found.symmetric,
            notes=(f"form {found.form}", *found.notes),
        )

    @property
    def _takes_all(self) -> bool:
        """Whether one call uses all N samples."""
        return self.samples is None and (
            self.function.parameters.samples is not None or self.found.form == "advantages"
        )

    @cached_property
    def _groups(self) -> dict[int, Groups]:
        return {}

    def joint(self, draw: Draw, samples: int) -> Tensor:
        """The mean of N/samples calls, [R, D(, K)]; of advantages the mean of A_n s(z_n) over all N."""
        found = self.found
        if found.form == "advantages":
            groups = self._groups.setdefault(draw.problem.D, Groups(self.function, draw.problem.D, found.array))
            of = partial(groups.many, number=number_of(draw)) if found.random else groups.fixed
            return advantages.estimate(of, draw, samples, shift_free=found.shift_free)
        each = samples if self._takes_all else self.samples or 1
        calls = Calls(self.function, found.form, found.array, draw.problem, each, found.random)
        n = samples // each
        logits = draw.distribution.align(draw.distribution.logits)
        logits = logits.expand(draw.R, n, *draw.distribution.event_shape).flatten(0, 1)
        return calls.gradients(logits, number_of(draw)).view(draw.R, n, *draw.distribution.event_shape).mean(1)

    def __repr__(self) -> str:
        shown = {name: value for name, value in self._given().items() if value is not None} | {"form": self.found.form}
        return f"{name_of(self.target)}[{','.join(f'{name}={value}' for name, value in sorted(shown.items()))}]"

    def __reduce__(self) -> Any:
        return _made, (self.target, self._given())

    def _given(self) -> dict[str, Any]:
        names = (f.name for f in dataclasses.fields(self))  # type: ignore[arg-type] # each class made here is one
        return {name: getattr(self, name) for name in names}


OWN = ("form", "samples", "distribution")


def class_of(target: Any) -> type[Adapted]:
    """The class of estimators that call a function: one and the same for the same function.

    Its options are those of the function that have a plain type, and those of `Adapted`. What the function calls tau or
    temperature is `temperature`. Raises UsageError for anything but a function.
    """
    if not callable(target):
        raise UsageError(f"{target!r} is not a function: an estimator is made of {_ACCEPTED}")
    if inspect.isclass(target) and not issubclass(target, torch.autograd.Function):
        raise UsageError(f"{name_of(target)} is a class, but not an estimator; give {_ACCEPTED}, or an instance")
    return _class_of(Target(target))


_ACCEPTED = "a function, an autograd.Function, or a module of torch"


@lru_cache(maxsize=256)
def _class_of(target: Target) -> type[Adapted]:
    try:
        found = parameters(target.it, None).options
    except TypeError as error:
        raise UsageError(f"{name_of(target.it)}: {error}") from None
    own = next((name for name in TEMPERATURES if name in found), None)
    options = {
        "temperature" if name == own else name: (Annotated[float, Field(gt=0)] if name == own else annotation, default)
        for name, (annotation, default) in found.items()
    }
    options |= {
        "form": (Form | None, None),
        "samples": (Annotated[int, Field(ge=1)] | None, None),
        "distribution": (str | None, None),
    }
    return class_with(options, Adapted, target.it)


def _made(target: Any, given: dict[str, Any]) -> Adapted:
    return class_of(target)(**given)


def _distribution(text: str | None) -> tuple[str | None, str]:
    """The name and the link of `bernoulli[link=probit]`; UsageError where there is no such distribution."""
    if text is None:
        return None, "sigmoid"
    match = re.fullmatch(r"(\w+)(?:\[link=(\w+)\])?", text)
    if match is None or match[1] not in DISTRIBUTIONS or (match[2] or "sigmoid") not in links.LINKS:
        raise UsageError(f"distribution={text!r}: give {', '.join(DISTRIBUTIONS)}, or bernoulli[link=probit]")
    if match[2] and not links.has_link(DISTRIBUTIONS[match[1]]):
        raise UsageError(f"distribution={text!r}: only bernoulli has a link")
    return match[1], match[2] or "sigmoid"


def _count(evaluations: int, samples: int) -> int | Count:
    """What one call of so many samples evaluates, per sample."""
    if evaluations % samples == 0:
        return evaluations // samples
    each = -(-evaluations // samples)
    return Count(f"{evaluations / samples:.3g}", lambda *_: each)
