"""Redaction of secrets in text: of addresses, headers, named values and environment variables.

Whatever the program prints, logs or stores passes through :func:`redact`. It rather hides too much
than too little.
"""

import json
import os
import re
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote, quote_plus, unquote

HIDDEN: Final = "***"
SHORTEST: Final = 6
"""Minimum characters of a secret: shorter values would also match parts of ordinary words."""

_WORDS: Final = (
    r"(?:password|passwd|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|secret[_-]?key|"
    r"private[_-]?key|account[_-]?key|signature|credentials?|authorization)"
)
_SECRET_VARIABLE: Final = re.compile(rf"(?:^|_|pg){_WORDS}$", re.IGNORECASE)
"""Names of environment variables whose values are secrets."""
_WORKING_DIRECTORY: Final = ("PWD", "OLDPWD")
_NAME: Final = rf"(?<![\w.-])[\w.-]{{0,40}}{_WORDS}"
_VALUE: Final = r"(?:'[^'\n]*'|\"[^\"\n]*\"|[^\s&;,\"')\]}]+)"
_SCHEME: Final = r"(?:(?:bearer|basic|digest|token|negotiate)\s+)?"

_RULES: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        # scheme://user:password@host; a password may contain "/" and "@". After http://host: a
        # number that a "/" follows is a port.
        (
            r"(?<=://)(?<!\bhttp://)(?<!\bhttps://)([^\s/:@\"]*):(?:(?!://)[^\s\"])+@",
            rf"\1:{HIDDEN}@",
        ),
        (
            r"(?<=://)([^\s/:@\"]*):(?!\d{1,5}(?:[/?#]|$))(?:(?!://)[^\s\"])+@",
            rf"\1:{HIDDEN}@",
        ),
        (r"(%3A%2F%2F[^\s/:@%]*%3A)(?:(?!%40|%3A%2F%2F)\S)+(?=%40)", rf"\1{HIDDEN}"),
        # scheme://token@host
        (r"(?<=://)(?=[^\s/@\"]*\d)[^\s/:@\"]{20,}(?=@)", HIDDEN),
        # ?password=…&token=…, also percent-encoded; password='…' of libpq; NAME=… of a shell
        (rf"({_NAME}(?: ?= ?|%3D))(?!\s){_VALUE}", rf"\1{HIDDEN}"),
        (rf"([?&;](?:sig|key|auth|pass|code)=){_VALUE}", rf"\1{HIDDEN}"),
        # {'password': '…'}, "token": "…"
        (rf"({_NAME}['\"]\s*:\s*b?(['\"]))(?:(?!\2)[^\n])*(\2)", rf"\1{HIDDEN}\3"),
        # Authorization: Bearer …; X-Api-Key: …
        (
            r"((?:authorization|x-[\w-]*(?:token|key|signature))['\"]?\s*:\s*['\"]?)"
            rf"({_SCHEME})(?!{_SCHEME}{re.escape(HIDDEN)})[^\s,'\"]+",
            rf"\1\2{HIDDEN}",
        ),
        (r"\b(bearer\s+)(?=\S*\d)[\w.~+/=-]{8,}", rf"\1{HIDDEN}"),
        # Tokens that are known by their beginning
        (r"\b(?:gh[opsur]_|github_pat_|glpat-|hf_|xox[abp]-)[\w-]{16,}", HIDDEN),
    )
)


def redact(text: str) -> str:
    """Replace secrets by ``***``.

    These are passwords and tokens in addresses (``user:password@host``, ``?password=``, signed
    ones), in headers and named values, and the values of environment variables with the name of a
    secret, also where they are percent-encoded or escaped.
    """
    known = _known_secrets(tuple(value for name, value in os.environ.items() if _is_secret(name)))
    if known is not None:
        text = known.sub(HIDDEN, text)
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


def redact_values(value: Any) -> Any:
    """Redact every text of a value of JSON."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {name: redact_values(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [redact_values(one) for one in value]
    return value


@lru_cache(maxsize=512)
def _is_secret(variable: str) -> bool:
    return variable not in _WORKING_DIRECTORY and bool(_SECRET_VARIABLE.search(variable))


@lru_cache(maxsize=64)
def _known_secrets(values: tuple[str, ...]) -> re.Pattern[str] | None:
    """Compile a pattern of secrets as they are, percent-encoded, and escaped; None without any."""
    forms: set[str] = set()
    for value in values:
        if len(value) >= SHORTEST:
            escaped = (json.dumps(value)[1:-1], repr(value)[1:-1])
            forms |= {value, quote(value, safe=""), quote_plus(value), quote(value), *escaped}
            forms.add(unquote(value))
    longest_first = sorted((one for one in forms if len(one) >= SHORTEST), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first))) if longest_first else None
