"""Where a pattern ends in a stream that arrives in pieces.

Law: the answer does not depend on the pieces. A match ends at the first byte at which the pattern is found, matches do
not overlap, and nothing is held back. A regular expression that looks beyond its match has no such byte and is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from .events import Data, Datagram

__all__ = ["Pattern", "Scanner", "check_pattern"]

Pattern: TypeAlias = "bytes | re.Pattern[bytes]"

_LOOKS_AHEAD = re.compile(rb"\\[bBZ]|\$|\(\?<?[=!]")
_LITERAL = re.compile(rb"\\\\|\\[^bBZ]|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)


def check_pattern(pattern: object, window: int | None) -> None:
    """Raise TypeError or ValueError unless `pattern` can be looked for in a stream."""
    if isinstance(pattern, re.Pattern) and isinstance(pattern.pattern, bytes):
        _check_regex(pattern, window)
    elif not isinstance(pattern, bytes):
        raise TypeError(
            f"pattern is {pattern!r}; expected bytes or a compiled bytes regex, such as b'COMMIT' or re.compile(rb'id=\\d')"
        )
    elif not pattern:
        raise ValueError("pattern is b''; expected at least one byte: an empty pattern is found everywhere")


def _check_regex(pattern: re.Pattern[bytes], window: int | None) -> None:
    if window is None or window < 1:
        raise ValueError(
            f"window is {window!r}; a regex needs window=, the longest match in bytes (1 or more), to be found across chunks"
        )
    if _LOOKS_AHEAD.search(_LITERAL.sub(b"", pattern.pattern)):
        raise ValueError(
            f"pattern is {pattern!r}; expected a regex without $, \\b, \\B, \\Z and look-around: "
            "a stream has no end to look at, so leave them out"
        )


@dataclass
class Scanner:
    """Looks for the end of the `nth` match; `find` is fed every event of a direction, once."""

    pattern: Pattern
    nth: int = 1
    window: int | None = None
    _tail: bytes = field(default=b"", repr=False)
    _left: int = field(default=0, repr=False)

    def __post_init__(self) -> None:
        self._left = self.nth

    def find(self, event: Data | Datagram) -> int | None:
        """The offset in the event's bytes behind the nth match, when this event completes it. A match lies within one datagram."""
        if self._left == 0:
            return None
        kept = b"" if isinstance(event, Datagram) else self._tail
        return self._search(kept + event.data, len(kept))

    def _search(self, text: bytes, kept: int) -> int | None:
        start = 0
        while (end := self._next(text, start, kept)) is not None:
            self._left -= 1
            start = end
            if self._left == 0:
                return end - kept
        longest = len(self.pattern) if isinstance(self.pattern, bytes) else self.window or 1
        self._tail = text[max(start, len(text) - longest + 1) :]
        return None

    def _next(self, text: bytes, start: int, kept: int) -> int | None:
        if isinstance(self.pattern, bytes):
            found = text.find(self.pattern, start)
            return None if found < 0 else found + len(self.pattern)
        return self._next_of_regex(self.pattern.search, text, start, kept)

    def _next_of_regex(
        self, search: Callable[..., re.Match[bytes] | None], text: bytes, start: int, kept: int
    ) -> int | None:
        if (match := search(text, start)) is None:
            return None
        for end in range(max(match.start(), start, kept) + 1, len(text) + 1):
            if search(text, max(start, end - (self.window or 1)), end):
                return end
        return None
