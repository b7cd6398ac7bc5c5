"""The address of the cluster to join. Importing this module does not import Ray."""

import os
from typing import Final

VARIABLE: Final = "RAY_ADDRESS"


def cluster_address() -> str:
    """Return the address in RAY_ADDRESS; "" if a local Ray is to be started."""
    given = os.environ.get(VARIABLE, "").strip()
    return "" if given == "local" else given
