"""What servers and proxies with connections are: a port, connections with numbers, and a record.

Law: it accepts, counts, stops and starts; what a connection does is its own business. `Endpoint` is what a proxy of UDP,
whose sessions are its connections, has in common with those of TCP. Public methods may be called from
any thread, inside a client's callback and inside a running event loop: none of them waits for a peer.
"""

from __future__ import annotations

import _socket
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from .._errors import is_for_the_user
from .._wire.entries import Address, LegOpened, TlsStarted
from .place import Recorded
from .ports import Listener, Port
from .scope import Scope

__all__ = ["Endpoint", "Live", "TcpEndpoint", "Undo"]

__tracebackhide__ = is_for_the_user


class Live(Protocol):
    """A connection of an endpoint, as its endpoint sees it."""

    id: int
    number: int
    opened_before: bool

    @property
    def open(self) -> bool:
        """Whether it still exists."""

    def start(self) -> None:
        """Begin."""

    def opened(self, before: bool) -> Sequence[LegOpened | TlsStarted]:
        """The entries that say that its legs are open, and which of them are under TLS."""

    def cut(self, reset: bool) -> None:
        """End now."""

    def abandon(self) -> None:
        """End at teardown."""


L = TypeVar("L", bound=Live)


class Listens(Protocol):
    """What can hear clients on a port, and fall silent."""

    def listen(self) -> None:
        """Hear clients from now on."""

    def refuse(self) -> None:
        """From now on nobody listens; the port stays ours."""


class Endpoint(Recorded):
    """A server or proxy: `host`, `port`, `address`, `netloc`, `url`, `name`, `traffic`, `connections`."""

    kind = "endpoint"

    def __init__(self, scope: Scope, port: Port, listener: Listens, name: str | None = None) -> None:
        self.scope = scope
        self._port = port
        self.name = scope.name(self.kind, name)
        self._listener = listener
        self._live: list[Live] = []
        self._count = 0
        self._say_where()
        try:
            self.start()
        except BaseException:
            self._port.close()
            raise

    def start(self) -> None:
        """Listen; again on the same port after `stop()` or `refuse()`."""
        self.scope.engine.call(self._listen)

    def stop(self) -> None:
        """Stop: on return the port refuses and every connection is dead. Idempotent; `start()` brings it back."""
        self.scope.engine.call(self._stop)

    def refuse(self) -> Undo:
        """Nobody listens from now on, on the same port; open connections stay. As a context manager: for a block."""
        self.scope.engine.call(self._refuse)
        return Undo(self.start)

    def cut(self, reset: bool = False) -> None:
        """End every open connection, with FIN or with RST; new ones are accepted. Nothing that waits is delivered."""
        self.scope.engine.call(self._cut, reset)

    def forget(self) -> None:
        """Start the record and the numbering afresh; open connections stay, as `opened_before`."""
        self.scope.engine.call(self._start_afresh)

    def open_entries(self) -> list[LegOpened | TlsStarted]:
        """What a new reader has to know of the connections that are open."""
        return [entry for connection in self.open_connections() for entry in connection.opened(True)]

    def open_connections(self) -> list[Live]:
        """Those that exist now."""
        return [connection for connection in self._live if connection.open]

    def close(self) -> None:
        """Stop, and give the port back."""
        self.scope.engine.call(self._close)

    # On the engine's thread.

    def _listen(self) -> None:
        self._listener.listen()

    def _refuse(self) -> None:
        self._listener.refuse()

    def _stop(self) -> None:
        self._refuse()
        for connection in list(self._live):
            connection.abandon()
        self._live.clear()

    def _close(self) -> None:
        self._stop()
        self._port.close()

    def _cut(self, reset: bool) -> None:
        for connection in self.open_connections():
            connection.cut(reset)

    def _start_afresh(self) -> None:
        self.scope.engine.settle()  # what a client has done before belongs to before
        self._forget()

    def _forget(self) -> None:
        with self.scope.book.lock:
            kept = self._renumber()
            self.scope.book.recorder.forget([connection.id for connection in kept], self.name)

    def _renumber(self) -> list[Live]:
        self._live = self.open_connections()
        self._count = 0
        for number, connection in enumerate(reversed(self._live)):
            connection.number, connection.opened_before = -number, True
        return self._live

    def _one_more(self, make: Callable[[int], L]) -> L:
        """A connection with the next number."""
        self._count += 1
        if len(self._live) > 64 and self._count % 64 == 0:
            self._live = self.open_connections()
        connection = make(self._count)
        self._live.append(connection)
        return connection


class TcpEndpoint(Endpoint):
    """A TCP server or proxy."""

    kind = "tcp"
    _listener: Listener

    def __init__(
        self, scope: Scope, *, host: str = "127.0.0.1", port: int = 0, name: str | None = None
    ) -> None:
        own = Port(scope.engine, host, port)
        super().__init__(scope, own, Listener(own, self._accepted), name)

    # On the engine's thread.

    def _accepted(self, sock: _socket.socket, peer: Address) -> None:
        self._one_more(lambda number: self._connect(sock, peer, number)).start()

    def _connect(self, sock: _socket.socket, peer: Address, number: int) -> Live:
        raise TypeError(f"{type(self).__name__} does not say what a connection is")


class Undo:
    """What a call started; as a context manager it ends with the block."""

    def __init__(self, undo: Callable[[], object]) -> None:
        self._undo = undo

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exc: object) -> None:
        self._undo()
