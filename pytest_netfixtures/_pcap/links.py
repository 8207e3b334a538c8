"""Where in a frame its IP packet begins, for each link type that can be read.

Law: pure; a function of the frame's bytes for each link type. It gives the offset of the network layer, and 4, 6, or 0
for what is not IP. Who wrote the file is not asked: the address family of DLT_NULL is understood in both byte orders.
Source: the list of link-layer header types at tcpdump.org.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["LINKS", "Malformed"]

NOT_IP = 0
_TYPES = {b"\x08\x00": 4, b"\x86\xdd": 6}
_TAGS = frozenset({b"\x81\x00", b"\x88\xa8", b"\x91\x00"})
"""Of VLANs: a customer's, a provider's, and the latter before it had a number of its own."""
_FAMILIES = {2: 4, 10: 6, 23: 6, 24: 6, 28: 6, 30: 6}
"""AF_INET is 2 everywhere; AF_INET6 is another number on Linux, Windows, NetBSD, FreeBSD and macOS."""


class Malformed(Exception):
    """A packet that is none; the message says why."""


def ethernet(data: bytes) -> tuple[int, int]:
    """Two addresses, perhaps tags of VLANs, and the type of what follows."""
    version = _TYPES.get(data[12:14])
    return (14, version) if version else _behind_tags(data, 12, 14)


def cooked(data: bytes) -> tuple[int, int]:
    """LINUX_SLL: `tcpdump -i any`; the type is at the end of the header."""
    version = _TYPES.get(data[14:16])
    return (16, version) if version else _behind_tags(data, 14, 16)


def cooked_2(data: bytes) -> tuple[int, int]:
    """LINUX_SLL2: the type is at the beginning of the header."""
    version = _TYPES.get(data[:2])
    return (20, version) if version else _behind_tags(data, 0, 20)


def family(data: bytes) -> tuple[int, int]:
    """NULL and LOOP: 32 bits of an address family in the byte order of some machine."""
    if len(data) < 4:
        raise Malformed("it is shorter than the header of its link layer")
    return 4, _FAMILIES.get(data[0] or data[3], NOT_IP)


def raw(data: bytes) -> tuple[int, int]:
    """No link layer; the first bits of IP tell its version."""
    version = data[0] >> 4 if data else NOT_IP
    if version not in (4, 6):
        raise Malformed("it begins with the header of neither IPv4 nor IPv6")
    return 0, version


def _behind_tags(data: bytes, at: int, behind: int) -> tuple[int, int]:
    """`at` is the offset of the type, `behind` that of what follows; each tag has two bytes of its own, and a type."""
    if len(data) < behind:
        raise Malformed("it is shorter than the header of its link layer")
    kind = data[at : at + 2]
    while kind in _TAGS:
        kind = data[behind + 2 : behind + 4]
        behind += 4
    return behind, _TYPES.get(kind, NOT_IP)


LINKS: dict[int, Callable[[bytes], tuple[int, int]]] = {
    0: family,
    1: ethernet,
    12: raw,
    14: raw,
    101: raw,
    108: family,
    113: cooked,
    228: lambda data: (0, 4),
    229: lambda data: (0, 6),
    276: cooked_2,
}
