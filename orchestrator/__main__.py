"""The program: every command under one name, imported when it is used.

cortex-sweep COMMAND …      as python -m orchestrator COMMAND …
"""

import sys
from collections.abc import Sequence
from typing import Final

from orchestrator.cli.app import new_program, run_program
from orchestrator.cli.process import leave

COMMANDS: Final = (
    "ingest",
    "sweep",
    "evaluate",
    "scores",
    "analyze",
    "report",
    "export",
    "predict",
    "submit",
    "backbones",
    "mlflow-server",
)
"""The commands, in the order in which they are used."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code of its command, or 2 for bad input."""
    program = new_program()
    for position, name in enumerate(COMMANDS):
        path = f"orchestrator.{name.replace('-', '_')}.__main__:app"
        program.command(path, name=name, sort_key=position)
    program.register_install_completion_command(help="Install completion for this shell.")
    return run_program(program, tuple(sys.argv[1:] if arguments is None else arguments))


def start() -> None:
    """Run the command line of this process, and end it."""
    leave(main())


if __name__ == "__main__":
    start()
