"""The keys of others: a file beside the capture, into which clients and servers that are not ours write theirs.

Law: it is made exclusively, for the user alone (0600), at the first use, and no symlink is followed. What is in it goes
into the capture at the end, and then it is deleted. It looks at no key but to see that it is one.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

from pytest_netfixtures._errors import is_for_the_user
from pytest_netfixtures._pcap import keylines
from pytest_netfixtures._pcap.regular import check_regular, create, open_regular

__all__ = ["LONGEST", "KeyFile", "given_keys", "keys_path", "read_keys"]

LONGEST = 16 << 20
"""Bytes of a key log that are read; the keys of some 17,000 connections."""


def keys_path(capture: Path) -> Path:
    """Where the keys of others lie, until they are in this capture."""
    return capture.with_suffix(".keys")


def given_keys(given: object) -> list[str]:
    """The lines of the key log that somebody names or gives as text. No error shows what is in it.

    Raises: TypeError; ValueError, which says which line is none; OSError, when it cannot be read.
    """
    __tracebackhide__ = is_for_the_user
    if not isinstance(given, (str, os.PathLike)):
        kind = type(given).__name__
        raise TypeError(f"path_or_text is of type {kind}; expected a path, or the text of a key log as str")
    if not given:
        raise ValueError("path_or_text is empty; expected a path, or the text of a key log")
    is_text = isinstance(given, str) and keylines.is_text(given)
    return keylines.check(str(given) if is_text else read_keys(Path(given), follow=True))


def read_keys(path: Path, *, follow: bool = False) -> str:
    """The text of a key log, at most 16 MiB of it. Raises OSError; for a symlink or what is no regular file too."""
    with open_regular(path, follow=follow) as file:
        data: bytes = file.read(LONGEST)
    return data.decode("ascii", "replace")


class KeyFile:
    """The key log beside a capture. Nothing is made before `make` or `add`."""

    def __init__(self, capture: Path) -> None:
        self.path = keys_path(capture)
        self._ours = False
        self._lock = threading.Lock()

    def make(self) -> Path:
        """The file, made if it is not there yet. A file from an earlier run is replaced. Raises OSError."""
        with self._lock:
            if not self._ours:
                self._make()
            return self.path

    def add(self, lines: list[str]) -> None:
        """Writes keys behind those that are there. Raises OSError."""
        with open_regular(self.make(), append=True) as file:
            file.write(
                ("\n" + keylines.as_text(lines)).encode()
            )  # the last line of others may still have no end

    def read(self) -> str:
        """What is in it now; empty if it was never made. Raises OSError."""
        try:
            return read_keys(self.path) if self._ours else ""
        except FileNotFoundError:
            return ""  # who was to write it has deleted it

    def remove(self) -> None:
        """Deletes it, if it is ours."""
        if self._ours:
            self._ours = False
            with contextlib.suppress(OSError):
                self.path.unlink()

    def forget(self) -> None:
        """In a forked child: the file is the parent's."""
        self._ours = False

    def _make(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            check_regular(self.path, os.lstat(self.path).st_mode)
            self.path.unlink()
        create(self.path).close()
        self._ours = True
