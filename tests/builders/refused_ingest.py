"""Run an ingest command that must be refused, and read its complaints."""

import re
from pathlib import Path

from orchestrator.ingest.__main__ import main


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


CURES = ("download", "remove", "save", "move", "correct", "give", "choose", "use ", "leave")


def errors_of(arguments, capsys, cures=CURES) -> list[str]:
    """Run the command in this process; return its complaints once it has refused in lines."""
    capsys.readouterr()
    code = main([str(argument) for argument in arguments])
    lines = [line for line in capsys.readouterr().err.splitlines() if "checking" not in line]
    assert code == 2
    assert lines
    for line in lines:
        assert line.startswith("error: ")
        assert any(cure in re.split("[;:]", line)[-1] for cure in cures)
    return lines
