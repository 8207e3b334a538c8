"""Every example in a docstring of the package runs. A room without examples counts as well: it can be imported."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import pytest_netfixtures
import pytest_netfixtures as face
from pytest_netfixtures._wire.narrowing import Narrowable

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
    finder = doctest.DocTestFinder(recurse=False, exclude_empty=False)
    faults = [thing for name in face.__all__ if _is_fault(thing := getattr(face, name))]
    assert len(faults) >= 7
    silent = [fault for fault in faults if not any(test.examples for test in finder.find(fault))]
    assert not silent


def _is_fault(thing: object) -> bool:
    return isinstance(thing, type) and issubclass(thing, Narrowable)
