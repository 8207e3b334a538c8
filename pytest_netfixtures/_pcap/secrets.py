"""Slots for TLS keys: blocks of comment signs, written before the packets that need the keys, and filled in place.

Law: a reader decrypts with the keys that it has met before, so that a slot stands in the file first and its keys come by
overwriting, without a block that moves. What does not fit comes at the end, and `finish` of the writer puts it right.
Keys go into these blocks and nowhere else: no row, no comment, no error and no repr has them.
"""

from __future__ import annotations

from typing import TypeAlias

from pytest_netfixtures._pcap import blocks, keylines
from pytest_netfixtures._pcap.book import Book
from pytest_netfixtures._wire.entries import Side

__all__ = ["LATE", "SLOT", "Slots"]

SLOT = 1024
"""Bytes of keys in a slot. A leg under TLS 1.3 with SHA-384 has five lines of 938 bytes in all, one under TLS 1.2 176."""
LATE = "# These keys come after packets that need them.\n"
"""How a block of keys begins that stands too late in the file."""

Key: TypeAlias = "tuple[int, Side]"
"""A connection and its leg."""


class Slots:
    """The slots of one capture."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._places: dict[Key, int] = {}
        self._filled: dict[Key, list[str]] = {}
        self.late: dict[str, None] = {}
        """Lines that found no room in a slot."""

    def reserve(self, key: Key, at: float) -> None:
        """A slot for a leg, at the present end of the file; where the file is full there is none, and no packets."""
        if key not in self._places:
            place = self._book.reserve(at, blocks.secrets(_padded(b"")))
            if place is not None:
                self._places[key] = place + blocks.SECRETS_AT

    def fill(self, key: Key, text: str) -> int:
        """Puts keys into the slot of a leg; returns how many lines did not fit, which are at the end of the file now."""
        if key not in self._places and self._book.full:
            return 0  # its packets are not there
        rest = [line for line in keylines.lines_of(text) if line not in self._filled.get(key, ())]
        if key in self._places:
            rest = self._put(key, rest)
        rest = [line for line in rest if line not in self.late]
        if rest and self._book.extra(blocks.secrets((LATE + keylines.as_text(rest)).encode())):
            self.late.update(dict.fromkeys(rest))
        return len(rest)

    def _put(self, key: Key, lines: list[str]) -> list[str]:
        """Fills the slot with what fits; returns the rest."""
        filled = self._filled.setdefault(key, [])
        fitting = keylines.fitting(lines, SLOT - len(keylines.as_text(filled)))
        if fitting:
            filled += fitting
            self._book.file.overwrite(self._places[key], _padded(keylines.as_text(filled).encode()))
        return lines[len(fitting) :]


def _padded(keys: bytes) -> bytes:
    """The keys, and behind them one comment as long as there is room."""
    return keys + b"\n".rjust(SLOT - len(keys), b"#") if len(keys) < SLOT else keys
