"""What two addresses said to each other, as a capture file shows it: one TCP connection, or the datagrams of one session.

Law: it keeps bytes in bounded records and counts packets; what order bytes belong in is the business of `reassembly.py`,
and whose connection this is that of `views.py`. Side 0 is who was seen first.
"""

from __future__ import annotations

from typing import Literal

from pytest_netfixtures._pcap.headers import RST, Place
from pytest_netfixtures._pcap.items import Packet
from pytest_netfixtures._pcap.told import OPENED_BEFORE, LegName, leg_name
from pytest_netfixtures._wire.entries import How
from pytest_netfixtures._wire.record import Budget, Record

__all__ = ["MAX_TALKS", "Datagrams", "Keeper", "Key", "Talk", "key_of"]

MAX_TALKS = 20_000
"""So many conversations of a file are kept (about 5 KiB each); packets of later ones are counted."""
MAX_EVENTS = 4_000_000
"""So many events of a file are kept with their times (16 bytes each)."""
MAX_TEXT = 16 << 20
"""So many characters of comments that name legs are kept of a file."""
MAX_NOTES = 100
"""Of a conversation, and comments that name its legs."""

Key = tuple[str, int, str, int]


class Keeper:
    """The bounds that all conversations of a file share, and the list of them."""

    def __init__(self, record_bytes: int, total_bytes: int) -> None:
        self.record_bytes = record_bytes
        self.budget = Budget(total_bytes, MAX_EVENTS)
        self.texts = Budget(MAX_TEXT)
        self.talks: list[Talk] = []
        self.left_out = 0
        """Packets of conversations beyond the bound."""

    def open(self, transport: Literal["tcp", "udp"], key: Key, stamp: int) -> Talk | None:
        """A new conversation; None when there are too many."""
        if len(self.talks) >= MAX_TALKS:
            self.left_out += 1
            return None
        datagrams = transport == "udp"
        records = tuple(Record(self.record_bytes, self.budget, datagrams) for _ in range(2))
        talk = Talk(transport, key, stamp, records, self.texts)
        self.talks.append(talk)
        return talk


class Talk:
    """One conversation; `records` holds what side 0 and side 1 said."""

    __slots__ = (
        "before",
        "bytes",
        "client",
        "ends",
        "first",
        "last",
        "legs",
        "notes",
        "packets",
        "places",
        "records",
        "refused",
        "resets",
        "retransmissions",
        "texts",
        "transport",
        "whole",
    )

    def __init__(
        self,
        transport: Literal["tcp", "udp"],
        key: Key,
        stamp: int,
        records: tuple[Record, ...],
        texts: Budget,
    ) -> None:
        self.transport = transport
        self.texts = texts
        self.places: tuple[Place, Place] = (key[:2], key[2:])
        self.records = records
        self.first = self.last = stamp
        self.client: int | None = None if transport == "tcp" else 0
        """The side that asked; None when that was not seen."""
        self.before = transport == "tcp"
        """True until its beginning was seen."""
        self.refused = False
        self.ends: list[How | None] = [None, None]
        self.whole = [False, False]
        """Whether a side was seen from its SYN to its FIN."""
        self.packets, self.bytes = [0, 0], [0, 0]
        self.retransmissions = self.resets = 0
        self.legs: list[tuple[int, LegName]] = []
        """Which legs this is, as comments say, with the time of each."""
        self.notes: list[str] = []

    def count(self, side: int, packet: Packet) -> None:
        """One more packet of this side."""
        self.packets[side] += 1
        self.bytes[side] += packet.size
        if packet.stamp > self.last:
            self.last = packet.stamp
        elif packet.stamp < self.first:
            self.first = packet.stamp
        if packet.flags & RST:
            self.resets += 1
        if packet.comments:
            self._read(packet)

    def note(self, text: str) -> None:
        """Something worth a line, once."""
        if len(self.notes) < MAX_NOTES and text not in self.notes:
            self.notes.append(text)

    def _read(self, packet: Packet) -> None:
        for text in packet.comments:
            leg = leg_name(text)
            if leg is not None and len(self.legs) < MAX_NOTES and self.texts.left > 0:
                self.texts.left -= len(text)
                self.legs.append((packet.stamp, leg))
        if OPENED_BEFORE in packet.comments:
            self.before = True

    def client_side(self, leg: LegName | None = None) -> int:
        """Which side is the client: who is where the leg says, or who asked, or who has the higher port."""
        if leg is not None and leg.client in self.places and leg.client != leg.server:
            return self.places.index(leg.client)
        if self.client is not None:
            return self.client
        return 1 if self.places[1][1] > self.places[0][1] else 0


class Datagrams:
    """All datagrams of a file: a conversation for each pair of addresses, and a new one where a comment says so."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._live: dict[Key, tuple[Talk, int]] = {}

    def take(self, packet: Packet) -> None:
        """One datagram."""
        key = key_of(packet)
        found = self._live.get(key)
        if found is None or (packet.comments and _is_another(found[0], packet)):
            found = self._open(key, packet.stamp)
        if found is not None:
            talk, side = found
            talk.count(side, packet)
            whole = packet.payload if not packet.missing else None
            talk.records[side].add(packet.stamp / 1e9, len(packet.payload) + packet.missing, whole)

    def find(self, key: Key) -> Talk | None:
        """The youngest conversation between these addresses."""
        found = self._live.get(key)
        return found[0] if found else None

    def _open(self, key: Key, stamp: int) -> tuple[Talk, int] | None:
        talk = self._keeper.open("udp", key, stamp)
        if talk is None:
            return None
        self._live[key[2:] + key[:2]] = talk, 1
        self._live[key] = talk, 0
        return talk, 0


def _is_another(talk: Talk, packet: Packet) -> bool:
    """Whether a comment says that this is another session than the one so far."""
    named = {(leg.endpoint, leg.side): leg.number for _, leg in talk.legs}
    new = [leg for leg in map(leg_name, packet.comments) if leg is not None]
    return any(named.get((leg.endpoint, leg.side), leg.number) != leg.number for leg in new)


def key_of(packet: Packet) -> Key:
    """Who speaks to whom."""
    return packet.source, packet.source_port, packet.target, packet.target_port
