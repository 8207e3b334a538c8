"""The faults that shape a stream: every byte arrives, in order, only later or in other pieces.

Law: a fault is a frozen value that yields events; it never waits, sends or remembers anything outside of `seen`. What
it decides depends on byte offsets, never on how the bytes were chunked. Those that act on datagrams as well say so;
their offsets are numbers of datagrams there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .._errors import is_for_the_user
from .checks import check_count, check_seconds
from .effect import is_signal
from .events import NEVER, Data, Datagram, Event, Opened
from .narrowing import Narrowable
from .seen import Seen

__all__ = ["Delay", "Slice", "Stall"]

__tracebackhide__ = is_for_the_user


@dataclass(frozen=True, repr=False)
class Delay(Narrowable):
    """Everything arrives late, in order; ends too. Works on streams and datagrams.

    `seconds`: how late, 0 or more. `jitter`: up to so many seconds more, decided per byte offset (datagram number) from
    the seed. Latency is pipelined: it does not add up from chunk to chunk. A delay of d never delivers before d.

    Lifted: what is on its way keeps its time.

    Raises TypeError or ValueError for a negative or infinite time.

    >>> Delay(0.2, jitter=0.05)
    Delay(seconds=0.2, jitter=0.05)

        sent       |abc
        delivered  |....abc
    """

    seconds: float
    jitter: float = 0.0

    def __post_init__(self) -> None:
        check_seconds("seconds", self.seconds)
        check_seconds("jitter", self.jitter)

    def __call__(self, event: Event, seen: Seen) -> Iterable[Event]:
        return () if is_signal(event) else (event.moved(event.at + self._late(event, seen)),)

    def _late(self, event: Event, seen: Seen) -> float:
        if not self.jitter:
            return self.seconds
        offset = seen.events if isinstance(event, Datagram) else seen.bytes
        return self.seconds + self.jitter * seen.decisions.chance(offset)


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
class Stall(Narrowable):
    """Nothing more arrives, for a while or until lifted; nothing is lost.

    `after`: so many bytes (datagrams) are delivered first. `seconds`: how long from then; None: until the fault is
    lifted. Everything waits in order, the end of the stream included. Works on streams and datagrams.

    Lifted: everything goes on at once.

    >>> Stall(after=3)
    Stall(after=3)

        sent       |abcdefg
        delivered  |abc......(lifted)defg
    """

    after: int = 0
    seconds: float | None = None

    def __post_init__(self) -> None:
        check_count("after", self.after)
        if self.seconds is not None:
            check_seconds("seconds", self.seconds)

    def __call__(self, event: Event, seen: Seen) -> Iterator[Event]:
        if isinstance(event, Opened) and self.after == 0:
            self._begin(event.at, seen)
        elif isinstance(event, Data):
            yield from self._pass(event, seen)
        elif isinstance(event, Datagram) and seen.events < self.after:
            yield event
            if seen.events + 1 == self.after:
                self._begin(event.at, seen)
        elif not is_signal(event):
            yield self._late(event, seen)

    def _pass(self, event: Data, seen: Seen) -> Iterator[Event]:
        room = max(0, self.after - seen.bytes)
        if 0 < room <= len(event.data):
            self._begin(event.at, seen)
        if room < len(event.data) and room:
            yield Data(event.at, event.data[:room])
        rest = event.data[room:]
        yield self._late(Data(event.at, rest), seen) if rest else event

    def _begin(self, at: float, seen: Seen) -> None:
        seen.memory.setdefault("until", NEVER if self.seconds is None else at + self.seconds)

    def _late(self, event: Event, seen: Seen) -> Event:
        return event.moved(max(event.at, seen.memory.get("until", event.at)))
