"""What the site adds to the pages: those that lie beside the folder, and their links."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from sphinx.application import Sphinx

TOP_LEVEL: Final = {
    "changelog": "CHANGELOG.md",
    "contributing": "CONTRIBUTING.md",
    "security": "SECURITY.md",
}
"""Pages of the site that are files at the top of the repository."""
_LINK: Final = re.compile(r"\]\((?:docs/)?([\w-]+\.md)((?:#[\w-]+)?)\)")


def include_top_level(app: "Sphinx", name: str, source: list[str]) -> None:
    """Replace the text of such a page by that file's, with its links as seen from docs/."""
    if name in TOP_LEVEL:
        path = Path(app.srcdir).parent / TOP_LEVEL[name]
        app.env.note_dependency(str(path))
        source[0] = path.read_text(encoding="utf-8")
    pages = {file: f"{page}.md" for page, file in TOP_LEVEL.items()} | {"README.md": "index.md"}
    source[0] = _LINK.sub(lambda link: f"]({pages.get(link[1], link[1])}{link[2]})", source[0])


def setup(app: "Sphinx") -> dict[str, Any]:
    """Register the extension with Sphinx."""
    app.connect("source-read", include_top_level)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
