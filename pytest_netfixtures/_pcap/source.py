"""The bytes of a capture file, in order, and what its records are before anybody looks into the packets.

Law: it reads forward alone and holds one record at a time, whatever a length in the file claims. It knows no format.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, TypeAlias

from pytest_netfixtures._pcap.items import Row, Statement

__all__ = ["LONGEST", "Frame", "Record", "Source", "Tear", "readable_text"]

LONGEST = 16 << 20
"""Bytes of a block or packet; a longer one is taken for damage. Wireshark's own limit is of the same order."""


class Frame(NamedTuple):
    """A packet as the file has it, from its link layer up."""

    number: int
    stamp: int
    interface: str
    link: int
    """LINKTYPE, as at tcpdump.org."""
    data: bytes
    wire: int
    """Bytes that it had before the capture cut it; never less than there are."""
    comments: tuple[str, ...] = ()


Record: TypeAlias = "Frame | Row | Statement"


class Tear(Exception):
    """From here on the file cannot be read; the message says why."""


class ByteFile(Protocol):
    """What is open for reading in binary mode."""

    def read(self, size: int, /) -> bytes | None: ...


class Source:
    """Reads a file in order. `at` is the offset of what comes next."""

    def __init__(self, file: ByteFile) -> None:
        self._read = file.read
        self.at = 0

    def upto(self, size: int) -> bytes:
        """The next `size` bytes; fewer only at the end of the file."""
        data = self._read(size) or b""
        if len(data) < size:
            data = self._more(data, size)
        self.at += len(data)
        return data

    def exactly(self, size: int, what: str, start: int) -> bytes:
        """The next `size` bytes, which belong to the `what` at the offset `start`."""
        data = self.upto(size)
        if len(data) < size:
            raise self.ended(what, start)
        return data

    def ended(self, what: str, start: int) -> Tear:
        """Why the `what` at the offset `start` is not whole."""
        return Tear(f"the file ends at byte {self.at}, within the {what} that begins at byte {start}")

    def _more(self, data: bytes, size: int) -> bytes:
        """A pipe gives less than it is asked for, long before its end."""
        pieces, there = [data], len(data)
        while there < size and (piece := self._read(size - there)):
            pieces.append(piece)
            there += len(piece)
        return b"".join(pieces)


def readable_text(data: bytes) -> str:
    """Text of the file, which may be no UTF-8: what is not becomes an escape."""
    return data.decode("utf-8", "backslashreplace")
