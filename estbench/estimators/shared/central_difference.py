"""Central differences of f between two samples of the same noise."""

from __future__ import annotations

from torch import Tensor

from estbench.draws import Draw


def central_difference(draw: Draw, c: float, delta: Tensor) -> Tensor:
    """[f(z(φ + cΔ, u)) − f(z(φ − cΔ, u))]/(2c), [R, N], of directions Δ like z: moving all logits by h moves x by h."""
    f, hard, h = draw.problem.f, draw.distribution.hard, c * delta
    return draw.problem.difference(f(hard(draw.x + h)), f(hard(draw.x - h))) / (2 * c)
