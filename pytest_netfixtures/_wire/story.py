"""The story of a test: its entries in order, bounded.

Law: the first entries and the last ones are kept, and between them faults alone; how many are missing, and where, is known.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterator
from dataclasses import dataclass, replace

from .entries import Entry, Fired, Logged, Marked, Sent

__all__ = ["Story", "Teller"]

STORY_OPENING = 5_000
STORY_CLOSING = 5_000
STORY_FAULTS = 1_000


@dataclass(frozen=True, slots=True)
class Story:
    """Entries in order; in the middle of a long one only the faults are kept.

    `left_out` entries are missing between `opening` and `closing`; `gaps` says how many before each fault and, last,
    before `closing`. `offset` in these entries is the place in the record.
    """

    opening: tuple[Entry, ...] = ()
    faults: tuple[Fired, ...] = ()
    closing: tuple[Entry, ...] = ()
    left_out: int = 0
    gaps: tuple[int, ...] = (0,)

    def __iter__(self) -> Iterator[Entry]:
        yield from self.opening
        yield from self.faults
        yield from self.closing

    def __len__(self) -> int:
        return len(self.opening) + len(self.faults) + len(self.closing)


class Teller:
    """Collects a story."""

    def __init__(self) -> None:
        self.opening: list[Entry] = []
        self.closing: deque[Entry] = deque(maxlen=STORY_CLOSING)
        self.fired: list[tuple[int, Fired]] = []
        self.later = 0

    def add(self, entry: Entry) -> None:
        if not self.later and len(self.opening) < STORY_OPENING:
            self.opening.append(entry)
            return
        if type(entry) is Fired and len(self.fired) < STORY_FAULTS:
            self.fired.append((self.later, entry))
        self.closing.append(entry)
        self.later += 1

    def leave_out(self, gone: Container[int]) -> None:
        """Forget the entries of these connections."""
        length = len(self.closing)
        self.opening = [entry for entry in self.opening if _connection(entry) not in gone]
        self.closing = deque((e for e in self.closing if _connection(e) not in gone), STORY_CLOSING)
        self.fired = [(number, entry) for number, entry in self.fired if entry.connection not in gone]
        self.later -= length - len(self.closing)

    def take_back(self, number: int, size: int) -> None:
        """Forget the last `size` bytes that this client has sent."""
        for kept in (self.closing, self.opening):
            for place in range(len(kept) - 1, -1, -1):
                entry = kept[place]
                if size > 0 and isinstance(entry, Sent) and _from_client(entry, number):
                    self._shorten(kept, place, entry, size)
                    size -= entry.size

    def _shorten(self, kept: list[Entry] | deque[Entry], place: int, entry: Sent, size: int) -> None:
        if entry.size > size:
            kept[place] = replace(entry, size=entry.size - size)
        else:
            del kept[place]
            self.later -= kept is self.closing

    def story(self) -> Story:
        missing = self.later - len(self.closing)
        kept = [(number, entry) for number, entry in self.fired if number < missing]
        left_out = missing - len(kept)
        gaps = _gaps([number for number, _ in kept], left_out)
        faults = tuple(entry for _, entry in kept)
        return Story(tuple(self.opening), faults, tuple(self.closing), left_out, gaps)


def _gaps(numbers: list[int], left_out: int) -> tuple[int, ...]:
    """How many entries are missing before each of these and behind the last; never more than are missing in all."""
    gaps: list[int] = []
    before = -1
    for number in numbers:
        gaps.append(min(max(number - before - 1, 0), left_out - sum(gaps)))
        before = number
    return (*gaps, left_out - sum(gaps))


def _connection(entry: Entry) -> int | None:
    return None if isinstance(entry, (Marked, Logged)) else entry.connection


def _from_client(entry: Sent, number: int) -> bool:
    return (entry.connection, entry.direction) == (number, "to_server")
