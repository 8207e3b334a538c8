"""What every connection of a server of ours has: a link, a record, an inbox.

Law: the engine reads into the inbox and writes down; `.sent` is what was read, `.delivered` what was taken. It knows
neither who takes it nor any waiting.
"""

from __future__ import annotations

import _socket
import threading
import time
from typing import TYPE_CHECKING

from .._wire.entries import (
    TO_CLIENT,
    TO_SERVER,
    Address,
    Delivered,
    Direction,
    How,
    LegEnded,
    LegOpened,
    Sent,
    TlsStarted,
)
from .link import Link
from .owner import Chunk

if TYPE_CHECKING:
    from .serving import ServingEndpoint

__all__ = ["INBOX_BYTES", "OwnConnection"]

INBOX_BYTES = 1 << 20
"""Above it reading rests until something has been taken, or somebody waits for more than that."""


class OwnConnection:
    """One connection, as its server's engine sees it."""

    _clock = staticmethod(time.monotonic)

    def __init__(self, server: ServingEndpoint, sock: _socket.socket, peer: Address, number: int) -> None:
        self.server = server
        self.number = number
        self.peer = (peer[0], int(peer[1]))
        self.id = server.scope.identity()
        self.opened_before = False
        self._scope = server.scope
        self._book = server.scope.book
        self._lock = self._book.lock
        self._news = threading.Condition(self._lock)
        self._inbox = bytearray()
        self._sent = {TO_SERVER: 0, TO_CLIENT: 0}
        self._taken = 0
        self._room = INBOX_BYTES + 0.0
        self.rooms = 0
        self.released = False
        self.gone = False
        self._link = self._link_over(sock)

    def _link_over(self, sock: _socket.socket) -> Link:
        if (context := self.server.tls_context) is None:
            return Link(self._scope.engine, sock, self)
        from .tls_link import TlsLink

        return TlsLink(
            self._scope.engine, sock, self, context=context, book=self._book, connection=self.id, leg="client"
        )

    def start(self) -> None:
        """Written down and read from now on; under TLS hands are shaken first."""
        with self._lock:
            self._book.write(self.opened(False)[0])
        self._link.read(True)
        if self.server.tls_context is None:
            self.ready()

    def opened(self, before: bool) -> list[LegOpened | TlsStarted]:
        """The entries that say that this connection is open, and whether it is under TLS."""
        at, name, server = time.monotonic(), self.server.name, self.server.address
        opened = LegOpened(at, self.id, name, self.number, "client", "tcp", self.peer, server, before)
        return [opened, *self._link.started()]

    @property
    def under_tls(self) -> bool:
        """Whether what goes over the wire is cipher text, or a handshake."""
        return self._link.under_tls

    def ready(self) -> None:
        """Plain text can go from now on."""

    def secured(self, link: Link) -> None:
        with self._lock:
            self._news.notify_all()
        if self.server.tls_context is not None:
            self.ready()

    def not_secured(self, link: Link, reason: str) -> None:
        """It ends by itself, and its notes say why."""
        self.give_up()
        self.server.not_secured(self.number, reason)

    def read(self, link: Link, data: bytes) -> None:
        self._write_sent(TO_SERVER, data)
        if not self.gone:
            self._inbox += data
            self._news.notify_all()

    def got(self, link: Link, data: bytes) -> None:
        with self._lock:  # so that nobody takes all of it in between, and reading rests for ever
            if len(self._inbox) > self._room:
                link.read(False)

    def peer_ended(self, link: Link, how: How) -> None:
        self._book.write(LegEnded(time.monotonic(), self.id, "client", "peer", how))
        self._news.notify_all()

    def got_end(self, link: Link, how: How) -> None:
        """The handler finds the end when it reads; under TLS it may come without one of TCP."""
        with self._lock:
            self._news.notify_all()

    def wrote(self, link: Link, data: bytes, chunk: Chunk) -> None:
        self._write_sent(TO_CLIENT, data)

    def we_ended(self, link: Link, how: How, faults: tuple[str, ...]) -> None:
        self._book.write(LegEnded(time.monotonic(), self.id, "client", "us", how, faults))
        self._news.notify_all()

    def room(self, link: Link) -> None:
        with self._lock:
            self.rooms += 1
            self._news.notify_all()

    def make_room(self, size: float) -> None:
        """The inbox may hold so much, if that is more than usual; under the lock."""
        self._room = max(INBOX_BYTES, size)
        if len(self._inbox) < size:
            self._resume()

    def release(self) -> None:
        """The server is closed: every wait ends."""
        with self._lock:
            self.released = True
            self._news.notify_all()

    def give_up(self) -> None:
        """We have ended it: nobody takes anything any more, and what still comes is dropped."""
        with self._lock:
            self.gone = True
            self._inbox.clear()
            self._news.notify_all()

    def abandon(self) -> None:
        """Teardown: end without waiting for the peer; on the engine's thread."""
        self.release()
        self._link.abandon()

    def cut(self, reset: bool) -> None:
        """End now, with FIN or RST; what waits is dropped, what still comes too; on the engine's thread."""
        self.give_up()
        self._link.drop()
        self._link.reset() if reset else self._link.end("FIN")
        self._read_on()

    @property
    def open(self) -> bool:
        """Whether the connection still exists here."""
        return not self._link.closed

    def _write_sent(self, direction: Direction, data: bytes) -> None:
        now, offset = time.monotonic(), self._sent[direction]
        self._book.write(Sent(now, self.id, direction, offset, len(data)), data)
        if direction == TO_CLIENT:
            self._book.write(Delivered(now, self.id, direction, offset, len(data), now), data)
        self._sent[direction] = offset + len(data)

    def _take(self, size: int) -> bytes:
        data = bytes(self._inbox[:size])
        del self._inbox[:size]
        if data:
            now = time.monotonic()
            self._book.write(Delivered(now, self.id, TO_SERVER, self._taken, len(data), now), data)
            self._taken += len(data)
        if len(self._inbox) <= self._room / 2:
            self._resume()
        return data

    def _resume(self) -> None:
        if not self._link.reading and not self._link.closed:
            self._scope.engine.post(self._read_on)

    def _read_on(self) -> None:
        if not self._link.closed:
            self._link.read(True)
