"""The JSON Schema of configs, for completion and checks in editors: what the models say, and the short forms on top.

`python -m estbench.config.editor > configs/schema.json` writes it; a first line
`# yaml-language-server: $schema=schema.json` in a config makes editors use it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter

from estbench.config.choice import CATALOGUE, entry
from estbench.config.logits import LIMIT, Drawn
from estbench.config.network import EXACT, OWN, NetworkConfig
from estbench.config.problem import ProblemConfig
from estbench.config.schema import Config
from estbench.config.selector import parse_selector
from estbench.config.sweep import SWEEPABLE, SWEEPABLE_OF_NETWORKS, SWEEPABLE_OF_TRAJECTORIES
from estbench.config.trajectory import TrajectoryConfig
from estbench.plugins import What

Schema = dict[str, Any]

_KINDS = ("ProblemConfig", "NetworkConfig", "TrajectoryConfig")

_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_RENAMED = {("array", "minLength"): "minItems", ("array", "maxLength"): "maxItems"}


def json_schema() -> Schema:
    """The JSON Schema (2020-12) of a config file."""
    schema: Schema = _plain(TypeAdapter(Config).json_schema())
    schema["required"] = ["problems", "estimators"]  # the name is that of the file
    keys, defs = schema["properties"], schema.setdefault("$defs", {})
    for model in (ProblemConfig, NetworkConfig, TrajectoryConfig):
        found = _plain(TypeAdapter(model).json_schema())
        defs |= found.pop("$defs", {}) | {model.__name__: found}
    problem, network, trajectory = (defs[f"{kind}Config"] for kind in ("Problem", "Network", "Trajectory"))
    for key in ("samples", "temperatures", "methods"):
        keys[key] = {"anyOf": [keys[key]["items"], keys[key]]}  # one value stands for a list of one
    keys["estimators"]["items"] = _choice("estimator")
    problem["properties"] |= {
        "objective": _choice("objective"),
        "distribution": _choice("distribution"),
        "logits": _logits(),
        "sweep": _sweep(SWEEPABLE, "objective"),
        "kind": {"const": "toy"},
    }
    network["properties"] |= {"network": _choice("network"), "sweep": _sweep(SWEEPABLE_OF_NETWORKS, "network")}
    trainer = {"anyOf": [{"enum": [EXACT, OWN]}, _choice("estimator")]}
    defs["TrainingConfig"]["properties"]["estimator"] = _one_or_many(trainer)
    network["properties"]["checkpoints"] = _one_or_many({"type": "integer", "minimum": 0})
    del trajectory["properties"]["start"]
    start = {key: item for key, item in problem["properties"].items() if key not in ("tie", "kind")}
    trajectory["properties"] |= start | {"sweep": _sweep(SWEEPABLE_OF_TRAJECTORIES, "objective")}
    trajectory["properties"]["checkpoints"] = _one_or_many({"type": "integer", "minimum": 0})
    del problem["required"]  # any of them may be swept
    network["required"] = trajectory["required"] = ["kind"]
    keys["problems"]["items"] = {"anyOf": [{"$ref": f"#/$defs/{name}"} for name in defs if name in _KINDS]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "estbench config",
        "description": "A benchmark of gradient estimators: problems × estimators × temperatures × sample counts.",
        **schema,
    }


def _choice(what: What) -> Schema:
    """A name or selector, or a mapping whose options are those of the name."""
    known, aliases, _ = CATALOGUE[what]
    entries = []
    for name, kind in known.items():
        model = _plain(entry(what, kind).model_json_schema())
        names = [name, *(alias for alias, selector in aliases.items() if parse_selector(selector)[0] == name)]
        options = {"name": {"enum": names}, **model.get("properties", {}), "options": {"type": "object"}}
        described = (kind.__doc__ or name).splitlines()[0]
        entries.append({"description": described, **model, "properties": options, "required": ["name"]})
    elsewhere = {"type": "string", "pattern": r"[\[:]"}  # with options in brackets, or a plug-in
    entries.append({"type": "object", "properties": {"name": elsewhere}, "required": ["name"]})
    return {"anyOf": [{"enum": [*known, *aliases]}, elsewhere, *entries]}


def _logits() -> Schema:
    number = {"type": "number", "minimum": -LIMIT, "maximum": LIMIT}
    row = {"type": "array", "items": number, "minItems": 1}
    drawn = _plain(TypeAdapter(Drawn).json_schema())
    normal = drawn.pop("$defs")["Normal"]
    return {
        "anyOf": [
            number,
            row,
            {"type": "array", "items": row, "minItems": 1},
            drawn | {"properties": {"normal": normal}},
        ]
    }


def _one_or_many(item: Schema) -> Schema:
    """One value, or a list of them."""
    return {"anyOf": [item, {"type": "array", "items": item, "minItems": 1}]}


def _sweep(keys: Sequence[str], named: str) -> Schema:
    values = {"type": "array", "minItems": 1}
    return {
        "description": "One problem for each value, or for each combination of values when several keys are swept.",
        "type": "object",
        "properties": dict.fromkeys(keys, values),
        "patternProperties": {rf"^{named}\.\w+$": values},
        "additionalProperties": False,
        "minProperties": 1,
    }


def _plain(schema: Any) -> Any:
    """A schema as every version of pydantic gives it: without made-up titles, each thing said once and in one way."""
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        _RENAMED.get((str(schema.get("type")), key), key): _named(item)
        if key in ("properties", "$defs")
        else _value(key, item)
        for key, item in schema.items()
        if key != "title" and not (key == "enum" and "const" in schema)
    }


def _named(schemas: Schema) -> Schema:
    """Schemas by names, which are no keywords."""
    return {name: _plain(schema) for name, schema in schemas.items()}


def _value(key: str, value: Any) -> Any:
    """The value of a keyword; a bound that is an integer is written as one."""
    if key in _BOUNDS and float(value).is_integer():
        return int(value)
    return _plain(value)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n")
