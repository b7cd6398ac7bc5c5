"""The memory that encoding takes, for the check of trials before they run and for the encoding.

Nothing here imports torch, so that planning a sweep does not.
"""

from typing import Final

MATRICES: Final = 5
"""Matrices of images by images, float64, that are in memory at a time, with all that is smaller."""
FEATURE_BYTES: Final = 4
"""Bytes of a feature."""
SHARE_OF_HOST: Final = 0.25
"""Share of a host's free memory for features; other trials and the page cache use it too."""
SHARE_OF_GPU: Final = 0.9
"""Share of a GPU's free memory that a trial uses; the rest is lost to fragmentation."""


def matrix_bytes(n_images: int) -> int:
    """Return the bytes of the matrices of images by images."""
    return MATRICES * 8 * n_images**2


def features_budget(free: int, n_images: int, *, on_gpu: bool) -> int:
    """Return how many bytes of features stay on the device.

    free: its free bytes. A GPU's memory, or a process's share of it, is used by one trial at a
    time, so that features may take all that the matrices leave.
    """
    if on_gpu:
        return max(0, int(SHARE_OF_GPU * free) - matrix_bytes(n_images))
    return int(SHARE_OF_HOST * free)
