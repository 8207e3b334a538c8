"""`make test-deep` counts the cases of each law, and fails where one failed or had too few.

The laws here are small ones in a folder of their own; the numbers are compared with what the properties counted themselves.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LAWS = """
from hypothesis import assume, given, settings, strategies as st

from pathlib import Path

def note(name):
    with Path(__file__).with_name(name).open("a") as log:
        log.write("x")

def test_of_one_case(): raise AssertionError("this is no property")

@given(st.integers())
def test_sums_commute(n): note("sums"); assert n + 1 == 1 + n

@given(st.integers(0, 5))
def test_six(n): assume(n)
"""
BAD = """
@given(st.integers())
def test_small_numbers(n): assert n < 1000

@settings(max_examples=7)
@given(st.integers())
def test_seven(n): pass
"""
PROFILE = """
from hypothesis import settings
settings.register_profile("usual", deadline=None, database=None)
"""


def deep(folder: Path, laws: str, *options: str) -> subprocess.CompletedProcess[str]:
    """A run over laws of our own, in one process, with no more plugins than it needs."""
    (folder / "conftest.py").write_text(PROFILE)
    (folder / "pytest.ini").write_text("[pytest]")
    (folder / "test_small.py").write_text(laws)
    plugins = ["-p", "_hypothesis_pytestplugin", "-p", "timeout", "-p", "xdist.plugin", "-n", "0"]
    command = [sys.executable, str(ROOT / "tools" / "deep.py"), str(folder), f"--rootdir={folder}"]
    alone = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(
        [*command, *plugins, *options], cwd=folder, env=alone, capture_output=True, text=True
    )


def row(done: subprocess.CompletedProcess[str], law: str) -> list[str]:
    """What the table says of a law, without how long it took."""
    found = re.search(rf"^{law} +(\S+) +(\S+) +(\S+) +\S+ ?(.*)$", done.stdout, re.MULTILINE)
    assert found, done.stdout + done.stderr
    return list(found.groups())


def test_every_law_runs_in_portions_until_there_are_enough_cases(tmp_path: Path) -> None:
    done = deep(tmp_path, LAWS, "--cases=60", "--portion=25")
    assert done.returncode == 0, done.stdout
    assert row(done, "sums commute") == ["60", "0", "0", ""]
    assert len((tmp_path / "sums").read_text()) == 60
    assert "test_sums_commute[3]" in done.stdout and "test_sums_commute[4]" not in done.stdout
    assert row(done, "six") == ["5", "0", "1", "there are no more"]
    assert "of one case" not in done.stdout


def test_a_law_that_fails_or_has_too_few_cases_is_a_failure(tmp_path: Path) -> None:
    done = deep(tmp_path, LAWS + BAD, "--cases=200")
    assert done.returncode == 1
    assert row(done, "small numbers")[3] == "FAILED"
    assert row(done, "seven") == ["7", "0", "0", "TOO FEW"]
    assert row(done, "sums commute") == ["200", "0", "0", ""]


def test_no_law_at_all_is_a_failure(tmp_path: Path) -> None:
    assert deep(tmp_path, LAWS, "-k", "nothing_of_this_name").returncode != 0
