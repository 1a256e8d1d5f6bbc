"""`sweep`: one problem for each value of a key, and for each combination when several keys are swept."""

from __future__ import annotations

import math
from itertools import product
from typing import Any, NamedTuple

from estbench.config.complaint import Path, closest
from estbench.config.explain import UNKNOWN, shown
from estbench.config.network import NETWORK_KEYS
from estbench.config.override import path_of, put
from estbench.config.schema import KEYS
from estbench.config.selector import parse_selector
from estbench.config.trajectory import TRAJECTORY_KEYS
from estbench.errors import UsageError

MAX_PROBLEMS = 20_000

SWEEPABLE = [key for key in KEYS["problems",] if key not in ("kind", "sweep")]
SWEEPABLE_OF_NETWORKS = [key for key in NETWORK_KEYS[()] if key != "kind"]
SWEEPABLE_OF_TRAJECTORIES = [key for key in TRAJECTORY_KEYS[()] if key != "kind"]
_OF_KIND = {
    "network": (SWEEPABLE_OF_NETWORKS, ("network", "training")),
    "trajectory": (SWEEPABLE_OF_TRAJECTORIES, ("objective", "distribution")),
}


class Unfolded(NamedTuple):
    """Problems without sweeps, and for each the path of its entry and, by keys, those of its swept values."""

    problems: list[Any]
    origins: list[tuple[Path, dict[Path, Path]]]
    wrong: list[tuple[Path, str]]

    def origin(self, path: Path) -> Path:
        """Where the user wrote what is at a path of the config without sweeps."""
        if len(path) < 2 or path[0] != "problems" or not isinstance(path[1], int):
            return path
        entry, swept = self.origins[path[1]]
        if len(path) == 2 and swept:  # the whole problem: what tells it from the others of its sweep
            return list(swept.values())[-1]
        for depth in range(len(path), 2, -1):
            if path[2:depth] in swept:
                return swept[path[2:depth]] + path[depth:]
        return entry + path[2:]


def unfold(problems: list[Any]) -> Unfolded:
    """Every problem of a config with its sweep written out; the first key swept varies slowest."""
    result = Unfolded([], [], [])
    for i, entry in enumerate(problems):
        at: Path = ("problems", i)
        if not isinstance(entry, dict) or "sweep" not in entry:
            result.problems.append(entry)
            result.origins.append((at, {}))
            continue
        base = {key: value for key, value in entry.items() if key != "sweep"}
        values = _values(entry["sweep"], base, (*at, "sweep"), result.wrong)
        for combination in product(*(enumerate(of_key) for of_key in values.values())):
            swept: dict[Path, Path] = {}
            problem: Any = base
            for key, (m, value) in zip(values, combination, strict=True):
                swept[path_of(key)] = (*at, "sweep", key, m)
                try:
                    problem = put(problem, path_of(key), value)
                except UsageError as error:
                    result.wrong.append(((*at, "sweep", key), str(error)))
            result.problems.append(problem)
            result.origins.append((at, swept))
    return result


def _values(sweep: Any, base: dict[str, Any], at: Path, wrong: list[tuple[Path, str]]) -> dict[str, list[Any]]:
    """The values of each key that can be swept; what cannot is complained of and left out."""
    if not isinstance(sweep, dict) or not sweep:
        wrong.append((at, f"expected keys with lists of values, such as {{logits: [-1, 1]}}, got {shown(sweep)}"))
        return {}
    good: dict[str, list[Any]] = {}
    for key, values in sweep.items():
        head = path_of(key)[:1]
        known, more = _OF_KIND.get(str(base.get("kind")), (SWEEPABLE, ("objective", "distribution")))
        if not head or head[0] not in known:
            allowed = ", ".join([*known, *(f"{each}.<option>" for each in more)])
            wrong.append(((*at, key), f"{UNKNOWN} {key!r}.{closest(key, known)} Allowed: {allowed}"))
        elif not isinstance(values, list) or not values:
            wrong.append(((*at, key), f"expected a list of values, one a problem, got {shown(values)}"))
        elif _given(base, path_of(key)):
            wrong.append(((*at, key), f"{key} is both given and swept; keep one"))
        else:
            good[key] = values
    if (count := math.prod(map(len, good.values()))) > MAX_PROBLEMS:
        wrong.append((at, f"{count} problems; at most {MAX_PROBLEMS}"))
        return {}
    return good


def _given(base: Any, path: Path) -> bool:
    """Whether a value is written at that path: as a key, below `options`, or in the brackets of a selector."""
    for part in path:
        if isinstance(base, str):
            try:
                base = parse_selector(base)[1]
            except UsageError:  # it is told where it stands
                return False
        if isinstance(base, dict) and isinstance(nested := base.get("options"), dict):
            base = nested | base
        if not isinstance(base, dict) or part not in base:
            return False
        base = base[part]
    return True
