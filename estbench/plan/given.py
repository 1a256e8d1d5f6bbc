"""Objects that a plan holds directly: a user made them in the session, and no name leads to them."""

from __future__ import annotations

import uuid
from dataclasses import MISSING, dataclass, field
from functools import lru_cache
from io import BytesIO
from typing import Any

import cloudpickle

from estbench.errors import UsageError


@dataclass(frozen=True)
class Given:
    """An object of a user, equal to itself alone: its own `__eq__` is not asked.

    Other processes get it by value, with the functions and classes of a notebook or a script that it uses, and unpack
    it once.
    """

    value: Any = field(compare=False, repr=False)
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __reduce__(self) -> tuple[Any, tuple[str, bytes]]:
        """How it goes to another process; UsageError for what cannot, such as an open file."""
        return _unpacked, (self.token, self._packed)

    @property
    def _packed(self) -> bytes:
        if "_bytes" not in vars(self):
            packed = BytesIO()
            try:
                _Pickler(packed).dump(self.value)
            except Exception as error:  # whatever an object of a user raises
                what = getattr(self.value, "__qualname__", type(self.value).__qualname__)
                raise UsageError(f"{what} cannot go to another process ({error}); use one: jobs=1") from error
            vars(self)["_bytes"] = packed.getvalue()
        found: bytes = vars(self)["_bytes"]
        return found


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc] # it has no types
    """Pickles by value what a script or notebook defines; but `dataclasses.MISSING`, compared by `is`, by its name."""

    def reducer_override(self, obj: Any) -> Any:
        """How an object is packed."""
        return "MISSING" if obj is MISSING else super().reducer_override(obj)


@lru_cache(maxsize=64)
def _unpacked(token: str, packed: bytes) -> Given:
    return Given(cloudpickle.loads(packed), token)
