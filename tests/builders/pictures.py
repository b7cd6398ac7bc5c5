"""Small pictures with one property each: a grating, a patch of noise, a texture with edges."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


def _grey(values: Array) -> Array:
    """Convert -1 to 1 around mid-grey to (size, size, 3) uint8."""
    grey: Array = np.clip(np.rint(127.5 + 100 * values), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def _wave(cycles: float, orientation: float, size: int) -> Array:
    right, up = np.meshgrid(np.arange(size) / size, -np.arange(size) / size)
    wave: Array = np.sin(
        2 * np.pi * cycles * (np.cos(orientation) * right + np.sin(orientation) * up)
    )
    return wave


def grating(cycles: float, orientation: float, size: int = 64) -> Array:
    """Draw a grating whose luminance varies along an orientation (radians, upwards)."""
    return _grey(_wave(cycles, orientation, size))


def textured(
    cycles: float, orientation: float, edge_cycles: float, edge_orientation: float, size: int = 64
) -> Array:
    """Draw a grating whose contrast varies along another orientation, with its own frequency."""
    contrast = 0.5 + 0.5 * _wave(edge_cycles, edge_orientation, size)
    return _grey(contrast * _wave(cycles, orientation, size))


def ring(cycles: float, radius: float, size: int = 64) -> Array:
    """Draw a vertical grating inside a circle (radius in half images), and grey outside."""
    right, up = np.meshgrid(np.linspace(-1, 1, size), np.linspace(1, -1, size))
    return _grey(np.where(np.hypot(right, up) < radius, _wave(cycles, 0.0, size), 0))


def patch(x: float, y: float, size: int = 64) -> Array:
    """Draw noise around one place (-1 to 1) on grey."""
    right, up = np.meshgrid(np.linspace(-1, 1, size), np.linspace(1, -1, size))
    near = np.exp(-((right - x) ** 2 + (up - y) ** 2) / (2 * 0.15**2))
    return _grey(0.6 * near * np.random.default_rng(0).standard_normal((size, size)))
