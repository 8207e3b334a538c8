"""How Sphinx builds the site. It reads the package's docstrings and needs no network.

`make docs` builds with -W and -n: a page without a place in the contents, a reference to nothing, and a docstring that
does not parse are errors. References to other projects are not followed.
"""

from __future__ import annotations

from importlib.metadata import version as version_of

project = "pytest-netfixtures"
author = "The pytest-netfixtures authors"
project_copyright = author
release = version_of("pytest-netfixtures")
version = release

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
default_role = "code"

# Names of the standard library, of pytest and of our private modules have no page here.
nitpick_ignore_regex = [
    (r"py:.*", r"(?!pytest_netfixtures\.[A-Za-z]).*"),
]

html_theme = "furo"
html_title = f"{project} {release}"
html_show_sphinx = False
