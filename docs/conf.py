"""How Sphinx builds the site. It reads the package's docstrings and needs no network.

`make docs` builds with -W and -n: a page without a place in the contents, a reference to nothing, and a docstring that
does not parse are errors. References to other projects are not followed.
"""

from __future__ import annotations

from importlib.metadata import version as version_of
from itertools import pairwise
from typing import Any

project = "pytest-netfixtures"
author = "The pytest-netfixtures authors"
project_copyright = author
release = version_of("pytest-netfixtures")
version = release

extensions = ["myst_parser", "sphinx.ext.autodoc"]
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


def draw_timelines(app: Any, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """The indented block behind a doctest is a drawing of bytes in time, and stands as it is."""
    pairs = enumerate(pairwise([*lines]))
    begins = [number for number, (before, line) in pairs if not before and line.startswith("    sent ")]
    for number in reversed(begins):
        lines[number + 1 : number + 1] = ["::", ""]


def setup(app: Any) -> None:
    app.connect("autodoc-process-docstring", draw_timelines)
