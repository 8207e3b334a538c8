"""The faults of datagrams: as tables, by their statistics at fixed seeds, and as decisions that never change."""

from __future__ import annotations

import pickle
import statistics
from collections.abc import Sequence
from functools import cache
from hashlib import blake2b
from itertools import groupby, pairwise
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire.wire_tools import FACE, Wire, answers, row

from pytest_netfixtures._wire import datagrams
from pytest_netfixtures._wire.datagrams import BurstLoss, Duplicate, Loss, MaxSize, Reorder
from pytest_netfixtures._wire.decisions import Decisions
from pytest_netfixtures._wire.entries import TO_CLIENT, TO_SERVER
from pytest_netfixtures._wire.events import Data, Datagram, Event, Fin, Lifted, Opened, Rst, Wake
from pytest_netfixtures._wire.given import faults_of, must_fire
from pytest_netfixtures._wire.narrowing import Narrowable
from pytest_netfixtures._wire.pieces import Slice
from pytest_netfixtures._wire.pipeline import Armed, Fault, Seen
from pytest_netfixtures._wire.seen import apply
from pytest_netfixtures._wire.streams import Delay, Stall

OPEN = Opened(0.0)
A, B, C = Datagram(1.0, b"a", "me"), Datagram(2.0, b"bcd", "me"), Datagram(3.0, b"", "me")

rates = st.floats(0.001, 1)
by_number: st.SearchStrategy[Narrowable] = st.one_of(
    st.builds(Loss, rates),
    st.builds(Duplicate, rates),
    st.builds(Reorder, rates, st.floats(0.001, 9)),
    st.builds(BurstLoss, rates, rates, rates, rates | st.just(0)),
)
every = by_number | st.builds(MaxSize, st.integers(1, 2000), st.booleans())


def a_seen(*key: object) -> Seen:
    return Seen(1, TO_CLIENT, Decisions(*key), {}, {})


def fates(fault: Fault, count: int, *key: object) -> list[list[Event]]:
    """What becomes of each of so many datagrams, a second apart."""
    seen = a_seen(*key)
    return [list(apply(fault, Datagram(float(number), b"x"), seen)) for number in range(count)]


@cache
def touched(fault: Fault, count: int, *key: object) -> tuple[bool, ...]:
    """Which of so many datagrams the fault does something to."""
    return tuple(
        outs != [Datagram(float(number), b"x")] for number, outs in enumerate(fates(fault, count, *key))
    )


# Tables: each fault alone, events in and events out.

TABLE: list[tuple[Fault, list[Event], list[list[Event]]]] = [
    (Loss(1), [OPEN, A, B, C, Lifted(9.0), A], [[], [], [], [], [], [A]]),
    (Duplicate(1), [OPEN, A, B, C], [[], [A, A], [B, B], [C, C]]),
    (Duplicate(1), [A, Lifted(9.0), B], [[A, A], [], [B]]),
    (Reorder(1, 5), [OPEN, A, B], [[], [A.moved(6.0)], [B.moved(7.0)]]),
    (Reorder(1, 5), [A, Lifted(2.0), B], [[A.moved(6.0)], [], [B]]),
    # A datagram meets the state before the change that follows it; by the chance of this key the line begins bad.
    (BurstLoss(1, 1), [OPEN, A, B, C, A, B], [[], [], [B], [], [A], []]),
    (BurstLoss(1, 1, loss_in_good=1), [A, B, C], [[], [], []]),
    (MaxSize(2), [OPEN, A, B, C], [[], [A], [], [C]]),
    (MaxSize(3), [OPEN, A, B, C], [[], [A], [B], [C]]),
    (MaxSize(2, cut=True), [A, B, C], [[A], [Datagram(2.0, b"bc", "me")], [C]]),
    (MaxSize(1, cut=True), [A, Lifted(1.5), B], [[A], [], [B]]),
]


@pytest.mark.parametrize(("fault", "given", "made"), TABLE, ids=lambda each: str(each)[:70])
def test_datagrams_in_and_datagrams_out(fault: Fault, given: list[Event], made: list[list[Event]]) -> None:
    assert answers(fault, *given) == made


@given(every)
def test_what_belongs_to_a_stream_goes_through_as_it_is(fault: Narrowable) -> None:
    stream: list[Event] = [Data(1.0, b"abc"), Fin(2.0), Rst(3.0)]
    assert answers(fault, OPEN, *stream, Lifted(4.0)) == [[], *([event] for event in stream), []]
    assert list(fault(Wake(1.0), a_seen())) == []


@pytest.mark.parametrize(
    ("fault", "effects"),
    [
        (Loss(1), ["datagram 0 lost", "datagram 1 lost"]),
        (Duplicate(1), ["datagram 0 sent 2 times", "datagram 1 sent 2 times"]),
        (Reorder(1, 0.25), ["datagram 0 late by 0.25 s", "datagram 1 late by 0.25 s"]),
        (BurstLoss(1, 1), ["datagram 0 lost"]),
        (MaxSize(2), ["datagram 1 lost"]),
        (MaxSize(2, cut=True), ["datagram 1 cut to 2 of 3 bytes"]),
    ],
)
def test_each_datagram_that_is_touched_is_told_in_words(fault: Fault, effects: list[str]) -> None:
    wire = row(fault).give(A).give(B).run()
    assert [fire.effect for fire in wire.fires] == effects
    assert [armed.fired for armed in wire.armed] == [len(effects)]


def test_a_duplicate_arrives_right_behind_the_first() -> None:
    wire = row(Duplicate(1)).give(A).give(A.moved(1.0)).give(B)
    assert wire.run().got[TO_CLIENT] == [(1.0, b"a")] * 4 + [(2.0, b"bcd")] * 2


def test_each_copy_is_a_datagram_of_its_own_for_the_next_fault() -> None:
    wire = row(Duplicate(1), BurstLoss(1, 1)).give(A).give(B)
    assert wire.run().got[TO_CLIENT] == [(1.0, b"a"), (2.0, b"bcd")]


def test_who_is_chosen_by_reorder_is_overtaken_by_what_comes_in_time() -> None:
    wire = row(Reorder(1, 2.5).times(1))
    for number in range(5):
        wire.give(Datagram(float(number), b"%d" % number))
    assert [data for _, data in wire.run().got[TO_CLIENT]] == [b"1", b"2", b"0", b"3", b"4"]


def test_a_fault_that_is_added_live_counts_from_then() -> None:
    wire = row().give(A).give(A).give(A)
    wire.add(BurstLoss(1, 1), 1.5)
    wire.give(B).give(C)
    assert [data for _, data in wire.run().got[TO_CLIENT]] == [b"a", b"a", b"a", b""]
    assert [fire.offset for fire in wire.fires] == [3]


def test_what_a_stall_held_meets_the_faults_behind_it_when_it_is_lifted() -> None:
    stall = Armed(Stall(), TO_CLIENT)
    wire = Wire(armed=[stall, Armed(BurstLoss(1, 1), TO_CLIENT)]).give(A).give(B).give(C)
    assert wire.run(5.0).got[TO_CLIENT] == []
    wire.lift(stall, 5.0)
    assert wire.run().got[TO_CLIENT] == [(5.0, b"bcd")]


# Statistics: four sigma, at fixed seeds.

COUNT = 10_000
SEEDS = (0, 7, 1963)


def within_four_sigma(measured: float, expected: float, sigma: float) -> None:
    assert abs(measured - expected) < 4 * sigma, f"{measured}, expected {expected} within {4 * sigma}"


def spread(rate: float, count: int = COUNT) -> float:
    """The standard deviation of the share of so many independent decisions."""
    return sqrt(rate * (1 - rate) / count)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "fault", [Loss(0.01), Loss(0.3), Duplicate(0.1), Reorder(0.2, 9), Loss(0.97)], ids=repr
)
def test_a_share_of_the_datagrams_is_touched_each_by_itself(
    fault: Loss | Duplicate | Reorder, seed: int
) -> None:
    which = touched(fault, COUNT, seed)
    within_four_sigma(statistics.mean(which), fault.rate, spread(fault.rate))
    behind = [second for first, second in pairwise(which) if first]
    within_four_sigma(statistics.mean(behind), fault.rate, spread(fault.rate, len(behind)))


MODELS = [
    BurstLoss(0.01, 0.25),
    BurstLoss(0.1, 0.5),
    BurstLoss(0.9, 0.8),
    BurstLoss(0.05, 0.95),
    BurstLoss(0.02, 0.1, loss_in_bad=0.7),
    BurstLoss(0.03, 0.4, loss_in_bad=0.95, loss_in_good=0.01),
    BurstLoss(0.3, 0.2, loss_in_bad=0.2, loss_in_good=0.6),
]


def mean_and_sigma(model: BurstLoss, count: int) -> tuple[float, float]:
    """The long-run loss rate, and the standard deviation of the share among so many that are correlated."""
    bad = model.to_bad / (model.to_bad + model.to_good)
    stays = 1 - model.to_bad - model.to_good
    rate = bad * model.loss_in_bad + (1 - bad) * model.loss_in_good
    common = bad * (1 - bad) * (model.loss_in_bad - model.loss_in_good) ** 2
    return rate, sqrt((rate * (1 - rate) + 2 * common * stays / (1 - stays)) / count)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_the_loss_rate_of_bursts_is_that_of_the_model(model: BurstLoss, seed: int) -> None:
    within_four_sigma(statistics.mean(touched(model, COUNT, seed)), *mean_and_sigma(model, COUNT))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("model", MODELS[:4], ids=repr)
def test_bursts_and_the_gaps_between_them_have_the_length_of_the_model(model: BurstLoss, seed: int) -> None:
    runs = [(lost, len(list(group))) for lost, group in groupby(touched(model, COUNT, seed))][:-1]
    for kind, leaving in ((True, model.to_good), (False, model.to_bad)):
        lengths = [length for lost, length in runs if lost is kind]
        within_four_sigma(
            statistics.mean(lengths), 1 / leaving, sqrt(1 - leaving) / leaving / sqrt(len(lengths))
        )


@pytest.mark.parametrize("seed", SEEDS)
def test_a_lossy_bad_state_shows_in_how_often_losses_follow_losses(seed: int) -> None:
    model = BurstLoss(0.05, 0.2, loss_in_bad=0.6)
    which = touched(model, COUNT, seed)
    behind = [second for first, second in pairwise(which) if first]
    expected = (1 - model.to_good) * model.loss_in_bad
    # Losses behind losses come in runs themselves, so that their number is a little less certain than a coin's.
    within_four_sigma(statistics.mean(behind), expected, 1.5 * spread(expected, len(behind)))


@pytest.mark.parametrize("seed", SEEDS)
def test_jitter_is_even_and_puts_every_other_pair_out_of_order(seed: int) -> None:
    late = [outs[0].at - number for number, outs in enumerate(fates(Delay(0.5, jitter=2.0), COUNT, seed))]
    assert min(late) >= 0.5
    within_four_sigma(statistics.mean(late), 1.5, 2 / sqrt(12 * COUNT))
    swaps = sum(first > second for first, second in pairwise(late))
    within_four_sigma(swaps, (COUNT - 1) / 2, sqrt((COUNT + 1) / 12))


# Decisions: functions of the seed and the number.


@given(
    by_number, st.lists(st.tuples(st.binary(max_size=9), st.floats(0, 9), st.text(max_size=2)), max_size=30)
)
def test_a_decision_depends_on_the_number_alone_never_on_size_time_or_sender(
    fault: Narrowable, datagrams: list[tuple[bytes, float, str]]
) -> None:
    seen = a_seen("seed")
    given = [Datagram(at, data, peer) for data, at, peer in datagrams]
    outs = [list(apply(fault, event, seen)) for event in given]
    which = tuple(made != [event] for event, made in zip(given, outs, strict=True))
    assert which == touched(fault, len(datagrams), "seed")


def lost(fault: Fault, *key: object, armed: Sequence[Armed] = ()) -> list[int]:
    """The numbers of those among the first hundred that do not arrive, through a whole row."""
    wire = Wire(to_client=[fault], key=key, armed=armed)
    for number in range(100):
        wire.give(Datagram(0.0, b"%d" % number))
    arrived = {int(data) for _, data in wire.run().got[TO_CLIENT]}
    return [number for number in range(100) if number not in arrived]


def test_another_seed_gives_other_traffic() -> None:
    assert lost(Loss(0.5), "seed") == lost(Loss(0.5), "seed")
    assert len({tuple(lost(Loss(0.5), seed)) for seed in range(20)}) == 20


def test_equal_faults_in_a_row_decide_each_by_itself() -> None:
    once = lost(Loss(0.5), "seed")
    twice = lost(Loss(0.5), "seed", armed=[Armed(Loss(0.5), TO_CLIENT, ordinal=1)])
    assert set(once) < set(twice)


def test_each_direction_decides_by_itself() -> None:
    wire = Wire([Loss(0.5)], [Loss(0.5)], key=("seed",))
    for number in range(100):
        wire.give(Datagram(0.0, b"%d" % number), TO_SERVER).give(Datagram(0.0, b"%d" % number))
    assert wire.run().got[TO_SERVER] != wire.got[TO_CLIENT]


def test_these_are_lost_on_every_machine_and_in_every_release() -> None:
    assert lost(Loss(0.1), "seed") == [16, 33, 65, 76, 78]
    assert lost(BurstLoss(0.05, 0.5), "seed") == [5, 17, 54, 55, 56, 57, 78, 79, 85, 86, 87]


@pytest.mark.parametrize(
    ("fault", "digest"),
    [
        (Loss(0.1), "88b592f23d94"),
        (Duplicate(0.1), "7ebd5503d623"),
        (Reorder(0.1, 9), "bb08881ba26c"),
        (BurstLoss(0.05, 0.3, 0.9, 0.01), "b30490868388"),
        (Delay(0, jitter=1), "671481fe844d"),
    ],
    ids=repr,
)
def test_a_thousand_decisions_are_the_same_on_every_machine_and_in_every_release(
    fault: Fault, digest: str
) -> None:
    text = repr([[event.at for event in outs] for outs in fates(fault, 1000, "seed")])
    assert blake2b(text.encode(), digest_size=6).hexdigest() == digest


# Values: they print, compare and pickle; wrong arguments and wrong places are refused.


@given(every)
def test_a_fault_of_datagrams_prints_pickles_and_hashes_by_value(fault: Narrowable) -> None:
    assert eval(repr(fault), FACE) == fault
    again = pickle.loads(pickle.dumps(fault))
    assert again == fault
    assert {again: 1}[fault] == 1


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Loss(0.1), "Loss(rate=0.1)"),
        (Duplicate(1), "Duplicate(rate=1)"),
        (Reorder(0.1, 0.05), "Reorder(rate=0.1, seconds=0.05)"),
        (BurstLoss(0.01, 0.25), "BurstLoss(to_bad=0.01, to_good=0.25)"),
        (
            BurstLoss(0.01, 0.25, 0.9, 0.1),
            "BurstLoss(to_bad=0.01, to_good=0.25, loss_in_bad=0.9, loss_in_good=0.1)",
        ),
        (MaxSize(512), "MaxSize(size=512)"),
        (MaxSize(512, cut=True), "MaxSize(size=512, cut=True)"),
    ],
)
def test_a_fault_of_datagrams_prints_like_this(fault: Fault, code: str) -> None:
    assert repr(fault) == code


@pytest.mark.parametrize(
    ("fault", "must"),
    [
        (Loss(0.9), False),
        (Loss(1), True),
        (Duplicate(0.1), False),
        (Duplicate(1.0), True),
        (Reorder(0.1, 1), False),
        (Reorder(1, 1), True),
        (BurstLoss(0.1, 0.1), False),
        (BurstLoss(1, 1), False),
        (BurstLoss(1, 1, loss_in_bad=0.5), False),
        (BurstLoss(0.1, 0.1, loss_in_good=1), True),
        (MaxSize(1), True),
        (MaxSize(1, cut=True), True),
        (Loss(0.9).times(1), False),
        (Loss(1).times(1), True),
    ],
    ids=repr,
)
def test_a_fault_must_fire_unless_chance_decides(fault: Fault, must: bool) -> None:
    assert must_fire(fault) is must


@pytest.mark.parametrize(
    ("fault", "instead"),
    [
        (
            Loss(0.1),
            "TCP sends a lost segment again, so that a receiver only sees it late; write Retransmit(",
        ),
        (
            BurstLoss(0.1, 0.1),
            "TCP sends a lost segment again, so that a receiver only sees it late; write Retransmit(",
        ),
        (Duplicate(0.1), "TCP hands over each byte once, however often it was sent; write Delay(...)"),
        (
            Reorder(0.1, 1),
            "TCP puts its segments back in order, so that a receiver only sees bytes late; write",
        ),
        (MaxSize(9), "a stream has no sizes; write Slice(9) for small pieces"),
    ],
    ids=repr,
)
def test_on_tcp_each_is_refused_with_what_to_write_instead(fault: Narrowable, instead: str) -> None:
    assert faults_of("to_client", fault, "udp") == (fault,)
    for narrowed in (fault, fault.times(1).when(b"x").sometimes(0.5)):
        with pytest.raises(ValueError) as caught:
            faults_of("to_client", [Delay(1), narrowed], "tcp")
        assert str(caught.value).startswith(
            f"to_client has {narrowed!r}; expected a fault that fits TCP: {instead}"
        )


def test_what_is_to_be_written_instead_fits() -> None:
    assert faults_of("to_client", [Delay(0.1, jitter=0.5), Slice(9), Stall()], "tcp")


RATE = "expected a number above 0 up to 1, such as 0.1 for one in ten"


@pytest.mark.parametrize(
    ("code", "error", "message"),
    [
        ("Loss(0)", ValueError, f"rate is 0; {RATE}"),
        ("Loss(10)", ValueError, f"rate is 10; {RATE}"),
        ("Loss('10%')", TypeError, "rate is '10%'; expected a number, such as 0.1 for one in ten"),
        ("Duplicate(-0.1)", ValueError, f"rate is -0.1; {RATE}"),
        ("Reorder(0, 1)", ValueError, f"rate is 0; {RATE}"),
        ("Reorder(1, 0)", ValueError, "seconds is 0; expected a finite number of seconds, more than 0"),
        ("BurstLoss(0, 0.5)", ValueError, f"to_bad is 0; {RATE}"),
        ("BurstLoss(0.5, 0)", ValueError, f"to_good is 0; {RATE}"),
        ("BurstLoss(0.5, 0.5, 0)", ValueError, f"loss_in_bad is 0; {RATE}"),
        (
            "BurstLoss(0.5, 0.5, loss_in_good=2)",
            ValueError,
            "loss_in_good is 2; expected a number from 0 up to 1, such as 0.1 for one in ten",
        ),
        ("MaxSize(0)", ValueError, "size is 0; expected 1 or more bytes"),
        ("MaxSize(1.5)", TypeError, "size is 1.5; expected a whole number of bytes"),
        ("MaxSize(1, cut=1)", TypeError, "cut is 1; expected True or False"),
    ],
)
def test_what_no_datagram_can_have_is_refused(code: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        eval(code, FACE)
    assert str(caught.value) == message


def test_what_is_only_a_part_of_a_fault_of_datagrams_says_so() -> None:
    with pytest.raises(TypeError, match="_OfDatagrams does not say what becomes of a datagram"):
        datagrams._OfDatagrams()(A, a_seen())
    with pytest.raises(TypeError, match="_Rated does not say what becomes of a chosen datagram"):
        datagrams._Rated(1)(A, a_seen())
    with pytest.raises(TypeError, match="_Rated does not say what to write for a stream"):
        datagrams._Rated(1).unfit("tcp")
