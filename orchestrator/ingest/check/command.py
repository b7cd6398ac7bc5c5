"""The command that only checks a source."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def check(
    source: Annotated[Path, Parameter(help="Folder of subjects, in any layout.")],
    /,
) -> None:
    """Check a folder of subjects, and write nothing: list what would be ingested, and each problem.

    The layout is recognised. Options of the layout's command have their defaults. With a problem,
    the exit code is 2.
    """
    from orchestrator.ingest.check.run import check_source

    check_source(source)
