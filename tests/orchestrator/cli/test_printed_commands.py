"""Every command that a message names is one that the command line accepts."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from cyclopts import CycloptsError

from orchestrator.__main__ import COMMANDS
from orchestrator.cli.app import new_program

HOME = Path(__file__).parents[3]
COMMAND = re.compile(r"python -m orchestrator\.(\S+)((?: (?:--?[a-z][\w-]*|[\w./{}-]+))*)")
PROSE = {"again", "and", "first", "then", "on", "with", "before", "lists"}
"""Words of the sentence that follow a command."""


def texts(path: Path) -> Iterator[str]:
    """Yield the texts of a module that are not documentation, with 1 for each value in them."""
    source = path.read_text(encoding="utf-8")
    if "-m" not in source:  # most modules name no command, and need no parsing
        return
    nodes = list(ast.walk(ast.parse(source)))
    inside = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    documentation = {
        id(node.value)
        for node in nodes
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            parts = (p.value if isinstance(p, ast.Constant) else "1" for p in node.values)
            yield "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and id(node) not in inside | documentation:
            yield str(node.value)


@cache
def printed() -> list[tuple[str, ...]]:
    """List the commands in messages: the command's name and its arguments."""
    found = set()
    for root in ("orchestrator", "trainables"):
        for path in sorted((HOME / root).rglob("*.py")):
            for text in texts(path):
                for name, rest in COMMAND.findall(text):
                    words = rest.split()
                    end = next((k for k, word in enumerate(words) if word in PROSE), len(words))
                    found.add((name.strip("{};,."), *(word.strip(".") for word in words[:end])))
    return sorted(found)


@pytest.mark.parametrize("command", printed(), ids=" ".join)
def test_a_printed_command_is_accepted(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name, *words = command
    if name == "1":  # the recorded command, which was accepted when it was run
        return
    assert name in COMMANDS
    program = new_program()
    program.command(f"orchestrator.{name}.__main__:app", name=name)
    program.parse_args([name, *words], print_error=False, exit_on_error=False)
    if name == "sweep" and words[0] not in ("retry", "status", "cancel"):
        assert {"--data", "--out"} <= set(words)
    elif name not in ("ingest", "backbones"):  # ingest has no default; backbones writes nothing
        assert "--out" in words


def test_commands_are_found_and_wrong_ones_refused() -> None:
    assert len(printed()) >= 12
    program = new_program()
    program.command("orchestrator.sweep.__main__:app", name="sweep")
    wrong = ["sweep", "paper", "--weihgts", "x"]
    with pytest.raises(CycloptsError):
        program.parse_args(wrong, print_error=False, exit_on_error=False)
