"""One capture as a row of blocks: section header, interfaces, packets and rows, and at the end the statistics.

Law: it knows blocks, times and the limit, and no entries. Stamps never go backwards in the file. Beyond the limit packets
are counted and left out, so that what is there has no gap; rows go on for another MiB. Nothing is written before the
first block, and after a failure nothing more.
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
        self._shown: list[int] = []
        self._left_out: list[int] = []
        self._bytes_left_out = self._rows_left_out = 0

    @property
    def left_out(self) -> int:
        """Packets that are not in the file, because of the limit."""
        return sum(self._left_out)

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
            self.file.append(blocks.interface(name, description))
        return number

    def packet(
        self, number: int, at: float, frame: bytes, direction: int, comments: tuple[str, ...] = ()
    ) -> bool:
        """Writes a packet; False if it is not in the file."""
        if self._full or self.file.size + len(frame) > self._max_bytes:
            self._leave_out(number, at, frame)
            return False
        stamp = self._stamp(at)
        if not self.file.append(blocks.packet(number, stamp, frame, direction, comments)):
            return False
        self.packets += 1
        self._shown[number] += 1
        return True

    def row(self, at: float, text: str, priority: str = INFO) -> None:
        """Writes a line of text between the packets."""
        if self.file.size > self._max_bytes + ROWS_BEYOND:
            self._rows_left_out += 1
            return
        if not self._interfaces:  # editcap refuses a file in which a row comes before every interface
            self.interface(*_NO_PACKETS)
        self._last = -(-self._stamp(at) // 1000) * 1000  # the format knows microseconds only
        fields = {"PRIORITY": priority, "SYSLOG_IDENTIFIER": "pytest-netfixtures", "MESSAGE": text}
        self.file.append(blocks.journal(self._last, fields))

    def finish(self, outcome: str) -> None:
        """Says what was left out, puts the outcome in place of RUNNING, and closes."""
        if any(self._left_out) or self._rows_left_out:
            self._say_what_is_missing()
        for number, (shown, missing) in enumerate(zip(self._shown, self._left_out, strict=True)):
            self.file.append(blocks.statistics(number, self._last, shown + missing, missing))
        self.file.overwrite(OUTCOME_AT, outcome_text(outcome))
        self.file.close()

    def _stamp(self, at: float) -> int:
        self._last = max(self._last, self._wall + round((at - self.start) * 1e9))
        return self._last

    def _leave_out(self, number: int, at: float, frame: bytes) -> None:
        if not self._full:
            self._full = True
            self.row(at, rows.limit(self._max_bytes), WARNING)
        self._left_out[number] += 1
        self._bytes_left_out += len(frame)

    def _say_what_is_missing(self) -> None:
        text = rows.left_out(self.left_out, self._bytes_left_out, self._rows_left_out)
        fields = {"PRIORITY": WARNING, "SYSLOG_IDENTIFIER": "pytest-netfixtures", "MESSAGE": text}
        self.file.append(blocks.journal(self._last, fields))
