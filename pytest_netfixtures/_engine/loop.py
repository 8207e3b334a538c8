"""The one thread that all servers and proxies of a process share.

Law: what happens on sockets happens here, in order, and nothing here waits for a peer. Two things cross the thread: calls
downwards (`call`, `post`), and the journal upwards. A callback that fails is kept in `crashes`; the thread goes on.
"""

from __future__ import annotations

import _socket
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

from .._errors import SetupError
from .._wire.schedule import Schedule
from .journal import Journal
from .poller import READ, make_poller

if TYPE_CHECKING:
    from .scope import Scope

__all__ = ["Engine", "Timer", "current_engine", "on_engine_thread"]

READ_SIZE = 256 << 10

SETTLE_ROUNDS = 8
"""A connection that waits takes a few: accepted, its upstream connected, its bytes read, and handed on."""

T = TypeVar("T")


class Timer:
    """A call at a time, which may be cancelled from any thread."""

    __slots__ = ("cancelled", "function")

    def __init__(self, function: Callable[[], object]) -> None:
        self.function = function
        self.cancelled = False

    def cancel(self) -> None:
        """Do not call; harmless when it was called already."""
        self.cancelled = True
        self.function = _nothing  # what it would have called need not be kept


def _nothing() -> None:
    """What a cancelled timer calls."""


class _Call:
    """A call from another thread, with its answer."""

    __slots__ = ("answer", "done", "error", "function")

    def __init__(self, function: Callable[[], object]) -> None:
        self.function = function
        self.done = threading.Lock()
        self.done.acquire()
        self.answer: object = None
        self.error: BaseException | None = None

    def __call__(self) -> None:
        try:
            self.answer = self.function()
        except BaseException as error:
            self.error = error
        finally:
            self.done.release()


class Engine:
    """A loop over non-blocking sockets in a daemon thread."""

    def __init__(self) -> None:
        self.journal = Journal()
        self.buffer = memoryview(bytearray(READ_SIZE))
        self.crashes: list[BaseException] = []
        self.sockets: set[_socket.socket] = set()
        self.scopes: WeakSet[Scope] = WeakSet()
        self.ports: set[tuple[int, str, int]] = set()
        """Kind of socket, host and port of everything that we are bound to."""
        self.before_packets: list[Callable[[int], object]] = []
        """Called with a port before the first packet can go to it; never under the journal's lock."""
        self.pid = os.getpid()
        self._poller = make_poller()
        self._callbacks: dict[int, Callable[[int], object]] = {}
        self._timers: Schedule[Timer] = Schedule()
        self._many_timers = 64
        self.in_callback = False
        self._calls: deque[Callable[[], object]] = deque()
        self._wake_reader, self._wake_writer = os.pipe()
        os.set_blocking(self._wake_reader, False)
        os.set_blocking(self._wake_writer, False)
        self._poller.watch(self._wake_reader, READ)
        self._callbacks[self._wake_reader] = self._drain_pipe
        self._thread = threading.Thread(target=self._run, name="netfixtures engine", daemon=True)
        self._thread.start()

    @property
    def here(self) -> bool:
        """Whether this is the engine's own thread."""
        return threading.get_ident() == self._thread.ident

    @property
    def alive(self) -> bool:
        """False in a child made by `fork`, where the thread stayed behind, and when the interpreter ends."""
        return self.pid == os.getpid() and not sys.is_finalizing()

    def call(self, function: Callable[..., T], *args: Any) -> T:
        """Call on the engine's thread and return the answer; inline when already there. Never call it under the lock."""
        if self.here:
            return function(*args)
        self._refuse_in_child()
        call = _Call(lambda: function(*args))
        self.post(call)
        call.done.acquire()
        if call.error is not None:
            raise call.error
        return call.answer  # type: ignore[return-value]

    def _refuse_in_child(self) -> None:
        if not self.alive:
            raise SetupError(
                "this process is a fork of the one that made the server or proxy, or it ends now; expected a call in the "
                "parent, while it runs: the child may connect to it, or make its own"
            )

    def post(self, function: Callable[[], object]) -> None:
        """Call on the engine's thread soon; waits for nothing."""
        if not self.alive:
            return  # the descriptor of the pipe may be somebody else's by now
        self._calls.append(function)
        try:
            os.write(self._wake_writer, b"!")
        except BlockingIOError:
            return  # the pipe is full, so the thread is about to wake anyway

    def call_at(self, at: float, function: Callable[[], object]) -> Timer:
        """Call at a time; on the engine's thread only."""
        timer = Timer(function)
        self._timers.add(at, timer)
        if len(self._timers) > self._many_timers:
            self._timers.keep(lambda timer: not timer.cancelled)
            self._many_timers = 64 + 2 * len(self._timers)
        return timer

    def call_later(self, seconds: float, function: Callable[[], object]) -> Timer:
        """Call after `seconds`; from any thread."""
        timer = Timer(function)
        at = time.monotonic() + seconds
        self.post(lambda: self._timers.add(at, timer))
        return timer

    def adopt(self, sock: _socket.socket) -> _socket.socket:
        """Make the socket non-blocking, and remember it for the case of a `fork`."""
        sock.setblocking(False)
        self.sockets.add(sock)
        return sock

    def announce(self, port: int) -> None:
        """From now on packets may go to this port. Never call it under the lock: whoever listens may wait for it."""
        for listener in tuple(self.before_packets):
            listener(port)

    def watch(self, sock: _socket.socket, interest: int, callback: Callable[[int], object]) -> None:
        """Call `callback(ready)` when the socket is ready for what it is watched for, or broken."""
        fd = sock.fileno()
        self._callbacks[fd] = callback
        self._poller.watch(fd, interest)

    def unwatch(self, sock: _socket.socket) -> None:
        """Stop watching."""
        if self._callbacks.pop(sock.fileno(), None) is not None:
            self._poller.forget(sock.fileno())

    def close(self, sock: _socket.socket) -> None:
        """Close a socket that was adopted."""
        self.unwatch(sock)
        self.sockets.discard(sock)
        sock.close()

    def _run(self) -> None:
        while True:
            self._run_ready(self._poller.wait(self._patience()))
            self._run_calls()
            self._run_timers()

    def settle(self) -> None:
        """Take in what the kernel has for us by now; on the engine's thread, and a no-op within a callback."""
        for _ in range(SETTLE_ROUNDS):
            pairs = [] if self.in_callback else self._poller.wait(0)
            if not pairs:
                return
            self._run_ready(pairs)

    def catch_up(self, within: float) -> None:
        """Wait until what the kernel has for us by now is taken in, or this many seconds; from any thread, in a child not at all."""
        if self.here or not self.alive:
            return
        call = _Call(self.settle)
        self.post(call)
        call.done.acquire(timeout=within)

    def _run_ready(self, pairs: list[tuple[int, int]]) -> None:
        self.in_callback = True
        known = [self._callbacks.get(fd) for fd, _ in pairs]
        for (fd, ready), callback in zip(pairs, known, strict=True):
            # A callback before it may have closed this socket, and its descriptor may be another one's by now.
            if callback is not None and self._callbacks.get(fd) == callback:
                self._guard(callback, ready)
        self.in_callback = False

    def _patience(self) -> float | None:
        if self._calls:
            return 0.0
        next_at = self._timers.next_at
        return None if next_at is None else max(0.0, next_at - time.monotonic())

    def _run_calls(self) -> None:
        for _ in range(len(self._calls)):
            self._guard(self._calls.popleft())

    def _run_timers(self) -> None:
        """What these begin comes in the next round, even if it is due."""
        for timer in self._timers.due(time.monotonic()):
            self._guard(timer.function)

    def _guard(self, function: Callable[..., object], *args: object) -> None:
        try:
            function(*args)
        except BaseException as error:  # pytest.fail() is no Exception, and the thread must go on
            with self.journal.lock:
                self.crashes.append(error)
                self.journal.touch()

    def _drain_pipe(self, ready: int) -> None:
        os.read(self._wake_reader, 4096)

    def leave_behind(self) -> None:
        """In a child made by `fork`: close this process's copies; the parent's sockets are not touched."""
        for sock in self.sockets:
            sock.close()
        self._poller.close()
        os.close(self._wake_reader)
        os.close(self._wake_writer)


_current: Engine | None = None
_starting = threading.Lock()


def current_engine() -> Engine:
    """The engine of this process; started at first use, it lives as long as the process."""
    global _current
    with _starting:
        if _current is None:
            _current = Engine()
        return _current


def on_engine_thread() -> bool:
    """Whether this is the thread of the engine of this process, which must not wait."""
    return _current is not None and _current.here


def _before_fork() -> None:
    _starting.acquire()
    if _current is not None:
        _current.journal.lock.acquire()  # else the child might get it locked for ever, and a record half written


def _after_fork() -> None:
    if _current is not None:
        _current.journal.lock.release()
    _starting.release()


def _after_fork_in_child() -> None:
    global _current
    engine = _current
    _after_fork()
    _current = None
    if engine is not None:
        engine.leave_behind()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)
