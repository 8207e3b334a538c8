"""Checks of what users pass in.

Law: a wrong argument is a TypeError or ValueError at construction, and its message names field, value and what was
expected.
"""

from __future__ import annotations

import math
from numbers import Real

from .._errors import is_for_the_user

__all__ = [
    "check_bytes",
    "check_choice",
    "check_count",
    "check_flag",
    "check_place",
    "check_rate",
    "check_seconds",
    "check_speed",
    "check_text",
]

__tracebackhide__ = is_for_the_user


def check_seconds(field: str, value: object, *, positive: bool = False) -> None:
    """`value` must be a finite number of seconds, at least 0 (with `positive`: more than 0)."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{field} is {value!r}; expected a number of seconds, such as 0.2")
    if not math.isfinite(value) or value < 0 or (positive and value == 0):
        least = "more than 0" if positive else "0 or more"
        raise ValueError(f"{field} is {value!r}; expected a finite number of seconds, {least}")


def check_speed(field: str, value: object) -> None:
    """`value` must be a finite number of bytes a second, more than 0."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{field} is {value!r}; expected a number of bytes a second, such as 10_000")
    if not math.isfinite(value) or value <= 0:
        raise ValueError(f"{field} is {value!r}; expected a finite number of bytes a second, more than 0")


def check_rate(field: str, value: object, *, zero: bool = False) -> None:
    """`value` must be a share: a number above 0 (with `zero`: 0 or more), at most 1."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{field} is {value!r}; expected a number, such as 0.1 for one in ten")
    if value < 0 or not value <= 1 or (value == 0 and not zero):
        least = "from 0" if zero else "above 0"
        raise ValueError(
            f"{field} is {value!r}; expected a number {least} up to 1, such as 0.1 for one in ten"
        )


def check_count(
    field: str, value: object, *, least: int = 0, most: int | None = None, unit: str = "bytes"
) -> None:
    """`value` must be a whole number, at least `least` and at most `most`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{field} is {value!r}; expected a whole number{unit and f' of {unit}'}")
    if most is not None and not least <= value <= most:
        raise ValueError(f"{field} is {value!r}; expected {least} to {most}{unit and f' {unit}'}")
    if value < least:
        raise ValueError(f"{field} is {value!r}; expected {least} or more{unit and f' {unit}'}")


def check_bytes(field: str, value: object, *, least: int = 0) -> None:
    """`value` must be bytes, at least `least` of them."""
    if not isinstance(value, bytes):
        raise TypeError(f"{field} is {value!r}; expected bytes, such as b'ping'")
    if len(value) < least:
        raise ValueError(f"{field} is {value!r}; expected {least} or more bytes")


def check_place(after: object, at: object) -> None:
    """At most one of them is given, and that one is a number of bytes."""
    if after is not None and at is not None:
        raise ValueError(f"after is {after!r} and at is {at!r}; expected one of them: choose")
    for field, value in (("after", after), ("at", at)):
        if value is not None:
            check_count(field, value)


def check_choice(field: str, value: object, choices: tuple[object, ...]) -> None:
    """`value` must be one of `choices`."""
    if value not in choices:
        raise ValueError(f"{field} is {value!r}; expected one of {', '.join(map(repr, choices))}")


def check_flag(field: str, value: object) -> None:
    """`value` must be True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{field} is {value!r}; expected True or False")


def check_text(field: str, value: object) -> None:
    """`value` must be some text."""
    if not isinstance(value, str) or not value:
        raise TypeError(f"{field} is {value!r}; expected some text: pass what the row shall say")
