"""The rows of a ladder: what is worth a line, in order, with what passed straight through a proxy in one row.

Law: it turns a story into rows and draws nothing. Bytes that were handed on as they came, at about the same time, are
one row over both legs; whatever is late, cut, changed or lost stands in two. A connection that a server of ours sees and
our proxy in front of it sees too is told once, by the proxy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Literal

from .entries import (
    Delivered,
    Direction,
    Entry,
    Fired,
    LegEnded,
    LegFailed,
    LegOpened,
    LegOpening,
    Logged,
    Marked,
    Noted,
    Sent,
    Side,
    TlsFailed,
    TlsOpened,
    TlsStarted,
)
from .recorder import Story
from .traffic import Connection, Traffic, address_text

__all__ = ["SOON", "Piece", "Row", "rows"]

SOON = 0.01
"""Seconds within which two facts are told as one."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes of a record: where to read them when the row is drawn."""

    connection: Connection
    way: Direction
    kind: Literal["sent", "delivered"]
    offset: int
    size: int

    def cut_from(self, record: Any) -> bytes:
        """These bytes out of a record, as far as it has them."""
        if isinstance(record, tuple):
            return record[self.offset] if self.offset < len(record) else b""
        return bytes(record[self.offset : min(self.offset + self.size, len(record))])

    def data(self) -> bytes:
        """These bytes, as they were."""
        return self.cut_from(getattr(self.connection.flow(self.way), self.kind))


@dataclass(slots=True)
class Row:
    """One line to be: an arrow over one or both legs, or a text; a fault may have a second line."""

    at: float
    connection: Connection | None = None
    legs: tuple[Side, ...] = ()
    way: Direction = "to_server"
    text: str = ""
    piece: Piece | None = None
    fired: Fired | None = None
    important: bool = False
    entries: int = 0
    """For the gap in a story: how many entries are missing."""
    told: bool = True


def rows(story: Story, traffic: Traffic, world: Traffic | None = None) -> list[Row]:
    """The rows of a story about these connections; `world` has others beside them, such as those of a proxy in front."""
    teller = _Rows(traffic, behind_our_proxy(world or traffic))
    for entry in _in_order(story):
        if isinstance(entry, int):
            teller.rows.append(Row(0.0, entries=entry))
        else:
            teller.tell(entry)
    return [row for row in teller.rows if row.told]


def _in_order(story: Story) -> Iterator[Entry | int]:
    """The entries, and where some are missing their number."""
    yield from story.opening
    for missing, fault in zip_longest(story.gaps, story.faults):
        if missing:
            yield missing
        if fault is not None:
            yield fault
    yield from story.closing


def behind_our_proxy(traffic: Traffic) -> set[int]:
    """The connections of our servers that a proxy of ours made: the proxy tells of them."""
    made = {(c.upstream_peer, c.upstream) for c in traffic.connections if c.upstream is not None}
    return {c.id for c in traffic.connections if c.upstream is None and (c.peer, c.address) in made}


class _Rows:
    """Tells entry by entry. `waiting` holds the rows that may yet reach over the second leg."""

    def __init__(self, traffic: Traffic, silent: set[int]) -> None:
        self.rows: list[Row] = []
        self._connections = {c.id: c for c in traffic.connections}
        self._silent = silent
        self._waiting: dict[tuple[Any, ...], Row] = {}
        self._tellers: dict[type, Callable[[Any, Connection], None]] = {
            LegOpening: self._opening,
            LegOpened: self._opened,
            LegFailed: self._failed,
            Sent: self._sent,
            Delivered: self._delivered,
            LegEnded: self._ended,
            TlsStarted: self._tls_started,
            TlsOpened: self._tls_opened,
            TlsFailed: self._tls_failed,
        }

    def tell(self, entry: Any) -> None:
        if isinstance(entry, Marked):
            self.rows.append(Row(entry.at, text=f"--- {entry.text} ---"))
            return
        if isinstance(entry, Logged):
            self.rows.append(Row(entry.at, text=f"log {entry.level} {entry.logger}: {entry.text}"))
            return
        c = self._connections.get(-1 if entry.connection is None else entry.connection)
        if isinstance(entry, Noted):
            self.rows.append(Row(entry.at, c, text=f"note: {entry.text}"))
        elif isinstance(entry, Fired) and c is not None:
            self.rows.append(Row(entry.at, c, way=entry.direction, fired=entry, important=True))
        elif c is not None and c.id not in self._silent:
            self._tellers[type(entry)](entry, c)

    def _opening(self, entry: LegOpening, c: Connection) -> None:
        self._wait(("connect", c.id), Row(entry.at, c, ("server",), text="connecting"))

    def _opened(self, entry: LegOpened, c: Connection) -> None:
        if entry.leg == "client":
            self._wait(("accept", c.id), Row(entry.at, c, ("client",), text=_greeting(entry)))
            return
        row = self._waiting.pop(("connect", c.id), None)
        if row is None:
            self.rows.append(row := Row(entry.at, c, ("server",)))
        text = "connected" if entry.transport == "tcp" else "session open"
        late = entry.at - row.at
        row.text = text if late < SOON else f"{text} after {1000 * late:.1f} ms"
        row.told = not self._joined(("accept", c.id), "server", entry.at)

    def _failed(self, entry: LegFailed, c: Connection) -> None:
        row = self._waiting.pop(("connect", c.id), None) or Row(entry.at, c, ("server",))
        how = "refused" if entry.refused else "no connection"
        self.rows.append(Row(entry.at, c, row.legs, text=f"*** {how}: {entry.reason}", important=True))
        row.told = entry.at - row.at >= SOON

    def _tls_started(self, entry: TlsStarted, c: Connection) -> None:
        """Told where the handshake neither succeeds nor fails: that is where both sides stood."""
        text = "TLS: a handshake that was never done"
        self._wait(("tls", c.id, entry.leg), Row(entry.at, c, (entry.leg,), text=text, important=True))

    def _handshake_over(self, entry: TlsOpened | TlsFailed, c: Connection) -> None:
        row = self._waiting.pop(("tls", c.id, entry.leg), None)
        if row is not None:
            row.told = False

    def _tls_opened(self, entry: TlsOpened, c: Connection) -> None:
        self._handshake_over(entry, c)
        agreed = ", ".join(filter(None, (entry.version, entry.cipher, entry.alpn, entry.server_name)))
        self.rows.append(Row(entry.at, c, (entry.leg,), text=f"TLS: {agreed}"))

    def _tls_failed(self, entry: TlsFailed, c: Connection) -> None:
        self._handshake_over(entry, c)
        text = f"*** TLS failed: {entry.reason}"
        self.rows.append(Row(entry.at, c, (entry.leg,), text=text, important=True))

    def _sent(self, entry: Sent, c: Connection) -> None:
        leg: Side = "client" if entry.direction == "to_server" else "server"
        if leg == "client" or c.upstream is not None:
            self._data(entry, c, leg, "sent")

    def _delivered(self, entry: Delivered, c: Connection) -> None:
        leg: Side = "server" if entry.direction == "to_server" else "client"
        if leg == "server" and c.upstream is None:
            return
        piece = Piece(c, entry.direction, "delivered", entry.offset, entry.size)
        if entry.faults or not self._joined(_key(piece), leg, entry.at):
            self._data(entry, c, leg, "delivered")

    def _data(
        self, entry: Sent | Delivered, c: Connection, leg: Side, kind: Literal["sent", "delivered"]
    ) -> None:
        piece = Piece(c, entry.direction, kind, entry.offset, entry.size)
        row = Row(entry.at, c, (leg,), entry.direction, piece=piece)
        if kind == "sent":
            self._wait(_key(piece), row)
        else:
            self.rows.append(row)

    def _ended(self, entry: LegEnded, c: Connection) -> None:
        way: Direction = "to_server" if (entry.leg == "client") == (entry.by == "peer") else "to_client"
        key = (entry.how, c.id, way)
        row = Row(entry.at, c, (entry.leg,), way, text=entry.how)
        if entry.by == "peer":
            self._wait(key, row)
        elif entry.faults or not self._joined(key, entry.leg, entry.at):
            self.rows.append(row)

    def _wait(self, key: tuple[Any, ...], row: Row) -> None:
        self.rows.append(row)
        self._waiting[key] = row

    def _joined(self, key: tuple[Any, ...], leg: Side, at: float) -> bool:
        """Whether a row that waits could be drawn over this leg too."""
        row = self._waiting.pop(key, None)
        if row is None or at - row.at >= SOON:
            return False
        row.legs = (*row.legs, leg)
        return True


def _key(piece: Piece) -> tuple[Any, ...]:
    """Equal for the same bytes, sent and delivered; datagrams may have lost their number on the way."""
    place = piece.offset if not piece.connection.flow(piece.way).datagrams else None
    return piece.connection.id, piece.way, place, piece.size, piece.data()


def _greeting(entry: LegOpened) -> str:
    what = (
        "open since before" if entry.before else "connected" if entry.transport == "tcp" else "first datagram"
    )
    return f"{what}, from {address_text(entry.client)}"
