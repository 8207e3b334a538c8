"""One connection through a proxy: two links, the faults between them, and a schedule.

Law: what a link reads becomes an event, the pipeline says what is to be carried out and when, the schedule waits, and the
other link does it. This is where the proxy's story is told; it decides nothing by itself but back-pressure: reading rests
while more than `queue_bytes` wait in one direction.
"""

from __future__ import annotations

import _socket
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .._wire.entries import (
    DIRECTIONS,
    TO_CLIENT,
    TO_SERVER,
    Address,
    Delivered,
    Direction,
    How,
    LegEnded,
    LegOpened,
    LegOpening,
    Sent,
    Side,
    TlsStarted,
)
from .._wire.events import Data, Event, Fin, Rst
from .._wire.pipeline import opposite
from .faulted import Faulted
from .link import Chunk, Link
from .loop import Timer
from .sockets import tune
from .upstream import Dial, address_of

if TYPE_CHECKING:
    from .tcp_proxy import TcpProxy

__all__ = ["ProxiedConnection"]

READ_WITH_FAULTS = 64 << 10
"""So many bytes are read at a time where faults look at them: one that makes an event of each byte holds up all others."""


class ProxiedConnection(Faulted):
    """A client, an upstream, and what is on the way between them. For the engine's thread."""

    proxy: TcpProxy
    connected = False

    def __init__(self, proxy: TcpProxy, sock: _socket.socket, peer: Address, number: int) -> None:
        super().__init__(proxy, peer, number)
        self.client = Link(self.engine, sock, self)
        self.server: Link | None = None
        self._waits: Timer | None = None
        self._dial = Dial(self.engine, self._connecting, self._failed, self._connected, self._unreachable)
        self._over: dict[Direction, Event | None] = dict.fromkeys(DIRECTIONS)

    # Opening.

    def start(self) -> None:
        """Written down; then, after `accept_delay`, the upstream is connected, and only then the client is read."""
        tune(self.client.sock)
        with self.book.lock:
            self.book.write(self._entry_of_leg(LegOpened, "client"))
        if delay := self.proxy.accept_delay:
            self._waits = self.engine.call_at(time.monotonic() + delay, lambda: self._take_up(delay))
            self.client.read(False)  # that the client resets is noticed
        else:
            self._dial.start(*address_of(self.proxy.upstream))

    def _take_up(self, delay: float) -> None:
        """The client has waited; what it has done meanwhile is read when the upstream is connected."""
        self._waits = None
        self.engine.unwatch(self.client.sock)
        self.proxy.scope.note(f"taken up after {delay:g} s", self.id)
        self._dial.start(*address_of(self.proxy.upstream))

    def _give_up(self) -> None:
        """The upstream is not connected to any more."""
        if self._waits is not None:
            self._waits.cancel()
        self._dial.stop()

    def opened(self, before: bool) -> Sequence[LegOpened | TlsStarted]:
        """The entries that say which legs are open, and which of them are under TLS."""
        legs: list[Side] = [] if self.client.closed else ["client"]
        if self.server is not None and not self.server.closed:
            legs.append("server")
        under_tls = [entry for link in self._links() if not link.closed for entry in link.started()]
        return [*(self._entry_of_leg(LegOpened, leg, before) for leg in legs), *under_tls]

    def _connected(self, sock: _socket.socket) -> None:
        self._meet_server(Link(self.engine, sock, self))
        self._begin()

    def _meet_server(self, link: Link) -> None:
        self.server = link
        link.resting = self._agenda.paused
        link.broken = self._dial.was_reset
        with self.book.lock:
            self.book.write(self._entry_of_leg(LegOpened, "server"))

    def _begin(self) -> None:
        """Both legs are there: faults and traffic begin."""
        self.connected = True
        self._open_faults()
        self._carried_out()

    def _connecting(self, local: tuple[str, int], upstream: tuple[str, int]) -> None:
        self._local, self._upstream = local, upstream
        self.book.write(self._entry_of_leg(LegOpening, "server"))

    def _unreachable(self) -> None:
        self._over = dict.fromkeys(DIRECTIONS, Fin(0.0, whole=True))
        if self.proxy.on_unreachable == "reset":
            self.client.reset()
            return
        if self.proxy.on_unreachable == "close":
            self.client.end("FIN")
        self.client.read(True)

    # What the links tell.

    def read(self, link: Link, data: bytes) -> None:
        direction = self._from(link)
        self.book.write(Sent(time.monotonic(), self.id, direction, self._sent[direction], len(data)), data)
        self._sent[direction] += len(data)

    def got(self, link: Link, data: bytes) -> None:
        direction = self._from(link)
        if self.connected and not self._is_over(direction):
            self._feed(direction, Data(time.monotonic(), data))
        self._balance(direction)

    def peer_ended(self, link: Link, how: How) -> None:
        self.book.write(LegEnded(time.monotonic(), self.id, self._side(link), "peer", how))

    def got_end(self, link: Link, how: How) -> None:
        if self.connected:
            now = time.monotonic()
            event = Fin(now, notify=self._says_goodbye(link)) if how == "FIN" else Rst(now)
            self._feed(self._from(link), event)
            self._end_what_is_left()
        elif how == "RST":
            if self._waits is not None:
                self.proxy.scope.note("the client was gone before it was taken up", self.id)
            self._give_up()
        if not self._agenda.idle:
            self.engine.post(self._end_what_is_left)  # this link may be closed only behind this

    def _says_goodbye(self, link: Link) -> bool:
        """Whether the other leg ends as cleanly. Who left that one without a goodbye has closed, and would answer it with RST."""
        other = self._receiver(self._from(link))
        return link.clean_end and (other is None or other.clean_end)

    def wrote(self, link: Link, data: bytes, chunk: Chunk) -> None:
        direction = opposite(self._from(link))
        offset, now = self._delivered[direction], time.monotonic()
        self.book.write(Delivered(now, self.id, direction, offset, len(data), chunk.due, chunk.faults), data)
        self._delivered[direction] = offset + len(data)

    def we_ended(self, link: Link, how: How, faults: tuple[str, ...]) -> None:
        self.book.write(LegEnded(time.monotonic(), self.id, self._side(link), "us", how, faults))
        if not self._agenda.idle or (how == "RST" and self.open):
            self.engine.post(self._end_what_is_left)

    def room(self, link: Link) -> None:
        self._balance(opposite(self._from(link)))

    def _side(self, link: Link) -> Side:
        return "client" if link is self.client else "server"

    def _from(self, link: Link) -> Direction:
        return TO_SERVER if link is self.client else TO_CLIENT

    def _receiver(self, direction: Direction) -> Link | None:
        return self.server if direction == TO_SERVER else self.client

    # Events on their way.

    def _is_over(self, direction: Direction) -> bool:
        """Whether nothing can happen here any more; behind a FIN of this direction alone an RST still can."""
        over = self._over[direction]
        return over is not None and not (isinstance(over, Fin) and not over.whole)

    def _may_act(self, direction: Direction, event: Event) -> bool:
        return self._over[direction] is None or (isinstance(event, Rst) and not self._is_over(direction))

    def _act(self, direction: Direction, event: Event, faults: tuple[str, ...]) -> None:
        receiver = self._receiver(direction)
        if receiver is None or not self._may_act(direction, event):
            return  # without a receiver: a fault has made something of being lifted before the upstream was connected
        if isinstance(event, Data):
            receiver.write(Chunk(event.data, event.at, faults))
        elif isinstance(event, (Fin, Rst)):
            self._end(direction, event, faults)

    def _end(self, direction: Direction, event: Fin | Rst, faults: tuple[str, ...]) -> None:
        for way in (direction, opposite(direction)) if event.whole else (direction,):
            self._over[way] = event
            if (receiver := self._receiver(way)) is not None and isinstance(event, Fin):
                receiver.end("FIN", faults, event.notify)
            elif receiver is not None:
                receiver.end("RST", faults)
        self._carried_out()

    def _carried_out(self) -> None:
        for direction in DIRECTIONS:
            self._balance(direction)
        self._end_what_is_left()

    def _end_what_is_left(self) -> None:
        """A fault has reset one leg alone: when the peer of the other one leaves, and nothing is on its way to it, it is over.

        When both legs are closed nothing is kept, no wake-up call either.
        """
        if not self.open:
            self._drop()
        if self.server is None or self._agenda.paused:
            return
        for way, gone, left in (
            (TO_SERVER, self.client, self.server),
            (TO_CLIENT, self.server, self.client),
        ):
            alone = gone.our_end == "RST" and gone.peer_end is None and left.peer_end == "FIN"
            if alone and left.writable and not self._on_the_way(way):
                left.end("FIN", notify=left.clean_end)

    def _balance(self, direction: Direction) -> None:
        """Rest reading while too much waits; go on when half of it is gone, or when it is only to be dropped."""
        sender = self.client if direction == TO_SERVER else self.server
        if sender is None or sender.closed or not self.connected:
            return
        sender.at_once = READ_WITH_FAULTS if self._pipeline.rows[direction] else 0
        waiting = 0 if self._over[direction] else self._waiting(direction)
        if waiting > self.proxy.queue_bytes:
            sender.read(False)
        elif not sender.reading and waiting <= self.proxy.queue_bytes // 2:
            sender.read(True)

    def _waiting(self, direction: Direction) -> int:
        receiver = self._receiver(direction)
        return self._on_the_way(direction) + (receiver.out_bytes if receiver is not None else 0)

    def _on_the_way(self, direction: Direction) -> int:
        return self._agenda.waiting[direction] + self._pipeline.held_bytes(direction)

    # What the proxy asks for.

    @property
    def open(self) -> bool:
        """Whether either leg still exists."""
        return not self.client.closed or (self.server is not None and not self.server.closed)

    def _rest(self, on: bool) -> None:
        for link in self._links():
            link.rest(on)

    def cut(self, reset: bool) -> None:
        """End both legs now; what waits is not delivered."""
        self._drop()
        event: Event = Rst(0.0) if reset else Fin(0.0, whole=True)
        for direction in DIRECTIONS:
            self._over[direction] = event
        for link in self._links():
            if not link.closed:
                link.drop()
                link.reset() if reset else link.end("FIN", notify=False)
                if not link.closed:
                    link.read(True)

    def abandon(self) -> None:
        """End at teardown: what is scheduled stays undelivered, and nobody is waited for."""
        self._drop()
        for link in self._links():
            link.abandon()

    def _links(self) -> list[Link]:
        return [self.client] if self.server is None else [self.client, self.server]

    def _drop(self) -> None:
        self._give_up()
        for way in () if self._agenda.over else DIRECTIONS:
            if self._on_the_way(way):
                lost = self._sent[way] - self._delivered[way]
                text = f"{lost} bytes {way} of connection {self.number} were never delivered"
                self.proxy.scope.note(text, self.id)
        self._agenda.clear()
        self._pipeline.drop()
