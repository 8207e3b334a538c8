"""Faults from a time on: before it they hear nothing, then the connection seems to open, once, traffic or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire.wire_tools import Ways, Wire, beat, jitters, narrowed, row, shaping, steady, streams, upper, ways

from pytest_netfixtures._wire.decisions import Decisions
from pytest_netfixtures._wire.ends import Drop, HalfClose, Reset, Truncate
from pytest_netfixtures._wire.entries import TO_CLIENT, TO_SERVER
from pytest_netfixtures._wire.events import Data, Datagram, Event, Fin, Opened, Rst, Wake
from pytest_netfixtures._wire.given import must_fire
from pytest_netfixtures._wire.narrowing import Narrowable, narrow
from pytest_netfixtures._wire.pieces import Slice
from pytest_netfixtures._wire.pipeline import Armed, Fault, Seen
from pytest_netfixtures._wire.streams import Delay, Stall

TEXT: Any = "soon"


class Log:
    """A fault that writes down what it is told, and lets everything through."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event, seen: Seen) -> Iterator[Event]:
        self.events.append(event)
        yield event


def play(wire: Wire, *events: Event) -> Wire:
    """Each event at its time, after everything that was due before it."""
    for event in events:
        wire.run(event.at).give(event)
    return wire.run()


def line(fault: Fault, *events: Event) -> Wire:
    return play(row(fault), *events)


# The moment.


@pytest.mark.parametrize(
    ("fault", "end"),
    [
        (Reset(), Rst(1.0)),
        (Truncate(), Fin(1.0, whole=True)),
        (HalfClose(), Fin(1.0)),
        (Reset().optional().on_connections(1), Rst(1.0)),
    ],
    ids=repr,
)
def test_an_end_comes_at_its_time_although_nothing_is_sent(fault: Narrowable, end: Event) -> None:
    assert row(fault.after_seconds(1.0)).run().end[TO_CLIENT] == end


def test_what_comes_before_goes_through_and_what_comes_then_is_the_faults() -> None:
    wire = line(Drop().after_seconds(1), Data(0.5, b"a"), Data(0.99, b"b"), Data(1.0, b"c"), Data(2.0, b"d"))
    assert wire.got[TO_CLIENT] == [(0.5, b"a"), (0.99, b"b")]


@pytest.mark.parametrize(
    ("fault", "delivered"),
    [
        (Drop(after=2), b"abcde"),
        (Truncate(after=2), b"abcde"),
        (Reset(at=3), b"abcdef"),
        (narrow(upper), b"abcDEFG"),
        (Drop().when(b"e"), b"abcde"),
        (Drop().when(b"b"), b"abcdefg"),
    ],
    ids=repr,
)
def test_offsets_count_from_that_moment(fault: Narrowable, delivered: bytes) -> None:
    wire = line(fault.after_seconds(1), Data(0.5, b"abc"), Data(1.5, b"defg"))
    assert wire.delivered() == delivered


def test_the_fault_is_told_once_that_it_is_open_and_then_hears_everything() -> None:
    log = Log()
    line(narrow(log).after_seconds(1), Data(0.5, b"a"), Data(1.0, b"b"), Data(2.0, b"c"), Fin(3.0), Rst(4.0))
    assert log.events == [Opened(1.0), Data(1.0, b"b"), Data(2.0, b"c"), Fin(3.0), Rst(4.0)]


def test_told_again_that_it_is_open_it_keeps_its_time() -> None:
    log = Log()
    seen = Seen(1, TO_CLIENT, Decisions(), {}, {})
    fault = narrow(log).after_seconds(1)
    told = [list(fault(event, seen)) for event in (Opened(0.0), Opened(0.5), Wake(1.0), Opened(2.0))]
    assert told == [[Wake(1.0)], [], [Opened(1.0)], []]


def test_what_comes_before_it_is_told_that_it_is_open_goes_through() -> None:
    log = Log()
    seen = Seen(1, TO_CLIENT, Decisions(), {}, {})
    assert list(narrow(log).after_seconds(0)(Data(9.0, b"a"), seen)) == [Data(9.0, b"a")]
    assert log.events == []


def test_before_its_time_the_fault_hears_nothing() -> None:
    log = Log()
    armed = Armed(narrow(log).after_seconds(1), TO_CLIENT)
    wire = Wire(armed=[armed]).give(Data(0.0, b"a")).give(Fin(0.5)).lift(armed, 0.75)
    assert wire.run().delivered() == b"a"
    assert log.events == []


def test_bytes_that_are_due_later_open_it_before_its_call_comes() -> None:
    log = Log()
    wire = row(narrow(log).after_seconds(1)).give(Data(2.0, b"a"))
    assert log.events == [Opened(1.0), Data(2.0, b"a")]
    assert wire.run().delivered() == b"a"
    assert log.events == [Opened(1.0), Data(2.0, b"a")]


def test_an_end_at_its_time_is_before_what_an_earlier_fault_delayed() -> None:
    wire = row(Delay(5), Reset().after_seconds(1))
    assert play(wire, Data(0.0, b"a")).end[TO_CLIENT] == Rst(1.0)
    assert wire.delivered() == b""


def test_a_datagram_that_overtakes_goes_through_if_it_is_there_before() -> None:
    wire = row(Drop().after_seconds(1)).give(Datagram(2.0, b"late")).give(Datagram(0.5, b"early"))
    assert wire.run().got[TO_CLIENT] == [(0.5, b"early")]


def test_for_a_fault_that_is_added_live_the_time_counts_from_then() -> None:
    wire = row()
    wire.add(Reset().after_seconds(1), 5.0)
    assert wire.run().end[TO_CLIENT] == Rst(6.0)


@pytest.mark.parametrize("fault", [Drop(), Reset(), Stall(2, 5), Delay(1), Slice(1), narrow(beat)], ids=repr)
def test_no_seconds_change_nothing(fault: Narrowable) -> None:
    plain, narrowed = (line(f, Data(0.0, b"abc"), Data(1.0, b"de")) for f in (fault, fault.after_seconds(0)))
    assert (plain.got, plain.end) == (narrowed.got, narrowed.end)


def test_it_fires_when_it_acts_and_is_told_with_the_byte() -> None:
    armed = Armed(Reset().after_seconds(1), TO_CLIENT)
    wire = Wire(armed=[armed]).give(Data(0.5, b"abc"))
    wire.run(0.9)
    assert armed.fired == 0
    wire.run()
    assert armed.fired == 1
    assert [fire.effect for fire in wire.fires] == ["RST after byte 3"]


# What the fault inside asks for, holds and keeps.


def test_wake_up_calls_of_the_fault_reach_it_and_the_one_that_opens_it_does_not() -> None:
    assert row(narrow(beat).after_seconds(1)).run().got[TO_CLIENT] == [(2.0, b"!"), (3.0, b"!"), (4.0, b"!")]


def test_a_call_that_comes_when_it_is_open_already_does_not_reach_it() -> None:
    wire = row(narrow(beat).after_seconds(1)).give(Data(1.5, b"a"))
    assert wire.run().got[TO_CLIENT] == [(1.5, b"a"), (2.0, b"!"), (3.0, b"!"), (4.0, b"!")]


def test_a_wake_up_call_at_the_same_time_as_its_own_reaches_the_fault() -> None:
    log = Log()

    def asks(event: Event, seen: Seen) -> Iterator[Event]:
        yield from log(event, seen)
        if isinstance(event, Opened):
            yield Wake(event.at)

    row(narrow(asks).after_seconds(1)).give(Data(1.5, b"a")).run()
    assert log.events == [Opened(1.0), Data(1.5, b"a"), Wake(1.0)]


def test_a_stall_counts_from_that_moment() -> None:
    wire = line(Stall(seconds=5).after_seconds(1), Data(0.5, b"a"), Data(2.0, b"b"))
    assert wire.got[TO_CLIENT] == [(0.5, b"a"), (6.0, b"b")]


def test_what_it_holds_goes_on_when_it_is_lifted() -> None:
    armed = Armed(Stall().after_seconds(1), TO_CLIENT)
    wire = play(Wire(armed=[armed]), Data(0.5, b"a"), Data(2.0, b"b"), Fin(3.0))
    assert wire.delivered() == b"a"
    wire.lift(armed, 9.0)
    assert wire.run().got[TO_CLIENT] == [(0.5, b"a"), (9.0, b"b")]
    assert wire.end[TO_CLIENT] == Fin(9.0)


def test_what_it_swallowed_keeps_the_direction_dead_when_it_is_lifted() -> None:
    armed = Armed(Drop().after_seconds(1), TO_CLIENT)
    wire = play(Wire(armed=[armed]), Data(0.5, b"a"), Data(2.0, b"b")).lift(armed, 3.0)
    assert play(wire, Data(4.0, b"c")).delivered() == b"a"


def test_lifted_before_its_time_it_never_acts() -> None:
    armed = Armed(Reset().after_seconds(1), TO_CLIENT)
    wire = Wire(armed=[armed]).lift(armed, 0.5)
    assert play(wire, Data(2.0, b"a")).delivered() == b"a"
    assert wire.end[TO_CLIENT] is None
    assert wire.pipeline.rows[TO_CLIENT] == []


def test_lifted_after_its_time_and_before_its_call_it_never_acts() -> None:
    log = Log()
    armed = Armed(narrow(log).after_seconds(1), TO_CLIENT)
    assert Wire(armed=[armed]).lift(armed, 2.0).run(3.0).delivered() == b""
    assert log.events == []


# In a chain.


def test_times_in_a_chain_add_up() -> None:
    assert row(Reset().after_seconds(1).after_seconds(2).after_seconds(0)).run().end[TO_CLIENT] == Rst(3.0)


def test_behind_a_match_the_time_counts_from_the_match() -> None:
    wire = line(Reset().after_seconds(1).when(b"x"), Data(2.0, b"axb"), Data(2.5, b"c"))
    assert wire.delivered() == b"axbc"
    assert wire.end[TO_CLIENT] == Rst(3.0)


def test_a_match_counts_from_that_time_on() -> None:
    wire = line(Reset().when(b"x").after_seconds(1), Data(0.5, b"ax"), Data(2.0, b"bxc"))
    assert wire.delivered() == b"axbx"
    assert wire.end[TO_CLIENT] == Rst(2.0)


def test_behind_a_mark_in_the_other_direction_the_time_counts_from_the_mark() -> None:
    wire = row(Reset().after_seconds(1).when(b"A", direction="to_server"))
    wire.run(2.0).give(Data(2.0, b"A"), TO_SERVER)
    assert play(wire, Data(2.5, b"a")).delivered() == b"a"
    assert wire.end == {TO_SERVER: Rst(3.0), TO_CLIENT: Rst(3.0)}


def test_no_seconds_behind_a_mark_are_none_although_nothing_is_sent() -> None:
    wire = row(Reset().after_seconds(0).when(b"A", direction="to_server"))
    wire.run(2.0).give(Data(2.0, b"A"), TO_SERVER)
    assert wire.run().end[TO_CLIENT] == Rst(2.0)


@pytest.mark.parametrize(("marked", "ended"), [(0.5, 1.0), (1.0, 1.0), (2.0, 2.0)])
@pytest.mark.parametrize("after", [[1.0], [1.0, 0.0], [0.25, 0.75]], ids=repr)
def test_a_mark_before_that_time_acts_at_that_time(marked: float, ended: float, after: list[float]) -> None:
    fault: Narrowable = Reset().when(b"A", direction="to_server")
    for seconds in after:
        fault = fault.after_seconds(seconds)
    wire = row(fault).run(marked - 0.1).give(Data(marked, b"A"), TO_SERVER)
    assert wire.run().end[TO_CLIENT] == Rst(ended)
    assert wire.delivered(TO_SERVER) == b"A"


def test_a_mark_that_is_on_its_way_waits_for_its_own_time() -> None:
    fault = Reset().when(b"A", direction="to_server").after_seconds(2).after_seconds(1)
    wire = Wire([Delay(6)], [fault]).give(Data(0.0, b"A"), TO_SERVER)
    assert play(wire, Data(5.0, b"a")).delivered() == b"a"
    assert wire.end[TO_CLIENT] == Rst(6.0)


@pytest.mark.parametrize(
    "fault", [Reset().after_seconds(1).times(1), Reset().times(1).after_seconds(1)], ids=repr
)
def test_only_so_many_connections_meet_it(fault: Narrowable) -> None:
    armed = Armed(fault, TO_CLIENT)
    first, second = (Wire(number=number, armed=[armed]) for number in (1, 2))
    assert first.run().end[TO_CLIENT] == Rst(1.0)
    assert play(second, Data(2.0, b"a")).delivered() == b"a"
    assert second.end[TO_CLIENT] is None
    assert armed.fired == 1


@pytest.mark.parametrize("number", [1, 2])
def test_it_waits_on_its_connections_alone(number: int) -> None:
    for fault in (Reset().after_seconds(1).on_connections(1), Reset().on_connections(1).after_seconds(1)):
        assert row(fault, number=number).run().end[TO_CLIENT] == (Rst(1.0) if number == 1 else None)


def test_it_waits_on_chosen_connections_alone() -> None:
    for fault in (Reset().after_seconds(1).sometimes(0.5), Reset().sometimes(0.5).after_seconds(1)):
        wires = [row(fault, number=number, key=("seed",)).run() for number in range(1, 30)]
        assert {str(wire.end[TO_CLIENT]) for wire in wires} == {"None", str(Rst(1.0))}


# The laws of the wire.


waits = st.integers(1, 8).map(lambda quarters: quarters / 4)


def after(faults: st.SearchStrategy[Narrowable]) -> st.SearchStrategy[Narrowable]:
    return narrowed(st.builds(lambda fault, wait: fault.after_seconds(wait), faults, waits))


@given(st.lists(after(shaping), max_size=3), st.lists(streams, max_size=8), ways())
def test_shaping_faults_that_begin_later_keep_every_byte_in_order(
    faults: list[Narrowable], messages: list[bytes], ways: Ways
) -> None:
    for way in ways:
        wire = row(*faults)
        for number, message in enumerate(messages):
            play_at(wire, number / 4, way(message))
        wire.give(Fin(len(messages) / 4)).run()
        assert wire.delivered() == b"".join(messages)
        assert wire.end[TO_CLIENT] is not None
        assert not wire.undelivered


def play_at(wire: Wire, at: float, chunks: list[bytes]) -> None:
    for chunk in chunks:
        wire.run(at).give(Data(at, chunk))


@given(st.lists(after(steady | jitters), max_size=3), st.lists(streams, max_size=8), ways())
def test_the_peer_sees_the_same_however_each_message_is_chunked(
    faults: list[Narrowable], messages: list[bytes], ways: Ways
) -> None:
    seen = []
    for way in ways:
        wire = row(*faults)
        for number, message in enumerate(messages):
            play_at(wire, number / 4, way(message))
        seen.append(wire.run().seen_by_peers())
    assert all(each == seen[0] for each in seen)


# As a value.


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Reset().after_seconds(1.0), "Reset().after_seconds(1.0)"),
        (Drop(3).after_seconds(2).times(1), "Drop(after=3).after_seconds(2).times(1)"),
    ],
)
def test_a_time_prints_like_this(fault: Fault, code: str) -> None:
    assert repr(fault) == code


def test_what_acts_later_must_fire() -> None:
    assert must_fire(Reset().after_seconds(1))
    assert not must_fire(Reset().optional().after_seconds(1))


@pytest.mark.parametrize(
    ("narrowing", "error", "message"),
    [
        (partial(Reset().after_seconds, -1), ValueError, "after_seconds is -1; expected a finite number of"),
        (partial(Reset().after_seconds, float("inf")), ValueError, "after_seconds is inf; expected a finite"),
        (partial(Reset().after_seconds, TEXT), TypeError, "after_seconds is 'soon'; expected a number of"),
    ],
)
def test_a_time_that_is_none_is_refused(
    narrowing: Callable[[], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        narrowing()
    assert str(caught.value).startswith(message)
