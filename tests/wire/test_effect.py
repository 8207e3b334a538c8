"""What a fault did, in words: changed or not, what it was, and from which byte on."""

from __future__ import annotations

import pytest

from pytest_netfixtures._wire.effect import changed, describe, is_signal, settled, traffic_of
from pytest_netfixtures._wire.events import NEVER, Data, Datagram, Event, Fin, Lifted, Opened, Rst, Wake

ABC = Data(1.0, b"abc")
GRAM = Datagram(1.0, b"abc", "peer")


def test_signals_are_no_traffic() -> None:
    events: list[Event] = [Opened(0.0), ABC, Wake(1.0), Fin(2.0), Lifted(3.0)]
    assert [is_signal(event) for event in events] == [True, False, True, False, True]
    assert traffic_of(events) == [ABC, Fin(2.0)]


@pytest.mark.parametrize(
    ("event", "outs", "is_changed"),
    [
        (ABC, [ABC], False),
        (ABC, [Data(1.0, b"abc")], False),
        (ABC, [], True),
        (ABC, [ABC, ABC], True),
        (ABC, [Data(1.5, b"abc")], True),
        (ABC, [Data(1.0, b"abC")], True),
        (ABC, [ABC, Rst(1.0)], True),
        (Fin(1.0), [Fin(1.0)], False),
        (Fin(1.0), [Fin(1.0, whole=True)], True),
        (Opened(1.0), [], False),
        (Opened(1.0), [Rst(1.0)], True),
        (Wake(1.0), [], False),
        (Wake(1.0), [ABC], True),
        (Lifted(1.0), [ABC], False),
    ],
)
def test_a_fault_has_fired_when_what_it_yielded_is_not_what_it_got(
    event: Event, outs: list[Event], is_changed: bool
) -> None:
    assert changed(event, outs) is is_changed


@pytest.mark.parametrize(
    ("event", "outs", "effect", "offset"),
    [
        (ABC, [ABC, Rst(1.0)], "RST after byte 13", 13),
        (ABC, [Data(1.0, b"a"), Fin(1.0, whole=True)], "FIN after byte 11", 11),
        (ABC, [Data(1.5, b"ab"), Rst(1.5)], "RST after byte 12", 12),
        (Opened(1.0), [Rst(1.0)], "RST after byte 10", 10),
        (Fin(1.0), [Rst(1.0)], "RST after byte 10", 10),
        (ABC, [], "lost from byte 10", 10),
        (ABC, [Data(1.0, b"a")], "lost from byte 11", 11),
        (ABC, [Data(1.0, b"ac")], "lost from byte 11", 11),
        (Fin(1.0), [], "FIN lost from byte 10", 10),
        (Rst(1.0), [], "RST lost from byte 10", 10),
        (ABC, [Data(NEVER, b"abc")], "held from byte 10", 10),
        (ABC, [Data(1.0, b"ab"), Data(NEVER, b"c")], "held from byte 12", 12),
        (Fin(1.0), [Fin(NEVER)], "FIN held from byte 10", 10),
        (ABC, [Data(1.0, b"aBc")], "changed from byte 11", 11),
        (ABC, [Data(1.0, b"X")], "changed from byte 10", 10),
        (ABC, [Data(1.0, b"aXYZc")], "changed from byte 11", 11),
        (ABC, [Data(1.0, b"aXbc")], "bytes added at byte 11", 11),
        (ABC, [ABC, ABC], "bytes added at byte 13", 13),
        (Wake(1.0), [ABC], "bytes added at byte 10", 10),
        (Fin(1.0), [ABC, Fin(1.0)], "bytes added at byte 10", 10),
        (ABC, [Data(1.25, b"abc")], "late by 0.25 s from byte 10", 10),
        (ABC, [Data(1.0, b"a"), Data(3.0, b"bc")], "late by 2 s from byte 11", 11),
        (Fin(1.0), [Fin(1.5)], "FIN late by 0.5 s from byte 10", 10),
        (Rst(1.0), [Rst(1.0, whole=False)], "RST changed from byte 10", 10),
        (ABC, [Data(1.0, b"a"), Data(1.0, b"bc")], "in 2 pieces, the last 0 s late, from byte 10", 10),
        (
            ABC,
            [Data(1.0, b"a"), Data(1.1, b"b"), Data(1.25, b"c")],
            "in 3 pieces, the last 0.25 s late, from byte 10",
            10,
        ),
        (ABC, [Wake(2.0)], "held from byte 10", 10),
        (ABC, [Data(1.0, b"a"), Wake(2.0)], "held from byte 11", 11),
        (ABC, [Data(1.25, b"abc"), Wake(2.0)], "late by 0.25 s from byte 10", 10),
        (Fin(1.0), [Wake(2.0)], "FIN held from byte 10", 10),
        (GRAM, [Wake(2.0)], "datagram 10 held", 10),
        (GRAM, [], "datagram 10 lost", 10),
        (GRAM, [GRAM, GRAM], "datagram 10 sent 2 times", 10),
        (GRAM, [Datagram(1.0, b"x", "peer"), GRAM], "datagram added beside datagram 10", 10),
        (GRAM, [Datagram(1.0, b"x", "peer")], "datagram 10 changed", 10),
        (GRAM, [Datagram(1.0, b"ab", "peer")], "datagram 10 cut to 2 of 3 bytes", 10),
        (GRAM, [Datagram(1.0, b"abcd", "peer")], "datagram 10 changed", 10),
        (GRAM, [GRAM.moved(NEVER)], "datagram 10 held", 10),
        (GRAM, [GRAM.moved(1.5)], "datagram 10 late by 0.5 s", 10),
    ],
)
def test_an_effect_is_told_in_words_with_the_first_byte_that_it_touched(
    event: Event, outs: list[Event], effect: str, offset: int
) -> None:
    assert describe(event, outs, before=10) == (effect, offset)


@pytest.mark.parametrize(
    ("event", "outs", "effect"),
    [
        (Wake(2.0), [ABC], "held from byte 10"),
        (Fin(1.0), [ABC, Fin(1.0)], "held from byte 10"),
        (ABC, [], "held from byte 10"),
        (Wake(2.0), [ABC, Rst(2.0)], "RST after byte 13"),
    ],
)
def test_bytes_that_waited_already_are_told_as_held(event: Event, outs: list[Event], effect: str) -> None:
    assert describe(event, outs, before=10, waited=True)[0] == effect


@pytest.mark.parametrize(
    ("event", "outs", "had", "keeps", "effect"),
    [
        (ABC, [Data(1.0, b"ab")], b"", b"c", None),
        (ABC, [], b"", b"abc", None),
        (ABC, [Data(1.0, b"xabc")], b"x", b"", None),
        (ABC, [Data(0.9, b"x"), ABC], b"x", b"", None),
        (ABC, [Data(1.0, b"xa")], b"x", b"bc", None),
        (Wake(1.0), [Data(1.0, b"x")], b"x", b"", None),
        (Wake(1.0), [Data(1.0, b"x")], b"xy", b"y", None),
        (Fin(1.0), [Data(1.0, b"x"), Fin(1.0)], b"x", b"", None),
        (Rst(1.0), [Data(1.0, b"x"), Rst(1.0)], b"x", b"", None),
        (Lifted(1.0), [Data(1.0, b"y")], b"x", b"", None),
        (ABC, [Data(1.0, b"X")], b"x", b"c", ("changed from byte 10", 10)),
        (ABC, [Data(1.0, b"xaBc")], b"x", b"", ("changed from byte 12", 12)),
        (ABC, [Data(1.0, b"bc")], b"x", b"", ("lost from byte 10", 10)),
        (ABC, [Data(1.0, b"x1abc")], b"x", b"", ("bytes added at byte 11", 11)),
        (ABC, [Data(1.0, b"xab"), Rst(1.0)], b"x", b"c", ("RST after byte 14", 14)),
        (Wake(1.0), [], b"x", b"", ("lost from byte 10", 10)),
        (Fin(1.0), [Rst(1.0)], b"x", b"", ("RST after byte 10", 10)),
    ],
)
def test_bytes_that_were_kept_back_count_as_if_they_came_with_the_next_event(
    event: Event, outs: list[Event], had: bytes, keeps: bytes, effect: tuple[str, int] | None
) -> None:
    got, made = settled(event, outs, had, keeps)
    assert changed(got, made) is (effect is not None)
    assert effect is None or describe(got, made, before=10) == effect
