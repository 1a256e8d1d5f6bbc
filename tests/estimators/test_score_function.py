"""REINFORCE and its baselines, RLOO, NVIL, MuProp and enumeration, against the papers' formulas and closed forms."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from estbench.distributions import Bernoulli
from estbench.draws import Draw
from estbench.estimators.base import Estimator, Facts, JointEstimator, RowEstimator
from estbench.estimators.rao_blackwell.enumerate import Enumerate
from estbench.estimators.score_function.muprop import Muprop
from estbench.estimators.score_function.nvil import Nvil
from estbench.estimators.score_function.reinforce import Reinforce, moving_average
from estbench.estimators.score_function.rloo import Rloo
from estbench.moments import Floats
from estbench.objectives.linear import Linear
from estbench.objectives.quadratic import Quadratic
from estbench.objectives.quadratic_form import QuadraticForm
from estbench.problem import Problem
from estbench.streams import Streams
from tests.estimators.decimals import gradient, on_states, probabilities, scores
from tests.estimators.states import (
    Wave,
    classes,
    extreme,
    mean_and_variance,
    problems,
    samples,
    values,
    wave,
    wave_slope,
)
from tests.problems import make

NAMES = tuple(problems())


def bernoulli(t: float, phi: float) -> Problem:
    """(z − t)², one variable."""
    return make(Quadratic(target=t), torch.tensor([phi], dtype=torch.float64))


def fit_draw(problem: Problem, n: int, seed: int = 7) -> Draw:
    """n draws of one sample."""
    return Draw(problem, n, 1, streams=Streams(seed, "fit", range(1)))


def lifted(problem: Problem, numbers: Floats) -> Floats:
    """Numbers per state, shaped to multiply scores."""
    return numbers.reshape(-1, *[1] * len(problem.distribution.event_shape))


def states_rows(problem: Problem, estimator: RowEstimator) -> Floats:
    """The estimate at every joint state, [states, D(, K)]."""
    rows: Floats = estimator.rows(on_states(problem))[:, 0].numpy()
    return rows


def rows_of_two(problem: Problem, estimator: Estimator, replicates: int) -> Tensor:
    """What the estimator returns for a draw of two samples, rows or joint."""
    draw = Draw(problem, replicates, 2, streams=Streams(0, "two", range(1)))
    if isinstance(estimator, RowEstimator):
        return estimator.rows(draw)
    assert isinstance(estimator, JointEstimator)
    return estimator.joint(draw, 2)


def best_baseline(problem: Problem) -> Floats:
    """E‖s_d‖² f/E‖s_d‖² of each variable, by summing over the states."""
    s, f, P = scores(problem), values(problem), probabilities(problem)
    squares = s**2 if s.ndim == 2 else (s**2).sum(-1)  # [states, D]
    b: Floats = ((P * f) @ squares) / (P @ squares)
    return b


def assert_unbiased(problem: Problem, estimator: Estimator, samples: int) -> None:
    """The exact mean is the gradient, summed over the states by hand, to 1e-10."""
    mean, _ = mean_and_variance(problem, estimator, samples)
    truth = gradient(problem, values(problem)).ravel()
    assert problem.exact_gradient is not None
    np.testing.assert_allclose(problem.exact_gradient, truth, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(mean, truth, rtol=0, atol=1e-10)


def assert_centred(problem: Problem, rows: Floats) -> None:
    """The estimates of the classes of one variable sum to 0 in every draw."""
    if not isinstance(problem.distribution, Bernoulli):
        np.testing.assert_allclose(rows.sum(-1), 0, atol=1e-12)


def unbiased(D: int) -> dict[str, tuple[Estimator, int]]:
    """Every method of the family with numbers of D variables fitted by a stranger, and how many samples it gets."""
    return {
        "none": (Reinforce(), 1),
        "constant": (Reinforce(baseline="constant", value=0.8), 1),
        "mean": (Reinforce(baseline="mean"), 1),
        "optimal": (Reinforce(baseline="optimal"), 1),
        "fitted": (Reinforce(baseline="optimal", oracle=False, fitted=(0.3, -0.4, 1.1)[:D]), 1),
        "nvil": (Nvil(b=0.4), 1),
        "muprop": (Muprop(), 1),
        "rloo 2": (Rloo(), 2),
        "rloo 3": (Rloo(), 3),
        "enumerate": (Enumerate(), 1),
    }


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("method", unbiased(1))
def test_the_exact_mean_is_the_gradient(method: str, name: str) -> None:
    """Every score-function method is unbiased on a coupled, non-quadratic f at unequal logits."""
    problem = problems()[name]
    assert_unbiased(problem, *unbiased(problem.D)[method])


@pytest.mark.parametrize("name", NAMES)
def test_reinforce_is_f_less_a_baseline_times_the_score(name: str) -> None:
    """Every baseline, state by state, against baselines summed by hand."""
    problem = problems()[name]
    f, s, P = values(problem), scores(problem), probabilities(problem)
    b = best_baseline(problem)
    spread = b if s.ndim == 2 else b[:, None]
    expected: dict[RowEstimator, Floats] = {
        Reinforce(): lifted(problem, f) * s,
        Reinforce(baseline="constant", value=0.8): lifted(problem, f - 0.8) * s,
        Reinforce(baseline="mean"): lifted(problem, f - P @ f) * s,
        Reinforce(baseline="optimal"): (lifted(problem, f) - spread) * s,
        Reinforce(baseline="optimal", oracle=False, fitted=tuple(b)): (lifted(problem, f) - spread) * s,
        Reinforce(baseline="optimal", oracle=False): lifted(problem, f) * s,
        Nvil(b=0.4): lifted(problem, f - 0.4) * s,
        Nvil(normalise=True, b=0.4, c=1.7): lifted(problem, f - 0.4) / 1.7 * s,
    }
    for estimator, by_hand in expected.items():
        rows = states_rows(problem, estimator)
        np.testing.assert_allclose(rows, by_hand, rtol=1e-11, atol=1e-13, err_msg=str(estimator))
        assert_centred(problem, rows)


def test_the_best_baseline_of_a_bernoulli_variable_is_the_published_one() -> None:
    """q E[f given 1] + p E[f given 0], and no constant has less variance."""
    problem = problems()["B3"]
    f, P, b = values(problem), probabilities(problem), problem.optimal_baseline
    z = np.array(classes(problem))
    for d in range(3):
        one, p = z[:, d] == 1, float(problem.independent.mean[d])
        given_one, given_zero = (P * f)[one].sum() / P[one].sum(), (P * f)[~one].sum() / P[~one].sum()
        assert float(b[d]) == pytest.approx((1 - p) * given_one + p * given_zero, rel=1e-12)
    least = mean_and_variance(problem, Reinforce(baseline="optimal"))[1]
    for nudge in (-0.01, 0.01):
        moved = Reinforce(baseline="optimal", oracle=False, fitted=tuple((b + nudge).tolist()))
        assert mean_and_variance(problem, moved)[1] > least


def test_a_baseline_per_class_is_unbiased_but_not_centred() -> None:
    """What the one number per variable is for: a baseline of each class breaks Σ_k ĝ_k = 0, and is told apart."""
    problem = problems()["C1x3"]
    f, s, P = values(problem), scores(problem), probabilities(problem)
    per_class = np.einsum("n,n,ndk->dk", P, f, s**2) / np.einsum("n,ndk->dk", P, s**2)
    rows = (lifted(problem, f) - per_class) * s
    np.testing.assert_allclose(np.tensordot(P, rows, 1), gradient(problem, f), atol=1e-12)
    with pytest.raises(AssertionError):
        assert_centred(problem, rows)


@pytest.mark.parametrize("name", NAMES)
def test_rloo_subtracts_the_mean_of_the_others(name: str) -> None:
    """mean_n (f_n − mean_{j≠n} f_j) s(z_n) on tuples of states, N = 2, 3."""
    problem = problems()[name]
    f, s = values(problem), scores(problem)
    states = samples(problem)[:, 0]
    for N in (2, 3):
        index = np.array(list(itertools.product(range(len(f)), repeat=N)))[:: 7 if len(f) > 8 else 1]
        draw = Draw(problem, len(index), 3, z=states[torch.from_numpy(np.pad(index, ((0, 0), (0, 3 - N))))])
        by_hand = sum(
            lifted(problem, f[index[:, n]] - np.delete(f[index], n, 1).mean(1)) * s[index[:, n]] for n in range(N)
        )
        np.testing.assert_allclose(Rloo().joint(draw, N).numpy(), by_hand / N, rtol=1e-10, atol=1e-12)


def test_two_samples_of_one_variable_make_the_difference_of_f() -> None:
    """RLOO, N = 2, one Bernoulli variable: ½ (f(1) − f(0)) where the samples differ, else 0."""
    problem = problems()["B1"]
    f0, f1 = values(problem)
    z = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], dtype=torch.float64).unsqueeze(-1)
    rows = Rloo().joint(Draw(problem, 4, 2, z=z), 2).squeeze(-1)
    np.testing.assert_allclose(rows, np.array([0, 0.5, 0.5, 0]) * (f1 - f0), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", NAMES)
def test_muprop_subtracts_the_taylor_expansion_at_the_mean(name: str) -> None:
    """[f(z) − f(p) − Σ f′(p)·(z − p)] s(z) + J(p) f′(p), state by state."""
    problem = problems()[name]
    f, s = values(problem), scores(problem)
    p = problem.independent.mean.numpy()
    at_mean, g = wave(p.ravel()), wave_slope(p.ravel()).reshape(p.shape)
    jac = p * (1 - p) * g if p.ndim == 1 else p * (g - (p * g).sum(-1, keepdims=True))
    learning_signal = f - at_mean - (s * g).reshape(len(f), -1).sum(-1)
    rows = states_rows(problem, Muprop())
    np.testing.assert_allclose(rows, lifted(problem, learning_signal) * s + jac, rtol=1e-10, atol=1e-12)
    assert_centred(problem, rows)


@pytest.mark.parametrize("t", [0.45, -0.3])
@pytest.mark.parametrize("phi", [-2.0, 0.0, 1.0])
def test_variances_on_the_toy_are_the_closed_forms(t: float, phi: float) -> None:
    """REINFORCE, RLOO-2, MuProp on (z − t)² at D = 1."""
    p = 1 / (1 + math.exp(-phi))
    q, delta = 1 - p, 1 - 2 * t
    truth, problem = p * q * delta, bernoulli(t, phi)
    expected: dict[Estimator, float] = {
        Reinforce(): p * q * (q * (1 - t) ** 4 + p * t**4) - truth**2,
        Muprop(): p * q * (q**5 + p**5) - (p * q * (1 - 2 * p)) ** 2,
        Reinforce(baseline="optimal"): 0.0,
    }
    for estimator, variance in expected.items():
        mean, found = mean_and_variance(problem, estimator)
        assert mean[0] == pytest.approx(truth, abs=1e-15)
        assert found == pytest.approx(variance, rel=1e-11, abs=1e-17)
    assert mean_and_variance(problem, Rloo(), 2)[1] == pytest.approx(delta**2 * (p * q / 2 - (p * q) ** 2), rel=1e-11)


def test_published_numbers_on_the_toy() -> None:
    """t = .45 at φ = 0 and 1, to all printed digits."""
    at_zero, at_one = bernoulli(0.45, 0.0), bernoulli(0.45, 1.0)
    assert f"{mean_and_variance(at_zero, Reinforce())[0][0]:.3f}" == "0.025"
    assert f"{mean_and_variance(at_zero, Reinforce())[1]:.7f}" == "0.0159391"
    assert f"{mean_and_variance(at_zero, Rloo(), 2)[1]:.3g}" == "0.000625"
    assert f"{mean_and_variance(at_zero, Muprop())[1]:.6f}" == "0.015625"
    assert f"{mean_and_variance(at_one, Reinforce())[0][0]:.7f}" == "0.0196612"
    assert f"{mean_and_variance(at_one, Reinforce())[1]:.7f}" == "0.0103460"
    assert f"{mean_and_variance(at_one, Rloo(), 2)[1]:.7f}" == "0.0005965"
    assert f"{mean_and_variance(at_one, Muprop())[1]:.7f}" == "0.0330769"


@pytest.mark.parametrize(("eta", "printed"), [(0.0, "-0.0450"), (-4.0, "-0.003179")])
def test_three_bernoullis_that_share_a_logit(eta: float, printed: str) -> None:
    """Liu et al. 2019, Kool et al. 2020: Σ(z − p₀)², the gradient of the one logit is the sum over the three."""
    targets = (0.6, 0.51, 0.48)
    objective = QuadraticForm(A=((1, 0, 0), (0, 1, 0), (0, 0, 1)), b=tuple(-2 * p for p in targets))
    problem = make(objective, torch.full((3,), eta, dtype=torch.float64), tie=True)
    for estimator, N in ((Reinforce(), 1), (Rloo(), 2), (Muprop(), 1), (Enumerate(), 1)):
        (mean,) = mean_and_variance(problem, estimator, N)[0]
        assert f"{mean:.{len(printed) - 3}f}" == printed


def test_muprop_has_no_variance_on_a_linear_function() -> None:
    """The Taylor expansion is then f itself."""
    for name, D in (("B3", 3), ("C2x4", 2)):
        problem = problems(Linear(weights=(0.7, -1.9, 0.4)[:D]))[name]
        mean, variance = mean_and_variance(problem, Muprop())
        assert problem.exact_gradient is not None
        np.testing.assert_allclose(mean, problem.exact_gradient, rtol=1e-12)
        assert variance < 1e-28


def test_nvil_without_normalisation_is_a_constant_baseline_and_with_it_the_gradient_over_c() -> None:
    """Fitted: b is the mean of f over the fitting draws, c = max(1, their standard deviation); then frozen."""
    for objective, scale in ((Quadratic(target=0.45), 1.0), (Quadratic(target=30.0), None)):
        problem = make(objective, torch.tensor([0.4, -0.2], dtype=torch.float64))
        draw = fit_draw(problem, 500)
        f = draw.fz.numpy().ravel()
        plain, scaled = Nvil(n_fit=500).fit(problem, draw), Nvil(n_fit=500, normalise=True).fit(problem, draw)
        c = np.std(f, ddof=1) if scale is None else scale
        assert (scale is None) == (np.std(f, ddof=1) > 1)
        assert plain.b == scaled.b == pytest.approx(f.mean(), rel=1e-12)
        assert plain.c == 1
        assert scaled.c == pytest.approx(c, rel=1e-12)
        constant = Reinforce(baseline="constant", value=plain.b)
        assert torch.equal(plain.rows(on_states(problem)), constant.rows(on_states(problem)))
        mean, variance = mean_and_variance(problem, scaled)
        assert problem.exact_gradient is not None
        np.testing.assert_allclose(mean, problem.exact_gradient / c, rtol=1e-10)
        assert variance == pytest.approx(mean_and_variance(problem, constant)[1] / c**2, rel=1e-10)


def test_nvil_declares_that_normalising_is_biased() -> None:
    """A scale is a bias."""
    assert Nvil().facts.unbiased
    assert not Nvil(normalise=True).facts.unbiased


@pytest.mark.parametrize("name", ["B3", "C2x4"])
def test_the_fitted_best_baseline_is_a_ratio_of_two_means(name: str) -> None:
    """Σ ‖s_d‖² f/Σ ‖s_d‖² over the fitting draws; within 5 standard errors of the oracle (false fail 6e-7 a number).

    At 4000 draws a ratio without the weights ‖s_d‖², which is E f, would stand out by more than that.
    """
    problem = problems()[name]
    draw = fit_draw(problem, 4000)
    fitted = Reinforce(baseline="optimal", oracle=False, n_fit=4000).fit(problem, draw).fitted
    s, f = draw.score[:, 0].numpy(), draw.fz[:, 0].numpy()[:, None]
    w = s**2 if s.ndim == 2 else (s**2).sum(-1)
    assert fitted is not None
    np.testing.assert_allclose(fitted, (w * f).sum(0) / w.sum(0), rtol=1e-12)
    b = best_baseline(problem)
    standard_error = np.std(w * (f - b), axis=0, ddof=1) / w.mean(0) / math.sqrt(4000)
    assert (np.abs(np.array(fitted) - b) < 5 * standard_error).all()
    assert (np.abs(probabilities(problem) @ values(problem) - b) > 5 * standard_error).any()


def test_fitting_touches_nothing_but_the_fitted_best_baseline() -> None:
    """Every other baseline is returned as it is, and no f is evaluated for it."""
    problem = problems()["B3"]
    for estimator in (Reinforce(), Reinforce(baseline="mean"), Reinforce(baseline="optimal")):
        draw = fit_draw(problem, 10)
        before = problem.evaluations.f
        assert estimator.fit(problem, draw) is estimator
        assert problem.evaluations.f == before


# The moving average


def weights(decay: float, H: int) -> list[float]:
    """w_h ∝ decay^(h − 1) of the value h places earlier."""
    w = [decay ** (h - 1) for h in range(1, H + 1)]
    return [x / sum(w) for x in w]


@pytest.mark.parametrize(("decay", "history"), [(0.9, 44), (0.5, 3), (0.9, 500)])
def test_the_moving_average_is_over_earlier_replicates_of_the_shard(decay: float, history: int) -> None:
    """Around the circle of each shard, latest first, the replicate itself left out; cut at the shard's length."""
    shard, N, shards = 60, 2, 3
    f = torch.from_numpy(np.random.default_rng(3).standard_normal((shards * shard, N)))
    H = min(history, shard - 1)
    by_hand = np.zeros(f.shape)
    for r, n in itertools.product(range(len(f)), range(N)):
        first = r // shard * shard
        earlier = [float(f[first + (r - first - h) % shard, n]) for h in range(1, H + 1)]
        by_hand[r, n] = np.dot(weights(decay, H), earlier)
    np.testing.assert_allclose(moving_average(f, shard, decay, history), by_hand, rtol=1e-12, atol=1e-13)


def test_the_weights_of_the_moving_average_have_the_stated_sum_of_squares() -> None:
    """Σw² = (1 − β)/(1 + β) · (1 + β^H)/(1 − β^H), from the response to a unit impulse."""
    beta, H, shard = 0.9, 44, 100
    impulse = torch.zeros(shard, 1, dtype=torch.float64)
    impulse[7] = 1
    w = moving_average(impulse, shard, beta, H)
    assert float(w.sum()) == pytest.approx(1, rel=1e-12)
    stated = (1 - beta) / (1 + beta) * (1 + beta**H) / (1 - beta**H)
    assert float((w**2).sum()) == pytest.approx(stated, rel=1e-12)


class UpdatedFirst:
    """Wrong on purpose: the average is updated with f(z) before it is subtracted from f(z)."""

    @property
    def facts(self) -> Facts:
        """As of REINFORCE."""
        return Reinforce(baseline="moving_average").facts

    def rows(self, draw: Draw) -> Tensor:
        """(f − (β b + (1 − β) f)) s."""
        b = moving_average(draw.fz, draw.shard, 0.8, 3)
        return draw.lift(draw.fz - (0.8 * b + 0.2 * draw.fz)) * draw.score


def moving_average_law(estimator: RowEstimator, decay: float, H: int) -> None:
    """Mean = gradient, variance = that with the mean as baseline + Var f Σw² · E s²: over all histories, exactly.

    Every (H + 1)-tuple of states is one shard, whose last replicate sees all the others.
    """
    problem = problems()["B1"]
    f, P, s = values(problem), probabilities(problem), scores(problem)[:, 0]
    index = np.array(list(itertools.product(range(2), repeat=H + 1)))
    z = torch.from_numpy(index.astype(float)).reshape(-1, 1, 1)
    last = estimator.rows(Draw(problem, len(z), 1, z=z, shard=H + 1)).view(-1, H + 1)[:, -1].numpy()
    weight = P[index].prod(1)
    mean, truth, centre = weight @ last, gradient(problem, f).item(), P @ f
    variance = weight @ (last - mean) ** 2
    squares = sum(w**2 for w in weights(decay, H))
    with_mean = P @ ((f - centre) * s) ** 2 - truth**2
    assert mean == pytest.approx(truth, abs=1e-13)
    assert variance == pytest.approx(with_mean + P @ (f - centre) ** 2 * squares * (P @ s**2), rel=1e-11)


def test_the_moving_average_baseline_follows_its_law() -> None:
    """E b = E f and Var b = Var f Σw², seen in the mean and the variance of the estimator."""
    for decay, H in ((0.8, 3), (0.6, 5)):
        moving_average_law(Reinforce(baseline="moving_average", decay=decay, history=H), decay, H)


def test_an_average_updated_before_it_is_used_is_caught() -> None:
    """The mistake shrinks the mean; the law's check refuses it."""
    with pytest.raises(AssertionError):
        moving_average_law(UpdatedFirst(), 0.8, 3)


# Wrong on purpose


class RlooOverN:
    """Wrong on purpose: 1/N Σ (f_n − f̄) s(z_n)."""

    facts = Rloo().facts

    def joint(self, draw: Draw, samples: int) -> Tensor:
        """RLOO times 1 − 1/N."""
        return Rloo().joint(draw, samples) * (1 - 1 / samples)


class RlooWithItself:
    """Wrong on purpose: the baseline is the mean over all samples, the sample itself among them, divided by N − 1."""

    facts = Rloo().facts

    def joint(self, draw: Draw, samples: int) -> Tensor:
        """1/(N − 1) Σ f_n s(z_n): as if Σ f̄ s vanished, and with the wrong N."""
        return (draw.lift(draw.fz[:, :samples]) * draw.score[:, :samples]).sum(1) / (samples - 1)


class MupropWithoutCorrection:
    """Wrong on purpose: the mean of the linear term is not added back."""

    facts = Muprop().facts

    def rows(self, draw: Draw) -> Tensor:
        """MuProp less J(p) f′(p)."""
        mean = draw.distribution.mean.expand(draw.z.shape)
        return Muprop().rows(draw) - draw.distribution.mean_jac(draw.problem.df(mean))


class BaselineOfItself:
    """Wrong on purpose: a baseline of variable d that looks at z_d."""

    facts = Reinforce().facts

    def rows(self, draw: Draw) -> Tensor:
        """(f(z) − z_d) s(z_d)."""
        return (draw.lift(draw.fz) - draw.z) * draw.score


@pytest.mark.parametrize(
    ("mutant", "samples"),
    [(RlooOverN(), 2), (RlooWithItself(), 2), (MupropWithoutCorrection(), 1), (BaselineOfItself(), 1)],
    ids=lambda m: type(m).__name__ if not isinstance(m, int) else f"N={m}",
)
def test_public_mistakes_are_caught(mutant: Estimator, samples: int) -> None:
    """The very check that the right ones pass refuses the wrong ones, on every problem."""
    for name in ("B1", "B3", "C1x3"):
        with pytest.raises(AssertionError):
            assert_unbiased(problems()[name], mutant, samples)


# Invariances and facts


@pytest.mark.parametrize("method", unbiased(1))
def test_a_constant_added_to_f_moves_no_mean(method: str) -> None:
    """f + 2.5 has the same gradient, and every method's mean knows it."""
    for name in ("B1", "C1x3"):
        mean, moved = (mean_and_variance(problems(Wave(c))[name], *unbiased(1)[method])[0] for c in (0.0, 2.5))
        np.testing.assert_allclose(mean, moved, atol=1e-12)


@pytest.mark.parametrize("name", tuple(extreme()))
def test_right_at_logits_of_thirty(name: str) -> None:
    """(f − b) s and MuProp keep their digits where 1 − p is 1e-13, in float64; and are finite in float32."""
    problem = extreme()[name]
    f, s = values(problem), scores(problem)
    np.testing.assert_allclose(states_rows(problem, Reinforce()), lifted(problem, f) * s, rtol=1e-9)
    for estimator, _ in unbiased(problem.D).values():
        for dtype in (torch.float64, torch.float32):
            rows = rows_of_two(make(Wave(), problem.distribution.logits.to(dtype)), estimator, 64)
            assert rows.dtype == dtype
            assert rows.isfinite().all()


@pytest.mark.parametrize(
    ("estimator", "f", "df"),
    [(Reinforce(), 1, 0), (Nvil(), 1, 0), (Muprop(), 2, 1), (Rloo(), 1, 0)],
    ids=lambda e: type(e).__name__ if not isinstance(e, int) else str(e),
)
def test_what_is_declared_is_what_is_evaluated(estimator: Estimator, f: int, df: int) -> None:
    """Evaluations of f and ∇f per sample."""
    problem = problems()["B3"]
    rows_of_two(problem, estimator, 5)
    assert (problem.evaluations.f, problem.evaluations.df) == (f * 10, df * 10)
    assert (estimator.facts.f, estimator.facts.df) == (f, df)


def test_enumeration_is_exact_without_variance_and_pays_for_every_state() -> None:
    """The same gradient for every replicate, at K^D evaluations of f."""
    problem = problems()["C2x4"]
    draw = Draw(problem, 3, 1, streams=Streams(0, "cost", range(1)))
    rows = Enumerate().joint(draw, 1)
    assert problem.evaluations.f == 16
    np.testing.assert_allclose(rows.numpy(), np.stack([gradient(problem, values(problem))] * 3), atol=1e-13)
    count = Enumerate().facts.f
    assert not isinstance(count, int)
    assert count.number(2, 4) == 16


def test_an_option_of_another_baseline_is_refused() -> None:
    """A value without baseline=constant would do nothing, silently."""
    with pytest.raises(ValidationError, match="value is for baseline=constant, but the baseline is none"):
        Reinforce(value=0.5)
    with pytest.raises(ValidationError, match="decay is for baseline=moving_average"):
        Reinforce(baseline="optimal", decay=0.5)
    assert Reinforce(baseline="constant", value=0.5).value == 0.5
