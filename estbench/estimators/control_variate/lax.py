"""LAX: a learned control variate of the continuous noisy logits."""

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
from estbench.options import dataclass
from estbench.problem import Problem


@dataclass(frozen=True)
class Lax:
    """[f(z) − c(x)] ∂ log p(x)/∂logits + ∇c(x), c(x) = aᵀ tanh(W x + b), x the noisy logits that z is made of.

    ∂ log p(x)/∂φ = 1 − 2u for x = φ − logit(u), and 1 − e for x = θ − log e (Grathwohl et al. 2018, section 3). The
    critic is fitted and frozen as that of `relax` is.

    hidden  rows of W; 10 in the paper's toy problem
    steps   of Adam, at rate .01, on 256 draws each, of the first half of n_fit
    """

    hidden: Annotated[int, Field(ge=1, le=256)] = 10
    steps: Annotated[int, Field(ge=0)] = 500
    n_fit: Annotated[int, Field(ge=512)] = 16384
    fitted: Annotated[tuple[float, ...] | None, Field(exclude=True)] = None

    @property
    def facts(self) -> Facts:
        """Unbiased for any frozen critic: what it adds has mean zero. The score of x makes it noisier than relax."""
        return Facts(
            "control variate",
            f=1,
            exact="smooth",
            noise=(MAIN,),
            depends_on_noise_scale=True,
            centred=False,
            sources=("grathwohl2018",),
            identities=("unfitted, Bernoulli: f(z)(1 − 2u)",),
        )

    def rows(self, draw: Draw) -> Tensor:
        """The estimate with the fitted critic; unfitted, without any."""
        like = draw.z[0, 0]
        return self.estimate(draw, restored(self.fitted, like) if self.fitted else unfitted(like, 0.0))

    def estimate(self, draw: Draw, critic: Critic) -> Tensor:
        """The formula for a given critic, [R, N, D(, K)]."""
        c, dc = critic(draw.free_x)
        return draw.lift(draw.fz - c) * draw.distribution.noise_score(draw.noise()) + dc

    def parts(self, draw: Draw) -> Parts:
        """The same as a function of the critic, for fitting."""
        score = draw.distribution.noise_score(draw.noise())
        return Parts(draw.problem, draw.lift(draw.fz) * score, score, (draw.free_x,), (lambda h: h,))

    def fit(self, problem: Problem, draw: Draw) -> Self:
        """W, b and a on the draw."""
        uniforms = draw.head(self.hidden).uniform("lax/critic", problem.numbers + 1, per_replicate=True)
        start = random_critic(uniforms[: self.hidden], 0.0)
        critic = learn(self.parts, draw, (MAIN,), start, self.steps, eta=False)
        return replace(self, fitted=critic.numbers())
