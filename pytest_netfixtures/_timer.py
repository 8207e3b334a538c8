"""The time a test may take before its connections are reset.

Law: it only counts and calls; what happens then is its owner's work. It rests while somebody debugs. It has no thread:
the engine calls it.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Protocol

AGAIN = 1.0
"""Seconds until it calls again: a client that reconnects and hangs again must not hang for good."""
DEBUGGERS = ("bdb", "pdb", "pydevd", "debugpy", "_pydevd", "pudb", "ipdb", "IPython.core.debugger")


class Handle(Protocol):
    """What the engine gives for a call in the future."""

    def cancel(self) -> None:
        """The call does not happen."""


class Timer:
    """Calls `expire` on the engine's thread after `seconds`, and again every second until it is cancelled."""

    def __init__(
        self,
        call_later: Callable[[float, Callable[[], None]], Handle],
        seconds: float,
        expire: Callable[[], None],
    ) -> None:
        self._call_later = call_later
        self._expire = expire
        self._left = seconds
        self._thread = threading.get_ident()
        self._handle: Handle | None = None
        self._over = is_traced()
        self.resume()

    def pause(self) -> None:
        """The clock stops."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
            self._left = max(0.0, self._due - time.monotonic())

    def resume(self) -> None:
        """The clock goes on."""
        if self._handle is None and not self._over:
            self._due = time.monotonic() + self._left
            self._handle = self._call_later(self._left, self._ring)

    def cancel(self) -> None:
        """It is over."""
        self._over = True
        self.pause()

    def _ring(self) -> None:
        if self._over:
            return
        self._handle, self._left = None, AGAIN
        if not is_debugged(self._thread):
            self._expire()
        self.resume()


def is_traced() -> bool:
    """Whether a debugger has set its trace function for this thread (coverage's is none)."""
    function = sys.gettrace()
    return function is not None and _is_debugger(
        getattr(function, "__module__", None) or type(function).__module__
    )


def is_debugged(thread: int) -> bool:
    """Whether a debugger is among the frames of a thread."""
    frame: FrameType | None = sys._current_frames().get(thread)
    while frame is not None:
        if _is_debugger(frame.f_globals.get("__name__", "")):
            return True
        frame = frame.f_back
    return False


def _is_debugger(module: str) -> bool:
    return any(module == name or module.startswith((name + ".", name + "_")) for name in DEBUGGERS)


def deadline_of(settings: Any) -> tuple[float, float, str] | None:
    """When and how pytest-timeout will end a test whose time begins now; None where that cannot be read."""
    try:
        seconds = float(settings.timeout)
    except (AttributeError, TypeError, ValueError):
        return None
    if not 0 < seconds < float("inf"):
        return None
    main = threading.current_thread() is threading.main_thread()
    method = "signal" if getattr(settings, "method", None) == "signal" and main else "thread"
    return time.monotonic() + seconds, seconds, method
