"""Whose a packet of the kernel is: which conversation, which stream of Wireshark, which leg of a connection of ours.

Law: no file and no clock. A conversation is two addresses and, for TCP, a SYN: the same two addresses with another SYN are
another one, as in Wireshark. A leg belongs to the youngest conversation between its addresses that had begun when the leg
was written down. What faults did is remembered by place in the stream, counted from the SYN (datagrams by number).
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import replace

from pytest_netfixtures._pcap import rows
from pytest_netfixtures._pcap.glance import TCP, UDP, Glance
from pytest_netfixtures._pcap.headers import ACK, SYN, Place
from pytest_netfixtures._wire.entries import Address, LegOpened, LegOpening, Side

__all__ = ["KernelLeg", "KernelLegs", "Talk", "Way", "key_of", "place_of"]

Key = tuple[int, Place, Place]
_WILDCARDS = ("0.0.0.0", "::")
_NUMBER = 1 << 32


class Way:
    """What we send into one direction of a leg, and what is to be said of it."""

    __slots__ = ("at_the_end", "base", "sent", "touched")

    def __init__(self) -> None:
        self.sent = 0
        """Bytes, or datagrams, by the entries."""
        self.base = 0
        """How many datagrams went this way before the leg opened."""
        self.touched: deque[tuple[int, int, tuple[str, ...]]] = deque()
        """From and to where in the stream, and the comments."""
        self.at_the_end: tuple[str, ...] = ()

    def add(self, size: int, comments: tuple[str, ...]) -> None:
        """So many more bytes (datagrams: 1) are on their way."""
        if comments:
            self.touched.append((self.sent, self.sent + size, comments))
        self.sent += size

    def of(self, start: int, size: int, ends: bool) -> tuple[str, ...]:
        """The comments that the packet with these bytes carries."""
        found: tuple[str, ...] = ()
        start -= self.base
        while size and self.touched and self.touched[0][0] < start + size:
            _, last, comments = self.touched[0]
            if last > start:
                found += comments
            if last > start + size:
                self.touched[0] = (start + size, last, comments)
                break
            self.touched.popleft()
        if ends and self.at_the_end:
            found, self.at_the_end = found + self.at_the_end, ()
        return found


class KernelLeg:
    """One leg, as an entry opened it."""

    __slots__ = (
        "at",
        "before",
        "client",
        "entry",
        "protocol",
        "said",
        "seat",
        "server",
        "side",
        "talk",
        "under_tls",
        "way",
    )

    def __init__(self, entry: LegOpening | LegOpened, at: int) -> None:
        self.entry = entry
        self.protocol = TCP if entry.transport == "tcp" else UDP
        self.client, self.server = place_of(entry.client), place_of(entry.server)
        self.side: Side = entry.leg
        self.seat = (entry.endpoint, entry.leg)
        self.at = at
        self.before: bool = getattr(entry, "before", False)
        self.said = False
        """Whether a packet in the file carries its name."""
        self.talk: Talk | None = None
        self.under_tls = False
        self.way = Way()

    @property
    def name(self) -> str:
        """Which leg of which connection lies between its two addresses, none of which is a wildcard."""
        return rows.leg(replace(self.entry, server=self.server))

    @property
    def ours(self) -> Place:
        """Our end of it."""
        return self.server if self.side == "client" else self.client


class Talk:
    """One conversation; `first` is the stamp of its first packet."""

    __slots__ = ("base", "counts", "first", "legs", "stream")

    def __init__(self, first: int) -> None:
        self.first = first
        self.stream: int | None = None
        self.base: dict[Place, tuple[int, bool]] = {}
        """Of each sender the number before its first byte, and whether that was seen in a SYN."""
        self.counts: dict[Place, int] = {}
        self.legs: list[KernelLeg] = []

    def start(self, seen: Glance) -> int | None:
        """Where in the sender's stream this packet begins (which datagram it is); None where nobody can tell."""
        if seen.protocol == UDP:
            number = self.counts[seen.source] = self.counts.get(seen.source, -1) + 1
            return number
        base, sure = self.base[seen.source]
        start = (seen.seq - base) % _NUMBER
        return start if sure and start < _NUMBER // 2 else None


class KernelLegs:
    """The conversations and legs of one capture."""

    def __init__(self) -> None:
        self._talks: defaultdict[Key, list[Talk]] = defaultdict(list)
        self._legs: dict[tuple[int, Side], KernelLeg] = {}
        self._homeless: list[KernelLeg] = []
        self._streams = {TCP: 0, UDP: 0}
        self._tuples: set[Key] = set()
        self._wild: set[tuple[int, Place, int]] = set()
        self.get = self._legs.get

    def open(self, entry: LegOpening | LegOpened, at: int) -> None:
        """A leg; `at` in ns since 1970. One that was opening is open now."""
        known = self._legs.get((entry.connection, entry.leg))
        if known is not None and known.client == place_of(entry.client):
            return
        leg = self._legs[entry.connection, entry.leg] = KernelLeg(entry, at)
        self._homeless.append(leg)
        if leg.server[0] in _WILDCARDS:
            self._wild.add((leg.protocol, leg.client, leg.server[1]))
        else:
            self._tuples.add(key_of(leg.protocol, leg.client, leg.server))

    def knows(self, seen: Glance) -> bool:
        """Whether this packet is one of a connection of ours."""
        return key_of(seen.protocol, seen.source, seen.target) in self._tuples or (
            bool(self._wild)
            and (
                (seen.protocol, seen.source, seen.target[1]) in self._wild
                or (seen.protocol, seen.target, seen.source[1]) in self._wild
            )
        )

    def talk(self, seen: Glance, stamp: int) -> Talk:
        """The conversation of a packet that is no error; a new one where there was none, or the SYN is another."""
        talks = self._talks[key_of(seen.protocol, seen.source, seen.target)]
        if not talks or (seen.flags & (SYN | ACK) == SYN and _is_another(talks[-1], seen)):
            talks.append(Talk(stamp))
        talk = talks[-1]
        if seen.protocol == TCP and seen.source not in talk.base:
            is_syn = bool(seen.flags & SYN)
            talk.base[seen.source] = ((seen.seq + is_syn) % _NUMBER, is_syn)
        return talk

    def settle(self) -> None:
        """Give the legs that have none their conversation, where it has begun."""
        self._homeless = [leg for leg in self._homeless if not self._settled(leg)]

    def number(self, talk: Talk, protocol: int) -> None:
        """The first packet of this conversation is in the file."""
        if talk.stream is None:
            talk.stream = self._streams[protocol]
            self._streams[protocol] += 1

    def stream_of(self, connection: int, side: Side) -> int | None:
        """The number of the stream of a leg."""
        leg = self._legs.get((connection, side))
        return leg.talk.stream if leg is not None and leg.talk is not None else None

    def shown(self) -> int:
        """Connections with packets in the file."""
        return len(
            {connection for connection, side in self._legs if self.stream_of(connection, side) is not None}
        )

    def unsaid(self) -> list[str]:
        """Names of legs whose packets are in the file and do not carry them."""
        legs = (leg for leg in self._legs.values() if leg.talk is not None and leg.talk.stream is not None)
        return [leg.name for leg in legs if not leg.said]

    def ports(self) -> set[int]:
        """Those of the servers of all legs."""
        return {leg.server[1] for leg in self._legs.values()}

    def _settled(self, leg: KernelLeg) -> bool:
        talks = self._between(leg)
        begun = [talk for talk in talks if talk.first <= leg.at]
        talk = begun[-1] if begun else talks[0] if talks else None
        if talk is None or (leg.protocol == TCP and any(other.seat == leg.seat for other in talk.legs)):
            return False
        leg.talk = talk
        talk.legs.append(leg)
        if leg.protocol == UDP:
            leg.way.base = talk.counts.get(leg.ours, -1) + 1
        return True

    def _between(self, leg: KernelLeg) -> list[Talk]:
        if leg.server[0] not in _WILDCARDS:
            return self._talks.get(key_of(leg.protocol, leg.client, leg.server), [])
        for (protocol, one, other), talks in self._talks.items():
            ends = ((one, other[1]), (other, one[1]))
            if protocol == leg.protocol and (leg.client, leg.server[1]) in ends:
                leg.server = other if one == leg.client else one
                return talks
        return []


def place_of(address: Address) -> Place:
    """An address without its zone; a path has none, and port 0."""
    return (address, 0) if isinstance(address, str) else (address[0].partition("%")[0], address[1])


def key_of(protocol: int, one: Place, other: Place) -> Key:
    """The same for both directions."""
    return (protocol, one, other) if one <= other else (protocol, other, one)


def _is_another(talk: Talk, seen: Glance) -> bool:
    """Another number than that with which this side began here."""
    known = talk.base.get(seen.source)
    return known is not None and known[0] != (seen.seq + 1) % _NUMBER
