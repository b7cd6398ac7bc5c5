"""The demonstration's commands: each is accepted, in order, until one fails."""

import importlib

import pytest

from orchestrator.cli.app import new_program
from orchestrator.demo.__main__ import COMMANDS, main

NAMES = [name for name, *_ in COMMANDS]


@pytest.mark.parametrize("command", COMMANDS, ids=NAMES)
def test_each_command_accepts_its_arguments(command) -> None:
    program = new_program()
    program.command(importlib.import_module(f"orchestrator.{command[0]}.__main__").app)
    program.parse_args(command, print_error=False, exit_on_error=False)  # raises for a wrong one


@pytest.mark.parametrize(
    ("codes", "ran"), [((0, 0, 0, 0), NAMES), ((0, 1), NAMES[:2]), ((130,), NAMES[:1])]
)
def test_the_commands_run_in_order_until_one_fails(monkeypatch, capsys, codes, ran) -> None:
    left, started = list(codes), list[str]()

    def record(name: str) -> int:
        started.append(name)
        return left.pop(0)

    for name in NAMES:
        module = importlib.import_module(f"orchestrator.{name}.__main__")
        monkeypatch.setattr(module, "main", lambda arguments, name=name: record(name))
    assert main() == codes[-1]
    assert started == ran
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[3] for line in shown] == [f"orchestrator.{name}" for name in ran]
