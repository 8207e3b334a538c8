"""The faults that give a stream other pieces: every byte arrives, in order.

Law: as in `streams.py`: frozen values that decide by byte offsets. Pieces are what is sent at once; a receiver that does not
read promptly may find them glued together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from .._errors import is_for_the_user
from .checks import check_count, check_seconds
from .effect import is_signal
from .events import NEVER, Data, Event, Lifted, Opened, Wake
from .narrowing import Narrowable
from .seen import Seen

__all__ = ["Coalesce", "Slice"]

__tracebackhide__ = is_for_the_user


@dataclass(frozen=True, repr=False)
class Slice(Narrowable):
    """Small pieces: at most `size` bytes at a time, `gap` seconds apart.

    Pieces begin at multiples of `size` in the stream. Without a gap the receiver's kernel may glue them together again;
    with a gap they stay apart for a receiver that reads promptly.

    Lifted: pieces on their way keep their times.

    >>> Slice(3, gap=0.01)
    Slice(size=3, gap=0.01)

        sent       |abcdefg
        delivered  |abc..def..g
    """

    size: int
    gap: float = 0.0

    def __post_init__(self) -> None:
        check_count("size", self.size, least=1)
        check_seconds("gap", self.gap)

    def __call__(self, event: Event, seen: Seen) -> Iterator[Event]:
        if not isinstance(event, Data):
            yield from () if is_signal(event) else (event,)
            return
        start = 0
        while start < len(event.data):
            offset = seen.bytes + start
            stop = start + self.size - offset % self.size
            yield Data(self._time(event.at, offset, seen), event.data[start:stop])
            start = stop

    def unfit(self, transport: str) -> str | None:
        return (
            "a datagram arrives in one piece; write MaxSize(n) for one that is cut"
            if transport == "udp"
            else None
        )

    def _time(self, at: float, offset: int, seen: Seen) -> float:
        gap = self.gap if offset and offset % self.size == 0 else 0.0
        return max(at, seen.last_left + gap)


@dataclass(frozen=True, repr=False)
class Coalesce(Narrowable):
    """Small writes arrive as one piece: bytes wait for those that come shortly after them. Works on streams.

    `seconds`: what comes so soon after the first byte that waits goes on together with it. `size`: as soon as so many
    bytes wait they go on, as one piece; more do not wait. Before an end comes all that waits. The receiver's kernel may
    still hand out the piece in parts, and glue it to the next one.

    Lifted: what waits goes on at once.

    Raises TypeError or ValueError for a negative or infinite time, or a size below 1.

    >>> Coalesce(0.1)
    Coalesce(seconds=0.1)

        sent       |a.b.c
        delivered  |......abc
    """

    seconds: float
    size: int = 65536

    def __post_init__(self) -> None:
        check_seconds("seconds", self.seconds)
        check_count("size", self.size, least=1)

    def unfit(self, transport: str) -> str | None:
        return (
            "a datagram is never joined to another one; write Delay(seconds) for late ones"
            if transport == "udp"
            else None
        )

    def __call__(self, event: Event, seen: Seen) -> Iterator[Event]:
        hold: _Hold = seen.memory.setdefault("hold", _Hold())
        if hold.kept and (event.at >= hold.due or not isinstance(event, (Opened, Data, Wake))):
            yield hold.let_go(min(event.at, hold.due))
        if isinstance(event, Data):
            yield from self._collect(event, hold)
        elif not is_signal(event):
            yield event
        yield from hold.ask(event)
        seen.hold(len(hold.kept))

    def _collect(self, event: Data, hold: _Hold) -> Iterator[Event]:
        """Put the bytes to what waits."""
        hold.last = event.at
        hold.kept += event.data
        while len(hold.kept) >= self.size:
            yield hold.let_go(event.at, self.size)
        if hold.kept and hold.due == NEVER:
            hold.due = event.at + self.seconds


@dataclass
class _Hold:
    """The bytes that wait for others, until when, and when the last of them came."""

    kept: bytearray = field(default_factory=bytearray)
    due: float = NEVER
    last: float = -NEVER
    called: float = NEVER
    """When the wake-up call comes that was asked for; it may be too early for bytes that began to wait after it."""

    def let_go(self, at: float, size: int | None = None) -> Data:
        """The first `size` bytes, or all of them; not before they have come."""
        data = bytes(self.kept[:size])
        del self.kept[:size]
        self.due = NEVER
        return Data(max(at, self.last), data)

    def ask(self, event: Event) -> Iterator[Event]:
        """Ask to be woken; one call is on its way at a time."""
        if isinstance(event, Lifted) or (isinstance(event, Wake) and event.at >= self.called):
            self.called = NEVER
        if self.called == NEVER != self.due:
            self.called = self.due
            yield Wake(self.due)
