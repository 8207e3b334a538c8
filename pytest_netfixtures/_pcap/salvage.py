"""Captures that a killed run has left: cut to the last whole block, their outcome KILLED, their keys inside.

Law: it touches nothing but regular files of ours that are unfinished and whose lock is free: whoever writes a capture
holds its lock, and a lock dies with its process. No link is followed, nothing is waited for, and nothing but OSError is
raised.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import struct
from pathlib import Path
from typing import IO, NamedTuple

from pytest_netfixtures._pcap import blocks
from pytest_netfixtures._pcap.head import OUTCOME_AT, comment_text, outcome_text
from pytest_netfixtures._pcap.keyfile import keys_path, read_keys
from pytest_netfixtures._pcap.merge import merge_keys, temporary, walk

__all__ = ["KILLED", "Salvaged", "outcome_of", "salvage", "whole"]

KILLED = "KILLED"
RUNNING = "RUNNING"
_HOW = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_BLOCK = struct.Struct("<II")
_ENHANCED_PACKET = 6
_COMMENT_AT = 28
_START = 8 + 16
"""Where the first option of the section header is: ours is the comment."""


class Salvaged(NamedTuple):
    """What was done to a file."""

    path: Path
    outcome: str
    """KILLED, or what the test had come to when only the merging of keys was cut short."""
    test: str
    """The node id in its comment, which is cut where it is very long."""
    packets: int
    size: int
    """Bytes that are left; 0: there was nothing in the file, and it is gone."""
    cut: int
    """Bytes of a torn block that were cut off."""
    keys: bool
    """Whether keys that lay beside it are in it now."""


def salvage(path: Path) -> Salvaged | None:
    """Make a finished capture of what a killed process has left; None where there is nothing to do. Raises OSError.

    Example: a test was killed by SIGKILL; `salvage(path).cut` bytes of its last block are gone, all others can be read.
    """
    try:
        fd = os.open(path, os.O_RDWR | _HOW)
    except OSError:
        return None
    try:
        if not _is_left(fd, path):
            return None
        found = _mend(fd, path)
        return found._replace(keys=_take_keys(path)) if found.size else found
    finally:
        os.close(fd)


def outcome_of(path: Path) -> str | None:
    """What the head of one of our captures says: RUNNING, KILLED, failed ...; None for any other file."""
    try:
        fd = os.open(path, os.O_RDONLY | _HOW)
    except OSError:
        return None
    try:
        return _outcome(_head(fd)) if stat.S_ISREG(os.fstat(fd).st_mode) else None
    except OSError:
        return None
    finally:
        os.close(fd)


def whole(source: IO[bytes]) -> tuple[int, int]:
    """How many bytes of it are whole blocks, and how many of these blocks are packets."""
    end = packets = 0
    for kind, _, behind in walk(source):
        end, packets = behind, packets + (kind == _ENHANCED_PACKET)
    return end, packets


def _is_left(fd: int, path: Path) -> bool:
    """Whether nobody writes it, it is still where its path says, and it is unfinished; looked at again under its lock.

    One that is finished is not even locked: its test may begin anew at this moment, and would find it taken.
    """
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode) or not _is_unfinished(fd, path):
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        there = os.lstat(path)
    except OSError:
        return False
    if not os.path.samestat(there, found):
        return False
    return _is_unfinished(fd, path)


def _is_unfinished(fd: int, path: Path) -> bool:
    outcome = _outcome(_head(fd))
    beside = any(os.path.lexists(name) for name in (keys_path(path), temporary(path)))
    return os.fstat(fd).st_size == 0 or outcome == RUNNING or (outcome is not None and beside)


def _mend(fd: int, path: Path) -> Salvaged:
    size = os.fstat(fd).st_size
    if not size:  # killed between making the file and its first block; no reader takes an empty one
        path.unlink()
        return Salvaged(path, KILLED, "", 0, 0, 0, False)
    head = _head(fd)
    try:
        with open(fd, "rb", buffering=1 << 16, closefd=False) as source:
            end, packets = whole(source)
    except ValueError as problem:  # somebody who knows no lock has cut it meanwhile
        raise OSError(str(problem)) from None
    outcome = _outcome(head) or ""
    if outcome == RUNNING:
        outcome = KILLED
        os.ftruncate(fd, end)
        os.pwrite(fd, outcome_text(KILLED), OUTCOME_AT)
    return Salvaged(path, outcome, _test(head), packets, end, size - end, False)


_WIDTH = len(comment_text("", "", {}))
_LABEL, _AFTER = b"outcome: ", b"\nbackend: "
_FORM = struct.pack("<HH", blocks.COMMENT, _WIDTH)


def _head(fd: int) -> bytes:
    return os.pread(fd, _COMMENT_AT + _WIDTH, 0)


def _outcome(head: bytes) -> str | None:
    """The outcome, if this is the section header that `head.py` makes."""
    after = OUTCOME_AT + len(outcome_text(""))
    ours = (
        len(head) == _COMMENT_AT + _WIDTH
        and _BLOCK.unpack_from(head)[0] == blocks.SECTION
        and head[8:12] == b"\x4d\x3c\x2b\x1a"
        and head[_START:OUTCOME_AT] == _FORM + _LABEL
        and head[after:].startswith(_AFTER)
    )
    return head[OUTCOME_AT:after].decode("utf-8", "replace").strip() if ours else None


def _test(head: bytes) -> str:
    return head[_COMMENT_AT:].decode("utf-8", "replace").partition("\ntest: ")[2].strip()


def _take_keys(path: Path) -> bool:
    """Keys that programs of the test have left beside the capture go into it; their file goes, and half a merged one."""
    keys = keys_path(path)
    try:
        with contextlib.suppress(FileNotFoundError):
            temporary(path).unlink()
        added = merge_keys(path, read_keys(keys) if os.path.lexists(keys) else "")
        with contextlib.suppress(FileNotFoundError):
            keys.unlink()
    except (OSError, ValueError):
        return False
    return added > 0
