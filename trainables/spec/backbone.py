"""Backbones: an image network by name, the weights it starts from, and what becomes of its images.

Networks of torchvision and of this program have plain names. ``timm/NAME.TAG`` is a network of
timm, whose tag names its weights and, with them, the scale of its pixels. ``path/to/file.py:build``
is a function of a user's file.
"""

import hashlib
import re
from dataclasses import asdict
from typing import Annotated, Any, Final, Literal

from pydantic import PlainValidator

from trainables.spec.fields import Count, Label, Number, Positive, Text, refusal
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

FILE_BUILDER: Final = re.compile(
    r"(?P<file>[^:@]+\.py):(?P<function>[A-Za-z_]\w*)(@(?P<digest>[0-9a-f]{16}))?", re.A
)
"""A function of a user's file that builds a network, and the digest of the file's text."""

CONFIG: Final = "config"
"""Value of Backbone.crop that stands for what the network was published with."""


def _crop(value: object) -> object:
    whole = int(value) if isinstance(value, float) and value.is_integer() else value
    is_count = isinstance(whole, int) and not isinstance(whole, bool) and whole > 0
    if whole != CONFIG and not is_count:
        raise refusal(f"{CONFIG!r}, or a number of pixels above 0")
    return whole


Crop = Annotated[int | Literal["config"], PlainValidator(_crop)]
Channels = tuple[Number, Number, Number]
Deviations = tuple[Positive, Positive, Positive]


@record
class Backbone:
    """An image network by name, its weights, and the size, crop and scale of its images."""

    architecture: Label = "alexnet"
    """torchvision's name, this program's, ``timm/NAME.TAG``, or ``path/to/file.py:build``."""
    weights: Label = TORCHVISION_WEIGHTS
    """The published name of the weights, or ``sha256:…`` of a state-dict file.

    A search space may use ``file`` (FROM_FILE): planning replaces it by the hash of ``--weights``.
    Published weights of timm are named by their tag, here or at the end of the architecture.
    """
    pixels: tuple[Channels, Deviations] | None = None
    """Mean and deviation of the channels, of values from 0 to 1; None: ImageNet's.

    Planning replaces None by the values that the network was published with, if they differ.
    """

    image_size: Count | None = None
    """Pixels of the whole image, one of the sizes that the data stores; None: that of its rows.

    Planning replaces None by the stored size that serves the network, if it is another one.
    """
    crop: Crop | None = None
    """Pixels of the centre that the network is given; None: the whole image.

    ``config`` is the crop, and the size before it, that the network was published with; planning
    replaces it by their pixels.
    """

    source: Text | None = None
    """The text of a user's file that builds the network, which planning reads; no part of ids,
    since the architecture then ends in its digest."""

    def __post_init__(self) -> None:
        if self.architecture.startswith(TIMM):
            self._name_tag()
        if self.source is not None:
            found, digest = FILE_BUILDER.fullmatch(self.architecture), source_digest(self.source)
            require(
                found is not None and found["digest"] == digest,
                f"{self.architecture}: the digest of its source is {digest}",
            )

        self._check_crop()

    def _check_crop(self) -> None:
        """Raise ValueError for a crop that does not fit the image."""
        if self.crop == CONFIG:
            require(
                self.image_size is None,
                f"crop={CONFIG!r} takes the size of the images too; leave image_size out",
            )
        elif self.crop is not None and self.image_size is not None:
            require(
                self.crop < self.image_size,
                f"crop: expected fewer pixels than image_size, {self.image_size}, found "
                f"{self.crop}",
            )

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
        """Return what ids hash: the fields that are not None, without the source."""
        fields = asdict(self)
        del fields["source"]
        return {name: value for name, value in fields.items() if value is not None}

    @property
    def crop_size(self) -> int | None:
        """Return the pixels of the centre that the network is given; None: the whole image.

        Raises ValueError for a crop that planning has not replaced by its pixels.
        """
        require(self.crop != CONFIG, f"crop={CONFIG!r}: expected pixels, as planning fills in")
        return None if self.crop is None else int(self.crop)

    def image_size_in(self, size_of_rows: int) -> int:
        """Return the pixels of the whole images, where the data's rows have images of a size."""
        return self.image_size or size_of_rows

    def seen_size_in(self, size_of_rows: int) -> int:
        """Return the pixels that the network is given: of the crop, if there is one."""
        return self.crop_size or self.image_size_in(size_of_rows)

    @property
    def scale(self) -> tuple[Channels, Channels]:
        """Return the mean and the deviation of the channels, of values from 0 to 1."""
        return self.pixels or (IMAGENET_MEAN, IMAGENET_STD)


def source_digest(source: str) -> str:
    """Hash the text of a file to 16 hex digits."""
    return hashlib.sha256(source.encode()).hexdigest()[:16]
