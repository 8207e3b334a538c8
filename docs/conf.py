"""How Sphinx builds the site. It reads the package's docstrings and needs no network.

`make docs` builds with -W and -n: a page without a place in the contents, a reference to nothing, and a docstring that
does not parse are errors. References to other projects are not followed.
"""

from __future__ import annotations

import re
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
autodoc_typehints = "none"
autodoc_preserve_defaults = True
default_role = "code"

# Names of the standard library, of pytest and of our private modules have no page here.
nitpick_ignore_regex = [
    (r"py:.*", r"(?!pytest_netfixtures\.[A-Za-z]).*"),
]

html_theme = "furo"
html_title = f"{project} {release}"
html_show_sphinx = False


ONE_TICK = re.compile(r"(?<!`)`([^`]+)`(?!`)")


def as_written(app: Any, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Docstrings are written for people: code in single ticks keeps its backslashes, and a drawing of bytes stands as it is."""
    pairs = enumerate(pairwise([*lines]))
    drawings = [number for number, (before, line) in pairs if not before and line.startswith("    sent ")]
    lines[:] = [ONE_TICK.sub(r"``\1``", line) for line in lines]
    for number in reversed(drawings):
        lines[number + 1 : number + 1] = ["::", ""]


def setup(app: Any) -> None:
    app.connect("autodoc-process-docstring", as_written)
