"""What is decided about every subject of MOSAIC. Nothing here imports what is slow to import."""

from dataclasses import dataclass
from typing import Literal

from orchestrator.ingest.mosaic.areas import VISUAL

MosaicSplit = Literal["phase", "lists", "stimulus", "paper"]
MosaicRepeats = Literal["mean", "rows"]
TestImages = Literal["natural", "artificial", "all"]


@dataclass(frozen=True)
class MosaicChoices:
    """What is decided about every subject."""

    split: MosaicSplit = "phase"
    test: TestImages = "natural"
    """Which test images there are."""
    areas: tuple[str, ...] = (VISUAL,)
    """Areas of the atlas, or VISUAL or EVERY."""
    repeats: MosaicRepeats = "mean"
    """What becomes of a stimulus' trials."""

    def record(self) -> dict[str, str]:
        """Name the choices as the manifest records them."""
        repeats = {} if self.repeats == "mean" else {"repeats": self.repeats}
        return {"areas": ",".join(self.areas), "test images": self.test, **repeats}
