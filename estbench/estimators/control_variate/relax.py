"""RELAX: REBAR with a learned control variate."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Self

from pydantic import Field
from torch import Tensor

from estbench.draws import MAIN, Draw
from estbench.estimators.base import Facts
from estbench.estimators.shared.critic import Critic, random_critic, restored, unfitted
from estbench.estimators.shared.descent import Parts
from estbench.estimators.shared.learning import learn
from estbench.estimators.shared.least_squares import Coefficient
from estbench.options import dataclass
from estbench.problem import Problem

STREAMS = (MAIN, "redraw/0")


@dataclass(frozen=True)
class Relax:
    """[f(z) − c(x̃)] s(z) + ∇c(x) − T ∇c(x̃), c(x) = η f(y) + aᵀ tanh(W x + b), y = σ or softmax of x/τ.

    x̃ is x redrawn given z, ∇c is taken in the logits through x, and T through x̃ (Grathwohl et al. 2018, section 3.3).
    W, b, a and η are fitted by Adam on mean ‖ĝ‖², a and η once more by least squares on draws that Adam has not seen,
    and then frozen: the paper moves them along with the logits. W and b start normal with variance 1/fan-in, from
    uniforms of the fit's own draw, so that one seed is one critic; a starts at 0.

    temperature  τ
    eta          a number, or fitted; unfitted 1. At 0 the term is left out, and f is needed at the samples alone
    hidden       rows of W; 10 in the paper's toy problem
    steps        of Adam, at rate .01, on 256 draws each, of the first half of n_fit
    """

    temperature: Annotated[float, Field(gt=0)] = 0.5
    eta: Coefficient = "fitted"
    hidden: Annotated[int, Field(ge=1, le=256)] = 10
    steps: Annotated[int, Field(ge=0)] = 500
    n_fit: Annotated[int, Field(ge=512)] = 16384
    fitted: Annotated[tuple[float, ...] | None, Field(exclude=True)] = None

    @property
    def facts(self) -> Facts:
        """Unbiased for any frozen critic: what it adds has mean zero."""
        looks = int(self.eta != 0)
        return Facts(
            "control variate",
            f=1 + looks,
            df=2 * looks,
            evaluates_relaxed=bool(looks),
            exact="smooth",
            noise=STREAMS,
            additive=True,
            depends_on_noise_scale=self.fitted is not None,
            sources=("grathwohl2018",),
            identities=("unfitted: rebar", "a constant critic: reinforce with a constant baseline"),
        )

    def rows(self, draw: Draw) -> Tensor:
        """The estimate with the fitted critic; unfitted, with η alone."""
        like = draw.z[0, 0]
        return self.estimate(draw, restored(self.fitted, like) if self.fitted else unfitted(like, self._eta))

    def estimate(self, draw: Draw, critic: Critic) -> Tensor:
        """The formula for a given critic, [R, N, D(, K)]."""
        d, eta, tau = draw.distribution, critic.eta, self.temperature
        y, y_tilde = draw.relaxed(tau), draw.relaxed(tau, redraw=0)
        (_, dc), (c_tilde, dc_tilde) = critic(y.x), critic(y_tilde.x)
        if self.eta != 0:
            dc, dc_tilde = dc + eta * y.vjp(y.df), dc_tilde + eta * y_tilde.vjp(y_tilde.df)
            c_tilde = c_tilde + eta * y_tilde.f
        T = draw.redraw_vjp(0, dc_tilde)
        return draw.lift(draw.fz - c_tilde) * draw.score + d.noisy_vjp(dc) - T

    def parts(self, draw: Draw) -> Parts:
        """The same as a function of the critic, for fitting."""
        d, tau, s = draw.distribution, self.temperature, draw.score
        y, y_tilde = draw.relaxed(tau), draw.relaxed(tau, redraw=0)
        beside = None
        if self.eta != 0:
            beside = d.noisy_vjp(y.vjp(y.df)) - draw.lift(y_tilde.f) * s
            beside = beside - draw.redraw_vjp(0, y_tilde.vjp(y_tilde.df))
        maps = (lambda h: -draw.redraw_vjp(0, h), d.noisy_vjp)
        return Parts(draw.problem, draw.lift(draw.fz) * s, s, (y_tilde.x, y.x), maps, beside)

    def fit(self, problem: Problem, draw: Draw) -> Self:
        """W, b, a and η on the draw."""
        normal = draw.head(self.hidden).uniform("relax/critic", problem.numbers + 1, per_replicate=True)
        start = random_critic(normal[: self.hidden], self._eta)
        critic = learn(self.parts, draw, STREAMS, start, self.steps, eta=self.eta == "fitted")
        return replace(self, fitted=critic.numbers())

    @property
    def _eta(self) -> float:
        return 1.0 if self.eta == "fitted" else self.eta
