"""The C library's allocator: blocks that are freed are kept for the next batch.

By default glibc returns freed memory above twice its largest block to the system, so that every
batch pays for its pages again: about 600 faults an image of 224 px in AlexNet.
"""

import ctypes
from typing import Final

TRIM_THRESHOLD: Final = -1
"""``M_TRIM_THRESHOLD`` of ``mallopt``: freed bytes at the end of the heap that are kept."""
MMAP_THRESHOLD: Final = -3
"""``M_MMAP_THRESHOLD`` of ``mallopt``: smallest block that is mapped, and unmapped when freed."""
KEPT: Final = 512 * 2**20
LARGEST: Final = 32 * 2**20
"""The largest value that glibc accepts."""


def keep_freed_memory() -> bool:
    """Let this process keep up to 512 MiB that it has freed, and reuse blocks below 32 MiB.

    Returns whether the C library is glibc, and has accepted it.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # of macOS, musl and others
        return False
    return bool(mallopt(MMAP_THRESHOLD, LARGEST)) and bool(mallopt(TRIM_THRESHOLD, KEPT))
