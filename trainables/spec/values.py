"""Checks and digests of frozen values."""

import hashlib
import json


def require(condition: bool, message: str) -> None:
    """Raise ValueError with the message unless the condition holds."""
    if not condition:
        raise ValueError(message)


def digest(content: object) -> str:
    """Hash JSON-serialisable content to 8 hex digits, independent of the order of keys."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:8]
