"""Capture files of every kind, made by hand: what referees, properties and the fuzzer start from.

Small ones; each reads without a tear.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from pcap import forge


def every_kind_of_packet() -> list[bytes]:
    """IPv4 with options, short frames, no lengths; IPv6 with every extension; TCP with options; VLANs."""
    hop, routing = bytes((43, 0, 1, 4, 0, 0, 0, 0)), bytes((60, 0, 0, 0, 0, 0, 0, 0))
    destination, atomic = bytes((44, 0, 1, 4, 0, 0, 0, 0)), bytes((17, 0, 0, 0, 0, 0, 0, 9))
    tag, outer = b"\x81\x00\x00\x07", b"\x88\xa8\x00\x09"
    segment = forge.tcp(b"hello", options=b"\x02\x04\x05\xb4\x01\x03\x03\x07")
    return [
        forge.ethernet(forge.ipv4(forge.udp(b"plain"))),
        forge.ethernet(forge.ipv4(forge.udp(b"with options"), options=b"\x01\x01\x01\x00" * 10)),
        forge.ethernet(forge.ipv4(forge.udp(b"short")) + bytes(20)),
        forge.ethernet(forge.ipv4(segment, protocol=6)),
        forge.ethernet(forge.ipv4(segment, protocol=6, total=0)),
        forge.ethernet(forge.ipv4(forge.udp(b"a tag")), tags=tag),
        forge.ethernet(forge.ipv6(forge.udp(b"two tags")), kind=0x86DD, tags=outer + tag),
        forge.ethernet(forge.ipv6(segment, protocol=6), kind=0x86DD),
        forge.ethernet(
            forge.ipv6(hop + routing + destination + atomic + forge.udp(b"all extensions"), protocol=0),
            kind=0x86DD,
        ),
        forge.ethernet(b"who has it", kind=0x0806),
        forge.ethernet(forge.ipv4(b"\x08\x00\x00\x00ping", protocol=1)),
    ]


def every_kind_of_block(order: str) -> bytes:
    """Two sections in both orders of bytes, with blocks that our own writer never writes."""
    frame = every_kind_of_packet()[0]
    ticks = 1_700_000_000 << 20 | 12345
    other = "<" if order == ">" else ">"
    return b"".join((
        forge.section((1, "a comment, ü".encode()), (1, b"another one"), order=order),
        forge.interface((2, b"binary"), (9, bytes((0x80 | 20,))), order=order),
        forge.interface((2, b"later"), (9, b"\x03"), (14, struct.pack(f"{order}q", 1_600_000_000)), order=order),
        forge.interface((2, "ü".encode()), order=order),
        forge.block(10, struct.pack(f"{order}II", 0x544C534B, 4) + b"####", order),
        forge.packet(frame, (1, b"one"), (1, b"two"), ticks=ticks, order=order),
        forge.block(4, bytes(4), order),
        forge.packet(frame, (1, b"milliseconds"), ticks=1234, number=1, order=order),
        forge.block(0x0BAD, struct.pack(f"{order}I", 32473) + b"ours", order),
        forge.packet(frame, ticks=1_700_000_000_000_000, number=2, order=order),
        forge.journal(b"__REALTIME_TIMESTAMP=1700000000000001", b"MESSAGE=a row", order=order),
        forge.obsolete(frame, (1, b"old"), ticks=ticks, lost=3, order=order),
        forge.statistics((4, bytes(8)), (5, struct.pack(f"{order}Q", 5)), order=order),
        forge.block(0x1234, b"nobody knows this", order),
        forge.packet(frame, ticks=ticks + 1, order=order),
        forge.section(order=other),
        forge.interface((2, b"other"), order=other),
        forge.packet(frame, order=other),
    ))  # fmt: skip


def conversation() -> list[bytes]:
    """A handshake, a request in two segments of which one comes again, an answer, a FIN and an RST."""

    def segment(seq: int, ack: int, flags: int, data: bytes = b"", turned: bool = False) -> bytes:
        packet = forge.tcp(data, flags=flags, seq=seq, ack=ack, ports=(80, 40000) if turned else (40000, 80))
        return forge.ethernet(forge.ipv4(packet, protocol=6, hosts=(2, 1) if turned else (1, 2)))

    return [
        segment(9, 0, 0x02), segment(99, 10, 0x12, turned=True), segment(10, 100, 0x10),
        segment(14, 100, 0x18, b"two"), segment(10, 100, 0x18, b"one "), segment(10, 100, 0x18, b"one "),
        segment(100, 17, 0x18, b"answer", turned=True), segment(17, 106, 0x11), segment(106, 18, 0x14, turned=True),
    ]  # fmt: skip


def all_files() -> Iterator[bytes]:
    """Files of every format, order and link type."""
    fragments = forge.pieces(forge.udp(b"x" * 60), 24)
    frames = [*every_kind_of_packet(), *conversation(), *map(forge.ethernet, fragments[::-1])]
    for order in "<>":
        yield forge.pcapng(*frames, order=order)
        yield every_kind_of_block(order)
        for magic in (forge.MICRO, forge.NANO, forge.MODIFIED):
            yield forge.classic(*frames, magic=magic, order=order)
    yield forge.pcapng(*conversation())
    yield forge.section() + forge.interface(snaplen=50) + b"".join(map(forge.simple, frames))
    four, six = forge.ipv4(forge.udp(b"four")), forge.ipv6(forge.udp(b"six"))
    for link, head in (
        (0, b"\2\0\0\0"),
        (101, b""),
        (108, b"\0\0\0\2"),
        (228, b""),
        (113, bytes(14) + b"\x08\0"),
    ):
        yield forge.classic(head + four, link=link)
    yield forge.pcapng(b"\x86\xdd" + bytes(18) + six, link=276)
    pieces = forge.pieces_6(forge.udp(b"x" * 60), 24)
    yield forge.pcapng(*(forge.ethernet(each, 0x86DD) for each in pieces), *every_kind_of_packet()[6:9])
