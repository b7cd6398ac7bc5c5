"""What an ingest decides about every subject."""

from dataclasses import dataclass

from orchestrator.ingest.splits import SplitName


@dataclass(frozen=True)
class Settings:
    """The choices that a subject's manifest records."""

    split: SplitName = "stimulus"
    image_size: int = 224
