"""Examples of saliency: a few images with their maps, and the probability of their class."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from PIL import Image
from torch import Tensor

from trainables.models.normalisation import normalise
from trainables.probes.grad_cam import Classifier

LARGEST_SIDE: Final = 128
"""Pixels of a kept image: as many as a panel of a figure shows."""


@dataclass(frozen=True)
class Seen:
    """Maps of images (n, h, w) and of their mirror images, labels (n,), and some of the images."""

    maps: Tensor
    of_mirrors: Tensor
    labels: Tensor
    images: Mapping[int, Tensor]
    """(3, s, s) uint8, by position."""

    def at(self, places: Sequence[int]) -> "Seen":
        """Return those at some positions, all of whose images are there."""
        images = {number: self.images[place] for number, place in enumerate(places)}
        chosen = list(places)
        return Seen(self.maps[chosen], self.of_mirrors[chosen], self.labels[chosen], images)


@torch.no_grad()
def describe_examples(
    classifier: Classifier, seen: Seen, classes: Sequence[str], keep_images: bool
) -> Iterator[dict[str, Any]]:
    """Yield an EXAMPLE of each image; classes: their names, by label."""
    device = classifier.weight.device
    images = torch.stack([seen.images[number] for number in range(len(seen.labels))]).to(device)
    sides = {"": (images, seen.maps), "_mirrored": (images.flip(3), seen.of_mirrors)}
    probabilities = {
        ending: classifier(normalise(shown, classifier.backbone)).double().softmax(dim=1).cpu()
        for ending, (shown, _) in sides.items()
    }
    for number, label in enumerate(seen.labels.tolist()):
        found: dict[str, Any] = {"class_name": classes[label]}
        found["image"] = as_png(seen.images[number]) if keep_images else None
        for ending, (_, maps) in sides.items():
            of_image = probabilities[ending][number]
            found[f"map{ending}"] = maps[number].tolist()
            found[f"probability{ending}"] = float(of_image[label])
            found[f"predicted{ending}"] = classes[int(of_image.argmax())]
        yield found


def as_png(image: Tensor) -> bytes:
    """Encode an image (3, s, s) uint8 as PNG, no larger than LARGEST_SIDE."""
    picture = Image.fromarray(image.permute(1, 2, 0).contiguous().cpu().numpy())
    picture.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    stream = io.BytesIO()
    picture.save(stream, format="PNG")
    return stream.getvalue()
