"""How images are resized, by the names that torchvision and timm use."""

from typing import Final, Literal

Interpolation = Literal["bilinear", "bicubic"]
BILINEAR: Final[Interpolation] = "bilinear"
