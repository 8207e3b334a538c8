"""What is due when: order, ties and what the caller's clock decides."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_netfixtures._wire.events import NEVER
from pytest_netfixtures._wire.schedule import Schedule


def filled(*deadlines: float) -> Schedule[str]:
    schedule: Schedule[str] = Schedule()
    for number, at in enumerate(deadlines):
        schedule.add(at, f"item {number}")
    return schedule


def test_an_empty_schedule_has_nothing_due() -> None:
    schedule = filled()
    assert len(schedule) == 0
    assert schedule.next_at is None
    assert schedule.pop(NEVER) is None
    assert schedule.due(NEVER) == schedule.clear() == []


def test_items_come_out_by_time_and_equal_times_in_order() -> None:
    assert filled(2, 1, 2, 0).due(2) == ["item 3", "item 1", "item 0", "item 2"]


def test_what_is_due_later_stays() -> None:
    schedule = filled(2.0, 1.0)
    assert schedule.due(1.5) == ["item 1"]
    assert schedule.next_at == 2.0
    assert len(schedule) == 1


def test_an_item_is_due_at_its_deadline_and_not_before() -> None:
    schedule = filled(2.0)
    assert schedule.pop(1.999) is None
    assert schedule.pop(2.0) == (2.0, "item 0")


def test_items_are_never_compared() -> None:
    schedule: Schedule[object] = Schedule()
    first, second = object(), object()
    schedule.add(1.0, first)
    schedule.add(1.0, second)
    assert schedule.clear() == [first, second]


def test_clearing_takes_everything_off_in_order() -> None:
    schedule = filled(NEVER, 3, 1, 3)
    assert schedule.clear() == ["item 2", "item 1", "item 3", "item 0"]
    assert len(schedule) == 0


@given(st.lists(st.integers(0, 9)), st.sets(st.integers(0, 20)))
def test_what_is_kept_stays_in_order_and_the_rest_is_gone(deadlines: list[int], gone: set[int]) -> None:
    schedule: Schedule[tuple[int, int]] = Schedule()
    for number, at in enumerate(deadlines):
        schedule.add(at, (at, number))
    schedule.keep(lambda item: item[1] not in gone)
    kept = [(at, number) for number, at in enumerate(deadlines) if number not in gone]
    assert schedule.due(9) == sorted(kept)
