"""ICMP messages that say that a packet did not arrive, and which one it was.

Law: pure; it reads the packet that the message quotes, and nothing else.
Source: RFC 792, RFC 4443.
"""

from __future__ import annotations

import ipaddress
from typing import Literal, NamedTuple

from pytest_netfixtures._pcap.items import Packet
from pytest_netfixtures._pcap.talks import Key

__all__ = ["Unreachable", "unreachable"]

_TRANSPORTS: dict[int, Literal["tcp", "udp"]] = {6: "tcp", 17: "udp"}
_PORT = {"icmp": (3, 3), "icmpv6": (1, 4)}
"""Type "destination unreachable" and its code "port unreachable"."""
_QUOTE = 8


class Unreachable(NamedTuple):
    """A packet from `key[:2]` to `key[2:]` did not arrive; `text` says who says so."""

    transport: Literal["tcp", "udp"]
    key: Key
    text: str


def unreachable(packet: Packet) -> Unreachable | None:
    """What an ICMP message says of a TCP or UDP packet; None if it says something else, or is too short."""
    kind, port = _PORT[packet.protocol]
    data = packet.payload
    if len(data) < _QUOTE or data[0] != kind:
        return None
    found = (_quoted_v4 if packet.protocol == "icmp" else _quoted_v6)(data[_QUOTE:])
    if found is None:
        return None
    what = "port unreachable" if data[1] == port else f"destination unreachable (code {data[1]})"
    return Unreachable(*found, f"ICMP: {what}, says {packet.source}")


def _quoted_v4(data: bytes) -> tuple[Literal["tcp", "udp"], Key] | None:
    if len(data) < 20 or data[0] >> 4 != 4 or data[9] not in _TRANSPORTS:
        return None
    ports = _ports(data, (data[0] & 15) * 4)
    source, target = (str(ipaddress.IPv4Address(data[at : at + 4])) for at in (12, 16))
    return (_TRANSPORTS[data[9]], (source, ports[0], target, ports[1])) if ports else None


def _quoted_v6(data: bytes) -> tuple[Literal["tcp", "udp"], Key] | None:
    if len(data) < 40 or data[0] >> 4 != 6 or data[6] not in _TRANSPORTS:
        return None
    ports = _ports(data, 40)
    source, target = (str(ipaddress.IPv6Address(data[at : at + 16])) for at in (8, 24))
    return (_TRANSPORTS[data[6]], (source, ports[0], target, ports[1])) if ports else None


def _ports(data: bytes, at: int) -> tuple[int, int] | None:
    if at < 20 or len(data) < at + 4:
        return None
    return int.from_bytes(data[at : at + 2], "big"), int.from_bytes(data[at + 2 : at + 4], "big")
