"""Datagrams through every narrowing: sessions are its connections, and each datagram counts by itself."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest
from wire.wire_tools import Wire, row

from pytest_netfixtures._wire.datagrams import BurstLoss, Duplicate, Loss, MaxSize, Reorder
from pytest_netfixtures._wire.ends import Drop
from pytest_netfixtures._wire.entries import TO_CLIENT, TO_SERVER
from pytest_netfixtures._wire.events import Datagram, Opened
from pytest_netfixtures._wire.narrowing import Narrowable, narrow
from pytest_netfixtures._wire.pipeline import Armed, Fault
from pytest_netfixtures._wire.seen import Seen
from pytest_netfixtures._wire.streams import Delay, Stall

WORDS = (b"zero", b"one", b"two", b"three", b"four")


def give(wire: Wire, words: Iterable[bytes] = WORDS) -> Wire:
    """A datagram a second, each when its time has come."""
    for at, word in enumerate(words):
        wire.run(float(at)).give(Datagram(float(at), word))
    return wire.run()


def got(fault: Fault, number: int = 1, key: str = "seed") -> list[bytes]:
    return [data for _, data in give(row(fault, number=number, key=(key,))).got[TO_CLIENT]]


# on_connections: sessions.


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_fault_acts_on_its_sessions_alone(number: int) -> None:
    assert got(Loss(1).on_connections(1, 3), number) == ([] if number != 2 else list(WORDS))


# times: datagrams, over all sessions.


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Loss(1), [b"two", b"three", b"four"]),
        (Duplicate(1), [b"zero", b"zero", b"one", b"one", b"two", b"three", b"four"]),
        (Reorder(1, 9), [b"two", b"three", b"four", b"zero", b"one"]),
        (BurstLoss(1, 1), [b"zero", b"two", b"four"]),
        (MaxSize(3), [b"one", b"two", b"four"]),
        (MaxSize(3, cut=True), [b"zer", b"one", b"two", b"thr", b"four"]),
        (Drop(), [b"two", b"three", b"four"]),
        (Drop(after=2), [b"zero", b"one", b"four"]),
        (Stall(), [b"two", b"three", b"four"]),
    ],
    ids=repr,
)
def test_a_fault_that_acts_twice_acts_on_two_datagrams(fault: Narrowable, words: list[bytes]) -> None:
    assert got(fault.times(2)) == words


def test_the_datagrams_of_all_sessions_are_counted_together() -> None:
    armed = Armed(Loss(1).times(3), TO_CLIENT)
    wires = [give(Wire(number=number, armed=[armed]), WORDS[:2]) for number in (1, 2, 3)]
    assert [[data for _, data in wire.got[TO_CLIENT]] for wire in wires] == [[], [b"one"], [b"zero", b"one"]]
    assert armed.fired == 3


def test_those_that_chance_spares_are_not_counted() -> None:
    armed = Armed(Loss(0.3).times(5), TO_CLIENT)
    wire = give(Wire(key=("seed",), armed=[armed]), [b"%d" % number for number in range(100)])
    assert len(wire.got[TO_CLIENT]) == 95
    assert armed.fired == 5
    assert wire.fires[4].offset > 5


# when: from the datagram behind the match on.


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Loss(1).when(b"ne"), [b"zero", b"one"]),
        (Loss(1).when(b"o", nth=2), [b"zero", b"one"]),
        (Loss(1).when(re.compile(rb"t[wx]o"), window=3), [b"zero", b"one", b"two"]),
        (Loss(1).when(b"never"), list(WORDS)),
        (Loss(1).when(b"roon"), list(WORDS)),
        (Drop(after=1).when(b"one"), [b"zero", b"one", b"two"]),
        (BurstLoss(1, 1).when(b"one"), [b"zero", b"one", b"three"]),
        (MaxSize(1, cut=True).when(b"two"), [b"zero", b"one", b"two", b"t", b"f"]),
        (Duplicate(1).when(b"three"), [*WORDS, b"four"]),
        (Delay(9).when(b"one").times(1), [b"zero", b"one", b"three", b"four", b"two"]),
    ],
    ids=repr,
)
def test_a_fault_acts_from_the_datagram_behind_the_match_on(fault: Fault, words: list[bytes]) -> None:
    assert got(fault) == words


def test_a_question_passes_and_its_answer_is_lost() -> None:
    wire = row(Loss(1).times(1).when(b"who?", direction="to_server"))
    for at, question, answer in ((0.0, b"hello?", b"hi"), (1.0, b"who?", b"me"), (2.0, b"who?", b"me")):
        wire.run(at).give(Datagram(at, question), TO_SERVER).give(Datagram(at, answer))
    wire.run()
    assert [data for _, data in wire.got[TO_SERVER]] == [b"hello?", b"who?", b"who?"]
    assert wire.got[TO_CLIENT] == [(0.0, b"hi"), (2.0, b"me")]


# after_seconds.


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Loss(1).after_seconds(2.5), [b"zero", b"one", b"two"]),
        (Loss(1).after_seconds(2), [b"zero", b"one"]),
        (Drop(after=1).after_seconds(2), [b"zero", b"one", b"two"]),
        (BurstLoss(1, 1).after_seconds(0.5), [b"zero", b"two", b"four"]),
        (Loss(1).times(1).after_seconds(1.5), [b"zero", b"one", b"three", b"four"]),
        (Loss(1).after_seconds(1.5).times(1), [b"zero", b"one", b"three", b"four"]),
        (Loss(1).after_seconds(1).when(b"one"), [b"zero", b"one"]),
        (Loss(1).when(b"o").after_seconds(0.5), [b"zero", b"one"]),
    ],
    ids=repr,
)
def test_a_fault_acts_from_a_time_on(fault: Fault, words: list[bytes]) -> None:
    assert got(fault) == words


def test_what_is_decided_after_a_time_counts_datagrams_from_then() -> None:
    many = [b"%d" % number for number in range(100)]
    whole = give(row(Loss(0.2).after_seconds(10), key=("seed",)), many)
    part = give(row(Loss(0.2).when(b"9").after_seconds(0), key=("seed",)), many)
    assert [data for _, data in whole.got[TO_CLIENT]][:10] == many[:10]
    assert [data for _, data in part.got[TO_CLIENT]][:10] == many[:10]
    assert 80 < len(whole.got[TO_CLIENT]) < 100 and 80 < len(part.got[TO_CLIENT]) < 100


def test_a_stall_after_a_time_holds_until_it_is_lifted() -> None:
    armed = Armed(Stall().after_seconds(1.5), TO_CLIENT)
    wire = give(Wire(armed=[armed]))
    assert [data for _, data in wire.got[TO_CLIENT]] == [b"zero", b"one"]
    assert wire.lift(armed, 9.0).run().got[TO_CLIENT][2:] == [(9.0, b"two"), (9.0, b"three"), (9.0, b"four")]


def test_a_function_may_send_datagrams_of_its_own_from_a_time_on() -> None:
    wire = give(row(narrow(announce).after_seconds(1.5)))
    assert wire.got[TO_CLIENT][2] == (1.5, b"now")
    assert len(wire.got[TO_CLIENT]) == 6


def announce(event: object, seen: Seen) -> list[Datagram]:
    if isinstance(event, Opened):
        return [Datagram(event.at, b"now")]
    return [event] if isinstance(event, Datagram) else []


# sometimes: of sessions.


def test_a_session_is_chosen_with_all_its_datagrams() -> None:
    results = [got(Loss(1).sometimes(0.5), number) for number in range(1, 41)]
    assert all(each in ([], list(WORDS)) for each in results)
    assert 5 < results.count([]) < 35


def test_everything_at_once() -> None:
    fault = Loss(1).times(2).when(b"o").after_seconds(0.5).sometimes(0.5).on_connections(*range(1, 21))
    results = [got(fault, number) for number in range(1, 41)]
    assert {tuple(each) for each in results} == {WORDS, (b"zero", b"one", b"four")}
    assert results[20:] == [list(WORDS)] * 20
