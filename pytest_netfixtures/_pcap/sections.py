"""What a pcapng section has said so far: the order of its bytes, and its interfaces.

Law: values and how they are read from the bodies of blocks; no file, no order of blocks.
"""

from __future__ import annotations

import struct
from math import gcd

from pytest_netfixtures._pcap.block_options import options
from pytest_netfixtures._pcap.source import readable_text

__all__ = ["Interface", "Section", "journal_entry"]

LONGEST_NAME = 1024
LONGEST_NUMBER = 19
SECOND = 1_000_000_000
IF_NAME, IF_TSRESOL, IF_TSOFFSET = 2, 9, 14
MICROSECONDS = b"\x06"


class Interface:
    """One interface: its name, its link type, and what its ticks are in nanoseconds."""

    __slots__ = ("_by", "_offset", "_times", "link", "lost", "name", "snaplen")

    def __init__(self, name: str, link: int, snaplen: int, resolution: int, offset: int) -> None:
        self.name = name
        self.link = link
        self.snaplen = snaplen
        self.lost = 0
        """Packets that the file has said so far are lost."""
        ticks: int = 2 ** (resolution & 0x7F) if resolution & 0x80 else 10**resolution
        shared = gcd(SECOND, ticks)
        self._times, self._by, self._offset = SECOND // shared, ticks // shared, offset * SECOND

    def stamp(self, ticks: int) -> int:
        """Nanoseconds since 1970."""
        return ticks * self._times // self._by + self._offset


class Section:
    """The order of a section's bytes ("<" or ">"), how its blocks are laid out, and its interfaces."""

    def __init__(self, order: str) -> None:
        self.order = order
        self.interfaces: list[Interface] = []
        self.head = struct.Struct(f"{order}II")
        self.half = struct.Struct(f"{order}H")
        self.word = struct.Struct(f"{order}I")
        self.packet = struct.Struct(f"{order}IIIII")
        self.obsolete = struct.Struct(f"{order}HHIIII")
        self._interface = struct.Struct(f"{order}HxxI")
        self._numbers = {4: struct.Struct(f"{order}I"), 8: struct.Struct(f"{order}Q")}
        self._signed = struct.Struct(f"{order}q")

    def add(self, body: bytes, end: int) -> None:
        """The next interface; without a whole description it has link type 0 and packets without a known form."""
        link, snaplen = self._interface.unpack_from(body) if end >= 8 else (0xFFFF, 0)
        said: dict[int, bytes] = {}
        for code, value in options(self.order, body[8:end]):
            said.setdefault(code, value)
        resolution = (said.get(IF_TSRESOL) or MICROSECONDS)[0]
        name = readable_text(said.get(IF_NAME, b"")[:LONGEST_NAME])
        self.interfaces.append(Interface(name, link, snaplen, resolution, self._offset(said)))

    def number(self, value: bytes) -> int:
        """A counter of 32 or 64 bits; 0 for another size, and where it is not known (all bits set)."""
        layout = self._numbers.get(len(value))
        if layout is None or not value.strip(b"\xff"):
            return 0
        (number,) = layout.unpack(value)
        return int(number)

    def _offset(self, said: dict[int, bytes]) -> int:
        value = said.get(IF_TSOFFSET, b"")
        return int(self._signed.unpack(value)[0]) if len(value) == 8 else 0


def journal_entry(data: bytes) -> tuple[str, int | None]:
    """The message of a systemd journal entry, and its time in nanoseconds since 1970, if it has one.

    A field is `NAME=value` and a line end; or `NAME`, a line end, 64 bits of length, the value, and a line end.
    """
    found: dict[bytes, bytes] = {}
    at = 0
    while at < len(data):
        line = data.find(b"\n", at)
        line = len(data) if line < 0 else line
        name, is_text, value = data[at:line].partition(b"=")
        at = line + 1
        if not is_text:
            size = int.from_bytes(data[at : at + 8], "little")
            value, at = data[at + 8 : at + 8 + size], at + 9 + size
        if name in (b"MESSAGE", b"__REALTIME_TIMESTAMP"):
            found.setdefault(name, value)
    when = found.get(b"__REALTIME_TIMESTAMP", b"")
    known = when.isdigit() and len(when) <= LONGEST_NUMBER
    return readable_text(found.get(b"MESSAGE", b"")), int(when) * 1000 if known else None
