"""pcapng files: sections, interfaces, packets, rows, and what a section says about itself.

Law: from bytes to records, in order, and nothing of what is in a packet. Frames are numbered as Wireshark numbers them:
packets, journal entries, custom blocks. A block that says something senseless about itself is skipped with a statement; where no
next block can be found the file is torn.
Source: draft-ietf-opsawg-pcapng.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from pytest_netfixtures._pcap.block_options import of_a_packet, options
from pytest_netfixtures._pcap.items import Row, Statement
from pytest_netfixtures._pcap.sections import Interface, Section, journal_entry
from pytest_netfixtures._pcap.source import LONGEST, Frame, Record, Source, Tear, readable_text

__all__ = ["MAGIC", "ORDERS", "Blocks"]

MAGIC = b"\n\r\r\n"
"""The type of a section header, the same in both orders of bytes."""
ORDERS = {b"\x1a\x2b\x3c\x4d": ">", b"\x4d\x3c\x2b\x1a": "<"}
SMALLEST, SMALLEST_SECTION = 12, 28
MOST_INTERFACES = 65536
NOT_COUNTED = 0xFFFF
OTHER_FRAMES = (0xBAD, 0x40000BAD, 0x204, 0x208, 0x216, 0x217, 0x221, 0x222)
"""Custom blocks and the events of Sysdig: a number of their own in Wireshark, and nothing that we read."""


class Blocks:
    """The records of a file that begins with the twelve bytes `first`, which have been read."""

    def __init__(self, source: Source, first: bytes) -> None:
        self._source = source
        self._first = first
        self._number = 0
        self._stamp = 0
        self._section = Section("<")
        self._take: dict[int, Callable[[bytes, int], Iterable[Record]]] = {
            1: self._interface,
            2: self._obsolete_packet,
            3: self._simple_packet,
            5: self._statistics,
            6: self._packet,
            9: self._journal,
            **dict.fromkeys(OTHER_FRAMES, self._other_frame),
        }

    def __iter__(self) -> Iterator[Record]:
        try:
            yield from self._begin_section(0, self._first)
            yield from self._blocks()
        except Tear as tear:
            yield Statement("torn", str(tear))

    def _blocks(self) -> Iterator[Record]:
        source, take = self._source, self._take
        while head := source.upto(8):
            start = source.at - len(head)
            if len(head) < 8:
                raise source.ended("block", start)
            if head[:4] == MAGIC:
                yield from self._begin_section(start, head + source.upto(4))
                continue
            kind, size = self._section.head.unpack(head)
            body = self._body(size, 8, start)
            if kind in take:
                yield from take[kind](body, len(body) - 4)

    def _body(self, size: int, read: int, start: int) -> bytes:
        """The rest of a block of which `read` bytes have been read; its length, which comes again, is at the end."""
        if not max(SMALLEST, read + 4) <= size <= LONGEST:
            raise Tear(f"the block at byte {start} says that it has {size} bytes; {LONGEST} are the most")
        body = self._source.exactly((size + 3 & ~3) - read, "block", start)
        (again,) = self._section.word.unpack_from(body, len(body) - 4)
        if again != size:
            raise Tear(f"the block at byte {start} has {size} bytes by its head, and {again} by its end")
        return body

    def _begin_section(self, start: int, head: bytes) -> Iterator[Record]:
        if len(head) < 12:
            raise self._source.ended("block", start)
        if head[8:] not in ORDERS:
            raise Tear(f"the section at byte {start} does not say in which order its bytes are")
        self._section = section = Section(ORDERS[head[8:]])
        body = self._body(section.word.unpack_from(head, 4)[0], 12, start)
        if len(body) < SMALLEST_SECTION - 12:
            raise Tear(f"the section at byte {start} is shorter than a section header")
        (version,) = section.half.unpack_from(body)
        if version != 1:
            raise Tear(f"the section at byte {start} is of version {version}; only version 1 can be read")
        for code, value in options(section.order, body[12:-4]):
            if code == 1:
                yield Statement("comment", readable_text(value))

    def _interface(self, body: bytes, end: int) -> Iterable[Record]:
        if len(self._section.interfaces) == MOST_INTERFACES:
            raise Tear(f"a section has more than {MOST_INTERFACES} interfaces")
        self._section.add(body, end)
        return ()

    def _packet(self, body: bytes, end: int) -> Iterable[Record]:
        self._number += 1
        if end < 20:
            return (self._bad("its block is shorter than the head of a packet"),)
        interface, high, low, size, wire = self._section.packet.unpack_from(body)
        return self._framed(interface, high << 32 | low, body, 20, end, size, wire, 0)

    def _obsolete_packet(self, body: bytes, end: int) -> Iterable[Record]:
        self._number += 1
        if end < 20:
            return (self._bad("its block is shorter than the head of a packet"),)
        interface, lost, high, low, size, wire = self._section.obsolete.unpack_from(body)
        lost = 0 if lost == NOT_COUNTED else lost
        return self._framed(interface, high << 32 | low, body, 20, end, size, wire, lost)

    def _simple_packet(self, body: bytes, end: int) -> Iterable[Record]:
        self._number += 1
        if end < 4 or not self._section.interfaces:
            return (self._bad("its block is too short, or no interface came before it"),)
        (wire,) = self._section.word.unpack_from(body)
        interface = self._section.interfaces[0]
        size = min(wire, interface.snaplen or wire, end - 4)
        return (Frame(self._number, self._stamp, interface.name, interface.link, body[4 : 4 + size], wire),)

    def _framed(
        self, number: int, ticks: int, body: bytes, at: int, end: int, size: int, wire: int, lost: int
    ) -> Iterable[Record]:
        interfaces = self._section.interfaces
        if number >= len(interfaces):
            return (self._bad(f"it is of interface {number}, of which there was no description"),)
        if at + size > end:
            return (self._bad(f"it has {size} bytes by its head, and its block has {end - at}"),)
        interface = interfaces[number]
        self._stamp = interface.stamp(ticks)
        comments: tuple[str, ...] = ()
        behind = at + (size + 3 & ~3)
        if behind < end:
            comments, more = of_a_packet(self._section.order, body[behind:end])
            lost += more
        frame = Frame(
            self._number, self._stamp, interface.name, interface.link, body[at : at + size],
            wire if wire > size else size, comments,
        )  # fmt: skip
        return (_dropped(interface, lost), frame) if lost else (frame,)

    def _statistics(self, body: bytes, end: int) -> Iterable[Record]:
        """Counted since the capture began, by the interface and by the system; what packets said is among it."""
        (number,) = self._section.word.unpack_from(body) if end >= 12 else (MOST_INTERFACES,)
        if number >= len(self._section.interfaces):
            return ()
        interface = self._section.interfaces[number]
        counts = {code: value for code, value in options(self._section.order, body[12:end]) if code in (5, 7)}
        lost = sum(map(self._section.number, counts.values())) - interface.lost
        return (_dropped(interface, lost),) if lost > 0 else ()

    def _journal(self, body: bytes, end: int) -> Iterable[Record]:
        self._number += 1
        text, stamp = journal_entry(body[:end])
        self._stamp = self._stamp if stamp is None else stamp
        return (Row(self._number, self._stamp, text),)

    def _other_frame(self, body: bytes, end: int) -> Iterable[Record]:
        self._number += 1
        return ()

    def _bad(self, reason: str) -> Statement:
        return Statement("malformed", f"frame {self._number}: {reason}", 1)


def _dropped(interface: Interface, lost: int) -> Statement:
    interface.lost += lost
    return Statement("dropped", f"{lost} packets at {interface.name or 'an interface without a name'}", lost)
