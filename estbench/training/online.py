"""Coefficients of control variates while the logits move: a regression over earlier steps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from estbench.catalogue import options_of
from estbench.draws import Draw
from estbench.errors import UsageError
from estbench.estimate import estimates
from estbench.estimators.base import Estimator, Fitted
from estbench.estimators.control_variate.lax import Lax
from estbench.estimators.control_variate.relax import Relax
from estbench.training.chosen import CRITIC, Chosen, choose, to_fit

WARM_UP = 3

NO_PART = ("n_fit", "temperature")
"""Options that may differ where steps go on: the first has no part in them, the second may be annealed."""


class Online:
    """An estimator for `expectation` whose coefficients are those of least variance in the steps so far.

    For estimators linear in coefficients c that are left at `fitted` (rebar: eta; double_cv: a; rodeo: a, b),
    ĝ = g₀ + Σ_j c_j g_j with E g_j = 0, so c = −G⁻¹ h, G_ij = Σ ⟨g_i, g_j⟩, h_j = Σ ⟨g_j, g₀⟩: sums over the examples
    and logits of earlier steps, each step weighted by `decay`^age. The step at hand never enters its own coefficients,
    so the estimate stays as unbiased as with given ones. It costs no evaluation of f. In the first three steps the
    estimator is as it is unfitted.

    Make one for each place where it is used: coefficients depend on f, on the layer and on N. It is not copied
    between the processes of DistributedDataParallel; each finds its own, and all remain unbiased. Of an estimator that
    was fitted its options count alone.
    """

    def __init__(self, estimator: Estimator | str, *, decay: float = 0.99) -> None:
        if not 0 < decay < 1:
            raise UsageError(f"decay must lie between 0 and 1, got {decay}")
        self._chosen, self._decay = choose(estimator), decay
        one: Any = self._chosen.estimator
        if isinstance(one, Relax | Lax):
            raise UsageError(f"Online({self._chosen.text}): {CRITIC}")
        self.names = to_fit(one) if isinstance(one, Fitted) else []
        if not self.names:
            raise UsageError(
                f"{self._chosen.text} has no coefficient to find; these have, where they are not given: rebar (eta), "
                "double_cv (a), rodeo (a, b)"
            )
        if getattr(one, "tune_temperature", False):
            raise UsageError(f"{self._chosen.text}: the temperature is not a coefficient; give it")
        options = {name: getattr(one, name) for name in options_of(type(one))}
        self._chosen = replace(self._chosen, estimator=type(one)(**options))
        of = ", ".join(f"{name}={value}" for name, value in options.items() if name not in NO_PART)
        self._of = f"{type(one).__name__}({of})"
        self.steps = 0
        self._sums: Tensor | None = None

    def chosen(self, temperature: float | None) -> Chosen:
        """The estimator, at another temperature if one is given."""
        return self._chosen if temperature is None else choose(self._chosen.estimator, temperature)

    @property
    def coefficients(self) -> dict[str, float] | None:
        """What the next step uses, by option; None before there are any."""
        found = self._found()
        return None if found is None else dict(zip(self.names, found.tolist(), strict=True))

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs: numbers, texts and a tensor."""
        return {"estimator": self._of, "steps": self.steps, "sums": self._sums}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint; UsageError for one of another estimator, or of something else.

        The temperature may be another one, as it is where it is annealed.
        """
        n = len(self.names)
        match state:
            case {"estimator": str(of), "steps": int(steps), "sums": Tensor() | None as sums}:
                if of != self._of:
                    raise UsageError(f"the state is that of Online({of}), and this is Online({self._of})")
                if steps >= 0 and (sums is None or (sums.shape == (n, n + 1) and sums.is_floating_point())):
                    self.steps, self._sums = steps, sums
                    return
        raise UsageError("the state of an Online is what state_dict() returned, and this is something else")

    def estimate(self, draw: Draw, samples: int) -> Tensor:
        """ĝ [R, P] with the coefficients of earlier steps; then this step is added to the sums."""
        zeros = dict.fromkeys(self.names, 0.0)
        g0 = self._at(draw, samples, zeros)
        g = torch.stack([self._at(draw, samples, {**zeros, name: 1.0}) - g0 for name in self.names])  # [n, R, P]
        c = self._found()
        if c is None:
            estimate = estimates(self._chosen.estimator, draw, [samples])[0]
        else:
            estimate = g0 + torch.tensordot(c.to(g0), g, 1)
        self._add(g0, g)
        return estimate

    def _at(self, draw: Draw, samples: int, coefficients: dict[str, float]) -> Tensor:
        one: Any = self._chosen.estimator
        return estimates(replace(one, **coefficients), draw, [samples])[0]

    def _found(self) -> Tensor | None:
        """c = −G⁻¹ h, [n]; None in the first steps."""
        if self._sums is None or self.steps < WARM_UP:
            return None
        G, h = self._sums[:, :-1], self._sums[:, -1]
        size = G.diagonal().sqrt()
        size = torch.where(size > 0, size, 1.0)
        scaled = G / size.outer(size)
        c: Tensor = -(torch.linalg.pinv(scaled, rtol=1e-10, hermitian=True) @ (h / size)) / size
        return c

    def _add(self, g0: Tensor, g: Tensor) -> None:
        flat = g.flatten(1).double()
        sums = flat @ torch.cat((flat, g0.flatten().double().unsqueeze(0))).T  # [n, n + 1]: G and h
        old = torch.zeros_like(sums) if self._sums is None else self._sums.to(sums)
        self._sums = torch.where(sums.isfinite().all(), self._decay * old + sums, old)  # a step that overflowed is none
        self.steps += 1
