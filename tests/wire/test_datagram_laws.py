"""The laws of datagrams, as properties over rows of random faults.

A datagram is one event: there are no chunks, and no order that must be kept. What is decided about it goes by its number.
Times are numbers, so that nothing here waits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import accumulate, chain, groupby, repeat

from hypothesis import given
from hypothesis import strategies as st
from wire.wire_tools import (
    Wire,
    bursts,
    corrupting,
    datagrams,
    delays,
    jitters,
    late,
    lines,
    narrowed,
    numbered,
    of_datagrams,
    patterns,
    pauses,
    punctual,
    rates,
    row,
    rows,
    seconds,
    streams,
    traffic,
)

from pytest_netfixtures._wire.content import Insert
from pytest_netfixtures._wire.datagrams import Duplicate, Loss, MaxSize, Reorder
from pytest_netfixtures._wire.entries import TO_CLIENT
from pytest_netfixtures._wire.events import Datagram
from pytest_netfixtures._wire.narrowing import Narrowable
from pytest_netfixtures._wire.replacing import Replace
from pytest_netfixtures._wire.streams import Bandwidth, Delay

Numbers = list[int]
gaps = st.lists(seconds, max_size=12)
keeping = delays | jitters | lines | pauses | st.builds(Reorder, rates, seconds.filter(bool))
unconditioned = narrowed(st.builds(Loss, rates) | bursts | st.builds(Duplicate, rates), directions=())


def feed(wire: Wire, data: Iterable[bytes], gaps: Iterable[float] = ()) -> Wire:
    """Each datagram at its time, then everything that is due."""
    times = accumulate(chain(gaps, repeat(0.0)))
    for at, each in zip(times, data, strict=False):
        wire.run(at).give(Datagram(at, each, "somebody"))
    return wire.run()


def decided(faults: Sequence[Narrowable], data: Iterable[bytes], gaps: Iterable[float] = ()) -> list[bytes]:
    """What is made of the datagrams, in the order in which they were sent, whenever it is delivered."""
    return [out.data for out in traffic(feed(row(*faults), data, gaps).outs) if isinstance(out, Datagram)]


def labelled(count: int, sizes: Iterable[int] = ()) -> list[bytes]:
    """So many datagrams that begin with their number, with tails of these sizes."""
    tails = chain(sizes, repeat(0))
    return [bytes([number]) + bytes(tail) for number, tail in zip(range(count), tails, strict=False)]


def labels(data: Iterable[bytes]) -> Numbers:
    return [each[0] for each in data]


def got(wire: Wire) -> list[bytes]:
    return [data for _, data in wire.got[TO_CLIENT]]


# Each fault does what it can do, and no more.


@given(unconditioned, st.integers(0, 30))
def test_faults_of_datagrams_keep_order_and_bytes(fault: Narrowable, count: int) -> None:
    made = labels(decided([fault], labelled(count)))
    assert made == sorted(made)
    assert set(made) <= set(range(count))


@given(narrowed(st.builds(Loss, rates) | bursts), st.integers(0, 30))
def test_loss_only_removes(fault: Narrowable, count: int) -> None:
    made = labels(decided([fault], labelled(count)))
    assert len(made) == len(set(made))


@given(narrowed(st.builds(Duplicate, rates)), st.integers(0, 30))
def test_duplicate_only_adds_one_right_behind(fault: Narrowable, count: int) -> None:
    wire = feed(row(fault), labelled(count), repeat(1.0))
    runs = [(number, len(list(group))) for number, group in groupby(labels(got(wire)))]
    assert [number for number, _ in runs] == list(range(count))
    assert all(times in (1, 2) for _, times in runs)
    assert wire.armed[0].fired == sum(times == 2 for _, times in runs)


@given(rows(keeping, timed=True), datagrams, gaps)
def test_faults_that_make_late_lose_and_double_nothing(
    faults: list[Narrowable], data: list[bytes], gaps: list[float]
) -> None:
    assert Counter(got(feed(row(*faults), data, gaps))) == Counter(data)


@given(narrowed(st.builds(Reorder, rates, st.just(5.0))), st.integers(0, 30))
def test_reorder_makes_late_by_its_seconds_or_not_at_all(fault: Narrowable, count: int) -> None:
    wire = feed(row(fault), labelled(count), repeat(1.0))
    delays = [at - data[0] - 1 for at, data in wire.got[TO_CLIENT]]
    assert set(delays) <= {0.0, 5.0}
    assert wire.armed[0].fired == delays.count(5.0)


@given(st.integers(1, 5), st.booleans(), datagrams)
def test_none_is_longer_than_the_most(size: int, cut: bool, data: list[bytes]) -> None:
    whole = [each[:size] for each in data if cut or len(each) <= size]
    assert decided([MaxSize(size, cut)], data) == whole


@given(narrowed(corrupting), datagrams)
def test_corrupt_changes_one_byte_of_a_datagram_at_most(fault: Narrowable, data: list[bytes]) -> None:
    wire = feed(row(fault), data)
    pairs = list(zip(data, got(wire), strict=True))
    changes = [sum(x != y for x, y in zip(a, b, strict=True)) for a, b in pairs]
    assert set(changes) <= {0, 1}
    assert wire.armed[0].fired == sum(changes)


@given(patterns, streams, datagrams)
def test_replace_acts_within_each_datagram(old: bytes, new: bytes, data: list[bytes]) -> None:
    assert decided([Replace(old, new)], data) == [each.replace(old, new) for each in data]


@given(datagrams, st.integers(0, 14))
def test_insert_adds_one_datagram_where_it_says(data: list[bytes], place: int) -> None:
    before = [*data[:place], b"new", *data[place:]] if place < len(data) else data
    behind = [*data[:place], b"new", *data[place:]] if 0 < place <= len(data) else data
    assert decided([Insert(b"new", at=place)], data) == before
    assert place == 0 or decided([Insert(b"new", after=place)], data) == behind


# What is decided goes by the number of the datagram.


# From a match on goes by who is there first; so with `when` only where none overtakes another.
@given(rows(of_datagrams, directions=()) | rows(punctual), datagrams, gaps)
def test_what_is_decided_does_not_depend_on_times(
    faults: list[Narrowable], data: list[bytes], gaps: list[float]
) -> None:
    assert decided(faults, data, gaps) == decided(faults, data)


@given(rows(numbered, directions=()), st.integers(0, 12), st.lists(st.integers(0, 9), max_size=12))
def test_what_is_decided_does_not_depend_on_sizes(
    faults: list[Narrowable], count: int, sizes: list[int]
) -> None:
    assert labels(decided(faults, labelled(count, sizes))) == labels(decided(faults, labelled(count)))


@given(rows(numbered, directions=()), st.integers(0, 12), st.integers(0, 12))
def test_what_is_decided_does_not_depend_on_what_comes_later(
    faults: list[Narrowable], count: int, more: int
) -> None:
    made = labels(decided(faults, labelled(count + more)))
    assert [number for number in made if number < count] == labels(decided(faults, labelled(count)))


@given(rows(of_datagrams, timed=True), datagrams, gaps, st.integers())
def test_the_same_seed_gives_the_same_datagrams_at_the_same_times(
    faults: list[Narrowable], data: list[bytes], gaps: list[float], seed: int
) -> None:
    first, second = (feed(row(*faults, key=(seed,)), data, gaps) for _ in range(2))
    assert first.got == second.got
    assert first.fires == second.fires


@given(st.integers(), st.integers())
def test_another_seed_loses_others(seed: int, other: int) -> None:
    def lost(key: int) -> list[bytes]:
        return got(feed(row(Loss(0.5), key=(key,)), labelled(100)))

    assert (lost(seed) == lost(other)) == (seed == other)


# Times.


@given(rows(of_datagrams, timed=True), datagrams, gaps)
def test_no_datagram_is_early(faults: list[Narrowable], data: list[bytes], gaps: list[float]) -> None:
    wire = row(*faults)
    at = 0.0
    for each, gap in zip(data, chain(gaps, repeat(0.0)), strict=False):
        at += gap
        known = len(wire.outs)
        wire.run(at).give(Datagram(at, each))
        assert all(event.at >= at for event in traffic(wire.outs[known:]))


@given(st.lists(late, min_size=1, max_size=4), rows(numbered | lines), st.integers(0, 12), gaps)
def test_a_delay_of_d_never_delivers_a_datagram_before_d(
    delays: list[Delay], others: list[Narrowable], count: int, gaps: list[float]
) -> None:
    sent = list(accumulate(chain(gaps[:count], repeat(0.0, count))))
    wire = feed(row(*others, *delays), labelled(count), gaps)
    least = sum(delay.seconds for delay in delays)
    assert all(at >= sent[data[0]] + least - 1e-9 for at, data in wire.got[TO_CLIENT])


@given(lines, datagrams, gaps)
def test_a_line_is_never_faster_with_datagrams_than_it_says(
    line: Bandwidth, data: list[bytes], gaps: list[float]
) -> None:
    sizes = 0
    for at, each in feed(row(line), data, gaps).got[TO_CLIENT]:
        sizes += len(each)
        assert at >= (sizes - line.burst) / line.bytes_per_second - 1e-6


# Counting.


@given(st.integers(1, 5), st.integers(0, 30), rates)
def test_a_fault_with_times_fires_so_often_and_no_more(n: int, count: int, rate: float) -> None:
    wire = feed(row(Loss(rate).times(n)), labelled(count))
    assert wire.armed[0].fired == count - len(got(wire)) <= n
    assert rate < 1 or wire.armed[0].fired == min(n, count)


@given(rows(of_datagrams, timed=True), datagrams, gaps)
def test_each_firing_is_told_once_and_counted(
    faults: list[Narrowable], data: list[bytes], gaps: list[float]
) -> None:
    wire = feed(row(*faults), data, gaps)
    assert sum(armed.datagrams for armed in wire.armed) == len(
        [fire for fire in wire.fires if "datagram" in fire.effect]
    )


@given(rows(of_datagrams | numbered, timed=True), datagrams, gaps)
def test_a_row_that_never_fired_has_changed_nothing(
    faults: list[Narrowable], data: list[bytes], gaps: list[float]
) -> None:
    wire = feed(row(*faults), data, gaps)
    if not any(armed.fired for armed in wire.armed):
        sent = accumulate(chain(gaps, repeat(0.0)))
        assert wire.got[TO_CLIENT] == [(at, each) for at, each in zip(sent, data, strict=False)]
