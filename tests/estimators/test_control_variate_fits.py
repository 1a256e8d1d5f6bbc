"""Fitted control variates: the numbers that fitting finds are those of least variance, found exactly by other means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import cycle, islice, product
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import t as student

from estbench.draws import Draw
from estbench.estimate import estimates
from estbench.estimators.base import Estimator
from estbench.estimators.control_variate.double_cv import DoubleCv
from estbench.estimators.control_variate.lax import Lax
from estbench.estimators.control_variate.rebar import GRID, Rebar
from estbench.estimators.control_variate.relax import Relax
from estbench.estimators.control_variate.rodeo import Rodeo
from estbench.estimators.score_function.nvil import Nvil
from estbench.estimators.score_function.reinforce import Reinforce
from estbench.estimators.shared import learning
from estbench.estimators.shared import least_squares_in_pieces as in_pieces
from estbench.estimators.shared.critic import Critic, random_critic, restored
from estbench.estimators.shared.descent import descended
from estbench.estimators.shared.learning import pieces
from estbench.estimators.shared.least_squares import least_squares
from estbench.estimators.shared.least_squares_by_size import SIZES
from estbench.estimators.shared.least_squares_in_pieces import least_squares_in_pieces, total_variance
from estbench.exact import exact
from estbench.moments import Floats
from estbench.objectives.linear import Linear
from estbench.objectives.mlp import Mlp
from estbench.problem import Evaluations, Problem
from estbench.streams import Streams
from tests.estimators.noise import ONE, ONE_OF_THREE, SEVERAL, Logits, by_quadrature, cells, of_estimator
from tests.estimators.states import problem
from tests.problems import make
from tests.sizes import slow, thinned

FITS = 20
FALSE_FAIL = 1e-6


def fit_draw(of: Problem, estimator: Any, seed: int = 0) -> Draw:
    """What the engine gives to `fit`."""
    streams = Streams(seed, "fit", range(1))
    return Draw(of, estimator.n_fit, estimator.facts.min_samples, streams=streams)


def fitted(of: Problem, estimator: Any, seed: int = 0) -> Any:
    """The estimator, fitted."""
    return estimator.fit(of, fit_draw(of, estimator, seed))


def agrees(found: Floats, best: Floats) -> bool:
    """Whether fits [FITS, n] of draws of their own scatter about the best numbers: |mean − best| within t of its error.

    False-fail rate 1e-6 for each number. It sees a fault of some 2 standard deviations of a single fit.
    """
    error = found.std(0, ddof=1) / np.sqrt(len(found))
    return bool((np.abs(found.mean(0) - best) <= student.isf(FALSE_FAIL / 2, len(found) - 1) * error + 1e-12).all())


def variance(of: Problem, estimator: Estimator, N: int = 1) -> float:
    """The exact variance, summed over the parameters."""
    return float(exact(of, estimator, N).variance.sum())


def least(V: Callable[[Floats], float], n: int) -> Floats:
    """Where a quadratic function of n numbers is least, from its values."""
    e = np.eye(n)
    zero = np.zeros(n)
    H = np.array([[V(e[i] + e[j]) - V(e[i]) - V(e[j]) + V(zero) for j in range(n)] for i in range(n)])
    slope = np.array([V(e[i]) - V(zero) for i in range(n)]) - H.diagonal() / 2
    return -np.linalg.solve(H, slope)


def rebar_variance(of: Problem, tau: float, eta: Floats) -> float:
    """The exact variance of REBAR."""
    return variance(of, Rebar(temperature=tau, eta=float(eta[0])))


@pytest.mark.parametrize("where", thinned(3, ["low", "high", "three"]))
def test_eta(where: str) -> None:
    """REBAR's fitted η is that of least variance, as exact variances at three η say; at two temperatures."""
    of = problem({**ONE, **ONE_OF_THREE}[where])
    for tau in (0.3, 1.0):
        best = least(partial(rebar_variance, of, tau), 1)
        found = [fitted(of, Rebar(temperature=tau, n_fit=2000), seed).fitted for seed in range(FITS)]
        assert agrees(np.array(found)[:, 1:], best)
        assert {fit[0] for fit in found} == {tau}


@pytest.mark.parametrize(("logits", "best"), [([0.8], 2.0), ([0.5, -1.0, 2.0, 0.3], 1.0)], ids=["one", "four"])
def test_temperature(logits: Logits, best: float) -> None:
    """A tuned temperature is the one of the grid with the least variance on the draw, each at its own best η."""
    of = make(Mlp(), torch.tensor(logits, dtype=torch.float64))
    assert GRID == (0.1, 0.25, 0.5, 1.0, 2.0)
    draw = fit_draw(of, Rebar())
    for eta in ("fitted", 0.5):
        spreads = []
        for tau in GRID:
            at = partial(spread, draw, tau)
            own = float(least(at, 1)[0]) if eta == "fitted" else 0.5
            spreads.append((at(np.array([own])), tau, own))
        _, tau, own = min(spreads)
        found = Rebar(eta=eta, tune_temperature=True).fit(of, draw).fitted
        np.testing.assert_allclose(found or (), (tau, own), rtol=1e-9)
        assert tau == best or eta == 0.5


def spread(draw: Draw, tau: float, eta: Floats) -> float:
    """The variance of REBAR on a draw."""
    (g,) = estimates(Rebar(temperature=tau, eta=float(eta[0])), draw, [1])
    return float(g.var(0).sum())


def test_nothing_to_fit() -> None:
    """With all numbers given, fitting gives back the estimator itself."""
    of = problem(SEVERAL["B2"])
    for estimator in (Rebar(eta=0.7), DoubleCv(a=0.3), Rodeo(a=0.1, b=0.2)):
        assert fitted(of, estimator) is estimator


@pytest.mark.slow
@pytest.mark.parametrize("N", [2, 3, 4])
def test_joint_coefficients(N: int) -> None:
    """double_cv's a, and rodeo's a and b, are those of least variance at each N, as exact variances say."""
    of = problem(SEVERAL["B2"])
    cases: list[tuple[Any, Callable[..., Estimator], int]] = [
        (DoubleCv(n_fit=2000), lambda a: DoubleCv(a=a), 1),
        (Rodeo(n_fit=2000), lambda a, b: Rodeo(a=a, b=b), 2),
        (Rodeo(n_fit=2000, a=0.5), lambda b: Rodeo(a=0.5, b=b), 1),
        (Rodeo(n_fit=2000, b=0.5), lambda a: Rodeo(a=a, b=0.5), 1),
    ]
    for estimator, at, n in cases:
        best = least(partial(variance_at, of, at, N), n)
        found = np.array([fitted(of, estimator, seed).fitted[SIZES.index(N)] for seed in range(FITS)])
        assert agrees(found, best), (estimator, found.mean(0), best)


def variance_at(of: Problem, at: Callable[..., Estimator], N: int, c: Floats) -> float:
    """The exact variance of the estimator with these coefficients."""
    return variance(of, at(*c.tolist()), N)


def test_linear_objectives() -> None:
    """On linear f double_cv's a is −1 at every N, however few the draws: the fit is perfect."""
    of = make(Linear(), torch.tensor(SEVERAL["B3"], dtype=torch.float64))
    found = fitted(of, DoubleCv(n_fit=64))
    assert len(found.fitted) == len(SIZES)
    np.testing.assert_allclose(np.array(found.fitted), -1, atol=1e-10)


def test_fits_cost_no_second_look_at_f() -> None:
    """Fitting for many N evaluates f and ∇f once for each of the 2 n_fit samples."""
    for estimator in (DoubleCv(n_fit=100), Rodeo(n_fit=100)):
        of = replace(problem(SEVERAL["B2"]), evaluations=Evaluations())
        fitted(of, estimator)
        assert (of.evaluations.f, of.evaluations.df) == (200, 200)


def test_tied_logits() -> None:
    """With tied logits it is the variance of the summed gradient, on the draw, that η makes least."""
    apart = problem(SEVERAL["B3"])
    tied, estimator = replace(apart, tie=True), Rebar(n_fit=2000)
    for of in (apart, tied):
        draw = fit_draw(of, estimator)
        _, eta = estimator.fit(of, draw).fitted or (0.0, 0.0)
        assert abs(eta / least(partial(spread, draw, 0.5), 1)[0] - 1) < 1e-9
    assert abs(fitted(apart, estimator).fitted[1] - fitted(tied, estimator).fitted[1]) > 0.01


@pytest.mark.parametrize("N", [2, 3, 16, 32])
@pytest.mark.parametrize("tie", [False, True])
def test_joint_fits_use_every_sample(N: int, tie: bool) -> None:
    """The a of double_cv and of rodeo is the best on all 2 n_fit samples in groups of N, tied or not."""
    of = replace(problem(SEVERAL["B3"]), tie=tie)
    cases: list[tuple[Any, Callable[[float], Estimator]]] = [
        (DoubleCv(n_fit=500), lambda a: DoubleCv(a=a)),
        (Rodeo(n_fit=500, b=0.5), lambda a: Rodeo(a=a, b=0.5)),
    ]
    for estimator, at in cases:
        draw = fit_draw(of, estimator)
        z = draw.z.flatten(0, 1)[: 1000 // N * N].unflatten(0, (-1, N))  # type: ignore[no-untyped-call] # torch's
        groups = Draw(of, len(z), N, z=z)
        best = least(partial(group_spread, groups, at), 1)[0]
        assert abs(estimator.fit(of, draw).fitted[SIZES.index(N)][0] / best - 1) < 1e-8


def group_spread(groups: Draw, at: Callable[[float], Estimator], c: Floats) -> float:
    """The variance on a draw of the estimator with this coefficient."""
    (g,) = estimates(at(float(c[0])), groups, [groups.N])
    return float(g.var(0).sum())


def test_least_squares() -> None:
    """The coefficients solve the least-squares problem of what is centred, and skip what is not there to be fitted."""
    rng = np.random.default_rng(0)
    g0, g = rng.normal(size=(50, 3)) + 4.0, rng.normal(size=(2, 50, 3)) * np.array([1e-6, 1e3])[:, None, None] + 0.3

    def estimate(c: Any) -> torch.Tensor:
        """g₀ + c₀ g₀ + c₁ g₁ + 0 c₂ + c₃ g₀, for as many as there are."""
        return torch.from_numpy(g0 + c[0] * g[0] + c[1] * g[1] + sum(c[3:]) * g[0])

    def centred(t: Floats) -> Any:
        return (t - t.mean(0)).ravel()

    right = -np.linalg.lstsq(np.stack([centred(t) for t in g], -1), centred(g0), rcond=None)[0]
    np.testing.assert_allclose(least_squares(estimate, 2), right, rtol=1e-7)
    np.testing.assert_allclose(least_squares(estimate, 3), [*right, 0], rtol=1e-7)
    first, second, _, fourth = least_squares(estimate, 4)
    np.testing.assert_allclose([first + fourth, second], right, rtol=1e-7)

    def some(i: int) -> Callable[[Any], torch.Tensor]:
        return lambda c: estimate(c)[i : i + 7]

    for n, wanted in ((2, right), (3, [*right, 0])):
        for found in least_squares_in_pieces(([some(i), some(i)] for i in range(0, 50, 7)), n):
            np.testing.assert_allclose(found, wanted, rtol=1e-7)
    assert least_squares_in_pieces([[lambda c: estimate(c) * torch.nan]] * 2, 2) == ((0.0, 0.0),)
    parts = [torch.from_numpy(g0[i : i + 7]) for i in range(0, 50, 7)]
    assert total_variance(parts) == pytest.approx(g0.var(0, ddof=1).sum(), rel=1e-12)


IN_PIECES = [
    Rebar(),
    Rebar(tune_temperature=True),
    Rebar(tune_temperature=True, eta=0.5),
    DoubleCv(),
    Rodeo(),
    Rodeo(a=0.5),
    Nvil(normalise=True),
    Reinforce(baseline="optimal", oracle=False),
]


@pytest.mark.parametrize("estimator", IN_PIECES, ids=str)
@pytest.mark.parametrize(
    ("logits", "n_fit"), [slow((SEVERAL["B2"], 1000)), (SEVERAL["B2"], 961), slow((SEVERAL["C2x3"], 1000))]
)
def test_a_fit_in_pieces(monkeypatch: pytest.MonkeyPatch, estimator: Any, logits: Logits, n_fit: int) -> None:
    """A draw of many numbers is fitted some replicates after the others, to the same numbers up to rounding.

    Of 961 replicates in pieces of 96 the last is alone: too few samples for a group of most sizes.
    """
    of, estimator = problem(logits), replace(estimator, n_fit=n_fit)
    whole, sizes, split = fitted(of, estimator), [], Draw.split

    def watched(draw: Draw, size: int, streams: Any) -> Any:
        sizes.append(size)
        return split(draw, size, streams)

    monkeypatch.setattr(Draw, "split", watched)
    monkeypatch.setattr(in_pieces, "HELD", 700)
    found = fitted(of, estimator)
    assert 0 < min(sizes) <= max(sizes) < 400
    for name in ("fitted",) if hasattr(whole, "fitted") else ("b", "c"):
        np.testing.assert_allclose(getattr(found, name), getattr(whole, name), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("estimator", [Relax(hidden=4), Lax(hidden=4)], ids=str)
def test_a_fit_of_very_many_numbers(monkeypatch: pytest.MonkeyPatch, estimator: Any) -> None:
    """Where nothing of all replicates is kept, W and b are the same to the bit, and a as well as it is determined."""
    of = make(Mlp(seed=1), torch.tensor([0.5, -1.0, 0.2], dtype=torch.float64))
    estimator, H = replace(estimator, steps=20, n_fit=1300), 4 * (3 + 1)
    whole = fitted(of, estimator).fitted
    monkeypatch.setattr(learning, "HELD", 0)
    monkeypatch.setattr(learning, "FEW", 200)  # 64 replicates
    found = fitted(of, estimator).fitted
    assert found[:H] == whole[:H]
    np.testing.assert_allclose(found[H:], whole[H:], rtol=1e-8)


LEARNED: dict[str, Relax | Lax] = {
    "relax": Relax(n_fit=4096, steps=150),
    "relax at a given eta": Relax(n_fit=4096, steps=150, eta=0.5),
    "relax of a network alone": Relax(n_fit=4096, steps=150, eta=0.0),
    "lax": Lax(n_fit=4096, steps=150),
}


@pytest.mark.parametrize("case", LEARNED)
def test_a_learned_critic_pays(case: str) -> None:
    """A fitted critic brings the exact variance to a hundredth of that without one, and stays unbiased."""
    of, estimator = problem(ONE["high"]), LEARNED[case]
    found = fitted(of, estimator)
    mean, after = by_quadrature(of_estimator(found, of), cells(of))
    assert after[0] < variance(of, estimator) / 100
    assert of.exact_gradient is not None
    np.testing.assert_allclose(mean, of.exact_gradient, atol=1e-9)


def test_adam_matters() -> None:
    """Moving W and b does better than least squares of a on their first values."""
    of = problem(SEVERAL["B3"])
    draw = Draw(of, 40_000, 1, streams=Streams(5, "measure", range(1)))
    for estimator in (Relax(n_fit=8192, eta=0.0, hidden=3), Lax(n_fit=8192, hidden=3)):
        stepped, still = fitted(of, replace(estimator, steps=300)), fitted(of, replace(estimator, steps=0))
        (a,), (b,) = estimates(stepped, draw, [1]), estimates(still, draw, [1])
        assert float(a.var(0).sum()) < 0.8 * float(b.var(0).sum())


@pytest.mark.parametrize("logits", [SEVERAL["B2"], SEVERAL["C2x3"]], ids=["B2", "C2x3"])
def test_the_last_coefficients_are_of_least_variance(logits: Logits) -> None:
    """On the half of the draw that Adam has not seen, no other a and η do better: moving any of them does worse."""
    of = problem(logits)
    learned: list[Relax | Lax] = [Relax(n_fit=1024, steps=20, hidden=3), Lax(n_fit=1024, steps=20, hidden=3)]
    for estimator in learned:
        draw = fit_draw(of, estimator)
        critic = restored(estimator.fit(of, draw).fitted or (), of.distribution.logits)
        moves = [critic._replace(a=critic.a + s * e) for e in torch.eye(3).double() for s in (-0.01, 0.01)]
        if isinstance(estimator, Relax):
            moves += [critic._replace(eta=critic.eta + s) for s in (-0.01, 0.01)]
        least_of_all, *others = (estimator.estimate(draw, c)[512:, 0].flatten(1).var(0).sum() for c in (critic, *moves))
        assert all(other > least_of_all for other in others)


def test_the_first_critic() -> None:
    """W and b start normal with variance 1/fan-in, from the fit's own stream, and a at 0: 4 SE of 4000 numbers."""
    uniforms = Streams(0, "fit", range(1)).uniform("relax/critic", 1000, 4)
    critic = random_critic(uniforms, 1.0)
    assert critic.W.shape == (1000, 3)
    assert not bool(critic.a.any())
    every = torch.cat((critic.W.flatten(), critic.b)).numpy() * np.sqrt(3)
    assert abs(every.mean()) < 4 / np.sqrt(4000)
    assert abs((every**2).mean() - 1) < 4 * np.sqrt(2 / 4000)
    assert abs((every**4).mean() - 3) < 4 * np.sqrt(96 / 4000)


def test_numbers_of_a_critic() -> None:
    """What is fitted is floats alone, and gives back the critic they came from."""
    for P, H in product((1, 6), (1, 4)):
        rng = np.random.default_rng(P + H)
        W, b, a = rng.normal(size=(H, P)), rng.normal(size=H), rng.normal(size=H)
        critic = Critic(torch.from_numpy(W), torch.from_numpy(b), torch.from_numpy(a), torch.tensor(0.3).double())
        again = restored(critic.numbers(), torch.zeros(P).double())
        assert all(torch.equal(x, y) for x, y in zip(critic, again, strict=True))
        assert all(isinstance(x, float) for x in critic.numbers())


def test_the_shape_of_a_fit() -> None:
    """`hidden` is the number of rows of W, and without η a given one stays as given."""
    of = problem(SEVERAL["C2x3"])
    P = of.parameters
    for hidden in (1, 3):
        for estimator, eta in ((Relax(eta=0.4), 0.4), (Relax(eta=0.0), 0.0), (Lax(), 0.0)):
            found = fitted(of, replace(estimator, hidden=hidden, steps=2, n_fit=512))
            assert len(found.fitted) == hidden * (P + 2) + 1
            assert found.fitted[-1] == eta


def by_autograd(estimator: Any, batches: list[Draw], start: Critic, steps: int, eta: bool) -> Critic:
    """The same descent by torch's autograd and Adam, from the formula of the estimate."""
    with torch.enable_grad():
        critic = Critic(*(t.clone().requires_grad_(eta or t is not start.eta) for t in start))
        adam = torch.optim.Adam([t for t in critic if t.requires_grad], lr=0.01)
        for batch in islice(cycle(batches), steps):
            adam.zero_grad()
            estimate = batch.problem.project(estimator.estimate(batch, critic))
            torch.autograd.backward(estimate.square().sum(-1).mean())
            adam.step()
    return Critic(*(t.detach() for t in critic))


@pytest.mark.parametrize(
    "estimator", [Relax(), Relax(eta=0.0), Relax(eta=0.7, hidden=3, temperature=2.0), Lax()], ids=str
)
@pytest.mark.parametrize("tie", [False, slow(True)], ids=["", "tied"])
@pytest.mark.parametrize("logits", [[0.5, 0.5, 0.5], [[0.5, -1.0, 0.2], [0.5, -1.0, 0.2]]], ids=["D=3", "D=2 K=3"])
def test_the_gradients_of_the_critic(estimator: Any, tie: bool, logits: Logits) -> None:
    """Written out, Adam goes where autograd and torch's Adam go: 40 steps, every weight equal to 1e-12."""
    of = replace(make(Mlp(seed=1), torch.tensor(logits, dtype=torch.float64)), tie=tie)
    draw = Draw(of, 700, 1, streams=Streams(3, "fit", range(1)))
    uniforms = draw.uniform("critic", of.numbers + 1, per_replicate=True)[: estimator.hidden]
    start = random_critic(uniforms, 1.0)
    start = start._replace(a=start.W[:, 0] / 3)  # at a = 0 half of all gradients are 0
    eta = isinstance(estimator, Relax) and estimator.eta == "fitted"
    (whole,) = pieces(draw, estimator.facts.noise, 0, 700)
    batches = [
        Draw(of, min(256, 700 - i), 1, noise={s: whole.noise(s)[i : i + 256] for s in estimator.facts.noise})
        for i in range(0, 700, 256)
    ]
    parts = list(estimator.parts(whole).split(256))
    expected = by_autograd(estimator, batches, start, 40, eta)
    found = descended(cycle(parts), start, 40, eta)
    assert max(float((t - u).abs().max()) for t, u in zip(found, expected, strict=True)) < 1e-12
    assert float((found.W - start.W).abs().max()) > 0.01  # it went somewhere
    assert bool(found.eta != start.eta) is eta
    for part, batch in zip(parts, batches, strict=True):
        estimate = part.estimate(start, part.hidden(start))
        torch.testing.assert_close(estimate, estimator.estimate(batch, start), rtol=1e-12, atol=1e-13)
