"""What users pass in is checked where they pass it; the message names field, value and what was expected."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_netfixtures._wire.checks import check_choice, check_count, check_flag, check_seconds


@given(st.floats(0, allow_infinity=False) | st.integers(0, 2**60) | st.fractions(0))
def test_seconds_are_any_finite_number_from_0_on(value: float | Fraction) -> None:
    check_seconds("seconds", value)


@given(st.floats(0, allow_infinity=False, exclude_min=True))
def test_positive_seconds_are_more_than_0(value: float) -> None:
    check_seconds("seconds", value, positive=True)


def test_a_count_a_choice_and_a_flag_that_are_right_pass() -> None:
    check_count("size", 3, least=3)
    check_choice("direction", None, (None, "to_server"))
    check_flag("whole", False)


@pytest.mark.parametrize(
    ("check", "error", "message"),
    [
        (
            lambda: check_seconds("gap", -1),
            ValueError,
            "gap is -1; expected a finite number of seconds, 0 or more",
        ),
        (
            lambda: check_seconds("gap", 0, positive=True),
            ValueError,
            "gap is 0; expected a finite number of seconds, more than 0",
        ),
        (
            lambda: check_seconds("gap", "1 s"),
            TypeError,
            "gap is '1 s'; expected a number of seconds, such as 0.2",
        ),
        (lambda: check_seconds("gap", 1j), TypeError, "gap is 1j; expected a number of seconds, such as 0.2"),
        (lambda: check_count("n", 2, least=3), ValueError, "n is 2; expected 3 or more bytes"),
        (lambda: check_count("n", 2.0), TypeError, "n is 2.0; expected a whole number of bytes"),
        (lambda: check_count("n", False), TypeError, "n is False; expected a whole number of bytes"),
        (
            lambda: check_count("n", 0, least=1, unit="matches"),
            ValueError,
            "n is 0; expected 1 or more matches",
        ),
        (lambda: check_count("n", 0, least=1, unit=""), ValueError, "n is 0; expected 1 or more"),
        (lambda: check_count("n", "x", unit=""), TypeError, "n is 'x'; expected a whole number"),
        (
            lambda: check_choice("way", "up", ("in", "out")),
            ValueError,
            "way is 'up'; expected one of 'in', 'out'",
        ),
        (lambda: check_choice("way", [], ("in",)), ValueError, "way is []; expected one of 'in'"),
        (lambda: check_flag("whole", 1), TypeError, "whole is 1; expected True or False"),
    ],
)
def test_what_is_wrong_is_named(check: Callable[[], None], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        check()
    assert str(caught.value) == message
