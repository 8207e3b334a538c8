"""The face of the package: every name is there, and nothing is loaded before it is asked for."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import pytest_netfixtures
from pytest_netfixtures._directory import file_name

FACE = Path(pytest_netfixtures.__file__)


def test_every_public_name_is_there() -> None:
    assert [name for name in pytest_netfixtures.__all__ if not hasattr(pytest_netfixtures, name)] == []
    assert set(pytest_netfixtures.__all__) <= set(dir(pytest_netfixtures))


def test_type_checkers_see_the_same_names() -> None:
    blocks = [node for node in ast.parse(FACE.read_text()).body if isinstance(node, ast.If)]
    imports = [node for block in blocks for node in block.body if isinstance(node, ast.ImportFrom)]
    seen = {alias.name for node in imports for alias in node.names}
    assert seen | {"__version__"} == set(pytest_netfixtures.__all__)


def test_the_version_is_that_of_the_package() -> None:
    assert pytest_netfixtures.__version__[0].isdigit()


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'NoSuchFault'"):
        getattr(pytest_netfixtures, "NoSuchFault")  # noqa: B009


def test_a_name_loads_its_room_alone() -> None:
    code = (
        "import sys, pytest_netfixtures\n"
        "pytest_netfixtures.Reset\n"
        "assert 'pytest_netfixtures._engine.loop' not in sys.modules and 'pytest' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


IDS = [
    "tests/test_a.py::test_p[a/b]",
    "tests/test_a.py::test_p[a-b]",
    "tests/test_a.py::test_p[A-b]",
    "../../etc/passwd",
    "..",
    "",
    "\0",
    "\ud800",
    "ü" * 300,
    "x" * 300,
    ".hidden",
    "a\nb",
    "C:\\x\\y",
]


def test_file_names_are_safe_and_all_different() -> None:
    names = [file_name(node_id) for node_id in IDS]
    assert len({name.lower() for name in names}) == len(IDS)
    for name in names:
        assert len(name) <= 110 and not name.startswith(".") and name.endswith(".pcapng")
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


def test_file_names_say_attempt_and_worker() -> None:
    plain = file_name("test_a.py::test_one")
    assert plain.startswith("test_a.py-test_one-")
    assert file_name("test_a.py::test_one", 2) == plain.replace(".pcapng", ".attempt2.pcapng")
    assert file_name("test_a.py::test_one", 1, "gw3") == plain.replace(".pcapng", ".gw3.pcapng")
