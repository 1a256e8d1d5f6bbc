"""The structure of the package: imports only go down."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

import estbench

ROOT = Path(estbench.__file__).parent
LEVELS = (
    "version",
    "errors",
    "columns",
    "outputs",
    "names",
    "index",
    "offers",
    "printable",
    "imports",
    "threads",
    "interrupts",
    "processes",
    "workers",
    "references",
    "moments",
    "intervals",
    "plan",
    "store",
    "summary",
    "views",
    "frames",
    "tables",
    "plots",
    "report",
    "tensor_versions",
    "rounding",
    "isolation",
    "sources",
    "options",
    "function_options",
    "distributions",
    "objectives",
    "parametrisation",
    "problem",
    "rarity",
    "streams",
    "draws",
    "networks",
    "estimators",
    "adapters",
    "estimate",
    "exact",
    "plugins",
    "catalogue",
    "config",
    "training",
    "trainings",
    "overall",
    "comparison",
    "expand",
    "engine",
    "preflight",
    "budget",
    "suite",
    "api",
    "card",
    "testing",
    "guide",
    "pictures",
    "cli",
    "__main__",
)
"""Modules and packages from the bottom up. What reads results is below what computes them and needs none of it."""

SHOW = ("views", "tables", "plots", "report")
WITHOUT_TORCH = (*LEVELS[: LEVELS.index("tensor_versions")], "comparison")


def imports(path: Path) -> set[str]:
    """The modules and packages directly under `estbench` that a file imports, wherever in the file it does."""
    found = set()
    for node in statements(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [
                f"{node.module}.{alias.name}" if node.module == "estbench" else node.module for alias in node.names
            ]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("estbench.")}
    return found


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """All statements in a node, and what holds others: expressions, which are most of a tree, are not gone through."""
    for part in ("body", "orelse", "finalbody", "handlers", "cases"):
        for inner in getattr(node, part, ()):
            yield inner
            yield from statements(inner)


@cache
def packages() -> dict[str, set[str]]:
    """Each module or package directly under `estbench`, with those that it imports."""
    found: dict[str, set[str]] = {}
    for path in sorted(ROOT.rglob("*.py")):
        package = path.relative_to(ROOT).parts[0].removesuffix(".py")
        if package != "__init__":
            found.setdefault(package, set()).update(imports(path) - {package})
    return found


def test_every_package_has_a_level() -> None:
    """Every module and package is in the list of levels, and the list names nothing else."""
    assert set(packages()) == set(LEVELS)


@pytest.mark.parametrize("package", LEVELS)
def test_imports_only_go_down(package: str) -> None:
    """No module or package imports one above it."""
    below = LEVELS[: LEVELS.index(package)]
    assert packages()[package] <= set(below)


@pytest.mark.parametrize("package", SHOW)
def test_what_shows_computes_nothing(package: str) -> None:
    """Tables, plots and the report import neither engine nor estimators nor anything else that computes results."""
    allowed = {
        "errors",
        "columns",
        "outputs",
        "printable",
        "imports",
        "processes",
        "workers",
        "threads",
        "intervals",
        "moments",
        "store",
        *SHOW,
    }
    assert packages()[package] <= allowed


def test_no_torch_needed() -> None:
    """These modules can be imported where torch is not installed, and what `status` needs without scipy."""
    code = (
        "import sys, importlib; sys.modules['torch'] = None\n"
        "import estbench.summary, estbench.tables.progress; assert 'scipy' not in sys.modules\n"
        "for name in sys.argv[1:]: importlib.import_module(name)"
    )
    names = [f"estbench.{name}" for name in WITHOUT_TORCH]
    done = subprocess.run([sys.executable, "-c", code, *names], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_help_imports_no_torch() -> None:
    """`estbench --help` answers without importing torch, pandas or matplotlib."""
    code = (
        "import sys; from estbench.cli.app import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'pandas', 'matplotlib', 'scipy', 'pydantic'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)


def test_random_numbers_have_one_source() -> None:
    """Nothing but `streams` makes random numbers; objectives draw their fixed coefficients from a seed of their own.

    `isolation` seeds the generators that code of users draws from, and draws nothing itself. `networks` draws initial
    parameters and cuts data, and `trainings` orders examples and makes the generators of training steps.
    `api` draws a seed from the generator that it is given.
    """
    makers = (
        "torch.rand",
        "torch.randn",
        "manual_seed",
        "torch.distributions",
        "np.random",
        "numpy.random",
        "bernoulli_(",
    )
    allowed = {"api", "streams", "objectives", "config", "isolation", "networks", "trainings"}
    for path in ROOT.rglob("*.py"):
        package = path.relative_to(ROOT).parts[0].removesuffix(".py")
        if package not in allowed:
            text = path.read_text()
            assert not [maker for maker in makers if maker in text], path


def test_no_test_imports_a_test() -> None:
    """What tests share is in modules that are no tests."""
    rule = re.compile(
        r"^\s*(from tests[\w.]*\.test_\w+ import|from tests[\w.]* import test_|import tests[\w.]*\.test_)", re.M
    )
    tests = Path(__file__).parent
    assert [path.name for path in sorted(tests.rglob("*.py")) if rule.search(path.read_text())] == []


def test_tests_lie_in_the_folders_of_what_they_test() -> None:
    """Each folder of tests has the name of a package of estbench, or of the scripts in `benchmarks`."""
    folders = {path.parent.name for path in Path(__file__).parent.glob("*/test_*.py")}
    assert folders - {path.parent.name for path in ROOT.glob("*/__init__.py")} == {"benchmarks"}


@pytest.mark.parametrize("path", sorted((ROOT / "estimators").rglob("*.py")), ids=lambda path: path.stem)
def test_estimators_are_short(path: Path) -> None:
    """No file of the estimators is longer than 150 lines."""
    assert len(path.read_text().splitlines()) <= 150


DECISION = re.compile(
    r"isinstance\(.*(Bernoulli|Categorical)|event_dim [=!<>]=? ?\d|\.ndim == 3 and"
    r"|[\"'](bernoulli|categorical)[\"'] (not )?(in|if) |else [\"'](bernoulli|categorical)"
    r"|name [=!]= [\"'](bernoulli|categorical)|startswith\([\"'](bern|cat)"
    r"|(\bK|categories) or \d|\(D,\) if |shape\[-1\] > 1"
)
"""Lines that do one thing for Bernoulli variables and another one for categorical ones."""


def test_decisions_by_the_distribution_are_few_and_say_why() -> None:
    """Outside `distributions` they have a comment beside or above them, and there are at most 10 of them."""
    found = []
    for path in ROOT.rglob("*.py"):
        lines = ["", *path.read_text().splitlines()] if "distributions" not in path.parts else []
        found += [(path.name, two) for two in pairwise(lines) if DECISION.search(two[1])]
    assert [place for place in found if "#" not in "".join(place[1])] == []
    assert len(found) <= 10
