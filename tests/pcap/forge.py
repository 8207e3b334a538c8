"""Makes capture files by hand, in either order of bytes, with what our own writer never writes.

It is written from the specification and knows nothing of readers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

MICRO, NANO, MODIFIED = 0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34
ETHERNET = 1
MACS = bytes(range(12))


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    """Any block, padded."""
    body += bytes(-len(body) % 4)
    size = len(body) + 12
    return struct.pack(f"{order}II", kind, size) + body + struct.pack(f"{order}I", size)


def options(values: Iterable[tuple[int, bytes]], order: str = "<") -> bytes:
    """Options with their end mark; nothing where there are none."""
    said = b"".join(
        struct.pack(f"{order}HH", code, len(value)) + value + bytes(-len(value) % 4) for code, value in values
    )
    return said + bytes(4) if said else b""


def section(*values: tuple[int, bytes], order: str = "<") -> bytes:
    """A section header."""
    return block(
        0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1) + options(values, order), order
    )


def interface(*values: tuple[int, bytes], link: int = ETHERNET, snaplen: int = 0, order: str = "<") -> bytes:
    """An interface description."""
    return block(1, struct.pack(f"{order}HHI", link, 0, snaplen) + options(values, order), order)


def packet(
    data: bytes, *values: tuple[int, bytes], ticks: int = 0, number: int = 0, wire: int = 0, order: str = "<"
) -> bytes:
    """An enhanced packet; `wire` is its length before it was cut."""
    head = struct.pack(f"{order}IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(data), wire or len(data))
    return block(6, head + data + bytes(-len(data) % 4) + options(values, order), order)


def simple(data: bytes, *, wire: int = 0, order: str = "<") -> bytes:
    """A packet without a time and an interface."""
    return block(3, struct.pack(f"{order}I", wire or len(data)) + data, order)


def obsolete(
    data: bytes, *values: tuple[int, bytes], ticks: int = 0, lost: int = 0, order: str = "<"
) -> bytes:
    """The packet block of old files."""
    head = struct.pack(f"{order}HHIIII", 0, lost, ticks >> 32, ticks & 0xFFFFFFFF, len(data), len(data))
    return block(2, head + data + bytes(-len(data) % 4) + options(values, order), order)


def statistics(*values: tuple[int, bytes], number: int = 0, order: str = "<") -> bytes:
    """What an interface has counted."""
    return block(5, struct.pack(f"{order}III", number, 0, 0) + options(values, order), order)


def journal(*lines: bytes, order: str = "<") -> bytes:
    """A systemd journal entry."""
    return block(9, b"".join(line + b"\n" for line in lines), order)


def pcapng(*frames: bytes, link: int = ETHERNET, order: str = "<") -> bytes:
    """A file with one interface without a name."""
    packets = (packet(frame, ticks=number, order=order) for number, frame in enumerate(frames))
    return b"".join((section(order=order), interface(link=link, order=order), *packets))


def classic(*frames: bytes, link: int = ETHERNET, magic: int = MICRO, order: str = "<") -> bytes:
    """A classic file; the n-th packet is of the n-th second and tick."""
    head = struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 262144, link)
    more = bytes(8) if magic == MODIFIED else b""
    return head + b"".join(
        struct.pack(f"{order}IIII", number, number, len(frame), len(frame)) + more + frame
        for number, frame in enumerate(frames)
    )


def ethernet(packet: bytes, kind: int = 0x0800, tags: bytes = b"") -> bytes:
    """An Ethernet frame; `tags` stand before the type."""
    return MACS + tags + struct.pack(">H", kind) + packet


def ipv4(
    payload: bytes,
    *,
    protocol: int = 17,
    options: bytes = b"",
    ident: int = 0,
    offset: int = 0,
    more: bool = False,
    total: int = -1,
    hosts: tuple[int, int] = (1, 2),
) -> bytes:
    """An IPv4 packet with a right checksum; `offset` in bytes."""
    size = 20 + len(options) + len(payload) if total < 0 else total
    first = 0x40 | (5 + len(options) // 4)
    flags = offset >> 3 | (0x2000 if more else 0)
    source, target = (bytes((127, 0, 0, host)) for host in hosts)
    head = (
        struct.pack(">BBHHHBBH4s4s", first, 0, size, ident, flags, 64, protocol, 0, source, target) + options
    )
    check = 0xFFFF - (sum(struct.unpack(f">{len(head) // 2}H", head)) % 0xFFFF or 0xFFFF)
    return head[:10] + struct.pack(">H", check) + head[12:] + payload


def ipv6(payload: bytes, *, protocol: int = 17, size: int = -1, hosts: tuple[int, int] = (1, 2)) -> bytes:
    """An IPv6 packet, from ::1 to ::2 unless `hosts` says otherwise."""
    ends = b"".join(bytes(15) + bytes((host,)) for host in hosts)
    return struct.pack(">IHBB", 0x60000000, len(payload) if size < 0 else size, protocol, 64) + ends + payload


def pieces(payload: bytes, size: int = 1000, *, ident: int = 7, protocol: int = 17) -> list[bytes]:
    """The IPv4 fragments of a packet; `size` is a multiple of 8."""
    return [
        ipv4(
            payload[at : at + size], protocol=protocol, ident=ident, offset=at, more=at + size < len(payload)
        )
        for at in range(0, len(payload), size)
    ]


def pieces_6(payload: bytes, size: int = 1000, *, ident: int = 7, protocol: int = 17) -> list[bytes]:
    """The IPv6 fragments of a packet from ::1 to itself."""
    found = []
    for at in range(0, len(payload), size):
        more = at + size < len(payload)
        head = struct.pack(">BBHI", protocol, 0, at | more, ident)
        found.append(ipv6(head + payload[at : at + size], protocol=44, hosts=(1, 1)))
    return found


def udp(data: bytes, *, size: int = -1) -> bytes:
    """A datagram without a checksum."""
    return struct.pack(">HHHH", 5353, 53, 8 + len(data) if size < 0 else size, 0) + data


def tcp(
    data: bytes,
    *,
    options: bytes = b"",
    flags: int = 0x18,
    seq: int = 0xFFFFFFF0,
    ack: int = 7,
    ports: tuple[int, int] = (40000, 80),
) -> bytes:
    """A segment without a checksum."""
    return (
        struct.pack(">HHIIBBHHH", *ports, seq, ack, (5 + len(options) // 4) << 4, flags, 99, 0, 0)
        + options
        + data
    )
