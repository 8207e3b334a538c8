"""Where a pattern ends in a stream that arrives in pieces.

Law: the answer does not depend on the pieces. A match ends at the first byte at which the pattern is found, matches do
not overlap, and nothing is held back. A regular expression that looks beyond its match has no such byte and is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from .._errors import is_for_the_user
from .checks import check_count
from .events import Data, Datagram

__all__ = ["Pattern", "Scanner", "check_pattern", "code_of_pattern", "first_match"]

__tracebackhide__ = is_for_the_user

Pattern: TypeAlias = "bytes | re.Pattern[bytes]"

_LOOKS_AHEAD = re.compile(rb"\\[bBzZ]|\$|\(\?<?[=!]|\(\?>|[*+?}]\+")
_LITERAL = re.compile(rb"\\\\|\\[^bBzZ]|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
_STEP = 256
"""A regex is tried on so many bytes at a time: what it never matches may cost it the square of their number."""


def check_pattern(pattern: object, window: object, field: str = "pattern") -> None:
    """Raise TypeError or ValueError, which name `field`, unless `pattern` can be looked for in a stream."""
    if window is not None:
        check_count("window", window, least=1)
    if isinstance(pattern, re.Pattern) and isinstance(pattern.pattern, bytes):
        _check_regex(pattern, window, field)
    elif not isinstance(pattern, bytes):
        raise TypeError(
            f"{field} is {pattern!r}; expected bytes or a compiled bytes regex, "
            "such as b'COMMIT' or re.compile(rb'id=\\d')"
        )
    elif not pattern:
        raise ValueError(f"{field} is b''; expected at least one byte: an empty pattern is found everywhere")


def _check_regex(pattern: re.Pattern[bytes], window: object, field: str) -> None:
    if window is None:
        raise ValueError(
            "window is None; expected the longest match of the regex in bytes, 1 or more: "
            "say window=, so that it is found across chunks"
        )
    if _LOOKS_AHEAD.search(_LITERAL.sub(b"x", pattern.pattern)):
        raise ValueError(
            f"{field} is {pattern!r}; expected a regex without $, \\b, \\B, \\z, \\Z, look-around, atomic groups "
            "and possessive quantifiers: a stream has no end to look at, so leave them out"
        )
    if pattern.match(b""):
        raise ValueError(f"{field} is {pattern!r}; expected one that matches at least one byte")


def code_of_pattern(pattern: Pattern) -> str:
    """The pattern as code; unlike the repr of a regex it is never cut."""
    if isinstance(pattern, bytes):
        return repr(pattern)
    flags = f", {re.RegexFlag(pattern.flags)!r}" if pattern.flags else ""
    return f"re.compile({pattern.pattern!r}{flags})"


def first_match(
    pattern: Pattern, window: int | None, text: bytes, start: int, known: int
) -> tuple[int, int] | None:
    """Where the first match from `start` on begins and ends; none is known to end within `known` bytes."""
    if isinstance(pattern, bytes):
        found = text.find(pattern, start)
        return None if found < 0 else (found, found + len(pattern))
    return _first_of_regex(pattern.search, window or 1, text, start, known)


def _first_of_regex(
    search: Callable[..., re.Match[bytes] | None], window: int, text: bytes, start: int, known: int
) -> tuple[int, int] | None:
    step = max(window, _STEP)
    for begin in range(max(start, known), len(text), step):
        stop = min(begin + step, len(text))
        match = search(text, max(start, begin - window), stop)
        for end in range(max(match.start(), begin) + 1, stop + 1) if match else ():
            if found := search(text, max(start, end - window), end):
                return found.start(), end
    return None


@dataclass
class Scanner:
    """Looks for the end of the `nth` match; `find` is fed every event of a direction, once."""

    pattern: Pattern
    nth: int = 1
    window: int | None = None
    _tail: bytes = field(default=b"", repr=False)
    _from: int = field(default=0, repr=False)
    _left: int = field(default=0, repr=False)

    def __post_init__(self) -> None:
        self._left = self.nth

    def find(self, event: Data | Datagram) -> int | None:
        """The offset in the event's bytes behind the nth match, when this event completes it.

        A match lies within one datagram.
        """
        if self._left == 0:
            return None
        if isinstance(event, Datagram):
            self._tail, self._from = b"", 0
        return self._search(self._tail + event.data, len(self._tail))

    def _search(self, text: bytes, kept: int) -> int | None:
        start = self._from
        while (span := first_match(self.pattern, self.window, text, start, kept)) is not None:
            self._left -= 1
            start = span[1]
            if self._left == 0:
                return start - kept
        self._keep(text, start)
        return None

    def _keep(self, text: bytes, start: int) -> None:
        """Keep what a match may begin in, and the byte before it, without which ^ would be true there."""
        longest = len(self.pattern) if isinstance(self.pattern, bytes) else self.window or 1
        begin = max(start, len(text) - longest + 1)
        self._from = min(begin, 1)
        self._tail = text[begin - self._from :]
