"""Backbones: an image network by name, the weights it starts from, and how its pixels are scaled.

Networks of torchvision and of this program have plain names. ``timm/NAME.TAG`` is a network of
timm, whose tag names its weights and, with them, the scale of its pixels.
"""

from dataclasses import asdict
from typing import Any, Final

from trainables.spec.fields import Label, Number, Positive
from trainables.spec.records import record
from trainables.spec.values import require

IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_STD: Final = (0.229, 0.224, 0.225)
FROM_FILE: Final = "file"
"""Value of Backbone.weights in a search space that takes the weights from ``--weights``."""
SHA256: Final = "sha256:"
"""Start of the name of weights from a file."""
TORCHVISION_WEIGHTS: Final = "IMAGENET1K_V1"
TIMM: Final = "timm/"
"""Start of the names of timm's networks."""
OTHER_PIXELS: Final = {"efficientnet_v2_l": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))}
"""Mean and deviation of torchvision's networks that do not have ImageNet's."""

Channels = tuple[Number, Number, Number]
Deviations = tuple[Positive, Positive, Positive]


@record
class Backbone:
    """An image network by name, the weights it starts from, and the scale of its pixels."""

    architecture: Label = "alexnet"
    """torchvision's name, this program's, or ``timm/NAME.TAG``."""
    weights: Label = TORCHVISION_WEIGHTS
    """The published name of the weights, or ``sha256:…`` of a state-dict file.

    A search space may use ``file`` (FROM_FILE): planning replaces it by the hash of ``--weights``.
    Published weights of timm are named by their tag, here or at the end of the architecture.
    """
    pixels: tuple[Channels, Deviations] | None = None
    """Mean and deviation of the channels, of values from 0 to 1; None: ImageNet's.

    Planning replaces None by the values that the network was published with, if they differ.
    """

    def __post_init__(self) -> None:
        if self.architecture.startswith(TIMM):
            self._name_tag()

    def _name_tag(self) -> None:
        """Write the tag of timm's weights in both places, so that one network has one id."""
        _, _, tag = self.architecture.partition(".")
        if self.weights == TORCHVISION_WEIGHTS:
            require(
                bool(tag),
                f"{self.architecture}: expected the tag of its weights, as in {TIMM}NAME.TAG, or "
                f"FROM_FILE; python -m orchestrator.backbones {self.architecture} lists its tags",
            )
            object.__setattr__(self, "weights", tag)
        elif self.weights == FROM_FILE or self.weights.startswith(SHA256):
            return
        elif not tag:
            object.__setattr__(self, "architecture", f"{self.architecture}.{self.weights}")
        else:
            require(
                tag == self.weights,
                f"{self.architecture}: expected weights {tag!r} or FROM_FILE, found "
                f"{self.weights!r}",
            )

    @property
    def content(self) -> dict[str, Any]:
        """Return what ids hash: the fields, without a scale of pixels that is ImageNet's."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @property
    def scale(self) -> tuple[Channels, Channels]:
        """Return the mean and the deviation of the channels, of values from 0 to 1."""
        return self.pixels or (IMAGENET_MEAN, IMAGENET_STD)
