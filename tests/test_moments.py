"""Moments: sums over estimates, against the obvious loop; merged in any grouping; what is not finite or not there."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from estbench.draws import Draw
from estbench.estimate import estimates
from estbench.estimators.antithetic.arm import Arm
from estbench.moments import SCALARS, Floats, Moments, central, first, merge, moments, power_sums, record, second
from estbench.objectives.quadratic import Quadratic
from estbench.streams import Streams
from tests.problems import make

G = {1: [-0.7], 3: [0.3, -1.0, 0.2]}


def obvious(x: Floats, g: Floats | None, w: Floats | None = None, shift: Floats | None = None) -> dict[str, Any]:
    """The sums of one shard [n, P], one estimate after the other; umax about the mean, or about a shift.

    From sums about a shift, d4 is the least that it can be: less than about the mean.
    """
    P = x.shape[1]
    keep = np.isfinite(x @ np.ones(P))  # of the sum of each
    w = (np.ones(len(x)) if w is None else w) * keep
    x = np.where(keep[:, None], x, 0.0)
    names = {"s1": 1, "m2": 2, "m3": 3}
    total: dict[str, Any] = dict.fromkeys((*SCALARS, "y1"), 0.0) | {name: np.zeros(P) for name in names}
    mean = (w[:, None] * x).sum(0) / w.sum()
    norms = np.sqrt((x**2).sum(1))
    cosines = np.full(len(x), np.nan) if g is None else x @ g / np.where(norms > 0, norms, 1) / np.sqrt(g @ g)
    mean_cosine = w @ cosines / w.sum()
    for estimate, weight, cosine, norm in zip(x, w, cosines, norms, strict=True):
        U = float(((estimate - (mean if shift is None else shift)) ** 2).sum())
        total["n"] += weight
        total["zeros"] += weight * (norm == 0)
        total["y1"] += np.nan if g is None else weight * float((estimate - g) @ (estimate - g))
        for name, k in names.items():
            total[f"c{k}"] += weight * (cosine if k == 1 else (cosine - mean_cosine) ** k)
            total[name] = total[name] + weight * (estimate if k == 1 else (estimate - mean) ** k)
        total["d4"] += weight * U**2
        total["umax"] = max(total["umax"], U * (weight > 0))
    if shift is not None:
        about_mean = float(w @ ((x - mean) ** 2).sum(1) ** 2)
        least = (total["d4"] / total["n"]) ** 0.25 - float(np.linalg.norm(mean - shift))
        total["d4"] = total["n"] * max(least, 0.0) ** 4
        assert total["d4"] <= about_mean
    return total | {"non_finite": float((~keep).sum())}


def check(packed: Floats, g: Floats | None, shard: int, wanted: dict[str, Any]) -> None:
    """The shard's record says what the loop says."""
    found = Moments.unpack(packed, g)
    for name, value in wanted.items():
        np.testing.assert_allclose(getattr(found, name)[shard], value, rtol=1e-11, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("P", [1, 3])
@pytest.mark.parametrize(("known", "weighted"), [(True, True), (True, False), (False, False)])
@pytest.mark.parametrize(
    "spoilt",
    [{}, {(0, 3, 0): np.nan, (0, 8, -1): np.inf, (1, 11, 0): -np.inf}, {(1, 5, -1): np.inf}, {(1, 5, 0): np.nan}],
    ids=["clean", "many", "one infinite, in the last shard", "one unknown, in the last shard"],
)
def test_sums(P: int, known: bool, weighted: bool, spoilt: dict[tuple[int, int, int], float]) -> None:
    """Every moment is that of the loop; estimates that are not finite are counted and left out, zeros have cosine 0.

    Weighted sums are for exact moments, which need the true gradient.
    """
    rng = np.random.default_rng(P)
    x = rng.normal(0.5, 2.0, (2, 40, P))
    x[:, ::7] = 0.0
    for at, value in spoilt.items():
        x[at] = value
    w = rng.dirichlet(np.ones(40)) if weighted else None
    g = np.array(G[P]) if known else None
    true, weights = (None if a is None else torch.tensor(a) for a in (g, w))
    shift = torch.full((P,), 0.25).double()
    if true is None or weights is None:
        packed = moments(torch.tensor(x), true).numpy()
    else:
        packed = central(power_sums(torch.tensor(x), true, weights, shift).numpy(), shift.numpy())
        about_mean = moments(torch.tensor(x), true, weights.expand(2, -1)).numpy()
        for shard in range(2):
            check(about_mean, g, shard, obvious(x[shard], g, w, None))
    for shard in range(2):
        check(packed, g, shard, obvious(x[shard], g, w, shift.numpy() if weighted else None))


@pytest.mark.parametrize("P", [1, 3])
def test_a_true_gradient_of_zero(P: int) -> None:
    """There is no angle to 0: the cosines are NaN, all else is known."""
    x = np.random.default_rng(0).normal(size=(1, 20, P))
    found = Moments.unpack(moments(torch.tensor(x), torch.zeros(P).double()).numpy(), np.zeros(P))
    assert np.isnan([found.c1, found.c2, found.c3]).all()
    np.testing.assert_allclose(found.y1, (x**2).sum())


@pytest.mark.parametrize("P", [1, 7])
def test_estimates_that_are_all_alike(P: int) -> None:
    """They deviate from their mean by exactly nothing, whatever their number; so do their cosines."""
    x = torch.rand(64, 1, P, generator=torch.Generator().manual_seed(0)).double().expand(64, 49, P)
    found = moments(x, torch.ones(P).double())
    at = [SCALARS.index(name) for name in ("c2", "c3", "d4", "umax")]
    assert (found[:, at] == 0).all()
    assert (found[:, len(SCALARS) + P :] == 0).all()


@pytest.mark.parametrize("P", [1, 3])
@pytest.mark.parametrize("spoilt", [False, True])
@pytest.mark.parametrize("place", [0, 300])
def test_an_outlier_anywhere(P: int, spoilt: bool, place: int) -> None:
    """One estimate 1e6 standard deviations off, the first or not: the moments keep 12 digits."""
    x = np.random.default_rng(0).normal(3.0, 1e-3, (1, 1000, P))
    x[0, place] = 1e3
    if spoilt:
        x[0, [0, 5]] = np.nan
    found = Moments.unpack(moments(torch.tensor(x), torch.ones(P).double()).numpy(), np.ones(P))
    kept = x[0][np.isfinite(x[0, :, 0])].astype(np.longdouble)
    about = kept - kept.mean(0)
    np.testing.assert_allclose(found.m2[0], (about**2).sum(0).astype(float), rtol=1e-12)
    np.testing.assert_allclose(found.m3[0], (about**3).sum(0).astype(float), rtol=1e-12)


def test_antithetic_pairs_that_cancel() -> None:
    """ARM gives 0 wherever z and its mirror image have as many ones, though their sums have other orders."""
    problem = make(Quadratic(target=0.45), torch.tensor([0.3, -0.2, 1.0, -0.5, 0.1]).double())
    draw = Draw(problem, 4096, 1, streams=Streams(0, "zeros", range(1)))
    (x,) = estimates(Arm(), draw, [1])
    assert problem.exact_gradient is not None
    alike = draw.z.sum(-1) == draw.antithetic.sum(-1)
    raw = problem.f(draw.z) - problem.f(draw.antithetic)
    assert int((raw[alike] != 0).sum()) > 100  # else this test says nothing
    assert float(moments(x.unsqueeze(0), problem.exact_gradient)[0, SCALARS.index("zeros")]) == int(alike.sum())


def test_lower_precision_is_summed_in_double() -> None:
    """float32 estimates are summed as float64."""
    x = torch.full((1, 10_000, 1), 0.1, dtype=torch.float32)
    packed = moments(x, None).numpy()
    np.testing.assert_allclose(first(packed), 10_000 * float(np.float32(0.1)), rtol=1e-13)


@st.composite
def pieces(draw: st.DrawFn) -> list[Tensor]:
    """Some estimates of three parameters, cut into pieces anywhere."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = rng.standard_t(3, (draw(st.integers(2, 60)), 3)) * draw(st.sampled_from([1e-6, 1.0, 1e6]))
    cuts = sorted(draw(st.sets(st.integers(1, len(x) - 1), max_size=6)))
    return [torch.tensor(piece) for piece in np.split(x, cuts)]


@given(pieces(), st.randoms(use_true_random=False))
def test_merging_in_any_grouping(parts: list[Tensor], random: object) -> None:
    """Records of pieces, merged in any order and grouping, are the record of the whole (but for d4 and umax: flags)."""
    g = torch.tensor(G[3]).double()
    whole = moments(torch.cat(parts).unsqueeze(0), g).numpy()
    records = [moments(part.unsqueeze(0), g).numpy() for part in parts]
    random.shuffle(records)  # type: ignore[attr-defined] # hypothesis gives a random.Random
    half = len(records) // 2
    left, right = records[:half], records[half:]
    both = reduce(merge, right) if not left else merge(reduce(merge, left), reduce(merge, right))
    sums = [i for i in range(whole.shape[1]) if i not in (SCALARS.index("d4"), SCALARS.index("umax"))]
    scale = np.abs(whole) + len(torch.cat(parts)) * 1e-3 * np.abs(torch.cat(parts).numpy()).max() ** 3
    scale[:, [SCALARS.index(name) for name in ("c1", "c2", "c3")]] += len(torch.cat(parts))  # cosines are up to 1
    assert (np.abs(both - whole)[:, sums] <= 1e-12 * scale[:, sums]).all()
    assert both[0, SCALARS.index("umax")] == max(r[0, SCALARS.index("umax")] for r in records)


def test_a_record_from_two_moments() -> None:
    """A record made of first and second moments has these, weight 1, and NaN for what they do not say."""
    mean, square = np.array([[0.1, -0.2]]), np.array([[1.0, 2.0]])
    packed = record(mean, square)
    np.testing.assert_allclose(first(packed), mean)
    np.testing.assert_allclose(second(packed), square)
    found = Moments.unpack(packed, np.array([1.0, 0.0]))
    np.testing.assert_allclose(np.concatenate([found.n, found.non_finite, found.y1]), [1.0, 0.0, 3.85])
    assert np.isnan(np.concatenate([found.zeros, found.c1, found.d4, found.umax, found.m3[0]])).all()
