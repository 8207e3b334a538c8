"""Makes packets as a reader of files hands them on: a TCP connection with few words, and datagrams.

It asserts nothing. The clock ticks a microsecond a packet.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count

from pytest_netfixtures._pcap.headers import ACK, FIN, PSH, RST, SYN
from pytest_netfixtures._pcap.items import Packet

__all__ = ["ACK", "FIN", "PSH", "RST", "SYN", "Talker", "datagram"]

CLIENT = ("127.0.0.1", 40001)
SERVER = ("127.0.0.1", 6379)
START = 1_700_000_000_000_000_000

_numbers = count(1)


def packet(
    source: tuple[str, int],
    target: tuple[str, int],
    *,
    protocol: str = "tcp",
    payload: bytes = b"",
    flags: int = 0,
    seq: int = 0,
    ack: int = 0,
    missing: int = 0,
    comments: tuple[str, ...] = (),
) -> Packet:
    """One packet, a microsecond after the one before."""
    number = next(_numbers)
    return Packet(
        number=number,
        stamp=START + 1000 * number,
        interface="lo",
        source=source[0],
        target=target[0],
        protocol=protocol,
        size=len(payload) + missing + (40 if protocol == "tcp" else 28),
        source_port=source[1],
        target_port=target[1],
        seq=seq % 2**32,
        ack=ack % 2**32,
        flags=flags,
        payload=payload,
        missing=missing,
        comments=comments,
    )


def datagram(
    source: tuple[str, int],
    target: tuple[str, int],
    payload: bytes,
    comments: tuple[str, ...] = (),
    missing: int = 0,
) -> Packet:
    """One UDP datagram."""
    return packet(source, target, protocol="udp", payload=payload, comments=comments, missing=missing)


@dataclass
class Talker:
    """The two sides of a connection and the packets that they made."""

    client: tuple[str, int] = CLIENT
    server: tuple[str, int] = SERVER
    isn: tuple[int, int] = (1000, 5000)
    packets: list[Packet] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.next = {"client": self.isn[0], "server": self.isn[1]}

    def say(
        self, by: str, payload: bytes = b"", flags: int = ACK, *, missing: int = 0, seq: int | None = None
    ) -> Packet:
        """One segment of one side."""
        here, there = (self.client, self.server) if by == "client" else (self.server, self.client)
        other = "server" if by == "client" else "client"
        at = self.next[by] if seq is None else seq
        ack = self.next[other] if flags & ACK else 0
        made = packet(here, there, payload=payload, flags=flags, seq=at, ack=ack, missing=missing)
        if seq is None:
            self.next[by] += len(payload) + missing + bool(flags & SYN) + bool(flags & FIN)
        self.packets.append(made)
        return made

    def open(self) -> Talker:
        """The handshake."""
        self.say("client", flags=SYN)
        self.say("server", flags=SYN | ACK)
        self.say("client")
        return self

    def close(self) -> Talker:
        """A FIN of each side."""
        for by, other in (("client", "server"), ("server", "client")):
            self.say(by, flags=FIN | ACK)
            self.say(other)
        return self
