"""The report's Content-Security-Policy: which scripts of the page a browser may run.

Names from the data are escaped where they are written; the policy is the second line of defence.
Only the page's own scripts run, by their hashes, and nothing is loaded from anywhere.
"""

import base64
import hashlib
import re
from collections.abc import Iterable
from typing import Final

_SCRIPT: Final = re.compile(r"<script[^>]*>(.*?)</script>", re.DOTALL | re.IGNORECASE)


def content_policy(scripts: Iterable[str], frames: Iterable[str]) -> str:
    """Make the policy of a page with these scripts, and with frames that inherit it.

    frames: complete pages of interactive figures. Styles are allowed inline: the SVG figures and
    the figures' library set them on elements, and a style runs nothing.
    """
    inside = [script for page in frames for script in _SCRIPT.findall(page)]
    hashes = dict.fromkeys(_hash(one) for one in (*scripts, *inside) if one.strip())
    # The library of the interactive figures compiles its array loops at run time.
    compiled = " 'unsafe-eval'" if inside else ""
    directives = (
        "default-src 'none'",
        f"script-src {' '.join(hashes)}{compiled}",
        "style-src 'unsafe-inline'",
        "img-src data: blob:",
        "base-uri 'none'",
        "form-action 'none'",
    )
    return "; ".join(directives)


def _hash(text: str) -> str:
    """Hash a script as a browser does, after its normalisation of line ends."""
    content = text.replace("\r\n", "\n").replace("\r", "\n").encode()
    return f"'sha256-{base64.b64encode(hashlib.sha256(content).digest()).decode()}'"
