"""Plays what a pipeline yields as an engine would, and draws faults for the laws of the wire.

`Wire` has a clock that only `run` moves; it carries out events in the order of (at, sequence number), brings wake-up calls
back, and ends a direction where an end says so. It knows no socket and no fault.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from hypothesis import strategies as st

import pytest_netfixtures as face
from pytest_netfixtures._wire.content import Corrupt, Insert
from pytest_netfixtures._wire.datagrams import BurstLoss, Duplicate, Loss, MaxSize, Reorder
from pytest_netfixtures._wire.ends import Drop, HalfClose, Reset, Truncate
from pytest_netfixtures._wire.entries import DIRECTIONS, TO_CLIENT, TO_SERVER, Direction
from pytest_netfixtures._wire.events import NEVER, Data, Datagram, Event, Fin, Lifted, Opened, Rst, Wake
from pytest_netfixtures._wire.narrowing import Narrowable, narrow
from pytest_netfixtures._wire.pieces import Coalesce, Slice
from pytest_netfixtures._wire.pipeline import Armed, Fault, Fire, Out, Pipeline, Seen, opposite
from pytest_netfixtures._wire.replacing import Replace
from pytest_netfixtures._wire.schedule import Schedule
from pytest_netfixtures._wire.streams import Bandwidth, Delay, Retransmit, SlowClose, Stall

Piece = tuple[float, bytes]
End = Fin | Rst


class Wire:
    """One connection through rows of faults, opened at 0.0."""

    def __init__(
        self,
        to_server: Iterable[Fault] = (),
        to_client: Iterable[Fault] = (),
        *,
        number: int = 1,
        key: tuple[object, ...] = (),
        armed: Iterable[Armed] = (),
    ) -> None:
        self.pipeline = Pipeline(number, key)
        self.schedule: Schedule[Out] = Schedule()
        self.got: dict[Direction, list[Piece]] = {direction: [] for direction in DIRECTIONS}
        self.end: dict[Direction, End | None] = dict.fromkeys(DIRECTIONS)
        self.outs: list[Out] = []
        self.fires: list[Fire] = []
        self.undelivered: list[Out] = []
        new = [Armed(f, d) for d, row in ((TO_SERVER, to_server), (TO_CLIENT, to_client)) for f in row]
        self.armed = [*new, *armed]
        for each in self.armed:
            self.pipeline.arm(each)
        self._plan(self.pipeline.open(0.0))

    def give(self, event: Event, direction: Direction = TO_CLIENT) -> Wire:
        """An event from the sender, unless nothing can follow the end of this direction."""
        if self.end[direction] is None or self._may_be_reset(direction):
            self._plan(self.pipeline.feed(direction, event))
        return self

    def add(self, fault: Fault, at: float, direction: Direction = TO_CLIENT) -> Armed:
        armed = Armed(fault, direction)
        self._plan(self.pipeline.add(armed, at))
        return armed

    def lift(self, armed: Armed, at: float) -> Wire:
        self._plan(self.pipeline.lift(armed, at))
        return self

    def run(self, until: float = 1e9) -> Wire:
        """Carry out everything that is due."""
        for _ in range(100_000):
            if (entry := self.schedule.pop(until)) is None:
                return self
            self._do(entry[1])
        raise AssertionError("the schedule never comes to an end")

    def delivered(self, direction: Direction = TO_CLIENT) -> bytes:
        return b"".join(data for _, data in self.got[direction])

    def seen_by_peers(self) -> list[tuple[bytes, str]]:
        """What the two receivers can tell: bytes and the kind of the end."""
        return [(self.delivered(direction), type(self.end[direction]).__name__) for direction in DIRECTIONS]

    def _plan(self, outs: list[Out]) -> None:
        self.outs += outs
        for out in outs:
            self.schedule.add(out.event.at, out)

    def _do(self, out: Out) -> None:
        self.fires += out.fires
        event = out.event
        if isinstance(event, Wake):
            self._plan(self.pipeline.wake(out.stage, event.at) if out.stage else [])
        elif isinstance(event, (Fin, Rst)):
            self._finish(out.direction, event)
        elif self.end[out.direction] is not None:
            self.undelivered.append(out)
        elif isinstance(event, (Data, Datagram)):
            self.got[out.direction].append((event.at, event.data))

    def _finish(self, direction: Direction, event: End) -> None:
        if self.end[direction] is None or (isinstance(event, Rst) and self._may_be_reset(direction)):
            self.end[direction] = event
            if event.whole:
                self.end[opposite(direction)] = event

    def _may_be_reset(self, direction: Direction) -> bool:
        end = self.end[direction]
        return isinstance(end, Fin) and not end.whole


def row(*faults: Fault, number: int = 1, key: tuple[object, ...] = ()) -> Wire:
    """A connection with these faults on its way to the client."""
    return Wire(to_client=faults, number=number, key=key)


def traffic(outs: Sequence[Out], direction: Direction = TO_CLIENT) -> list[Event]:
    """What is carried out in one direction, in the order in which the pipeline yielded it."""
    return [out.event for out in outs if out.direction == direction and not isinstance(out.event, Wake)]


def answers(fault: Fault, *events: Event) -> list[list[Event]]:
    """What a fault that stands alone makes of each event in turn."""
    pipeline = Pipeline(1)
    armed = Armed(fault, TO_CLIENT)
    pipeline.arm(armed)
    return [traffic(_feed(pipeline, armed, event)) for event in events]


def _feed(pipeline: Pipeline, armed: Armed, event: Event) -> list[Out]:
    if isinstance(event, Opened):
        return pipeline.open(event.at)
    if isinstance(event, Lifted):
        return pipeline.lift(armed, event.at)
    return pipeline.feed(TO_CLIENT, event)


# Chunking.


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """The data in pieces that begin at these places."""
    marks = sorted({place for place in places if 0 < place < len(data)})
    return [data[a:b] for a, b in zip([0, *marks], [*marks, len(data)], strict=True) if b > a]


def whole(data: bytes) -> list[bytes]:
    return cut(data, ())


def bytewise(data: bytes) -> list[bytes]:
    return cut(data, range(len(data)))


Way = Callable[[bytes], list[bytes]]
Ways = list[Way]


@st.composite
def ways(draw: st.DrawFn) -> Ways:
    """Whole, a byte at a time, and re-chunked at random."""
    places = [draw(st.lists(st.integers(1, 40), max_size=8)) for _ in range(2)]
    return [whole, bytewise, *(partial(cut, places=each) for each in places)]


# Functions of a user. What they decide depends on offsets alone.


def passing(event: Event, seen: Seen) -> Iterator[Event]:
    """Yields everything that it is given, signals too."""
    yield event


def upper(event: Event, seen: Seen) -> Iterator[Event]:
    yield Data(event.at, event.data.upper()) if isinstance(event, Data) else event


def lose_every_third(event: Event, seen: Seen) -> Iterator[Event]:
    if isinstance(event, Data):
        kept = [byte for i, byte in enumerate(event.data, seen.bytes) if i % 3 != 2]
        yield Data(event.at, bytes(kept))
    else:
        yield event


def stutter(event: Event, seen: Seen) -> list[Event]:
    if isinstance(event, Data):
        return [Data(event.at, bytes([byte, byte])) for byte in event.data]
    return [event]


def hold_from_5(event: Event, seen: Seen) -> Iterator[Event]:
    if isinstance(event, Data):
        room = max(0, 5 - seen.bytes)
        yield Data(event.at, event.data[:room])
        yield Data(NEVER, event.data[room:])


def end_at_7(event: Event, seen: Seen) -> Iterator[Event]:
    if isinstance(event, Data):
        room = max(0, 7 - seen.bytes)
        yield Data(event.at, event.data[:room])
        if len(event.data) >= room:
            yield Fin(event.at)
    else:
        yield event


def hasty(event: Event, seen: Seen) -> Iterator[Event]:
    """Wants every other byte to have been there before the others."""
    if isinstance(event, Data):
        for i, byte in enumerate(event.data, seen.bytes):
            yield Data(event.at - i % 2, bytes([byte]))
    else:
        yield event


def end_at_1_second(event: Event, seen: Seen) -> Iterator[Event]:
    yield Rst(event.at + 1) if isinstance(event, Opened) else event


def beat(event: Event, seen: Seen) -> Iterator[Event]:
    """A byte of its own each second, three times; everything else goes on."""
    beats = seen.memory.get("beats", 0)
    if isinstance(event, Wake):
        seen.memory["beats"] = beats + 1
        yield Data(event.at, b"!")
    if isinstance(event, Opened) or (isinstance(event, Wake) and beats < 2):
        yield Wake(event.at + 1)
    elif not isinstance(event, Wake):
        yield event


# Everything that a user can import, by name: what a fault prints is code of these.

FACE = {name: getattr(face, name) for name in face.__all__}


# Strategies. A small alphabet, so that patterns are found.

ALPHABET = b"abc"
streams = st.lists(st.sampled_from(ALPHABET), max_size=40).map(bytes)
seconds = st.integers(0, 8).map(lambda n: n / 4)
counts = st.integers(0, 20)
patterns = st.lists(st.sampled_from(ALPHABET), min_size=1, max_size=3).map(bytes)
regexes = st.sampled_from(
    [
        rb"ab",
        rb"a+b",
        rb"[^a]b",
        rb"^ab",
        rb"\Ab",
        rb"(?m)^b",
        rb"a|cb",
        rb"c*b",
        rb"(?i)B.c",
        rb"b{2,}?",
        rb"(a|ab)c",
    ]
).map(re.compile)

rates = st.sampled_from([0.1, 0.5, 0.9, 1.0])

delays = st.builds(Delay, seconds)
jitters = (
    st.builds(Delay, seconds, seconds)
    | st.builds(Delay, seconds, seconds.filter(bool), st.sampled_from(["normal", "pareto"]))
    | st.builds(Delay, seconds, distribution=st.lists(seconds, min_size=1, max_size=3))
)
late = delays | jitters
slices = st.builds(Slice, st.integers(1, 8), seconds)
pauses = st.builds(Stall, counts, seconds)
slow_ends = st.builds(SlowClose, seconds)
lines = st.builds(Bandwidth, st.sampled_from([0.5, 4, 10, 1000]), st.integers(0, 8), st.booleans())
gluing = st.builds(Coalesce, seconds, st.integers(1, 50))
sent_again = st.builds(Retransmit, rates, seconds)
shaping: st.SearchStrategy[Narrowable] = late | slices | pauses | slow_ends | lines | gluing | sent_again
"""Every byte arrives, in order."""


def _cuts(kind: Callable[..., Narrowable], **more: Any) -> st.SearchStrategy[Narrowable]:
    return st.builds(kind, after=counts, **more) | st.builds(kind, at=counts, **more)


cuts = (
    _cuts(Truncate, notify=st.booleans())
    | _cuts(HalfClose, notify=st.booleans())
    | _cuts(Reset, other_leg=st.booleans())
)
losing = st.builds(Drop, counts) | st.builds(Stall, counts)

offsets = counts | st.lists(counts, min_size=1, max_size=4)
masks = st.none() | st.integers(1, 255)
corrupting = st.builds(Corrupt, rate=rates, mask=masks) | st.builds(Corrupt, at=offsets, mask=masks)
LONG = 1e6
"""Longer than any case lasts, so that all of a match comes within it."""
replacing = st.builds(Replace, patterns, streams, st.none() | st.integers(1, 3), st.just(LONG)) | st.builds(
    Replace, regexes, streams, st.none() | st.integers(1, 3), st.just(LONG), st.integers(1, 4)
)
inserting = st.builds(Insert, patterns, at=counts) | st.builds(Insert, patterns, after=counts)
hasty_replacing = st.builds(Replace, patterns, streams, hold=seconds)
"""Lets go of the beginning of a match too early for some of the input."""

FUNCTIONS = [passing, upper, lose_every_third, stutter, hold_from_5, end_at_7]
functions = st.sampled_from(FUNCTIONS).map(narrow)
timely = delays | slices | pauses | slow_ends | cuts | losing | corrupting | inserting | functions
"""What decides by offsets, and whose times depend on offsets too."""
steady = timely | jitters | lines | gluing | sent_again | replacing
"""What decides by offsets, at times that depend on the chunks or on when they came."""

# Of datagrams.

datagrams = st.lists(st.lists(st.sampled_from(ALPHABET), max_size=5).map(bytes), max_size=12)
bursts = st.builds(BurstLoss, rates, rates, rates, st.sampled_from([0.0, 0.1, 0.5]))
numbered: st.SearchStrategy[Narrowable] = st.one_of(
    st.builds(Loss, rates),
    bursts,
    st.builds(Duplicate, rates),
    st.builds(Reorder, rates, seconds.filter(bool)),
    st.builds(Drop, counts),
    late,
    pauses,
)
"""What goes by the number of a datagram, and makes no other bytes of it."""
punctual = (
    st.builds(Loss, rates)
    | bursts
    | st.builds(Duplicate, rates)
    | st.builds(Drop, counts)
    | corrupting
    | st.builds(MaxSize, st.integers(1, 5), st.booleans())
    | st.builds(Replace, patterns, streams)
    | st.builds(Insert, patterns, at=counts)
    | st.builds(Insert, patterns, after=st.integers(1, 20))
)
"""Nothing is late, so that all arrives in the order in which it was sent."""
of_datagrams = numbered | lines | punctual | st.builds(Stall, counts)
"""All that a UDP proxy can do."""


@st.composite
def _when(
    draw: st.DrawFn, faults: st.SearchStrategy[Narrowable], directions: Sequence[Direction | None]
) -> Narrowable:
    fault, direction = draw(faults), draw(st.sampled_from(directions))
    nth = draw(st.integers(1, 3))
    if draw(st.booleans()):
        return fault.when(draw(patterns), nth, direction)
    return fault.when(draw(regexes), nth, direction, window=draw(st.integers(1, 4)))


def _narrower(
    faults: st.SearchStrategy[Narrowable], directions: Sequence[Direction | None], timed: bool
) -> st.SearchStrategy[Narrowable]:
    numbers = st.lists(st.integers(1, 3), min_size=1, max_size=2)
    return st.one_of(
        st.builds(lambda fault, given: fault.on_connections(*given), faults, numbers),
        st.builds(lambda fault, n: fault.times(n), faults, st.integers(1, 2)),
        st.builds(lambda fault, rate: fault.sometimes(rate), faults, rates),
        faults.map(lambda fault: fault.optional()),
        *([_when(faults, directions)] if directions else []),
        *([st.builds(lambda fault, late: fault.after_seconds(late), faults, seconds)] if timed else []),
    )


def narrowed(
    faults: st.SearchStrategy[Narrowable],
    directions: Sequence[Direction | None] = (None, TO_CLIENT),
    timed: bool = False,
) -> st.SearchStrategy[Narrowable]:
    """These faults, and the same narrowed, more than once too; from a match on (in `directions`), from a time on (`timed`)."""
    return st.recursive(faults, lambda inner: _narrower(inner, directions, timed), max_leaves=3)


def rows(faults: st.SearchStrategy[Narrowable], **more: Any) -> st.SearchStrategy[list[Narrowable]]:
    return st.lists(narrowed(faults, **more), max_size=4)
