"""A row of faults: holds, live faults, wake-up calls, memories, what has fired and how it is told."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire.wire_tools import Wire, answers, beat, hasty, passing, row, stutter, traffic, upper

from pytest_netfixtures._wire.ends import Drop, HalfClose, Reset, Truncate
from pytest_netfixtures._wire.entries import DIRECTIONS, TO_CLIENT, TO_SERVER, Direction
from pytest_netfixtures._wire.events import NEVER, Data, Datagram, Event, Fin, Lifted, Opened, Rst, Wake
from pytest_netfixtures._wire.narrowing import narrow
from pytest_netfixtures._wire.pieces import Slice
from pytest_netfixtures._wire.pipeline import Armed, Fire, Pipeline, Seen, Stage, opposite
from pytest_netfixtures._wire.seen import code_of
from pytest_netfixtures._wire.streams import Delay, Stall

X, Y = Data(1.0, b"x"), Data(2.0, b"y")


# The way of an event.


def test_without_faults_everything_goes_through_as_it_is() -> None:
    wire = row().give(X).give(Data(0.5, b"hello"), TO_SERVER).give(Fin(2.0))
    assert wire.run().delivered() == b"x"
    assert wire.delivered(TO_SERVER) == b"hello"
    assert wire.end == {TO_CLIENT: Fin(2.0), TO_SERVER: None}


def test_a_row_is_applied_left_to_right_and_bytes_count_as_they_reach_a_fault() -> None:
    assert row(stutter, Truncate(3)).give(Data(0.0, b"abc")).run().delivered() == b"aab"
    assert row(Truncate(3), stutter).give(Data(0.0, b"abc")).run().delivered() == b"aabbcc"


def test_delays_of_a_row_add_up() -> None:
    assert row(Delay(1), Delay(2)).give(X).run().got[TO_CLIENT] == [(4.0, b"x")]


def test_each_direction_has_a_row_of_its_own() -> None:
    wire = Wire([upper], [Delay(1)]).give(X).give(X, TO_SERVER).run()
    assert wire.got == {TO_CLIENT: [(2.0, b"x")], TO_SERVER: [(1.0, b"X")]}


def test_the_other_direction_has_a_name() -> None:
    assert [opposite(direction) for direction in DIRECTIONS] == [TO_CLIENT, TO_SERVER]


def test_empty_bytes_go_nowhere() -> None:
    def empty(event: Event, seen: Seen) -> list[Event]:
        return [Data(event.at, b""), Data(NEVER, b"")]

    assert answers(empty, X) == [[]]


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda event, seen: None, "returned None; expected events: `yield` what goes on"),
        (lambda event, seen: [b"x"], "yielded b'x'; expected an event, such as the one it was given"),
        (lambda event, seen: [None], "yielded None; expected an event"),
        (lambda event, seen: [Data(event.at, "x")], r"yielded Data\(at=.*, data='x'\); expected bytes"),  # type: ignore[arg-type]
        (lambda event, seen: [Data(event.at, bytearray(b"x"))], "expected bytes as its data"),  # type: ignore[arg-type]
        (lambda event, seen: [Datagram(event.at, b"x")], "expected Data: a stream has no datagrams"),
    ],
)
def test_what_is_no_event_is_named(made: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        answers(made, X)


# Time and ends.


def test_a_fault_that_turns_time_back_is_corrected() -> None:
    assert [at for at, _ in row(hasty).give(Data(5.0, b"abcd")).run().got[TO_CLIENT]] == [5.0] * 4


def test_datagrams_keep_the_time_that_the_fault_gave_them() -> None:
    def earlier(event: Event, seen: Seen) -> Iterator[Event]:
        if isinstance(event, Datagram):
            yield event.moved(10.0 - seen.events)

    wire = row(earlier)
    for data in (b"1", b"2", b"3"):
        wire.give(Datagram(0.0, data))
    assert wire.run().got[TO_CLIENT] == [(8.0, b"3"), (9.0, b"2"), (10.0, b"1")]


def planned(*ends: Event) -> Any:
    """A fault that plans these ends when the connection opens."""

    def plan(event: Event, seen: Seen) -> list[Event]:
        return list(ends) if isinstance(event, Opened) else [event]

    return plan


def test_an_end_that_lies_ahead_lets_through_what_is_due_before_it() -> None:
    wire = row(planned(Rst(1.5))).give(X).give(Y)
    assert traffic(wire.outs) == [Rst(1.5), X]
    assert wire.run().delivered() == b"x"


def test_what_comes_at_the_time_of_an_end_comes_after_it() -> None:
    wire = row(planned(Rst(1.0))).give(X)
    assert traffic(wire.outs) == [Rst(1.0)]


def test_a_slice_behind_an_end_that_lies_ahead_still_delivers() -> None:
    wire = row(planned(Rst(5.0)), Slice(1, gap=0.5)).give(Data(1.0, b"abc")).run()
    assert wire.got[TO_CLIENT] == [(1.0, b"a"), (1.5, b"b"), (2.0, b"c")]


def test_an_earlier_end_wins_over_a_later_one() -> None:
    wire = row(planned(Rst(9.0)), Truncate(after=1)).give(X).give(Y)
    assert wire.run().end[TO_CLIENT] == Fin(1.0, whole=True)
    assert wire.delivered() == b"x"


@pytest.mark.parametrize("ends", [(Fin(1.0), Rst(3.0)), (Rst(3.0), Fin(1.0))])
def test_nothing_slips_in_between_a_fin_and_a_reset(ends: tuple[Event, ...]) -> None:
    wire = row(planned(*ends)).give(Data(0.5, b"a")).give(Y)
    assert Y not in traffic(wire.outs)
    assert wire.run().end[TO_CLIENT] == Rst(3.0)


def test_after_a_fin_of_this_direction_a_reset_still_passes_and_after_a_reset_nothing() -> None:
    made = answers(passing, Fin(1.0), Data(2.0, b"x"), Rst(3.0), Rst(4.0), Fin(5.0))
    assert made == [[Fin(1.0)], [], [Rst(3.0)], [], []]


def test_after_an_end_of_the_whole_connection_not_even_a_reset_passes() -> None:
    assert answers(passing, Fin(1.0, whole=True), Rst(3.0)) == [[Fin(1.0, whole=True)], []]


# Holds.


def test_what_is_held_stays_in_order_with_everything_behind_it() -> None:
    wire = row(Stall(after=1)).give(Data(1.0, b"abc")).give(Data(2.0, b"d")).give(Rst(3.0))
    assert wire.run().delivered() == b"a"
    assert wire.end[TO_CLIENT] is None
    wire.lift(wire.armed[0], 9.0)
    assert wire.run().got[TO_CLIENT] == [(1.0, b"a"), (9.0, b"bc"), (9.0, b"d")]
    assert wire.end[TO_CLIENT] == Rst(9.0)


def test_later_events_queue_behind_a_hold_and_keep_a_later_time() -> None:
    def hold_one(event: Event, seen: Seen) -> list[Event]:
        return [event.moved(event.at + 8 if seen.events else NEVER)]

    assert answers(hold_one, X, Y, Lifted(5.0)) == [[], [], [Data(5.0, b"x"), Data(10.0, b"y")]]


def test_held_bytes_are_unseen_by_the_faults_behind_and_go_through_them_when_released() -> None:
    wire = row(Stall(), Truncate(2)).give(Data(1.0, b"abc"))
    assert wire.run().delivered() == b""
    wire.lift(wire.armed[0], 5.0)
    assert wire.run().got[TO_CLIENT] == [(5.0, b"ab")]
    assert wire.end[TO_CLIENT] == Fin(5.0, whole=True)


def test_an_end_made_by_a_fault_behind_the_hold_does_not_wait() -> None:
    wire = row(Stall()).give(X)
    wire.add(Reset(), 2.0)
    assert wire.run().end[TO_CLIENT] == Rst(2.0)
    assert wire.delivered() == b""


def test_an_end_made_by_the_fault_that_holds_queues_behind_what_it_holds() -> None:
    def hold_and_end(event: Event, seen: Seen) -> list[Event]:
        return [event.moved(NEVER), Fin(event.at)] if isinstance(event, Data) else []

    assert answers(hold_and_end, X, Lifted(5.0)) == [[], [Data(5.0, b"x"), Fin(5.0)]]


def test_held_bytes_are_counted_for_the_bound_of_the_queue() -> None:
    wire = row(Stall(after=1), Stall()).give(Data(1.0, b"abcd")).give(Data(1.0, b"hi"), TO_SERVER)
    assert [wire.pipeline.held_bytes(direction) for direction in DIRECTIONS] == [0, 4]
    wire.lift(wire.armed[0], 2.0)
    assert wire.pipeline.held_bytes(TO_CLIENT) == 4
    wire.lift(wire.armed[1], 2.0)
    assert wire.pipeline.held_bytes(TO_CLIENT) == 0


def test_a_hold_lifted_in_the_row_goes_into_the_next_hold() -> None:
    wire = row(Stall(), Stall()).give(X).give(Fin(2.0))
    first, second = wire.armed
    wire.lift(first, 3.0)
    assert wire.run().delivered() == b""
    wire.lift(second, 4.0)
    assert wire.run().got[TO_CLIENT] == [(4.0, b"x")]
    assert wire.end[TO_CLIENT] == Fin(4.0)


# Live faults.


def test_a_fault_added_to_an_open_connection_goes_last_and_is_told_that_it_is_open_now() -> None:
    heard: list[Event] = []

    def log(event: Event, seen: Seen) -> list[Event]:
        heard.append(event)
        return [event]

    wire = row(upper).give(Data(1.0, b"a"))
    wire.add(log, 1.5)
    wire.give(Data(2.0, b"b"))
    assert heard == [Opened(1.5), Data(2.0, b"B")]


def test_offsets_of_an_added_fault_count_from_then() -> None:
    wire = row().give(Data(1.0, b"abcde"))
    wire.add(Truncate(after=2), 1.5)
    assert wire.give(Data(2.0, b"fghij")).run().delivered() == b"abcdefg"
    assert [(fire.effect, fire.offset) for fire in wire.fires] == [("FIN after byte 7", 7)]


def test_bytes_in_a_hold_have_not_passed_an_added_fault() -> None:
    wire = row(Stall()).give(Data(1.0, b"abcde"))
    wire.add(Truncate(after=2), 1.5)
    assert wire.lift(wire.armed[0], 2.0).run().delivered() == b"ab"
    assert [fire.offset for fire in wire.fires] == [0, 2]


def test_what_waits_in_the_schedule_does_not_meet_an_added_fault() -> None:
    wire = row(Delay(5)).give(Data(1.0, b"a"))
    wire.add(upper, 2.0)
    assert wire.give(Data(2.0, b"b")).run().delivered() == b"aB"


def test_what_comes_after_lifting_does_not_overtake_what_is_on_its_way() -> None:
    wire = row(Delay(5)).give(Data(1.0, b"a"))
    wire.lift(wire.armed[0], 2.0).give(Data(2.0, b"b")).give(Fin(2.0))
    assert wire.run().got[TO_CLIENT] == [(6.0, b"a"), (6.0, b"b")]
    assert wire.end[TO_CLIENT] == Fin(6.0)


def test_an_added_fault_ends_the_stream_now_whatever_is_still_on_its_way() -> None:
    wire = row(Delay(5)).give(Data(1.0, b"a"))
    wire.add(Reset(), 2.0)
    assert wire.run().end[TO_CLIENT] == Rst(2.0)
    assert wire.delivered() == b""


def test_what_a_late_fault_held_does_not_overtake_what_was_on_its_way_before_it() -> None:
    wire = row(Delay(1)).give(Data(0.0, b"a"))
    late = wire.add(Stall(), 0.25)
    wire.give(Data(0.5, b"b")).give(Fin(0.5)).lift(late, 0.75)
    assert wire.run().got[TO_CLIENT] == [(1.0, b"a"), (1.0, b"b")]
    assert wire.end[TO_CLIENT] == Fin(1.0)


def test_an_end_that_a_late_fault_makes_does_not_wait_for_what_is_on_its_way() -> None:
    wire = row(Delay(1)).give(Data(0.0, b"a"))
    wire.add(Reset(), 0.25)
    assert wire.run().delivered() == b""
    assert wire.end[TO_CLIENT] == Rst(0.25, whole=True)


def test_a_lifted_fault_is_forgotten_when_what_it_let_out_has_arrived() -> None:
    wire = row()
    for at in range(50):
        wire.lift(wire.add(Delay(0.5), at), at + 0.25).give(Data(at + 0.25, b"x"))
    assert len(wire.pipeline.rows[TO_CLIENT]) <= 1
    assert wire.run().delivered() == b"x" * 50


def test_delays_that_come_one_after_the_other_do_not_add_up_and_are_forgotten() -> None:
    wire = row()
    for at in range(50):
        added = wire.add(Delay(100), at)
        wire.give(Data(at, b"x")).lift(added, at)
    assert len(wire.pipeline.rows[TO_CLIENT]) == 1
    assert wire.run().got[TO_CLIENT] == [(at + 100, b"x") for at in range(50)]


def test_a_peers_end_does_not_overtake_what_a_forgotten_fault_let_out() -> None:
    wire = row()
    first = wire.add(Delay(8), 0.0)
    wire.give(X).lift(first, 1.0).add(Slice(1), 1.5)
    assert [stage.code for stage in wire.pipeline.rows[TO_CLIENT] if isinstance(stage, Stage)] == [
        "Slice(size=1)"
    ]
    assert wire.give(Fin(2.0)).run().delivered() == b"x"
    assert wire.end[TO_CLIENT] == Fin(9.0)


def test_what_has_ended_stays_ended_when_the_fault_is_lifted() -> None:
    wire = row(HalfClose(after=1)).give(Data(1.0, b"ab"))
    wire.lift(wire.armed[0], 2.0)
    wire.give(Data(3.0, b"c")).give(Rst(4.0))
    assert traffic(wire.outs) == [Data(1.0, b"a"), Fin(1.0), Rst(4.0)]


def test_an_end_that_lies_ahead_stays_when_the_fault_is_lifted() -> None:
    wire = row(planned(Rst(5.0)))
    wire.lift(wire.armed[0], 1.0)
    assert wire.give(Y).give(Data(6.0, b"z")).run().delivered() == b"y"
    assert wire.end[TO_CLIENT] == Rst(5.0)


def test_faults_are_lifted_by_identity() -> None:
    wire = row(Drop(after=1), Drop(after=1))
    again = wire.add(Delay(1), 0.0)
    same = wire.add(Delay(1), 0.0)
    wire.lift(same, 0.5).lift(Armed(Delay(1), TO_CLIENT), 0.5)
    assert wire.give(X).run().got[TO_CLIENT] == [(2.0, b"x")]
    assert again.fired == 1
    assert same.fired == 0


def test_a_fault_is_lifted_once() -> None:
    wire = row(Stall()).give(X)
    wire.lift(wire.armed[0], 2.0).lift(wire.armed[0], 3.0)
    assert traffic(wire.outs) == [Data(2.0, b"x")]


def test_lifting_yields_what_the_fault_keeps() -> None:
    def keep(event: Event, seen: Seen) -> Iterator[Event]:
        kept = seen.memory.setdefault("kept", [])
        if isinstance(event, Data):
            kept.append(event.data)
        elif isinstance(event, Lifted):
            yield Data(event.at, b"".join(kept))

    assert answers(keep, X, Y, Lifted(5.0), Data(6.0, b"z")) == [
        [],
        [],
        [Data(5.0, b"xy")],
        [Data(6.0, b"z")],
    ]


def test_what_is_held_goes_on_even_when_the_fault_stays() -> None:
    def hold(event: Event, seen: Seen) -> Iterator[Event]:
        if isinstance(event, Lifted):
            seen.stay()
        else:
            yield event.moved(NEVER)

    wire = row(hold).give(X)
    wire.lift(wire.armed[0], 3.0)
    assert wire.pipeline.held_bytes(TO_CLIENT) == 0
    wire.give(Data(4.0, b"yz"))
    assert wire.pipeline.held_bytes(TO_CLIENT) == 2
    assert wire.run().delivered() == b"x"


@pytest.mark.parametrize("fault", [passing, upper, stutter], ids=code_of)
def test_a_function_that_passes_signals_on_can_be_lifted(fault: Any) -> None:
    assert answers(fault, X, Lifted(2.0), Data(3.0, b"z"))[1:] == [[], [Data(3.0, b"z")]]


def test_drop_keeps_a_connection_dead_on_which_it_has_swallowed_a_byte_and_no_other() -> None:
    armed = Armed(Drop(), TO_CLIENT)
    touched, untouched = Wire(number=1, armed=[armed]), Wire(number=2, armed=[armed])
    touched.give(X)
    for wire in (touched, untouched):
        wire.lift(armed, 2.0).give(Data(3.0, b"z")).give(Fin(4.0))
    assert touched.run().seen_by_peers()[1] == (b"", "NoneType")
    assert untouched.run().seen_by_peers()[1] == (b"z", "Fin")


def test_a_dead_direction_leaves_the_other_one_alone() -> None:
    wire = row(Drop()).give(X)
    wire.lift(wire.armed[0], 2.0).give(Y, TO_SERVER)
    assert wire.run().delivered(TO_SERVER) == b"y"


# Wake-up calls.


def test_a_wake_up_call_comes_back_to_its_fault_alone() -> None:
    heard: dict[str, list[Event]] = {"before": [], "behind": []}

    def log(name: str, event: Event, seen: Seen) -> list[Event]:
        heard[name].append(event)
        return [event]

    wire = row(functools.partial(log, "before"), beat, functools.partial(log, "behind")).give(Data(0.5, b"x"))
    assert wire.run().got[TO_CLIENT] == [(0.5, b"x"), (1.0, b"!"), (2.0, b"!"), (3.0, b"!")]
    assert heard["before"] == [Opened(0.0), Data(0.5, b"x")]
    assert [type(event) for event in heard["behind"]] == [Opened, Data, Data, Data, Data]


def test_what_a_wake_up_call_brings_goes_through_the_rest_of_the_row() -> None:
    assert row(beat, Delay(5), Truncate(after=2)).run().got[TO_CLIENT] == [(6.0, b"!"), (7.0, b"!")]


def test_a_wake_up_call_of_a_lifted_fault_is_ignored() -> None:
    wire = row(beat).run(1.5)
    wire.lift(wire.armed[0], 1.5)
    assert wire.run().delivered() == b"!"


def test_a_wake_up_call_that_only_passes_signals_on_ends() -> None:
    def ask_once(event: Event, seen: Seen) -> list[Event]:
        return [Wake(1.0)] if isinstance(event, Opened) else [event]

    assert row(ask_once).give(X).run().delivered() == b"x"


def test_a_wake_up_call_due_at_once_comes_behind_the_traffic_of_its_turn() -> None:
    def call(event: Event, seen: Seen) -> Iterator[Event]:
        if isinstance(event, Data):
            yield Wake(event.at)
            yield event
        elif isinstance(event, Wake):
            yield Data(event.at, b"!")

    wire = row(stutter, call).give(Data(0.0, b"ab"))
    assert [out.stage is not None for out in wire.outs] == [False, False, False, True, True]
    assert wire.run().delivered() == b"aabb!!"


# Memories.


def test_the_memories_of_a_fault() -> None:
    def remember(event: Event, seen: Seen) -> Iterator[Event]:
        if isinstance(event, Data):
            for memory in (seen.memory, seen.connection, seen.shared):
                memory[event.data] = memory.get(event.data, 0) + 1
            sizes = (seen.memory, seen.connection, seen.shared)
            yield Data(event.at, bytes(48 + sum(memory.values()) for memory in sizes))

    armed = [Armed(remember, direction) for direction in DIRECTIONS]
    first, second = Wire(number=1, armed=armed), Wire(number=2, armed=armed)
    first.give(X).give(X, TO_SERVER)
    second.give(X).give(X)
    # Memory, connection, shared: this direction, both directions of this connection, all connections.
    assert first.run().seen_by_peers() == [(b"121", "NoneType"), (b"111", "NoneType")]
    assert second.run().delivered() == b"112" + b"223"


def test_different_faults_share_nothing() -> None:
    def count(event: Event, seen: Seen) -> Iterator[Event]:
        if isinstance(event, Data):
            seen.connection["n"] = seen.connection.get("n", 0) + 1
            yield Data(event.at, b"%d" % seen.connection["n"])

    twice = [functools.partial(count), functools.partial(count)]
    assert row(*twice).give(X).run().delivered() == b"1"
    assert Wire(twice[:1], twice[1:]).give(X, TO_SERVER).give(X).run().delivered() == b"1"


def test_equal_faults_of_one_row_keep_memories_of_their_own_in_both_directions() -> None:
    def count(event: Event, seen: Seen) -> Iterator[Event]:
        if isinstance(event, Data):
            seen.connection["n"] = seen.connection.get("n", 0) + 1
            yield Data(event.at, b"%d" % seen.connection["n"])

    armed = [Armed(count, direction, ordinal) for direction in DIRECTIONS for ordinal in (0, 1)]
    wire = Wire(armed=armed).give(X, TO_SERVER).give(X)
    assert wire.run().seen_by_peers() == [(b"1", "NoneType"), (b"2", "NoneType")]


def test_what_is_held_has_not_left() -> None:
    times: list[float] = []

    def hold(event: Event, seen: Seen) -> list[Event]:
        times.append(seen.last_left)
        return [event.moved(NEVER)]

    row(hold).give(X).give(Y)
    assert times == [-NEVER] * 3


def test_what_a_fault_has_seen() -> None:
    told: list[tuple[int, int, float, int, Direction]] = []

    def look(event: Event, seen: Seen) -> Iterator[Event]:
        told.append((seen.bytes, seen.events, seen.last_left, seen.number, seen.direction))
        yield event.moved(event.at + 1)

    wire = row(look, number=7).give(Data(1.0, b"abc")).give(Data(2.0, b"de")).give(Fin(3.0))
    assert told[1:] == [
        (0, 0, -NEVER, 7, TO_CLIENT),
        (3, 1, 2.0, 7, TO_CLIENT),
        (5, 2, 3.0, 7, TO_CLIENT),
    ]
    assert wire.pipeline.fed == {TO_SERVER: 0, TO_CLIENT: 5}


def test_equal_faults_that_are_not_the_same_share_nothing() -> None:
    def count(event: Event, seen: Seen) -> Iterator[Event]:
        if isinstance(event, Data):
            seen.connection["n"] = seen.connection.get("n", 0) + 1
            yield Data(event.at, b"%d" % seen.connection["n"])

    one, other = narrow(count), narrow(count)
    assert one == other
    assert Wire([one], [other]).give(X, TO_SERVER).give(X).run().delivered() == b"1"


# Decisions.


@pytest.mark.parametrize(
    "other",
    [
        {"key": ("node", "other")},
        {"number": 2},
        {"direction": TO_SERVER},
        {"ordinal": 1},
        {"fault": Delay(0, jitter=0.5)},
    ],
    ids=repr,
)
def test_decisions_differ_by_connection_direction_fault_and_ordinal(other: dict[str, Any]) -> None:
    assert _chance() == _chance()
    assert _chance() != _chance(**other)


def _chance(
    key: tuple[str, ...] = ("node", "proxy"),
    number: int = 1,
    direction: Direction = TO_CLIENT,
    ordinal: int = 0,
    fault: Any = passing,
) -> float:
    return Pipeline(number, key).arm(Armed(fault, direction, ordinal)).seen.decisions.chance(0)


def test_a_fault_is_known_by_its_code_in_every_process() -> None:
    class Callable:
        def __call__(self, event: Event, seen: Seen) -> list[Event]:
            return [event]

    assert code_of(upper) == "upper"
    assert code_of(Delay(1)) == "Delay(seconds=1)"
    assert "0x" not in code_of(Callable()) + code_of(functools.partial(upper))


# What has fired, and how it is told.


def test_streams_are_counted_by_connection_and_told_once_each() -> None:
    armed = Armed(Delay(1), TO_CLIENT)
    wires = [Wire(number=number, armed=[armed]).give(X).give(Y).run() for number in (1, 2)]
    assert armed.fired == 2
    assert [wire.fires for wire in wires] == [
        [Fire(TO_CLIENT, "Delay(seconds=1)", "late by 1 s from byte 0", 0)]
    ] * 2


def test_the_identity_of_a_connection_may_differ_from_its_number() -> None:
    armed = Armed(Delay(1), TO_CLIENT)
    for identity in (101, 102):
        pipeline = Pipeline(1, identity=identity)
        pipeline.arm(armed)
        pipeline.feed(TO_CLIENT, X)
    assert armed.connections == {101, 102}


def test_datagrams_are_counted_and_told_one_by_one() -> None:
    wire = row(Drop().when(b"1"))
    for data in (b"0", b"1", b"2", b"3"):
        wire.give(Datagram(0.0, data))
    assert wire.armed[0].fired == 2
    assert [(fire.effect, fire.offset) for fire in wire.run().fires] == [
        ("datagram 2 lost", 2),
        ("datagram 3 lost", 3),
    ]
    assert wire.pipeline.fed[TO_CLIENT] == 4


def test_datagrams_of_a_fault_that_was_added_are_numbered_from_the_first_of_the_connection() -> None:
    wire = row(Stall()).give(Datagram(0.0, b"held"))
    wire.lift(wire.armed[0], 0.5).give(Datagram(1.0, b"a"))
    wire.add(Drop(), 1.5)
    assert wire.give(Datagram(2.0, b"b")).run().fires[-1].effect == "datagram 2 lost"


def test_a_fault_that_changes_nothing_has_not_fired() -> None:
    wire = row(Delay(0), passing, Slice(9), Truncate(9)).give(X).give(Fin(2.0)).run()
    assert [armed.fired for armed in wire.armed] == [0, 0, 0, 0]
    assert wire.fires == []


@pytest.mark.parametrize(
    ("fault", "effect", "offset"),
    [
        (Delay(0.25), "late by 0.25 s from byte 0", 0),
        (Slice(2), "in 3 pieces, the last 0 s late, from byte 0", 0),
        (Slice(2, gap=0.1), "in 3 pieces, the last 0.2 s late, from byte 0", 0),
        (Stall(3), "held from byte 3", 3),
        (Stall(3, 2), "late by 2 s from byte 3", 3),
        (Drop(3), "lost from byte 3", 3),
        (Drop(5), "FIN lost from byte 5", 5),
        (Truncate(3), "FIN after byte 3", 3),
        (HalfClose(at=3), "FIN after byte 3", 3),
        (Reset(), "RST after byte 0", 0),
        (Reset(5), "RST after byte 5", 5),
        (Reset(3).when(b"a"), "RST after byte 4", 4),
        (upper, "changed from byte 0", 0),
        (beat, "bytes added at byte 5", 5),
    ],
    ids=code_of,
)
def test_what_a_fault_did_is_told_in_words(fault: Any, effect: str, offset: int) -> None:
    wire = row(fault).give(Data(0.0, b"abcde")).give(Fin(0.5 if fault is not beat else 9.0)).run()
    assert [(fire.effect, fire.offset) for fire in wire.fires] == [(effect, offset)]


def test_an_end_carries_the_news_that_explain_it() -> None:
    wire = row(Reset(after=1), Delay(1)).give(Data(1.0, b"ab"))
    told = [(out.event, [fire.fault for fire in out.fires]) for out in wire.outs]
    assert told == [
        (Wake(1.0), ["Delay(seconds=1)"]),
        (Data(2.0, b"a"), []),
        (Rst(2.0), ["Reset(after=1)"]),
    ]


def test_news_of_an_end_that_a_later_fault_swallows_are_told_all_the_same() -> None:
    wire = row(Reset(after=1), Drop(after=1)).give(Data(1.0, b"ab")).run()
    assert [fire.effect for fire in wire.fires] == ["RST after byte 1", "RST lost from byte 1"]
    assert wire.end[TO_CLIENT] is None


def test_news_pass_a_lifted_fault() -> None:
    wire = row(Reset(after=1), Delay(5)).give(Data(0.5, b"a"), TO_SERVER)
    wire.lift(wire.armed[1], 0.6).give(Data(1.0, b"ab")).run()
    assert [fire.effect for fire in wire.fires] == ["RST after byte 1"]


def test_bytes_carry_the_names_of_the_faults_that_touched_them_also_through_a_hold() -> None:
    wire = row(upper, passing, Delay(1), Stall()).give(X)
    wire.lift(wire.armed[3], 9.0)
    assert [out.faults for out in wire.outs if isinstance(out.event, Data)] == [
        ("upper", "Delay(seconds=1)", "Stall()")
    ]


@given(st.lists(st.sampled_from([Delay(1), Slice(1), Stall(2), Truncate(3), upper, beat]), max_size=4))
def test_each_fault_is_told_at_most_once_on_a_connection(faults: list[Any]) -> None:
    wire = row(*faults)
    for data in (b"ab", b"cd", b"ef"):
        wire.give(Data(0.0, data))
    wire.run()
    assert len(wire.fires) == sum(armed.fired for armed in wire.armed)
    assert len(wire.fires) <= len(faults)
