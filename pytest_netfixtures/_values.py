"""What a value of an option, of an ini key or of the marker may be.

Law: a check takes what was written and gives what it means, or raises ValueError that says what was expected. It does
not know where the value was written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

Check: TypeAlias = Callable[[Any], Any]

KEEP = ("failed", "all")
BACKENDS = ("tap", "kernel")
REPORTS = ("full", "sizes", "off")
LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}
TRUE, FALSE = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")


def one_of(words: tuple[str, ...]) -> Check:
    def check(value: Any) -> Any:
        if value not in words:
            raise ValueError("one of " + ", ".join(words))
        return value

    return check


def backend(value: Any) -> Any:
    return one_of(BACKENDS)(value)


def ports(value: Any) -> tuple[int, ...]:
    """Ports of servers that are not ours."""
    given = value if isinstance(value, (list, tuple, set)) else [value]
    if not all(isinstance(port, int) and not isinstance(port, bool) and 0 < port < 65536 for port in given):
        raise ValueError("a list of ports from 1 to 65535, such as [5432]")
    return tuple(given)


def flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in TRUE + FALSE:
        return value.strip().lower() in TRUE
    raise ValueError("yes or no (1, true, yes, on; 0, false, no, off)")


def _number(value: Any) -> float:
    """Only what is a number, or text of one; a `bool` is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError
    return float(value)


def seconds(value: Any) -> float:
    try:
        number = _number(value)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise ValueError("a number of seconds, 0 or more (0 is off)")
    return number


def some_seconds(value: Any) -> float:
    try:
        number = seconds(value)
    except ValueError:
        number = 0.0
    if not number:
        raise ValueError("a number of seconds greater than 0")
    return number


def size(value: Any) -> int:
    try:
        number = int(value) if not isinstance(value, (bool, float)) else 0
    except (TypeError, ValueError):
        number = 0
    if number < 4096:
        raise ValueError("a number of bytes, 4096 or more")
    return number


def log_level(value: Any) -> int | None:
    """The number of a level of Python's logging; None for none."""
    text = value.strip().upper() if isinstance(value, str) else value
    if text == "OFF":
        return None
    number = LEVELS.get(text, text)
    try:
        return max(whole_number(number), 1)
    except ValueError:
        raise ValueError(f"off, {', '.join(LEVELS)} or a number") from None


def path(value: Any) -> Any:
    if "\0" in value:
        raise ValueError("a path")
    return value


def whole_number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError("a whole number")
    try:
        return int(value)
    except ValueError:
        raise ValueError("a whole number") from None


def seed_or_random(value: Any) -> Any:
    if value == "random":
        return value
    try:
        return whole_number(value)
    except ValueError:
        raise ValueError("a whole number or the word random") from None


def regexes(value: Any) -> tuple[str, ...]:
    for pattern in value:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"regular expressions ({pattern!r}: {error})") from None
    return tuple(value)


MARKS: Mapping[str, Check] = {
    "backend": backend,
    "capture": flag,
    "keep": one_of(KEEP),
    "seed": whole_number,
    "timeout": seconds,
    "watch": ports,
}
