"""The faults that shape a stream: every byte arrives, in order, only later.

Law: a fault is a frozen value that yields events; it never waits, sends or remembers anything outside of `seen`. What
it decides depends on byte offsets, never on how the bytes were chunked. Those that act on datagrams as well say so;
their offsets are numbers of datagrams there.

Live: a fault that is added to an open connection does not meet what is already on its way, and its offsets count from
then. What is on its way through a fault that is lifted keeps its time, and later bytes do not overtake it. A fault that
differs says so, "Added:" or "Lifted:".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from .._errors import is_for_the_user
from .checks import check_count, check_flag, check_rate, check_seconds, check_speed
from .distributions import draw, table_of
from .effect import is_signal
from .events import NEVER, Data, Datagram, Event, Fin, Lifted, Opened, Rst
from .line import Line, Meter
from .narrowing import Narrowable
from .seen import Seen

__all__ = ["Bandwidth", "Delay", "Retransmit", "SlowClose", "Stall"]

__tracebackhide__ = is_for_the_user


@dataclass(frozen=True, repr=False)
class Delay(Narrowable):
    """Everything arrives late, in order; ends too. Works on streams and datagrams.

    `seconds`: how late, 0 or more. `jitter`: more seconds, times a number that is decided per byte offset (datagram
    number) from the seed. `distribution` is where that number comes from: "uniform", from 0 up to 1; "normal", the
    distance from 0 of a standard normal number; "pareto", mostly small with a long tail (Lomax, alpha 3: 0.5 on average,
    above 3.6 once in a hundred). Or it is a list of numbers of seconds, such as measured ones, without `jitter`: one of
    them is added, each as likely as the others.

    Latency is pipelined: it does not add up from chunk to chunk. A delay of d never delivers before d. On a stream the
    bytes behind a late one wait for it; datagrams overtake.

    Lifted: what is on its way keeps its time.

    Raises TypeError or ValueError for a negative or infinite time, an empty list, a list with `jitter`, or "normal" or
    "pareto" without.

    >>> Delay(0.2, jitter=0.05)
    Delay(seconds=0.2, jitter=0.05)
    >>> Delay(distribution=[0.1, 0.1, 0.9])
    Delay(seconds=0.0, distribution=(0.1, 0.1, 0.9))

        sent       |abc
        delivered  |....abc
    """

    # Without a default in the eyes of repr: the code of a fault is a part of what its random decisions depend on.
    seconds: float = field(default_factory=float)
    jitter: float = 0.0
    distribution: str | Sequence[float] = "uniform"

    def __post_init__(self) -> None:
        check_seconds("seconds", self.seconds)
        check_seconds("jitter", self.jitter)
        object.__setattr__(self, "distribution", table_of(self.distribution, self.jitter))

    def __call__(self, event: Event, seen: Seen) -> Iterable[Event]:
        return () if is_signal(event) else (event.moved(event.at + self._late(event, seen)),)

    def _late(self, event: Event, seen: Seen) -> float:
        scale = self.jitter if isinstance(self.distribution, str) else 1.0
        if not scale:
            return self.seconds
        offset = seen.events if isinstance(event, Datagram) else seen.bytes
        return self.seconds + scale * draw(self.distribution, seen.decisions, offset)


@dataclass(frozen=True, repr=False)
class Retransmit(Narrowable):
    """What packet loss is on a stream: TCP sends a lost segment again, so that it comes late, and all behind it waits.

    `rate`: the share of pieces that come late, above 0 up to 1, decided per byte offset from the seed. `seconds`: how late;
    0.2 is what Linux waits at least before it sends again. A piece is what comes at once: `Slice(1448)` in front makes
    segments of what is longer. Works on streams; datagrams have `Loss`.

    Lifted: what is on its way keeps its time.

    Raises TypeError or ValueError for a rate or a time that is none. Source: RFC 6298.

    >>> Retransmit(0.01)
    Retransmit(rate=0.01)

        sent       |a b c d
        delivered  |a   .   bcd
    """

    rate: float
    seconds: float = 0.2

    def __post_init__(self) -> None:
        check_rate("rate", self.rate)
        check_seconds("seconds", self.seconds)

    def __call__(self, event: Event, seen: Seen) -> Iterable[Event]:
        if isinstance(event, Data) and seen.decisions.chance(seen.bytes) < self.rate:
            return (event.moved(event.at + self.seconds),)
        return () if is_signal(event) else (event,)

    def unfit(self, transport: str) -> str | None:
        return (
            "nobody sends a datagram again; write Loss(rate) or BurstLoss(...)"
            if transport == "udp"
            else None
        )

    def by_chance(self) -> bool:
        return self.rate < 1


@dataclass(frozen=True, repr=False)
class Stall(Narrowable):
    """Nothing more arrives, for a while or until lifted; nothing is lost.

    `after`: so many bytes (datagrams) are delivered first. `seconds`: how long from then; None: until the fault is
    lifted. Everything waits in order, the end of the stream included. Works on streams and datagrams.

    Lifted: everything goes on at once; with `seconds` it keeps its time.

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


@dataclass(frozen=True, repr=False)
class Bandwidth(Narrowable):
    """A slow line: so many bytes a second, in pieces of about 20 ms. Works on streams and datagrams.

    `bytes_per_second`: more than 0. `burst`: so many bytes go at once when the line was idle for long enough (a token
    bucket). `shared`: all connections of the proxy share the line, piece by piece, first come, first served; each
    direction has a line of its own. The end of a stream comes behind its bytes. A datagram stays in one piece and comes
    when its last byte would.

    n bytes never take less than (n - burst) / bytes_per_second seconds.

    Lifted: what waits for the line goes on at once; datagrams keep their times.

    Raises TypeError or ValueError for a rate that is not more than 0, or a negative burst.

    >>> Bandwidth(10_000, burst=1500)
    Bandwidth(bytes_per_second=10000, burst=1500)

        sent       |abcd
        delivered  |..a..b..c..d
    """

    bytes_per_second: float
    burst: int = 0
    shared: bool = False

    def __post_init__(self) -> None:
        check_speed("bytes_per_second", self.bytes_per_second)
        check_count("burst", self.burst)
        check_flag("shared", self.shared)

    def __call__(self, event: Event, seen: Seen) -> Iterable[Event]:
        if isinstance(event, Datagram):
            return (event.moved(self._meter(seen).take(event.at, len(event.data))),)
        return self._pass(event, seen)

    def _pass(self, event: Event, seen: Seen) -> Iterator[Event]:
        line: Line = seen.memory.setdefault("line", Line())
        if not is_signal(event):
            line.put(event)
        yield from (
            line.let_go(event.at) if isinstance(event, Lifted) else line.serve(event.at, self._meter(seen))
        )
        seen.hold(line.size)

    def _meter(self, seen: Seen) -> Meter:
        memory = seen.shared if self.shared else seen.memory
        if "meter" not in memory:
            memory["meter"] = Meter(self.bytes_per_second, self.burst)
        meter: Meter = memory["meter"]
        return meter


@dataclass(frozen=True, repr=False)
class SlowClose(Narrowable):
    """The end comes late; bytes do not. Works on streams.

    `seconds`: how much later FIN and RST come, 0 or more. Until then the receiver has all bytes and cannot know that
    there are no more.

    Lifted: an end that is on its way keeps its time.

    Raises TypeError or ValueError for a negative or infinite time.

    >>> SlowClose(0.5)
    SlowClose(seconds=0.5)

        sent       |abc FIN
        delivered  |abc.... FIN
    """

    seconds: float

    def __post_init__(self) -> None:
        check_seconds("seconds", self.seconds)

    def unfit(self, transport: str) -> str | None:
        return (
            "UDP has no end; write Delay(seconds) for datagrams that come late"
            if transport == "udp"
            else None
        )

    def __call__(self, event: Event, seen: Seen) -> Iterable[Event]:
        if isinstance(event, (Fin, Rst)):
            return (event.moved(event.at + self.seconds),)
        return () if is_signal(event) else (event,)
