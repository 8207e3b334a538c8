"""How late a delay makes its bytes: the shape of each distribution at fixed seeds, and that nothing is ever early.

Every bound is four standard deviations of what is counted, over 10,000 offsets.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from statistics import NormalDist, fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire.wire_tools import row

from pytest_netfixtures._wire.decisions import Decisions
from pytest_netfixtures._wire.distributions import draw
from pytest_netfixtures._wire.entries import TO_CLIENT
from pytest_netfixtures._wire.events import Data, Datagram
from pytest_netfixtures._wire.streams import Delay

N = 10_000
SEEDS = pytest.mark.parametrize("seed", [0, 1, 7])
NAMED = pytest.mark.parametrize("name", ["uniform", "normal", "pareto"])

# Mean and standard deviation, and the value below which a share of the draws lies.
MOMENTS = {
    "uniform": (1 / 2, math.sqrt(1 / 12)),
    "normal": (math.sqrt(2 / math.pi), math.sqrt(1 - 2 / math.pi)),
    "pareto": (1 / 2, math.sqrt(3 / 4)),
}
QUANTILE: dict[str, Callable[[float], float]] = {
    "uniform": lambda share: share,
    "normal": lambda share: NormalDist().inv_cdf((1 + share) / 2),
    "pareto": lambda share: (1 - share) ** (-1 / 3) - 1,
}


@cache
def draws(distribution: str | tuple[float, ...], seed: int) -> list[float]:
    decisions = Decisions(seed, "a delay")
    return [draw(distribution, decisions, offset) for offset in range(N)]


def is_about(count: int, share: float) -> bool:
    """Whether so many of N are within four sigma of this share."""
    return abs(count - N * share) <= 4 * math.sqrt(N * share * (1 - share))


@NAMED
@SEEDS
def test_the_mean_is_that_of_the_distribution(name: str, seed: int) -> None:
    mean, sigma = MOMENTS[name]
    assert abs(fmean(draws(name, seed)) - mean) <= 4 * sigma / math.sqrt(N)


@NAMED
@SEEDS
@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9, 0.99, 0.999])
def test_a_share_of_the_draws_lies_below_its_quantile(name: str, seed: int, share: float) -> None:
    limit = QUANTILE[name](share)
    assert is_about(sum(each < limit for each in draws(name, seed)), share)


@SEEDS
def test_each_entry_of_a_table_is_as_likely_as_the_others(seed: int) -> None:
    table = (0.1, 0.2, 0.2, 0.7)
    drawn = draws(table, seed)
    assert set(drawn) == set(table)
    assert all(is_about(drawn.count(each), table.count(each) / 4) for each in set(table))


@NAMED
@SEEDS
def test_one_draw_does_not_tell_of_the_next_one(name: str, seed: int) -> None:
    late = [each > QUANTILE[name](0.5) for each in draws(name, seed)]
    assert is_about(sum(a == b for a, b in pairwise(late)), 0.5)


@NAMED
def test_a_draw_depends_on_seed_and_offset_alone(name: str) -> None:
    first = draws(name, 1)
    assert draw(name, Decisions(1, "a delay"), 5000) == first[5000]
    assert draws(name, 2)[:10] != first[:10]


class _Fixed(Decisions):
    """Always the same chance."""

    def __init__(self, chance: float) -> None:
        self._chance = chance

    def chance(self, offset: int, salt: str = "") -> float:
        return self._chance


@pytest.mark.parametrize("distribution", ["uniform", "normal", "pareto", (0.0, 5.0)])
@pytest.mark.parametrize("chance", [0.0, 0.25, 0.5, 1 - 2**-53])
def test_the_rarest_draw_is_a_finite_number_from_0_on(
    distribution: str | Sequence[float], chance: float
) -> None:
    assert 0 <= draw(distribution, _Fixed(chance), 3) < math.inf


def test_a_uniform_jitter_is_the_chance_of_the_offset_itself() -> None:
    wire = row(Delay(0.5, jitter=2), key=("seed",))
    for number in range(5):
        wire.give(Datagram(float(number), b"x"))
    key = ("seed", 1, TO_CLIENT, "Delay(seconds=0.5, jitter=2)", 0)
    late = sorted(number + 0.5 + 2 * Decisions(*key).chance(number) for number in range(5))
    assert [at for at, _ in wire.run().got[TO_CLIENT]] == late


delays = st.one_of(
    st.builds(Delay, st.floats(0, 9), st.floats(0, 9)),
    st.builds(Delay, st.floats(0, 9), st.floats(0.01, 9), st.sampled_from(["normal", "pareto"])),
    st.builds(Delay, st.floats(0, 9), distribution=st.lists(st.floats(0, 9), min_size=1)),
)


@given(delays, st.lists(st.integers(1, 9), min_size=1), st.integers())
def test_nothing_arrives_before_the_delay_is_over(delay: Delay, sizes: list[int], seed: int) -> None:
    stream, datagrams = row(delay, key=(seed,)), row(delay, key=(seed,))
    for number, size in enumerate(sizes):
        stream.give(Data(0.1 * number, bytes(size)))
        datagrams.give(Datagram(0.1 * number, number.to_bytes(4, "big")))
    arrived = stream.run().got[TO_CLIENT]
    assert [len(data) for _, data in arrived] == sizes
    assert all(at >= 0.1 * number + delay.seconds for number, (at, _) in enumerate(arrived))
    late = [at - 0.1 * int.from_bytes(data, "big") for at, data in datagrams.run().got[TO_CLIENT]]
    assert all(each >= delay.seconds - 1e-9 for each in late)


def test_a_table_adds_one_of_its_entries_to_the_seconds() -> None:
    wire = row(Delay(1, distribution=(0.25, 4)), key=(3,))
    for _ in range(50):
        wire.give(Datagram(0.0, b"x"))
    assert {at for at, _ in wire.run().got[TO_CLIENT]} == {1.25, 5.0}
