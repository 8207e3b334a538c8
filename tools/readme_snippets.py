"""Makes test files of README's ```python blocks, one file a block, so that what the README shows is what runs.

A block without a test function becomes the body of a test. A block behind `<!-- not run -->` is left out, and one behind
`<!-- fails -->` must fail. `<!-- conftest: PATH -->` puts that file beside them. It runs nothing itself:
`python tools/readme_snippets.py README.md FOLDER`; it prints the modules that the blocks import.
"""

from __future__ import annotations

import ast
import re
import shutil
import sys
import textwrap
from pathlib import Path

BLOCK = re.compile(
    r"(?:<!-- (?P<note>not run|fails) -->\s*)?^```python\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)
CONFTEST = re.compile(r"^<!-- conftest: (?P<path>\S+) -->$", re.MULTILINE)
OPENING = "from __future__ import annotations\n\n"
MUST_FAIL = "\n\nimport pytest\npytestmark = pytest.mark.xfail(strict=True)\n"


def blocks(text: str) -> list[tuple[str, bool]]:
    """The runnable blocks of a Markdown text, in order, each with whether it must fail."""
    found = BLOCK.finditer(text)
    return [(match["code"], match["note"] == "fails") for match in found if match["note"] != "not run"]


def as_test(code: str, fails: bool) -> str:
    """The source of a test file: the block itself, or a test around it."""
    mark = MUST_FAIL if fails else ""
    if any(isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) for node in ast.walk(ast.parse(code))):
        return OPENING + code + mark
    return OPENING + "def test_snippet():\n" + textwrap.indent(code, "    ") + mark


def imports(code: str) -> set[str]:
    """The top-level modules that a block imports, the standard library's and ours left out."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - {"pytest", "pytest_netfixtures"}


def write(readme: Path, folder: Path) -> set[str]:
    """Writes the test files and gives the modules that they import."""
    folder.mkdir(parents=True, exist_ok=True)
    text = readme.read_text(encoding="utf-8")
    if beside := CONFTEST.search(text):
        shutil.copy(readme.parent / beside["path"], folder / "conftest.py")
    found = blocks(text)
    if not found:
        raise SystemExit(f"{readme} has no python block; expected at least one; look at its fences")
    for number, (code, fails) in enumerate(found, start=1):
        (folder / f"test_readme_{number}.py").write_text(as_test(code, fails), encoding="utf-8")
    return set().union(*(imports(code) for code, _ in found))


if __name__ == "__main__":
    print(*sorted(write(Path(sys.argv[1]), Path(sys.argv[2]))))
