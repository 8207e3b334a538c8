"""The record of one stream or row of datagrams: append-only, with a bound, and readable at every length it once had.

Law: a `Record` only grows, under its owner's lock; an `Extent` remembers how long it was and copies nothing until it is
asked for bytes. What lies beyond the bound is counted, never kept, and what is read from a cut record refuses every
claim that the missing bytes could turn over: truth has three values. It knows no connections and no entries.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Any, NoReturn, SupportsIndex, TypeAlias

from .._errors import CaptureIncomplete, is_for_the_user

__all__ = ["MAX_EVENTS", "Budget", "CutBytes", "CutDatagrams", "Datagrams", "Extent", "Record"]

__tracebackhide__ = is_for_the_user

MAX_EVENTS = 1_000_000
"""So many events of a record are kept with their times (16 bytes each); later ones are counted."""

Needle: TypeAlias = "bytes | bytearray | memoryview | SupportsIndex"
_BYTES = (bytes, bytearray, memoryview)


class Budget:
    """How many bytes, and times of events, all records of one test may still keep."""

    __slots__ = ("events", "left")

    def __init__(self, left: int, events: int = 1 << 62) -> None:
        self.left = left
        self.events = events


class Record:
    """Bytes as they came, with the time and the length of each event.

    `room` and `budget` bound the bytes that are kept, `datagrams` says that each event is kept whole or not at all.
    `position` is the place of the next event: a byte offset, or the number of the datagram.
    """

    __slots__ = (
        "at",
        "budget",
        "cut",
        "datagrams",
        "ends",
        "kept",
        "last",
        "parts",
        "position",
        "room",
        "size",
    )

    def __init__(self, room: int, budget: Budget, datagrams: bool = False) -> None:
        self.room = room
        self.budget = budget
        self.datagrams = datagrams
        self.at = array("d")
        self.ends = array("Q")
        self.kept = bytearray()
        self.parts: list[bytes] = []
        self.size = 0
        self.position = 0
        self.cut = False
        self.last: Extent | None = None

    def add(self, at: float, size: int, data: bytes | None) -> None:
        """Append one event of `size` bytes; without its bytes (`None`) the record is cut here."""
        self.last = None
        self.size += size
        self.position += 1 if self.datagrams else size
        if not self.cut:
            self._keep(size, data)
        if len(self.at) < MAX_EVENTS and self.budget.events > 0:
            self.budget.events -= 1
            self.at.append(at)
            self.ends.append(self.size)

    def stop(self) -> None:
        """More may have come than was recorded: the record is cut where it ends."""
        self.last = None
        self.cut = True

    def _keep(self, size: int, data: bytes | None) -> None:
        room = min(self.room, self.budget.left)
        full = self.datagrams and (len(self.parts) >= MAX_EVENTS or self.budget.events <= 0)
        if data is None or size > room or full:
            self.cut = True
            data = b"" if data is None or self.datagrams else data[:room]
            size = len(data)
        elif self.datagrams:
            self.parts.append(bytes(data))
        if not self.datagrams:
            self.kept += data
        self.room -= size
        self.budget.left -= size

    def without_last(self, size: int) -> Record:
        """A stream's record as if its last `size` bytes had never come; what was read from this one stays as it was."""
        other = Record(self.room, self.budget)
        other.size = other.position = self.size - size
        other.kept, other.cut = self.kept[: other.size], self.cut
        freed = len(self.kept) - len(other.kept)
        other.room += freed
        self.budget.left += freed
        before = [end for end in self.ends if end < other.size]
        events = min(len(before) + (other.size > 0), len(self.ends))
        other.ends = array("Q", [*before, other.size][:events])
        other.at = self.at[:events]
        return other

    def kept_bytes(self) -> int:
        """How many bytes of the budget are in use here."""
        return sum(map(len, self.parts)) if self.datagrams else len(self.kept)

    def extent(self) -> Extent:
        """What has been recorded up to now; the same object until something is added."""
        if self.last is None:
            self.last = Extent(self)
        return self.last


class Extent:
    """A record as it was at one moment. Later additions to the record do not change it."""

    __slots__ = ("_record", "_value", "count", "cut", "datagrams", "events", "kept", "size")

    def __init__(self, record: Record) -> None:
        self._record = record
        self._value: bytes | Datagrams | None = None
        self.datagrams = record.datagrams
        self.size = record.size
        self.count = record.position
        self.kept = len(record.parts if record.datagrams else record.kept)
        self.events = len(record.at)
        self.cut = record.cut

    def value(self) -> bytes | Datagrams:
        """The kept bytes of a stream, or the kept datagrams; of the cut kind when there were more."""
        if self._value is None:
            self._value = self._datagrams() if self.datagrams else self._stream()
        return self._value

    def _stream(self) -> bytes:
        data = bytes(self._record.kept)
        data = data if len(data) == self.kept else data[: self.kept]
        return CutBytes(data) if self.cut else data

    def _datagrams(self) -> Datagrams:
        kind = CutDatagrams if self.cut else Datagrams
        return kind(self._record.parts[: self.kept])

    @property
    def last_at(self) -> float | None:
        """The time of the last event that was kept; None where there is none."""
        return self._record.at[self.events - 1] if self.events else None

    def steps(self) -> Iterator[tuple[float, int, int]]:
        """Time, position and size of each event that was kept."""
        start = 0
        ends = self._record.ends[: self.events]
        for number, (at, end) in enumerate(zip(self._record.at[: self.events], ends, strict=True)):
            yield at, number if self.datagrams else start, end - start
            start = end

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Extent):
            return NotImplemented
        if self.same(other):
            return True
        if (self.datagrams, self.size, self.count) != (other.datagrams, other.size, other.count):
            return False
        return self.value() == other.value() and list(self.steps()) == list(other.steps())

    def same(self, other: Extent) -> bool:
        """The same record at the same moment: equal without a look at the bytes."""
        return self._record is other._record and self.size == other.size and self.count == other.count


def _incomplete(claim: str, kept: int, unit: str) -> NoReturn:
    raise CaptureIncomplete(
        f"this record was cut after {kept} {unit}, so {claim} cannot be told. "
        f"Expected a whole record. Compare a part of it (a slice of the first {kept} {unit}), look at the counts "
        "(`.sent_bytes`, `.delivered_bytes`), or record more (`record_bytes=`); "
        "where it was read from a capture file, `traffic.incomplete` says what the file has lost."
    )


class CutBytes(bytes):
    """The first bytes of a stream that went on. What is found in it is true; equality or absence raises.

    Slices that end inside it are plain bytes: `flow.sent[:100] == expected` works.
    """

    __slots__ = ()
    __hash__ = bytes.__hash__

    def _cannot(self, claim: str) -> NoReturn:
        _incomplete(claim, len(self), "bytes")

    def __eq__(self, other: object) -> bool:
        if isinstance(other, _BYTES):
            self._cannot("equality")
        return NotImplemented

    def __ne__(self, other: object) -> bool:
        if isinstance(other, _BYTES):
            self._cannot("inequality")
        return NotImplemented

    def __contains__(self, needle: Needle) -> bool:  # type: ignore[override]
        return super().__contains__(needle) or self._cannot("absence")

    def __getitem__(self, key: Any) -> Any:
        part = super().__getitem__(key)
        if isinstance(key, slice) and not _inside(key, len(self)):
            return CutBytes(part)
        return part

    def find(self, *args: Any) -> int:
        """As `bytes.find`; raises CaptureIncomplete where that would say -1."""
        place = super().find(*args)
        return place if place >= 0 else self._cannot("absence")

    def index(self, *args: Any) -> int:
        """As `bytes.index`; raises CaptureIncomplete where that would raise ValueError."""
        return self.find(*args)

    def startswith(self, prefix: Any, *args: Any) -> bool:
        """As `bytes.startswith`; raises CaptureIncomplete when `prefix` reaches beyond the record."""
        longest = max(map(len, prefix if isinstance(prefix, tuple) else (prefix,)), default=0)
        if super().startswith(prefix, *args) or (not args and longest <= len(self)):
            return super().startswith(prefix, *args)
        self._cannot("the beginning")

    def endswith(self, *args: Any) -> bool:
        """Raises CaptureIncomplete: the end is not in the record."""
        self._cannot("the end")

    def count(self, *args: Any) -> int:
        """Raises CaptureIncomplete: more of them may follow."""
        self._cannot("a count")

    def rfind(self, *args: Any) -> int:
        """Raises CaptureIncomplete: a later one may follow."""
        self._cannot("the last place")

    rindex = rfind


def _inside(key: slice, length: int) -> bool:
    """Whether a slice takes only what is surely where it says, whatever follows the record."""
    start, stop, step = key.start or 0, key.stop, key.step or 1
    return stop is not None and start >= 0 and 0 <= stop <= length and step > 0


class Datagrams(tuple[bytes, ...]):
    """A row of datagrams: a tuple that also equals a list of the same bytes."""

    __slots__ = ()
    __hash__ = tuple.__hash__

    def __eq__(self, other: object) -> bool:
        return super().__eq__(tuple(other) if isinstance(other, list) else other)

    def __ne__(self, other: object) -> bool:
        return super().__ne__(tuple(other) if isinstance(other, list) else other)

    def __getitem__(self, key: Any) -> Any:
        part = super().__getitem__(key)
        return self._part(key, part) if isinstance(key, slice) else part

    def _part(self, key: slice, part: tuple[bytes, ...]) -> Datagrams:
        return Datagrams(part)


class CutDatagrams(Datagrams):
    """The first datagrams of a row that went on. What is found in it is true; equality or absence raises."""

    __slots__ = ()
    __hash__ = tuple.__hash__

    def _cannot(self, claim: str) -> NoReturn:
        _incomplete(claim, len(self), "datagrams")

    def __eq__(self, other: object) -> bool:
        if isinstance(other, tuple | list):
            self._cannot("equality")
        return NotImplemented

    def __ne__(self, other: object) -> bool:
        if isinstance(other, tuple | list):
            self._cannot("inequality")
        return NotImplemented

    def __contains__(self, item: object) -> bool:
        return super().__contains__(item) or self._cannot("absence")

    def _part(self, key: slice, part: tuple[bytes, ...]) -> Datagrams:
        return Datagrams(part) if _inside(key, len(self)) else CutDatagrams(part)

    def index(self, item: Any, *args: Any) -> int:
        """As `tuple.index`; raises CaptureIncomplete where that would raise ValueError."""
        return super().index(item, *args) if item in self else self._cannot("absence")

    def count(self, item: Any) -> int:
        """Raises CaptureIncomplete: more of them may follow."""
        self._cannot("a count")
