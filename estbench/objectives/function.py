"""An objective that is any function of samples: a lambda, a module of torch, a method, a function of numpy arrays."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from estbench.distributions import Distribution
from estbench.errors import UsageError
from estbench.isolation import reason
from estbench.objectives.base import BOTH
from estbench.objectives.training_mode import modules_of
from estbench.plan import Options

On = Literal["values", "flat", "one-hot"]
Library = Literal["torch", "numpy"]

FORMS: tuple[tuple[Library, torch.dtype], ...] = (
    ("torch", torch.float64),
    ("torch", torch.float32),
    ("numpy", torch.float64),
)
"""What a function may take, in the order in which it is tried."""


@dataclass(frozen=True, eq=False)
class Function:
    """f(v) by a callable, which is given rows [n, D] or [n, D, K] and returns n numbers, [n] or [n, 1].

    on       what it is a function of, see `Objective`
    dtype    of what it is given: float32 where it does not take float64. Its values are counted in the samples' type
    library  whether it takes tensors, or arrays of numpy (then it has no gradient)
    alternative  whether it is a function of something else than the sample
    device   where it is given them, that of the parameters of its modules; None: where the samples are
    """

    f: Callable[[Any], Any]
    on: On
    dtype: torch.dtype = torch.float64
    library: Library = "torch"
    alternative: bool = False
    device: torch.device | None = None

    distributions: ClassVar[frozenset[str]] = BOTH

    def value(self, v: Tensor) -> Tensor:
        """f(v): [..., D] or [..., D, K] to [...]."""
        axes = 2 if self.on == "one-hot" else 1
        value = self.returned(v.reshape(-1, *v.shape[-axes:])).reshape(v.shape[:-axes])
        return value.to(v.dtype, copy=True)  # the callable may use the memory of its result again

    def returned(self, rows: Tensor) -> Tensor:
        """What the callable makes of rows [n, …]: [n] or [n, 1]; WrongShapeError for anything else."""
        given = rows.to(self.device, self.dtype)
        found = self.f(given if self.library == "torch" else given.detach().cpu().numpy())
        values = found if isinstance(found, Tensor) else torch.as_tensor(_numbers(found))
        n = len(rows)
        if values.shape not in ((n,), (n, 1)):
            raise WrongShapeError(
                f"it returned shape {list(values.shape)} for samples {list(rows.shape)}; it must return one number for "
                f"each, [{n}] (a function of a single sample is wrapped in torch.vmap)"
            )
        if values.is_complex():
            raise TypeError("it returned complex numbers, and must return real ones")
        return values.to(rows.device)

    @property
    def options(self) -> Options:
        """What is to be shown of it: where it is asked otherwise than with samples, as float64 tensors on the CPU."""
        found = {
            "on": self.on if self.alternative else "",
            "dtype": str(self.dtype).removeprefix("torch."),
            "library": self.library,
            "device": "cpu" if self.device is None else self.device.type,
        }
        usual = {"on": "", "dtype": "float64", "library": "torch", "device": "cpu"}
        return tuple((option, value) for option, value in found.items() if value != usual[option])


def _numbers(found: Any) -> np.ndarray[Any, Any]:
    """What a function has returned, as an array; TypeError unless it is of numbers."""
    array = np.asarray(found)
    if array.dtype.kind not in "biufc":
        raise TypeError(f"it returned {found!r:.60}, and must return one number for each sample")
    return array


class WrongShapeError(ValueError):
    """A function has not returned one number for each sample."""


def function_of(f: Callable[[Any], Any], distribution: Distribution, on: On | None = None) -> Function:
    """The objective of a callable, called once for each form that is tried: the first in which it returns n numbers.

    It is given samples [n, D] or, one-hot, [n, D, K], in float64, then in float32, then as arrays of numpy. What takes
    no one-hot samples, or tells no class from another there, is given the ordinal values k/(K − 1), [n, D]; `on` says
    what it is to be given instead. UsageError, with what it raised or returned, where no form fits.
    """
    if not callable(f):
        raise UsageError(f"f is a function of samples or an objective, got {f!r:.80}")
    z = _samples(distribution)
    one_hot = distribution.values(z).shape != z.shape
    if on == "one-hot" and not one_hot:
        raise UsageError(f"on='one-hot': samples of {distribution.name} variables are not one-hot")
    forms: tuple[On, ...] = (on,) if on is not None else ("one-hot", "values") if one_hot else ("values",)
    tried = [_tried(f, form, distribution, z) for form in forms]
    working = [each for each in tried if not isinstance(each, Exception)]
    if not working:
        assert isinstance(tried[0], Exception)
        text = str(tried[0]) if isinstance(tried[0], WrongShapeError) else reason(tried[0])
        raise UsageError(f"f ({name_of(f)}) cannot be evaluated: {text}") from tried[0]
    varying = [(made, values) for made, values in working if _varies(values, made.dtype)]
    if len(varying) == 2 and [values.ndim for _, values in varying] == [2, 1]:
        raise UsageError(
            f"f ({name_of(f)}) can be read in two ways: of one-hot samples {list(z.shape)} it returns "
            f"[{len(z)}, 1], and of their ordinal values {list(z.shape[:-1])} it returns [{len(z)}]. Say which with "
            "on='one-hot' or on='values', or let it return one number for each sample, [n]"
        )
    return (varying or working)[0][0]


def _samples(distribution: Distribution) -> Tensor:
    """Samples [n, D(, K)]: every variable of class k, and of class k + d; n is not mistaken for D or K."""
    D, K = distribution.n_variables, distribution.classes
    k, d = torch.arange(K, device=distribution.logits.device).unsqueeze(-1), torch.arange(D)
    c = torch.cat((k.expand(K, D), (k + d.to(k)) % K))
    while len(c) in (D, K):
        c = torch.cat((c, c[-1:]))
    return distribution.one_hot(c.double())


def _varies(values: Tensor, dtype: torch.dtype) -> bool:
    """Whether the values differ by more than the rounding of a sum."""
    values = values.double()
    return bool(((values - values[0]).abs() > 100 * torch.finfo(dtype).eps * values.abs().max()).any())


def _tried(
    f: Callable[[Any], Any], on: On, distribution: Distribution, z: Tensor
) -> tuple[Function, Tensor] | Exception:
    """The objective and its values at samples, in the first type and library that work; or what tells most of why not.

    That is a wrong shape, else what float64 raised, unless that was about the type.
    """
    v = distribution.values(z) if on == "values" else distribution.flatten(z) if on == "flat" else z
    raised: list[Exception] = []
    parameters = (parameter for module in modules_of(f).values() for parameter in module.parameters())
    device = next((parameter.device for parameter in parameters), None)
    for library, dtype in FORMS:
        made = Function(f, on, dtype, library, v.shape != z.shape, device)
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("error", message=".*__array_wrap__")  # a function of numpy, given a tensor
                return made, made.returned(v.clone())
        except Exception as error:
            raised.append(error)
    double, single, _ = raised
    about_type = "dtype" in str(double) or "Double" in str(double)
    return next((e for e in raised if isinstance(e, WrongShapeError)), single if about_type else double)


def name_of(f: object) -> str:
    """What a function or object is called: `net`'s class, `energy`, `<lambda>`, `Model.energy`."""
    inner = getattr(f, "func", f)  # of a functools.partial
    name = getattr(inner, "__qualname__", None) or type(inner).__qualname__
    return str(name).rpartition("<locals>.")[2]
