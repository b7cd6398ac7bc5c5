"""What an ingest decides about every subject."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.ingest.splits import SplitName


@dataclass(frozen=True)
class Settings:
    """The choices that a subject's manifest records."""

    split: SplitName = "stimulus"
    image_size: int = 224
    choices: Mapping[str, str] = field(default_factory=dict)
    """What else this kind of source needs decided, by name, as it is told to the user."""
