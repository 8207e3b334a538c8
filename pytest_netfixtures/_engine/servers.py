"""TCP servers of ours: echo, a handler for each connection, the test itself, and one that is deaf.

Law: a server says what becomes of a connection that it accepted, and nothing else.
"""

from __future__ import annotations

import _socket
from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from .._errors import ServerError, is_for_the_user
from .._wire.checks import check_choice
from .._wire.entries import TO_SERVER, Address, Delivered, How
from .connection import ServerConnection
from .endpoint import Live
from .handlers import Handler, HandlerThread, check_function, join_all
from .link import Link
from .owned import INBOX_BYTES, OwnConnection
from .owner import Chunk
from .place import Place
from .ports import Port
from .scope import Scope
from .serving import ServingEndpoint
from .sockets import tune

if TYPE_CHECKING:
    import ssl

    from .authority import Tls

__tracebackhide__ = is_for_the_user

__all__ = ["DeafServer", "TcpEcho", "TcpServer"]


class _EchoConnection(OwnConnection):
    """Sends back what it gets; lives on the engine's thread alone."""

    prefix = b""

    def start(self) -> None:
        super().start()
        self._link.write(Chunk(self.prefix, 0.0))

    def read(self, link: Link, data: bytes) -> None:
        super().read(link, data)
        self._inbox.clear()
        offset = self._sent[TO_SERVER] - len(data)
        now = self._clock()
        self._book.write(Delivered(now, self.id, TO_SERVER, offset, len(data), now), data)

    def got(self, link: Link, data: bytes) -> None:
        link.write(Chunk(data, self._clock()))
        if link.out_bytes > INBOX_BYTES:
            link.read(False)

    def room(self, link: Link) -> None:
        if not link.reading and link.out_bytes <= INBOX_BYTES // 2:
            link.read(True)

    def got_end(self, link: Link, how: How) -> None:
        link.end("FIN")


class TcpEcho(ServingEndpoint):
    """A TCP server that sends back what it gets, after `prefix` when a connection opens.

    With `tls=` it does so over TLS: connect to `address` and shake hands, as
    `lab.ca.client_context().wrap_socket(sock, server_hostname="localhost")` does.
    """

    kind = "tcp_echo"

    def __init__(
        self,
        scope: Scope,
        prefix: bytes = b"",
        *,
        tls: Tls | ssl.SSLContext | bool | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        name: str | None = None,
    ) -> None:
        if not isinstance(prefix, bytes):
            raise TypeError(f"prefix is {prefix!r}; expected bytes, such as b'220 ready\\r\\n'")
        self.prefix = prefix
        super().__init__(scope, tls=tls, host=host, port=port, name=name)

    def _connect(self, sock: _socket.socket, peer: Address, number: int) -> Live:
        tune(sock)
        connection = _EchoConnection(self, sock, peer, number)
        connection.prefix = self.prefix
        return connection


class TcpServer(ServingEndpoint):
    """A TCP server with a handler for each connection, with a list of handlers, or driven by the test.

    `handler` is a function of the connection, run in a thread; or a list of them, the n-th for the n-th connection, and
    `then` says what becomes of later ones: `"error"` (the test fails), `"refuse"` (nobody listens any more) or `"repeat"`
    (the list starts again); or None: the test takes connections with `accept()`.

    With `tls=` (True, a `Tls`, or an `ssl.SSLContext` for servers) a connection is handed over when its TLS handshake is done;
    connect to `address`, and shake hands as `lab.ca.client_context().wrap_socket(sock, server_hostname="localhost")` does.
    A handshake that fails ends its connection, whose notes say why; it fails the test only with `strict`.
    """

    kind = "tcp_server"

    def __init__(
        self,
        scope: Scope,
        handler: Handler | Sequence[Handler] | None = None,
        *,
        then: str = "error",
        strict: bool = False,
        tls: Tls | ssl.SSLContext | bool | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        name: str | None = None,
    ) -> None:
        check_choice("then", then, ("error", "refuse", "repeat"))
        self._handlers = _handlers_of(handler)
        self._each = callable(handler)
        self._then = then
        self._strict = strict
        self._threads: list[HandlerThread] = []
        self._accepted_by_test: deque[ServerConnection] = deque()
        super().__init__(scope, tls=tls, host=host, port=port, name=name)

    @property
    def results(self) -> list[object]:
        """What the handlers returned, in the order of the connections; None for one that still runs."""
        return [thread.result for thread in self._threads]

    def accept(self, within: float | None = None) -> ServerConnection:
        """The next connection, for a test that is the server itself. Raises WaitTimeout when none comes.

        Raises TypeError when the server has handlers: they take the connections.
        """
        __tracebackhide__ = True
        self._check_accept()
        self.scope.wait_until(lambda: self._accepted_by_test, within, self._nobody_came, "accept")
        return self._accepted_by_test.popleft()

    async def accept_async(self, within: float | None = None) -> ServerConnection:
        """`accept` for async code."""
        __tracebackhide__ = True
        self._check_accept()
        await self.scope.wait_until_async(lambda: self._accepted_by_test, within, self._nobody_came)
        return self._accepted_by_test.popleft()

    def close(self) -> None:
        super().close()
        join_all([thread.thread for thread in self._threads])

    def _check_accept(self) -> None:
        if self._handlers:
            raise TypeError(
                f"{self!r} has handlers; expected tcp_server() without one: accept() is for the test as server"
            )

    def _nobody_came(self) -> str:
        return f"no connection came to {self!r}; expected one: did the client connect?"

    def _stop(self) -> None:
        super()._stop()
        self._accepted_by_test.clear()

    def _forget(self) -> None:
        super()._forget()
        self._threads = [thread for thread in self._threads if thread.thread.is_alive()]
        still_open = [connection for connection in self._accepted_by_test if connection.open]
        self._accepted_by_test = deque(still_open)

    def _connect(self, sock: _socket.socket, peer: Address, number: int) -> Live:
        tune(sock)
        return _Handled(self, sock, peer, number)

    def serve(self, connection: ServerConnection) -> None:
        """Give a new connection to who takes it; on the engine's thread."""
        if not self._handlers:
            self._accepted_by_test.append(connection)
            self.scope.engine.journal.touch()
        elif (handler := self._handler(connection.number)) is not None:
            self._run(handler, connection)
        else:
            self._one_too_many(connection)

    def _handler(self, number: int) -> Handler | None:
        if self._each or self._then == "repeat":
            return self._handlers[(number - 1) % len(self._handlers)]
        if self._then == "refuse" and number == len(self._handlers):
            self._listener.refuse()
        return self._handlers[number - 1] if number <= len(self._handlers) else None

    def _run(self, handler: Handler, connection: ServerConnection) -> None:
        thread = HandlerThread(self.scope, handler, connection, self._strict)
        self._threads.append(thread)
        thread.thread.start()

    def _one_too_many(self, connection: ServerConnection) -> None:
        connection.cut(True)
        if self._then == "error":
            self.scope.fail(
                ServerError(
                    f"{self!r} got connection {connection.number}; expected {len(self._handlers)}, as many as it has handlers:"
                    ' add one, or say then="refuse" or then="repeat"'
                )
            )


class _Handled(ServerConnection):
    """A connection that its server gives to a handler or to the test."""

    def ready(self) -> None:
        assert isinstance(self.server, TcpServer)
        self.server.serve(self)


def _handlers_of(handler: Handler | Sequence[Handler] | None) -> tuple[Handler, ...]:
    if handler is None:
        return ()
    handlers = tuple(handler) if isinstance(handler, Iterable) and not callable(handler) else (handler,)
    if not handlers or not all(callable(each) for each in handlers):
        raise TypeError(
            f"handler is {handler!r}; expected a function of the connection, or a list of at least one"
        )
    for each in handlers:
        check_function("handler", each)
    return handlers


class DeafServer(Place):
    """Connects succeed, nothing is ever accepted or read."""

    def __init__(
        self, scope: Scope, *, host: str = "127.0.0.1", port: int = 0, name: str | None = None
    ) -> None:
        self.scope = scope
        self._port = Port(scope.engine, host, port)
        self.name = scope.name("deaf_server", name)
        self._sock: _socket.socket | None = None
        self._say_where()
        self.start()

    def start(self) -> None:
        """Let connects succeed; again on the same port after `stop()`."""
        self.scope.engine.call(self._start)

    def stop(self) -> None:
        """Reset whoever has connected, and refuse from now on."""
        self.scope.engine.call(self._stop)

    def cut(self, reset: bool = True) -> None:
        """Reset whoever has connected; new connects succeed. There is no end but RST for what was never accepted."""
        self.scope.engine.call(self._cut)

    def close(self) -> None:
        """Stop, and give the port back."""
        self.scope.engine.call(self._close)

    def _start(self) -> None:
        if self._sock is None:
            self._sock = self._port.another()
            self._sock.listen(4096)

    def _stop(self) -> None:
        sock, self._sock = self._sock, None
        if sock is not None:
            self.scope.engine.close(sock)

    def _cut(self) -> None:
        if self._sock is not None:
            self._stop()
            self._start()

    def _close(self) -> None:
        self._stop()
        self._port.close()
