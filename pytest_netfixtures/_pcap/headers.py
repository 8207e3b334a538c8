"""Ethernet, IPv4, IPv6, TCP and UDP headers around bytes that went through a socket.

Law: pure; bytes in, frames out. A `Route` is one direction between two addresses; what never changes on it is summed
once. A one's-complement sum is the number modulo 0xFFFF, which Python takes of a whole payload at once.
"""

from __future__ import annotations

import ipaddress
import struct

__all__ = ["ACK", "FIN", "PSH", "RST", "SYN", "SYN_OPTIONS", "WINDOW_SHIFT", "Place", "Route", "checksum"]

Place = tuple[str, int]
"""An IP address as text, and a port."""

FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10
WINDOW_SHIFT = 14
SYN_OPTIONS = struct.pack(">BBHBBBB", 2, 4, 65475, 1, 3, 3, WINDOW_SHIFT)
"""Maximum segment size, and the largest window scale: a window of 1 GiB is never full."""

_WINDOW = 0xFFFF
_TCP, _UDP = 6, 17
_TCP_HEADER = struct.Struct(">HHIIHHHH")
_UDP_HEADER = struct.Struct(">HHHH")
_IPV4 = struct.Struct(">14sHHHHHH8s")
_IPV6 = struct.Struct(">14sIHBB32s")
_NO_MACS = bytes(12)
_MASK = 0xFFFFFFFF


def checksum(total: int) -> int:
    """The checksum of data whose 16-bit words add up to `total` (more than 0: no header is all zeros)."""
    return 0xFFFF - (total % 0xFFFF or 0xFFFF)


class Route:
    """One direction of a conversation: makes the frames that go from `source` to `target`.

    Both are IPv4 or both IPv6 addresses; anything else is a ValueError.
    """

    __slots__ = ("_addresses", "_ethernet", "_ports", "_sum", "_v4")

    def __init__(self, source: Place, target: Place) -> None:
        here, there = ipaddress.ip_address(source[0]), ipaddress.ip_address(target[0])
        if here.version != there.version:
            raise ValueError(f"{source[0]} and {target[0]} are of two families; expected one")
        self._v4 = here.version == 4
        self._ethernet = _NO_MACS + (b"\x08\x00" if self._v4 else b"\x86\xdd")
        self._addresses = here.packed + there.packed
        self._ports = (source[1], target[1])
        self._sum = int.from_bytes(self._addresses, "big") % 0xFFFF

    def tcp(self, seq: int, ack: int, flags: int, data: bytes = b"", options: bytes = b"") -> bytes:
        """A TCP segment; `options` is padded to 32 bits by the caller. Numbers wrap at 2**32."""
        source, target = self._ports
        seq, ack = seq & _MASK, ack & _MASK
        words = (20 + len(options)) << 10 | flags
        size = 20 + len(options) + len(data)
        total = self._sum + _TCP + size + source + target + seq + ack + words + _WINDOW
        check = checksum(total + _sum(options) + _sum(data))
        header = _TCP_HEADER.pack(source, target, seq, ack, words, _WINDOW, check, 0)
        return b"".join((self._ip(_TCP, size), header, options, data))

    def udp(self, data: bytes) -> bytes:
        """A UDP datagram."""
        source, target = self._ports
        size = 8 + len(data)
        total = self._sum + _UDP + size + source + target + size + _sum(data)
        check = checksum(total) or 0xFFFF  # 0 on the wire means "not summed"
        return b"".join((self._ip(_UDP, size), _UDP_HEADER.pack(source, target, size, check), data))

    def _ip(self, protocol: int, size: int) -> bytes:
        if not self._v4:
            return _IPV6.pack(self._ethernet, 0x60000000, size, protocol, 64, self._addresses)
        life = 64 << 8 | protocol
        check = checksum(self._sum + 0x4500 + 20 + size + 0x4000 + life)
        return _IPV4.pack(self._ethernet, 0x4500, 20 + size, 0, 0x4000, life, check, self._addresses)


def _sum(data: bytes) -> int:
    number = int.from_bytes(data, "big") % 0xFFFF
    return number << 8 if len(data) & 1 else number
