"""A backbone without training whose one layer, "1", holds what early visual areas respond to."""

import numpy as np
import torch
from torch import Tensor, nn

from trainables.spec.backbone import IMAGENET_STD

SIZE = 32
"""Width and height of its images, in pixels."""
_CYCLES = (4, 8, 13)
"""Per image."""
_N_ORIENTATIONS = 6
_KERNEL = 13
_GRID = 8
_LUMINANCE = (0.299, 0.587, 0.114)


class OrientedEnergy(nn.Module):
    """Squared magnitudes of quadrature pairs, averaged to a grid, on a logarithmic scale."""

    def forward(self, filtered: Tensor) -> Tensor:
        """Map (n, 2 filters, size, size) to (n, filters, _GRID, _GRID)."""
        even, odd = filtered.square().chunk(2, dim=1)
        energy = nn.functional.adaptive_avg_pool2d(even + odd, _GRID)
        return torch.log1p(energy / 1e-4)


def energy_backbone() -> nn.Module:
    """Build Gabor filters of the luminance of normalised images, and their local energy."""
    filters = nn.Conv2d(3, 6 * len(_CYCLES) * 2, _KERNEL, padding="same", bias=False)
    by_channel = torch.tensor(_LUMINANCE) * torch.tensor(IMAGENET_STD)
    filters.weight.data = _gabors()[:, None] * by_channel[:, None, None]
    return nn.Sequential(filters, OrientedEnergy())


def _gabors() -> Tensor:
    """Build filters of mean 0, the even ones before the odd ones: (2 filters, _KERNEL, _KERNEL)."""
    places = np.arange(_KERNEL) - _KERNEL // 2
    right, up = np.meshgrid(places, -places)
    pairs = []
    for cycles in _CYCLES:
        bell = np.exp(-(right**2 + up**2) / (2 * (0.4 * SIZE / cycles) ** 2))
        for turn in np.pi * np.arange(_N_ORIENTATIONS) / _N_ORIENTATIONS:
            phase = 2 * np.pi * cycles / SIZE * (right * np.cos(turn) + up * np.sin(turn))
            wave = bell * np.exp(1j * phase)
            pairs.append((wave - bell * wave.sum() / bell.sum()) / bell.sum())
    stacked = np.stack(pairs)
    return torch.from_numpy(np.concatenate([stacked.real, stacked.imag])).float()
