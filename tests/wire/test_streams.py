"""The faults of streams as tables: events in, events out. A fault stands alone in a row; times are numbers."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire.wire_tools import FACE, answers, cuts, jitters, losing, row, shaping

from pytest_netfixtures._wire import ends
from pytest_netfixtures._wire.ends import Drop, HalfClose, Reset, Truncate
from pytest_netfixtures._wire.entries import TO_CLIENT
from pytest_netfixtures._wire.events import Data, Datagram, Event, Fin, Lifted, Opened, Rst
from pytest_netfixtures._wire.narrowing import Narrowable
from pytest_netfixtures._wire.pieces import Slice
from pytest_netfixtures._wire.pipeline import Armed, Fault
from pytest_netfixtures._wire.streams import Delay, Stall

OPEN = Opened(0.0)
A, B = Data(1.0, b"abc"), Data(2.0, b"defg")
FIN, RST = Fin(3.0), Rst(3.0)
OVER = Fin(1.0, whole=True)


PASS: list[list[Event]] = [[], [A], [B], [FIN]]

TABLE: list[tuple[Fault, list[Event], list[list[Event]]]] = [
    # Delay: everything late, ends too.
    (Delay(0), [OPEN, A, B, FIN], PASS),
    (Delay(0.5), [OPEN, A, FIN], [[], [Data(1.5, b"abc")], [Fin(3.5)]]),
    (Delay(0.5), [A, RST], [[Data(1.5, b"abc")], [Rst(3.5)]]),
    (Delay(0.5), [A, Lifted(1.2), B], [[Data(1.5, b"abc")], [], [B]]),
    (Delay(5), [A, Lifted(1.2), B], [[Data(6.0, b"abc")], [], [Data(6.0, b"defg")]]),
    (Delay(5), [A, Lifted(1.2), FIN], [[Data(6.0, b"abc")], [], [Fin(6.0)]]),
    (Delay(0.5), [Datagram(1.0, b"x", "me")], [[Datagram(1.5, b"x", "me")]]),
    # Slice: pieces begin at multiples of its size.
    (Slice(9), [OPEN, A, B, FIN], PASS),
    (
        Slice(2),
        [A, B],
        [[Data(1.0, b"ab"), Data(1.0, b"c")], [Data(2.0, b"d"), Data(2.0, b"ef"), Data(2.0, b"g")]],
    ),
    (Slice(2, gap=0.1), [A], [[Data(1.0, b"ab"), Data(1.1, b"c")]]),
    (Slice(3, gap=5), [A, B], [[A], [Data(6.0, b"def"), Data(11.0, b"g")]]),
    (Slice(5, gap=5), [A, B], [[A], [Data(2.0, b"de"), Data(7.0, b"fg")]]),
    (Slice(2, gap=5), [A, FIN], [[Data(1.0, b"ab"), Data(6.0, b"c")], [Fin(6.0)]]),
    (Slice(1), [Datagram(1.0, b"abc")], [[Datagram(1.0, b"abc")]]),
    # Stall with an end: from the byte on, for so long.
    (Stall(seconds=5), [OPEN, A, FIN], [[], [Data(5.0, b"abc")], [Fin(5.0)]]),
    (Stall(seconds=1.5), [OPEN, A, B], [[], [Data(1.5, b"abc")], [B]]),
    (Stall(2, 5), [OPEN, A, B], [[], [Data(1.0, b"ab"), Data(6.0, b"c")], [Data(6.0, b"defg")]]),
    (Stall(3, 5), [OPEN, A, B], [[], [A], [Data(6.0, b"defg")]]),
    (Stall(3, 5), [OPEN, A, FIN], [[], [A], [Fin(6.0)]]),
    (Stall(4, 5), [OPEN, A, FIN], [[], [A], [FIN]]),
    (Stall(9, 5), [OPEN, A, B, FIN], PASS),
    (Stall(seconds=5), [OPEN, Datagram(1.0, b"x")], [[], [Datagram(5.0, b"x")]]),
    # Stall without: held until lifted.
    (Stall(), [OPEN, A, RST, Lifted(9.0)], [[], [], [], [Data(9.0, b"abc"), Rst(9.0)]]),
    (
        Stall(2),
        [OPEN, A, B, Lifted(9.0)],
        [[], [Data(1.0, b"ab")], [], [Data(9.0, b"c"), Data(9.0, b"defg")]],
    ),
    (Stall(3), [OPEN, A, FIN, Lifted(9.0)], [[], [A], [], [Fin(9.0)]]),
    (Stall(4), [OPEN, A, FIN], [[], [A], [FIN]]),
    (Stall(), [OPEN, A, Lifted(9.0), Data(10.0, b"x")], [[], [], [Data(9.0, b"abc")], [Data(10.0, b"x")]]),
    # Drop: nothing more, and no end.
    (Drop(), [OPEN, A, FIN], [[], [], []]),
    (Drop(2), [OPEN, A, B, FIN], [[], [Data(1.0, b"ab")], [], []]),
    (Drop(3), [OPEN, A, B, RST], [[], [A], [], []]),
    (Drop(3), [OPEN, A, FIN], [[], [A], []]),
    (Drop(4), [OPEN, A, FIN], [[], [A], [FIN]]),
    (Drop(9), [OPEN, A, RST], [[], [A], [RST]]),
    (Drop(9), [OPEN, A, Lifted(1.5), B], [[], [A], [], [B]]),
    (Drop(2), [A, Lifted(1.5), B, FIN], [[Data(1.0, b"ab")], [], [], []]),
    (Drop(), [Datagram(1.0, b"x"), Lifted(1.5), Datagram(2.0, b"y")], [[], [], [Datagram(2.0, b"y")]]),
    # Truncate: n bytes, and both legs end.
    (Truncate(), [OPEN, A, FIN], [[Fin(0.0, whole=True)], [], []]),
    (Truncate(0), [OPEN, A], [[Fin(0.0, whole=True)], []]),
    (Truncate(at=0), [OPEN, A, B], [[], [OVER], []]),
    (Truncate(2), [OPEN, A, B], [[], [Data(1.0, b"ab"), OVER], []]),
    (Truncate(at=2), [OPEN, A, B], [[], [Data(1.0, b"ab"), OVER], []]),
    (Truncate(3), [OPEN, A, B], [[], [A, OVER], []]),
    (Truncate(at=3), [OPEN, A, B], [[], [A], [Fin(2.0, whole=True)]]),
    (Truncate(7), [OPEN, A, B, RST], [[], [A], [B, Fin(2.0, whole=True)], []]),
    (Truncate(at=7), [OPEN, A, B, RST], [[], [A], [B], [RST]]),
    (Truncate(8), [OPEN, A, B, FIN], PASS),
    (Truncate(4), [OPEN, A, FIN], [[], [A], [FIN]]),
    (Truncate(2), [OPEN, A, Lifted(1.5), B, FIN], [[], [Data(1.0, b"ab"), OVER], [], [], []]),
    # HalfClose: this direction alone; a reset of the peer still passes.
    (HalfClose(), [OPEN, A, FIN], [[Fin(0.0)], [], []]),
    (HalfClose(2), [OPEN, A, B, FIN], [[], [Data(1.0, b"ab"), Fin(1.0)], [], []]),
    (HalfClose(2), [OPEN, A, RST], [[], [Data(1.0, b"ab"), Fin(1.0)], [RST]]),
    (HalfClose(at=3), [OPEN, A, RST], [[], [A], [RST]]),
    (HalfClose(2), [A, RST, Rst(4.0), Data(5.0, b"x")], [[Data(1.0, b"ab"), Fin(1.0)], [RST], [], []]),
    # Reset: n bytes, then RST.
    (Reset(), [OPEN, A, FIN], [[Rst(0.0)], [], []]),
    (Reset(2), [OPEN, A, B, FIN], [[], [Data(1.0, b"ab"), Rst(1.0)], [], []]),
    (Reset(at=0), [OPEN, A], [[], [Rst(1.0)]]),
    (Reset(at=3), [OPEN, A, FIN], [[], [A], [FIN]]),
    (Reset(3, other_leg=False), [OPEN, A], [[], [A, Rst(1.0, whole=False)]]),
    (Reset(4), [OPEN, A, RST], [[], [A], [RST]]),
]


@pytest.mark.parametrize(("fault", "given", "made"), TABLE, ids=lambda each: str(each)[:70])
def test_events_in_and_events_out(fault: Fault, given: list[Event], made: list[list[Event]]) -> None:
    assert answers(fault, *given) == made


@given(st.floats(0, 9), st.floats(0.1, 9), st.lists(st.integers(1, 9), min_size=1))
def test_jitter_is_late_by_seconds_at_least_and_by_seconds_and_jitter_at_most(
    seconds: float, jitter: float, sizes: list[int]
) -> None:
    wire = row(Delay(seconds, jitter))
    for size in sizes:
        wire.give(Data(0.0, bytes(size)))
    assert all(seconds <= at <= seconds + jitter for at, _ in wire.run().got[TO_CLIENT])


def test_jitter_of_streams_is_decided_by_the_byte_offset() -> None:
    first, second = row(Delay(0, 1)), row(Delay(0, 1))
    first.give(Data(0.0, b"abcd")).give(Data(9.0, b"e"))
    second.give(Data(0.0, b"ab")).give(Data(0.0, b"cd")).give(Data(9.0, b"e"))
    assert first.run().got[TO_CLIENT][-1] == second.run().got[TO_CLIENT][-1]


def test_jitter_of_datagrams_is_decided_by_their_number() -> None:
    first, second = row(Delay(0, 1)), row(Delay(0, 1))
    for size in (1, 2, 3):
        first.give(Datagram(0.0, b"a" * size))
        second.give(Datagram(0.0, b"b" * 10))
    assert [at for at, _ in first.run().got[TO_CLIENT]] == [at for at, _ in second.run().got[TO_CLIENT]]


@given(shaping | cuts | losing | jitters)
def test_a_fault_prints_as_the_code_that_made_it(fault: Narrowable) -> None:
    assert eval(repr(fault), FACE) == fault


@given(shaping | cuts | losing | jitters)
def test_a_fault_pickles_and_hashes_by_value(fault: Narrowable) -> None:
    again = pickle.loads(pickle.dumps(fault))
    assert again == fault
    assert {again: 1}[fault] == 1
    assert repr(again) == repr(fault)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Delay(0.2), "Delay(seconds=0.2)"),
        (Delay(0.2, jitter=0.05), "Delay(seconds=0.2, jitter=0.05)"),
        (Slice(3), "Slice(size=3)"),
        (Stall(), "Stall()"),
        (Stall(seconds=0), "Stall(seconds=0)"),
        (Drop(3), "Drop(after=3)"),
        (Truncate(0), "Truncate(after=0)"),
        (HalfClose(at=0), "HalfClose(at=0)"),
        (Reset(3, other_leg=False), "Reset(after=3, other_leg=False)"),
    ],
)
def test_only_what_differs_from_the_defaults_is_printed(fault: Fault, code: str) -> None:
    assert repr(fault) == code


def test_faults_of_different_kinds_are_never_equal() -> None:
    assert len({Truncate(3), HalfClose(3), Reset(3), Drop(3), Stall(3)}) == 5


@pytest.mark.parametrize(
    ("code", "error", "message"),
    [
        ("Delay(-1)", ValueError, "seconds is -1; expected a finite number of seconds, 0 or more"),
        ("Delay(float('inf'))", ValueError, "seconds is inf; expected a finite number of seconds, 0 or more"),
        ("Delay(float('nan'))", ValueError, "seconds is nan; expected a finite number of seconds, 0 or more"),
        ("Delay('1')", TypeError, "seconds is '1'; expected a number of seconds, such as 0.2"),
        ("Delay(True)", TypeError, "seconds is True; expected a number of seconds, such as 0.2"),
        (
            "Delay(0, jitter=-0.1)",
            ValueError,
            "jitter is -0.1; expected a finite number of seconds, 0 or more",
        ),
        ("Slice(0)", ValueError, "size is 0; expected 1 or more bytes"),
        ("Slice(1.5)", TypeError, "size is 1.5; expected a whole number of bytes"),
        ("Slice(1, gap=-1)", ValueError, "gap is -1; expected a finite number of seconds, 0 or more"),
        ("Stall(-1)", ValueError, "after is -1; expected 0 or more bytes"),
        ("Stall(seconds=-1)", ValueError, "seconds is -1; expected a finite number of seconds, 0 or more"),
        ("Drop(None)", TypeError, "after is None; expected a whole number of bytes"),
        ("Truncate(-1)", ValueError, "after is -1; expected 0 or more bytes"),
        ("HalfClose(at=-1)", ValueError, "at is -1; expected 0 or more bytes"),
        ("Reset('3')", TypeError, "after is '3'; expected a whole number of bytes"),
        ("Reset(0, 0)", ValueError, "after is 0 and at is 0; expected one of them: choose"),
        ("Reset(other_leg=None)", TypeError, "other_leg is None; expected True or False"),
    ],
)
def test_a_wrong_argument_names_field_and_value_and_what_was_expected(
    code: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        eval(code, FACE)
    assert str(caught.value) == message


def test_what_is_only_a_part_of_a_fault_says_so() -> None:
    with pytest.raises(TypeError, match="_Cut does not say how it ends"):
        list(ends._Cut(after=0)(OPEN, row().pipeline.arm(_armed()).seen))
    with pytest.raises(TypeError, match="Narrowable is no fault by itself"):
        Narrowable()(OPEN, row().pipeline.arm(_armed()).seen)


def _armed() -> Armed:
    return Armed(Delay(0), TO_CLIENT)
