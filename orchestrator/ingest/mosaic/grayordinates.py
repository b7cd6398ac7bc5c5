"""The columns of MOSAIC's responses: the standard 91,282 grayordinates of CIFTI files.

The left cortex comes first, then the right one, then voxels below the cortex.
"""

from collections.abc import Mapping
from typing import Final

N_GRAYORDINATES: Final = 91_282
N_CORTEX: Final[Mapping[str, int]] = {"lh": 29_696, "rh": 29_716}
"""Grayordinates of each hemisphere's cortex."""
FIRST: Final[Mapping[str, int]] = {"lh": 0, "rh": N_CORTEX["lh"]}
"""Column of the first of them."""
