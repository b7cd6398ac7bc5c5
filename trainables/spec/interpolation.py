"""How images are resized, by the names that torchvision and timm use."""

from typing import Final, Literal, NamedTuple

Interpolation = Literal["bilinear", "bicubic"]
BILINEAR: Final[Interpolation] = "bilinear"


class Resizing(NamedTuple):
    """What whole images are resized to, and how."""

    size: int
    """Height and width in pixels."""
    interpolation: Interpolation = BILINEAR

    def __str__(self) -> str:
        """Describe it: ``224 x 224 pixels``, with the interpolation where it is not bilinear."""
        how = "" if self.interpolation == BILINEAR else f" ({self.interpolation})"
        return f"{self.size} x {self.size} pixels{how}"
