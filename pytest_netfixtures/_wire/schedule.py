"""What is due when.

Law: items come out ordered by (deadline, sequence number), so that equal deadlines keep their order. It holds no clock:
the caller says what time it is.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Generic, TypeVar

__all__ = ["Schedule"]

T = TypeVar("T")


class Schedule(Generic[T]):
    """A queue by time.

    >>> schedule = Schedule()
    >>> schedule.add(2.0, "late"); schedule.add(1.0, "first"); schedule.add(1.0, "second")
    >>> schedule.due(1.5), schedule.next_at
    (['first', 'second'], 2.0)
    """

    __slots__ = ("_heap", "_numbers")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, T]] = []
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, at: float, item: T) -> None:
        """Put `item` on the schedule, due at `at`."""
        heappush(self._heap, (at, next(self._numbers), item))

    @property
    def next_at(self) -> float | None:
        """When the next item is due, or None when there is none."""
        return self._heap[0][0] if self._heap else None

    def pop(self, now: float) -> tuple[float, T] | None:
        """The next item that is due at `now` with its deadline, taken off, or None."""
        if not self._heap or self._heap[0][0] > now:
            return None
        at, _, item = heappop(self._heap)
        return at, item

    def due(self, now: float) -> list[T]:
        """All items that are due at `now`, in order, taken off."""
        items = []
        while (entry := self.pop(now)) is not None:
            items.append(entry[1])
        return items

    def keep(self, wanted: Callable[[T], bool]) -> None:
        """Take everything off that is not wanted."""
        self._heap = [entry for entry in self._heap if wanted(entry[2])]
        heapify(self._heap)

    def clear(self) -> list[T]:
        """Take everything off, in order."""
        items = [item for _, _, item in sorted(self._heap, key=lambda entry: entry[:2])]
        self._heap.clear()
        return items
