"""What README and the pages of docs/ show is what runs: their Python, README's report, and the filters for Wireshark.

The reports are compared word by word, numbers aside: times, ports and sizes change from run to run.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import picture  # noqa: E402
import readme_snippets  # noqa: E402

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
WITH_PYTHON = [page for page in PAGES if readme_snippets.blocks(page.read_text(encoding="utf-8"))]
FILTER = re.compile(r"^\| `([^`]+)` \|", re.MULTILINE)


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """pytest with our plugin alone, where nothing of this repository's settings holds."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-p", "pytest_netfixtures.plugin", "-W", "error", "--color=no"]
    quiet = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    quiet |= {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "80"}
    return subprocess.run([*command, *options], cwd=folder, env=quiet, capture_output=True, text=True)


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: page.stem)
def test_the_python_of_a_page_runs(page: Path, tmp_path: Path, referee: Callable[[str], str]) -> None:
    if page.name == "README.md":
        referee("redis-server")
    readme_snippets.write(page, tmp_path)
    done = run(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " skipped" not in done.stdout


def block_after(text: str, opening: str) -> list[str]:
    """The lines of the ```text block that begins like this."""
    block = text[text.index(opening) :].partition("\n```")[0]
    return block.removeprefix(opening).strip().splitlines()


def essence(line: str) -> str:
    """Without numbers, and of an arrow only what it carries: a slow machine draws one line for each leg."""
    carried = re.sub(r"^ +[\d.]+ ms +.*(?:-->|<--) \S+ +", "", line)
    return re.sub(r"\d[\d.]*", "#", re.sub(r" +", " ", carried)).strip().replace("# #", "#")


def assert_in_order(wanted: list[str], printed: list[str]) -> None:
    """Every line was printed, in this order; `...` stands for any lines."""
    rest = iter(essence(line) for line in printed)
    for line in wanted:
        assert line.strip() == "..." or essence(line) in rest, f"not printed: {line}\n" + "\n".join(printed)


def test_the_report_in_the_readme_is_what_is_printed(tmp_path: Path, referee: Callable[[str], str]) -> None:
    referee("redis-server")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    readme_snippets.write(ROOT / "README.md", tmp_path)
    source = tmp_path / "readme_1.py"
    (tmp_path / "test_readme_1.py").rename(source)
    (tmp_path / "test_top.py").write_text(source.read_text().removesuffix(readme_snippets.MUST_FAIL))
    done = run(tmp_path, "test_top.py", "--net-capture")
    wanted = block_after(readme, "```text\n$ pytest --net-capture")
    printed = done.stdout.replace(str(tmp_path) + "/", "").splitlines()
    assert len(wanted) > 10
    assert_in_order([shortened(line) for line in wanted], [shortened(line) for line in printed])


def shortened(line: str) -> str:
    """A capture's name ends in a hash."""
    return re.sub(r"-[0-9a-f]{10}\.pcapng", ".pcapng", line)


def test_the_filters_of_the_page_about_captures_find_something(
    tmp_path: Path, referee: Callable[[str], str]
) -> None:
    tshark = referee("tshark")
    text = (ROOT / "docs" / "captures.md").read_text(encoding="utf-8")
    filters = FILTER.findall(text[text.index("## Filters that help") :])
    capture = picture.make_capture(tmp_path)
    assert len(filters) >= 5
    for wanted in filters:
        found = subprocess.run(
            [tshark, "-n", "-r", str(capture), "-Y", wanted], capture_output=True, text=True
        )
        assert found.returncode == 0 and found.stdout, f"{wanted}: {found.stderr}"


def test_the_links_of_readme_and_examples_lead_to_files() -> None:
    for page in (ROOT / "README.md", ROOT / "examples" / "README.md"):
        targets = re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text(encoding="utf-8"))
        missing = [target for target in targets if not (page.parent / target).exists()]
        assert targets and not missing


def test_the_first_test_of_the_docs_prints_what_the_page_shows(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "first-test.md").read_text(encoding="utf-8")
    code = readme_snippets.blocks(page)[1][0]
    broken = code.replace("with pytest.raises(ConnectionResetError):", "if True:")
    assert broken != code
    (tmp_path / "test_greeting.py").write_text(broken)
    done = run(tmp_path, "-k", "reset", "--net-capture")
    wanted = [line for line in block_after(page, "```text\n---") if "pcapng" not in line][1:]
    assert len(wanted) > 5
    assert_in_order(wanted, done.stdout.splitlines())
