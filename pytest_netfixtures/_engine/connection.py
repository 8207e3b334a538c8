"""A connection of a server of ours, with blocking calls.

Law: a handler takes from the inbox what the engine has read. Every wait ends: by data, by the peer's end, by a deadline,
or when the server is closed. `close()` never resets by accident.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable

from .._errors import ConnectionEnded, WaitTimeout
from .._wire.entries import TO_CLIENT, Address
from .._wire.render import hexdump_diff
from .._wire.text import escape
from .files import file_over
from .owned import OwnConnection

__all__ = ["ServerConnection"]


class ServerConnection(OwnConnection):
    """One connection, as its server sees it.

    `number` counts from 1, `peer` is the client's address. `within` is a number of seconds (default: that of the lab, 5 s);
    a wait that reaches it raises `WaitTimeout`. At the end of the stream the calls that want bytes raise `ConnectionEnded`;
    after an RST, `ConnectionResetError`.
    """

    _timeout: float | None = None

    # Receiving, on a handler's or the test's thread.

    def recv(self, size: int = 65536) -> bytes:
        """What has arrived, at most `size` bytes; `b""` at the end of the stream. Waits as `settimeout` says, default for ever."""
        with self._lock:
            self._wait(lambda: bool(self._inbox), self._timeout, lambda: "at least one byte")
            return self._take(min(size, len(self._inbox)))

    def recv_until(self, pattern: bytes, within: float | None = None) -> bytes:
        """Everything up to and including the first `pattern`.

        Raises ConnectionEnded when the stream ends before it, WaitTimeout at the deadline; nothing is lost.
        """
        if not isinstance(pattern, bytes) or not pattern:
            raise ValueError(
                f"pattern is {pattern!r}; expected at least one byte to wait for, such as b'\\r\\n'"
            )
        with self._lock:
            self._need(lambda: pattern in self._inbox, within, lambda: f"{pattern!r}")
            return self._take(self._inbox.index(pattern) + len(pattern))

    def recv_exactly(self, size: int, within: float | None = None) -> bytes:
        """Exactly `size` bytes. Raises as `recv_until`."""
        with self._lock:
            self._need(lambda: len(self._inbox) >= size, within, lambda: f"{size} bytes")
            return self._take(size)

    def recv_to_end(self, within: float | None = None) -> bytes:
        """Everything up to the end of the stream. Raises ConnectionResetError when the client resets instead."""
        chunks: list[bytes] = []
        deadline = time.monotonic() + self._within(within)
        with self._lock:
            while True:
                left = max(0.0, deadline - time.monotonic())
                self._wait(lambda: bool(self._inbox), left, lambda: "the end of the stream")
                if not self._inbox:
                    return b"".join(chunks)
                chunks.append(self._take(len(self._inbox)))

    def readline(self, within: float | None = None) -> bytes:
        """One line, with its `\\n`."""
        return self.recv_until(b"\n", within)

    def expect(self, expected: bytes, within: float | None = None) -> bytes:
        """The next bytes must be `expected`. Raises AssertionError that shows where they differ."""
        __tracebackhide__ = True
        with self._lock:
            self._wait(lambda: self._decides(expected), self._within(within), lambda: f"{expected!r}")
            if bytes(self._inbox[: len(expected)]) != expected:
                raise AssertionError(self._differs(expected))
            return self._take(len(expected))

    def expect_nothing(self, during: float = 0.2) -> None:
        """Nothing must arrive for so many seconds, no end either. Raises AssertionError otherwise."""
        __tracebackhide__ = True
        with self._lock:
            self._wait_quietly(lambda: bool(self._inbox) or self._ended, during)
            if self._inbox or self._ended:
                raise AssertionError(
                    f"{self!r} got {self._waiting()}; expected nothing for {during:g} s: what did the client send?"
                )

    def expect_eof(self, within: float | None = None) -> None:
        """The client must end its direction (FIN), with nothing before it. Raises AssertionError otherwise."""
        __tracebackhide__ = True
        with self._lock:
            self._wait(
                lambda: bool(self._inbox), self._within(within), lambda: "the client's FIN", resets=False
            )
            if self._inbox or self._link.peer_end != "FIN":
                raise AssertionError(
                    f"{self!r} got {self._waiting()}; expected the client's FIN and nothing before it"
                )

    def hold(self, event: threading.Event) -> None:
        """Wait until the test sets `event`; released by itself when the server is closed (ConnectionEnded)."""
        while not event.wait(0.02):
            if self.released:
                raise ConnectionEnded(
                    f"{self!r} was closed while its handler held; expected the test to set the event"
                )

    # Sending and ending.

    def send(self, data: bytes) -> None:
        """Send all of `data`; returns when the kernel has taken it. Raises ConnectionEnded after an end of ours."""
        view = memoryview(data).cast("B")
        deadline = None if self._timeout is None else time.monotonic() + self._timeout
        with self._lock:
            while view:
                view = view[self._send_some(view) :]
                if view:
                    self._wait_for_room(deadline)

    sendall = send

    def half_close(self) -> None:
        """Send FIN; receiving goes on."""
        self._link.fin()

    def close(self) -> None:
        """End cleanly: FIN, and what the client still sends is read and dropped, so that it is never an RST."""
        self.half_close()
        self._scope.engine.post(self._drain)

    def reset(self) -> None:
        """End with RST, as soon as the kernel has sent what was given to it."""
        self._scope.engine.call(self._link.end, "RST")

    # What code written for a socket needs.

    def settimeout(self, seconds: float | None) -> None:
        """How long `recv` and `send` wait; None: until the connection ends or the server is closed."""
        self._timeout = seconds

    def gettimeout(self) -> float | None:
        """What `settimeout` was given."""
        return self._timeout

    def getpeername(self) -> Address:
        """The client's address."""
        return self.peer

    def getsockname(self) -> Address:
        """The server's address."""
        return self.server.address

    def makefile(self, mode: str = "rwb", buffering: int = -1) -> io.BufferedIOBase:
        """A binary file over the connection; closing it leaves the connection open."""
        if set(mode) - set("rwb"):
            raise ValueError(
                f"mode is {mode!r}; expected 'rb', 'wb' or 'rwb': wrap it in io.TextIOWrapper for text"
            )
        return file_over(self.recv, self.send, mode)

    def __enter__(self) -> ServerConnection:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<connection {self.number} of {self.server.name}>"

    # Inside.

    @property
    def _ended(self) -> bool:
        return self._link.peer_end is not None or self._link.closed

    def _within(self, within: float | None) -> float:
        return self._scope.wait if within is None else within

    def _drain(self) -> None:
        with self._lock:
            self._inbox.clear()
        self._read_on()

    def _need(self, ready: Callable[[], bool], within: float | None, what: Callable[[], str]) -> None:
        self._wait(ready, self._within(within), what)
        if not ready():
            raise ConnectionEnded(
                f"{self!r} ended after {self._waiting()}; expected {what()}: the client closed too early"
            )

    def _wait(
        self, ready: Callable[[], bool], seconds: float | None, what: Callable[[], str], resets: bool = True
    ) -> None:
        """Wait until ready or the stream has ended; the lock is held."""
        if not self._wait_quietly(lambda: ready() or self._ended, seconds):
            raise WaitTimeout(f"{self!r} got {self._waiting()} in {seconds:g} s; expected {what()}")
        if ready() or not self._ended:
            return
        if self.released and self._link.peer_end is None:
            raise ConnectionEnded(f"{self!r} was closed by the end of the test while it waited for {what()}")
        if self._link.peer_end == "RST" and resets:
            raise ConnectionResetError(f"{self!r} was reset by the client; expected {what()}")

    def _wait_quietly(self, ready: Callable[[], bool], seconds: float | None) -> bool:
        return self._news.wait_for(lambda: ready() or self.released, seconds)

    def _decides(self, expected: bytes) -> bool:
        """Whether enough has come to say that it is, or is not, what was expected."""
        return len(self._inbox) >= len(expected) or not expected.startswith(bytes(self._inbox))

    def _differs(self, expected: bytes) -> str:
        lines = "\n".join(hexdump_diff(bytes(self._inbox[: len(expected)]), expected))
        return f"{self!r} got other bytes than expected; left is what came, right what was expected:\n{lines}"

    def _waiting(self) -> str:
        ended = f" and then {self._link.peer_end}" if self._link.peer_end else ""
        if not self._inbox:
            return f"nothing{ended}"
        return f"{len(self._inbox)} bytes, {escape(bytes(self._inbox[:64]))}{ended}"

    def _send_some(self, view: memoryview) -> int:
        if not self._link.writable:
            raise ConnectionEnded(
                f"{self!r} has ended; expected an open connection to send {len(view)} bytes"
            )
        try:
            count = self._link.sock.send(view)
        except BlockingIOError:
            return 0
        self._write_sent(TO_CLIENT, bytes(view[:count]))
        return count

    def _wait_for_room(self, deadline: float | None) -> None:
        version = self._sent[TO_CLIENT]
        seconds = None if deadline is None else max(0.0, deadline - time.monotonic())
        self._scope.engine.post(self._link.want_room)
        if not self._news.wait(seconds) and version == self._sent[TO_CLIENT]:
            raise TimeoutError(f"{self!r} could not send in {self._timeout} s; expected a client that reads")
        if self.released:
            raise ConnectionEnded(f"{self!r} was closed while it was sending; expected a client that reads")
