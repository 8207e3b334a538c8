"""What IP carries: TCP, UDP, ICMP, and others by their number.

Law: pure; from the bytes behind an IP header to a packet. `length` is what the wire had, `data` what the capture kept;
the difference is what is missing from the payload.
Source: RFC 9293, RFC 768.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from pytest_netfixtures._pcap.items import Packet
from pytest_netfixtures._pcap.links import Malformed
from pytest_netfixtures._pcap.source import Frame

__all__ = ["Malformed", "Network", "carried", "short"]

ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
_NAMES = {ICMP: "icmp", ICMPV6: "icmpv6"}
_TCP = struct.Struct(">HHIIBB")
_UDP = struct.Struct(">HHH")


class Network(NamedTuple):
    """What the layers below say of a packet."""

    frame: Frame
    source: str
    target: str
    protocol: int
    header: int
    """Bytes of the IP header, extension headers included."""


def carried(network: Network, data: bytes, length: int) -> Packet:
    """The packet with its payload."""
    if network.protocol == TCP:
        return _tcp(network, data, length)
    if network.protocol == UDP:
        return _udp(network, data, length)
    frame, source, target, protocol, header = network
    name = _NAMES.get(protocol) or str(protocol)
    return Packet(
        frame.number, frame.stamp, frame.interface, source, target, name, header + length,
        payload=data, missing=length - len(data), comments=frame.comments,
    )  # fmt: skip


def short(layer: str, on_the_wire: bool) -> Malformed:
    """Why there is not even a header: it never was there, or the capture did not keep it."""
    return Malformed(
        f"it ends within its {layer} header" + ("" if on_the_wire else ", where the capture cut it")
    )


def _tcp(network: Network, data: bytes, length: int) -> Packet:
    if len(data) < 20:
        raise short("TCP", length < 20)
    frame, source, target, _, header = network
    source_port, target_port, seq, ack, words, flags = _TCP.unpack_from(data)
    behind = (words >> 4) << 2
    if not 20 <= behind <= length:
        raise Malformed(f"its TCP header says that it has {behind} bytes; expected from 20 to {length}")
    payload = data[behind:]
    return Packet(
        frame.number, frame.stamp, frame.interface, source, target, "tcp", header + length, source_port,
        target_port, seq, ack, flags, payload, length - behind - len(payload), frame.comments,
    )  # fmt: skip


def _udp(network: Network, data: bytes, length: int) -> Packet:
    if len(data) < 8:
        raise short("UDP", length < 8)
    frame, source, target, _, header = network
    source_port, target_port, size = _UDP.unpack_from(data)
    size = size or length  # a jumbogram
    if not 8 <= size <= length:
        raise Malformed(f"its UDP header says that it has {size} bytes; expected from 8 to {length}")
    payload = data[8:size]
    return Packet(
        frame.number, frame.stamp, frame.interface, source, target, "udp", header + length, source_port,
        target_port, payload=payload, missing=size - 8 - len(payload), comments=frame.comments,
    )  # fmt: skip
