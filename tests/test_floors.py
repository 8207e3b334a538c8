"""The laws of the house, read off its source: who imports whom, what floor 1 may know, how a room opens, how long it is.

It reads files and runs none of them. `FLOORS` is the map.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "pytest_netfixtures"
HOUSE = ROOT / PACKAGE

# `_errors` lies beneath everything; after it the floors of the design. What is not named here is on floor 4, the
# highest: it may import all others, and none of them may import it.
FLOORS = {
    "_errors": 0,
    "_wire": 1,
    "_engine": 2,
    "_pcap": 2,
    "_netlab": 3,
    "_makers": 3,
    "_capture": 3,
    "_kernel_hub": 3,
    "_kernel_capture": 3,
    "_directory": 3,
    "_manifest": 3,
    "_assertions": 3,
    "_log": 3,
    "_wire_log": 3,
}
TOP = 4
STRANGERS = {("_engine", "_pcap"), ("_pcap", "_engine")}

# Floor 1 is values and functions: what it may import is a short list, and none of it acts or tells the time.
PURE = {
    "__future__", "abc", "array", "bisect", "collections", "copy", "dataclasses", "difflib", "enum", "functools", "hashlib",
    "heapq", "ipaddress", "itertools", "json", "math", "numbers", "operator", "re", "string", "struct", "textwrap", "types",
    "typing", "unicodedata", "zlib",
}  # fmt: skip
ACTS = {"open", "print", "input", "exec", "eval", "__import__"}
LONGEST_ROOM = 350


def rooms() -> list[Path]:
    return sorted(HOUSE.rglob("*.py"))


def sources() -> list[Path]:
    return [path for top in (PACKAGE, "tests", "examples") for path in sorted((ROOT / top).rglob("*.py"))]


def show(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def module(path: Path) -> str:
    """The dotted name of a room, `pytest_netfixtures._wire.__init__` for a folder's own file."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def branch(name: str) -> str:
    """The part of a room's dotted name that `FLOORS` knows."""
    return name.split(".")[1]


def floor(name: str) -> int:
    return FLOORS.get(branch(name), TOP)


def imported(path: Path) -> Iterator[str]:
    """Every name that a file imports, anywhere in it, as an absolute dotted name (`from a import b` is `a.b`)."""
    for node in ast.walk(tree(path)):
        yield from names_of(path, node)


def imported_for_types_alone(path: Path) -> Iterator[str]:
    """The names that it imports below `if TYPE_CHECKING:`, which no running program does."""
    blocks = (node for node in ast.walk(tree(path)) if isinstance(node, ast.If))
    for block in blocks:
        if ast.unparse(block.test).endswith("TYPE_CHECKING"):
            for node in block.body:
                yield from names_of(path, node)


def names_of(path: Path, node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [f"{origin(path, node)}.{alias.name}" for alias in node.names]
    return []


def origin(path: Path, node: ast.ImportFrom) -> str:
    """The module that a `from` import names, relative ones resolved."""
    if not node.level:
        return node.module or ""
    folder = module(path).split(".")[: -node.level]
    return ".".join([*folder, *filter(None, [node.module])])


@cache
def own_rooms() -> frozenset[str]:
    return frozenset(module(path) for path in rooms())


def room_of(name: str) -> str | None:
    """The room of ours that an imported name means: itself, the room that defines it, or a folder's own file."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        dotted = ".".join(parts[:end])
        for candidate in (dotted, f"{dotted}.__init__"):
            if candidate in own_rooms():
                return candidate
    return None


def targets(path: Path, names: Iterable[str]) -> Counter[str]:
    """How often each other room of ours is meant by these names."""
    return Counter(room for name in names if (room := room_of(name)) and room != module(path))


@cache
def arrows() -> frozenset[tuple[str, str]]:
    """Every (room, room that it imports) of the house, imports for types included."""
    return frozenset((module(path), room) for path in rooms() for room in targets(path, imported(path)))


@cache
def running_arrows() -> frozenset[tuple[str, str]]:
    """The same without what is imported for types alone."""
    found = (
        (path, targets(path, imported(path)), targets(path, imported_for_types_alone(path)))
        for path in rooms()
    )
    return frozenset((module(path), room) for path, every, typed in found for room in every - typed)


def test_the_map_names_rooms_that_are_there() -> None:
    assert not FLOORS.keys() - {branch(name) for name in own_rooms()}


def test_a_floor_imports_only_from_floors_below_it() -> None:
    up = [(a, b) for a, b in arrows() if floor(a) < floor(b)]
    assert not up, f"imports that go up: {sorted(up)}"


def test_the_engine_and_the_capture_files_do_not_know_each_other() -> None:
    assert not [(a, b) for a, b in arrows() if (branch(a), branch(b)) in STRANGERS]


def test_no_import_goes_in_a_circle() -> None:
    waiting = set(own_rooms())
    while free := {
        room for room in waiting if not any(a == room and b in waiting for a, b in running_arrows())
    }:
        waiting -= free
    assert not waiting, f"these import each other, in a circle: {sorted(waiting)}"


@pytest.mark.parametrize("path", [p for p in rooms() if p.parent.name == "_wire"], ids=show)
def test_floor_1_has_no_socket_no_thread_no_clock_no_chance_and_no_files(path: Path) -> None:
    foreign = {name.split(".")[0] for name in imported(path)} - PURE - {PACKAGE}
    calls = {
        node.func.id
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not foreign, f"{show(path)} imports {sorted(foreign)}; floor 1 has values and functions only"
    assert not calls & ACTS, (
        f"{show(path)} calls {sorted(calls & ACTS)}; floor 1 has values and functions only"
    )


def test_pytest_is_known_on_floor_4_alone() -> None:
    knows = {
        module(path)
        for path in rooms()
        if any(name.split(".")[0] in ("pytest", "_pytest") for name in imported(path))
    }
    assert not [name for name in knows if floor(name) < TOP]


def test_every_file_opens_with_its_law() -> None:
    silent = [show(path) for path in sources() if len(ast.get_docstring(tree(path)) or "") < 20]
    assert not silent, (
        f"these files do not open with a docstring that says what they do and do not do: {silent}"
    )


def test_nothing_sleeps() -> None:
    sleepy = [
        show(path) for path in sources() if re.search(r"\bsleep\s*\(", path.read_text(encoding="utf-8"))
    ]
    assert not sleepy, f"a wait has a condition and a deadline; these sleep: {sleepy}"


@pytest.mark.parametrize("path", rooms(), ids=show)
def test_a_room_is_short_enough_to_be_read(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST_ROOM, f"{show(path)} has {lines} lines; split it where it does two things"


def test_the_names_of_test_files_are_unique() -> None:
    names = [path.name for path in sorted((ROOT / "tests").rglob("test_*.py"))]
    assert len(names) == len(set(names)), sorted({name for name in names if names.count(name) > 1})
