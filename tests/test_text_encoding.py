"""Text is read and written as UTF-8, whatever the locale of the machine is."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TREES = ("trainables", "search_spaces", "orchestrator", "benchmarks")
TEXT_METHODS = ("read_text", "write_text")
OPENERS = ("open", "fdopen", "NamedTemporaryFile", "TemporaryFile", "SpooledTemporaryFile")
PROCESSES = ("run", "Popen", "check_output")
BINARY_DEFAULT = ("NamedTemporaryFile", "TemporaryFile", "SpooledTemporaryFile")


def lines_without_encoding(source: str) -> list[int]:
    """Return the lines of a module that read or write text in the locale's encoding."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and is_text(node) and not keywords(node) & {"encoding", "**"}
    ]


def keywords(call: ast.Call) -> set[str]:
    return {one.arg or "**" for one in call.keywords}


def is_text(call: ast.Call) -> bool:
    """Return whether a call opens text: by its name, and by its mode if it has one."""
    is_method = isinstance(call.func, ast.Attribute)
    name = call.func.attr if is_method else getattr(call.func, "id", "")
    if name in TEXT_METHODS:
        return is_method  # the function of this name writes UTF-8
    if name in PROCESSES:
        return bool(keywords(call) & {"text", "universal_newlines"})
    if name not in OPENERS:
        return False
    modes = [one.value for one in (*call.args, *(k.value for k in call.keywords)) if is_mode(one)]
    if modes:
        return "b" not in modes[0]
    # Image.open, RunDirectory.open and the like take a place and no mode.
    return name not in BINARY_DEFAULT and (not is_method or not call.args)


def is_mode(node: ast.expr) -> bool:
    """Return whether an argument is a mode of ``open``, such as ``"rb"``."""
    text = node.value if isinstance(node, ast.Constant) else None
    return isinstance(text, str) and 0 < len(text) <= 3 and set(text) <= set("rwaxbt+")


def test_all_text_is_utf_8() -> None:
    files = [path for tree in TREES for path in sorted((ROOT / tree).rglob("*.py"))]
    assert len(files) > 250  # a walk that finds nothing would pass
    found = {
        str(path.relative_to(ROOT)): lines
        for path in files
        if (lines := lines_without_encoding(path.read_text(encoding="utf-8")))
    }
    assert found == {}


@pytest.mark.parametrize(
    "line",
    [
        "path.read_text()",
        "path.write_text(text)",
        "open(path)",
        "open(path, 'w')",
        "path.open()",
        "path.open(mode='a')",
        "path.open(newline='')",
        "os.fdopen(number, 'w')",
        "tempfile.NamedTemporaryFile('w', suffix='.x')",
        "subprocess.run(command, text=True)",
    ],
)
def test_text_in_the_locale_s_encoding_is_found(line) -> None:
    assert lines_without_encoding(line) == [1]


@pytest.mark.parametrize(
    "line",
    [
        "path.read_text(encoding='utf-8')",
        "write_text(path, text)",
        "path.open('rb')",
        "Image.open(path)",
        "tempfile.NamedTemporaryFile(dir=place)",
        "subprocess.run(command, capture_output=True)",
        "subprocess.run(command, text=True, encoding='utf-8')",
    ],
)
def test_bytes_and_utf_8_are_accepted(line) -> None:
    assert lines_without_encoding(line) == []
