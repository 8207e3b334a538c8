"""Faults on a share of the connections, decided once for each; and every narrowing of every built-in fault as a value."""

from __future__ import annotations

import doctest
import pickle
import re
from collections.abc import Callable, Iterator
from functools import partial
from math import sqrt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire.wire_tools import FACE, Wire, beat, row, upper

from pytest_netfixtures._wire.datagrams import Loss
from pytest_netfixtures._wire.decisions import Decisions
from pytest_netfixtures._wire.ends import Drop, Reset
from pytest_netfixtures._wire.entries import TO_CLIENT, TO_SERVER
from pytest_netfixtures._wire.events import Data, Datagram, Event, Fin, Lifted, Opened
from pytest_netfixtures._wire.given import must_fire
from pytest_netfixtures._wire.narrowing import Narrowable, narrow
from pytest_netfixtures._wire.pipeline import Armed, Fault, Seen
from pytest_netfixtures._wire.streams import Delay

TEXT: Any = "often"
NAMES = {**FACE, "re": re, "upper": upper, "beat": beat}


def chosen(fault: Fault, count: int, *key: object) -> list[int]:
    """The numbers of the connections on which a fault loses what is sent."""
    armed = Armed(fault, TO_CLIENT)
    wires = [Wire(number=number, key=key, armed=[armed]) for number in range(1, count + 1)]
    return [wire.pipeline.number for wire in wires if not wire.give(Data(0.0, b"a")).run().delivered()]


def within_four_sigma(hits: int, count: int, rate: float) -> None:
    assert abs(hits - count * rate) < 4 * sqrt(count * rate * (1 - rate))


# Which connections.


@pytest.mark.parametrize("rate", [0.05, 0.5, 0.9])
def test_a_share_of_the_connections_is_chosen(rate: float) -> None:
    within_four_sigma(len(chosen(Drop().sometimes(rate), 1000, "seed")), 1000, rate)


def test_these_connections_are_chosen_on_every_machine_and_in_every_release() -> None:
    assert chosen(Drop().sometimes(0.3), 20, "seed") == [4, 11, 17, 19]


def test_another_seed_chooses_others() -> None:
    fault = Drop().sometimes(0.5)
    assert chosen(fault, 64, 1) == chosen(fault, 64, 1)
    assert len({tuple(chosen(fault, 64, seed)) for seed in range(20)}) == 20


def test_a_rate_of_1_chooses_every_connection() -> None:
    assert chosen(Drop().sometimes(1), 50) == list(range(1, 51))


def test_a_connection_is_chosen_whole_or_not_at_all() -> None:
    fault = narrow(upper).sometimes(0.5)
    results = []
    for number in range(1, 51):
        wire = row(fault, number=number, key=("seed",))
        for at, data in enumerate((b"ab", b"c", b"def")):
            wire.give(Data(float(at), data))
        results.append(wire.run().delivered())
    assert set(results) == {b"abcdef", b"ABCDEF"}


def test_it_does_not_matter_in_which_order_connections_come() -> None:
    armed = Armed(Drop().sometimes(0.5), TO_CLIENT)
    wires = [Wire(number=number, key=("seed",), armed=[armed]) for number in range(50, 0, -1)]
    for wire in wires:
        wire.give(Data(0.0, b"a"))
    assert sorted(w.pipeline.number for w in wires if not w.run().delivered()) == chosen(
        armed.fault, 50, "seed"
    )


def test_the_question_is_asked_once() -> None:
    asked = []

    class Counting(Decisions):
        def chance(self, offset: int, salt: str = "") -> float:
            asked.append((offset, salt))
            return 0.0

    seen = Seen(1, TO_CLIENT, Counting(), {}, {})
    fault = Drop().sometimes(0.5)
    for event in (Opened(0.0), Data(0.0, b"a"), Data(1.0, b"b"), Lifted(2.0)):
        assert list(fault(event, seen)) == []
    assert asked == [(0, "Drop().sometimes(0.5)")]


def test_the_same_fault_added_again_chooses_the_same_connections() -> None:
    def delivered(number: int) -> bytes:
        wire = row(number=number, key=("seed",))
        for at in (1.0, 3.0):
            armed = wire.add(narrow(upper).sometimes(0.5), at)
            wire.give(Data(at, b"a")).lift(armed, at + 1)
        return wire.run().delivered()

    assert {delivered(number) for number in range(1, 30)} == {b"aa", b"AA"}


def test_where_it_is_not_chosen_the_fault_hears_nothing() -> None:
    heard = []

    def listen(event: Event, seen: Seen) -> Iterator[Event]:
        heard.append(seen.number)
        yield event

    numbers = range(1, 30)
    for number in numbers:
        armed = Armed(narrow(listen).sometimes(0.5), TO_CLIENT)
        wire = Wire(number=number, key=("seed",), armed=[armed])
        assert wire.give(Data(0.0, b"a")).run().delivered() == b"a"
        wire.lift(armed, 1.0)
    assert 0 < len(set(heard)) < len(numbers)
    assert all(heard.count(number) == 3 for number in set(heard))


def test_wake_up_calls_reach_the_fault_where_it_is_chosen() -> None:
    results = {row(narrow(beat).sometimes(0.5), number=n, key=(1,)).run().delivered() for n in range(1, 30)}
    assert results == {b"", b"!!!"}


# In a chain.


def test_several_in_a_chain_decide_each_by_itself() -> None:
    once = set(chosen(Drop().sometimes(0.5), 1000, "seed"))
    twice = set(chosen(Drop().sometimes(0.5).sometimes(0.5), 1000, "seed"))
    within_four_sigma(len(twice), 1000, 0.25)
    assert len(once - twice) > 100


def test_chosen_connections_are_counted_and_others_are_not() -> None:
    armed = Armed(Drop().sometimes(0.3).times(2), TO_CLIENT)
    wires = [Wire(number=number, key=("seed",), armed=[armed]) for number in range(1, 51)]
    results = [wire.give(Data(0.0, b"a")).run().delivered() for wire in wires]
    assert results.count(b"") == armed.fired == 2
    assert results[:2] != [b"", b""]


def test_those_that_may_act_so_often_act_on_chosen_connections_alone() -> None:
    which = chosen(Drop().times(3).sometimes(0.5), 50, "seed")
    assert len(which) == 3
    assert which != [1, 2, 3]


def test_a_mark_in_the_other_direction_is_found_for_chosen_connections() -> None:
    def end(number: int, fault: Fault) -> object:
        wire = row(fault, number=number, key=("seed",)).give(Data(0.0, b"COMMIT"), TO_SERVER)
        wire.give(Data(1.0, b"done"))
        return wire.run().delivered(), wire.delivered(TO_SERVER)

    marked = Reset().when(b"COMMIT", direction="to_server").sometimes(0.5)
    inside = Reset().sometimes(0.5).when(b"COMMIT", direction="to_server")
    for fault in (marked, inside):
        assert {end(n, fault) for n in range(1, 30)} == {(b"", b"COMMIT"), (b"done", b"COMMIT")}


def test_the_choice_of_a_session_has_nothing_to_do_with_the_fate_of_its_first_datagram() -> None:
    def first_is_lost(number: int) -> bool | None:
        wire = row(Loss(0.5).sometimes(0.5), number=number, key=("seed",))
        for _ in range(20):
            wire.give(Datagram(0.0, b"x"))
        fires = wire.run().fires
        return fires[0].offset == 0 if fires else None

    fates = [first_is_lost(number) for number in range(1, 1001)]
    within_four_sigma(fates.count(None), 1000, 0.5)
    within_four_sigma(fates.count(True), 1000 - fates.count(None), 0.5)


# As values: every narrowing of every fault that a user can import.


def example(kind: type[Narrowable]) -> Narrowable:
    """The fault that its docstring shows."""
    sources = (shown.source for shown in doctest.DocTestParser().get_examples(kind.__doc__ or ""))
    return next(made for source in sources if isinstance(made := _value(source), kind))


def _value(source: str) -> object:
    try:
        return eval(source, dict(NAMES))
    except SyntaxError:
        return None


KINDS = [each for each in FACE.values() if isinstance(each, type) and issubclass(each, Narrowable)]
FAULTS = [*map(example, KINDS), narrow(upper), narrow(beat)]

Narrowing = Callable[[Narrowable], Narrowable]
NARROWINGS: list[Narrowing] = [
    lambda fault: fault.on_connections(1, 3),
    lambda fault: fault.times(2),
    lambda fault: fault.sometimes(0.5),
    lambda fault: fault.after_seconds(1.5),
    lambda fault: fault.when(b"x", 2),
    lambda fault: fault.when(re.compile(rb"\d+"), direction="to_server", window=9),
    lambda fault: fault.optional(),
]


def chain(fault: Narrowable, narrowings: list[Narrowing]) -> Narrowable:
    for each in narrowings:
        fault = each(fault)
    return fault


def check_value(fault: Narrowable) -> None:
    assert eval(repr(fault), dict(NAMES)) == fault
    again = pickle.loads(pickle.dumps(fault))
    assert again == fault
    assert {again: 1}[fault] == 1
    assert repr(again) == repr(fault)


def test_there_are_faults_to_look_at() -> None:
    assert len(KINDS) >= 12


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
def test_each_narrowing_of_each_fault_prints_pickles_and_hashes_by_value(fault: Narrowable) -> None:
    check_value(fault)
    narrowed = [chain(fault, [each]) for each in NARROWINGS]
    for each in narrowed:
        check_value(each)
        assert repr(each).startswith(repr(fault) + ".")
    assert len({fault, *narrowed}) == len(NARROWINGS) + 1


@given(st.sampled_from(FAULTS), st.lists(st.sampled_from(NARROWINGS), max_size=5))
def test_every_chain_of_narrowings_prints_pickles_and_hashes_by_value(
    fault: Narrowable, narrowings: list[Narrowing]
) -> None:
    check_value(chain(fault, narrowings))


@given(st.sampled_from(FAULTS), st.lists(st.sampled_from(NARROWINGS), max_size=5))
def test_where_a_fault_fits_it_fits_narrowed_too(fault: Narrowable, narrowings: list[Narrowing]) -> None:
    narrowed = chain(fault, narrowings)
    assert [narrowed.unfit(each) for each in ("tcp", "udp")] == [fault.unfit(e) for e in ("tcp", "udp")]


NEVER_HERE: list[Narrowing] = [
    lambda fault: fault.on_connections(2),
    lambda fault: fault.after_seconds(1e6),
    lambda fault: fault.when(b"never"),
    lambda fault: fault.when(b"never", direction="to_server"),
]
some = st.lists(st.sampled_from(NARROWINGS), max_size=3)
STREAM: list[Event] = [Data(0.0, b"x12xx"), Data(1.5, b"xx34"), Fin(3.0)]
ROW: list[Event] = [Datagram(0.0, b"x12x"), Datagram(1.5, b"x"), Datagram(2.0, b"xx")]


@given(st.sampled_from(FAULTS), some, st.sampled_from(NEVER_HERE), some)
def test_wherever_in_a_chain_something_never_happens_everything_goes_through(
    fault: Narrowable, first: list[Narrowing], never: Narrowing, then: list[Narrowing]
) -> None:
    narrowed = chain(fault, [*first, never, *then])
    for events in (STREAM, ROW):
        wire = row(narrowed, key=("seed",))
        for event in events:
            wire.give(event, TO_SERVER).run(event.at).give(event)
        wire.run(1000.0)
        assert wire.got[TO_CLIENT] == [(e.at, e.data) for e in events if isinstance(e, (Data, Datagram))]
        assert not wire.fires


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Reset(after=3).sometimes(0.3), "Reset(after=3).sometimes(0.3)"),
        (Delay(1).sometimes(1).times(2), "Delay(seconds=1).sometimes(1).times(2)"),
        (narrow(upper).sometimes(0.5).sometimes(0.25), "narrow(upper).sometimes(0.5).sometimes(0.25)"),
    ],
)
def test_a_share_prints_like_this(fault: Fault, code: str) -> None:
    assert repr(fault) == code


def test_a_function_within_a_function_narrows_but_does_not_pickle() -> None:
    def inner(event: Event, seen: Seen) -> Iterator[Event]:
        yield event

    fault = narrow(inner).sometimes(0.5)
    assert fault == narrow(inner).sometimes(0.5)
    with pytest.raises((AttributeError, pickle.PicklingError)):
        pickle.dumps(fault)


@pytest.mark.parametrize(
    ("fault", "must"),
    [
        (Reset().sometimes(0.99), False),
        (Reset().sometimes(0.5).times(1).when(b"x"), False),
        (Reset().sometimes(1), True),
        (Loss(0.5).sometimes(1), False),
        (Reset().optional().sometimes(1), False),
    ],
    ids=repr,
)
def test_what_acts_sometimes_need_not_fire(fault: Fault, must: bool) -> None:
    assert must_fire(fault) is must


@pytest.mark.parametrize(
    ("narrowing", "error", "message"),
    [
        (partial(Reset().sometimes, 0), ValueError, "sometimes is 0; expected a number above 0 up to 1"),
        (partial(Reset().sometimes, 30), ValueError, "sometimes is 30; expected a number above 0 up to 1"),
        (partial(Reset().sometimes, TEXT), TypeError, "sometimes is 'often'; expected a number, such as 0.1"),
    ],
)
def test_a_rate_that_is_none_is_refused(
    narrowing: Callable[[], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        narrowing()
    assert str(caught.value).startswith(message)
