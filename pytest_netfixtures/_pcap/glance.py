"""What a frame of a loopback device says about itself: between whom it goes, and where in its stream it stands.

Law: pure, and quick, because every packet comes through here. It reads headers only: IPv4 and IPv6 without extensions but
that of a fragment, TCP, UDP, and of an ICMP error the packet that is quoted in it. What it does not know is None; nothing
is reassembled.
"""

from __future__ import annotations

import ipaddress
import struct
from functools import lru_cache
from typing import NamedTuple

from pytest_netfixtures._pcap.headers import Place

__all__ = ["ETHERNET", "LOOP", "NULL", "TCP", "UDP", "Glance", "ethernet", "glance", "piece", "wire_size"]

TCP, UDP = 6, 17
ETHERNET, NULL, LOOP = 1, 0, 108
"""Link types as libpcap numbers them."""
_ERRORS = {1: (3, 11, 12), 58: (1, 2, 3, 4)}
_IPV4, _IPV6 = b"\x08\x00", b"\x86\xdd"
_FRAGMENT = 44
_IN_IPV6 = (10, 23, 24, 28, 30)
"""What the systems call the family of IPv6."""
_PORTS = struct.Struct(">HH")
_NUMBERS = struct.Struct(">HHII")
_HALF = struct.Struct(">H")


class Glance(NamedTuple):
    """A packet; of an ICMP error (`quoted`) the packet that could not be delivered."""

    protocol: int
    source: Place
    target: Place
    seq: int = 0
    flags: int = 0
    size: int = 0
    """Bytes of the payload."""
    quoted: bool = False


def ethernet(frame: bytes, link: int) -> bytes:
    """The frame with an Ethernet header of zeros, whatever the device of its system puts before IP."""
    if link == ETHERNET:
        return frame
    order: str = "big" if link == LOOP else "little" if frame[:2] != b"\0\0" else "big"
    family = int.from_bytes(frame[:4], order)  # type: ignore[arg-type]
    return bytes(12) + (_IPV6 if family in _IN_IPV6 else _IPV4) + frame[4:]


def wire_size(frame: bytes) -> int:
    """How long it was on the wire: libpcap's batches do not say it, so that the IP header is asked."""
    if frame[12:14] == _IPV6 and len(frame) >= 54:
        told: int = 54 + _HALF.unpack_from(frame, 18)[0]
    elif frame[12:14] == _IPV4 and len(frame) >= 34:
        told = 14 + _HALF.unpack_from(frame, 16)[0]
    else:
        told = 0
    return max(len(frame), told)


def glance(frame: bytes) -> Glance | None:
    """What a frame with an Ethernet header says; None where it is nothing that goes between two ports."""
    try:
        if frame[12:14] == _IPV4:
            return _version_4(frame, 14, False)
        return _version_6(frame, 14, False) if frame[12:14] == _IPV6 else None
    except (struct.error, ValueError, IndexError):  # it is cut off
        return None


def piece(frame: bytes) -> bytes | None:
    """What all fragments of one packet have in common; None of a packet that is whole."""
    if frame[12:14] == _IPV4 and len(frame) >= 34 and _HALF.unpack_from(frame, 20)[0] & 0x3FFF:
        return frame[18:20] + frame[23:24] + frame[26:34]
    if frame[12:14] == _IPV6 and len(frame) >= 62 and frame[20] == _FRAGMENT:
        return frame[58:62] + frame[22:54]
    return None


def _version_4(frame: bytes, at: int, quoted: bool) -> Glance | None:
    if _HALF.unpack_from(frame, at + 6)[0] & 0x1FFF:
        return None
    above = at + (frame[at] & 15) * 4
    end = at + _HALF.unpack_from(frame, at + 2)[0]
    addresses = _address(frame[at + 12 : at + 16]), _address(frame[at + 16 : at + 20])
    return _transport(frame, frame[at + 9], above, end if end > at else len(frame), addresses, quoted)


def _version_6(frame: bytes, at: int, quoted: bool) -> Glance | None:
    end = at + 40 + _HALF.unpack_from(frame, at + 4)[0]
    addresses = _address(frame[at + 8 : at + 24]), _address(frame[at + 24 : at + 40])
    protocol, above = frame[at + 6], at + 40
    if protocol == _FRAGMENT:
        if _HALF.unpack_from(frame, at + 42)[0] & 0xFFF8:
            return None
        protocol, above = frame[at + 40], at + 48
    return _transport(frame, protocol, above, end if end > at + 40 else len(frame), addresses, quoted)


def _transport(
    frame: bytes, protocol: int, at: int, end: int, addresses: tuple[str, str], quoted: bool
) -> Glance | None:
    source, target = addresses
    if protocol == TCP and not quoted:
        here, there, seq, _ = _NUMBERS.unpack_from(frame, at)
        words = _HALF.unpack_from(frame, at + 12)[0]
        size = end - at - (words >> 12) * 4
        return Glance(TCP, (source, here), (target, there), seq, words & 0x3F, size)
    if protocol in (TCP, UDP):
        here, there = _PORTS.unpack_from(frame, at)
        return Glance(protocol, (source, here), (target, there), size=end - at - 8, quoted=quoted)
    return None if quoted else _quoted(frame, protocol, at)


def _quoted(frame: bytes, protocol: int, at: int) -> Glance | None:
    """Errors of ICMP have the packet that they are about behind 8 bytes of their own."""
    if len(frame) < at + 28 or frame[at] not in _ERRORS.get(protocol, ()):
        return None
    version = _version_4 if protocol == 1 else _version_6
    return version(frame, at + 8, True)


@lru_cache(maxsize=1024)
def _address(packed: bytes) -> str:
    return str(ipaddress.ip_address(packed))
