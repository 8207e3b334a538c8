"""Puts keys into a capture that lies there already: before its first packet, because readers decrypt forwards.

Law: the capture stays whole until a new one beside it takes its place in one step; both are the user's alone (0600), no
symlink is followed. It knows blocks, and no entries. Who calls holds the lock of the capture, or knows that nobody
writes it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from pytest_netfixtures._pcap import blocks, keylines
from pytest_netfixtures._pcap.head import OUTCOME_AT, outcome_text, wants_no_keys
from pytest_netfixtures._pcap.regular import check_regular, create, open_regular
from pytest_netfixtures._pcap.secrets import LATE

__all__ = ["copy_with_keys", "merge_keys", "temporary", "walk"]

_HEAD = struct.Struct("<II")
_BEFORE_PACKETS = (blocks.SECTION, 1)
"""Section header and interfaces: keys come behind them."""
_PIECE = 1 << 20
"""Bytes of keys in one block; readers refuse blocks of more than 16 MiB."""
_LONGEST = 16 << 20


class _Plan(NamedTuple):
    """Where keys go, which stretches of the file stay, and which lines are to be put in."""

    place: int
    kept: list[tuple[int, int]]
    lines: list[str]


def merge_keys(path: Path, keys: str) -> int:
    """Puts the keys of a key log into the capture at `path`, and those that stand too late in it to their place.

    Lines that are in the capture already are not added again; lines that are no keys are left out, and all of them
    where the capture says that it has no keys (--net-capture-no-secrets). Returns how many lines were added or moved;
    without any the file is not touched.

    Raises: OSError, when it cannot be read or no new file made beside it; ValueError, when it is no capture of ours.
    The capture is then as it was.
    """
    with open_regular(path) as source:
        plan = _plan(source, keys)
        if plan.lines:
            _replace(source, path, plan)
    return len(plan.lines)


def copy_with_keys(source: Path, target: Path, keys: str) -> None:
    """Copies a capture to `target`, with the keys in it. An older file there is replaced, when the copy is whole.

    Where the capture says RUNNING the copy says SAVED: nobody will write into it what became of the test.

    Raises: OSError, when `target` cannot be made, is the capture itself, a symlink or no regular file.
    """
    with open_regular(source) as file:
        _check_target(target, os.fstat(file.fileno()))
        _replace(file, target, _plan(file, keys), is_copy=True)


def temporary(path: Path) -> Path:
    """The new file while it is made: one that lies there was left by a killed process, and may be deleted."""
    return path.with_name(f"{path.name}.merging")


def _check_target(target: Path, source: os.stat_result) -> None:
    try:
        found = os.lstat(target)
    except FileNotFoundError:
        return
    if os.path.samestat(found, source):
        raise shutil.SameFileError(f"{target} is the capture itself; expected another path")
    check_regular(target, found.st_mode)


def _replace(source: IO[bytes], path: Path, plan: _Plan, *, is_copy: bool = False) -> None:
    """Writes the new file, whole, and then puts it into its place."""
    new = temporary(path)
    with contextlib.suppress(FileNotFoundError):
        new.unlink()
    try:
        with create(new) as target:
            _write(source, target, plan)
            if is_copy and _outcome(source) == outcome_text("RUNNING"):
                target.seek(OUTCOME_AT)
                target.write(outcome_text("SAVED"))
        os.replace(new, path)
    except BaseException:
        with contextlib.suppress(OSError):
            new.unlink()
        raise


def _outcome(source: IO[bytes]) -> bytes:
    source.seek(OUTCOME_AT)
    return source.read(len(outcome_text("")))


def _write(source: IO[bytes], target: IO[bytes], plan: _Plan) -> None:
    for start, end in plan.kept:
        if start == plan.place:
            target.writelines(blocks.secrets(piece) for piece in _pieces(plan.lines))
        source.seek(start)
        _copy(source, target, end - start)


def _copy(source: IO[bytes], target: IO[bytes], size: int) -> None:
    while size > 0:
        data = source.read(min(size, _PIECE))
        if not data:
            return  # somebody has cut the file meanwhile: what was there is there
        target.write(data)
        size -= len(data)


def _pieces(lines: list[str]) -> Iterator[bytes]:
    """The text of the lines, in blocks that no reader finds too long."""
    text = b""
    for line in lines:
        text += f"{line}\n".encode()
        if len(text) >= _PIECE:
            yield text
            text = b""
    if text:
        yield text


def _plan(source: IO[bytes], keys: str) -> _Plan:
    place = 0
    here: list[str] = []
    late: list[str] = []
    cuts: list[tuple[int, int]] = []
    for kind, start, end in walk(source):
        if kind in _BEFORE_PACKETS and place == start:
            place = end
        text = _secrets(source, start, end) if kind == blocks.SECRETS else ""
        if text.startswith(LATE):
            cuts.append((start, end))
        (late if text.startswith(LATE) else here).extend(keylines.lines_of(text))
    if not place:
        raise ValueError("the file ends within its section header; expected a pcapng file of ours")
    source.seek(0)
    if wants_no_keys(source.read(place)):
        keys = ""
    there = {*here, *late}
    new = [line for line in keylines.lines_of(keys) if line not in there]
    kept = _kept(place, cuts, os.fstat(source.fileno()).st_size)
    return _Plan(place, kept, [*dict.fromkeys(late), *new])


def _kept(place: int, cuts: list[tuple[int, int]], size: int) -> list[tuple[int, int]]:
    """The stretches between what is taken away; one of them begins where the keys go, be it empty."""
    edges = [0, *(edge for cut in [(place, place), *cuts] for edge in cut), size]
    return list(zip(edges[::2], edges[1::2], strict=True))


def walk(source: IO[bytes]) -> Iterator[tuple[int, int, int]]:
    """Type, start and end of every whole block; a torn one ends it. Raises ValueError for what is no pcapng file."""
    size, start = source.seek(0, os.SEEK_END), 0
    while True:
        source.seek(start)
        head = source.read(_HEAD.size)
        kind, length = _HEAD.unpack(head) if len(head) == _HEAD.size else (0, 0)
        if start == 0 and kind != _BEFORE_PACKETS[0]:
            raise ValueError("the file does not begin with a section header; expected a pcapng file of ours")
        if length < 12 or length % 4 or start + length > size:
            return
        source.seek(start + length - 4)
        if source.read(4) != head[4:]:
            return
        yield kind, start, start + length
        start += length


def _secrets(source: IO[bytes], start: int, end: int) -> str:
    """The text of a block of TLS keys; of any other secrets nothing."""
    if end - start > _LONGEST or end - start < blocks.SECRETS_AT + 4:
        return ""
    source.seek(start)
    block = source.read(end - start)
    kind, size = _HEAD.unpack_from(block, 8)
    text = block[blocks.SECRETS_AT : blocks.SECRETS_AT + size] if kind == blocks.TLS_KEY_LOG else b""
    return text.decode("ascii", "ignore")
