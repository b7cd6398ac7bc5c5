"""Which of the data's images serve a backbone.

Those of the size that it was published for, or of the nearest one that it takes. Nothing here
imports torch before a network has to be looked at.
"""

from collections.abc import Sequence
from dataclasses import replace

from trainables.models.backbone_facts import known_fact
from trainables.spec import Backbone
from trainables.spec.backbone import CONFIG, TIMM
from trainables.spec.fields import Count, Flag, Text
from trainables.spec.records import record


@record
class PublishedImages:
    """The images that published weights were trained with."""

    image_size: Count
    """Pixels that the network was given."""
    resized_to: Count
    """Pixels of the shorter side, before the centre was cut out."""
    interpolation: Text

    def __str__(self) -> str:
        centre = f"the centre of the image at {self.resized_to}"
        whole = "the whole image" if self.resized_to == self.image_size else centre
        return f"{pixels(self.image_size)}, {whole} ({self.interpolation})"


@record
class Known:
    """What is published of a backbone's images."""

    images: PublishedImages | None


@record
class Taken:
    """Whether a backbone, as it was published, takes images of a size."""

    is_taken: Flag


def pixels(size: int) -> str:
    """Describe a size: ``224 x 224 pixels``."""
    return f"{size} x {size} pixels"


def published_images(backbone: Backbone) -> PublishedImages | None:
    """Return the images that a backbone's weights were trained with; None where none are known."""

    def find() -> Known:
        from trainables.models import backbones

        return Known(backbones.published_images(backbone))

    return known_fact(Known, backbone, (backbone.weights,), find).images


def takes(backbone: Backbone, image_size: int) -> bool:
    """Return whether a backbone takes images of a size without changes to what was published."""

    def find() -> Taken:
        from trainables.models.backbones import check_as_published

        try:
            check_as_published(backbone, image_size)
        except ValueError:
            return Taken(False)
        return Taken(True)

    return known_fact(Taken, backbone, (image_size,), find).is_taken


def choose_images(backbone: Backbone, stored: Sequence[int], size_of_rows: int) -> Backbone:
    """Return a backbone with the size and crop of the images that it is given.

    stored: sizes in pixels of the data's images, of them size_of_rows. The size of whole images is
    None where it is that of the rows and would be chosen unasked, so that data of one size gives
    the ids that it gave before; a crop always names the size that it is cut out of. Raises
    ValueError naming the sizes and the cure where none serves the network, or the one asked for is
    not there.
    """
    if backbone.crop == CONFIG:
        backbone = _with_crop(backbone)
    if backbone.crop is not None:
        size = backbone.image_size_in(size_of_rows)
        _require_stored(backbone, size, stored)
        return replace(backbone, image_size=size)
    if backbone.image_size is not None:
        size = backbone.image_size
        _require_stored(backbone, size, stored)
        if not _is_chosen_unasked(backbone, size, stored, size_of_rows):
            return backbone
    else:
        size = _best(backbone, stored, size_of_rows)
    return replace(backbone, image_size=None if size == size_of_rows else size)


def _is_chosen_unasked(
    backbone: Backbone, size: int, stored: Sequence[int], size_of_rows: int
) -> bool:
    try:
        return _best(backbone, stored, size_of_rows) == size
    except ValueError:  # it is only given because the user asks for it
        return False


def _with_crop(backbone: Backbone) -> Backbone:
    """Replace the crop of the config by its pixels."""
    config = published_images(backbone)
    if config is None:
        raise ValueError(
            f"{backbone.architecture}: crop={CONFIG!r}, but no crop is published; give "
            "image_size=PIXELS and crop=PIXELS"
        )
    is_whole = config.resized_to <= config.image_size
    crop = None if is_whole else config.image_size
    return replace(backbone, image_size=config.resized_to, crop=crop)


def _require_stored(backbone: Backbone, size: int, stored: Sequence[int]) -> None:
    if size in stored:
        if backbone.crop_size is not None and backbone.crop_size >= size:
            raise ValueError(
                f"{backbone.architecture}: crop={backbone.crop_size} of images of {pixels(size)}; "
                "expected fewer pixels"
            )
        return
    crop = "" if backbone.crop is None else f", of which it sees the centre of {backbone.crop}"
    raise ValueError(
        f"{backbone.architecture}: takes images of {pixels(size)}{crop}; the data has "
        f"{_listed(stored)}; {_ingest(stored, size)}"
    )


def _best(backbone: Backbone, stored: Sequence[int], size_of_rows: int) -> int:
    """Return the stored size nearest to the published one of those that the network takes."""
    if len(stored) == 1 and not backbone.architecture.startswith(TIMM):
        return stored[0]  # its layers are checked at this size in any case
    config = published_images(backbone)
    wanted = size_of_rows if config is None else config.image_size
    nearest = sorted(stored, key=lambda size: (abs(size - wanted), -size))
    for size in nearest:
        if size == wanted or takes(backbone, size):
            return size
    raise ValueError(
        f"{backbone.architecture}: takes images of {pixels(wanted)}; the data has "
        f"{_listed(stored)}; {_ingest(stored, wanted)}, or write Backbone(…, "
        f"image_size={nearest[0]}) to interpolate its position embeddings to that size"
    )


def _listed(stored: Sequence[int]) -> str:
    return " and ".join(map(str, stored))


def _ingest(stored: Sequence[int], size: int) -> str:
    sizes = ",".join(map(str, (*stored, size)))
    return f"ingest again with --image-size {sizes}"
