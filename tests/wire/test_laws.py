"""The seven laws of the wire, as properties over rows of random faults.

Every stream is fed whole, a byte at a time and re-chunked at random; `Wire` carries out what the pipeline yields. Times
are numbers, so that nothing here waits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from hypothesis import given
from hypothesis import strategies as st
from wire.wire_tools import (
    Way,
    Ways,
    Wire,
    beat,
    end_at_1_second,
    hasty,
    hasty_replacing,
    late,
    lines,
    narrowed,
    row,
    rows,
    seconds,
    shaping,
    steady,
    streams,
    timely,
    traffic,
    ways,
)

from pytest_netfixtures._wire.decisions import Decisions
from pytest_netfixtures._wire.entries import TO_CLIENT, TO_SERVER, Direction
from pytest_netfixtures._wire.events import Data, Datagram, Event, Fin, Rst
from pytest_netfixtures._wire.narrowing import Narrowable, narrow
from pytest_netfixtures._wire.pipeline import Armed
from pytest_netfixtures._wire.schedule import Schedule
from pytest_netfixtures._wire.streams import Bandwidth, Delay, Stall

T = TypeVar("T")
ROUNDING = 1e-6
BOTH: tuple[Direction | None, ...] = (None, TO_SERVER, TO_CLIENT)
ends = st.sampled_from([None, Fin(0.0), Rst(0.0)])
anything = steady | hasty_replacing | st.sampled_from([hasty, end_at_1_second, beat]).map(narrow)


def feed(wire: Wire, chunks: Iterable[bytes], end: Event | None, gaps: Iterable[float] = ()) -> Wire:
    """All chunks at 0.0, or with these gaps between them; then the end."""
    at, gap = 0.0, iter(gaps)
    for chunk in chunks:
        at += next(gap, 0.0)
        wire.run(at).give(Data(at, chunk))
    return wire.run(at).give(end.moved(at)).run() if end else wire.run()


def feed_at_once(wire: Wire, chunks: Iterable[bytes], end: Event | None) -> Wire:
    """All chunks before anything is carried out."""
    for chunk in chunks:
        wire.give(Data(0.0, chunk))
    return wire.give(end).run() if end else wire.run()


# 1. Shaping faults keep every byte, in order.


@given(rows(shaping, timed=True), streams, ways(), ends, st.lists(seconds))
def test_shaping_faults_keep_every_byte_in_order(
    faults: list[Narrowable], data: bytes, ways: Ways, end: Event | None, gaps: list[float]
) -> None:
    for way in ways:
        wire = feed(row(*faults), way(data), end, gaps)
        assert wire.delivered() == data
        assert type(wire.end[TO_CLIENT]) is type(end)
        assert not wire.undelivered


@given(
    st.lists(narrowed(shaping | st.builds(Stall), timed=True), max_size=6),
    streams,
    ways(),
    st.lists(seconds),
    st.data(),
)
def test_shaping_faults_that_come_and_go_keep_every_byte_in_order(
    faults: list[Narrowable], data: bytes, ways: Ways, gaps: list[float], chance: st.DataObject
) -> None:
    wire, at, waiting, gap = row(), 0.0, list(faults), iter(gaps)
    armed: list[Armed] = []
    for chunk in pick(chance, ways)(data):
        at += next(gap, 0.25)
        wire.run(at)
        if waiting and coin(chance):
            armed.append(wire.add(waiting.pop(), at))
        if armed and coin(chance):
            wire.lift(armed.pop(pick(chance, range(len(armed)))), at)
        wire.give(Data(at, chunk))
    wire.give(Fin(at))
    for each in armed:
        wire.lift(each, at)
    assert wire.run().delivered() == data
    assert wire.end[TO_CLIENT] is not None
    assert not wire.undelivered


def pick(chance: st.DataObject, choices: Sequence[T]) -> T:
    choice: T = chance.draw(st.sampled_from(choices))
    return choice


def coin(chance: st.DataObject) -> bool:
    return pick(chance, (True, False))


# 2. Time never runs backwards within a stream, and what is late is late.


@given(rows(anything, timed=True), streams, ways(), ends, st.lists(seconds))
def test_time_never_runs_backwards_within_a_stream(
    faults: list[Narrowable], data: bytes, ways: Ways, end: Event | None, gaps: list[float]
) -> None:
    for way in ways:
        wire = feed(row(*faults), way(data), end, gaps)
        times = [event.at for event in traffic(wire.outs) if isinstance(event, Data)]
        assert times == sorted(times)


Late = list[Delay]


@given(rows(shaping, timed=True), st.lists(late, min_size=1, max_size=2), streams, ways(), st.lists(seconds))
def test_a_delay_of_d_never_delivers_before_d(
    others: list[Narrowable], delays: Late, data: bytes, ways: Ways, gaps: list[float]
) -> None:
    least = sum(delay.seconds for delay in delays)
    for faults in ([*others[:2], *delays], [*delays, *others[:2]]):
        for way in ways:
            sent = list(sent_at(way(data), gaps))
            wire = feed(row(*faults), way(data), Fin(0.0), gaps)
            due = [at for at, piece in wire.got[TO_CLIENT] for _ in piece]
            assert all(then >= at + least - ROUNDING for at, then in zip(sent, due, strict=True))
            assert (end := wire.end[TO_CLIENT]) and end.at >= max(sent, default=0.0) + least - ROUNDING


def sent_at(chunks: Iterable[bytes], gaps: Iterable[float]) -> Iterator[float]:
    """The time of each byte."""
    at, gap = 0.0, iter(gaps)
    for chunk in chunks:
        at += next(gap, 0.0)
        yield from (at for _ in chunk)


@given(lines, streams, ways(), st.lists(seconds))
def test_a_line_is_never_faster_than_it_says(
    line: Bandwidth, data: bytes, ways: Ways, gaps: list[float]
) -> None:
    for way in ways:
        size = 0
        for at, piece in feed(row(line), way(data), None, gaps).got[TO_CLIENT]:
            size += len(piece)
            assert at >= (size - line.burst) / line.bytes_per_second - ROUNDING


@given(st.lists(st.binary(max_size=3), min_size=2, max_size=12))
def test_datagrams_may_overtake_each_other_and_none_is_lost(datagrams: list[bytes]) -> None:
    wire = row(Delay(0.0, jitter=1.0), key=(0,))
    for data in datagrams:
        wire.give(Datagram(0.0, data))
    times = [event.at for event in traffic(wire.outs)]
    order = sorted(range(len(datagrams)), key=lambda n: times[n])
    assert [data for _, data in wire.run().got[TO_CLIENT]] == [datagrams[n] for n in order]


def test_some_datagrams_do_overtake() -> None:
    wire = row(Delay(0.0, jitter=1.0), key=(0,))
    for number in range(10):
        wire.give(Datagram(0.0, b"%d" % number))
    assert [data for _, data in wire.run().got[TO_CLIENT]] != [b"%d" % number for number in range(10)]


# 3. Nothing follows an end; what is due before an end is delivered.


@given(rows(anything, timed=True), streams, ways(), ends, st.lists(seconds))
def test_nothing_follows_an_end(
    faults: list[Narrowable], data: bytes, ways: Ways, end: Event | None, gaps: list[float]
) -> None:
    for way in ways:
        wire = feed(row(*faults), way(data), end, gaps)
        assert not wire.undelivered
        made = traffic(wire.outs)
        for place, event in enumerate(made):
            if isinstance(event, (Fin, Rst)):
                assert all(_may_follow(event, later) for later in made[place + 1 :])


def _may_follow(end: Fin | Rst, later: Event) -> bool:
    """Due earlier, or a reset of what is left behind a FIN of one direction."""
    return later.at < end.at or (isinstance(later, Rst) and isinstance(end, Fin) and not end.whole)


@given(rows(anything, timed=True), streams, ways(), ends)
def test_what_is_due_before_an_end_is_delivered(
    faults: list[Narrowable], data: bytes, ways: Ways, end: Event | None
) -> None:
    for way in ways:
        wire = feed_at_once(row(*faults), way(data), end)
        last = wire.end[TO_CLIENT]
        due = [e for e in traffic(wire.outs) if isinstance(e, Data) and (last is None or e.at <= last.at)]
        assert wire.delivered() == b"".join(event.data for event in due)


# 4. What a fault decides depends on byte offsets, never on the chunks.


@given(rows(steady), streams, ways(), ends, st.lists(seconds))
def test_the_peer_sees_the_same_however_the_input_is_chunked_and_whenever_it_comes(
    faults: list[Narrowable], data: bytes, ways: Ways, end: Event | None, gaps: list[float]
) -> None:
    first = feed(row(*faults), ways[0](data), end).seen_by_peers()
    for way in ways:
        assert feed(row(*faults), way(data), end).seen_by_peers() == first
        assert feed(row(*faults), way(data), end, gaps).seen_by_peers() == first
        assert feed_at_once(row(*faults), way(data), end).seen_by_peers() == first


@given(rows(timely | st.just(narrow(end_at_1_second)), timed=True), streams, ways(), ends)
def test_an_end_at_a_time_cuts_at_the_same_byte_however_the_input_is_chunked(
    faults: list[Narrowable], data: bytes, ways: Ways, end: Event | None
) -> None:
    first, *others = [feed(row(*faults), way(data), end).seen_by_peers() for way in ways]
    assert all(other == first for other in others)


Message = tuple[Direction, bytes, float]
messages = st.lists(
    st.tuples(st.sampled_from((TO_SERVER, TO_CLIENT)), streams, seconds), min_size=1, max_size=5
)


@given(rows(timely, directions=BOTH), rows(timely, directions=BOTH), messages, ways())
def test_both_peers_of_a_dialogue_see_the_same_however_each_message_is_chunked(
    to_server: list[Narrowable],
    to_client: list[Narrowable],
    messages: list[Message],
    ways: Ways,
) -> None:
    first, *others = [talk(Wire(to_server, to_client), messages, way) for way in ways]
    for other in others:
        assert all(
            agree(*pair, first) for pair in zip(first.seen_by_peers(), other.seen_by_peers(), strict=True)
        )


def agree(one: tuple[bytes, str], other: tuple[bytes, str], wire: Wire) -> bool:
    """The same; but a request that is cut by the other direction gets as far as it came together with the mark."""
    if not any(end is not None and end.whole for end in wire.end.values()):
        return one == other
    short, long = sorted((one[0], other[0]), key=len)
    return one[1] == other[1] and long.startswith(short)


def talk(wire: Wire, messages: list[Message], way: Way) -> Wire:
    at = 0.0
    for direction, data, gap in messages:
        at += gap
        for chunk in way(data):
            wire.run(at).give(Data(at, chunk), direction)
    return wire.run()


# 5. The same seed gives the same traffic.


@given(rows(anything, timed=True), streams, ways(), st.integers())
def test_the_same_seed_gives_the_same_traffic(
    faults: list[Narrowable], data: bytes, ways: Ways, seed: int
) -> None:
    for way in ways:
        first, second = (feed(row(*faults, key=(seed,)), way(data), Fin(0.0)) for _ in range(2))
        assert first.got == second.got
        assert first.end == second.end


@given(st.integers(), st.integers(), st.floats(0.1, 1.0))
def test_another_seed_gives_other_decisions(seed: int, other: int, jitter: float) -> None:
    def times(key: int) -> list[float]:
        return [at for at, _ in feed(row(Delay(0, jitter), key=(key,)), [b"a"] * 20, None).got[TO_CLIENT]]

    assert (times(seed) == times(other)) == (seed == other)


@given(st.lists(st.integers(0, 2**40), unique=True))
def test_a_decision_does_not_depend_on_the_order_of_the_questions(offsets: list[int]) -> None:
    answers = {offset: Decisions(1).chance(offset) for offset in offsets}
    again = Decisions(1)
    assert all(again.chance(offset) == answers[offset] for offset in reversed(offsets))


# 6. Equal deadlines keep their order.


@given(st.lists(st.integers(0, 3)))
def test_equal_deadlines_keep_their_order(deadlines: list[int]) -> None:
    schedule: Schedule[tuple[int, int]] = Schedule()
    for number, at in enumerate(deadlines):
        schedule.add(at, (at, number))
    assert schedule.due(3) == sorted((at, number) for number, at in enumerate(deadlines))


# 7. Latency is pipelined.


@given(st.lists(seconds, min_size=1, max_size=20), st.floats(0, 10))
def test_delays_do_not_add_up_from_chunk_to_chunk(gaps: list[float], late: float) -> None:
    wire = feed(row(Delay(late)), [b"a"] * len(gaps), None, gaps)
    sent = [sum(gaps[: number + 1]) for number in range(len(gaps))]
    assert [at for at, _ in wire.got[TO_CLIENT]] == [at + late for at in sent]
