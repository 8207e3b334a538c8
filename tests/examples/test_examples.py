"""Every folder of examples/ is run as a user would run it: by pytest, in a process of its own.

Each must pass, with nothing skipped; the one that fails on purpose must fail, and show which byte was cut where.
"""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = sorted(path.name for path in (ROOT / "examples").iterdir() if list(path.glob("test_*.py")))
ON_PURPOSE = "fails_on_purpose"
NEEDS = {"redis_client": "redis-server", "postgres_client": "initdb"}
QUIET = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}


def run(folder: str, place: Path, *options: str) -> tuple[Counter[str], str]:
    """How many tests passed, failed and were skipped, and what pytest printed."""
    results = place / "results.xml"
    command = [sys.executable, "-m", "pytest", f"examples/{folder}", f"--junit-xml={results}", "--color=no"]
    command += [
        "-p",
        "no:cacheprovider",
        "--net-capture",
        "--net-capture-dir",
        str(place / "captures"),
        *options,
    ]
    done = subprocess.run(command, cwd=ROOT, env=QUIET, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return outcomes(results), done.stdout


def outcomes(results: Path) -> Counter[str]:
    cases = ElementTree.parse(results).iter("testcase")
    return Counter(next((child.tag for child in case if child.tag in BAD), "passed") for case in cases)


BAD = ("failure", "error", "skipped")


@pytest.mark.parametrize("folder", [folder for folder in FOLDERS if folder != ON_PURPOSE])
def test_an_example_passes_and_leaves_no_capture(
    folder: str, tmp_path: Path, referee: Callable[[str], str]
) -> None:
    if folder in NEEDS:
        referee(NEEDS[folder])
    counted, printed = run(folder, tmp_path)
    assert set(counted) == {"passed"}, printed
    assert not list(tmp_path.rglob("*.pcapng"))


def test_the_example_that_fails_on_purpose_shows_which_byte_was_cut(tmp_path: Path) -> None:
    counted, printed = run(ON_PURPOSE, tmp_path)
    assert counted == {"failure": 1}, printed
    (capture,) = tmp_path.rglob("*.pcapng")
    assert f"wireshark -r {capture}" in printed
    assert "to_client: RST after byte 49" in printed
    assert '49 B delivered "... 30\\r\\n\\r\\nday,visits" | "\\nmonday,7\\ntuesday,9\\n" 20 B not' in printed


def test_the_examples_of_the_project_are_all_there() -> None:
    clients = {
        "redis_client",
        "postgres_client",
        "http_client",
        "https_client",
        "dns_client",
        "subprocess_client",
    }
    assert clients | {"retry_policy", ON_PURPOSE} <= set(FOLDERS)
