"""Redaction of passwords in addresses and of secret environment variables."""

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
"""Minimum characters of a secret: shorter values would also match parts of ordinary words."""
_IN_ADDRESS: Final = re.compile(r"(?<=://)([^\s/:@]*):[^\s/]+@")


def redact(text: str) -> str:
    """Replace passwords in addresses, and the values of SECRET_VARIABLES, by ``***``."""
    for name in SECRET_VARIABLES:
        value = os.environ.get(name, "")
        if len(value) >= SHORTEST:
            text = text.replace(value, HIDDEN)
    return _IN_ADDRESS.sub(rf"\1:{HIDDEN}@", text)
