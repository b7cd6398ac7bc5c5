"""Every analysis, in the order in which they are made and shown."""

from typing import Final

from orchestrator.analyses import layers
from orchestrator.analyses.analysis import Analysis

ANALYSES: Final[tuple[Analysis, ...]] = (layers.ANALYSIS,)


def find(names: list[str]) -> list[Analysis]:
    """Return the named analyses in their order, all for no name; raise ValueError for others."""
    known = [one.name for one in ANALYSES]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(
            f"unknown analysis {', '.join(unknown)}; expected of {', '.join(known)}, or none, "
            "which stands for all"
        )
    return [one for one in ANALYSES if not names or one.name in names]
