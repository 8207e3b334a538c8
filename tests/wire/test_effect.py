"""What a fault did, in words: changed or not, what it was, and from which byte on."""

from __future__ import annotations

import pytest

from pytest_netfixtures._wire.effect import changed, describe, is_signal, traffic_of
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
        (ABC, [ABC, ABC], "changed from byte 13", 13),
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
        (GRAM, [], "datagram 11 lost", 10),
        (GRAM, [GRAM, GRAM], "datagram 11 sent 2 times", 10),
        (GRAM, [Datagram(1.0, b"x", "peer")], "datagram 11 changed", 10),
        (GRAM, [GRAM.moved(NEVER)], "datagram 11 held", 10),
        (GRAM, [GRAM.moved(1.5)], "datagram 11 late by 0.5 s", 10),
    ],
)
def test_an_effect_is_told_in_words_with_the_first_byte_that_it_touched(
    event: Event, outs: list[Event], effect: str, offset: int
) -> None:
    assert describe(event, outs, before=10) == (effect, offset)
