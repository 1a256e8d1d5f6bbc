"""Configs: what they say, what is wrong with them and where, `--set`, selectors, and the way back to plain data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estbench import catalogue
from estbench.config import Config, format_selector, load, parse_selector, resolve
from estbench.config.editor import json_schema
from estbench.errors import UsageError
from estbench.expand import expand
from estbench.names import ALIASES, OBJECTIVE_ALIASES, split

EXAMPLE = """\
name: bernoulli
seed: 0
replicates: 20000            # per cell
samples: [1, 2, 4, 8, 16]    # N
temperatures: [0.1, 0.25, 0.5, 1.0, 2.0]
problems:
  - objective: {name: quadratic, target: 0.45}
    distribution: bernoulli
    dimensions: 1
    sweep: {logits: [-4.0, -1.0, 0.0, 1.0]}     # one problem for each value
  - objective: {name: power, target: 0.45, exponent: 3}
    distribution: bernoulli
    logits: [0.5, -1.0, 2.0]                      # explicit vector: D = 3
estimators:
  - reinforce
  - {name: reinforce, baseline: optimal, label: Bengio centred}
  - ste
  - gumbel
"""
SMALL: dict[str, Any] = {
    "name": "small",
    "problems": [{"objective": "quadratic", "distribution": "bernoulli", "logits": 1}],
    "estimators": ["ste"],
}

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a config and gives its name relative to the working directory."""
    monkeypatch.chdir(tmp_path)

    def write(text: str) -> Path:
        Path("x.yaml").write_text(text, encoding="utf-8")
        return Path("x.yaml")

    return write


def small(**changes: Any) -> dict[str, Any]:
    """A small config with some keys changed."""
    return SMALL | changes


def problem(**keys: Any) -> dict[str, Any]:
    """A small config with one problem, given by its keys."""
    return small(problems=[{"objective": "quadratic", "distribution": "bernoulli"} | keys])


# What a config says


def test_the_example_of_the_manual_says_what_it_says(write: Write) -> None:
    """Sweeps unfold, explicit logits give the dimensions, options and labels arrive, and defaults are filled in."""
    config = load(write(EXAMPLE))
    assert (config.name, config.seed, config.replicates, config.samples) == ("bernoulli", 0, 20000, (1, 2, 4, 8, 16))
    assert config.temperatures == (0.1, 0.25, 0.5, 1.0, 2.0)
    assert (config.methods, config.level, config.delta) == (("exact", "monte_carlo"), 0.95, 0.01)
    assert [p.logits for p in config.toys] == [-4.0, -1.0, 0.0, 1.0, (0.5, -1.0, 2.0)]
    assert [p.dimensions for p in config.toys] == [1, 1, 1, 1, 3]
    assert dict(config.toys[4].objective.options)["exponent"] == 3.0
    assert [e.spec.label for e in config.estimators] == ["reinforce", "Bengio centred", "ste", "gumbel"]
    assert dict(config.estimators[1].spec.options)["baseline"] == "optimal"


def test_name_is_the_file_stem_unless_given(write: Write) -> None:
    """Without `name` the file gives it."""
    assert load(write(EXAMPLE.replace("name: bernoulli\n", ""))).name == "x"


def test_one_number_in_any_spelling_is_one_config() -> None:
    """1000, 1e3 and 1000.0 are the same number of replicates, 1 and [1] the same list, in any order and repeated."""
    same = {load(small(replicates=r)) for r in (1000, 1e3, 1000.0)}
    assert len(same) == 1
    assert load(small(samples=2)) == load(small(samples=[2])) == load(small(samples=[2, 2]))
    assert load(small(samples=[4, 1, 2])).samples == (1, 2, 4)
    assert load(small(methods="exact")).methods == ("exact",)


@pytest.mark.parametrize(
    ("keys", "logits"),
    [
        ({"logits": 0.5, "dimensions": 2}, (0.5, 0.5)),
        ({"logits": [1, -0.0]}, (1.0, 0.0)),
        ({"distribution": "categorical", "logits": 0.5, "dimensions": 2, "categories": 3}, ((0.5,) * 3,) * 2),
        ({"distribution": "categorical", "logits": [[1, 2, 3], [4, 5, 6]]}, ((1.0, 2.0, 3.0), (4.0, 5.0, 6.0))),
    ],
)
def test_logits_fill_all_variables(keys: dict[str, Any], logits: Any) -> None:
    """A number fills all variables, a list is the vector or the rows, which also give D and K."""
    (p,) = load(problem(**keys)).toys
    assert p.all_logits() == logits
    assert p.dimensions == 2
    assert p.categories == (3 if "categorical" in keys.values() else None)


def test_normal_logits_are_drawn_by_their_seed() -> None:
    """{normal: {scale, seed}} is the same for the same seed, differs for another, and scales."""

    def drawn(**normal: Any) -> Any:
        return load(problem(logits={"normal": normal}, dimensions=5)).toys[0].all_logits()

    assert drawn(seed=3) == drawn(seed=3, scale=1)
    assert len(set(drawn(seed=3))) == 5
    assert drawn(seed=3) != drawn(seed=4)
    assert drawn(seed=3, scale=2) == tuple(2 * x for x in drawn(seed=3))
    assert drawn(seed=3)[0] == pytest.approx(
        2.0409, abs=1e-4
    )  # the stream itself is pinned: ids of problems depend on it


def test_tied_normal_logits_are_one_row_for_all_variables() -> None:
    """With `tie` one variable's logits are drawn and all share them."""
    keys = {"distribution": "categorical", "dimensions": 4, "categories": 3, "logits": {"normal": {"seed": 1}}}
    tied = load(problem(**keys, tie=True)).toys[0].all_logits()
    free = load(problem(**keys)).toys[0].all_logits()
    assert len(set(tied)) == 1
    assert len(set(free)) == 4


def test_sweeps_combine_and_reach_into_the_objective() -> None:
    """Several swept keys give every combination, the first slowest; `objective.option` sweeps an option."""
    (entry,) = problem(sweep={"objective.target": [0.1, 0.2], "logits": [1, [1, 2]]})["problems"]
    config = load(small(problems=[entry]))
    got = [(dict(p.objective.options)["target"], p.logits, p.dimensions) for p in config.toys]
    assert got == [(0.1, 1.0, 1), (0.1, (1.0, 2.0), 2), (0.2, 1.0, 1), (0.2, (1.0, 2.0), 2)]


def test_selectors_and_aliases_stand_wherever_a_name_does() -> None:
    """An alias may imply options, brackets may give them, and the entry its own; labels name what is not default."""
    entries = [
        "bengio_centred",
        "reinforce[baseline=constant,value=1]",
        "bengio_centred[baseline=mean]",
        {"name": "bengio_centred", "baseline": "moving_average"},
        {"name": "ste[slope=2]", "label": "steep"},
    ]
    config = load(small(estimators=entries) | {"problems": problem(objective="parity", logits=1)["problems"]})
    assert [e.spec.name for e in config.estimators] == ["reinforce"] * 4 + ["ste"]
    assert [e.spec.label for e in config.estimators] == [
        "reinforce[baseline=optimal]",
        "reinforce[baseline=constant,value=1]",
        "reinforce[baseline=mean]",
        "reinforce[baseline=moving_average]",
        "steep",
    ]
    assert config.toys[0].objective.name == "product"
    assert dict(config.toys[0].objective.options) == {"offset": 1.0, "slope": -2.0}


def test_a_temperature_among_the_options_is_the_estimators_own() -> None:
    """`temperature: t` is a list of one; `temperatures` its own list; without either it has none of its own."""
    entries = [{"name": "gumbel", "temperatures": [1, 0.5]}, "gumbel[temperature=2]", "gumbel_st"]
    assert [e.temperatures for e in load(small(estimators=entries)).estimators] == [(0.5, 1.0), (2.0,), None]


def test_one_estimator_may_stand_twice_at_different_temperatures() -> None:
    """What is refused is the same cell twice, not the same name."""
    entries = ["gumbel", "gumbel[temperature=3]"]
    assert len(load(small(estimators=entries, temperatures=[0.5, 1])).estimators) == 2
    with pytest.raises(UsageError, match="is the same as"):
        load(small(estimators=entries, temperatures=[0.5, 3]))
    with pytest.raises(UsageError, match="is the same as"):  # the default of gumbel is 1
        load(small(estimators=["gumbel", "gumbel[temperature=1]"]))


# The way back


floats = st.floats(-50, 50).map(lambda x: round(x, 3))
temperatures = st.lists(st.floats(0.01, 10).map(lambda x: round(x, 3)), min_size=1, max_size=3)
drawn = st.builds(lambda seed: {"normal": {"seed": seed}}, st.integers(0, 9))


def rows(K: int) -> st.SearchStrategy[Any]:
    """Rows of K logits."""
    return st.lists(st.lists(floats, min_size=K, max_size=K), min_size=1, max_size=3)


problems = st.fixed_dictionaries(
    {
        "objective": st.one_of(
            st.sampled_from(["sine", "mlp", "power[exponent=1.5]", "parity", {"name": "quadratic_form", "seed": 2}]),
            st.builds(lambda target: {"name": "quadratic", "target": target}, floats),
        )
    }
).flatmap(
    lambda objective: st.one_of(
        st.fixed_dictionaries({"logits": floats | drawn, "dimensions": st.integers(1, 4), "tie": st.booleans()}),
        st.fixed_dictionaries({"logits": st.lists(floats, min_size=1, max_size=4)}),
        st.fixed_dictionaries({"sweep": st.builds(lambda x: {"logits": x}, st.lists(floats, min_size=1, unique=True))}),
        st.fixed_dictionaries({"distribution": st.just("categorical"), "logits": st.integers(2, 4).flatmap(rows)}),
    ).map(lambda keys: {"distribution": "bernoulli"} | objective | keys)
)
estimators = st.sampled_from(
    ["reinforce", "reinforce[baseline=optimal]", "rloo", "ste[slope=2]", "reinmax"]
) | st.builds(
    lambda t, label: {"name": "gumbel", "temperatures": t, "label": label}, temperatures, st.sampled_from(["A", "b c"])
)
precisions = st.builds(
    lambda metric: {"relative": 0.02, "metric": metric}, st.sampled_from(["variance", "mse", "cosine"])
)
configs = st.fixed_dictionaries(
    {
        "name": st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,20}\Z"),
        "problems": problems.map(lambda p: [p]),
        "estimators": st.lists(estimators, min_size=1, max_size=3, unique_by=str).filter(
            lambda entries: sum(isinstance(entry, dict) for entry in entries) <= 1
        ),
    },
    optional={
        "seed": st.integers(0, 2**63 - 1),
        "samples": st.lists(st.integers(1, 100), min_size=1),
        "temperatures": temperatures,
        "methods": st.sampled_from(["exact", ["monte_carlo"], ["monte_carlo", "exact"]]),
        "level": st.floats(0.51, 0.999),
        "delta": st.floats(0.001, 0.5),
    },
).flatmap(
    lambda config: st.one_of(
        st.just(config),
        st.integers(32, 10**9).map(lambda n: config | {"replicates": n}),
        precisions.map(lambda precision: config | {"precision": precision}),
    )
)


@given(configs)
@settings(max_examples=50, deadline=None)
def test_a_resolved_config_is_json_and_loads_as_itself(data: dict[str, Any]) -> None:
    """`load(resolve(config)) == config`, also through JSON, and resolving again changes nothing."""
    config = load(data)
    plain = resolve(config)
    assert load(json.loads(json.dumps(plain))) == config
    assert resolve(load(plain)) == plain


def test_a_resolved_config_has_the_options_that_differ_from_their_defaults() -> None:
    """So an option that is added later, with a default, does not make it another config."""
    plain = resolve(load(small(estimators=["reinforce", "reinforce[baseline=mean, value=0]"])))
    assert [entry["options"] for entry in plain["estimators"]] == [{}, {"baseline": "mean"}]
    assert plain["problems"][0]["objective"]["options"] == {}
    plain = resolve(load(small(), ["problems.0.objective=quadratic[target=0.25]"]))
    assert plain["problems"][0]["objective"]["options"] == {"target": 0.25}


@pytest.mark.parametrize("name", sorted(catalogue.ESTIMATORS))
def test_every_estimator_of_the_catalogue_goes_into_a_config_and_back(name: str) -> None:
    """The catalogue's names with their default options are good configs."""
    config = load(small(estimators=[name]))
    assert config.estimators[0].spec.label == name
    assert load(resolve(config)) == config


@pytest.mark.parametrize("alias", sorted({**ALIASES, **OBJECTIVE_ALIASES}))
def test_every_alias_of_the_catalogue_stands_for_something(alias: str) -> None:
    """Aliases of estimators and objectives are found, with the options they imply."""
    selector = {**ALIASES, **OBJECTIVE_ALIASES}[alias]
    name, options = parse_selector(selector)
    if alias in ALIASES:
        choice: Any = load(small(estimators=[alias])).estimators[0].spec
    else:
        choice = load(problem(objective=alias, logits=1)).toys[0].objective
    assert choice.name == name
    assert options.items() <= dict(choice.options).items()


# Selectors


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda children: st.lists(children, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.from_regex(r"\A[a-zA-Z]\w{0,8}\Z", fullmatch=True), values, max_size=4))
def test_a_selector_reads_back_what_it_was_made_of(options: dict[str, Any]) -> None:
    """`parse_selector` undoes `format_selector` for every kind of value."""
    assert parse_selector(format_selector("name", options.items())) == ("name", options)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("ste", ("ste", {})),
        (" reinforce[baseline=optimal] ", ("reinforce", {"baseline": "optimal"})),
        ("a[x=1e-3, y=on,z=[1,2]]", ("a", {"x": 1e-3, "y": "on", "z": [1, 2]})),
        ("a[x={b: 1, c: 2},y=1]", ("a", {"x": {"b": 1, "c": 2}, "y": 1})),
        ('a[x="b,c]"]', ("a", {"x": "b,c]"})),
        (r'a[x="b\\",y=1]', ("a", {"x": "b\\", "y": 1})),
        ("my.module:Class[x=true]", ("my.module:Class", {"x": True})),
    ],
)
def test_selectors(text: str, parsed: Any) -> None:
    """A name, and options whose values are YAML."""
    assert parse_selector(text) == parsed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a[", "'a[' is not a name or name[option=value,…]"),
        ("[x=1]", "'[x=1]' is not a name or name[option=value,…]"),
        ("", "'' is not a name or name[option=value,…]"),
        ("a[x]", "'x' in 'a[x]' is not option=value"),
        ("a[x=1,x=2]", "option 'x' is given twice in 'a[x=1,x=2]'"),
        ("a[x={]", "x={: not YAML"),
    ],
)
def test_bad_selectors(text: str, message: str) -> None:
    """What is no selector is refused, and said why."""
    with pytest.raises(UsageError) as caught:
        parse_selector(text)
    assert str(caught.value).startswith(message)


def test_lists_of_selectors_split_at_outer_commas() -> None:
    """A comma inside brackets or quotes belongs to the selector."""
    assert list(split('a,b[x=1,y=[2,3]],c[z="},"]')) == ["a", "b[x=1,y=[2,3]]", 'c[z="},"]']
    assert list(split("")) == []


# The JSON Schema


def test_the_json_schema_in_the_repository_is_the_generated_one() -> None:
    """configs/schema.json is fresh: `python -m estbench.config.editor > configs/schema.json` makes it."""
    file = Path(__file__).parents[2] / "configs" / "schema.json"
    assert json.loads(file.read_text(encoding="utf-8")) == json.loads(json.dumps(json_schema()))


def test_the_json_schema_knows_every_key_name_and_option() -> None:
    """Keys of the config and of problems, names and aliases of the catalogue, and the options of each."""
    schema = json_schema()
    assert set(schema["properties"]) == set(Config.__dataclass_fields__)
    assert "sweep" in schema["$defs"]["ProblemConfig"]["properties"]
    for choices, known, aliases in (
        (schema["properties"]["estimators"]["items"]["anyOf"], catalogue.ESTIMATORS, ALIASES),
        (
            schema["$defs"]["ProblemConfig"]["properties"]["objective"]["anyOf"],
            catalogue.OBJECTIVES,
            OBJECTIVE_ALIASES,
        ),
    ):
        assert choices[0]["enum"] == [*known, *aliases]
        mappings = [choice for choice in choices if "name" in choice.get("properties", {})]
        for (name, kind), mapping in zip(known.items(), mappings, strict=False):
            assert name in mapping["properties"]["name"]["enum"]
            assert set(catalogue.option_names(kind)) <= set(mapping["properties"])


def test_infinity_goes_through_json() -> None:
    """An infinite option is written as "inf", as JSON has no infinity, and is read back as a number."""
    problem = {"objective": "quadratic", "distribution": "bernoulli", "logits": 1.0}
    for written in ("mve[t=.inf]", {"name": "mve", "t": "inf"}):
        config = load({"name": "x", "problems": [problem], "estimators": [written]})
        assert dict(config.estimators[0].spec.options)["t"] == float("inf")
        plain = json.loads(json.dumps(resolve(config), allow_nan=False))
        assert load(plain) == config


def test_a_sweep_goes_over_options_of_distributions_and_networks() -> None:
    """`distribution.link`, `network.hidden`: one problem for each; what is in brackets already is not swept too."""
    made = {"name": "a", "replicates": 512, "samples": [1], "estimators": ["reinforce"]}
    sine = {"objective": "sine", "distribution": "bernoulli", "logits": [0.5]}
    links = ["hard_sigmoid", "probit"]
    plan = expand(load({**made, "problems": [sine | {"sweep": {"distribution.link": links}}]}))
    assert [spec.distribution_text for spec in plan.problems] == [f"bernoulli[link={link}]" for link in links]
    network = {"kind": "network", "network": "vae", "distribution": "categorical", "dimensions": 2, "categories": 4}
    network |= {"training": {"estimator": "exact", "epochs": 1}, "checkpoints": [0]}
    plan = expand(load({**made, "problems": [network | {"sweep": {"network.hidden": [4, 8]}}]}))
    assert [spec.objective_text for spec in plan.problems] == ["vae[hidden=4]", "vae[hidden=8]"]
    for written in ("bernoulli[link=probit]", {"name": "bernoulli", "options": {"link": "probit"}}):
        twice = sine | {"distribution": written, "sweep": {"distribution.link": links}}
        with pytest.raises(UsageError, match="both given and swept"):
            load({**made, "problems": [twice]})
