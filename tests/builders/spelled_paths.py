"""Which modules of the product spell the names of files and directories."""

import ast
from collections.abc import Collection, Iterator
from pathlib import Path

HOME = Path(__file__).parents[2]
PRODUCT = sorted(
    path for root in ("trainables", "orchestrator") for path in (HOME / root).rglob("*.py")
)
PATH_METHODS = ("glob", "rglob", "joinpath", "with_name")


def joined(tree: ast.AST) -> Iterator[str]:
    """Yield the texts that are joined to a path by ``/``, and the patterns of a glob.

    Of a formatted text, its beginning. A constant that is assigned in the module counts by its
    value.
    """
    values = {
        target.id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign) and node.value is not None
        for target in [node.target]
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            parts = [node.left, node.right]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            parts = node.args if node.func.attr in PATH_METHODS else []
        else:
            continue
        for part in parts:
            value = values.get(part.id, part) if isinstance(part, ast.Name) else part
            yield from _texts(value)


def _texts(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.JoinedStr):
        node = node.values[0] if node.values else node
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value


def spelled(path: Path, names: Collection[str]) -> set[str]:
    """List those of the names that a module joins to paths; a name ending in "-" is a beginning."""
    found = set()
    for text in joined(ast.parse(path.read_text())):
        first = text.split("/")[0]
        found |= {
            name
            for name in names
            if first == name or (name.endswith("-") and first.startswith(name))
        }
    return found


def other_spellers(speller: Path, names: Collection[str]) -> dict[str, set[str]]:
    """List the modules of the product, other than one, that spell some of these names."""
    assert len(PRODUCT) > 150  # a walk that finds nothing would pass
    found = {str(path.relative_to(HOME)): spelled(path, names) for path in PRODUCT}
    return {name: some for name, some in found.items() if some and HOME / name != speller}
