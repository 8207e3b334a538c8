"""A slow line: when bytes have gone over it, and the queue of a connection in front of it.

Law: a meter counts and a queue keeps; both get their times as numbers. Each connection has a queue of its own; a shared
line is one meter that their queues ask in turn, a piece at a time, so that nobody waits behind all that another one has.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from .events import NEVER, Data, Event, Wake

__all__ = ["Line", "Meter"]

_PIECE_SECONDS = 0.02
_LONGEST_PIECE = 65536
_ROUNDING = 1e-6


class Meter:
    """A token bucket: `free` is when a line without a burst could take the next byte."""

    __slots__ = ("burst", "free", "piece", "rate")

    def __init__(self, bytes_per_second: float, burst: int) -> None:
        self.rate = bytes_per_second
        self.burst = burst
        self.free = -NEVER
        self.piece = max(1, int(min(bytes_per_second * _PIECE_SECONDS, _LONGEST_PIECE)))
        """What goes over the line in about 20 ms, in bytes."""

    def take(self, at: float, size: int) -> float:
        """Use the line for so many bytes that are there `at`; returns when the last of them has gone."""
        self.free = max(self.free, at - self.burst / self.rate) + size / self.rate
        return max(at, self.free)

    def at_once(self, at: float) -> int:
        """How many bytes would go without waiting."""
        room = min(at - self.free, self.burst / self.rate) * self.rate
        return int(min(self.burst, max(0.0, room + _ROUNDING)))


class Line:
    """What waits for the line on one connection: bytes, and the end behind them."""

    __slots__ = ("asked", "due", "last", "passed", "size", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[tuple[Event, memoryview]] = deque()
        self.size = 0
        self.passed = 0
        self.last = -NEVER
        self.due: tuple[float, int] | None = None
        self.asked = -NEVER

    def put(self, event: Event) -> None:
        """Put it last."""
        data = memoryview(event.data if isinstance(event, Data) else b"")
        self.waiting.append((event, data))
        self.size += len(data)

    def serve(self, now: float, meter: Meter) -> Iterator[Event]:
        """What has gone over the line by `now`, and a `Wake` for what goes next."""
        while self.waiting:
            if not isinstance(self.waiting[0][0], Data):
                yield self.waiting.popleft()[0]
                continue
            at, size = self._next(meter)
            if at > now:
                yield from self._wake(at)
                return
            self.last, self.due = at, None
            yield Data(at, self._take(size))

    def let_go(self, now: float) -> Iterator[Event]:
        """Everything, at once."""
        self.due = None
        while self.waiting:
            event, data = self.waiting[0]
            if not isinstance(event, Data):
                self.waiting.popleft()
                yield event
            else:
                yield Data(max(now, event.at), self._take(len(data)))

    def _next(self, meter: Meter) -> tuple[float, int]:
        """When the first piece has gone over the line, and its size; asked of the meter once."""
        if self.due is None:
            event, data = self.waiting[0]
            at = max(self.last, event.at)
            room = max(meter.piece - self.passed % meter.piece, meter.at_once(at))
            size = min(len(data), room)
            self.due = meter.take(at, size), size
        return self.due

    def _take(self, size: int) -> bytes:
        """So many bytes of the first event."""
        event, data = self.waiting.popleft()
        if size < len(data):
            self.waiting.appendleft((event, data[size:]))
        self.size -= size
        self.passed += size
        return bytes(data[:size])

    def _wake(self, at: float) -> Iterator[Event]:
        if at not in (self.asked, NEVER):
            self.asked = at
            yield Wake(at)
