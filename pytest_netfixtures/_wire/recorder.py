"""Keeps what the journal writes down, so that it can be asserted on and told.

Law: `add` costs the same however much is there, and is called under the journal's lock, as are `traffic`, `story` and
`forget`. A snapshot costs what is new. Entries of connections that were never opened here, or were forgotten, are
passed over. Memory is bounded in bytes and in events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from .entries import (
    DIRECTIONS,
    Delivered,
    Direction,
    Entry,
    Fired,
    How,
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
from .record import Budget, Record
from .story import Story, Teller
from .traffic import Connection, Flow, TlsSession, Traffic

__all__ = ["Recorder", "Story"]

MAX_NOTES = 100


class _Log:
    """All that is known of one connection."""

    def __init__(self, opened: LegOpened | LegOpening, record: Callable[[bool], Record]) -> None:
        self.opened = opened
        self.number = opened.number
        self.before = isinstance(opened, LegOpened) and opened.before
        self.server: LegOpened | LegOpening | None = None
        self.tls: TlsSession | None = None
        self.handshakes: set[Side] = set()
        self.ends: dict[tuple[Side, str], How] = {}
        self.forget(record)

    def forget(self, record: Callable[[bool], Record]) -> None:
        datagrams = self.opened.transport == "udp"
        self.sent: dict[Direction, Record] = {way: record(datagrams) for way in DIRECTIONS}
        self.delivered: dict[Direction, Record] = {way: record(datagrams) for way in DIRECTIONS}
        self.faults: dict[str, None] = {}
        self.notes: list[str] = []

    def kept_bytes(self) -> int:
        records = (*self.sent.values(), *self.delivered.values())
        return sum(record.kept_bytes() for record in records)

    def connection(self) -> Connection:
        opened, server = self.opened, self.server
        return Connection(
            id=opened.connection,
            number=self.number,
            endpoint=opened.endpoint,
            transport=opened.transport,
            peer=opened.client,
            address=opened.server,
            opened_at=opened.at,
            opened_before=self.before,
            ended=MappingProxyType(
                {"client": self.ends.get(("client", "peer")), "server": self._server_end()}
            ),
            faults=tuple(self.faults),
            notes=tuple(self.notes),
            to_server=self._flow("to_server", self._passed_on()),
            to_client=self._flow("to_client", self.ends.get(("client", "us"))),
            upstream=server.server if server else None,
            upstream_peer=server.client if server else None,
            tls=self.tls,
            handshakes=tuple(sorted(self.handshakes)),
        )

    def _flow(self, way: Direction, end: How | None) -> Flow:
        return Flow(way, self.sent[way].extent(), self.delivered[way].extent(), end)

    def _server_end(self) -> How | None:
        """What the server did: the upstream, or a server of ours, which is us."""
        return self.ends.get(("server", "peer") if self.server else ("client", "us"))

    def _passed_on(self) -> How | None:
        """The client's end as the server met it: a server of ours meets it as it came."""
        return self.ends.get(("server", "us") if self.server else ("client", "peer"))


class Recorder:
    """Keeps the first `record_bytes` of each record and `total_bytes` in all; beyond them bytes are counted.

    Example: `recorder.add(entry, data)` for every entry, then `recorder.traffic().connection(1).to_client.sent`.
    """

    def __init__(self, record_bytes: int = 4 << 20, total_bytes: int = 64 << 20) -> None:
        self._record_bytes = record_bytes
        self._total_bytes = total_bytes
        self._takers: dict[type, Callable[[Any, bytes | None], None]] = {
            LegOpening: self._opening,
            LegOpened: self._opened,
            LegFailed: self._failed,
            Sent: self._sent,
            Delivered: self._delivered,
            LegEnded: self._ended,
            Fired: self._fired,
            Noted: self._noted,
            Marked: self._marked,
            Logged: self._marked,
            TlsOpened: self._tls_opened,
            TlsFailed: self._tls_failed,
            TlsStarted: self._tls_started,
        }
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._logs: dict[int, _Log] = {}
        self._news: dict[int, _Log] = {}
        self._connections: dict[str | None, dict[int, Connection]] = {None: {}}
        self._snapshots: dict[str | None, Traffic] = {}
        self._budget = Budget(self._total_bytes)
        self._teller = Teller()

    def add(self, entry: Entry, data: bytes | None) -> None:
        """Keep an entry, and beside it the bytes of `Sent` and `Delivered`."""
        if (take := self._takers.get(type(entry))) is not None:  # cipher text and keys are for captures
            take(entry, data)

    def traffic(self, endpoint: str | None = None) -> Traffic:
        """A snapshot of all connections, or of those of one endpoint; the same object while nothing is new."""
        if endpoint not in self._snapshots:
            self._bring_up_to_date()
            self._snapshots[endpoint] = Traffic(tuple(self._connections.get(endpoint, {}).values()))
        return self._snapshots[endpoint]

    def _bring_up_to_date(self) -> None:
        for number, log in self._news.items():
            self._connections[None][number] = connection = log.connection()
            self._connections.setdefault(connection.endpoint, {})[number] = connection
        self._news.clear()

    def story(self) -> Story:
        """The entries in order: the first and the last 5,000, and up to 1,000 faults between them."""
        return self._teller.story()

    def forget(self, keep: Iterable[int] = (), endpoint: str | None = None) -> None:
        """Start afresh, or let one endpoint start afresh. The connections with the ids in `keep` stay, with empty records.

        They are numbered 0, -1, -2 ... from the youngest of their endpoint, and are marked `opened_before`.
        """
        wanted = set(keep)
        kept = [log for number, log in self._logs.items() if number in wanted]
        if endpoint is None:
            self._start_afresh()
        else:
            self._leave_out(endpoint)
        for log in kept:
            log.before = True
            log.forget(self._record)
            self._logs[log.opened.connection] = self._news[log.opened.connection] = log
        _renumber(kept)

    def _leave_out(self, endpoint: str) -> None:
        self._bring_up_to_date()
        gone = self._connections.pop(endpoint, {})
        for number in gone:
            self._budget.left += self._logs.pop(number).kept_bytes()
            del self._connections[None][number]
        self._teller.leave_out(gone)
        self._snapshots.clear()

    def _record(self, datagrams: bool) -> Record:
        return Record(self._record_bytes, self._budget, datagrams)

    def _touch(self, number: int, entry: Entry) -> _Log | None:
        """The log of a connection that has news."""
        log = self._logs.get(number)
        if log is not None:
            self._news[number] = log
            self._snapshots.clear()
            self._teller.add(entry)
        return log

    def _opening(self, entry: LegOpening | LegOpened, data: bytes | None) -> None:
        if entry.connection not in self._logs:
            self._logs[entry.connection] = _Log(entry, self._record)
        log = self._touch(entry.connection, entry)
        if log is not None and entry.leg == "server":
            log.server = entry

    _opened = _opening

    def _failed(self, entry: LegFailed, data: bytes | None) -> None:
        if log := self._touch(entry.connection, entry):
            _note(log, entry.reason)

    def _sent(self, entry: Sent, data: bytes | None) -> None:
        if log := self._logs.get(entry.connection):
            self._take(log, log.sent[entry.direction], entry, data)

    def _delivered(self, entry: Delivered, data: bytes | None) -> None:
        if log := self._logs.get(entry.connection):
            self._take(log, log.delivered[entry.direction], entry, data)

    def _take(self, log: _Log, record: Record, entry: Sent | Delivered, data: bytes | None) -> None:
        if entry.offset != record.position:
            entry = replace(entry, offset=record.position)
        record.add(entry.at, entry.size, data)
        self._touch(entry.connection, entry)

    def _ended(self, entry: LegEnded, data: bytes | None) -> None:
        if log := self._touch(entry.connection, entry):
            key = (entry.leg, entry.by)
            log.ends[key] = "RST" if log.ends.get(key) == "RST" else entry.how

    def _fired(self, entry: Fired, data: bytes | None) -> None:
        if log := self._touch(entry.connection, entry):
            log.faults.setdefault(entry.fault)

    def _noted(self, entry: Noted, data: bytes | None) -> None:
        if entry.connection is None:
            self._teller.add(entry)
        elif log := self._touch(entry.connection, entry):
            _note(log, entry.text)

    def _tls_started(self, entry: TlsStarted, data: bytes | None) -> None:
        """What the client had sent of its handshake before we asked for one is no plain text."""
        log = self._logs.get(entry.connection)
        if log is not None and entry.before:
            log.sent["to_server"] = log.sent["to_server"].without_last(entry.before)
            self._teller.take_back(entry.connection, entry.before)
        if not entry.unseen and (log := self._touch(entry.connection, entry)):
            log.handshakes.add(entry.leg)

    def _tls_opened(self, entry: TlsOpened, data: bytes | None) -> None:
        log = self._touch(entry.connection, entry)
        if log is not None:
            log.handshakes.discard(entry.leg)
        if log is not None and entry.leg == "client":
            log.tls = TlsSession(entry.version, entry.cipher, entry.alpn, entry.server_name)

    def _tls_failed(self, entry: TlsFailed, data: bytes | None) -> None:
        if log := self._touch(entry.connection, entry):
            log.handshakes.discard(entry.leg)
            _note(log, f"TLS with the {entry.leg} failed: {entry.reason}")

    def _marked(self, entry: Marked | Logged, data: bytes | None) -> None:
        self._teller.add(entry)


def _note(log: _Log, text: str) -> None:
    if len(log.notes) < MAX_NOTES:
        log.notes.append(text)


def _renumber(logs: Iterable[_Log]) -> None:
    youngest: dict[str, int] = {}
    for log in reversed(list(logs)):
        log.number = youngest.get(log.opened.endpoint, 0)
        youngest[log.opened.endpoint] = log.number - 1
