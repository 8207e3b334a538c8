"""One capture as a row of blocks: section header, interfaces, packets and rows, and at the end the statistics.

Law: it knows blocks, times and the limit, and no entries. Stamps never go backwards in the file. Beyond the limit packets
are counted and left out, so that what is there has no gap; rows and all else go on for another MiB, and not a byte more.
Nothing is written before the first block, and after a failure nothing more.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from pytest_netfixtures._pcap import blocks, rows
from pytest_netfixtures._pcap.file import CaptureFile
from pytest_netfixtures._pcap.head import OUTCOME_AT, outcome_text

__all__ = ["INFO", "NOTICE", "WARNING", "Book", "now"]

ROWS_BEYOND = 1 << 20
LAST_WORDS, STATISTICS = 512, 64
"""Bytes that are kept free for the end of the file: for its last row, and for the statistics of each interface."""
WARNING, NOTICE, INFO = "4", "5", "6"
"""Priorities of rows."""
_NO_PACKETS = ("rows", "no packets: faults, phases and notes of the test are rows of the packet list")


def now() -> tuple[float, int]:
    """The same moment on both clocks: `time.monotonic()` in seconds, and nanoseconds since 1970."""
    return time.monotonic(), time.time_ns()


class Book:
    """A capture being written. `head` is the comment of the section, `clocks` gives one moment on both clocks."""

    def __init__(
        self, path: Path, head: bytes, max_bytes: int, clocks: Callable[[], tuple[float, int]]
    ) -> None:
        self.file = CaptureFile(path)
        self.packets = 0
        self.start, self._wall = clocks()
        self._head = head
        self._max_bytes = max_bytes
        self._last = 0
        self._begun = self._full = False
        self._interfaces: dict[str, int] = {}
        self._described = 0
        self._shown: list[int] = []
        self._left_out: list[int] = []
        self._bytes_left_out = self._rows_left_out = 0

    @property
    def left_out(self) -> int:
        """Packets that are not in the file, because of the limit."""
        return sum(self._left_out)

    @property
    def full(self) -> bool:
        """Whether the file has met its limit, so that no packet comes any more."""
        return self._full

    def begin(self) -> None:
        """Makes the file with its section header; again: nothing happens."""
        if self._begun:
            return
        self._begun = True
        system = os.uname()
        self.file.open()
        self.file.append(
            blocks.section(
                self._head, os=f"{system.sysname} {system.release}", application="pytest-netfixtures"
            )
        )

    def interface(self, name: str, description: str) -> int:
        """The number of the interface with this name, which is described when it is first asked for."""
        number = self._interfaces.setdefault(name, len(self._interfaces))
        if number == len(self._shown):
            self._shown.append(0)
            self._left_out.append(0)
            self._describe(number, blocks.interface(name, description))
        return number

    def _describe(self, number: int, block: bytes) -> None:
        """Where there is no room for the block there is none for packets either, nor for the next interface."""
        if number == self._described and len(block) + STATISTICS <= self.room:
            self._described += self.file.append(block)

    def packet(
        self, number: int, at: float, frame: bytes, direction: int, comments: tuple[str, ...] = ()
    ) -> bool:
        """Writes a packet; False if it is not in the file."""
        if self._full:
            self._leave_out(number, at, frame)
            return False
        block = blocks.packet(number, self._stamp(at), frame, direction, comments)
        if self.file.size + len(block) > self._max_bytes:
            self._leave_out(number, at, frame)
            return False
        if not self.file.append(block):
            return False
        self.packets += 1
        self._shown[number] += 1
        return True

    def row(self, at: float, text: str, priority: str = INFO) -> None:
        """Writes a line of text between the packets."""
        if not self._interfaces:  # editcap refuses a file in which a row comes before every interface
            self.interface(*_NO_PACKETS)
        last = -(-self._stamp(at) // 1000) * 1000  # the format knows microseconds only
        block = _row(last, text, priority)
        if len(block) > self.room:
            self._rows_left_out += 1
            return
        self._last = last
        self.file.append(block)

    def reserve(self, at: float, block: bytes) -> int | None:
        """Writes a block that is to be overwritten later; returns where it is, or None if the limit leaves no room.

        Then the file is full, because the packets that need the block would be of no use without it.
        """
        if self._full or self.file.size + len(block) > self._max_bytes:
            self._fill(at)
            return None
        place = self.file.size
        return place if self.file.append(block) else None

    def extra(self, block: bytes) -> bool:
        """Writes a block that is no packet, as far as rows may go; False if it is not in the file."""
        return len(block) <= self.room and self.file.append(block)

    @property
    def room(self) -> int:
        """Bytes that may still be written beside packets, before the end of the file."""
        kept_free = LAST_WORDS + STATISTICS * self._described
        return max(self._max_bytes + ROWS_BEYOND - kept_free - self.file.size, 0)

    def conclude(self, outcome: str) -> None:
        """Says what was left out, and puts the outcome in place of RUNNING; nothing but `close` of the file follows."""
        if any(self._left_out) or self._rows_left_out:
            self._say_what_is_missing()
        for number, shown in enumerate(self._shown[: self._described]):
            missing = self._missing(number)
            self.file.append(blocks.statistics(number, self._last, shown + missing, missing))
        self.file.overwrite(OUTCOME_AT, outcome_text(outcome))

    def finish(self, outcome: str) -> None:
        """Concludes and closes."""
        self.conclude(outcome)
        self.file.close()

    def _missing(self, number: int) -> int:
        return self._left_out[number]

    def _stamp(self, at: float) -> int:
        self._last = max(self._last, self._wall + round((at - self.start) * 1e9))
        return self._last

    def _leave_out(self, number: int, at: float, frame: bytes) -> None:
        self._fill(at)
        self._left_out[number] += 1
        self._bytes_left_out += len(frame)

    def _fill(self, at: float) -> None:
        """No packet comes any more."""
        if not self._full:
            self._full = True
            self.row(at, rows.limit(self._max_bytes), WARNING)

    def _say_what_is_missing(self) -> None:
        text = rows.left_out(self.left_out, self._bytes_left_out, self._rows_left_out)
        self.file.append(_row(self._last, text, WARNING))


def _row(stamp: int, text: str, priority: str) -> bytes:
    fields = {"PRIORITY": priority, "SYSLOG_IDENTIFIER": "pytest-netfixtures", "MESSAGE": text}
    return blocks.journal(stamp, fields)
