"""Flipped, added and replaced bytes as tables: events in, events out; then Replace against bytes.replace, by force.

Times are numbers. The statistics are of fixed seeds.
"""

from __future__ import annotations

import math
import pickle
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire.wire_tools import (
    FACE,
    Ways,
    Wire,
    answers,
    narrowed,
    patterns,
    regexes,
    row,
    steady,
    streams,
    ways,
)

from pytest_netfixtures._wire.content import Corrupt, Insert
from pytest_netfixtures._wire.ends import Drop, Truncate
from pytest_netfixtures._wire.entries import TO_CLIENT
from pytest_netfixtures._wire.events import Data, Datagram, Event, Fin, Lifted, Opened, Rst, Wake
from pytest_netfixtures._wire.given import faults_of
from pytest_netfixtures._wire.narrowing import Narrowable
from pytest_netfixtures._wire.pieces import Slice
from pytest_netfixtures._wire.pipeline import Armed, Fault
from pytest_netfixtures._wire.replacing import Replace
from pytest_netfixtures._wire.streams import Delay

OPEN, FIN, RST = Opened(0.0), Fin(3.0), Rst(3.0)
A, B = Data(1.0, b"abc"), Data(1.01, b"defg")
GRAMS: list[Event] = [Datagram(1.0, data, "me") for data in (b"ab", b"", b"abab")]
PASS: list[list[Event]] = [[], [A], [B], [FIN]]
LONG = 1000.0
"""Longer than anything takes here."""


def gram(data: bytes) -> Datagram:
    return Datagram(1.0, data, "me")


TABLE: list[tuple[Fault, list[Event], list[list[Event]]]] = [
    # Corrupt: what is flipped, and nothing else.
    (Corrupt(at=1, mask=0x20), [OPEN, A, B, FIN], [[], [Data(1.0, b"aBc")], [B], [FIN]]),
    (Corrupt(at=[6, 0, 3], mask=0x20), [A, B], [[Data(1.0, b"Abc")], [Data(1.01, b"DefG")]]),
    (Corrupt(at=7, mask=1), [OPEN, A, B, FIN], PASS),
    (Corrupt(rate=1, mask=0x20), [A, RST], [[Data(1.0, b"ABC")], [RST]]),
    (Corrupt(rate=1e-300), [OPEN, A, B, FIN], PASS),
    (Corrupt(at=4, mask=1), [A, Lifted(1.0), B], [[A], [], [B]]),
    (Corrupt(at=[1, 3], mask=0x20), [*GRAMS, gram(b"x")], [[g] for g in (*GRAMS, gram(b"X"))]),
    (
        Corrupt(rate=1, mask=0x20),
        [gram(b""), gram(b"a"), OPEN, FIN],
        [[gram(b"")], [gram(b"A")], [], [FIN]],
    ),
    # Insert: once, where it was said.
    (Insert(b"XY"), [OPEN, A, FIN], [[Data(0.0, b"XY")], [A], [FIN]]),
    (Insert(b"XY"), [A, B], [[Data(1.0, b"XYabc")], [B]]),
    (Insert(b"XY", after=0), [OPEN, FIN], [[Data(0.0, b"XY")], [FIN]]),
    (Insert(b"XY", at=0), [OPEN, A, B], [[], [Data(1.0, b"XYabc")], [B]]),
    (Insert(b"XY", at=0), [OPEN, FIN], [[], [FIN]]),
    (Insert(b"XY", after=2), [OPEN, A, B], [[], [Data(1.0, b"abXYc")], [B]]),
    (Insert(b"XY", at=2), [OPEN, A, B], [[], [Data(1.0, b"abXYc")], [B]]),
    (Insert(b"XY", after=3), [OPEN, A, B], [[], [Data(1.0, b"abcXY")], [B]]),
    (Insert(b"XY", at=3), [OPEN, A, B], [[], [A], [Data(1.01, b"XYdefg")]]),
    (Insert(b"XY", at=3), [OPEN, A, FIN], [[], [A], [FIN]]),
    (Insert(b"XY", after=7), [OPEN, A, B, RST], [[], [A], [Data(1.01, b"defgXY")], [RST]]),
    (Insert(b"XY", after=8), [OPEN, A, B, FIN], PASS),
    (Insert(b"XY", at=7), [OPEN, A, B, FIN], PASS),
    (Insert(b"XY", at=5), [OPEN, A, Lifted(1.0), B], [[], [A], [], [B]]),
    (Insert(b"X", at=0), GRAMS, [[gram(b"X"), GRAMS[0]], [GRAMS[1]], [GRAMS[2]]]),
    (Insert(b"X", at=2), GRAMS, [[GRAMS[0]], [GRAMS[1]], [gram(b"X"), GRAMS[2]]]),
    (Insert(b"X", after=1), GRAMS, [[GRAMS[0], gram(b"X")], [GRAMS[1]], [GRAMS[2]]]),
    (Insert(b"X", after=4), GRAMS, [[each] for each in GRAMS]),
    # Replace: what could be the beginning of a match waits; an end does not.
    (Replace(b"x", b"y"), [OPEN, A, B, FIN], PASS),
    (Replace(b"b", b"XY"), [A], [[Data(1.0, b"aXYc")]]),
    (Replace(b"bc", b""), [A, B], [[Data(1.0, b"a")], [B]]),
    (Replace(b"abc", b""), [A, B], [[], [B]]),
    (Replace(b"cde", b"X"), [OPEN, A, B, FIN], [[], [Data(1.0, b"ab")], [Data(1.01, b"Xfg")], [FIN]]),
    (Replace(b"cx", b"X"), [A, B], [[Data(1.0, b"ab")], [Data(1.01, b"cdefg")]]),
    (Replace(b"abcd", b"X"), [A, FIN], [[], [Data(1.05, b"abc"), FIN]]),
    (Replace(b"abcd", b"X", hold=9), [A, FIN], [[], [Data(3.0, b"abc"), FIN]]),
    (Replace(b"abcd", b"X", hold=9), [A, RST], [[], [Data(3.0, b"abc"), RST]]),
    (Replace(b"abcd", b"X", hold=9), [A, Lifted(2.0), B], [[], [Data(2.0, b"abc")], [B]]),
    (Replace(b"cde", b"X", hold=0), [A, B], [[A], [B]]),
    (Replace(b"abc", b"X", hold=0), [A, B], [[Data(1.0, b"X")], [B]]),
    (
        Replace(b"a", b"X", count=2),
        [Data(1.0, b"aba"), Data(1.0, b"a")],
        [[Data(1.0, b"XbX")], [Data(1.0, b"a")]],
    ),
    (
        Replace(b"ab", b"X", count=1),
        [Data(1.0, b"aba"), Data(1.0, b"b")],
        [[Data(1.0, b"Xa")], [Data(1.0, b"b")]],
    ),
    (Replace(re.compile(rb"[bd]"), b"\\0", window=1), [A, B], [[Data(1.0, b"a\\0c")], [Data(1.01, b"\\0efg")]]),
    (Replace(re.compile(rb"c.e"), b"X", window=3), [A, B], [[Data(1.0, b"a")], [Data(1.01, b"bX")]]),
    (Replace(b"ab", b"X"), GRAMS, [[gram(b"X")], [GRAMS[1]], [gram(b"XX")]]),
    (Replace(b"ab", b"X", count=2), GRAMS, [[gram(b"X")], [GRAMS[1]], [gram(b"Xab")]]),
    (Replace(b"aba", b"X"), [gram(b"ab"), gram(b"a")], [[gram(b"ab")], [gram(b"a")]]),
    (Replace(re.compile(rb"^a"), b"X", window=1), GRAMS, [[gram(b"Xb")], [GRAMS[1]], [gram(b"Xbab")]]),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "given", "made"), TABLE, ids=lambda each: str(each)[:70])
def test_content_in_and_content_out(fault: Fault, given: list[Event], made: list[list[Event]]) -> None:
    assert answers(fault, *given) == made


def test_what_is_not_changed_is_the_event_that_came() -> None:
    chunk = Data(0.0, bytes(1000))
    for fault in (Corrupt(rate=1e-9), Corrupt(at=1000), Insert(b"x", at=1000), Replace(b"x", b"y")):
        assert answers(fault, chunk)[0][0] is chunk


# Flips.


def flips(fault: Corrupt, chunks: Iterable[bytes], seed: int = 0) -> dict[int, int]:
    """Which offsets were flipped, and how."""
    given, wire = b"", row(fault, key=(seed,))
    for chunk in chunks:
        wire.give(Data(0.0, chunk))
        given += chunk
    made = wire.run().delivered()
    assert len(made) == len(given)
    return {i: a ^ b for i, (a, b) in enumerate(zip(given, made, strict=True)) if a != b}


def near(count: int, tries: int, share: float) -> bool:
    """Within four standard deviations."""
    return abs(count - tries * share) <= 4 * math.sqrt(tries * share * (1 - share))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rate", [0.9, 0.5, 0.1, 0.01, 0.001])
def test_of_bytes_the_rate_is_the_share_that_is_flipped(rate: float, seed: int) -> None:
    found = flips(Corrupt(rate), [bytes(50_000)], seed)
    assert near(len(found), 50_000, rate)
    assert near(sum(place < 25_000 for place in found), 25_000, rate)
    assert near(sum(place % 2 for place in found), len(found), 0.5)


def test_neighbours_are_flipped_independently() -> None:
    found = flips(Corrupt(0.3), [bytes(50_000)])
    pairs = sum(place + 1 in found for place in found)
    assert near(pairs, 49_999, 0.09)
    assert near(sum(place + 4096 in found for place in found), 50_000 - 4096, 0.09)


def test_every_bit_is_flipped_as_often_as_the_others() -> None:
    found = Counter(flips(Corrupt(0.5), [bytes(40_000)]).values())
    assert sorted(found) == [1, 2, 4, 8, 16, 32, 64, 128]
    assert all(near(count, sum(found.values()), 1 / 8) for count in found.values())


def test_a_rate_of_one_flips_every_byte_and_a_mask_says_which_bits() -> None:
    assert flips(Corrupt(rate=1, mask=0xFF), [bytes(9000)]) == dict.fromkeys(range(9000), 0xFF)
    assert set(flips(Corrupt(rate=1), [bytes(9000)])) == set(range(9000))
    assert set(flips(Corrupt(at=range(5), mask=6), [bytes(9)]).values()) == {6}


@given(
    st.builds(Corrupt, rate=st.sampled_from([0.001, 0.1, 1]))
    | st.builds(Corrupt, at=st.lists(st.integers(0, 9000), min_size=1)),
    st.lists(st.integers(1, 9000), max_size=6),
    st.integers(0, 3),
)
def test_the_same_bits_are_flipped_however_the_stream_is_cut(
    fault: Corrupt, places: list[int], seed: int
) -> None:
    marks = sorted({0, 9000, *places})
    chunks = [bytes(b - a) for a, b in zip(marks, marks[1:], strict=False)]
    assert flips(fault, chunks, seed) == flips(fault, [bytes(9000)], seed)


def test_byte_by_byte_the_same_bits_are_flipped() -> None:
    assert flips(Corrupt(0.01), [b"a"] * 9000) == flips(Corrupt(0.01), [b"a" * 9000]) != {}


def test_another_seed_flips_other_bits() -> None:
    first, second = (flips(Corrupt(0.01), [bytes(9000)], seed) for seed in (1, 2))
    assert first != second


def datagrams(fault: Fault, datagrams: Iterable[bytes], seed: int = 0) -> list[bytes]:
    wire = row(fault, key=(seed,))
    for data in datagrams:
        wire.give(Datagram(0.0, data))
    return [data for _, data in wire.run().got[TO_CLIENT]]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("rate", [0.5, 0.1, 0.01])
def test_of_datagrams_the_rate_is_the_share_in_which_one_byte_is_flipped(rate: float, seed: int) -> None:
    made = [data for data in datagrams(Corrupt(rate), [bytes(10)] * 10_000, seed) if any(data)]
    assert near(len(made), 10_000, rate)
    assert all(data.count(0) == 9 and bin(max(data)).count("1") == 1 for data in made)
    places = Counter(data.index(max(data)) for data in made)
    assert all(near(places[place], len(made), 0.1) for place in range(10))


@pytest.mark.parametrize("fault", [Corrupt(rate=1), Corrupt(rate=1, mask=3), Corrupt(at=[0, 1, 2])])
def test_a_flipped_byte_lies_within_its_datagram(fault: Corrupt) -> None:
    made = datagrams(fault, [b"\0", b"", bytes(300)])
    assert [len(data) for data in made] == [1, 0, 300]
    assert [sum(byte > 0 for byte in data) for data in made] == [1, 0, 1]


# Replace against a reference.


def replaced(fault: Replace, chunks: Iterable[bytes], end: Event | None) -> bytes:
    wire = row(fault)
    for chunk in chunks:
        wire.give(Data(0.0, chunk))
    if end:
        wire.give(end)
    assert (wire.run().end[TO_CLIENT] is None) is (end is None)
    assert not wire.undelivered
    return wire.delivered()


ends = st.sampled_from([None, Fin(0.0), Rst(0.0)])
few = st.none() | st.integers(1, 3)
news = st.sampled_from([b"", b"a", b"X", b"ab", b"XYZ\\1"])


@given(patterns, news, few, streams, ways(), ends)
def test_bytes_are_replaced_as_bytes_replace_does(
    old: bytes, new: bytes, count: int | None, data: bytes, ways: Ways, end: Event | None
) -> None:
    fault, expected = Replace(old, new, count), data.replace(old, new, -1 if count is None else count)
    assert [replaced(fault, way(data), end) for way in ways] == [expected] * len(ways)


@given(regexes, news, few, st.integers(1, 5), streams, ways(), ends)
def test_a_regex_is_replaced_as_the_definition_says(
    regex: re.Pattern[bytes],
    new: bytes,
    count: int | None,
    window: int,
    data: bytes,
    ways: Ways,
    end: Event | None,
) -> None:
    fault, expected = (
        Replace(regex, new, count, window=window),
        by_definition(regex, new, count, window, data),
    )
    assert [replaced(fault, way(data), end) for way in ways] == [expected] * len(ways)


def by_definition(regex: re.Pattern[bytes], new: bytes, count: int | None, window: int, data: bytes) -> bytes:
    """A match ends at the first byte at which one within the window is complete, and begins as early as it can."""
    made, start = b"", 0
    for end in range(1, len(data) + 1):
        spans = (a for a in range(max(start, end - window), end) if regex.fullmatch(data, a, end))
        if count != 0 and (begin := next(spans, None)) is not None:
            made, start = made + data[start:begin] + new, end
            count = None if count is None else count - 1
    return made + data[start:]


@given(patterns, news, few, streams, ways())
def test_whether_bytes_were_replaced_is_told_rightly_and_holding_back_is_no_act(
    old: bytes, new: bytes, count: int | None, data: bytes, ways: Ways
) -> None:
    expected = data.replace(old, new, -1 if count is None else count)
    for way in ways:
        wire = row(Replace(old, new, count))
        replay(wire, way(data))
        assert len(wire.fires) == (expected != data)
        for fire in wire.fires:
            # In pieces it may be told earlier: "ab" for "a" in "ab" adds a byte at 1 or at 2.
            assert data.find(old) <= fire.offset <= first_difference(data, expected)


def replay(wire: Wire, chunks: Iterable[bytes], end: Event | None = None) -> Wire:
    for chunk in chunks:
        wire.give(Data(0.0, chunk))
    return wire.give(end).run() if end else wire.run()


def first_difference(one: bytes, other: bytes) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


# What is kept back, and for how long.


def heard(fault: Fault, *pieces: tuple[float, bytes]) -> list[tuple[float, bytes]]:
    wire = row(fault)
    for at, data in pieces:
        wire.run(at).give(Data(at, data))
    return wire.run().got[TO_CLIENT]


@pytest.mark.parametrize(
    ("pieces", "got"),
    [
        ([(0, b"xab")], [(0, b"x"), (1, b"ab")]),
        ([(0, b"ab"), (0.5, b"c")], [(0.5, b"X")]),
        ([(0, b"ab"), (1.5, b"c")], [(1, b"ab"), (1.5, b"c")]),
        ([(0, b"ab"), (1, b"c")], [(1, b"ab"), (1, b"c")]),
        ([(0, b"ab"), (0.5, b"ab"), (1.25, b"c")], [(0.5, b"ab"), (1.25, b"X")]),
        ([(0, b"a"), (0.5, b"a"), (1.25, b"bc")], [(0.5, b"a"), (1.25, b"X")]),
        ([(0, b"a"), (0.5, b"b"), (1.25, b"c")], [(1, b"ab"), (1.25, b"c")]),
        ([(0, b"abcab"), (2, b"abc")], [(0, b"X"), (1, b"ab"), (2, b"X")]),
        ([(0, b"ab"), (0.5, b"ca"), (0.75, b"bc")], [(0.5, b"X"), (0.75, b"X")]),
    ],
)
def test_a_possible_beginning_waits_for_the_rest_but_not_longer_than_hold(
    pieces: list[tuple[float, bytes]], got: list[tuple[float, bytes]]
) -> None:
    assert heard(Replace(b"abc", b"X", hold=1), *pieces) == got


@pytest.mark.parametrize(
    ("old", "pieces", "got"),
    [
        # The first of it goes, and what follows may still begin a match.
        (b"aab", [(0, b"a"), (0.5, b"a"), (1.25, b"ab")], [(1, b"a"), (1.25, b"X")]),
        (b"aab", [(0, b"xxa"), (0.5, b"a"), (1.25, b"ab")], [(0, b"xx"), (1, b"a"), (1.25, b"X")]),
        (b"aab", [(0, b"a"), (0.5, b"a"), (1.25, b"b")], [(1, b"a"), (1.25, b"ab")]),
        (b"abac", [(0, b"ab"), (0.5, b"a"), (1.25, b"bac")], [(1, b"ab"), (1.25, b"X")]),
        (b"abac", [(0, b"ab"), (0.5, b"a")], [(1, b"ab"), (1.5, b"a")]),
    ],
)
def test_a_match_that_comes_within_hold_is_found_also_behind_what_was_let_go(
    old: bytes, pieces: list[tuple[float, bytes]], got: list[tuple[float, bytes]]
) -> None:
    assert heard(Replace(old, b"X", hold=1), *pieces) == got


def test_of_a_regex_the_last_bytes_wait_and_the_line_before_is_known() -> None:
    fault = Replace(re.compile(rb"(?m)^b."), b"X", hold=1, window=2)
    assert heard(fault, (0, b"\nb"), (0.5, b"c")) == [(0, b"\n"), (0.5, b"X")]
    assert heard(fault, (0, b"a"), (2, b"bc")) == [(1, b"a"), (2, b"b"), (3, b"c")]
    assert heard(fault, (0, b"\n"), (2, b"bc")) == [(1, b"\n"), (2, b"X")]
    assert heard(fault, (0, b"bc"), (2, b"bc")) == [(0, b"X"), (2, b"b"), (3, b"c")]


def test_what_comes_later_than_hold_is_no_rest_although_the_wake_up_call_is_still_to_come() -> None:
    wire = row(Delay(0), Replace(b"ab", b"X", hold=1))
    wire.give(Data(0.0, b"a")).give(Data(5.0, b"b")).give(Data(6.0, b"a")).give(Fin(9.0))
    assert wire.run().got[TO_CLIENT] == [(1.0, b"a"), (5.0, b"b"), (7.0, b"a")]
    assert wire.fires == []


def test_one_wake_up_call_is_on_its_way_at_a_time() -> None:
    wire = row(Replace(b"aab", b"X", hold=1))
    for number in range(1000):
        wire.run(number / 1000).give(Data(number / 1000, b"a"))
    wire.run()
    assert wire.delivered() == b"a" * 1000
    assert sum(isinstance(out.event, Wake) for out in wire.outs) < 6


def test_a_wake_up_call_that_came_while_the_times_were_up_is_asked_for_again() -> None:
    armed = Armed(Replace(b"ab", b"X").times(1), TO_CLIENT)
    one, two = Wire(number=1, armed=[armed]), Wire(number=2, armed=[armed])
    two.give(Data(0.0, b"a"))
    one.give(Data(0.0, b"ab"))
    two.run(1.0)
    armed.forget()
    assert two.give(Data(2.0, b"a")).run().delivered() == b"aa"


def test_nothing_waits_for_the_rest_of_nothing() -> None:
    wire = row(Replace(b"ab", b"X")).give(Data(0.0, b""))
    assert not any(isinstance(out.event, Wake) for out in wire.outs)


def test_when_the_count_is_reached_nothing_waits() -> None:
    assert heard(Replace(b"ab", b"X", count=1), (0, b"aba"), (0.01, b"b")) == [(0, b"Xa"), (0.01, b"b")]


def test_what_waits_comes_when_the_fault_is_lifted() -> None:
    wire = Wire()
    armed = wire.add(Replace(b"abc", b"X"), 0.0)
    wire.give(Data(1.0, b"xab")).lift(armed, 1.01).give(Data(1.02, b"c"))
    assert wire.run().got[TO_CLIENT] == [(1.0, b"x"), (1.01, b"ab"), (1.02, b"c")]
    assert wire.fires == []


def test_what_waits_on_one_connection_comes_when_the_times_are_up_on_another() -> None:
    armed = Armed(Replace(b"ab", b"X", hold=5).times(1), TO_CLIENT)
    first, second, third = (Wire(number=number, armed=[armed]) for number in (1, 2, 3))
    first.give(Data(0.0, b"a"))
    second.give(Data(0.0, b"a"))
    third.give(Data(0.1, b"ab"))
    assert first.give(Data(0.2, b"b")).run().got[TO_CLIENT] == [(0.2, b"a"), (0.2, b"b")]
    assert second.run().got[TO_CLIENT] == [(5.0, b"a")]
    assert third.run().delivered() == b"X"
    assert armed.fired == 1


def test_holding_back_uses_up_no_times() -> None:
    wire = row(Replace(b"ab", b"X").times(1))
    assert replay(wire, [b"a", b"a", b"b"]).delivered() == b"aX"
    assert len(wire.fires) == 1


@pytest.mark.parametrize(
    ("fault", "chunks", "effect"),
    [
        (Replace(b"bcd", b"XY"), [b"ab", b"c", b"d"], "changed from byte 1"),
        (Replace(b"bcd", b"bXd"), [b"ab", b"c", b"d"], "changed from byte 2"),
        (Replace(b"bcd", b""), [b"ab", b"c", b"da"], "lost from byte 1"),
        (Replace(b"bcd", b"bcxd"), [b"ab", b"cdb"], "bytes added at byte 3"),
        (Replace(b"bcd", b"X").when(b"ab"), [b"aab", b"bc", b"d"], "changed from byte 3"),
        (Replace(b"d", b"X").on_connections(1), [b"abcd"], "changed from byte 3"),
        (Corrupt(at=2), [b"a", b"bcd"], "changed from byte 2"),
        (Insert(b"XY"), [b"abc"], "bytes added at byte 0"),
        (Insert(b"XY", after=2), [b"a", b"bc"], "bytes added at byte 2"),
        (Insert(b"XY", at=2), [b"ab", b"c"], "bytes added at byte 2"),
    ],
)
def test_the_words_name_the_byte_that_was_touched_first(
    fault: Narrowable, chunks: list[bytes], effect: str
) -> None:
    assert [fire.effect for fire in replay(row(fault), chunks).fires] == [effect]


def test_the_words_name_the_datagram() -> None:
    wire = row(Insert(b"X", at=1), Corrupt(at=0), Replace(b"c", b"X"))
    for data in (b"a", b"b", b"c"):
        wire.give(Datagram(0.0, data))
    assert [fire.effect for fire in wire.run().fires] == [
        "datagram 0 changed",
        "datagram added beside datagram 1",
        "datagram 3 changed",
    ]


# Among others.

contents: st.SearchStrategy[Narrowable] = st.one_of(
    st.builds(Corrupt, rate=st.sampled_from([0.1, 0.5, 1]), mask=st.sampled_from([None, 1, 0x20])),
    st.builds(Corrupt, at=st.integers(0, 20) | st.lists(st.integers(0, 20), min_size=1, max_size=4)),
    st.builds(Insert, patterns, at=st.integers(0, 20)),
    st.builds(Insert, patterns, after=st.integers(0, 20) | st.none()),
    st.builds(Replace, patterns, news, few, hold=st.just(LONG)),
    st.builds(Replace, regexes, news, few, hold=st.just(LONG), window=st.integers(1, 4)),
)


@given(st.lists(narrowed(contents | steady), max_size=4), streams, ways(), ends, st.lists(st.integers(0, 4)))
def test_in_any_row_the_peer_sees_the_same_however_the_input_is_chunked(
    faults: list[Narrowable], data: bytes, ways: Ways, end: Event | None, gaps: list[int]
) -> None:
    first, *others = [replay(row(*faults), way(data), end) for way in ways]
    for way in ways:
        others.append(slowly(row(*faults), way(data), end, gaps))
    assert [other.seen_by_peers() for other in others] == [first.seen_by_peers()] * len(others)


def slowly(wire: Wire, chunks: Iterable[bytes], end: Event | None, gaps: Iterable[int]) -> Wire:
    at, gap = 0.0, iter(gaps)
    for chunk in chunks:
        at += next(gap, 0)
        wire.run(at).give(Data(at, chunk))
    return wire.run(at).give(end.moved(at)).run() if end else wire.run()


@given(
    contents | st.builds(Replace, patterns, news, few, hold=st.integers(0, 8).map(lambda n: n / 4)),
    streams,
    ways(),
    st.lists(st.integers(0, 2)),
    st.integers(0, 9),
)
def test_a_fault_that_comes_and_goes_harms_nothing_else(
    fault: Narrowable, data: bytes, ways: Ways, gaps: list[int], seed: int
) -> None:
    for way in ways:
        wire = Wire(key=(seed,))
        armed = wire.add(fault, 0.0)
        slowly(wire, way(data), None, gaps)
        made = wire.delivered()
        wire.lift(armed, 1e9).give(Data(1e9, data)).give(Fin(1e9)).run(2e9)
        assert wire.delivered() == made + data
        assert isinstance(wire.end[TO_CLIENT], Fin)
        assert [at for at, _ in wire.got[TO_CLIENT]] == sorted(at for at, _ in wire.got[TO_CLIENT])


def test_offsets_count_as_the_bytes_reach_the_fault() -> None:
    assert replay(row(Insert(b"XY", at=1), Corrupt(at=3, mask=0x20)), [b"abc"]).delivered() == b"aXYBc"
    assert replay(row(Corrupt(at=3, mask=0x20), Insert(b"XY", at=1)), [b"abcd"]).delivered() == b"aXYbcD"
    assert replay(row(Replace(b"bc", b"X"), Truncate(2)), [b"a", b"b", b"cd"]).delivered() == b"aX"
    assert replay(row(Drop(2), Insert(b"XY", at=2)), [b"abc"]).delivered() == b"ab"
    assert replay(row(Replace(b"abc", b"X"), Slice(1)), [b"zab", b"c"]).delivered() == b"zX"


def test_a_narrowed_insert_counts_from_where_it_begins() -> None:
    assert replay(row(Insert(b"XY").when(b"b")), [b"abc"]).delivered() == b"abXYc"
    assert replay(row(Insert(b"XY", at=1).when(b"b")), [b"abc", b"d"]).delivered() == b"abcXYd"
    wire = Wire(to_client=[Insert(b"XY").when(b"go", direction="to_server")])
    wire.give(Data(1.0, b"ab")).give(Data(2.0, b"go"), "to_server").give(Data(3.0, b"cd"))
    assert wire.run().delivered() == b"abXYcd"


# As values.


@given(contents)
def test_content_prints_as_the_code_that_made_it(fault: Narrowable) -> None:
    assert eval(repr(fault), {**FACE, "re": re}) == fault


@given(contents)
def test_content_pickles_and_hashes_by_value(fault: Narrowable) -> None:
    again = pickle.loads(pickle.dumps(fault))
    assert again == fault
    assert {again: 1}[fault] == 1
    assert repr(again) == repr(fault)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Corrupt(0.1), "Corrupt(rate=0.1)"),
        (Corrupt(at=3), "Corrupt(at=3)"),
        (Corrupt(at=[5, 3, 5], mask=1), "Corrupt(at=(3, 5), mask=1)"),
        (Insert(b"x"), "Insert(data=b'x')"),
        (Insert(b"x", at=0), "Insert(data=b'x', at=0)"),
        (Insert(b"x", after=0), "Insert(data=b'x', after=0)"),
        (Replace(b"a", b""), "Replace(old=b'a', new=b'')"),
        (Replace(b"a", b"b", 2, hold=1), "Replace(old=b'a', new=b'b', count=2, hold=1)"),
        (
            Replace(re.compile(b"a" * 300, re.DOTALL), b"b", window=300),
            f"Replace(old=re.compile(b'{'a' * 300}', re.DOTALL), new=b'b', window=300)",
        ),
    ],
)
def test_of_content_only_what_differs_from_the_defaults_is_printed(fault: Fault, code: str) -> None:
    assert repr(fault) == code


def test_only_a_rate_below_1_is_chance() -> None:
    assert Corrupt(0.1).on_connections(1).by_chance()
    assert not Corrupt(1).by_chance()
    assert not Corrupt(at=1).by_chance()
    assert not Insert(b"x").by_chance()
    assert not Replace(b"x", b"y").by_chance()


def test_at_the_opening_there_is_no_datagram_to_stand_beside() -> None:
    for fault in (Insert(b"x"), Insert(b"x", after=0), Insert(b"x").when(b"go")):
        with pytest.raises(ValueError, match="fits UDP: a datagram stands beside another one; write at=0"):
            faults_of("to_client", fault, "udp")
    fit = (Insert(b"x", at=0), Insert(b"x", after=1), Corrupt(0.1), Replace(b"x", b"y"))
    assert faults_of("to_client", fit, "udp") == fit
    assert faults_of("to_client", Insert(b"x"), "tcp") == (Insert(b"x"),)


WRONG: list[tuple[Any, type[Exception], str]] = [
    ("Corrupt()", ValueError, "rate is None and at is None; expected one of them: choose"),
    ("Corrupt(0.1, 3)", ValueError, "rate is 0.1 and at is 3; expected one of them: choose"),
    ("Corrupt(0)", ValueError, "rate is 0; expected a number above 0 up to 1, such as 0.1 for one in ten"),
    ("Corrupt(2)", ValueError, "rate is 2; expected a number above 0 up to 1, such as 0.1 for one in ten"),
    ("Corrupt('1')", TypeError, "rate is '1'; expected a number, such as 0.1 for one in ten"),
    ("Corrupt(at=-1)", ValueError, "at is -1; expected 0 or more"),
    ("Corrupt(at=[3, -1])", ValueError, "at is -1; expected 0 or more"),
    ("Corrupt(at=[1.5])", TypeError, "at is 1.5; expected a whole number"),
    ("Corrupt(at=True)", TypeError, "at is True; expected a whole number"),
    ("Corrupt(at=[])", ValueError, "at is []; expected at least one offset"),
    ("Corrupt(at=b'ab')", TypeError, "at is b'ab'; expected an offset, or a sequence of offsets such as [3, 10]"),
    ("Corrupt(at=1.5)", TypeError, "at is 1.5; expected an offset, or a sequence of offsets such as [3, 10]"),
    ("Corrupt(at=1, mask=0)", ValueError, "mask is 0; expected 1 to 255"),
    ("Corrupt(at=1, mask=256)", ValueError, "mask is 256; expected 1 to 255"),
    ("Corrupt(at=1, mask=b'1')", TypeError, "mask is b'1'; expected a whole number"),
    ("Insert(b'')", ValueError, "data is b''; expected 1 or more bytes"),
    ("Insert('x')", TypeError, "data is 'x'; expected bytes, such as b'ping'"),
    ("Insert(b'x', at=0, after=0)", ValueError, "after is 0 and at is 0; expected one of them: choose"),
    ("Insert(b'x', at=-1)", ValueError, "at is -1; expected 0 or more bytes"),
    ("Insert(b'x', after='1')", TypeError, "after is '1'; expected a whole number of bytes"),
    ("Replace(b'', b'x')", ValueError, "old is b''; expected at least one byte: an empty pattern is found everywhere"),
    ("Replace(b'x', 'y')", TypeError, "new is 'y'; expected bytes, such as b'ping'"),
    ("Replace(b'x', b'y', 0)", ValueError, "count is 0; expected 1 or more matches"),
    ("Replace(b'x', b'y', hold=-1)", ValueError, "hold is -1; expected a finite number of seconds, 0 or more"),
    ("Replace(b'x', b'y', window=0)", ValueError, "window is 0; expected 1 or more bytes"),
    (
        "Replace('x', b'y')",
        TypeError,
        "old is 'x'; expected bytes or a compiled bytes regex, such as b'COMMIT' or re.compile(rb'id=\\d')",
    ),
    (
        "Replace(re.compile(b'x'), b'y')",
        ValueError,
        "window is None; expected the longest match of the regex in bytes, 1 or more: say window=, so that it is found "
        "across chunks",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("code", "error", "message"), WRONG)
def test_a_wrong_argument_of_content_names_field_and_value_and_what_was_expected(
    code: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        eval(code, {**FACE, "re": re})
    assert str(caught.value) == message


def test_nothing_but_what_may_begin_a_match_is_kept() -> None:
    wire = row(Replace(b"abcabx", b"", hold=LONG))
    for chunk, kept in ((b"zzabcab" * 5000, 5), (b"c", 3), (b"abcab", 5), (b"x", 0)):
        wire.give(Data(0.0, chunk))
        assert wire.pipeline.held_bytes(TO_CLIENT) == kept
    assert wire.run().delivered() == b"zzabcab" * 5000 + b"c"
