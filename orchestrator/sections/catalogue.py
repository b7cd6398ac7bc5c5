"""The section of each analysis."""

from typing import Final

from orchestrator.sections import layers
from orchestrator.sections.section import Draw

SECTIONS: Final[dict[str, Draw]] = {"layers": layers.section}
