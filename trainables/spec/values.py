"""Checks and digests of frozen values, and their reading from JSON."""

import hashlib
import json
import re
from dataclasses import fields
from typing import Any, Final


def require(condition: bool, message: str) -> None:
    """Raise ValueError with the message unless the condition holds."""
    if not condition:
        raise ValueError(message)


NAME_RULE: Final = "letters, digits, '.', '_', '+' and '-', 64 at most, not first a sign"


def is_name(text: object) -> bool:
    """Tell whether a dataset, a subject or an ROI may be called so: it becomes part of paths."""
    return (
        isinstance(text, str) and re.fullmatch(r"[A-Za-z0-9][\w.+-]{0,63}", text, re.A) is not None
    )


def digest(content: object) -> str:
    """Hash JSON-able content to 8 hex digits, whatever the order of its keys."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def as_mapping(name: str, content: Any) -> dict[str, Any]:
    """Return content if it is a JSON object; raise ValueError, with its name, if it is not."""
    require(isinstance(content, dict), f"{name}: expected an object, found {content!r:.80}")
    return content  # type: ignore[no-any-return]


def build_from(kind: type[Any], content: Any) -> Any:
    """Build a dataclass from JSON, with lists back to tuples and no key left over.

    Raises ValueError on unknown or missing keys, and on values that the dataclass refuses.
    """
    names = {item.name for item in fields(kind)}
    unknown = sorted(set(as_mapping(kind.__name__, content)) - names)
    require(not unknown, f"{kind.__name__}: unknown keys {unknown}; expected {sorted(names)}")
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in content.items()}
    try:
        return kind(**values)
    except TypeError as error:  # a key without a default is missing, or a value of another type
        raise ValueError(f"{kind.__name__}: {error}") from error
