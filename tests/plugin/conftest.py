"""A small suite of a user in a folder of its own, run by a pytest of its own.

It starts with no plugin but ours; a test that needs a neighbour names it. `run` stays in this process, `run_apart` does
not. All rooms are loaded first, because pytester throws away what a run inside this process loads, its engine included.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pytest_netfixtures import _assertions, _cases, _report, _session, plugin

HEAD = """
import os, re, socket, sys
import pytest
from pytest_netfixtures import *


def ask(address, data, size=100):
    with socket.create_connection(address, 10) as client:
        client.sendall(data)
        return client.recv(size)
"""


LOADED = (_assertions, _cases, _report, _session)


class Suite:
    """Writes test files and runs them."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.path: Path = pytester.path
        self.captures = self.path / "net-captures"

    def write(self, text: str, name: str = "test_it.py") -> None:
        """A test file; what every one of them needs is there already."""
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_text(HEAD + text, encoding="utf-8")

    def ini(self, *lines: str) -> None:
        """The lines of a pytest.ini."""
        (self.path / "pytest.ini").write_text("\n".join(["[pytest]", *lines]) + "\n", encoding="utf-8")

    def run(self, *arguments: Any) -> pytest.RunResult:
        """In this process."""
        return self.pytester.runpytest_inprocess(*arguments, plugins=[plugin])

    def run_apart(self, *arguments: Any, timeout: float = 100) -> pytest.RunResult:
        """In a process of its own."""
        ours = ("-p", "pytest_netfixtures.plugin")
        return self.pytester.runpytest_subprocess(*ours, *arguments, timeout=timeout)

    def files(self) -> list[str]:
        """The names of the captures that are left."""
        return sorted(path.name for path in self.captures.glob("*.pcapng"))


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Suite:
    """An empty suite."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    for name in [name for name in os.environ if name.startswith(("PYTEST_NET_", "PYTEST_XDIST"))]:
        monkeypatch.delenv(name)
    return Suite(pytester)
