"""What users pass in is checked where they pass it; the message names field, value and what was expected."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_netfixtures._wire.checks import (
    check_bytes,
    check_choice,
    check_count,
    check_flag,
    check_rate,
    check_seconds,
    check_speed,
)


@given(st.floats(0, allow_infinity=False) | st.integers(0, 2**60) | st.fractions(0))
def test_seconds_are_any_finite_number_from_0_on(value: float | Fraction) -> None:
    check_seconds("seconds", value)


@given(st.floats(0, allow_infinity=False, exclude_min=True))
def test_positive_seconds_are_more_than_0(value: float) -> None:
    check_seconds("seconds", value, positive=True)


@given(st.floats(0, 1, exclude_min=True) | st.fractions(0, 1).filter(bool) | st.just(1))
def test_a_rate_is_any_number_above_0_up_to_1(value: float | Fraction) -> None:
    check_rate("rate", value)


@given(st.floats(0, exclude_min=True, allow_infinity=False) | st.integers(1) | st.fractions(0).filter(bool))
def test_a_speed_is_any_finite_number_above_0(value: float | Fraction) -> None:
    check_speed("bytes_per_second", value)


@pytest.mark.parametrize("value", [0, 0.0, 0.5, 1])
def test_a_rate_may_be_0_where_that_is_said(value: float) -> None:
    check_rate("rate", value, zero=True)


def test_a_count_a_choice_and_a_flag_that_are_right_pass() -> None:
    check_count("size", 3, least=3)
    check_count("mask", 255, least=1, most=255)
    check_bytes("data", b"")
    check_bytes("data", b"ab", least=2)
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
        (
            lambda: check_count("mask", 256, least=1, most=255, unit=""),
            ValueError,
            "mask is 256; expected 1 to 255",
        ),
        (lambda: check_count("size", 0, least=1, most=9), ValueError, "size is 0; expected 1 to 9 bytes"),
        (lambda: check_bytes("data", b"", least=1), ValueError, "data is b''; expected 1 or more bytes"),
        (lambda: check_bytes("data", "x"), TypeError, "data is 'x'; expected bytes, such as b'ping'"),
        (lambda: check_bytes("data", None), TypeError, "data is None; expected bytes, such as b'ping'"),
        (lambda: check_seconds("gap", 1j), TypeError, "gap is 1j; expected a number of seconds, such as 0.2"),
        (
            lambda: check_speed("rate", 0),
            ValueError,
            "rate is 0; expected a finite number of bytes a second, more than 0",
        ),
        (
            lambda: check_speed("rate", float("inf")),
            ValueError,
            "rate is inf; expected a finite number of bytes a second, more than 0",
        ),
        (
            lambda: check_speed("rate", True),
            TypeError,
            "rate is True; expected a number of bytes a second, such as 10_000",
        ),
        (
            lambda: check_rate("rate", 0),
            ValueError,
            "rate is 0; expected a number above 0 up to 1, such as 0.1 for one in ten",
        ),
        (
            lambda: check_rate("rate", 1.5),
            ValueError,
            "rate is 1.5; expected a number above 0 up to 1, such as 0.1 for one in ten",
        ),
        (
            lambda: check_rate("rate", -0.1, zero=True),
            ValueError,
            "rate is -0.1; expected a number from 0 up to 1, such as 0.1 for one in ten",
        ),
        (
            lambda: check_rate("rate", float("nan")),
            ValueError,
            "rate is nan; expected a number above 0 up to 1, such as 0.1 for one in ten",
        ),
        (
            lambda: check_rate("rate", True),
            TypeError,
            "rate is True; expected a number, such as 0.1 for one in ten",
        ),
        (
            lambda: check_rate("rate", "10%"),
            TypeError,
            "rate is '10%'; expected a number, such as 0.1 for one in ten",
        ),
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
