"""What is declared to be needed: the lowest versions are those that are tested."""

from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]


def test_the_lowest_versions_are_those_that_are_tested() -> None:
    """Each bound of pyproject.toml, also of the extras for users, is the version in constraints-lowest.txt."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    bounds = {}
    for line in [*project["dependencies"], *extras["parquet"], *extras["dask"]]:
        needed = Requirement(line)
        (bound,) = needed.specifier
        assert bound.operator == ">="
        bounds[needed.name] = Version(bound.version)
    lines = (ROOT / "constraints-lowest.txt").read_text(encoding="utf-8").splitlines()
    pinned = [line.split("==") for line in lines if not line.startswith("#")]
    pins = {name: Version(version) for name, version in pinned}
    assert bounds == {name: pins[name] for name in bounds}


def test_the_lowest_versions_of_what_tests_need_too() -> None:
    """The tests ask for the extras for users with the same bounds."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert {*extras["parquet"], *extras["dask"]} <= {*extras["test"]}
