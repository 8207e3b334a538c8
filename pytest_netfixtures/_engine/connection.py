"""A connection of a server of ours, with blocking calls.

Law: a handler takes from the inbox what the engine has read. Every wait ends: by data, by the peer's end, by a deadline,
or when the server is closed; a deadline loses nothing. `close()` never resets by accident. Where an event loop runs, the
sync form never blocks: its twin with `_async` waits beside the loop and takes on it, so that a cancelled one takes nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable
from typing import IO, TYPE_CHECKING, Any, TypeAlias, TypeVar

from .._errors import ConnectionEnded, is_for_the_user
from .._wire.checks import check_seconds
from .files import file_over
from .tls_owned import Securable
from .waiting import beside_the_loop, refuse_to_block
from .wants import Want

if TYPE_CHECKING:
    import ssl

    from .authority import Tls

__tracebackhide__ = is_for_the_user

__all__ = ["ServerConnection"]

T = TypeVar("T")

Buffer: TypeAlias = "bytes | bytearray | memoryview"


class ServerConnection(Securable):
    """One connection, as its server sees it.

    `number` counts from 1, `peer` is the client's address. `within` is a number of seconds (default: that of the lab, 5 s);
    a wait that reaches it raises `WaitTimeout`. At the end of the stream the calls that want bytes raise `ConnectionEnded`;
    after an RST, `ConnectionResetError`. Every call that waits has a twin for async code, with `_async` behind its name.
    """

    _timeout: float | None = None

    # Receiving, on a handler's or the test's thread.

    def recv(self, size: int = 65536) -> bytes:
        """What has arrived, at most `size` bytes; `b""` at the end of the stream.

        Waits as `settimeout` says (TimeoutError), by default for ever.
        """
        return self._get(self._want_some(size), self._timeout)

    async def recv_async(self, size: int = 65536) -> bytes:
        """`recv` for async code."""
        return await self._get_async(self._want_some(size), self._timeout)

    def recv_until(self, pattern: bytes, within: float | None = None) -> bytes:
        """Everything up to and including the first `pattern`.

        Raises ConnectionEnded when the stream ends before it, WaitTimeout at the deadline; nothing is lost.
        """
        return self._get(self._want_until(pattern), self._within(within))

    async def recv_until_async(self, pattern: bytes, within: float | None = None) -> bytes:
        """`recv_until` for async code."""
        return await self._get_async(self._want_until(pattern), self._within(within))

    def recv_exactly(self, size: int, within: float | None = None) -> bytes:
        """Exactly `size` bytes. Raises as `recv_until`."""
        return self._get(self._want_exactly(size), self._within(within))

    async def recv_exactly_async(self, size: int, within: float | None = None) -> bytes:
        """`recv_exactly` for async code."""
        return await self._get_async(self._want_exactly(size), self._within(within))

    def recv_to_end(self, within: float | None = None) -> bytes:
        """Everything up to the end of the stream. Raises ConnectionResetError when the client resets instead."""
        return self._get(self._want_all(), self._within(within))

    async def recv_to_end_async(self, within: float | None = None) -> bytes:
        """`recv_to_end` for async code."""
        return await self._get_async(self._want_all(), self._within(within))

    def readline(self, within: float | None = None) -> bytes:
        """One line, with its `\\n`. Raises as `recv_until`."""
        return self._get(self._want_until(b"\n", "readline"), self._within(within))

    async def readline_async(self, within: float | None = None) -> bytes:
        """`readline` for async code."""
        return await self._get_async(self._want_until(b"\n", "readline"), self._within(within))

    def expect(self, expected: bytes, within: float | None = None) -> bytes:
        """The next bytes must be `expected`. Raises AssertionError that shows where they differ."""
        __tracebackhide__ = True
        return self._get(self._want_this(expected), self._within(within))

    async def expect_async(self, expected: bytes, within: float | None = None) -> bytes:
        """`expect` for async code."""
        __tracebackhide__ = True
        return await self._get_async(self._want_this(expected), self._within(within))

    def expect_nothing(self, during: float = 0.2) -> None:
        """Nothing must arrive for so many seconds, no end either. Raises AssertionError otherwise."""
        __tracebackhide__ = True
        want = self._want_anything(during)
        if self._comes(want, during):
            self._answer(want)

    async def expect_nothing_async(self, during: float = 0.2) -> None:
        """`expect_nothing` for async code."""
        __tracebackhide__ = True
        want = self._want_anything(during)
        if await beside_the_loop(lambda: self._comes(want, during)):
            self._answer(want)

    def expect_eof(self, within: float | None = None) -> None:
        """The client must end its direction (FIN), with nothing before it. Raises AssertionError otherwise."""
        __tracebackhide__ = True
        self._get(self._want_eof(), self._within(within))

    async def expect_eof_async(self, within: float | None = None) -> None:
        """`expect_eof` for async code."""
        __tracebackhide__ = True
        await self._get_async(self._want_eof(), self._within(within))

    def hold(self, event: threading.Event) -> None:
        """Wait until the test sets `event`; released by itself when the server is closed (ConnectionEnded)."""
        while not event.is_set():
            refuse_to_block("hold")
            if self.released or self.gone:
                raise ConnectionEnded(
                    f"{self!r} was ended while its handler held; expected the test to set the event before that"
                )
            event.wait(0.02)

    async def hold_async(self, event: threading.Event) -> None:
        """`hold` for async code."""
        await beside_the_loop(lambda: self.hold(event))

    # Sending and ending.

    def send(self, data: Buffer) -> int:
        """Send all of `data`; returns its length when the kernel has taken it.

        Waits for a client that does not read as `settimeout` says (TimeoutError), by default for ever. Raises
        ConnectionEnded after an end of ours, ConnectionResetError after the client's RST.
        """
        view, deadline = memoryview(data).cast("B"), self._deadline()
        while (view := view[self._send_some(view) :]) or self._link.owes:
            refuse_to_block("send")
            self._wait_for_room(deadline)
        return memoryview(data).nbytes

    async def send_async(self, data: Buffer) -> int:
        """`send` for async code."""
        view, deadline = memoryview(data).cast("B"), self._deadline()
        while (view := view[self._send_some(view) :]) or self._link.owes:
            await beside_the_loop(lambda: self._wait_for_room(deadline))
        return memoryview(data).nbytes

    def sendall(self, data: Buffer) -> None:
        """`send`, as sockets call it."""
        self.send(data)

    def half_close(self) -> None:
        """Send FIN; receiving goes on."""
        self._link.fin()

    def close(self) -> None:
        """End cleanly: FIN, and what the client still sends is read and dropped, so that it is never an RST."""
        self.half_close()
        self.give_up()
        self._scope.engine.post(self._read_on)

    def reset(self) -> None:
        """End with RST, as soon as the kernel has sent what was given to it."""
        self.give_up()
        self._scope.engine.call(self._link.end, "RST")

    # TLS in the middle of the stream.

    def start_tls(self, tls: Tls | ssl.SSLContext | bool = True, within: float | None = None) -> None:
        """Go on under TLS, as after SMTP's STARTTLS or PostgreSQL's SSLRequest: the next bytes are the client's handshake.

        `tls`: True, a `Tls`, or an `ssl.SSLContext` for servers. What came and was not received yet belongs to the handshake.
        Raises ConnectionEnded when it fails, which ends the connection; WaitTimeout at the deadline.
        """
        seconds = self._within(within)
        self._go_under_tls(tls)
        self._get(self._want_tls(), seconds)

    async def start_tls_async(
        self, tls: Tls | ssl.SSLContext | bool = True, within: float | None = None
    ) -> None:
        """`start_tls` for async code."""
        seconds = self._within(within)
        self._go_under_tls(tls)
        await self._get_async(self._want_tls(), seconds)

    # What code written for a socket needs.

    def settimeout(self, seconds: float | None) -> None:
        """How long `recv` and `send` wait; None: until the connection ends or the server is closed."""
        if seconds is not None:
            check_seconds("seconds", seconds)
        self._timeout = seconds

    def gettimeout(self) -> float | None:
        """What `settimeout` was given."""
        return self._timeout

    def getpeername(self) -> tuple[str, int]:
        """The client's address."""
        return self.peer

    def getsockname(self) -> tuple[str, int]:
        """The server's address."""
        return self.server.address

    def makefile(self, mode: str = "rwb", buffering: int = -1, **text: Any) -> IO[Any]:
        """A file over the connection; closing it leaves the connection open.

        `mode` is "r", "w" or "rw" for text (`encoding`, `errors` and `newline` as `open` takes them), with "b" for bytes;
        `buffering=0` with "b" hands every write over at once.
        """
        return file_over(self.recv, self.send, mode, buffering, text)

    def __enter__(self) -> ServerConnection:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<connection {self.number} of {self.server.name}>"

    # Inside: waiting.

    @property
    def _over(self) -> bool:
        """Whether nothing more can come."""
        return self.gone or self.released or self._link.closed or self._link.peer_end is not None

    def _within(self, within: float | None) -> float:
        if within is None:
            return self._scope.wait
        check_seconds("within", within)
        return within

    def _get(self, want: Want[T], seconds: float | None) -> T:
        __tracebackhide__ = True
        with self._lock:
            if not self._comes(want, seconds):
                raise self._late(want, seconds)
            return self._answer(want)

    async def _get_async(self, want: Want[T], seconds: float | None) -> T:
        __tracebackhide__ = True
        coming: Awaitable[bool] = beside_the_loop(lambda: self._comes(want, seconds))
        if not await coming:
            raise self._late(want, seconds)
        return self._answer(want)

    def _comes(self, want: Want[T], seconds: float | None) -> bool:
        """Wait until it is met, or cannot be any more; False at the deadline."""
        with self._lock:
            if want.met() or self._over:
                return True
            if seconds != 0:
                refuse_to_block(want.call)
            self.make_room(want.room)
            try:
                return self._news.wait_for(lambda: want.met() or self._over, seconds)
            finally:
                self.make_room(0)

    def _answer(self, want: Want[T]) -> T:
        __tracebackhide__ = True
        with self._lock:
            if self.gone or not want.met():
                raise self._why(want)
            return want.take()

    def _late(self, want: Want[T], seconds: float | None) -> Exception:
        return want.late(
            f"{self!r} got {self._waiting()} in {seconds:g} s; expected {want.text}: did the client send it?"
        )

    # Inside: sending.

    def _deadline(self) -> Callable[[], float | None]:
        """How many seconds are left, or None for no bound."""
        if (timeout := self._timeout) is None:
            return lambda: None
        end = time.monotonic() + timeout
        return lambda: max(0.0, end - time.monotonic())

    def _send_some(self, view: memoryview) -> int:
        with self._lock:
            if view and not self._may_send:
                raise self._cannot_send(len(view))
            try:
                return self._link.send_now(view) if view else 0
            except BlockingIOError:
                return 0
            except OSError as error:
                self._link.broken = True  # the kernel tells of a reset once, and it has told us
                raise self._cannot_send(len(view), left=True) from error

    @property
    def _may_send(self) -> bool:
        return self._link.writable and self._link.peer_end != "RST" and not self.released

    def _cannot_send(self, size: int, left: bool = False) -> Exception:
        if left or self._link.peer_end == "RST":
            return ConnectionResetError(
                f"{self!r} could not send {size} bytes: the client has left; expected it to read them"
            )
        return ConnectionEnded(
            f"{self!r} has ended here and cannot send {size} bytes; expected an open connection: send before it ends, or"
            " before its server is closed"
        )

    def _wait_for_room(self, left: Callable[[], float | None]) -> None:
        """Wait until the kernel may take bytes again."""
        with self._lock:
            count = self.rooms
            self._scope.engine.post(self._link.want_room)
            changed = self._news.wait_for(lambda: self.rooms != count or not self._may_send, left())
        if not changed:
            raise TimeoutError(
                f"{self!r} could not send in {self._timeout:g} s; expected a client that reads, or a longer settimeout()"
            )
