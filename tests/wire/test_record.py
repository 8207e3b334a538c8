"""Records and what is read from them: append-only, bounded, and honest about what they do not have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_netfixtures import _errors
from pytest_netfixtures._wire import record as room
from pytest_netfixtures._wire.record import Budget, CutBytes, CutDatagrams, Datagrams, Record


def new(room: int = 1000, budget: int = 1000, datagrams: bool = False) -> Record:
    return Record(room, Budget(budget), datagrams)


@given(st.lists(st.binary(max_size=9)), st.lists(st.binary(max_size=9)))
def test_an_extent_stays_what_it_was_when_more_arrives(first: list[bytes], later: list[bytes]) -> None:
    record = new()
    for data in first:
        record.add(1.0, len(data), data)
    before, read_before = record.extent(), record.extent().value()
    for data in later:
        record.add(2.0, len(data), data)
    assert before.value() == read_before == b"".join(first)
    assert [size for _, _, size in before.steps()] == [len(data) for data in first]
    assert record.extent().value() == b"".join(first + later)


def test_bytes_are_copied_only_when_they_are_first_read_and_not_before_later_ones_came() -> None:
    record = new()
    record.add(1.0, 3, b"abc")
    extent = record.extent()
    record.add(2.0, 3, b"def")
    assert extent.value() == b"abc"
    assert extent.value() is extent.value()


@given(st.lists(st.binary(max_size=9), max_size=20), st.integers(0, 60), st.integers(0, 60))
def test_a_stream_keeps_exactly_what_fits_and_counts_the_rest(
    parts: list[bytes], room: int, budget: int
) -> None:
    record = new(room, budget)
    for data in parts:
        record.add(1.0, len(data), data)
    whole, extent = b"".join(parts), record.extent()
    assert extent.size == len(whole)
    assert extent.cut == (len(whole) > min(room, budget))
    assert bytes(extent.value()) == whole[: min(room, budget)]  # type: ignore[arg-type]


@given(st.lists(st.binary(max_size=9), max_size=20), st.integers(0, 60))
def test_datagrams_are_kept_whole_from_the_first_or_not_at_all(parts: list[bytes], room: int) -> None:
    record = new(room, datagrams=True)
    for data in parts:
        record.add(1.0, len(data), data)
    kept = list(record.extent().value())
    assert kept == parts[: len(kept)]
    assert record.extent().cut == (sum(map(len, parts)) > room) == (len(kept) < len(parts))
    assert (record.extent().count, record.extent().size) == (len(parts), sum(map(len, parts)))


def test_two_records_share_one_budget() -> None:
    budget = Budget(5)
    one, other = Record(100, budget), Record(100, budget)
    one.add(1.0, 4, b"abcd")
    other.add(1.0, 4, b"efgh")
    assert (one.cut, other.cut, bytes(other.extent().value()), budget.left) == (False, True, b"e", 0)  # type: ignore[arg-type]


def test_bytes_that_were_not_given_cut_the_record() -> None:
    record = new()
    record.add(1.0, 2, b"ab")
    record.add(1.0, 4, None)
    record.add(1.0, 2, b"gh")
    assert (bytes(record.extent().value()), record.extent().cut, record.size) == (b"ab", True, 8)  # type: ignore[arg-type]


@pytest.mark.parametrize("datagrams", [False, True])
def test_events_beyond_the_bound_are_counted(datagrams: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MAX_EVENTS", 3)
    record = new(datagrams=datagrams)
    for _ in range(5):
        record.add(1.0, 2, b"ab")
    extent = record.extent()
    assert (extent.size, len(list(extent.steps())), extent.cut) == (10, 3, datagrams)
    assert list(extent.value()) == ([b"ab"] * 3 if datagrams else list(b"ab" * 5))


def test_steps_count_bytes_of_a_stream_and_numbers_of_datagrams() -> None:
    stream, row = new(), new(datagrams=True)
    for record in (stream, row):
        record.add(1.0, 2, b"ab")
        record.add(2.0, 3, b"cde")
    assert list(stream.extent().steps()) == [(1.0, 0, 2), (2.0, 2, 3)]
    assert list(row.extent().steps()) == [(1.0, 0, 2), (2.0, 1, 3)]


def test_extents_are_equal_when_they_say_the_same() -> None:
    one, other, third, fourth = (new() for _ in range(4))
    for record, at, data in (
        (one, 1.0, b"ab"),
        (other, 1.0, b"ab"),
        (third, 2.0, b"ab"),
        (fourth, 1.0, b"abc"),
    ):
        record.add(at, len(data), data)
    assert one.extent() == other.extent()
    assert one.extent() != third.extent()
    assert one.extent() != fourth.extent()
    assert one.extent() != b"ab"


def test_cut_extents_are_equal_to_themselves_and_otherwise_not_comparable() -> None:
    one, other = new(1), new(1)
    for record in (one, other):
        record.add(1.0, 2, b"ab")
    kept = one.extent()
    assert kept == one.extent()
    with pytest.raises(_errors.CaptureIncomplete):
        assert kept == other.extent()
    other.add(1.0, 1, b"c")
    assert kept != other.extent()


CUT: Any = CutBytes(b"GET / HTTP")
ROW: Any = CutDatagrams([b"one", b"two"])

UNKNOWN: list[Callable[[], Any]] = [
    lambda: CUT == b"GET / HTTP",
    lambda: CUT != b"GET / HTTP",
    lambda: b"GET / HTTP" == CUT,
    lambda: CUT == bytearray(b"x"),
    lambda: b"Host" in CUT,
    lambda: CUT.find(b"Host"),
    lambda: CUT.index(b"Host"),
    lambda: CUT.rfind(b"GET"),
    lambda: CUT.rindex(b"GET"),
    lambda: CUT.count(b"T"),
    lambda: CUT.endswith(b"HTTP"),
    lambda: CUT.startswith(b"GET / HTTP/1.1"),
    lambda: CUT.startswith(b"T", 20),
    lambda: CUT[4:] == b"/ HTTP",
    lambda: CUT[:20] == b"GET / HTTP",
    lambda: CUT[-4:] == b"HTTP",
    lambda: CUT[4:-1] == b"/ HTT",
    lambda: CUT[::-1] == b"PTTH",
    lambda: ROW == (b"one", b"two"),
    lambda: ROW != [b"one", b"two"],
    lambda: [b"one", b"two"] == ROW,
    lambda: b"six" in ROW,
    lambda: ROW.index(b"six"),
    lambda: ROW.count(b"one"),
    lambda: ROW[1:] == [b"two"],
]


@pytest.mark.parametrize("claim", UNKNOWN)
def test_what_a_cut_record_cannot_tell_raises(claim: Callable[[], Any]) -> None:
    with pytest.raises(
        _errors.CaptureIncomplete, match=r"(?s)was cut after .* Expected a whole record\. Compare a part"
    ):
        claim()


KNOWN: list[tuple[Any, Any]] = [
    (b"GET" in CUT, True),
    (71 in CUT, True),
    (CUT.find(b"/"), 4),
    (CUT.index(b"HTTP"), 6),
    (CUT.startswith(b"GET"), True),
    (CUT.startswith(b"POST"), False),
    (CUT.startswith((b"POST", b"GET")), True),
    (CUT.startswith(()), False),
    (CUT[:3] == b"GET", True),
    (CUT[0:3:2] == b"GT", True),
    (CUT[0], 71),
    (CUT == "GET", False),
    (CUT != None, True),  # noqa: E711
    (len({CUT: 1}), 1),
    (b"two" in ROW, True),
    (ROW.index(b"two"), 1),
    (ROW[0], b"one"),
    (ROW[:1] == [b"one"], True),
    (ROW == "one", False),
    (ROW != 1, True),
    (len({ROW: 1}), 1),
]


@pytest.mark.parametrize(("found", "expected"), KNOWN)
def test_what_a_cut_record_can_tell_is_told(found: Any, expected: Any) -> None:
    assert found == expected


def test_datagrams_equal_lists_and_tuples_of_the_same_bytes() -> None:
    row = Datagrams([b"a", b"b"])
    assert row == [b"a", b"b"]
    assert row == (b"a", b"b")
    assert row[1:] == [b"b"]
    assert row[0] == b"a"
    assert row != [b"a"]
    assert row != (b"a",)
    assert len({row: 1}) == 1
