"""The centre of images."""

from torch import Tensor


def centre_of(images: Tensor, crop: int | None) -> Tensor:
    """Cut the centre out of images (n, 3, size, size), as torchvision's CenterCrop places it.

    crop: its pixels; None: all. Images that are no larger are returned as they are: they have been
    cropped.
    """
    size = images.shape[-1]
    if crop is None or crop >= size:
        return images
    first = round((size - crop) / 2.0)  # a half to the even number, as torchvision does
    return images[..., first : first + crop, first : first + crop]
