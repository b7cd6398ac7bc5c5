"""Settings of the documentation's site; ``make docs`` builds it into docs/_build."""

import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(Path(__file__).parent))

project = "cortex-sweep"
author = "the cortex-sweep developers"
extensions = [
    "myst_nb",  # pages in Markdown; executed notebooks
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx_design",
    "cyclopts.ext.sphinx",  # the reference of the commands, from their own parameters
    "site_extension",
]
html_theme = "pydata_sphinx_theme"
html_title = project
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "show_prev_next": True,
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {"index": []}
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
copyright = author
exclude_patterns = ["_build", "requirements.txt"]

smartquotes = False  # options are --named
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
myst_links_external_new_tab = False
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_merge_streams = True

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "undoc-members": False}
python_use_unqualified_type_names = True
intersphinx_mapping: dict[str, tuple[str, str | None]] = {}
"""Other projects' pages: none, so that the site builds without a network."""
