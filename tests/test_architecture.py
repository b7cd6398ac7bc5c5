"""The shape of the code: small files and functions, and packages that are used by their face."""

import ast
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PRODUCT = ("trainables", "search_spaces", "orchestrator")
TREES = (*PRODUCT, "benchmarks", "tests")
MAX_FILE = 300
MAX_FUNCTION = 45

VALUES = "trainables.spec"
"""The package whose face is its values, which users' search spaces import all at once."""


@dataclass(frozen=True)
class Import:
    """One module that another imports."""

    importer: str
    """Dotted name of the module that imports."""
    module: str
    name: str
    """What is imported of it; "" for the module itself."""


def files() -> list[Path]:
    found = [path for tree in TREES for path in sorted((ROOT / tree).rglob("*.py"))]
    assert len(found) > 400  # a walk that finds nothing would pass
    return found


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the statements in a node, however deep, but none of its expressions: they are most."""
    for field in ("body", "handlers", "orelse", "finalbody", "cases"):
        for child in getattr(node, field, ()):
            yield child
            yield from statements(child)


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_package(module: str) -> bool:
    return (ROOT.joinpath(*module.split(".")) / "__init__.py").is_file()


@cache
def is_module(module: str) -> bool:
    return is_package(module) or ROOT.joinpath(*module.split(".")).with_suffix(".py").is_file()


def packages() -> list[str]:
    return [dotted(p) for tree in PRODUCT for p in sorted((ROOT / tree).rglob("__init__.py"))]


@cache
def imports() -> tuple[Import, ...]:
    """List what modules of this repository import of each other."""
    return tuple(one for path in files() for one in imports_of(path))


def imports_of(path: Path) -> Iterator[Import]:
    importer = dotted(path)
    for node in statements(parsed(path)):
        if isinstance(node, ast.Import):
            for one in node.names:
                yield Import(importer, one.name, "")
        elif isinstance(node, ast.ImportFrom) and node.module:
            for one in node.names:
                if is_module(f"{node.module}.{one.name}"):
                    yield Import(importer, f"{node.module}.{one.name}", "")
                else:
                    yield Import(importer, node.module, one.name)


def is_inside(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def test_no_file_is_long() -> None:
    lines = {str(p.relative_to(ROOT)): len(p.read_text().splitlines()) for p in files()}
    assert {name: n for name, n in lines.items() if n > MAX_FILE} == {}


def test_no_function_is_long() -> None:
    lines = {}
    for path in files():
        for node in statements(parsed(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                name = f"{path.relative_to(ROOT)}::{node.name}"
                lines[name] = max(lines.get(name, 0), node.end_lineno - node.lineno + 1)
    assert {name: n for name, n in lines.items() if n > MAX_FUNCTION} == {}


def test_every_directory_with_code_is_a_package() -> None:
    without = {p.parent for p in files() if not (p.parent / "__init__.py").is_file()}
    assert without == set()


@pytest.mark.parametrize("package", packages())
def test_a_package_has_a_face(package) -> None:
    """A docstring, and ``__all__``, whose names are submodules or what the package defines."""
    path = ROOT.joinpath(*package.split(".")) / "__init__.py"
    tree = parsed(path)
    assert ast.get_docstring(tree), path
    face = importlib.import_module(package)
    assert face.__all__ is not None
    assert len(set(face.__all__)) == len(face.__all__)
    assert [one for one in face.__all__ if one.startswith("_")] == []
    absent = [
        one for one in face.__all__ if not (is_module(f"{package}.{one}") or hasattr(face, one))
    ]
    assert absent == []


def test_the_product_uses_packages_by_their_face() -> None:
    """From outside, a package's modules are imported only where ``__all__`` names them."""
    wrong, n_seen = [], 0
    for one in imports():
        if one.importer.split(".")[0] not in PRODUCT:
            continue
        parts = one.module.split(".")
        if parts[0] not in PRODUCT:
            continue
        for n in range(1, len(parts)):
            package, part = ".".join(parts[:n]), parts[n]
            if package == VALUES or is_inside(one.importer, package):
                continue
            n_seen += 1
            if part not in importlib.import_module(package).__all__:
                wrong.append(f"{one.importer}: {package}.{part}")
    assert n_seen > 1000
    assert wrong == []


def test_nothing_outside_a_package_imports_a_name_with_an_underscore() -> None:
    wrong = []
    for one in imports():
        parts = [*one.module.split("."), *([one.name] if one.name else [])]
        for n, part in enumerate(parts[1:], start=1):
            owner = ".".join(parts[:n])
            home = owner if is_package(owner) else owner.rpartition(".")[0]
            is_private = part.startswith("_") and not part.endswith("__")
            if parts[0] in TREES and is_private and not is_inside(one.importer, home):
                wrong.append(f"{one.importer}: {'.'.join(parts)}")
    assert wrong == []
