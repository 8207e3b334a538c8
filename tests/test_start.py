"""What our plugin costs a pytest that does not use it: law 4 of the house.

Everything runs in a subprocess, because this process has long since loaded all of it. The one comparison of times is a
ratio to pytest-timeout, interleaved and by the best of many rounds, so that a busy machine slows both.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HEAVY = {"asyncio", "ssl", "pcapy", "trustme", "selectors"}
LOWER_FLOORS = tuple(
    f"pytest_netfixtures.{name}"
    for name in ("_errors", "_wire", "_engine", "_pcap", "_netlab", "_capture", "_assertions")
)

IMPORT = """
import json, sys
import pytest
before = set(sys.modules)
import pytest_netfixtures.plugin
print(json.dumps(sorted(set(sys.modules) - before)))
"""

LIST_MODULES = """
import json, sys
def pytest_unconfigure():
    with open("modules.json", "w") as file:
        json.dump(sorted(sys.modules), file)
"""

RACE = """
import gc, importlib, json, sys, time
import pytest

def load(name):
    before = set(sys.modules)
    start = time.perf_counter()
    importlib.import_module(name)
    took = time.perf_counter() - start
    for new in set(sys.modules) - before:
        del sys.modules[new]
    return took

sys.dont_write_bytecode, sys.pycache_prefix = False, sys.argv[1]  # both from bytecode, whatever the environment says
gc.disable()
rounds = [[load(name) for name in sys.argv[2:]] for _ in range(100)]
print(json.dumps([min(column) for column in zip(*rounds)]))
"""


def ask(*arguments: str) -> Any:
    """What a fresh Python prints as JSON."""
    done = subprocess.run([sys.executable, "-c", *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def modules_of_a_run(folder: Path, *options: str) -> set[str]:
    """The modules loaded by the end of a pytest run with one test that does not use us."""
    folder.mkdir()
    (folder / "conftest.py").write_text(LIST_MODULES)
    (folder / "test_one.py").write_text("def test_one():\n    pass\n")
    command = [sys.executable, "-m", "pytest", "-q", "--rootdir=.", *options]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return set(json.loads((folder / "modules.json").read_text()))


def assert_light(new: set[str]) -> None:
    assert not new & HEAVY
    assert not [name for name in new if name.startswith(LOWER_FLOORS)]
    assert len(new) <= 6, sorted(new)


def test_importing_the_plugin_loads_only_itself() -> None:
    new = set(ask(IMPORT))
    assert "pytest_netfixtures.plugin" in new
    assert_light(new)


def test_a_run_that_does_not_use_us_loads_nothing_more(tmp_path: Path) -> None:
    without = modules_of_a_run(tmp_path / "without")
    new = modules_of_a_run(tmp_path / "beside", "-p", "pytest_netfixtures.plugin") - without
    assert "pytest_netfixtures.plugin" in new
    assert_light(new)


def test_importing_the_plugin_takes_at_most_twice_as_long_as_pytest_timeout(tmp_path: Path) -> None:
    pytest.importorskip("pytest_timeout")
    ours, theirs = ask(RACE, str(tmp_path), "pytest_netfixtures.plugin", "pytest_timeout")
    assert ours <= 2 * theirs, f"{ours * 1000:.2f} ms against {theirs * 1000:.2f} ms"
