"""Bandwidth, Coalesce and SlowClose as tables: when which bytes arrive, and the law of a slow line as a property."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire.wire_tools import FACE, Piece, Wire, row, traffic

from pytest_netfixtures._wire.ends import Truncate
from pytest_netfixtures._wire.entries import TO_CLIENT
from pytest_netfixtures._wire.events import Data, Datagram, Event, Fin, Rst, Wake
from pytest_netfixtures._wire.line import Meter
from pytest_netfixtures._wire.narrowing import Narrowable
from pytest_netfixtures._wire.pieces import Coalesce
from pytest_netfixtures._wire.pipeline import Armed, Fault
from pytest_netfixtures._wire.streams import Bandwidth, Delay, SlowClose

A, B = Data(1.0, b"abc"), Data(2.0, b"de")


def one_by_one(data: bytes, first: float, gap: float) -> list[Piece]:
    """Each byte alone."""
    return [(first + gap * number, data[number : number + 1]) for number in range(len(data))]


# What goes in, the pieces that arrive, and the end.
TABLE: list[tuple[Fault, list[Event], list[Piece], Event | None]] = [
    # Bandwidth: piece by piece, the end behind them.
    (Bandwidth(4), [A], one_by_one(b"abc", 1.25, 0.25), None),
    (Bandwidth(4), [A, B], one_by_one(b"abc", 1.25, 0.25) + one_by_one(b"de", 2.25, 0.25), None),
    (Bandwidth(2), [A, B], one_by_one(b"abcde", 1.5, 0.5), None),
    (Bandwidth(2), [A, Fin(1.0)], one_by_one(b"abc", 1.5, 0.5), Fin(2.5)),
    (Bandwidth(2), [A, Rst(1.75)], one_by_one(b"abc", 1.5, 0.5), Rst(2.5)),
    (Bandwidth(2), [A, Fin(9.0)], one_by_one(b"abc", 1.5, 0.5), Fin(9.0)),
    (Bandwidth(2), [Fin(1.0)], [], Fin(1.0)),
    (Bandwidth(2), [A, Fin(1.0), Rst(2.0)], one_by_one(b"abc", 1.5, 0.5), Rst(2.5)),
    # A burst goes at once, and comes back while the line is idle.
    (Bandwidth(2, burst=2), [A], [(1.0, b"ab"), (1.5, b"c")], None),
    (Bandwidth(2, burst=3), [A, B], [(1.0, b"abc"), (2.0, b"de")], None),
    (Bandwidth(2, burst=3), [A, Data(1.5, b"de")], [(1.0, b"abc"), (1.5, b"d"), (2.0, b"e")], None),
    (Bandwidth(2, burst=9), [A, Fin(1.0)], [(1.0, b"abc")], Fin(1.0)),
    (
        Bandwidth(1, burst=2),
        [A, Data(5.0, b"defg")],
        [(1.0, b"ab"), (2.0, b"c"), (5.0, b"de"), (6.0, b"f"), (7.0, b"g")],
        None,
    ),
    # Pieces begin at multiples of 20 ms of the line.
    (Bandwidth(128), [Data(0.0, b"abcde")], [(0.015625, b"ab"), (0.03125, b"cd"), (0.0390625, b"e")], None),
    (Bandwidth(128), [Data(0.0, b"a"), Data(1.0, b"bcd")], [(2**-7, b"a"), (1 + 2**-7, b"b"), (1 + 3 * 2**-7, b"cd")], None),
    # A datagram stays in one piece.
    (Bandwidth(2), [Datagram(1.0, b"abc"), Datagram(1.0, b"de")], [(2.5, b"abc"), (3.5, b"de")], None),
    (Bandwidth(2, burst=3), [Datagram(1.0, b"abc"), Datagram(1.0, b"de")], [(1.0, b"abc"), (2.0, b"de")], None),
    (Bandwidth(2), [Datagram(1.0, b"")], [(1.0, b"")], None),
    # Coalesce: what comes within a second of the first byte is one piece.
    (Coalesce(1), [A], [(2.0, b"abc")], None),
    (Coalesce(1), [A, Data(1.5, b"de")], [(2.0, b"abcde")], None),
    (Coalesce(1), [A, Data(1.5, b"d"), Data(1.9, b"e")], [(2.0, b"abcde")], None),
    (Coalesce(1), [A, Data(2.5, b"de")], [(2.0, b"abc"), (3.5, b"de")], None),
    (Coalesce(0), [A, B], [(1.0, b"abc"), (2.0, b"de")], None),
    # As soon as `size` bytes are there they go.
    (Coalesce(9, size=5), [A, B], [(2.0, b"abcde")], None),
    (Coalesce(9, size=3), [A, B], [(1.0, b"abc"), (11.0, b"de")], None),
    (Coalesce(9, size=2), [A, B], [(1.0, b"ab"), (2.0, b"cd"), (11.0, b"e")], None),
    (Coalesce(9, size=1), [A], [(1.0, b"a"), (1.0, b"b"), (1.0, b"c")], None),
    # A call for an earlier wait does not end a later one.
    (Coalesce(1, size=5), [A, Data(1.5, b"defg")], [(1.5, b"abcde"), (2.5, b"fg")], None),
    (Coalesce(1, size=4), [A, Data(1.5, b"d"), Data(1.75, b"ef")], [(1.5, b"abcd"), (2.75, b"ef")], None),
    # Before an end comes all that waits.
    (Coalesce(1), [A, Fin(1.5)], [(1.5, b"abc")], Fin(1.5)),
    (Coalesce(1), [A, Rst(1.5)], [(1.5, b"abc")], Rst(1.5)),
    (Coalesce(1), [A, Fin(2.5)], [(2.0, b"abc")], Fin(2.5)),
    (Coalesce(1), [Fin(2.5)], [], Fin(2.5)),
    # SlowClose: the end alone is late.
    (SlowClose(1), [A, Fin(1.0)], [(1.0, b"abc")], Fin(2.0)),
    (SlowClose(1), [A, Rst(1.5)], [(1.0, b"abc")], Rst(2.5)),
    (SlowClose(1), [Fin(1.0), Rst(1.5)], [], Rst(2.5)),
    (SlowClose(0), [A, Fin(1.0)], [(1.0, b"abc")], Fin(1.0)),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "given", "got", "end"), TABLE, ids=lambda each: str(each)[:70])
def test_events_in_and_what_arrives_when(
    fault: Fault, given: list[Event], got: list[Piece], end: Event | None
) -> None:
    wire = play(row(fault), given).run()
    assert (wire.got[TO_CLIENT], wire.end[TO_CLIENT]) == (got, end)


def play(wire: Wire, events: Iterable[Event]) -> Wire:
    for event in events:
        wire.run(event.at).give(event)
    return wire


# Before anything is carried out: a fault meets events of the future when a delay stands before it.


@pytest.mark.parametrize("late", [0, 3])
@pytest.mark.parametrize(
    ("fault", "times"),
    [
        (Bandwidth(2), one_by_one(b"abcde", 1.5, 0.5)),
        (Bandwidth(4), one_by_one(b"abc", 1.25, 0.25) + one_by_one(b"de", 2.25, 0.25)),
        (Coalesce(0.5), [(1.5, b"abc"), (2.5, b"de")]),
        (Coalesce(1.5), [(2.5, b"abcde")]),
        (Coalesce(1), [(2.0, b"abc"), (3.0, b"de")]),
    ],
)
def test_times_are_those_of_the_events_and_not_of_the_calls(
    fault: Fault, times: list[Piece], late: float
) -> None:
    wire = row(Delay(late), fault).give(A).give(B)
    assert wire.run().got[TO_CLIENT] == [(at + late, data) for at, data in times]


def test_what_waits_for_the_line_cannot_be_overtaken_by_an_end_that_came_with_it() -> None:
    wire = row(Bandwidth(1), SlowClose(1)).give(A).give(Fin(1.0))
    assert wire.run().got[TO_CLIENT] == one_by_one(b"abc", 2.0, 1.0)
    assert wire.end[TO_CLIENT] == Fin(5.0)


def test_a_cut_behind_a_slow_line_comes_with_its_byte() -> None:
    wire = row(Bandwidth(1), Truncate(after=2)).give(A).run()
    assert wire.got[TO_CLIENT] == one_by_one(b"ab", 2.0, 1.0)
    assert wire.end[TO_CLIENT] == Fin(3.0, whole=True)


# Lifted.


@pytest.mark.parametrize("fault", [Bandwidth(2), Coalesce(5)])
def test_what_waits_goes_on_at_once_when_the_fault_is_lifted(fault: Fault) -> None:
    wire = play(row(), [])
    armed = wire.add(fault, 0.0)
    play(wire, [A, Fin(1.0)] if isinstance(fault, Bandwidth) else [A]).run(1.75)
    wire.lift(armed, 1.75).give(Data(2.0, b"d")).give(Fin(3.0))
    at_once = [(at, data) for at, data in wire.run().got[TO_CLIENT] if at >= 1.75]
    rest = [(1.75, b"bc")] if isinstance(fault, Bandwidth) else [(1.75, b"abc"), (2.0, b"d")]
    assert at_once == rest
    assert wire.end[TO_CLIENT] == (Fin(1.75) if isinstance(fault, Bandwidth) else Fin(3.0))
    assert wire.pipeline.held_bytes(TO_CLIENT) == 0


@pytest.mark.parametrize("fault", [Bandwidth(2), Coalesce(5)])
def test_what_is_still_to_come_does_not_come_earlier_because_a_fault_is_lifted(fault: Fault) -> None:
    wire = row(Delay(5))
    armed = wire.add(fault, 0.0)
    wire.give(A).lift(armed, 2.0)
    assert wire.run().got[TO_CLIENT] == [(6.0, b"abc")]


def test_datagrams_on_a_slow_line_and_a_late_end_keep_their_times_when_it_is_lifted() -> None:
    line = row(Bandwidth(2)).give(Datagram(1.0, b"abcd"))
    late = row(SlowClose(5)).give(Fin(1.0))
    assert line.lift(line.armed[0], 1.5).run().got[TO_CLIENT] == [(3.0, b"abcd")]
    assert late.lift(late.armed[0], 1.5).run().end[TO_CLIENT] == Fin(6.0)


@pytest.mark.parametrize("fault", [Bandwidth(2), Coalesce(5), SlowClose(1)])
def test_what_is_on_its_way_does_not_meet_a_fault_that_is_added(fault: Fault) -> None:
    wire = row(Delay(5)).give(A).give(Fin(1.0))
    wire.add(fault, 2.0)
    assert wire.run().got[TO_CLIENT] == [(6.0, b"abc")]
    assert wire.end[TO_CLIENT] == Fin(6.0)


# What is kept counts, and how it is told.


def test_what_waits_counts_as_waiting() -> None:
    wire = row(Bandwidth(2), Coalesce(9).optional()).give(Data(0.0, b"abcdef"))
    assert wire.pipeline.held_bytes(TO_CLIENT) == 6
    wire.run(0.5)
    assert [stage.seen.held for stage in wire.pipeline._stages(TO_CLIENT)] == [5, 1]
    assert wire.run().pipeline.held_bytes(TO_CLIENT) == 0


def test_offsets_that_are_told_count_from_the_start_of_the_connection() -> None:
    wire = row(Coalesce(9)).give(Data(0.0, b"abc"))
    wire.add(SlowClose(1), 1.0)
    wire.give(Data(1.0, b"de")).give(Fin(2.0)).run()
    assert [(fire.effect, fire.offset) for fire in wire.fires] == [
        ("held from byte 0", 0),
        ("FIN late by 1 s from byte 5", 5),
    ]


@pytest.mark.parametrize(
    ("fault", "events", "effect"),
    [
        (Bandwidth(2), [A], "held from byte 0"),
        (Bandwidth(2, burst=2), [A], "held from byte 2"),
        (Bandwidth(2, burst=5), [A, B, Data(2.0, b"fghi")], "held from byte 7"),
        (Bandwidth(2), [Datagram(1.0, b"abc")], "datagram 0 late by 1.5 s"),
        (Coalesce(1), [A, B], "held from byte 0"),
        (Coalesce(1, size=3), [A, B], "held from byte 3"),
        (Coalesce(1, size=2), [A], "held from byte 2"),
        (SlowClose(0.5), [A, Fin(1.0)], "FIN late by 0.5 s from byte 3"),
    ],
)
def test_what_a_fault_has_done_is_told_once(fault: Fault, events: list[Event], effect: str) -> None:
    wire = play(row(fault), events).run()
    assert [fire.effect for fire in wire.fires] == [effect]


@pytest.mark.parametrize(
    ("fault", "events"),
    [
        (Bandwidth(2, burst=3), [A, Fin(1.0)]),
        (Bandwidth(2), [Fin(1.0)]),
        (Coalesce(1, size=3), [A, Fin(1.0)]),
        (SlowClose(1), [A]),
        (SlowClose(0), [A, Fin(1.0)]),
    ],
)
def test_a_fault_that_changed_nothing_has_not_fired(fault: Fault, events: list[Event]) -> None:
    wire = play(row(fault), events).run()
    assert (wire.fires, wire.armed[0].fired) == ([], 0)


@pytest.mark.parametrize("fault", [Bandwidth(2), Coalesce(1)])
def test_what_was_kept_before_the_proxy_forgot_is_still_told_as_held(fault: Fault) -> None:
    wire = row(fault).give(A)
    wire.armed[0].forget()
    wire.run()
    assert [fire.effect for fire in wire.fires] == ["held from byte 0", "held from byte 0"]


def test_bytes_that_wait_arrive_when_the_fault_has_fired_often_enough_elsewhere() -> None:
    armed = Armed(Coalesce(1).times(1), TO_CLIENT)
    one, two = Wire(number=1, armed=[armed]), Wire(number=2, armed=[armed])
    one.give(A)
    two.give(A)
    assert (one.run().got[TO_CLIENT], two.run().got[TO_CLIENT]) == ([(2.0, b"abc")], [(1.0, b"abc")])


@pytest.mark.parametrize("fault", [Bandwidth(2), Coalesce(0.5), SlowClose(0.5)])
def test_they_can_be_narrowed_like_all_others(fault: Narrowable) -> None:
    narrowed = fault.when(b"b").on_connections(1).optional()
    wire = play(row(narrowed), [A, Fin(1.0)]).run()
    assert (
        wire.got[TO_CLIENT] == [(1.0, b"ab"), (wire.got[TO_CLIENT][-1][0], b"c")]
        or wire.delivered() == b"abc"
    )
    assert wire.fires
    assert play(row(narrowed, number=2), [A, Fin(1.0)]).run().got[TO_CLIENT] == [(1.0, b"abc")]


# The law of a slow line.

rates = st.sampled_from([0.5, 1, 3, 10, 60, 100, 1000, 12345.6, 1e6])
bursts = st.sampled_from([0, 1, 7, 100])
sendings = st.lists(
    st.tuples(st.integers(0, 8).map(lambda n: n / 8), st.integers(1, 50)), min_size=1, max_size=8
)


@given(rates, bursts, sendings)
def test_no_window_has_more_bytes_than_the_line_can_carry(
    rate: float, burst: int, sending: list[tuple[float, int]]
) -> None:
    wire, sent, at = row(Bandwidth(rate, burst)), b"", 0.0
    for gap, size in sending:
        at += gap
        sent += bytes(range(size))
        wire.run(at).give(Data(at, bytes(range(size))))
    got = wire.run().got[TO_CLIENT]
    assert b"".join(data for _, data in got) == sent
    keeps_the_law(got, rate, burst)
    assert got[-1][0] - sending[0][0] >= (len(sent) - burst) / rate - 1e-9


def keeps_the_law(got: Sequence[Piece], rate: float, burst: int) -> None:
    for first, (start, _) in enumerate(got):
        size = 0
        for at, data in got[first:]:
            size += len(data)
            assert size <= rate * (at - start) + burst + Meter(rate, burst).piece + 1e-6


@given(rates, bursts, st.integers(1, 200))
def test_a_line_is_as_fast_as_it_is_said_to_be(rate: float, burst: int, size: int) -> None:
    wire = row(Bandwidth(rate, burst)).give(Data(0.0, bytes(size))).run()
    assert wire.got[TO_CLIENT][-1][0] == pytest.approx(max(0.0, (size - burst) / rate))


@given(rates, bursts, sendings, st.integers(0, 255))
def test_connections_that_share_a_line_do_not_carry_more_together(
    rate: float, burst: int, sending: list[tuple[float, int]], choice: int
) -> None:
    armed = Armed(Bandwidth(rate, burst, shared=True), TO_CLIENT)
    wires, at = [Wire(number=number, armed=[armed]) for number in (1, 2)], 0.0
    for turn, (gap, size) in enumerate(sending):
        at += gap
        for wire in wires:
            wire.run(at)
        wires[choice >> turn & 1].give(Data(at, bytes(size)))
    got = sorted(piece for wire in wires for piece in wire.run().got[TO_CLIENT])
    assert sum(len(data) for _, data in got) == sum(size for _, size in sending)
    keeps_the_law(got, rate, burst)


def test_nobody_waits_behind_all_that_another_connection_has() -> None:
    armed = Armed(Bandwidth(8, shared=True), TO_CLIENT)
    wires = [Wire(number=number, armed=[armed]) for number in (1, 2)]
    wires[0].give(Data(0.0, bytes(80)))
    wires[1].give(Data(0.0, b"!"))
    in_turn(wires, until=12.0)
    assert wires[1].got[TO_CLIENT] == [(0.25, b"!")]
    assert wires[0].got[TO_CLIENT][-1][0] == 81 / 8


def test_a_narrowed_line_is_still_shared_with_new_connections_after_the_proxy_forgot() -> None:
    armed = Armed(Bandwidth(8, shared=True).optional(), TO_CLIENT)
    old = Wire(number=1, armed=[armed]).give(Data(0.0, b"!")).run(0.0)
    armed.forget()
    wires = [old, Wire(number=2, armed=[armed])]
    for wire in wires:
        wire.give(Data(1.0, bytes(8)))
    in_turn(wires, until=5.0)
    assert max(wire.got[TO_CLIENT][-1][0] for wire in wires) == 1 + 16 / 8


def in_turn(wires: list[Wire], until: float) -> None:
    """As an engine does: what is due first is carried out first."""
    for step in range(int(until * 8) + 1):
        for wire in wires:
            wire.run(step / 8)


def test_connections_that_do_not_share_a_line_have_one_each() -> None:
    armed = Armed(Bandwidth(2), TO_CLIENT)
    wires = [Wire(number=number, armed=[armed]).give(A).run() for number in (1, 2)]
    assert wires[0].got == wires[1].got


def test_a_fast_line_makes_few_pieces_and_a_burst_is_one() -> None:
    assert len(row(Bandwidth(100e6)).give(Data(0.0, bytes(1 << 18))).run().got[TO_CLIENT]) == 4
    assert len(row(Bandwidth(10, burst=1 << 18)).give(Data(0.0, bytes(1 << 18))).run().got[TO_CLIENT]) == 1


def test_a_slow_line_plans_one_piece_at_a_time() -> None:
    wire = row(Bandwidth(8)).give(Data(0.0, bytes(1 << 20)))
    assert len(wire.schedule) <= 2
    assert len(wire.run(60.0).got[TO_CLIENT]) == 480
    assert len(wire.schedule) <= 2


def test_however_often_bytes_begin_to_wait_one_wake_up_call_is_on_its_way() -> None:
    wire = row(Coalesce(60, size=4))
    for number in range(1000):
        wire.run(number / 100).give(Data(number / 100, b"abc"))
    assert len(wire.run(9.99).schedule) == 1
    assert wire.run(70.0).delivered() == b"abc" * 1000


def test_a_line_that_never_carries_a_byte_holds_them_until_it_is_lifted() -> None:
    wire = row(Bandwidth(5e-324)).give(A).run()
    assert wire.got[TO_CLIENT] == []
    assert not [out for out in wire.outs if isinstance(out.event, Wake) and out.stage]
    assert wire.lift(wire.armed[0], 2.0).run().got[TO_CLIENT] == [(2.0, b"abc")]


# The wait of Coalesce.


@given(sendings, st.integers(0, 8).map(lambda n: n / 8), st.integers(1, 60))
def test_no_byte_waits_longer_than_it_was_said_and_no_piece_is_too_long(
    sending: list[tuple[float, int]], seconds: float, size: int
) -> None:
    wire, at, arrived = row(Coalesce(seconds, size)), 0.0, []
    for gap, length in sending:
        at += gap
        arrived += [at] * length
        wire.run(at).give(Data(at, bytes(length)))
    got = wire.run().got[TO_CLIENT]
    left = [at for at, data in got for _ in data]
    assert len(left) == len(arrived)
    assert all(came <= went <= came + seconds for came, went in zip(arrived, left, strict=True))
    assert all(len(data) <= size for _, data in got)


# What they are.

FAULTS = st.one_of(
    st.builds(Bandwidth, rates, bursts, st.booleans()),
    st.builds(Coalesce, st.floats(0, 9), st.integers(1, 99)),
    st.builds(SlowClose, st.floats(0, 9)),
    st.builds(Delay, st.floats(0, 9), st.floats(0.1, 9), st.sampled_from(["uniform", "normal", "pareto"])),
    st.builds(Delay, distribution=st.lists(st.floats(0, 9), min_size=1)),
)


@given(FAULTS)
def test_a_shaping_fault_is_a_value_that_prints_as_its_code(fault: Narrowable) -> None:
    again = pickle.loads(pickle.dumps(fault))
    assert again == fault == eval(repr(fault), FACE)
    assert {again: 1}[fault] == 1
    assert repr(again) == repr(fault)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Delay(0), "Delay(seconds=0)"),
        (Delay(), "Delay(seconds=0.0)"),
        (Delay(0.2, jitter=0.05), "Delay(seconds=0.2, jitter=0.05)"),
        (Delay(0.2, 0.1, "pareto"), "Delay(seconds=0.2, jitter=0.1, distribution='pareto')"),
        (Delay(distribution=[0.1, 2]), "Delay(seconds=0.0, distribution=(0.1, 2.0))"),
        (Bandwidth(1000), "Bandwidth(bytes_per_second=1000)"),
        (Bandwidth(1e3, 5, True), "Bandwidth(bytes_per_second=1000.0, burst=5, shared=True)"),
        (Coalesce(0.1), "Coalesce(seconds=0.1)"),
        (Coalesce(0.1, 9), "Coalesce(seconds=0.1, size=9)"),
        (SlowClose(0), "SlowClose(seconds=0)"),
    ],
)
def test_a_shaping_fault_prints_what_differs_from_its_defaults(fault: Fault, code: str) -> None:
    assert repr(fault) == code


SPEED = "; expected a finite number of bytes a second, more than 0"
NAMES = "'uniform', 'normal', 'pareto'"


@pytest.mark.parametrize(
    ("code", "error", "message"),
    [
        ("Bandwidth(0)", ValueError, f"bytes_per_second is 0{SPEED}"),
        ("Bandwidth(-1.5)", ValueError, f"bytes_per_second is -1.5{SPEED}"),
        ("Bandwidth(float('inf'))", ValueError, f"bytes_per_second is inf{SPEED}"),
        ("Bandwidth(float('nan'))", ValueError, f"bytes_per_second is nan{SPEED}"),
        (
            "Bandwidth('1k')",
            TypeError,
            "bytes_per_second is '1k'; expected a number of bytes a second, such as 10_000",
        ),
        ("Bandwidth(1, burst=-1)", ValueError, "burst is -1; expected 0 or more bytes"),
        ("Bandwidth(1, burst=1.5)", TypeError, "burst is 1.5; expected a whole number of bytes"),
        ("Bandwidth(1, shared=1)", TypeError, "shared is 1; expected True or False"),
        ("Coalesce(-1)", ValueError, "seconds is -1; expected a finite number of seconds, 0 or more"),
        ("Coalesce(1, size=0)", ValueError, "size is 0; expected 1 or more bytes"),
        ("SlowClose(None)", TypeError, "seconds is None; expected a number of seconds, such as 0.2"),
        ("Delay(0, distribution='gauss')", ValueError, f"distribution is 'gauss'; expected one of {NAMES}"),
        (
            "Delay(1, distribution='normal')",
            ValueError,
            "distribution is 'normal' and jitter is 0.0; expected a jitter: write jitter=0.05",
        ),
        (
            "Delay(0, distribution=3)",
            TypeError,
            f"distribution is 3; expected {NAMES} or a list of numbers of seconds",
        ),
        (
            "Delay(0, distribution=b'ab')",
            TypeError,
            f"distribution is b'ab'; expected {NAMES} or a list of numbers of seconds",
        ),
        ("Delay(0, distribution=[])", ValueError, "distribution is []; expected at least one number of seconds"),
        (
            "Delay(0, 0.5, [1])",
            ValueError,
            "distribution is a table and jitter is 0.5; expected one of them: leave out jitter",
        ),
        (
            "Delay(0, distribution=[1, -1])",
            ValueError,
            "distribution[1] is -1; expected a finite number of seconds, 0 or more",
        ),
        (
            "Delay(0, distribution=['1'])",
            TypeError,
            "distribution[0] is '1'; expected a number of seconds, such as 0.2",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_shaping_fault_is_said(code: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        eval(code, FACE)
    assert str(caught.value) == message


def test_what_does_not_fit_datagrams_says_what_does() -> None:
    reasons = [fault.unfit("udp") for fault in (Coalesce(1), SlowClose(1))]
    assert all(reason and "write Delay(seconds)" in reason for reason in reasons)
    assert [fault.unfit("tcp") for fault in (Coalesce(1), SlowClose(1), Bandwidth(1))] == [None] * 3
    assert Bandwidth(1).unfit("udp") is None


def test_wake_up_calls_of_others_let_nothing_go_early() -> None:
    def nudge(event: Event, wire: Wire) -> None:
        stage = wire.pipeline._stages(TO_CLIENT)[0]
        assert traffic(wire.pipeline.wake(stage, event.at)) == []

    for fault in (Bandwidth(2), Coalesce(5)):
        nudge(Wake(1.25), row(fault).give(A))
