"""From a capture file to traffic: `read_capture`.

Law: it puts together what its neighbours find: items (`read_items.py`), connections out of packets (`reassembly.py`, `talks.py`)
and names for them (`told.py`, `views.py`). Memory is bounded whatever the file; what may be missing is said in
`Traffic.incomplete`, and then only a stream that was seen from SYN to FIN stays a whole record.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from pytest_netfixtures._errors import is_for_the_user
from pytest_netfixtures._pcap.icmp import unreachable
from pytest_netfixtures._pcap.items import Item, Packet, Row, Statement
from pytest_netfixtures._pcap.read_items import read_items
from pytest_netfixtures._pcap.reassembly import Streams
from pytest_netfixtures._pcap.talks import MAX_TALKS, Datagrams, Keeper, Talk
from pytest_netfixtures._pcap.told import LegName, Told, leg_name, told
from pytest_netfixtures._pcap.views import Views
from pytest_netfixtures._wire.checks import check_count
from pytest_netfixtures._wire.statistics import Count, LegStatistics, Statistics
from pytest_netfixtures._wire.text import plain
from pytest_netfixtures._wire.traffic import Traffic

__all__ = ["read_capture", "read_statistics", "traffic_of"]

__tracebackhide__ = is_for_the_user

MAX_ROWS = 100_000
"""So many rows that say something of a connection are kept."""
MAX_TEXT = 16 << 20
"""Characters of these rows."""
SAME_ROWS = 1000
"""A row that says the same as so many before is left out: a fault that fires on every datagram."""
MAX_REASONS = 10
MAX_PROTOCOLS = 300
_MISSING = {
    "dropped": "packets were lost",
    "torn": "the file is torn",
    "fragment": "a packet in fragments never became whole",
    "malformed": "a packet could not be read",
}
_WARNINGS = ("LIMIT ", "LOST ", "INCOMPLETE ")


def read_capture(
    path: str | os.PathLike[str], *, record_bytes: int = 4 << 20, total_bytes: int = 64 << 20
) -> Traffic:
    """Read a capture file, pcapng or classic pcap, of ours or of anyone, as traffic to assert on.

    Arguments: `path` of the file; `record_bytes`, how many bytes of each direction of a connection are kept, and
    `total_bytes`, how many in all. Bytes beyond that are counted.

    Returns a `Traffic` whose times are seconds since 1970. In a file of this plugin the connections have the names and
    numbers of the test, a proxy's two legs are one connection, and faults and notes are there. Otherwise a connection's
    `endpoint` is the server's address, numbers count from 1 for each of them, and what was sent was delivered. A UDP
    session is all that went between two addresses; its client is who spoke first. Under TLS the cipher text is read.
    Where packets were lost, the file is torn or a limit was reached, `.incomplete` says so, and claims about records that
    may have holes raise CaptureIncomplete.

    Raises: CaptureUnavailable, when it is no capture file; OSError, when it cannot be opened; ValueError or TypeError
    for wrong bounds.

    Examples::

        traffic = read_capture("tcpdump.pcap")
        assert traffic.connection(1, "127.0.0.1:6379").to_server.sent == b"PING\\r\\n"
        print(traffic.statistics)

    A file as tcpdump writes it when nothing happened:

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     head = "d4c3b2a1020004000000000000000000ffff000001000000"
    ...     print(file.write(bytes.fromhex(head)), file.flush())
    ...     print(read_capture(file.name).statistics)
    24 None
    0 packets, 0 bytes, 0.000000 s, 0 retransmitted, 0 with RST, 0 missing
    """
    check_count("record_bytes", record_bytes)
    check_count("total_bytes", total_bytes)
    return traffic_of(read_items(path), record_bytes, total_bytes)


def read_statistics(path: str | os.PathLike[str]) -> Statistics:
    """The statistics of a capture file, without what was said."""
    statistics = read_capture(path, record_bytes=0, total_bytes=0).statistics
    return statistics or Statistics()


def traffic_of(items: Iterable[Item], record_bytes: int = 4 << 20, total_bytes: int = 64 << 20) -> Traffic:
    """The traffic that these items of a file show."""
    reading = _Reading(record_bytes, total_bytes)
    for item in items:
        if type(item) is Packet:
            reading.packet(item)
        elif type(item) is Row:
            reading.row(item)
        elif type(item) is Statement:
            reading.statement(item)
    return reading.traffic()


class _Reading:
    """One file, being read."""

    def __init__(self, record_bytes: int, total_bytes: int) -> None:
        self._keeper = keeper = Keeper(record_bytes, total_bytes)
        self._streams, self._datagrams = Streams(keeper), Datagrams(keeper)
        self._legs: list[tuple[int, LegName]] = []
        self._told: list[tuple[int, Told]] = []
        self._same: dict[Told, int] = {}
        self._text_left = MAX_TEXT
        self._reasons: dict[str, None] = {}
        self._protocols: dict[str, list[int]] = {}
        self._first = self._last = 0
        self._rows = self._dropped = self._rows_left_out = 0

    def packet(self, packet: Packet) -> None:
        """Count it, and give it to its conversation."""
        protocol, stamp = packet.protocol, packet.stamp
        counts = self._protocols.get(protocol)
        if counts is None:
            counts = self._new_protocol(protocol, stamp)
        counts[0] += 1
        counts[1] += packet.size
        self._first, self._last = min(self._first, stamp), max(self._last, stamp)
        if protocol == "tcp":
            self._streams.take(packet)
        elif protocol == "udp":
            self._datagrams.take(packet)
        elif protocol in ("icmp", "icmpv6"):
            self._icmp(packet)

    def _new_protocol(self, protocol: str, stamp: int) -> list[int]:
        if not self._protocols:
            self._first = self._last = stamp
        name = protocol if len(self._protocols) < MAX_PROTOCOLS else "others"
        return self._protocols.setdefault(name, [0, 0])

    def _icmp(self, packet: Packet) -> None:
        said = unreachable(packet)
        if said is not None:
            where = self._streams if said.transport == "tcp" else self._datagrams
            talk = where.find(said.key)
            if talk is not None:
                talk.note(said.text)

    def row(self, row: Row) -> None:
        """A line of text: whose leg it is, what happened to a connection, or that something is missing."""
        self._rows += 1
        if row.text.startswith(_WARNINGS):
            self._reason(row.text[:300])
            return
        leg = leg_name(row.text)
        said = told(row.text) if leg is None else None
        if leg is not None and self._has_room(row, len(self._legs) < MAX_TALKS):
            self._legs.append((row.stamp, leg))
        elif said is not None and self._is_news(said) and self._has_room(row):
            self._told.append((row.stamp, said))

    def _has_room(self, row: Row, room: bool = True) -> bool:
        self._text_left -= len(row.text)
        if room and len(self._told) < MAX_ROWS and self._text_left >= 0:
            return True
        self._rows_left_out += 1
        return False

    def _is_news(self, said: Told) -> bool:
        if said in self._same or (len(self._same) < MAX_ROWS and self._text_left > 0):
            self._same[said] = count = self._same.get(said, 0) + 1
            return count <= SAME_ROWS
        return self._same.get(said, 0) < SAME_ROWS

    def statement(self, statement: Statement) -> None:
        """What the file says about itself."""
        if statement.kind == "dropped":
            self._dropped += statement.total
        if statement.kind in _MISSING:
            self._reason(f"{_MISSING[statement.kind]}: {statement.text[:300]}")

    def _reason(self, text: str) -> None:
        if len(self._reasons) <= MAX_REASONS:
            self._reasons.setdefault(plain(text) if len(self._reasons) < MAX_REASONS else "and more")

    def traffic(self) -> Traffic:
        """Everything that has been read."""
        self._streams.finish()
        if self._keeper.left_out:
            more = f"{self._keeper.left_out} packets of later ones were left out"
            self._reason(f"the file has more than {MAX_TALKS} conversations: {more}")
        if self._rows_left_out:
            self._reason(f"{self._rows_left_out} rows about connections are more than can be kept")
        talks = self._keeper.talks
        if self._reasons:
            for talk in talks:
                _doubt(talk)
        connections = Views(talks, bool(self._reasons)).connections(self._legs, self._told)
        return Traffic(tuple(connections), "; ".join(self._reasons), self._statistics(talks))

    def _statistics(self, talks: list[Talk]) -> Statistics:
        protocols = {name: Count(*counts) for name, counts in self._protocols.items()}
        return Statistics(
            packets=sum(count.packets for count in protocols.values()),
            bytes=sum(count.bytes for count in protocols.values()),
            protocols=protocols,
            legs=tuple(map(_leg, talks)),
            rows=self._rows,
            dropped=self._dropped,
            first=self._first / 1e9,
            last=self._last / 1e9,
        )


def _doubt(talk: Talk) -> None:
    """Packets of the file are missing: only what was seen from SYN to FIN is surely whole."""
    for record, whole in zip(talk.records, talk.whole, strict=True):
        if not whole:
            record.stop()


def _leg(talk: Talk) -> LegStatistics:
    _, name = talk.legs[0]
    asks = talk.client_side(name)
    return LegStatistics(
        transport=talk.transport,
        client=name.client,
        server=name.server,
        endpoint=name.endpoint,
        number=name.number,
        leg=name.side,
        to_server=Count(talk.packets[asks], talk.bytes[asks]),
        to_client=Count(talk.packets[1 - asks], talk.bytes[1 - asks]),
        retransmissions=talk.retransmissions,
        resets=talk.resets,
        first=talk.first / 1e9,
        last=talk.last / 1e9,
    )
