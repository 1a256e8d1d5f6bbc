"""Logits of many seeds, each trained by gradient estimates of its own or by the exact gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from estbench import catalogue
from estbench.draws import Draw
from estbench.estimate import estimates
from estbench.estimators.base import Estimator
from estbench.estimators.control_variate.lax import Lax
from estbench.estimators.control_variate.relax import Relax
from estbench.objectives.base import WithExpectation
from estbench.plan import ProblemSpec, Training
from estbench.problem import Problem
from estbench.streams import Streams
from estbench.trainings.critics import LearningCritic

Gradient = Callable[[Draw], Tensor]
"""Estimates [S, P] of all N samples of a draw that has a replicate for each seed."""

_NUMBERS = 2**22
"""Numbers in the joint states of some seeds that are summed over at once."""


def beginning(spec: ProblemSpec, training: Training) -> Tensor:
    """The logits [S, …] where the seeds begin: all alike, or normal ones, the first seeds the same whatever S is."""
    start = torch.tensor(spec.logits, dtype=torch.float64)
    if training.spread is None:
        return start.expand(training.seeds, *start.shape).clone()
    scale, seed = training.spread
    rng = np.random.Generator(np.random.PCG64(seed))
    return torch.from_numpy(rng.standard_normal((training.seeds, *start.shape)) * scale)


def trajectory(
    problem: Problem, training: Training, checkpoints: Sequence[int], noise: str, seed: int
) -> Iterator[tuple[int, Problem, Gradient]]:
    """(step, the problem at the logits of all seeds, the estimator as it is by then) at each checkpoint, in order.

    `problem` is at the logits [S, …] where the seeds begin. Where it is measured rounding counts as 0, as everywhere;
    in a step it does not, as it moves nothing there. All trainings with the same `noise`, `seed` and N see the
    same base noise at the same step. The steps are those of torch's optimiser on logits in float64, whose gradient is
    the estimate: nothing is differentiated. Estimators with numbers to be fitted have those of `training.expectation`,
    and `relax` and `lax` critics that learn on the way.
    """
    measured, problem = problem, replace(problem, zero_rounding=False)  # else each step would need `Problem.size`
    logits = problem.distribution.logits.clone()
    optimiser = _optimiser(training, logits)
    streams, S, N = Streams(seed, noise, range(1)), len(logits), training.samples
    first = Draw(problem, S, N, streams=Streams(seed, noise, range(1, 2)))
    learner = _learner(training, first)
    for step in range(checkpoints[-1] + 1):
        gradient, learn = learner(step)
        if step in checkpoints:
            yield step, measured.at(logits.clone()), gradient
        if step < checkpoints[-1]:
            draw = Draw(problem.at(logits), S, N, streams=streams)
            logits.grad = learn(draw).view_as(logits)
            optimiser.step()


def _optimiser(training: Training, logits: Tensor) -> torch.optim.Optimizer:
    if training.optimiser == "sgd":
        return torch.optim.SGD([logits], training.learning_rate, foreach=False)
    return torch.optim.Adam([logits], training.learning_rate, foreach=False)


def _learner(training: Training, first: Draw) -> Callable[[int], tuple[Gradient, Gradient]]:
    """By the step: what estimates, and what estimates and learns from the draw, which for most is the same."""
    if training.by is None:
        exact = Expectation(first.problem)
        return lambda _: (exact.gradient, exact.gradient)
    estimator = catalogue.estimator(training.by)
    if isinstance(estimator, Relax | Lax):
        critic = LearningCritic(estimator, first)
        return lambda _: (critic.estimate, critic.learn)

    def at(step: int) -> tuple[Gradient, Gradient]:
        assert training.by is not None
        now: Estimator = catalogue.estimator(training.by.at(training.done(step))) if training.by.anneal else estimator

        def gradient(draw: Draw) -> Tensor:
            return estimates(now, draw, [draw.N])[0]

        return gradient, gradient

    return at


class Expectation:
    """E f(z) of a problem at many logits, and its gradient: by the closed form, or with f at all states kept."""

    def __init__(self, problem: Problem) -> None:
        self._closed = problem.route == "closed form"
        if not self._closed:
            self._states = problem.distribution.states()
            self._f = problem.oracle.at(problem.distribution.logits[:1]).f(self._states.unsqueeze(0))[0]  # [M]

    def gradient(self, draw: Draw) -> Tensor:
        """∂ E f/∂ logits at the logits of a draw, [S, P]; the draw is not looked at."""
        problem = draw.problem
        logits = problem.distribution.logits
        step = len(logits) if self._closed else max(1, _NUMBERS // (problem.n_states * problem.numbers))
        return torch.cat([self._some(problem, some) for some in torch.split(logits, step)])

    def _some(self, problem: Problem, logits: Tensor) -> Tensor:
        with torch.enable_grad():
            leaf = logits.clone().requires_grad_()
            d = problem.independent.with_logits(leaf)
            if self._closed:
                assert isinstance(problem.objective, WithExpectation)
                expected = problem.objective.expectation(d)
            else:
                z = self._states.expand(len(leaf), *self._states.shape)
                expected = d.log_prob(z).exp() @ (self._f - self._f.mean())
            (g,) = torch.autograd.grad(expected.sum(), leaf)
        return problem.project(g)
