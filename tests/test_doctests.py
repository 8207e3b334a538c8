"""Every example in a docstring of the package runs. A room without examples counts as well: it can be imported."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import pytest_netfixtures

HOUSE = Path(pytest_netfixtures.__file__).parent
NAMES = sorted(
    ".".join([HOUSE.name, *path.relative_to(HOUSE).with_suffix("").parts]).removesuffix(".__init__")
    for path in HOUSE.rglob("*.py")
)


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_of_a_room_run(name: str) -> None:
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert not failed, f"{failed} examples of {name} fail; what they print is in the captured output"


def test_the_faults_have_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [
        test.name
        for test in finder.find(importlib.import_module("pytest_netfixtures._wire.streams"))
        if test.examples
    ]
    assert len(found) == 7
