"""Cached tensors with their versions, so that a later write into one is detected.

Torch counts the writes into a tensor and into its views (`Tensor._version`). Writes through numpy memory or `.data`
are not counted; the comparison with copies and with recomputed values sees those (`estbench.engine.purity`).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, Self, TypeVar, overload

import torch
from torch import Tensor

T = TypeVar("T")

Tracked = list[tuple[str, dict[Any, Any] | None, Any, Tensor, int]]
"""For each tensor: what it is called, the dictionary and the key that it is kept under, itself, and its version.

The owner's own dictionary is None: a reference to it would be a cycle, and memory would wait for the garbage collector.
"""


class cached_property(functools.cached_property[T]):  # noqa: N801 - it stands in for functools.cached_property
    """`functools.cached_property` that remembers the version of a tensor, without the lock that Python 3.11 takes."""

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type[Any] | None = None) -> T: ...

    def __get__(self, instance: object, owner: type[Any] | None = None) -> Any:
        """The value; only its first use comes here, later ones find it in the instance."""
        if instance is None:
            return self
        assert self.attrname is not None
        kept, name = instance.__dict__, self.attrname
        value = kept[name] = self.func(instance)
        tracked: Tracked | None = kept.setdefault("_tracked", [])
        if tracked is None or not isinstance(value, Tensor):
            return value
        if value.is_inference():
            track(instance, name, kept, name)
            return kept[name]
        tracked.append((name, None, name, value, value._version))  # as `track`, in fewer steps: small draws have many
        return value


def leave_untracked(*owners: object) -> None:
    """Remember no versions of what these keep: nobody will ask, and in a small step of training it costs."""
    for owner in owners:
        vars(owner)["_tracked"] = None


def track(owner: Any, label: str, place: dict[Any, Any], key: Any) -> None:
    """Remember the tensor that is kept at `place[key]` as it is now."""
    tracked: Tracked | None = vars(owner).setdefault("_tracked", [])
    if tracked is None:
        return
    tensor = place[key]
    if tensor.is_inference():  # made in `torch.inference_mode()` of a plug-in; others may want gradients of it
        with torch.inference_mode(mode=False):
            tensor = place[key] = tensor.clone()
    tracked.append((label, None if place is vars(owner) else place, key, tensor, tensor._version))


def written(owner: Any) -> Iterator[str]:
    """What of an owner's tensors was written into, replaced, or made to require a gradient since it was made."""
    for label, place, key, tensor, version in vars(owner).get("_tracked") or ():
        now = (vars(owner) if place is None else place).get(key)
        if tensor._version != version or tensor.requires_grad or now is not tensor:
            yield label


def shared_tensors(owner: Any) -> Iterator[tuple[str, Tensor]]:
    """An owner's tensors, each with what it is called."""
    return ((label, tensor) for label, _, _, tensor, _ in vars(owner).get("_tracked") or ())
