"""What a function that was not written for estbench takes: the role of each of its parameters, and its form."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from inspect import Parameter
from numbers import Integral
from typing import Any, Literal

import torch

from estbench.errors import UsageError
from estbench.function_options import VARIABLE, Option, option

Form = Literal["sampler", "loss", "gradient", "advantages"]

FORMS: dict[Form, str] = {
    "sampler": "(logits) -> sample, whose backward is the estimator",
    "loss": "(logits, f) or (logits, f, samples) -> loss, whose backward is the estimator",
    "gradient": "(logits, f) or (logits, f, samples) -> gradient, like the logits",
    "advantages": "(rewards [N], ...) -> advantages [N] or [N, D]; the estimate is the mean of A_n s(z_n)",
}
"""The forms, and what each takes and returns."""

REWARDS = ("rewards", "reward", "scores", "returns", "token_level_rewards", "token_level_scores", "r")
OBJECTIVES = ("f", "fn", "fun", "func", "function", "objective", "loss_fn", "reward_fn", "cost_fn", "cost", "loss")
SAMPLES = ("samples", "n_samples", "num_samples", "nsamples", "n", "N", "sample_size")
TEMPERATURES = ("temperature", "tau")
GENERATORS = {"generator": "torch", "rng": "numpy", "key": "jax", "rng_key": "jax", "prng_key": "jax"}
MASKS = ("response_mask", "eos_mask", "action_mask", "completion_mask", "loss_mask", "mask")
GROUPS = ("index", "uid", "uids", "group_ids", "group_index")
GROUP_SIZES = ("num_generations", "group_size", "n_samples_per_prompt", "rloo_k", "num_samples_per_prompt")
RESERVED = (
    *("form", "samples", "distribution", "name", "label", "temperatures", "options"),  # of a config
    *("target", "function", "found", "facts", "joint", "rows", "fit", "breakpoints"),  # of an estimator
)
"""Parameters of these names are no options: they have their defaults."""


@dataclass(frozen=True)
class Parameters:
    """The parameters of a function: which one is given what.

    `first` is the logits or the rewards. The others are names of parameters, or None where the function has none:
    `f`, `samples`; `generator` with its `GENERATORS`. `given` are those that advantages are given (see `advantages`),
    `options` those that a user may set. `by_position` lists all where names are not taken.
    """

    first: str
    f: str | None = None
    samples: str | None = None
    generator: tuple[str, str] | None = None
    given: tuple[str, ...] = ()
    options: dict[str, Option] = field(default_factory=dict, hash=False)
    by_position: tuple[str, ...] | None = None
    positional_only: tuple[str, ...] = ()


def callable_of(target: Any) -> Callable[..., Any]:
    """What is called: `apply` of an `autograd.Function`, else the target itself."""
    if inspect.isclass(target) and issubclass(target, torch.autograd.Function):
        return target.apply
    found: Callable[..., Any] = target
    return found


def parameters(target: Any, form: Form | None) -> Parameters:
    """The parameters of a target, with the roles that they have in a form; None: in the form that fits the names.

    Raises TypeError where it takes nothing.
    """
    listed, by_position = parameters_of(target)
    positional = [p for p in listed if p.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)]
    if not positional:
        raise TypeError("it takes no argument, and must take the logits, or the rewards, first")
    first, rest = positional[0], [p for p in listed if p is not positional[0]]
    of_rewards = form == "advantages" or (form is None and first.name in REWARDS)
    f = samples = generator = None
    given: list[str] = []
    options: dict[str, Option] = {}
    for p in rest:
        needed = p.default is Parameter.empty and p.kind not in VARIABLE
        if of_rewards and p.name in (*MASKS, *GROUPS, *GROUP_SIZES) and (needed or p.default is None):
            given.append(p.name)
        elif p.name in GENERATORS and (needed or p.default is None):
            generator = p.name, GENERATORS[p.name]
        elif not of_rewards and f is None and needed and _takes_f(p, form):
            f = p.name
        elif f is not None and samples is None and (p.name in SAMPLES or (needed and form in ("loss", "gradient"))):
            samples = p.name
        elif p.name not in RESERVED and (found := option(target, p)) is not None:
            options[p.name] = found
    names = tuple(p.name for p in listed) if by_position else None
    alone = tuple(p.name for p in positional if p.kind is Parameter.POSITIONAL_ONLY)
    return Parameters(first.name, f, samples, generator, tuple(given), options, names, alone)


def guessed(found: Parameters) -> tuple[Form, ...]:
    """The forms that a function with such parameters may have."""
    if found.f is not None:
        return ("loss", "gradient")
    return ("advantages",) if found.first in REWARDS else ("sampler",)


def demand_written(form: Any, samples: Any) -> None:
    """Raise UsageError for an unknown form or an invalid number of samples; None stands for the default of either."""
    if form is not None and not (isinstance(form, str) and form in FORMS):
        raise UsageError(f"form={form!r:.80}: there are {', '.join(FORMS)}")
    whole = isinstance(samples, Integral) and not isinstance(samples, bool)
    if samples is not None and not (whole and samples >= 1):
        raise UsageError(f"samples={samples!r:.80}: expected a whole number of at least 1")


def may_have(target: Any, form: Form) -> bool:
    """Whether the signature allows a form: a loss and a gradient have a parameter for f, the others have none."""
    return (parameters(target, form).f is not None) == (form in ("loss", "gradient"))


def parameters_of(target: Any) -> tuple[list[Parameter], bool]:
    """The parameters, without the context of an `autograd.Function`, and whether they are taken by position only."""
    if inspect.isclass(target) and issubclass(target, torch.autograd.Function):
        every = list(inspect.signature(target.forward).parameters.values())
        own_context = target.setup_context is not torch.autograd.Function.setup_context
        return every[0 if own_context else 1 :], True
    called = target.forward if isinstance(target, torch.nn.Module) else target
    try:
        return list(inspect.signature(called).parameters.values()), False
    except (TypeError, ValueError):  # a function in C does not tell
        return [Parameter("logits", Parameter.POSITIONAL_ONLY)], False


def _takes_f(p: Parameter, form: Form | None) -> bool:
    return form in ("loss", "gradient") or p.name in OBJECTIVES or "Callable" in str(p.annotation)
