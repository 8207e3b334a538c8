"""The faults on the cipher text of a connection's client leg, handshake included.

Law: they stand between OpenSSL and the socket, in a row of their own that counts bytes of cipher text; what is plain text
above knows nothing of them. Everything that they are asked and do is as for the faults above. Whatever they have done says
that it was beneath TLS.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .._wire.entries import DIRECTIONS, TO_CLIENT, TO_SERVER, Direction, Fired, How
from .._wire.events import Data, Event, Fin, Rst
from .._wire.pipeline import Fire, opposite
from .faulted import Faulted
from .owner import Chunk
from .tls_link import TlsLink

if TYPE_CHECKING:
    from .proxied import ProxiedConnection
    from .tcp_proxy import TcpProxy

__all__ = ["Beneath", "FaultedTlsLink"]


class FaultedTlsLink(TlsLink):
    """A link under TLS with faults on its cipher text; `row` is there before it begins."""

    row: Beneath

    @property
    def out_bytes(self) -> int:  # type: ignore[override]
        """How many bytes wait, those on their way through the faults included."""
        return super().out_bytes + self.row.waiting(TO_CLIENT) + self.inner.out_bytes

    def cipher_in(self, data: bytes) -> None:
        """Cipher text was read."""
        self.row.hear(TO_SERVER, Data(time.monotonic(), data))

    def cipher_in_end(self, how: How) -> None:
        """The peer has ended."""
        self.row.hear(TO_SERVER, _end(how))

    def cipher_out(self, chunk: Chunk) -> None:
        """Cipher text for the peer."""
        self.row.hear(TO_CLIENT, Data(time.monotonic(), chunk.data))

    def cipher_out_end(self, how: How, faults: tuple[str, ...]) -> None:
        """We end."""
        self.row.hear(TO_CLIENT, _end(how), faults)

    def _pass_on(self) -> None:
        """The faults may lead back here; what comes of that stands behind what they have been given."""
        while self._sealed:
            self.cipher_out(self._sealed.popleft())

    def forget_lost(self) -> None:
        """Nothing is on its way any more: plain text whose cipher text has not left by now was lost among the faults."""
        with self.lock:
            if not (self._sealed or self.inner.out_bytes or self.row.waiting(TO_CLIENT)):
                self._on_its_way.clear()

    def abandon(self) -> None:
        """At teardown: as without faults, but a goodbye could not be read behind what they have done."""
        self._torn = True
        super().abandon()


class Beneath(Faulted):
    """The faults beneath the TLS of one connection. For the engine's thread."""

    proxy: TcpProxy

    def __init__(self, connection: ProxiedConnection, link: FaultedTlsLink) -> None:
        super().__init__(connection.proxy, connection.peer, connection.number, connection)
        self._connection = connection
        self._link = link
        self._over: dict[Direction, Fin | Rst | None] = dict.fromkeys(DIRECTIONS)
        self._caused: dict[Direction, tuple[str, ...]] = dict.fromkeys(DIRECTIONS, ())

    def start(self) -> None:
        """Tell the faults that it is open; the handshake comes behind it."""
        self._open_faults()

    def hear(self, direction: Direction, event: Event, faults: tuple[str, ...] = ()) -> None:
        """Cipher text, or the end of it, from the client or from OpenSSL; `faults` above have made it."""
        if self._agenda.over:
            self._carry_out(direction, event, faults)
        elif self._may_act(direction, event):
            self._caused[direction] = faults or self._caused[direction]
            self._feed(direction, event)
            self._balance()

    def waiting(self, direction: Direction) -> int:
        """How many bytes of cipher text are on their way."""
        return self._agenda.waiting[direction] + self._pipeline.held_bytes(direction)

    def drop(self) -> None:
        """It is over: what waits is not delivered."""
        for way in () if self._agenda.over else DIRECTIONS:
            if size := self.waiting(way):
                text = f"{size} bytes of cipher text {way} of connection {self.number} were never delivered"
                self.proxy.scope.note(text, self.id)
        self._agenda.clear()
        self._pipeline.drop()

    @property
    def open(self) -> bool:
        """Whether the connection still exists."""
        return self._connection.open

    def cut(self, reset: bool) -> None:
        """End the connection."""
        self._connection.cut(reset)

    def _tell(self, fire: Fire) -> None:
        with self.book.lock:
            direction, fault, effect, offset = fire
            self.book.write(
                Fired(time.monotonic(), self.id, direction, _named(fault), effect, offset, beneath_tls=True)
            )

    def _may_act(self, direction: Direction, event: Event) -> bool:
        """Nothing follows an end, but an RST may follow the FIN of one direction."""
        over = self._over[direction]
        return over is None or (isinstance(event, Rst) and isinstance(over, Fin) and not over.whole)

    def _act(self, direction: Direction, event: Event, faults: tuple[str, ...]) -> None:
        if not self._may_act(direction, event):
            return
        named = tuple(map(_named, faults))
        if not isinstance(event, (Fin, Rst)):
            self._carry_out(direction, event, named)
            return
        for way in (direction, opposite(direction)) if event.whole and faults else (direction,):
            self._over[way] = event
            self._carry_out(way, event, (*self._caused[way], *named))
        self._carried_out()

    def _carry_out(self, direction: Direction, event: Event, faults: tuple[str, ...]) -> None:
        if isinstance(event, Data):
            if direction == TO_SERVER:
                self._link.feed(event.data)
            else:
                self._link.inner.write(Chunk(event.data, event.at, faults))
        elif isinstance(event, (Fin, Rst)):
            how: How = "FIN" if isinstance(event, Fin) else "RST"
            if direction == TO_SERVER:
                self._link.feed_end(how)
            else:
                self._link.inner.end(how, faults)

    def _balance(self) -> None:
        """Rest reading while too much waits for the faults; go on when half of it is gone."""
        self._link.forget_lost()
        waiting, inner = self.waiting(TO_SERVER), self._link.inner
        if inner.closed:
            return
        if waiting > self.proxy.queue_bytes and not self._over[TO_SERVER]:
            inner.read(False)
        elif not inner.reading and waiting <= self.proxy.queue_bytes // 2:
            self._link.read(self._link.reading)

    def _carried_out(self) -> None:
        self._balance()
        self._connection._carried_out()


def _end(how: How) -> Fin | Rst:
    return Fin(time.monotonic(), notify=False) if how == "FIN" else Rst(time.monotonic(), whole=False)


def _named(fault: str) -> str:
    return f"{fault} beneath TLS"
