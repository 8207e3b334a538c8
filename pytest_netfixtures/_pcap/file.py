"""A file that is readable whatever happens to its writer.

Law: one writer, one system call a block or a row of them, at an offset of its own (no O_APPEND), under an exclusive lock that other
programs of ours respect. It never raises: at the first failure it cuts the file back to the last whole block, writes
nothing more, and says in `error` what happened and what to do. It knows nothing of what the blocks mean.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

__all__ = ["CaptureFile"]

TOGETHER = 1 << 20
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OLD = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class _Busy(OSError):
    """Another process holds the lock."""


class CaptureFile:
    """Blocks, one after the other. The file is made (mode 0600) at the first one, in the place of an older file there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.error: str | None = None
        self._fd = -1
        self._ours = False
        self._gathered: list[bytes] | None = None
        self._written = 0

    @property
    def is_open(self) -> bool:
        """True while blocks can be written."""
        return self._fd >= 0 and self.error is None

    @property
    def made(self) -> bool:
        """Whether what lies at `path` is, or was, of our making."""
        return self._ours

    @property
    def is_there(self) -> bool:
        """True from the making of the file to its end, after a failure too, unless somebody has moved or replaced it."""
        return self._fd >= 0 and _is_at(self._fd, self.path)

    def open(self) -> None:
        """Makes the file. A symlink or a device is not touched; beside a file that is being written it is one more."""
        try:
            self._fd = self._claim()
            self._ours = True
        except OSError as problem:
            self.close()
            self.stop(problem)

    def _claim(self) -> int:
        try:
            return _claimed(self.path)
        except _Busy:
            self.path = self.path.with_name(f"{self.path.stem}.pid{os.getpid()}{self.path.suffix}")
            return _claimed(self.path)

    def append(self, block: bytes) -> bool:
        """Writes one block at the end; False if it is not in the file."""
        if not self.is_open:
            return False
        if self._gathered is not None:
            self._gathered.append(block)
            self.size += len(block)
            if self.size - self._written > TOGETHER:
                self._write_gathered()
            return True
        try:
            _write_all(self._fd, block, self.size)
        except OSError as problem:
            self.stop(problem)
            return False
        self.size += len(block)
        return True

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Blocks that are appended meanwhile are written by few system calls, the last of them at the end."""
        self._gathered, self._written = [], self.size
        try:
            yield
        finally:
            self._write_gathered()
            self._gathered = None

    def _write_gathered(self) -> None:
        gathered, self._gathered = self._gathered or [], None
        self.size = self._written
        try:
            _write_all(self._fd, b"".join(gathered), self.size)
            self.size += sum(map(len, gathered))
        except OSError:
            for block in gathered:  # each that fits; the first that does not says why
                self.append(block)
        self._gathered, self._written = [], self.size

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
        """Deletes the file, if it is ours, and closes it: as long as it is there its lock is held."""
        if self._ours and self.is_there:
            with contextlib.suppress(OSError):
                self.path.unlink()
        self._ours = False
        self.close()

    def forget(self) -> None:
        """In a forked child: lets go of the descriptor; the parent's file and lock stay as they are."""
        self._ours = False
        self.close()


def _claimed(path: Path) -> int:
    """A descriptor of a new file, with the lock; once more where salvage has just removed an empty file of this name."""
    for _ in range(3):
        with contextlib.suppress(FileNotFoundError):
            _clear(path)
        with contextlib.suppress(FileExistsError, BlockingIOError):
            if (fd := _made(path)) >= 0:
                return fd
    raise OSError("somebody makes or removes it again and again")


def _clear(path: Path) -> None:
    """An older file goes: who owns it, has it open or has it under another name too must not see what we write."""
    fd = os.open(path, _OLD)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError("it is not a regular file")
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_at(fd, path):
            path.unlink()
    except BlockingIOError:
        raise _Busy("another process is writing it, such as a second run of the same tests") from None
    finally:
        os.close(fd)


def _made(path: Path) -> int:
    """A new file, locked; -1 where somebody has removed it meanwhile."""
    fd = os.open(path, _NEW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.fchmod(fd, 0o600)
        if _is_at(fd, path):
            return fd
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return -1


def _is_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.lstat(path))
    except OSError:
        return False


def _write_all(fd: int, block: bytes, offset: int) -> None:
    done = os.pwrite(fd, block, offset)
    while done < len(block):  # a short write: the next one names the reason
        more = os.pwrite(fd, block[done:], offset + done)
        if not more:
            raise OSError("the disk took only a part of a block")
        done += more


def _said(problem: BaseException) -> str:
    return str(problem) if isinstance(problem, OSError) else f"{type(problem).__name__}: {problem}"


def _message(path: Path, size: int, problem: BaseException) -> str:
    reason = getattr(problem, "strerror", None) or _said(problem)
    where, rest = (f" after byte {size}", "; what is in it so far can be read") if size else ("", "")
    return (
        f"the capture {path} could not be written{where}: {reason}. "
        f"Expected a regular file in a writable directory with free space{rest}. "
        f"Free some space, or choose another place with --net-capture-dir."
    )
