"""The list of the captures that stay: `manifest.jsonl` beside them, one line of JSON for each.

Law: it knows the file system and no capture. A line is one write at the end of the file, under a lock, so that workers do
not tear each other's; the lock is waited for at most a second. No link is followed. What cannot be done is an OSError.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["NAME", "add_line"]

NAME = "manifest.jsonl"
PATIENCE = 1.0
"""Seconds: whoever holds the lock for longer is stopped or dead, and one write at the end is whole without it."""
_HOW = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def add_line(directory: Path, fields: Mapping[str, Any]) -> None:
    """Append one line to the list of `directory`; a line that a killed process has torn is ended first. Raises OSError."""
    line = json.dumps(dict(fields)).encode("ascii") + b"\n"
    fd = os.open(directory / NAME, _HOW, 0o600)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError("it is not a regular file")
        _lock(fd)
        os.write(fd, (b"\n" if _is_torn(fd) else b"") + line)
    finally:
        os.close(fd)


def _is_torn(fd: int) -> bool:
    size = os.fstat(fd).st_size
    return size > 0 and os.pread(fd, 1, size - 1) != b"\n"


def _lock(fd: int) -> None:
    deadline = time.monotonic() + PATIENCE
    never = threading.Event()
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                return
        never.wait(0.005)
