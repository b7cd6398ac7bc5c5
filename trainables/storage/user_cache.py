"""The directory of this machine that holds what can be made again: mirrors of S3, facts."""

import os
from pathlib import Path
from typing import Final

CACHE_VARIABLE: Final = "CORTEX_SWEEP_CACHE"


def cache() -> Path:
    """Return the directory: that of CORTEX_SWEEP_CACHE, or ``~/.cache``."""
    return Path(os.environ.get(CACHE_VARIABLE) or "~/.cache").expanduser().resolve()
