"""Opening what has to be a regular file, and is not followed where it is a symlink.

Law: it neither blocks on a pipe nor leaves a descriptor behind, and what is in the way is an OSError that says what it is.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import IO, Any

__all__ = ["check_regular", "create", "open_regular"]

_ALWAYS = os.O_CLOEXEC | os.O_NONBLOCK
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_EXPECTED = "expected a regular file; remove it, or choose another place"


def open_regular(path: Path, *, append: bool = False, follow: bool = False) -> IO[Any]:
    """The file at `path`, to read its bytes or to `append` some; with `follow` it may be behind a symlink."""
    how = (os.O_WRONLY | os.O_APPEND if append else os.O_RDONLY) | (0 if follow else os.O_NOFOLLOW)
    if not follow:
        check_regular(path, os.lstat(path).st_mode)
    fd = os.open(path, how | _ALWAYS)
    try:
        check_regular(path, os.fstat(fd).st_mode)
        return os.fdopen(fd, "ab" if append else "rb")
    except BaseException:
        os.close(fd)
        raise


def create(path: Path) -> IO[bytes]:
    """A new file for the user alone (0600), where there is nothing yet."""
    fd = os.open(path, _NEW, 0o600)
    try:
        os.fchmod(fd, 0o600)  # whatever the umask says
        return os.fdopen(fd, "wb")
    except BaseException:
        os.close(fd)
        raise


def check_regular(path: Path, mode: int) -> None:
    """Raises an OSError that says what is there instead of a regular file."""
    if stat.S_ISLNK(mode):
        raise FileExistsError(f"{path} is a symbolic link, which is not followed; {_EXPECTED}")
    if not stat.S_ISREG(mode):
        raise FileExistsError(f"{path} is no regular file; {_EXPECTED}")
