"""Receptive fields of the simulated early ROIs, and how they pool local features.

Positions run from -1 to 1, rightwards and upwards from the centre of the image.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

FIELD_WIDTH: Final = {"V1": 0.10, "V2": 0.14, "V3": 0.20, "hV4": 0.30}
"""Standard deviation of a receptive field at the fovea; it doubles at the image's edge."""


def area_of(roi_name: str) -> str:
    """Return the visual area of an early ROI: ``V1`` of ``V1v``, and ``hV4`` of NOD's ``V4``."""
    return "hV4" if roi_name.endswith("V4") else roi_name.rstrip("vd")


@dataclass(frozen=True)
class ReceptiveFields:
    """The receptive fields of n_vertices early vertices."""

    centre: Array
    """(n_vertices, 2): rightwards and upwards."""
    width: Array
    """(n_vertices,): standard deviation of the Gaussian."""

    def pooling(self, grid: int) -> Array:
        """Compute the weight of each grid position: (grid * grid, n_vertices), columns sum to 1.

        grid: number of positions per side.
        """
        places = (2 * np.arange(grid) + 1) / grid - 1
        right, up = np.meshgrid(places, -places)
        distance = (right.reshape(-1, 1) - self.centre[:, 0]) ** 2 + (
            up.reshape(-1, 1) - self.centre[:, 1]
        ) ** 2
        bell = np.exp(-distance / (2 * self.width**2))
        share: Array = (bell / bell.sum(axis=0)).astype(np.float32)
        return share


def draw_receptive_fields(
    roi_name: str, hemisphere: str, n_vertices: int, rng: np.random.Generator
) -> ReceptiveFields:
    """Draw contralateral receptive fields of an early ROI, in the upper field for ventral parts."""
    eccentricity = rng.uniform(0.05, 0.9, n_vertices)
    elevation = rng.uniform(-np.pi / 2, np.pi / 2, n_vertices)
    if roi_name[-1] in "vd":
        elevation = np.abs(elevation) * (1 if roi_name[-1] == "v" else -1)
    side = 1 if hemisphere == "lh" else -1
    centre = eccentricity[:, None] * np.stack([side * np.cos(elevation), np.sin(elevation)], axis=1)
    width = FIELD_WIDTH[area_of(roi_name)] * (1 + eccentricity)
    return ReceptiveFields(centre, width)
