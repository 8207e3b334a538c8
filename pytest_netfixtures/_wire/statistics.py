"""Statistics of a capture file: how many packets and bytes, of what, which way, for how long.

Law: values and a table; nothing is counted here (`_pcap/read_traffic.py` counts). Bytes are those of whole IP packets, headers
included, without the link's own header (14 bytes on Ethernet, which tshark's figures include). Times are in seconds
since 1970.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .entries import Address, Direction, Side
from .text import plain
from .traffic import address_text

__all__ = ["Count", "LegStatistics", "Statistics"]


@dataclass(frozen=True, slots=True)
class Count:
    """A number of packets and their bytes."""

    packets: int = 0
    bytes: int = 0


_COLUMNS = (
    ("#", "endpoint", "leg", "protocol", "client", "server", "to_server", "bytes", "to_client", "bytes")
    + ("retransmitted", "RST", "first s", "duration s")
)  # fmt: skip
_LEFT = {1, 2, 3, 4, 5}


@dataclass(frozen=True, slots=True)
class LegStatistics:
    """One conversation on the wire: a connection, or one leg of a connection through a proxy."""

    transport: str
    """"tcp" or "udp"."""
    client: Address
    server: Address
    endpoint: str
    """The server or proxy, as in `Connection.endpoint`."""
    number: int
    """As in `Connection.number`."""
    leg: Side
    """The side of the endpoint on which it lies: "client" unless it leads from a proxy to its upstream."""
    to_server: Count
    to_client: Count
    retransmissions: int
    """Packets with bytes, SYN or FIN that had been there before; keep-alive probes are none."""
    resets: int
    """Packets with RST."""
    first: float
    """When its first packet came, in seconds since 1970."""
    last: float

    @property
    def duration(self) -> float:
        """Seconds from its first packet to its last."""
        return self.last - self.first

    def count(self, direction: Direction) -> Count:
        """The packets in this direction."""
        return self.to_server if direction == "to_server" else self.to_client


@dataclass(frozen=True)
class Statistics:
    """What a capture file holds, in numbers. `str()` of it is a table.

    Example: `assert read_capture(path).statistics.retransmissions == 0`.

    >>> Statistics(packets=3, bytes=144, protocols={"tcp": Count(3, 144)}).protocols["tcp"].bytes
    144
    """

    packets: int = 0
    """IP packets, those whole again from fragments counted once; rows of text are not packets."""
    bytes: int = 0
    protocols: Mapping[str, Count] = field(default_factory=dict)
    """By "tcp", "udp", "icmp", "icmpv6", or the number of another protocol."""
    legs: tuple[LegStatistics, ...] = ()
    """Each conversation, in the order of its first packet; a connection through a proxy has two."""
    rows: int = 0
    """Rows of text between the packets."""
    dropped: int = 0
    """Packets that the file says are missing from it."""
    first: float = 0.0
    """When the first packet came, in seconds since 1970; 0.0 when there is none."""
    last: float = 0.0

    @property
    def duration(self) -> float:
        """Seconds from the first packet to the last."""
        return self.last - self.first

    @property
    def retransmissions(self) -> int:
        """Those of all conversations."""
        return sum(leg.retransmissions for leg in self.legs)

    @property
    def resets(self) -> int:
        """Packets with RST in all conversations."""
        return sum(leg.resets for leg in self.legs)

    def leg(self, number: int, endpoint: str | None = None, leg: Side = "client") -> LegStatistics:
        """The leg of connection `number` (of `endpoint`, where several have one); else ValueError."""
        found = [
            x for x in self.legs if x.number == number and x.leg == leg and endpoint in (None, x.endpoint)
        ]
        if len(found) != 1:
            raise ValueError(
                f"{len(found)} conversations are the {leg} leg of connection {number}"
                f"{'' if endpoint is None else f' of {endpoint}'}. Expected exactly one. Look at .legs, and give endpoint=."
            )
        return found[0]

    def __str__(self) -> str:
        return "\n".join([_sums(self), *_protocols(self), *_table(self)])


def _sums(what: Statistics) -> str:
    text = f"{what.packets} packets, {what.bytes} bytes, {what.duration:.6f} s"
    return f"{text}, {what.retransmissions} retransmitted, {what.resets} with RST, {what.dropped} missing"


def _protocols(what: Statistics) -> list[str]:
    return [
        f"{plain(name)}: {c.packets} packets, {c.bytes} bytes" for name, c in sorted(what.protocols.items())
    ]


def _table(what: Statistics) -> list[str]:
    if not what.legs:
        return []
    rows = [_COLUMNS, *(_row(leg, what.first) for leg in what.legs)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [_line(row, widths) for row in rows]


def _row(leg: LegStatistics, start: float) -> tuple[str, ...]:
    names = (str(leg.number), plain(leg.endpoint), leg.leg, leg.transport)
    places = (plain(address_text(leg.client)), plain(address_text(leg.server)))
    ways = (leg.to_server.packets, leg.to_server.bytes, leg.to_client.packets, leg.to_client.bytes)
    numbers = tuple(map(str, (*ways, leg.retransmissions, leg.resets)))
    return (*names, *places, *numbers, f"{leg.first - start:.6f}", f"{leg.duration:.6f}")


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    cells = (
        cell.ljust(width) if number in _LEFT else cell.rjust(width)
        for number, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return "  ".join(cells).rstrip()
