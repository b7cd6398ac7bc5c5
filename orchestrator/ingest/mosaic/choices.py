"""What is decided about every subject of MOSAIC. Nothing here imports what is slow to import."""

from dataclasses import dataclass
from typing import Literal

from orchestrator.ingest.mosaic.areas import VISUAL

MosaicSplit = Literal["phase", "lists", "stimulus", "paper"]
TestImages = Literal["natural", "artificial", "all"]


@dataclass(frozen=True)
class MosaicChoices:
    """What is decided about every subject."""

    split: MosaicSplit = "phase"
    test: TestImages = "natural"
    """Which test images there are."""
    areas: tuple[str, ...] = (VISUAL,)
    """Areas of the atlas, or VISUAL or EVERY."""

    def record(self) -> dict[str, str]:
        """Name the choices as the manifest records them."""
        return {"areas": ",".join(self.areas), "test images": self.test}
