"""Random decisions: functions of a key and an offset, the same on every machine."""

from __future__ import annotations

import statistics

from hypothesis import given
from hypothesis import strategies as st

from pytest_netfixtures._wire.decisions import Decisions

keys = st.lists(st.integers() | st.text(), max_size=4)


@given(keys, st.integers(0, 2**60), st.text(max_size=5))
def test_a_chance_lies_between_0_and_1_and_is_the_same_when_asked_again(
    key: list[object], offset: int, salt: str
) -> None:
    chance = Decisions(*key).chance(offset, salt)
    assert 0 <= chance < 1
    assert Decisions(*key).chance(offset, salt) == chance


def test_every_part_of_the_question_matters() -> None:
    questions = [
        ("seed", 7, 3, ""),
        ("seed", 8, 3, ""),
        ("seed", 7, 4, ""),
        ("seed", 7, 3, "x"),
        (7, "seed", 3, ""),
    ]
    assert len({Decisions(a, b).chance(offset, salt) for a, b, offset, salt in questions}) == len(questions)


def test_the_parts_of_a_key_do_not_run_together() -> None:
    assert Decisions("ab", "c").chance(0) != Decisions("a", "bc").chance(0)
    assert Decisions(1).chance(0) != Decisions("1").chance(0)


def test_a_key_may_hold_any_text() -> None:
    assert Decisions("\udcff\0é").chance(0) != Decisions("\udcfe\0é").chance(0)


def test_a_decision_is_the_same_on_every_machine_and_in_every_release() -> None:
    assert Decisions(0, "test_x.py::test_y", "proxy").chance(12) == 0.558168242038445


def test_chances_are_spread_evenly() -> None:
    chances = [Decisions(0).chance(offset) for offset in range(2000)]
    assert 0.47 < statistics.mean(chances) < 0.53
    assert min(chances) < 0.01 and max(chances) > 0.99
