"""Which packets belong to which leg, and which legs are shown.

Law: no bytes and no file. A leg is shown on the interface of its endpoint and side. When a proxy and the server behind
it belong to one capture, both see the same connection, by the same two addresses: the one that comes first shows it, and
the other one's view becomes another name for it. Each view is matched once, so that a later connection that gets the
same addresses is a new one.
"""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TypeAlias

from pytest_netfixtures._pcap.blocks import INBOUND, OUTBOUND
from pytest_netfixtures._pcap.headers import Place
from pytest_netfixtures._pcap.places import Places, is_stand_in, readable
from pytest_netfixtures._pcap.tcp import Conversation
from pytest_netfixtures._pcap.udp import Datagrams
from pytest_netfixtures._wire.entries import LegOpened, LegOpening, Side

__all__ = ["SYNTHESISED", "Leg", "Legs", "interface_name"]

SYNTHESISED = "synthesised from socket reads and writes, not wire packets"
FIRST_STEP = 65536
"""The initial sequence numbers of a capture rise by this, so that a connection that reuses ports has a higher one."""

Opening: TypeAlias = LegOpening | LegOpened


class Leg:
    """One leg as it is shown."""

    __slots__ = ("client", "interface", "introduction", "server", "side", "stream", "talk", "transport")

    def __init__(self, entry: Opening, client: Place, server: Place, first: int) -> None:
        self.side: Side = entry.leg
        self.transport = entry.transport
        self.client, self.server = client, server
        self.talk: Conversation | Datagrams = (
            Conversation(client, server, first) if entry.transport == "tcp" else Datagrams(client, server)
        )
        self.interface = -1
        self.stream: int | None = None
        self.introduction: tuple[str, ...] = ()
        """Comments that its next packet has to carry: whose leg it is."""

    def direction(self, sender: Side) -> int:
        """Inbound is what comes from the side that the leg faces."""
        return INBOUND if sender == self.side else OUTBOUND


class Legs:
    """The legs of one capture, by connection and side."""

    def __init__(self) -> None:
        self._legs: dict[tuple[int, Side], Leg] = {}
        self._other_views: dict[tuple[int, Side], Leg] = {}
        self._seen_once: defaultdict[tuple[object, ...], deque[Leg]] = defaultdict(deque)
        self._places = Places()
        self._made = 0
        self._streams = {"tcp": 0, "udp": 0}
        self._udp_streams: dict[frozenset[Place], int] = {}
        self.get = self._legs.get

    def add(self, entry: Opening) -> Leg | None:
        """The leg that this entry opens; None if the entry is another view of a leg that is shown already."""
        known = self._known(entry)
        if known is not None or self._is_other_view(entry):
            return known
        leg = self._legs[entry.connection, entry.leg] = self._make(entry)
        if entry.leg == "server" or getattr(entry, "before", False):
            self._wait_for_other_view(entry, leg)
        return leg

    def other_view(self, entry: Opening) -> Leg:
        """The leg that shows what this entry opened."""
        return self._other_views[entry.connection, entry.leg]

    def stream_of(self, connection: int, side: Side) -> int | None:
        """The number of the stream that shows this leg, under whichever name; None if no packet of it was written."""
        leg = self._legs.get((connection, side)) or self._other_views.get((connection, side))
        return leg.stream if leg is not None else None

    def shown(self) -> int:
        """The number of connections with packets in the file."""
        return len({connection for (connection, _), leg in self._legs.items() if leg.stream is not None})

    def unsaid(self) -> list[str]:
        """Names of shown legs that no packet has carried yet."""
        shown = (leg for leg in self._legs.values() if leg.stream is not None)
        return [text for leg in shown for text in leg.introduction]

    def number(self, leg: Leg) -> None:
        """Gives the leg, whose first packet is being written, the number that tshark will give its stream."""
        key = frozenset((leg.client, leg.server))
        if leg.transport == "udp" and key in self._udp_streams:
            leg.stream = self._udp_streams[key]
            return
        leg.stream = self._streams[leg.transport]
        self._streams[leg.transport] += 1
        if leg.transport == "udp":
            self._udp_streams[key] = leg.stream

    def description(self, entry: Opening) -> str:
        """What the interface of this leg says about itself."""
        near, far = (
            ("the client", entry.endpoint) if entry.leg == "client" else (entry.endpoint, "its upstream")
        )
        text = f"between {near} and {far}; {SYNTHESISED}"
        if is_stand_in(entry.server):
            shown = readable(self._places.of(entry.server, entry.connection))
            text += f"; {readable(entry.server)} has no IP address and is shown as {shown}"
        return text

    def _known(self, entry: Opening) -> Leg | None:
        """The leg that was opening, from the same address, and is open now."""
        leg = self._legs.get((entry.connection, entry.leg))
        if leg is None or isinstance(entry, LegOpening):
            return None
        return leg if leg.client == self._places.of(entry.client, entry.connection) else None

    def _is_other_view(self, entry: Opening) -> bool:
        waiting = self._seen_once.get(_addresses(entry))
        if isinstance(entry, LegOpening) or not waiting or waiting[0].side == entry.leg:
            return False
        self._other_views[entry.connection, entry.leg] = waiting.popleft()
        return True

    def _wait_for_other_view(self, entry: Opening, leg: Leg) -> None:
        waiting = self._seen_once[_addresses(entry)]
        if not is_stand_in(entry.server):
            waiting.clear()  # two addresses with ports name one connection: an older one is over
        waiting.append(leg)

    def _make(self, entry: Opening) -> Leg:
        self._made += 1
        client = self._places.of(entry.client, entry.connection)
        return Leg(entry, client, self._places.of(entry.server, entry.connection), self._made * FIRST_STEP)


def interface_name(entry: Opening) -> str:
    """The name of the interface of a leg: one for each endpoint and side."""
    return f"{entry.endpoint}: {entry.leg} leg"


def _addresses(entry: Opening) -> tuple[object, ...]:
    return entry.transport, entry.client, entry.server
