"""What must not be printed: passwords in addresses, and secrets of the environment."""

import os
import re
from typing import Final

SECRET_VARIABLES: Final = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "PGPASSWORD",
    "RAY_AUTH_TOKEN",
)
HIDDEN: Final = "***"
SHORTEST: Final = 6
"""Shorter values are no secrets, and would be found in ordinary words."""
_IN_ADDRESS: Final = re.compile(r"(?<=://)([^\s/:@]*):[^\s/]+@")


def redact(text: str) -> str:
    """Hide passwords of addresses, and the values of SECRET_VARIABLES, wherever a text has them."""
    for name in SECRET_VARIABLES:
        value = os.environ.get(name, "")
        if len(value) >= SHORTEST:
            text = text.replace(value, HIDDEN)
    return _IN_ADDRESS.sub(rf"\1:{HIDDEN}@", text)
