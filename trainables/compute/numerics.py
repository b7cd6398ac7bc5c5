"""Numerics: which kernels compute a trial, and when a truncated eigendecomposition does.

Nothing here imports torch, so that planning a sweep does not.
"""

from dataclasses import dataclass
from typing import Final

TRUNCATED_ROWS: Final = 3000
"""Smallest number of rows for which truncation can be faster than a full eigendecomposition."""
SPARE: Final = 64
"""Components computed beyond k, because float32 mixes components close to the cut."""
BLOCK: Final = 128
"""Vectors per block of Lanczos."""
FIRST_LOOK: Final = 2.6
"""Dimensions of the subspace, per component, at the first check of residuals."""
LAST_LOOK: Final = 0.5
"""Dimensions of the subspace, per row, above which a full eigendecomposition is as fast."""


@dataclass(frozen=True)
class Numerics:
    """How a trial's numbers are computed: on fast paths, or bitwise reproducibly."""

    deterministic: bool = False
    """Compute in full float32, by kernels that are bitwise reproducible on one machine.

    Functions with a fast path take this value as an argument; ``precision.torch_set_for`` sets
    torch's own switches.
    """


FAST: Final = Numerics()


def is_truncated(n: int, k: int, numerics: Numerics) -> bool:
    """Return whether k components of n rows are computed by truncation."""
    first_look = FIRST_LOOK * (k + SPARE) + BLOCK
    return not numerics.deterministic and n >= TRUNCATED_ROWS and first_look <= LAST_LOOK * n
