"""The centre of images: a known square, and a refusal of images that are too small for it."""

import pytest
import torch

from trainables.compute.centre_crop import centre_of
from trainables.data.images import CroppedImages, ResidentImages

IMAGES = torch.arange(2 * 3 * 6 * 6).view(2, 3, 6, 6)


def test_the_centre_is_cut_out_once() -> None:
    found = centre_of(IMAGES, 4)
    assert torch.equal(found, IMAGES[..., 1:5, 1:5])
    assert torch.equal(centre_of(found, 4), found)
    assert torch.equal(centre_of(IMAGES, None), IMAGES)


def test_images_that_are_smaller_than_the_crop_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 8 pixels, the backbone's crop, found 6"):
        centre_of(IMAGES, 8)
    for crop in (6, 8):  # of 6: whole images, which nothing was cut off
        with pytest.raises(ValueError, match=f"more than {crop} pixels, the backbone's crop"):
            CroppedImages(ResidentImages(IMAGES), crop)
