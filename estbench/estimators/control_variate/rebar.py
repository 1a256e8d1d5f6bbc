"""REBAR: REINFORCE with the concrete relaxation, conditioned on the sample, as its control variate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Annotated, Self

from pydantic import Field
from torch import Tensor

from estbench.draws import MAIN, Draw
from estbench.estimators.base import Facts
from estbench.estimators.shared.least_squares import Coefficient, Estimates
from estbench.estimators.shared.least_squares_in_pieces import in_pieces, least_squares_in_pieces, total_variance
from estbench.options import dataclass
from estbench.problem import Problem

GRID = (0.1, 0.25, 0.5, 1.0, 2.0)
"""The temperatures that `tune_temperature` chooses from."""


@dataclass(frozen=True)
class Rebar:
    """[f(z) − η f(ỹ)] s(z) + η J(y) ∇f(y)/τ − η T[J(ỹ) ∇f(ỹ)/τ], y, ỹ = σ or softmax of x/τ, x̃/τ.

    x̃ is x redrawn given z, and T multiplies by dx̃/dlogits (Tucker et al. 2017, section 3).

    temperature       τ; ½ in the paper's code
    eta               η: a number, or fitted: of least variance on n_fit draws; unfitted 1, the paper's starting value
    tune_temperature  take the τ of least variance out of (.1, .25, .5, 1, 2), each with its η, instead of `temperature`
    """

    temperature: Annotated[float, Field(gt=0)] = 0.5
    eta: Coefficient = "fitted"
    tune_temperature: bool = False
    n_fit: Annotated[int, Field(ge=2)] = 4096
    fitted: Annotated[tuple[float, float] | None, Field(exclude=True)] = None

    @property
    def facts(self) -> Facts:
        """Unbiased at any τ and η: what η multiplies has mean zero."""
        return Facts(
            "control variate",
            f=2,
            df=2,
            evaluates_relaxed=True,
            exact="smooth",
            noise=(MAIN, "redraw/0"),
            additive=True,
            sources=("tucker2017",),
            identities=("eta = 0: reinforce",),
        )

    def rows(self, draw: Draw) -> Tensor:
        """The estimate at the τ and η given, or those fitted in their place (η = 1 where it waits to be fitted)."""
        tau, eta = self.fitted or (self.temperature, 1.0)
        return rebar(
            draw, tau if self.tune_temperature else self.temperature, eta if self.eta == "fitted" else self.eta
        )

    def fit(self, problem: Problem, draw: Draw) -> Self:
        """The best τ of the grid (or the one given) with its least-squares η (or the one given)."""
        if not self.tune_temperature and self.eta != "fitted":
            return self

        def of_piece(tau: float, piece: Draw) -> Estimates:
            return lambda eta: problem.project(rebar(piece, tau, *eta).flatten(0, 1))

        def estimates(tau: float) -> Iterator[Estimates]:
            return map(partial(of_piece, tau), in_pieces(draw, self.facts.noise))

        def best(tau: float) -> float:
            if self.eta != "fitted":
                return self.eta
            ((eta,),) = least_squares_in_pieces(zip(estimates(tau)), 1)
            return eta

        if not self.tune_temperature:
            return replace(self, fitted=(self.temperature, best(self.temperature)))
        tried = [(tau, best(tau)) for tau in GRID]
        return replace(self, fitted=min(tried, key=lambda t: total_variance(e([t[1]]) for e in estimates(t[0]))))


def rebar(draw: Draw, tau: float, eta: float) -> Tensor:
    """The formula of `Rebar`, [R, N, D(, K)].

    Public code uses unnormalised log-probabilities for x and x̃ (biased, as the law of x̃ given z needs Σ π = 1), and
    1 − q/u′ for dx̃/dφ, which is all rounding at large |φ|.
    """
    y, y_tilde = draw.relaxed(tau), draw.relaxed(tau, redraw=0)
    T = draw.redraw_vjp(0, y_tilde.vjp(y_tilde.df))
    return (draw.lift(draw.problem.difference(draw.fz, eta * y_tilde.f)) * draw.score).add_(
        y.vjp(y.df).sub_(T), alpha=eta
    )
