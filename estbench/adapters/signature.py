"""What a function that was not written for estbench takes: the role of each of its parameters, and its form."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from inspect import Parameter
from typing import Any, Literal, get_type_hints

import torch

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
RESERVED = ("form", "samples", "distribution", "name", "label", "temperatures", "options")


@dataclass(frozen=True)
class Parameters:
    """The parameters of a function: which one is given what.

    `first` is the logits or the rewards. The others are names of parameters, or None where the function has none:
    `f`, `samples`; `generator` with its `GENERATORS`. `given` are those that advantages are given (see `advantages`),
    `options` the annotation and default of all that a user may set. `by_position` lists all where names are not taken.
    """

    first: str
    f: str | None = None
    samples: str | None = None
    generator: tuple[str, str] | None = None
    given: tuple[str, ...] = ()
    options: dict[str, tuple[Any, Any]] = field(default_factory=dict, hash=False)
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
    listed, by_position = _listed(target)
    positional = [p for p in listed if p.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)]
    if not positional:
        raise TypeError("it takes no argument, and must take the logits, or the rewards, first")
    first, rest = positional[0], [p for p in listed if p is not positional[0]]
    of_rewards = form == "advantages" or (form is None and first.name in REWARDS)
    f = samples = generator = None
    given: list[str] = []
    options: dict[str, tuple[Any, Any]] = {}
    for p in rest:
        needed = p.default is Parameter.empty and p.kind not in (Parameter.VAR_KEYWORD, Parameter.VAR_POSITIONAL)
        if of_rewards and p.name in (*MASKS, *GROUPS, *GROUP_SIZES) and (needed or p.default is None):
            given.append(p.name)
        elif p.name in GENERATORS and (needed or p.default is None):
            generator = p.name, GENERATORS[p.name]
        elif not of_rewards and f is None and needed and _takes_f(p, form):
            f = p.name
        elif f is not None and samples is None and (p.name in SAMPLES or (needed and form in ("loss", "gradient"))):
            samples = p.name
        elif p.kind not in (Parameter.VAR_KEYWORD, Parameter.VAR_POSITIONAL) and p.name not in RESERVED:
            options[p.name] = _type_of(target, p), p.default
    names = tuple(p.name for p in listed) if by_position else None
    alone = tuple(p.name for p in positional if p.kind is Parameter.POSITIONAL_ONLY)
    return Parameters(first.name, f, samples, generator, tuple(given), options, names, alone)


def guessed(found: Parameters) -> tuple[Form, ...]:
    """The forms that a function with such parameters may have."""
    if found.f is not None:
        return ("loss", "gradient")
    return ("advantages",) if found.first in REWARDS else ("sampler",)


def _listed(target: Any) -> tuple[list[Parameter], bool]:
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


def _type_of(target: Any, p: Parameter) -> Any:
    """The type of an option: as annotated if that is plain, else that of its default, else anything."""
    with_hints: Any = getattr(target, "forward", target)
    try:
        hint = get_type_hints(with_hints).get(p.name, Parameter.empty)
    except Exception:  # names of modules that are imported for type checkers alone
        hint = Parameter.empty
    if hint is not Parameter.empty and all(part in _PLAIN for part in _parts(hint)):
        return hint
    return type(p.default) if type(p.default) in (bool, int, float, str) else Any


_PLAIN = (bool, int, float, str, type(None))


def _parts(hint: Any) -> Iterator[Any]:
    """The types that a union is made of; of a literal those of its values."""
    inner = getattr(hint, "__args__", None)
    if inner is None or isinstance(hint, type):
        yield hint
    elif getattr(hint, "__origin__", None) is Literal:
        yield from map(type, inner)
    else:
        for part in inner:
            yield from _parts(part)
