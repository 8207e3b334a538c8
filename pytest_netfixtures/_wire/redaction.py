"""Secrets in recorded bytes, replaced by stars of the same length so that every offset holds.

Law: patterns see a flow's whole record, so a secret that spans two chunks, stands in the middle of a preview or is cut
off by the end of the record is masked like any other. A pattern's groups are masked, or all of its match if it has none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from re import Match, Pattern

__all__ = ["DEFAULT_REDACTIONS", "masked", "with_defaults"]

_RESP_END = rb"(?=\r\n[*$+:-]|\r?\n?\Z)"
"""Where a RESP argument ends: before the next line of protocol, or where the record does."""
_RESP_SECRET = rb"\r\n\$\d+\r\n(.*?)" + _RESP_END
_RESP_USER = rb"\r\n\$\d+\r\n.*?"

DEFAULT_REDACTIONS: tuple[Pattern[bytes], ...] = (
    re.compile(
        rb"^(?:proxy-)?authorization:[ \t]*(?:(?:basic|bearer|digest|negotiate|token)[ \t]+)?([^\r\n]*)",
        re.I | re.M,
    ),
    re.compile(rb"^(?:set-)?cookie:[ \t]*([^\r\n]*)", re.I | re.M),
    re.compile(rb"\*2\r\n\$4\r\nauth" + _RESP_SECRET, re.I | re.S),
    re.compile(rb"\*3\r\n\$4\r\nauth" + _RESP_USER + _RESP_SECRET, re.I | re.S),
    re.compile(rb"\$5\r\nhello\r\n\$1\r\n\d\r\n\$4\r\nauth" + _RESP_USER + _RESP_SECRET, re.I | re.S),
    re.compile(rb"^[ \t]*auth[ \t]+([^\r\n]+)", re.I | re.M),
    re.compile(rb"^hello[ \t]+\d[ \t]+auth[ \t]+\S+[ \t]+([^\r\n]+)", re.I | re.M),
    re.compile(
        rb"\A(?:\0\0\0\x08\x04\xd2\x16[\x2f\x30])*.{4}\0\x03\0.(?:[^\0]+\0[^\0]*\0)+\0p.{4}([^\0]*)", re.S
    ),
)
"""HTTP Authorization and cookies, RESP AUTH (also inline and in HELLO), PostgreSQL's PasswordMessage."""


def with_defaults(given: Iterable[str]) -> tuple[Pattern[bytes], ...]:
    """The default patterns and these regular expressions, as a user writes them.

    Raises: TypeError for a single text or anything else that is no row of texts; ValueError for a bad expression.
    """
    if isinstance(given, (str, bytes)) or not all(isinstance(text, str) for text in given):
        raise TypeError(
            f"redact is {given!r}; expected a row of regular expressions, such as ['token=[a-z]+']"
        )
    return (*DEFAULT_REDACTIONS, *map(_compiled, given))


def _compiled(text: str) -> Pattern[bytes]:
    try:
        return re.compile(text.encode())
    except re.error as error:
        raise ValueError(f"redact has {text!r} ({error}); expected regular expressions; correct it") from None


def masked(data: bytes, patterns: Iterable[Pattern[bytes]]) -> bytes:
    """`data` with every secret that a pattern finds replaced by as many stars.

    Example: `masked(b"AUTH s3cret", DEFAULT_REDACTIONS) == b"AUTH ******"`.
    """
    found = [span for pattern in patterns for match in pattern.finditer(data) for span in _spans(match)]
    if not found:
        return data
    stars = bytearray(data)
    for start, end in found:
        stars[start:end] = b"*" * (end - start)
    return bytes(stars)


def _spans(match: Match[bytes]) -> Iterator[tuple[int, int]]:
    groups = range(1, match.re.groups + 1) or (0,)
    return (match.span(group) for group in groups if match.start(group) >= 0)
