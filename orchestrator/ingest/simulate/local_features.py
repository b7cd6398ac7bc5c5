"""Local features of images that simulated early ROIs pool: energy, texture edges, their curves.

Energy is the squared magnitude of quadrature pairs of log-Gabor filters (Adelson & Bergen, 1985;
Field, 1987). Texture edges are what a second stage of such filters finds in the square root of the
energy (filter, rectify, filter: Chubb & Sperling, 1988; Landy & Graham, 2004), whatever the
orientation of the texture. A curve is where two texture edges of different orientations meet
(Dobbins, Zucker & Cynader, 1987).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import scipy.fft
from PIL import Image

Array = np.ndarray[Any, np.dtype[Any]]

SIZE: Final = 64
"""Images are resized to this size (pixels) before their energy is measured."""
GRID: Final = 32
"""Energy is averaged to a grid of this many positions per side."""
COARSE: Final = 16
"""Texture edges and curvature are averaged to a grid of this many positions per side."""
FREQUENCIES: Final = (4.0, 8.0, 16.0)
"""Cycles per image."""
ORIENTATIONS: Final = tuple(k * np.pi / 6 for k in range(6))
BANDWIDTH: Final = (0.55, 0.4)
"""Bandwidths of a filter: standard deviations in log frequency and in radians of orientation."""
FIRST_OF_TEXTURE: Final = 1
"""Index of the lowest frequency in which texture edges are sought."""
EDGE_FREQUENCY: Final = 3.0
"""Cycles per image of the second stage, below those of the textures."""
ARM: Final = 4
"""Positions of GRID between the two edges of a curve."""
TURNS: Final = (-1, 1)
"""Change of orientation between them, in steps of ORIENTATIONS."""


@dataclass(frozen=True)
class LocalFeatures:
    """Local features of n images: each (n, n_features, n_positions) float32, at least 0."""

    energy: Array
    """Of each frequency and orientation; on GRID."""
    texture: Array
    """Texture edges: of each frequency from FIRST_OF_TEXTURE and orientation of the edge; on
    COARSE."""
    curves: Array
    """Of each frequency from FIRST_OF_TEXTURE, orientation of an edge, and turn; on COARSE."""

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.energy)


def measure_features(images: Sequence[Array]) -> LocalFeatures:
    """Measure the local features of images: (height, width, 3) uint8 each."""
    energy = measure_energy(images)
    maps = energy.reshape(len(images), len(FREQUENCIES), len(ORIENTATIONS), GRID, GRID)
    edges = _texture_edges(np.sqrt(maps[:, FIRST_OF_TEXTURE:]))
    return LocalFeatures(energy, _flat(edges), _flat(_curves(edges)))


def measure_energy(images: Sequence[Array]) -> Array:
    """Measure local oriented energy: (n_images, filters, GRID * GRID) float32.

    images: (height, width, 3) uint8 each. Energy is that of luminance, frequencies before
    orientations.
    """
    luminance = np.stack([_luminance(image) for image in images])
    luminance -= luminance.mean(axis=(1, 2), keepdims=True)
    spectrum = scipy.fft.fft2(luminance)
    filters = _filters(SIZE, FREQUENCIES, ORIENTATIONS)
    energy = np.empty((len(images), len(filters), GRID * GRID), np.float32)
    for place, gain in enumerate(filters):
        energy[:, place] = _averaged(_power(spectrum, gain), GRID)
    return energy


def _texture_edges(amplitude: Array) -> Array:
    """Measure edges of textures, averaged over the orientations of the texture.

    amplitude: (n, frequencies, orientations, GRID, GRID). Returns the energy of each frequency and
    orientation of the edge, in the same shape.
    """
    edges = np.zeros_like(amplitude)
    for frequency in range(amplitude.shape[1]):
        for channel in np.moveaxis(amplitude[:, frequency], 1, 0):
            spectrum = scipy.fft.fft2(channel - channel.mean(axis=(1, 2), keepdims=True))
            for place, gain in enumerate(_filters(GRID, (EDGE_FREQUENCY,), ORIENTATIONS)):
                edges[:, frequency, place] += _power(spectrum, gain) / len(ORIENTATIONS)
    return edges


def _curves(edges: Array) -> Array:
    """Multiply edges at two places along a contour: (n, frequencies, 2 orientations, GRID, GRID).

    edges: (n, frequencies, orientations, GRID, GRID). The edge at the second place is turned by one
    step to either side.
    """
    curves = []
    for place, orientation in enumerate(ORIENTATIONS):
        right, up = np.rint(ARM * np.array([-np.sin(orientation), np.cos(orientation)])).astype(int)
        for turn in TURNS:
            other = edges[:, :, (place + turn) % len(ORIENTATIONS)]
            curves.append(edges[:, :, place] * np.roll(other, (up, -right), axis=(2, 3)))
    return np.stack(curves, axis=2)


def _flat(maps: Array) -> Array:
    """Average maps (n, frequencies, features, GRID, GRID) to COARSE: (n, features, positions)."""
    averaged = _averaged(maps.reshape(-1, GRID, GRID), COARSE)
    return averaged.reshape(len(maps), -1, COARSE * COARSE)


def _power(spectrum: Array, gain: Array) -> Array:
    """Return the squared magnitude of a filter's response: (n, size, size)."""
    response = scipy.fft.ifft2(spectrum * gain)
    power: Array = response.real**2 + response.imag**2
    return power


def _averaged(maps: Array, grid: int) -> Array:
    """Average maps (n, size, size) to (n, grid * grid)."""
    block = maps.shape[1] // grid
    averaged: Array = maps.reshape(-1, grid, block, grid, block).mean(axis=(2, 4))
    return averaged.reshape(len(maps), -1).astype(np.float32)


def _luminance(image: Array) -> Array:
    """Convert to (SIZE, SIZE) float32, 0 to 1."""
    picture = Image.fromarray(image).convert("L")
    if picture.size != (SIZE, SIZE):
        picture = picture.resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    return np.asarray(picture, np.float32) / 255


@lru_cache(maxsize=2)
def _filters(size: int, frequencies: tuple[float, ...], orientations: tuple[float, ...]) -> Array:
    """Build one-sided log-Gabor filters (Field, 1987): (filters, size, size) float32."""
    bins = size * np.fft.fftfreq(size)
    right, up = np.meshgrid(bins, -bins)
    radius, angle = np.maximum(np.hypot(right, up), 1e-6), np.arctan2(up, right)
    gains = []
    for frequency in frequencies:
        radial = np.exp(-(np.log(radius / frequency) ** 2) / (2 * BANDWIDTH[0] ** 2))
        for orientation in orientations:
            apart = np.angle(np.exp(1j * (angle - orientation)))
            gains.append(2 * radial * np.exp(-(apart**2) / (2 * BANDWIDTH[1] ** 2)))
    return np.stack(gains).astype(np.float32)
