"""Where and when a fault acts: connections, counts, marks in either direction, and how all of it prints."""

from __future__ import annotations

import functools
import pickle
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire.wire_tools import (
    FACE,
    FUNCTIONS,
    Ways,
    Wire,
    answers,
    beat,
    cuts,
    losing,
    narrowed,
    passing,
    row,
    shaping,
    upper,
    ways,
)

from pytest_netfixtures._wire.ends import Drop, HalfClose, Reset, Truncate
from pytest_netfixtures._wire.entries import TO_CLIENT, TO_SERVER
from pytest_netfixtures._wire.events import NEVER, Data, Datagram, Event, Fin, Lifted, Opened, Rst, Wake
from pytest_netfixtures._wire.given import faults_of, must_fire
from pytest_netfixtures._wire.narrowing import (
    Narrowable,
    Narrowed,
    check_fault,
    narrow,
)
from pytest_netfixtures._wire.pieces import Slice
from pytest_netfixtures._wire.pipeline import Armed, Fault, Seen
from pytest_netfixtures._wire.profiles import UMTS
from pytest_netfixtures._wire.streams import Delay, Stall

OPEN = Opened(0.0)
BOTH = (None, TO_SERVER, TO_CLIENT)
everything = narrowed(shaping | cuts | losing | st.sampled_from(FUNCTIONS).map(narrow), BOTH)
NAMES = {**FACE, "re": re, "narrow": narrow, **{each.__name__: each for each in FUNCTIONS}}


def got(fault: Fault, *chunks: bytes, number: int = 1) -> bytes:
    """What the client gets of these chunks on one connection."""
    wire = row(fault, number=number)
    for chunk in chunks:
        wire.give(Data(0.0, chunk))
    return wire.run().delivered()


def connections(armed: Armed, count: int, data: bytes = b"hello") -> list[bytes]:
    """What the clients of so many connections get, one after the other."""
    wires = [Wire(number=number, armed=[armed]) for number in range(1, count + 1)]
    return [wire.give(Data(0.0, data)).run().delivered() for wire in wires]


NUMBER: Any = 3
CLASS: Any = Delay
TEXT: Any = "up"


class Log:
    """A fault that writes down what it is told, and lets everything through."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event, seen: Seen) -> Iterator[Event]:
        self.events.append(event)
        yield event


# Printing, comparing, pickling.


@given(everything)
def test_a_narrowed_fault_prints_as_the_code_that_made_it(fault: Narrowable) -> None:
    assert eval(repr(fault), dict(NAMES)) == fault


@given(everything)
def test_a_narrowed_fault_pickles_and_hashes_by_value(fault: Narrowable) -> None:
    again = pickle.loads(pickle.dumps(fault))
    assert again == fault
    assert {again: 1}[fault] == 1


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Reset(after=3).on_connections(1, 2), "Reset(after=3).on_connections(1, 2)"),
        (Delay(1).times(3).optional(), "Delay(seconds=1).times(3).optional()"),
        (Reset().when(b"COMMIT"), "Reset().when(b'COMMIT')"),
        (Reset().when(b"x", 2, "to_server"), "Reset().when(b'x', nth=2, direction='to_server')"),
        (
            Reset().when(re.compile(rb"\d", re.I), window=1),
            r"Reset().when(re.compile(b'\\d', re.IGNORECASE), window=1)",
        ),
        (narrow(upper).times(1), "narrow(upper).times(1)"),
        (narrow(functools.partial(upper)), "narrow(functools.partial(<function upper>))"),
    ],
)
def test_a_narrowing_prints_like_this(fault: Fault, code: str) -> None:
    assert repr(fault) == code


@pytest.mark.parametrize(
    ("narrowing", "error", "message"),
    [
        (
            lambda: Reset().on_connections(),
            ValueError,
            "on_connections() has no number; expected at least one",
        ),
        (lambda: Reset().on_connections(1, 0), ValueError, "on_connections is 0; expected 1 or more"),
        (lambda: Reset().on_connections(TEXT), TypeError, "on_connections is 'up'; expected a whole number"),
        (lambda: Reset().times(0), ValueError, "times is 0; expected 1 or more connections or datagrams"),
        (lambda: Reset().times(True), TypeError, "times is True; expected a whole number of connections"),
        (lambda: Reset().when(b""), ValueError, "pattern is b''; expected at least one byte"),
        (lambda: Reset().when(b"x", nth=0), ValueError, "nth is 0; expected 1 or more matches"),
        (
            lambda: Reset().when(b"x", direction=TEXT),
            ValueError,
            "direction is 'up'; expected one of None, 'to_server', 'to_client'",
        ),
        (lambda: Reset().when(re.compile(b"x")), ValueError, "window is None; expected the longest match"),
        (
            lambda: narrow(NUMBER),
            TypeError,
            "function is 3; expected a fault such as Delay(0.2), or a function of",
        ),
        (lambda: narrow(CLASS), TypeError, "function is the class "),
        (lambda: check_fault("to_client", None), TypeError, "to_client is None; expected a fault"),
        (
            lambda: faults_of("to_client", 3),
            TypeError,
            "to_client is 3; expected a fault, or a list or tuple of",
        ),
        (
            lambda: faults_of("to_client", [Delay]),
            TypeError,
            "to_client is the class Delay; expected a fault: call it, Delay(",
        ),
        (
            lambda: faults_of("to_client", {Delay(1)}),
            TypeError,
            "to_client is {Delay(seconds=1)}; expected a fault",
        ),
        (
            lambda: faults_of("to_client", UMTS),
            TypeError,
            "to_client is profiles.UMTS; expected a fault, or a list or tuple of faults: what has both directions is un",
        ),
    ],
)
def test_a_wrong_argument_names_field_and_value_and_what_was_expected(
    narrowing: Callable[[], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        narrowing()
    assert str(caught.value).startswith(message)


def test_one_fault_or_a_sequence_of_faults_is_taken() -> None:
    assert (
        faults_of("x", Delay(1)) == faults_of("x", [Delay(1)]) == faults_of("x", (Delay(1),)) == (Delay(1),)
    )
    assert faults_of("x", upper) == (upper,)
    assert faults_of("x", []) == ()


def test_a_fault_is_optional_wherever_in_the_chain_that_was_said() -> None:
    assert not must_fire(Reset().optional().times(1).when(b"x"))
    assert not must_fire(narrow(upper).optional())
    assert must_fire(Reset().times(1))
    assert must_fire(upper)


def test_what_is_narrowed_already_stays_as_it_is() -> None:
    fault = Reset().when(b"x", direction="to_server")
    assert narrow(fault) is fault


def test_what_is_only_a_part_of_a_narrowing_says_so() -> None:
    with pytest.raises(TypeError, match="Narrowed does not say how it is printed"):
        repr(Narrowed(Delay(1)))


# on_connections, optional, narrow.


@pytest.mark.parametrize("number", range(1, 5))
def test_a_fault_acts_on_its_connections_alone(number: int) -> None:
    fault = Drop().on_connections(1, 3)
    assert got(fault, b"hello", number=number) == (b"" if number in (1, 3) else b"hello")


def test_on_another_connection_the_fault_hears_nothing() -> None:
    log = Log()
    assert answers(narrow(log).on_connections(2), OPEN, Data(0.0, b"x"), Lifted(1.0)) == [
        [],
        [Data(0.0, b"x")],
        [],
    ]
    assert log.events == []


@pytest.mark.parametrize("fault", [narrow(upper), narrow(upper).optional(), narrow(upper).on_connections(1)])
def test_a_function_of_the_user_acts_wherever_a_fault_does(fault: Fault) -> None:
    assert got(fault, b"he", b"llo") == b"HELLO"


# times.


@pytest.mark.parametrize(
    "fault", [Drop(), Reset(at=0), Truncate(), Drop().when(b"h"), Drop().optional(), Stall()]
)
def test_a_fault_acts_on_so_many_connections_and_then_lets_everything_through(fault: Narrowable) -> None:
    armed = Armed(fault.times(2), TO_CLIENT)
    first, second, third, fourth = connections(armed, 4)
    assert len(first) == len(second) < 5
    assert third == fourth == b"hello"
    assert armed.fired == 2


def test_a_connection_on_which_the_fault_does_nothing_does_not_count() -> None:
    armed = Armed(Drop(after=3).times(1), TO_CLIENT)
    wires = [Wire(number=number, armed=[armed]) for number in (1, 2, 3)]
    texts = [b"abc", b"abcdef", b"abcdef"]
    results = [wire.give(Data(0.0, text)).run().delivered() for wire, text in zip(wires, texts, strict=True)]
    assert results == [b"abc", b"abc", b"abcdef"]


def test_a_connection_on_which_it_has_begun_goes_on_after_the_last_one_is_counted() -> None:
    armed = Armed(narrow(upper).times(2), TO_CLIENT)
    first, second, third = (Wire(number=number, armed=[armed]) for number in (1, 2, 3))
    for wire in (first, second, third, first, second, third):
        wire.give(Data(0.0, b"a"))
    assert [wire.run().delivered() for wire in (first, second, third)] == [b"AA", b"AA", b"aa"]


def test_datagrams_are_counted_one_by_one() -> None:
    armed = Armed(Drop().times(2), TO_CLIENT)
    wire = Wire(armed=[armed])
    for data in (b"1", b"2", b"3", b"4"):
        wire.give(Datagram(0.0, data))
    assert [data for _, data in wire.run().got[TO_CLIENT]] == [b"3", b"4"]
    assert armed.fired == 2


def test_a_used_up_fault_is_not_woken_up_by_a_mark_in_the_other_direction() -> None:
    armed = Armed(Reset().when(b"COMMIT", direction="to_server").times(1), TO_CLIENT)
    wires = [Wire(number=number, armed=[armed]) for number in (1, 2)]
    for wire in wires:
        wire.give(Data(0.0, b"COMMIT"), TO_SERVER).run().give(Data(0.0, b"done"))
    assert [wire.run().delivered() for wire in wires] == [b"", b"done"]


def test_a_used_up_fault_gets_no_wake_up_call() -> None:
    armed = Armed(narrow(beat).times(1), TO_CLIENT)
    first, second = (Wire(number=number, armed=[armed]) for number in (1, 2))
    assert first.run().delivered() == b"!!!"
    assert second.run().delivered() == b""


def test_a_dropped_connection_stays_dead_when_a_fault_of_some_connections_is_lifted() -> None:
    armed = Armed(Drop().times(1).optional(), TO_CLIENT)
    wires = [Wire(number=number, armed=[armed]) for number in (1, 2)]
    for wire in wires:
        wire.give(Data(0.0, b"a")).lift(armed, 1.0).give(Data(2.0, b"b"))
    assert [wire.run().delivered() for wire in wires] == [b"", b"ab"]


# when, in the direction of the fault.


@pytest.mark.parametrize(
    ("fault", "chunks", "delivered"),
    [
        (Drop().when(b"bc"), [b"abcd"], b"abc"),
        (Drop().when(b"bc"), [b"ab", b"cd"], b"abc"),
        (Drop().when(b"bc"), [b"a", b"b", b"c", b"d"], b"abc"),
        (Drop(2).when(b"bc"), [b"abcdefg"], b"abcde"),
        (Drop(2).when(b"bc"), [b"abcd", b"efg"], b"abcde"),
        (Drop().when(b"x"), [b"abcd"], b"abcd"),
        (Drop().when(b"a", nth=3), [b"aab", b"aac"], b"aaba"),
        (Drop().when(b"aa", nth=2), [b"aaaaa"], b"aaaa"),
        (Drop().when(b"c", direction=TO_CLIENT), [b"abcd"], b"abc"),
        (Drop().when(re.compile(rb"\d+;"), window=4), [b"ab1", b"2;3;"], b"ab12;"),
        (narrow(upper).when(b"b"), [b"abc", b"d"], b"abCD"),
        (narrow(upper).when(b"c").when(b"b"), [b"cabdc", b"ef"], b"cabdcEF"),
        (narrow(upper).when(b"b").when(b"b"), [b"abcbd"], b"abcbD"),
        (Truncate(2).when(b"b").on_connections(1), [b"abcdef"], b"abcd"),
    ],
)
def test_a_fault_acts_from_the_end_of_the_match_on(
    fault: Fault, chunks: list[bytes], delivered: bytes
) -> None:
    assert got(fault, *chunks) == delivered


@pytest.mark.parametrize("end", [Truncate(), HalfClose(), Reset(), Truncate(0), Reset(at=0)], ids=repr)
def test_an_end_follows_the_match_at_once(end: Narrowable) -> None:
    assert got(end.when(b"bc"), b"abcd") == b"abc"
    assert got(end.when(b"bc"), b"ab", b"cd") == b"abc"


def test_the_fault_is_told_that_it_is_open_at_the_match_and_offsets_count_from_there() -> None:
    log = Log()
    answers(narrow(log).when(b"b"), OPEN, Data(1.0, b"a"), Data(2.0, b"bcd"), Data(3.0, b"e"), Fin(4.0))
    assert log.events == [Opened(2.0), Data(2.0, b"cd"), Data(3.0, b"e"), Fin(4.0)]


def test_before_the_match_the_fault_hears_nothing() -> None:
    log = Log()
    answers(narrow(log).when(b"x"), OPEN, Data(1.0, b"a"), Fin(2.0), Lifted(3.0))
    assert log.events == []


def test_a_stall_at_a_match_counts_from_the_match() -> None:
    fault = Stall(seconds=5).when(b"b")
    assert answers(fault, OPEN, Data(2.0, b"abc")) == [[], [Data(2.0, b"ab"), Data(7.0, b"c")]]


def test_a_fault_that_changes_nothing_after_the_match_has_not_fired() -> None:
    armed = Armed(Slice(9).when(b"b"), TO_CLIENT)
    assert connections(armed, 1, b"abc") == [b"abc"]
    assert armed.fired == 0


def test_a_wake_up_call_asked_for_at_the_match_comes_and_leaves_the_chunk_whole() -> None:
    wire = row(narrow(beat).when(b"b")).give(Data(0.5, b"abc")).run()
    assert wire.got[TO_CLIENT] == [(0.5, b"abc"), (1.5, b"!"), (2.5, b"!"), (3.5, b"!")]


def test_after_a_match_in_a_datagram_the_next_one_is_the_first_that_is_touched() -> None:
    wire = row(Drop().when(b"b"))
    for data in (b"a", b"xbx", b"c"):
        wire.give(Datagram(0.0, data))
    assert [data for _, data in wire.run().got[TO_CLIENT]] == [b"a", b"xbx"]


def test_what_a_fault_holds_after_a_match_goes_on_when_it_is_lifted() -> None:
    fault = Stall().when(b"b")
    assert answers(fault, OPEN, Data(1.0, b"abc"), Lifted(5.0)) == [[], [Data(1.0, b"ab")], [Data(5.0, b"c")]]


# when, in the other direction.


def test_the_request_passes_and_nothing_of_its_answer() -> None:
    wire = row(Reset().when(b"COMMIT", direction="to_server"))
    wire.give(Data(0.0, b"welcome")).give(Data(1.0, b"COM"), TO_SERVER).give(Data(2.0, b"MIT\n"), TO_SERVER)
    wire.run(2.0).give(Data(2.0, b"done"))
    assert wire.run().delivered(TO_SERVER) == b"COMMIT\n"
    assert wire.delivered() == b"welcome"
    assert wire.end == {TO_SERVER: Rst(2.0), TO_CLIENT: Rst(2.0)}


@given(ways())
def test_the_request_gets_through_and_nothing_of_the_answer_does(ways: Ways) -> None:
    for way in ways:
        wire = row(Reset().when(b"COMMIT", direction="to_server"))
        for chunk in way(b"BEGIN; COMMIT"):
            wire.give(Data(0.0, chunk), TO_SERVER)
        wire.give(Data(0.0, b"done"))
        assert wire.run().delivered(TO_SERVER) == b"BEGIN; COMMIT"
        assert wire.delivered() == b""


def test_what_came_together_with_the_mark_gets_through_too() -> None:
    wire = row(Reset().when(b"COMMIT", direction="to_server"))
    wire.give(Data(0.0, b"Q COMMIT\0"), TO_SERVER).give(Data(0.0, b"done"))
    assert wire.run().delivered(TO_SERVER) == b"Q COMMIT\0"
    assert wire.delivered() == b""


def test_the_mark_is_set_before_the_matching_bytes_are_sent_on() -> None:
    wire = row(Drop().when(b"COMMIT", direction="to_server"))
    wire.give(Data(1.0, b"COMMIT"), TO_SERVER).give(Data(1.0, b"done"))
    assert wire.run().delivered() == b""
    assert wire.delivered(TO_SERVER) == b"COMMIT"


def test_the_mark_stands_where_the_bytes_are_sent_on_behind_all_faults_of_their_direction() -> None:
    wire = Wire([Delay(5)], [Drop().when(b"GO", direction="to_server")])
    wire.add(Delay(1), 0.0, TO_SERVER)
    wire.give(Data(0.0, b"GO"), TO_SERVER).give(Data(5.5, b"early")).give(Data(6.0, b"late"))
    assert wire.run().got[TO_CLIENT] == [(5.5, b"early")]
    assert wire.got[TO_SERVER] == [(6.0, b"GO")]


def test_bytes_that_are_lost_on_their_way_are_no_match() -> None:
    wire = Wire([Drop(after=3)], [Drop().when(b"COMMIT", direction="to_server")])
    wire.give(Data(0.0, b"COMMIT"), TO_SERVER).give(Data(0.0, b"hello"))
    assert wire.run().delivered() == b"hello"


@pytest.mark.parametrize("first", [b"A", b"B"])
def test_two_marks_in_the_other_direction_must_both_be_found(first: bytes) -> None:
    log = Log()
    wire = row(narrow(log).when(b"A", direction="to_server").when(b"B", direction="to_server"))
    for at, data in ((1.0, first), (2.0, b"AB")):
        wire.give(Data(at, data), TO_SERVER).give(Data(at, b"x")).run()
    assert log.events == [Opened(2.0), Data(2.0, b"x")]


def test_a_mark_in_each_direction_must_be_found() -> None:
    log = Log()
    wire = row(narrow(log).when(b"A", direction="to_server").when(b"B"))
    wire.give(Data(1.0, b"A"), TO_SERVER).give(Data(2.0, b"aBc")).give(Data(3.0, b"d")).run()
    assert log.events == [Opened(2.0), Data(2.0, b"c"), Data(3.0, b"d")]


def test_the_call_that_tells_of_a_mark_does_not_reach_the_fault() -> None:
    log = Log()
    wire = row(narrow(log).times(3).when(b"A", direction="to_server").on_connections(1))
    wire.give(Data(1.0, b"A A"), TO_SERVER).run()
    assert log.events == [Opened(1.0)]


def test_lifting_before_the_mark_makes_nothing_happen() -> None:
    armed = Armed(Reset().when(b"A", direction="to_server"), TO_CLIENT)
    wire = Wire(armed=[armed]).lift(armed, 1.0).give(Data(2.0, b"A"), TO_SERVER).give(Data(3.0, b"x"))
    assert wire.run().delivered() == b"x"
    assert wire.pipeline.rows == {TO_SERVER: [], TO_CLIENT: []}


def test_lifting_is_told_to_a_fault_whose_mark_lies_ahead() -> None:
    log = Log()
    armed = Armed(narrow(log).when(b"A", direction="to_server"), TO_CLIENT)
    wire = Wire([Delay(5)], armed=[armed]).give(Data(0.0, b"A"), TO_SERVER).lift(armed, 1.0)
    assert log.events == [Opened(5.0), Lifted(1.0)]
    assert wire.run().delivered(TO_SERVER) == b"A"


def test_a_mark_in_a_datagram_is_seen_too() -> None:
    wire = row(Drop().when(b"A", direction="to_server"))
    wire.give(Datagram(0.0, b"xAx"), TO_SERVER).give(Datagram(1.0, b"y"))
    assert wire.run().got[TO_CLIENT] == []
    assert wire.got[TO_SERVER] == [(0.0, b"xAx")]


def test_the_same_fault_in_both_directions_looks_in_its_own_way_once() -> None:
    fault = Drop().when(b"A", direction="to_server")
    wire = Wire([fault], [fault]).give(Data(0.0, b"xAb"), TO_SERVER).give(Data(1.0, b"y"))
    assert wire.run().delivered(TO_SERVER) == b"xA"
    assert wire.delivered() == b""


def test_a_mark_found_for_the_other_direction_does_not_open_the_fault_in_its_own() -> None:
    fault = Drop().when(b"A", direction="to_server")
    wire = row(fault).give(Data(0.0, b"A"), TO_SERVER)
    wire.add(fault, 1.0, TO_SERVER)
    assert wire.give(Data(2.0, b"b"), TO_SERVER).run().delivered(TO_SERVER) == b"Ab"


# What the fault inside sees.


def test_the_fault_inside_has_counts_and_memories_of_its_own() -> None:
    seens: list[tuple[int, int]] = []

    def note(event: Event, seen: Seen) -> Iterator[Event]:
        if isinstance(event, Data):
            seens.append((seen.bytes, seen.events))
            seen.shared["mine"] = seen.connection["mine"] = seen.memory["mine"] = 1
        yield event

    armed = Armed(narrow(note).times(5).when(b"c").on_connections(1), TO_CLIENT)
    wire = Wire(armed=[armed])
    for data in (b"ab", b"cd", b"ef"):
        wire.give(Data(0.0, data))
    assert seens == [(0, 0), (1, 1)]
    assert "mine" not in armed.shared


def test_a_hold_of_a_narrowed_function_is_a_hold() -> None:
    def hold(event: Event, seen: Seen) -> Iterator[Event]:
        yield event.moved(NEVER)

    fault = narrow(hold).on_connections(1)
    assert answers(fault, Data(0.0, b"x"), Fin(0.0), Lifted(3.0)) == [[], [], [Data(3.0, b"x"), Fin(3.0)]]


def test_passing_signals_on_does_no_harm() -> None:
    wire = row(narrow(passing).times(1).on_connections(1))
    assert wire.give(Data(0.0, b"x")).run().delivered() == b"x"
    assert not wire.fires
    assert not any(isinstance(out.event, (Opened, Wake)) for out in wire.outs)
