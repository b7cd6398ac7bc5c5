"""The centre of images."""

from torch import Tensor


def centre_of(images: Tensor, crop: int | None) -> Tensor:
    """Cut the centre out of images (n, 3, size, size), as torchvision's CenterCrop places it.

    crop: its pixels; None: all. Images of that size are returned as they are: they have been
    cropped. Raises ValueError for smaller ones, whose centre is another field of view.
    """
    size = images.shape[-1]
    if crop is None or crop == size:
        return images
    if crop > size:
        raise ValueError(
            f"expected images of at least {crop} pixels, the backbone's crop, found {size}; store "
            "larger ones by ingest --image-size"
        )
    first = round((size - crop) / 2.0)  # a half to the even number, as torchvision does
    return images[..., first : first + crop, first : first + crop]
