"""The source that a user's class is made of: hashed, and read anew where it has changed.

What counts is code that runs: the statements of its module that the class uses, and what these use, also of other
modules that are not installed packages. Comments, docstrings, layout and unrelated classes do not count. Data files and
the environment are not seen here; recomputed values are compared for that (`estbench.engine.reproducibility`).
"""

from __future__ import annotations

import ast
import importlib
import importlib.machinery
import importlib.util
import inspect
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

_PACKAGE = Path(__file__).resolve().parent
_INSTALLED = tuple(
    {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")} | {_PACKAGE}
)
_LIBRARIES = {"site-packages", "dist-packages"}
"""Folders of installed packages, wherever they are: the user's own, or those below a virtual environment."""
_Stamp = tuple[Path, int, int]

_READ: dict[str, dict[str, _Stamp]] = {}
"""For each module that was imported here: the files of the user that it and those it imports were read from."""


def source_hash(kind: type[Any], module: str | None = None, name: str = "") -> str:
    """SHA-256 of what a class and all that it uses are made of.

    Where it is found under a `name` in a `module`, what is bound to that name there belongs to it too: a function that
    a class is made for, or options that are filled in.
    """
    found: dict[tuple[str, str], str] = {}
    known = module is not None and _collect(module, name.partition(".")[0], found)
    if not _collect(kind.__module__, kind.__qualname__.partition(".")[0], found) and not known:
        found = {(kind.__module__, kind.__qualname__): repr(list(_codes(kind)))}  # typed in, or made by a function
    return sha256(repr(sorted(found.items())).encode()).hexdigest()


def importable(module: str) -> bool:
    """Whether another process finds a module that was imported here: it has a file, and is no script."""
    return module != "__main__" and getattr(sys.modules.get(module), "__file__", None) is not None


def module_of(where: str) -> str:
    """The name of a module: as it is, or of a file `path/name.py`, which then can be imported by that name.

    It is called `name` unless that is another module's. What lies beside it can be imported too. Raises
    FileNotFoundError where there is no such file.
    """
    if not where.endswith(".py"):
        return where
    path = Path(where).expanduser().resolve()
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {where}")
    known = next((name for name, file in _NAMED.items() if file == path), None)
    if known is not None:
        return known
    name = path.stem
    spec = importlib.util.find_spec(name) if name.isidentifier() and name not in sys.modules else None
    if name in sys.modules or spec is not None:
        origin = getattr(sys.modules.get(name), "__file__", None) if spec is None else spec.origin
        if origin is not None and Path(origin).resolve() == path:
            return name
        name = f"{name}_{sha256(str(path).encode()).hexdigest()[:8]}"
    _NAMED[name] = path
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    return name


_NAMED: dict[str, Path] = {}
"""The files of modules that were named by their files, by the names of these modules."""


@contextmanager
def _without_bytecode() -> Iterator[None]:
    """Leave no compiled file: one is taken for current where its source changes within a second and keeps its size."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


@_without_bytecode()
def _imported(name: str) -> ModuleType:
    if name not in _NAMED:
        return importlib.import_module(name)
    spec = importlib.util.spec_from_file_location(name, _NAMED[name])
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def current(name: str) -> ModuleType:
    """The module of that name, imported; imported anew if its file, or that of a module it uses, has changed since.

    So it is where the name is found in another folder now. Modules that were never files are taken as they are.
    """
    if name in sys.modules:
        if name not in _READ:
            _READ[name] = _stamps(_paths(name))
        if _changed(name):
            for each in _READ[name].keys() | _reached(name) | {name}:
                sys.modules.pop(each, None)
            del _READ[name]
    if name in sys.modules:
        return sys.modules[name]
    importlib.invalidate_caches()  # its file may have been written a moment ago
    module = _imported(name)
    _READ[name] = _stamps(_paths(name))
    return module


def _changed(name: str) -> bool:
    known = _READ[name]
    if not known or _stamps({each: path for each, (path, *_) in known.items()}) == known == _found(name, known):
        return False
    return _file(name) is not None  # what is gone from the path stays as it was read


def _found(name: str, known: dict[str, _Stamp]) -> dict[str, _Stamp]:
    return known if _file(name) == known.get(name, (None,))[0] else {}


def _stamps(paths: dict[str, Path]) -> dict[str, _Stamp]:
    """When each file was changed, and its size."""
    found = {}
    for name, path in paths.items():
        with suppress(OSError):
            stat = path.stat()
            found[name] = path, stat.st_mtime_ns, stat.st_size
    return found


def _paths(name: str) -> dict[str, Path]:
    """The files of a module and of the modules of the user that it imports."""
    return {each: path for each in sorted({name, *_reached(name)}) if (path := _file(each)) is not None}


def _reached(name: str) -> set[str]:
    """The user's modules that a module imports, directly or through others."""
    reached: set[str] = set()
    todo = [name]
    while todo:
        each = todo.pop()
        if each in reached or (statements := _statements_of(each)) is None:
            continue
        reached.add(each)
        todo += [module for statement in statements for module, _, _ in statement.imports(each)]
    return reached


def _file(name: str) -> Path | None:
    """The file that a module of the user would be imported from now; None for what is installed, or is not a file."""
    if name in _NAMED:
        return _NAMED[name] if _NAMED[name].is_file() else None
    if name == "__main__":
        origin = getattr(sys.modules["__main__"], "__file__", None)
    elif "." in name:
        parent = sys.modules.get(name.rpartition(".")[0])
        spec = importlib.machinery.PathFinder.find_spec(name, getattr(parent, "__path__", None)) if parent else None
        origin = spec.origin if spec else None
    else:
        spec = importlib.machinery.PathFinder.find_spec(name)
        origin = spec.origin if spec else None
    if origin is None or not origin.endswith(".py"):
        return None
    path = Path(origin).resolve()
    return path if path.is_file() and not _installed(path) else None


def _installed(path: Path) -> bool:
    return any(path.is_relative_to(place) for place in _INSTALLED) or not _LIBRARIES.isdisjoint(path.parts)


def _statements_of(name: str) -> tuple[Statement, ...] | None:
    """The statements at the top of a module; None where it is installed, no file, or cannot be read."""
    path = _file(name)
    if path is None:
        return None
    try:
        return _statements(path.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return None


@lru_cache(maxsize=64)
def _statements(source: bytes) -> tuple[Statement, ...]:
    return tuple(map(Statement, ast.parse(source).body))


def imported_names(module: str) -> set[str]:
    """What import statements in the file of a module bind; nothing of a module that is installed, or no file."""
    return {here for statement in _statements_of(module) or () for here in statement.imported}


def _imports(node: ast.Import | ast.ImportFrom, inside: str) -> Iterator[tuple[str, str | None, str]]:
    """(module, name in it or None for all of it, name here) for each thing that an import statement binds."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.name, None, _here(node, alias)
        return
    base = node.module or ""
    if node.level:
        package = inside if _is_package(inside) else inside.rpartition(".")[0]
        try:
            base = importlib.util.resolve_name("." * node.level + base, package)
        except ImportError:
            return
    for alias in node.names:
        if _file(f"{base}.{alias.name}") is not None:  # a module of a package
            yield f"{base}.{alias.name}", None, _here(node, alias)
        else:
            yield base, None if alias.name == "*" else alias.name, _here(node, alias)


def _here(node: ast.Import | ast.ImportFrom, alias: ast.alias) -> str:
    """The name that an import binds; "*" for all names of a module."""
    return alias.asname or (alias.name.partition(".")[0] if isinstance(node, ast.Import) else alias.name)


def _is_package(name: str) -> bool:
    path = _file(name)
    return path is not None and path.name == "__init__.py"


def _collect(module: str, name: str | None, found: dict[tuple[str, str], str]) -> bool:
    """Add the statements that a name of a module is made of (None: all of it), and what they use; whether any are."""
    statements = _statements_of(module)
    if statements is None:
        return False
    wanted, seen, hit = [name], set[str | None](), False
    while wanted:
        one = wanted.pop()
        if one in seen:
            continue
        seen.add(one)
        for statement in statements:
            if one is not None and one not in statement.binds and not (statement.acts and one in statement.uses):
                continue
            hit = True
            key = (module, statement.digest)
            if key in found:
                continue
            if not statement.only_imports:
                found[key] = statement.text
            wanted += sorted(statement.uses)
            for other, theirs, here in statement.imports(module):
                if (one in (None, here) or not statement.only_imports) and other != module:
                    _collect_once(other, theirs, found)
    return hit


def _collect_once(module: str, name: str | None, found: dict[tuple[str, str], str]) -> None:
    mark = (module, f"<{name or '*'}>")
    if mark not in found and _file(module) is not None:
        found[mark] = ""
        _collect(module, name, found)


class Statement:
    """A statement at the top of a module: its normal form, the names it binds and uses, and what it imports."""

    def __init__(self, node: ast.stmt) -> None:
        parts = list(ast.walk(node))
        self.only_imports = isinstance(node, ast.Import | ast.ImportFrom)
        self._imports = [part for part in parts if isinstance(part, ast.Import | ast.ImportFrom)]
        self.imported = {_here(part, alias) for part in self._imports for alias in part.names}
        self.binds = self.imported if self.only_imports else _bound(node, parts, self.imported)
        if "*" in self.imported:
            self.binds = _Everything()
        self.uses = {part.id for part in parts if isinstance(part, ast.Name)}
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        self.acts = not docstring and not self.binds and not self.only_imports  # on what it mentions
        self.text = ast.dump(_Bare().visit(node)) if not docstring else ""
        self.digest = sha256(self.text.encode()).hexdigest()

    def imports(self, module: str) -> list[tuple[str, str | None, str]]:
        """What it imports in a module: (module, name in it or None for all of it, name here)."""
        return [each for part in self._imports for each in _imports(part, module)]


class _Everything(set[str]):
    def __contains__(self, name: object) -> bool:
        return True


class _Bare(ast.NodeTransformer):
    """Without docstrings."""

    def _strip(self, node: Any) -> Any:
        self.generic_visit(node)
        if node.body and isinstance(node.body[0], ast.Expr) and isinstance(node.body[0].value, ast.Constant):
            node.body = node.body[1:] or [ast.Pass()]
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = _strip


def _bound(node: ast.stmt, parts: list[ast.AST], imported: set[str]) -> set[str]:
    """The names that a statement binds at the top of a module: not those inside functions and classes."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    found = {part.id for part in parts if isinstance(part, ast.Name) and not isinstance(part.ctx, ast.Load)}
    return found | imported | {part.name for part in parts if isinstance(part, ast.FunctionDef | ast.ClassDef)}


def _codes(kind: type[Any]) -> Iterator[Any]:
    """What the functions of a class are compiled to, where there is no source."""
    for name, value in sorted(vars(kind).items()):
        for function in _functions(value):
            code = getattr(inspect.unwrap(function), "__code__", None)
            if isinstance(code, CodeType):
                yield name, *_code(code), *map(repr, getattr(function, "__defaults__", None) or ())
    for base in kind.__mro__[1:]:
        if base.__module__ == kind.__module__:
            yield from _codes(base)


def _functions(value: Any) -> Iterator[Any]:
    """What is called where an attribute is: also of static and class methods, properties, and partial methods."""
    found = [getattr(value, name, None) for name in ("__func__", "func", "fget", "fset", "fdel")]
    for function in filter(None, found):
        yield from _functions(function)
    if not any(found):
        yield value


def _code(code: CodeType) -> tuple[Any, ...]:
    constants = tuple(_code(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts)
    return code.co_code, constants, code.co_names
