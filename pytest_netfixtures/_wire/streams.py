"""The faults of streams.

Law: a fault is a frozen value that yields events; it never waits, sends or remembers anything outside of `seen`. What
it decides depends on byte offsets, never on how the bytes were chunked. Some of these act on datagrams as well, and
say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .._errors import is_for_the_user
from .checks import check_count, check_flag, check_seconds
from .effect import is_signal
from .events import NEVER, Data, Datagram, Event, Fin, Lifted, Opened, Rst
from .narrowing import Narrowable
from .seen import Seen

__all__ = ["Delay", "Drop", "HalfClose", "Reset", "Slice", "Stall", "Truncate"]

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

    def _time(self, at: float, offset: int, seen: Seen) -> float:
        gap = self.gap if offset and offset % self.size == 0 else 0.0
        return max(at, seen.last_left + gap)


@dataclass(frozen=True, repr=False)
class Stall(Narrowable):
    """Nothing more arrives, for a while or until lifted; nothing is lost.

    `after`: so many bytes are delivered first. `seconds`: how long from then; None: until the fault is lifted.
    Everything waits in order, the end of the stream included. Works on datagrams with `after=0`.

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


@dataclass(frozen=True, repr=False)
class Drop(Narrowable):
    """Nothing more arrives, ever; the connection stays open. Ends are swallowed too. Works on datagrams with `after=0`.

    `after`: so many bytes are delivered first. Reading goes on, so the sender never notices.

    Lifted: once it has swallowed a byte of a connection it keeps this direction of it dead, because a gap is something
    that TCP never shows. New connections pass.

    >>> Drop(after=3)
    Drop(after=3)

        sent       |abcdefg
        delivered  |abc
    """

    after: int = 0

    def __post_init__(self) -> None:
        check_count("after", self.after)

    def __call__(self, event: Event, seen: Seen) -> Iterator[Event]:
        if isinstance(event, Data):
            yield from self._cut(event, seen)
        elif isinstance(event, (Fin, Rst)) and seen.bytes < self.after:
            yield event
        elif isinstance(event, Lifted) and seen.memory.get("swallowed"):
            seen.stay()

    def _cut(self, event: Data, seen: Seen) -> Iterator[Event]:
        room = max(0, self.after - seen.bytes)
        if room < len(event.data):
            seen.memory["swallowed"] = True
        if room:
            yield event if room >= len(event.data) else Data(event.at, event.data[:room])


@dataclass(frozen=True, repr=False)
class _Cut(Narrowable):
    """A fault that ends the stream at a byte."""

    after: int | None = None
    at: int | None = None

    def __post_init__(self) -> None:
        if self.after is not None and self.at is not None:
            raise ValueError(f"after is {self.after!r} and at is {self.at!r}; expected one of them: choose")
        for field, value in (("after", self.after), ("at", self.at)):
            if value is not None:
                check_count(field, value)

    def __call__(self, event: Event, seen: Seen) -> Iterator[Event]:
        if isinstance(event, Opened) and self.at is None and not self.after:
            yield self._end(event.at)
        elif isinstance(event, Data):
            yield from self._cut(event, seen)
        elif not is_signal(event):
            yield event

    def _cut(self, event: Data, seen: Seen) -> Iterator[Event]:
        limit = self.at if self.at is not None else self.after or 0
        room = max(0, limit - seen.bytes)
        reached = len(event.data) > room if self.at is not None else len(event.data) >= room
        if not reached:
            yield event
            return
        if room:
            yield event if room == len(event.data) else Data(event.at, event.data[:room])
        yield self._end(event.at)

    def _end(self, at: float) -> Event:
        raise TypeError(f"{type(self).__name__} does not say how it ends")


@dataclass(frozen=True, repr=False)
class Truncate(_Cut):
    """n bytes, then a clean end (FIN). The connection is over: both legs end, later bytes are drained and dropped.

    `after=n` acts as soon as n bytes have been delivered (default 0: when the connection opens, before any request).
    `at=n` acts when the byte with offset n arrives, which is not delivered. What the peer still sends is read and
    dropped, so that the FIN never turns into an RST.

    Lifted: what has ended stays ended.

    >>> Truncate(after=10)
    Truncate(after=10)

        sent       |abcdefg
        delivered  |abc FIN
    """

    def _end(self, at: float) -> Event:
        return Fin(at, whole=True)


@dataclass(frozen=True, repr=False)
class HalfClose(_Cut):
    """n bytes, then FIN in this direction alone; the other one goes on. `after` and `at` as for `Truncate`.

    Lifted: what has ended stays ended.

    >>> HalfClose(after=10)
    HalfClose(after=10)

        sent       |abcdefg
        delivered  |abc FIN
    """

    def _end(self, at: float) -> Event:
        return Fin(at)


@dataclass(frozen=True, repr=False)
class Reset(_Cut):
    """n bytes, then RST; the other leg is reset too, unless `other_leg=False`. `after` and `at` as for `Truncate`.

    `Reset(at=0)` in `to_client` is "the server did the work, the answer is lost". The client may meet the RST in any
    call: catch `OSError`, and assert on the traffic. On a Unix socket there is no RST.

    Lifted: what has ended stays ended.

    >>> Reset(after=3)
    Reset(after=3)

        sent       |abcdefg
        delivered  |abc RST
    """

    other_leg: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag("other_leg", self.other_leg)

    def _end(self, at: float) -> Event:
        return Rst(at, whole=self.other_leg)
