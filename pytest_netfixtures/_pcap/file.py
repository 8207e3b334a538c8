"""A file that is readable whatever happens to its writer.

Law: one writer, one system call a block, at an offset of its own (no O_APPEND), under an exclusive lock that other
programs of ours respect. It never raises: at the first failure it cuts the file back to the last whole block, writes
nothing more, and says in `error` what happened and what to do. It knows nothing of what the blocks mean.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from pathlib import Path

__all__ = ["CaptureFile"]

_HOW = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class CaptureFile:
    """Blocks, one after the other. The file is made (mode 0600) at the first one; an older file there is replaced."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.error: str | None = None
        self._fd = -1
        self._ours = False

    @property
    def is_open(self) -> bool:
        """True while blocks can be written."""
        return self._fd >= 0 and self.error is None

    def open(self) -> None:
        """Makes the file. A symlink, a device or a file that somebody else is writing is not touched."""
        try:
            self._fd = os.open(self.path, _HOW, 0o600)
            _claim(self._fd)
            self._ours = True
        except OSError as problem:
            self.close()
            self.stop(problem)

    def append(self, block: bytes) -> bool:
        """Writes one block at the end; False if it is not in the file."""
        if not self.is_open:
            return False
        try:
            _write_all(self._fd, block, self.size)
        except OSError as problem:
            self.stop(problem)
            return False
        self.size += len(block)
        return True

    def overwrite(self, offset: int, data: bytes) -> None:
        """Replaces bytes that are there already: no block moves. After a failure too, as far as the disk lets it."""
        if self._fd >= 0 and offset + len(data) <= self.size:
            with contextlib.suppress(OSError):
                os.pwrite(self._fd, data, offset)

    def stop(self, problem: BaseException) -> None:
        """Nothing more is written, because of this problem; the first one is kept."""
        if self.error is not None:
            return
        self.error = _message(self.path, self.size, problem)
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self.size)
        if not self.size:
            self.remove()  # an empty file is no capture, and some readers refuse it

    def close(self) -> None:
        """Gives the file and its lock back."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):
                os.close(fd)

    def remove(self) -> None:
        """Closes the file and deletes it, if it is ours."""
        self.close()
        if self._ours:
            self._ours = False
            with contextlib.suppress(OSError):
                self.path.unlink()

    def forget(self) -> None:
        """In a forked child: lets go of the descriptor; the parent's file and lock stay as they are."""
        self._ours = False
        self.close()


def _claim(fd: int) -> None:
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise OSError("it is not a regular file")
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.fchmod(fd, 0o600)
    os.ftruncate(fd, 0)


def _write_all(fd: int, block: bytes, offset: int) -> None:
    done = os.pwrite(fd, block, offset)
    while done < len(block):  # a short write: the next one names the reason
        more = os.pwrite(fd, block[done:], offset + done)
        if not more:
            raise OSError("the disk took only a part of a block")
        done += more


def _message(path: Path, size: int, problem: BaseException) -> str:
    reason = getattr(problem, "strerror", None) or f"{type(problem).__name__}: {problem}"
    where, rest = (f" after byte {size}", "; what is in it so far can be read") if size else ("", "")
    return (
        f"the capture {path} could not be written{where}: {reason}. "
        f"Expected a regular file in a writable directory with free space{rest}. "
        f"Free some space, or choose another place with --net-capture-dir."
    )
