"""Classic pcap files: one link type, no interfaces, no comments; packets one after the other.

Law: from bytes to records, in order, and nothing of what is in a packet. Its length is all that tells where the next
packet begins, so that the first senseless length is the end of what can be read.
Source: draft-ietf-opsawg-pcap; the modified format is that of Alexey Kuznetzov's patched libpcap.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from pytest_netfixtures._pcap.items import Statement
from pytest_netfixtures._pcap.source import LONGEST, Frame, Record, Source, Tear

__all__ = ["MAGICS", "records"]

MICROSECONDS, NANOSECONDS, MODIFIED = 0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34
MAGICS = {
    struct.pack(f"{order}I", magic): (order, magic)
    for order in "<>"
    for magic in (MICROSECONDS, NANOSECONDS, MODIFIED)
}
"""The first four bytes of a file: the order of its bytes, and its kind."""
HEADER = 24
_OF_FURTHER_USE = 0x03FFFFFF
"""The link type; above it are the length of a frame check sequence and bits without a meaning."""


def records(source: Source, first: bytes) -> Iterator[Record]:
    """The packets of a file that begins with `first`, which has been read."""
    try:
        yield from _packets(source, first)
    except Tear as tear:
        yield Statement("torn", str(tear))


def _packets(source: Source, first: bytes) -> Iterator[Frame]:
    order, magic = MAGICS[first[:4]]
    head = first + source.exactly(HEADER - len(first), "file header", 0)
    link = struct.unpack_from(f"{order}I", head, 20)[0] & _OF_FURTHER_USE
    layout = struct.Struct(f"{order}IIII8x" if magic == MODIFIED else f"{order}IIII")
    tick = 1 if magic == NANOSECONDS else 1000
    number = 0
    while head := source.upto(layout.size):
        start = source.at - len(head)
        seconds, ticks, size, wire = _checked(layout, head, source, start)
        data = source.exactly(size, "packet", start)
        number += 1
        yield Frame(number, seconds * 1_000_000_000 + ticks * tick, "", link, data, max(wire, size))


def _checked(layout: struct.Struct, head: bytes, source: Source, start: int) -> tuple[int, ...]:
    if len(head) < layout.size:
        raise source.ended("packet", start)
    found = layout.unpack(head)
    if not any(found):
        raise Tear(f"from byte {start} on there are zeros, and no packet")
    if found[2] > LONGEST:
        raise Tear(f"the packet at byte {start} says that it has {found[2]} bytes; {LONGEST} are the most")
    return found
