"""End the processes of a home once the process that started them has ended.

Started by :func:`orchestrator.mlflow_server.supervisor.supervised`, whose end closes this process's
standard input.
"""

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from orchestrator.cli.errors import InputError
from orchestrator.mlflow_server.supervisor import GUARDIAN, end_leftovers, sole_owner


def main(arguments: Sequence[str]) -> None:
    """Wait for the end of standard input, then end the processes.

    arguments: home, databases, and the process number of the owner that is guarded.
    """
    home, databases = map(Path, arguments[:2])
    sys.stdin.buffer.read()
    # A new owner ends them itself.
    with suppress(InputError), sole_owner(home, GUARDIAN, ending=arguments[2]):
        end_leftovers(home, databases)


if __name__ == "__main__":
    main(sys.argv[1:])
