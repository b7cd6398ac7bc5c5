"""What an ingest decides about every subject. Nothing here imports what is slow to import."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from trainables.spec.interpolation import BILINEAR, Interpolation

SplitName = Literal["stimulus", "paper"]
SPLITS: Final[tuple[SplitName, ...]] = get_args(SplitName)
TaskFormat = Literal["imagefolder", "caltech256", "places365", "imagenet", "sun397"]
FORMATS: Final[tuple[TaskFormat, ...]] = get_args(TaskFormat)
ZScore = Literal["run", "run-matrix"]
Repeats = Literal["mean", "first", "rows"]
"""What becomes of an image's trials: their mean, the first alone, or their mean with the single
trials of training images beside it."""
TOP: Final = 50
"""Vertices that the paper keeps of an ROI in a hemisphere."""


@dataclass(frozen=True)
class Settings:
    """The choices that a subject's manifest records."""

    split: str = "stimulus"
    """One of SPLITS, or one that this kind of source gives."""
    image_size: int = 224
    choices: Mapping[str, str] = field(default_factory=dict)
    """Further choices that this kind of source needs, by name, as shown to the user."""
    is_simulated: bool = False
    """Whether the source is simulated; a subject's manifest says so."""
    further_sizes: tuple[int, ...] = ()
    """Further sizes in pixels at which the same images are stored."""
    interpolation: Interpolation = BILINEAR

    @property
    def image_sizes(self) -> tuple[int, ...]:
        """All sizes of the images, that of the rows first."""
        return (self.image_size, *self.further_sizes)


@dataclass(frozen=True)
class NodChoices:
    """What is decided about every NOD subject."""

    top: int = TOP
    """Vertices that are kept of each ROI and hemisphere, those of the highest pRF R²."""
    zscore: ZScore = "run"
    sessions: tuple[int, ...] | None = None
    """ImageNet sessions; None for those of the usual four that are there."""

    def record(self) -> dict[str, str]:
        """Name the choices as the manifest records them."""
        sessions = "1-4" if self.sessions is None else ",".join(map(str, self.sessions))
        return {"top": str(self.top), "zscore": self.zscore, "sessions": sessions}
