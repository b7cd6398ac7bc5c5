"""Signals of simulated early ROIs: pooled energy in V1, texture edges in V2 and V3, curves in hV4.

V1 is predicted by one layer of oriented filters. V2 (Freeman et al., 2013) and V4 (Pasupathy &
Connor, 1999) are not: they respond to how the outputs of such filters are arranged.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from orchestrator.ingest.simulate.local_features import (
    COARSE,
    FIRST_OF_TEXTURE,
    FREQUENCIES,
    GRID,
    ORIENTATIONS,
    TURNS,
    LocalFeatures,
)
from orchestrator.ingest.simulate.receptive_fields import ReceptiveFields, area_of

Array = np.ndarray[Any, np.dtype[Any]]

SPREAD_OF_FREQUENCY: Final = 0.6
"""Standard deviation of a tuning curve in log frequency."""
CONCENTRATION: Final = 2.0
"""Of a tuning curve over a cycle of orientations: exp(2 cos)."""


@dataclass(frozen=True)
class Channel:
    """One kind of local feature, and how its responses saturate."""

    name: str
    """Field of LocalFeatures."""
    grid: int
    saturation: float
    """Pooled feature at which responses start to saturate: about 1/30 of its mean over scenes."""
    frequencies: tuple[float, ...]
    n_orientations: int
    """Number of features of each frequency, around the circle."""


ENERGY: Final = Channel("energy", GRID, 1e-4, FREQUENCIES, len(ORIENTATIONS))
TEXTURE: Final = Channel("texture", COARSE, 5e-6, FREQUENCIES[FIRST_OF_TEXTURE:], len(ORIENTATIONS))
CURVES: Final = Channel(
    "curves", COARSE, 1e-9, FREQUENCIES[FIRST_OF_TEXTURE:], len(ORIENTATIONS) * len(TURNS)
)
CHANNEL_OF_AREA: Final = {"V1": ENERGY, "V2": TEXTURE, "V3": TEXTURE, "hV4": CURVES}


def early_signals(
    features: LocalFeatures, roi_name: str, fields: ReceptiveFields, rng: np.random.Generator
) -> Array:
    """Compute noiseless responses of an early ROI: (n_images, n_vertices).

    s = sum_f tuning_f log(1 + pooled feature_f / saturation), over the features f of its channel;
    rng draws the tuning of each vertex.
    """
    channel = CHANNEL_OF_AREA[area_of(roi_name)]
    tuning = draw_tuning(channel, len(fields.width), rng)
    pooled = getattr(features, channel.name) @ fields.pooling(channel.grid)
    signal: Array = np.einsum("nfv,vf->nv", np.log1p(pooled / channel.saturation), tuning)
    return signal


def draw_tuning(channel: Channel, n_vertices: int, rng: np.random.Generator) -> Array:
    """Draw bell-shaped tuning curves minus half their mean, as cross-orientation suppression.

    Returns (n_vertices, n_features) weights.
    """
    log_frequency = np.log(channel.frequencies)
    preferred = rng.uniform(log_frequency[0], log_frequency[-1], (n_vertices, 1))
    bells = np.exp(-((log_frequency - preferred) ** 2) / (2 * SPREAD_OF_FREQUENCY**2))
    turn = 2 * np.pi / channel.n_orientations * np.arange(channel.n_orientations)
    angle = turn - rng.uniform(0, 2 * np.pi, (n_vertices, 1))
    by_orientation = np.exp(CONCENTRATION * np.cos(angle))
    bells = (bells[:, :, None] * by_orientation[:, None, :]).reshape(n_vertices, -1)
    tuning: Array = bells / bells.sum(axis=1, keepdims=True) - 0.5 / bells.shape[1]
    return tuning
