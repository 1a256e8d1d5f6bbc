"""Plans: cells and why some are skipped, identities that last, and how replicates are cut."""

from __future__ import annotations

import dataclasses
import json
import time
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field
from pydantic.dataclasses import dataclass

from estbench import catalogue
from estbench.config import load, resolve
from estbench.engine.stages import groups_of
from estbench.engine.tasks import ShardTask
from estbench.errors import UsageError
from estbench.estimators.base import Facts
from estbench.expand import expand
from estbench.plan import BLOCK, PILOT, Cell, Layout, Plan, content_hash, shard_size

PROBLEM: dict[str, Any] = {"objective": "quadratic", "distribution": "bernoulli", "logits": 1}


def plan(**keys: Any) -> Plan:
    """The plan of a small config with some keys changed."""
    return expand(load({"name": "p", "problems": [PROBLEM], "estimators": ["ste"], "methods": "monte_carlo"} | keys))


# Cells


def test_cells_are_the_product_in_order() -> None:
    """Problem by problem: estimators, their temperatures, sample counts, methods; those without one have None."""
    got = plan(
        problems=[PROBLEM, PROBLEM | {"logits": 2}],
        estimators=["ste", "gumbel", {"name": "gumbel_st", "temperatures": [3]}],
        temperatures=[1, 0.5],
        samples=[2, 1],
        methods=["exact", "monte_carlo"],
    )
    keys = [(c.problem, c.estimator.name, c.temperature, c.samples, c.method) for c in got.cells]
    assert keys == [
        (problem, name, temperature, samples, method)
        for problem in (0, 1)
        for name, temperature in (("ste", None), ("gumbel", 0.5), ("gumbel", 1.0), ("gumbel_st", 3.0))
        for samples in (1, 2)
        for method in ("exact", "monte_carlo")
    ]
    assert len({cell.key for cell in got.cells}) == len(got.cells)


def reasons(got: Plan) -> dict[tuple[str, int], str | None]:
    """Estimator and N → why the cell is skipped."""
    return {(cell.estimator.name, cell.samples): cell.reason for cell in got.cells}


def test_cells_that_make_no_sense_have_a_reason() -> None:
    """Too few samples, a family that is not served; the others have none."""
    got = plan(
        problems=[{"objective": "sine", "distribution": "categorical", "logits": [[1, 2, 3]]}],
        estimators=["rloo", "bengio_sts", "ste"],
        samples=[1, 2],
    )
    assert reasons(got) == {
        ("rloo", 1): "needs N ≥ 2",
        ("rloo", 2): None,
        ("bengio_sts", 1): "serves bernoulli only",
        ("bengio_sts", 2): "serves bernoulli only",
        ("ste", 1): None,
        ("ste", 2): None,
    }


@dataclass(frozen=True)
class Narrow:
    """An estimator for at most 2 variables and 2⁴ joint states whose temperature is at least 1 and has no default."""

    temperature: Annotated[float, Field(ge=1)]
    most: int | None = None
    states: int | None = None

    @property
    def facts(self) -> Facts:
        """Limits as its options say."""
        return Facts("relaxation", max_variables=self.most, max_states=self.states)


@pytest.mark.parametrize(
    ("keys", "estimator", "reason"),
    [
        ({"dimensions": 2}, "narrow[most=2,temperature=1]", None),
        ({"dimensions": 3}, "narrow[most=2,temperature=1]", "needs D ≤ 2"),
        ({"dimensions": 4}, "narrow[states=16,temperature=1]", None),
        (
            {"dimensions": 5},
            "narrow[states=16,temperature=1]",
            "goes through all joint states, and 2^5 are more than 16",
        ),
        (
            {"distribution": "categorical", "categories": 3, "dimensions": 3},
            "narrow[states=26,temperature=1]",
            "goes through all joint states, and 3^3 are more than 26",
        ),
        ({"distribution": "categorical", "categories": 3, "dimensions": 3}, "narrow[states=27,temperature=1]", None),
        ({}, "narrow", "needs a temperature"),
    ],
)
def test_limits_of_an_estimator_are_reasons(
    monkeypatch: pytest.MonkeyPatch, keys: dict[str, Any], estimator: str, reason: str | None
) -> None:
    """Too many variables, too many joint states, no temperature: at the limit it runs, beyond it does not."""
    monkeypatch.setitem(catalogue.ESTIMATORS, "narrow", Narrow)
    (cell,) = plan(problems=[PROBLEM | keys], estimators=[estimator]).cells
    assert cell.reason == reason


def test_a_temperature_that_an_estimator_refuses_is_a_reason() -> None:
    """Temperatures of the config below an estimator's least are skipped, not errors."""
    got = plan(estimators=["reinmax"], temperatures=[0.5, 1, 2])
    assert [cell.reason for cell in got.cells] == ["expected a number ≥ 1, got 0.5", None, None]


def test_without_temperatures_the_default_of_the_estimator_stands() -> None:
    """An estimator with a temperature and a default for it needs no list."""
    (cell,) = plan(estimators=["gumbel"]).cells
    assert (cell.temperature, cell.reason) == (1.0, None)
    assert catalogue.estimator(cell.estimator) == catalogue.estimator_class("gumbel")(temperature=1.0)  # type: ignore[call-arg] # a protocol


# Identities


def key(cell: int = 0, **keys: Any) -> str:
    """The key of one cell."""
    return plan(**keys).cells[cell].key


def test_a_key_hangs_on_all_of_the_content_and_on_nothing_else() -> None:
    """Problem, options, temperature, N and method make the key; label, seed, replicates and other cells do not."""
    base = key()
    same: list[dict[str, Any]] = [
        {"name": "other", "seed": 3, "replicates": 64, "level": 0.9},
        {"estimators": [{"name": "ste", "label": "mine"}, "reinforce"]},
        {"problems": [PROBLEM | {"logits": [1.0]}, PROBLEM | {"logits": 2}]},
        {"problems": [PROBLEM | {"objective": {"name": "quadratic", "target": 0.45}}]},
        {"temperatures": [0.5], "samples": [1, 2]},
        {"estimators": ["straight_through"]},
    ]
    assert {key(**keys) for keys in same} == {base}
    other: list[dict[str, Any]] = [
        {"problems": [PROBLEM | {"logits": 1.5}]},
        {"problems": [PROBLEM | {"dimensions": 2}]},
        {"problems": [PROBLEM | {"dimensions": 2, "tie": True}]},
        {"problems": [PROBLEM | {"objective": "quadratic[target=0.5]"}]},
        {"problems": [PROBLEM | {"objective": "power"}]},
        {"problems": [{"objective": "quadratic", "distribution": "categorical", "logits": [[1, 1]]}]},
        {"estimators": ["ste[slope=2]"]},
        {"estimators": ["darn"]},
        {"estimators": ["gumbel"]},
        {"estimators": ["gumbel[temperature=0.5]"]},
        {"samples": 2},
        {"methods": "exact"},
    ]
    assert len({key(**keys) for keys in other} | {base}) == len(other) + 1


@dataclass(frozen=True)
class Pinned:
    """An estimator whose options never change."""

    slope: float = 1.0

    @property
    def facts(self) -> Facts:
        """Nothing special."""
        return Facts("straight-through")


def test_keys_last_from_version_to_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids and keys are what results on disk are found by: they are pinned."""
    monkeypatch.setitem(catalogue.ESTIMATORS, "pinned", Pinned)
    got = plan(estimators=["pinned"])
    assert (got.problems[0].id, got.cells[0].key) == ("97ab83ea2032c4e0", "86a70c1f961ed953")


def test_labels_of_problems_read_well_and_are_unique() -> None:
    """Options that are not default, distribution, sizes and logits; long ones that read the same get a hash."""
    long = [0.5] * 9
    got = plan(
        problems=[
            PROBLEM,
            PROBLEM | {"objective": "power[target=0.1]", "logits": [0.5, -1.0, 2.0]},
            {"objective": "sine", "distribution": "categorical", "logits": [[1, 2, 3]] * 2, "tie": True},
            {"objective": "sine", "distribution": "categorical", "categories": 4, "logits": {"normal": {"seed": 3}}},
            PROBLEM | {"logits": [*long, 1]},
            PROBLEM | {"logits": [*long, 2]},
            PROBLEM | {"objective": {"name": "linear", "weights": [0.25] * 50}, "dimensions": 50},
        ]
    )
    labels = [problem.label for problem in got.problems]
    assert labels[:4] == [
        "quadratic bernoulli D=1 logits=1",
        "power[target=0.1] bernoulli D=3 logits=[0.5,-1,2]",
        "sine categorical D=2 K=3 logits=[[1,2,3],[1,2,3]] tied",
        "sine categorical D=1 K=4 logits=normal(scale=1,seed=3)",
    ]
    assert labels[4].startswith("quadratic bernoulli D=10 logits=[0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,…] #")
    assert labels[6] == "linear[…] bernoulli D=50 logits=1"
    assert len(set(labels)) == len(labels)


def test_specs_carry_everything_an_engine_needs() -> None:
    """All options, defaults too; explicit logits; and what was changed, for labels."""
    got = plan(problems=[PROBLEM | {"dimensions": 2}], estimators=["ste[slope=2]"])
    (spec,), (cell,) = got.problems, got.cells
    assert (spec.objective, dict(spec.objective_options)) == ("quadratic", {"target": 0.45, "reduction": "sum"})
    assert (spec.logits, spec.dimensions, spec.categories, spec.tie) == ((1.0, 1.0), 2, None, False)
    assert set(dict(cell.estimator.arguments)) == set(catalogue.option_names(catalogue.ESTIMATORS["ste"]))
    assert (cell.estimator.changed, cell.estimator.label) == ((("slope", 2.0),), "ste[slope=2]")
    assert dataclasses.asdict(catalogue.estimator(cell.estimator))["slope"] == 2.0  # type: ignore[call-overload] # a dataclass


def test_an_estimator_has_one_spec_for_each_temperature() -> None:
    """It is called with options and temperature; the id at the default temperature is that without one."""
    (choice,) = load({"name": "p", "problems": [PROBLEM], "estimators": "gumbel_rao[inner=3]"}).estimators
    cold, default, hot = choice.specs((0.25, 1.0, 4.0))
    assert [dict(spec.arguments) for spec in (cold, default, hot)] == [
        {"inner": 3, "temperature": temperature} for temperature in (0.25, 1.0, 4.0)
    ]
    assert choice.specs(()) == (default,) == (choice.spec,)
    assert {(spec.name, spec.label, spec.changed, spec.options_text) for spec in (cold, default, hot)} == {
        ("gumbel_rao", "gumbel_rao[inner=3]", (("inner", 3),), "inner=3")
    }
    assert len({cold.id, default.id, hot.id}) == 3
    assert default.id == content_hash("gumbel_rao", [["inner", 3]])
    assert hot.id == content_hash("gumbel_rao", [["inner", 3]], ["temperature", 4.0])


def test_an_estimator_is_built_once_from_the_config_to_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading the config, expanding it and performing its tasks share one object for each spec."""
    built: list[dict[str, Any]] = []

    def counted(kind: type[Any], options: Any) -> Any:
        built.append(dict(options))
        return build(kind, options)

    build = catalogue.build
    catalogue._shared.cache_clear()
    monkeypatch.setattr(catalogue, "build", counted)
    estimators = [{"name": "gumbel_rao", "inner": 7, "temperatures": [0.3, 0.9]}]
    got = plan(estimators=estimators, methods="monte_carlo", replicates=32)
    (groups,) = [groups_of(got.cells)]
    layout = got.layouts[0]
    ShardTask(got.problems[0], groups, 0, 1, layout, 0, layout.shards).perform()
    assert [options["temperature"] for options in built if "inner" in options] == [0.3, 0.9]


def test_a_resolved_config_has_the_same_plan() -> None:
    """What the manifest of a run records expands into the cells of that run."""
    config = load(
        {
            "name": "p",
            "problems": [PROBLEM | {"sweep": {"objective.target": [0.1, 0.2]}}],
            "estimators": ["gumbel", "bengio_centred"],
            "temperatures": [0.5],
        }
    )
    assert expand(load(json.loads(json.dumps(resolve(config))))) == expand(config)


# Layout


@pytest.mark.parametrize(
    ("replicates", "size", "shards"),
    [
        (20_000, 250, 80),  # the divisor of 20 000 nearest to 64 in log: 80, not 50
        (40_000, 625, 64),
        (5_000, 100, 50),  # 50 is the only divisor in [48, 96]
        (48 * 107, 107, 48),
        (95 * 101, 101, 95),
        (24 * 101, 101, 24),
        (47 * 101, 101, 47),
        (10_007, 157, 64),  # a prime: 64 shards, rounded up
        (4_999, 157, 32),  # a prime
        (1_000, 25, 40),  # 40 is nearer to 32 than 25 is
        (4_096, 128, 32),
        (509, 32, 16),  # a prime below 512
        (37, 3, 16),  # never fewer than 16
        (32, 2, 16),
    ],
)
def test_replicates_are_cut_into_about_64_shards(replicates: int, size: int, shards: int) -> None:
    """64 or so, 32 or so below 5000; round numbers come out exactly."""
    layout = plan(replicates=replicates).layouts[0]
    assert (layout.shard_size, layout.shards, layout.stages) == (size, shards, (shards,))
    assert layout.replicates == size * shards >= replicates


@given(st.integers(32, 10**10))
def test_never_fewer_replicates_or_shards_than_promised(replicates: int) -> None:
    """16 shards at least, 96 at most, nothing left out, and less than a shard (or 16 replicates) too much."""
    size = shard_size(replicates)
    shards = max(16, -(-replicates // size))
    assert 16 <= shards <= 96
    assert 0 <= size * shards - replicates < max(size, 16)
    if replicates >= 5000:
        assert shards >= 48


sizes = st.tuples(st.integers(32, 10**6), st.integers(1, 64), st.integers(1, 200), st.integers(1, 20))


@given(sizes)
def test_jobs_cover_every_shard_once_and_blocks_fit_the_cache(sizes: tuple[int, int, int, int]) -> None:
    """What is computed at once has at most the numbers of a block, unless one replicate has more; and is not small."""
    replicates, N, D, K = sizes
    keys = {"dimensions": D} if K == 1 else {"dimensions": D, "categories": K, "distribution": "categorical"}
    got = plan(replicates=replicates, samples=N, problems=[PROBLEM | keys])
    (layout,), numbers = got.layouts, N * D * (K if K > 1 else 1)
    covered = [shard for first, count in got.layouts[0].jobs() for shard in range(first, first + count)]
    assert covered == list(range(layout.shards))
    at_once = layout.block_rows * layout.shards_per_job * numbers
    assert at_once <= BLOCK or (layout.block_rows == layout.shards_per_job == 1)
    assert (layout.shards_per_job == 1) or (layout.block_rows == layout.shard_size)
    assert 1 <= layout.block_rows <= layout.shard_size
    if layout.shards_per_job == 1 and layout.block_rows < layout.shard_size:
        blocks = -(-layout.shard_size // layout.block_rows)
        assert blocks == -(-layout.shard_size // max(1, BLOCK // numbers))
    else:
        assert (layout.shards_per_job + 1) * layout.shard_size * numbers > BLOCK


def test_each_problem_has_a_layout_of_its_own() -> None:
    """Shards are the same for all problems; blocks depend on N D K."""
    got = plan(problems=[PROBLEM, PROBLEM | {"dimensions": 64}], samples=[1, 16], replicates=20_000)
    assert [layout.shard_size for layout in got.layouts] == [250, 250]
    assert [layout.shards_per_job for layout in got.layouts] == [32, 1]
    assert [layout.block_rows for layout in got.layouts] == [250, 125]  # 128 rows of 1024 numbers would leave 122
    assert list(got.layouts[0].jobs()) == [(0, 32), (32, 32), (64, 16)]


def test_an_extended_run_keeps_its_shards() -> None:
    """With recorded layouts more replicates are more shards; their size, jobs and blocks stay as they were."""
    before = plan(replicates=1000)
    config = load({"name": "p", "problems": [PROBLEM], "estimators": ["ste"], "replicates": 40_000})
    after = expand(config, {before.problems[0].id: before.layouts[0]})
    assert after.layouts[0] == dataclasses.replace(
        before.layouts[0], shards=1600, stages=(before.layouts[0].shards, 1600)
    )
    assert expand(config, {"another problem": before.layouts[0]}).layouts[0].shards == 64


@pytest.mark.parametrize(("most", "size"), [(10**7, 611), (10**5, 128), (2048, 64)])
def test_a_precision_begins_with_a_pilot(most: int, size: int) -> None:
    """32 shards, of 128 replicates or more for a high cap, and never more than the cap."""
    layout = plan(precision={"relative": 0.02, "max_replicates": most}).layouts[0]
    assert (layout.shard_size, layout.shards) == (size, PILOT)
    assert layout.stages[-1] * size <= most < (layout.stages[-1] + 1) * size


@pytest.mark.parametrize("most", [1024, 4000, 4096])
def test_a_pilot_that_is_all_is_one_stage(most: int) -> None:
    """Where the most replicates are those of the pilot, the run is recorded and read back with one stage."""
    layout = plan(precision={"relative": 0.02, "max_replicates": most}).layouts[0]
    assert layout.stages == (PILOT,)


def test_layouts_are_plain_numbers() -> None:
    """A layout is recorded as JSON and read back."""
    (layout,) = plan().layouts
    assert Layout.of_record(json.loads(json.dumps(layout.record()))) == layout


# Speed, and what is no plan


def test_ten_thousand_cells_take_less_than_two_seconds() -> None:
    """Planning is no wait."""
    config = load(
        {
            "name": "p",
            "problems": [PROBLEM | {"logits": [x / 10, 1]} for x in range(50)],
            "estimators": ["ste", "reinforce", "gumbel", "gumbel_st"],
            "temperatures": [0.1 * i for i in range(1, 20)],
            "samples": [1, 2, 4, 8, 16],
        }
    )
    start = time.process_time()
    got = expand(config)
    assert time.process_time() - start < 2
    assert len(got.cells) == 50 * (1 + 1 + 19 + 19) * 5 * 2 == 20_000


def test_cells_can_be_told_apart_in_sets() -> None:
    """Cells are frozen and hashable, as are the specs they hold."""
    cells: set[Cell] = set(plan(samples=[1, 2]).cells)
    assert len(cells) == 2


def test_the_same_problem_twice_never_reaches_a_plan() -> None:
    """Two entries with the same content are refused by the config, whatever way they are written."""
    with pytest.raises(UsageError, match=r"problems\[1\]: is the same as problems\[0\]"):
        plan(problems=[PROBLEM, PROBLEM | {"logits": [1.0]}])
