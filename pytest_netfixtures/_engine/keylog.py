"""The keys of TLS connections, as OpenSSL tells them to a context.

Law: one log for each context, in memory where the system has files in memory. It says what is new, and to whom it belongs
is known to who asks. A key log that the user has set is read and never replaced.
"""

from __future__ import annotations

import atexit
import os
import tempfile
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

__all__ = ["KeyLog", "key_log_of"]

_MOST = 1 << 16
"""So many bytes are kept in memory; then our own log starts afresh."""


class KeyLog:
    """The key log of one context. `take()` is to be called under the journal's lock."""

    def __init__(self, context: ssl.SSLContext) -> None:
        theirs = context.keylog_filename
        self._ours = theirs is None or theirs in _made
        if self._ours:
            self._file, path = _private_file()
            context.keylog_filename = path
            _made.add(path)
        else:
            self._file = os.open(str(theirs), os.O_RDONLY | os.O_CLOEXEC)
        self._read = 0 if self._ours else os.fstat(self._file).st_size
        self._part = b""
        weakref.finalize(self, os.close, self._file)

    def take(self) -> str:
        """The lines that are new since the last time, each with its end; a line that is not whole yet comes later."""
        data = self._part + self._new()
        whole = data.rfind(b"\n") + 1
        self._part = data[whole:]
        return data[:whole].decode("ascii", "replace")

    def _new(self) -> bytes:
        parts = []
        while part := os.pread(self._file, _MOST, self._read):
            parts.append(part)
            self._read += len(part)
        if self._ours and self._read > _MOST:
            os.ftruncate(self._file, 0)  # it is written at its end, wherever that is
            self._read = 0
        return b"".join(parts)


def _private_file() -> tuple[int, str]:
    if hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd"):
        file = os.memfd_create("netfixtures-keylog", os.MFD_CLOEXEC)
        return file, f"/proc/self/fd/{file}"
    file, path = tempfile.mkstemp(prefix="netfixtures-keylog-")
    atexit.register(_remove, path, os.getpid())
    return file, path


def _remove(path: str, made_by: int) -> None:
    if made_by == os.getpid() and os.path.exists(path):
        os.unlink(path)


_logs: weakref.WeakKeyDictionary[ssl.SSLContext, KeyLog] = weakref.WeakKeyDictionary()
_made: set[str] = set()


def key_log_of(context: ssl.SSLContext) -> KeyLog:
    """The log of a context; set up at first use."""
    log = _logs.get(context)
    if log is None:
        log = _logs[context] = KeyLog(context)
    return log


def _after_fork_in_child() -> None:
    """What is written into the parent's memory is the parent's: here every context gets a log of its own."""
    global _logs
    _logs = weakref.WeakKeyDictionary()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
