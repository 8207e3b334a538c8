"""The hook with which we tell others about files.

Law: a specification and nothing else; it is loaded at every start of pytest.
"""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_netfixtures_artifact(item: pytest.Item, path: Path, kind: str) -> None:
    """A file of this test stays: called once for each, when it is complete, in the process that has run the test.

    `kind` is "capture". What an implementation raises becomes a warning. Under pytest-xdist it is called in the worker;
    what is to reach the controller goes onto the report or into a file.
    """
