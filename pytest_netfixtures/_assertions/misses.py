"""What came nearest to what was wanted, as text.

Law: pure: bytes and connections in, text out, with secrets masked. It waits for nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pytest_netfixtures._wire.entries import Direction
from pytest_netfixtures._wire.record import CutBytes, CutDatagrams
from pytest_netfixtures._wire.render import DEFAULT_REDACTIONS, escape, hexdump_diff, masked, table
from pytest_netfixtures._wire.traffic import Connection, Traffic

__all__ = ["Pattern", "found_in", "is_cut", "nearest", "pieces", "shown", "summary"]

Pattern: TypeAlias = "bytes | re.Pattern[bytes]"

_SHOWN = 60
_TOKENS = re.compile(rb"\\.|\(\?[=!]|\$", re.S)
_ENDS = (b"$", b"\\Z", b"\\b", b"\\B", b"(?=", b"(?!")


def pieces(connection: Connection, direction: Direction, kind: str) -> tuple[bytes, ...]:
    """What is searched: the stream as a whole, or each datagram. A cut record gives what it has."""
    flow = connection.flow(direction)
    record = flow.sent if kind == "sent" else flow.delivered
    return tuple(record) if flow.datagrams else (bytes(record),)


def is_cut(connection: Connection, direction: Direction, kind: str) -> bool:
    """Whether bytes are missing from this record."""
    flow = connection.flow(direction)
    return isinstance(flow.sent if kind == "sent" else flow.delivered, (CutBytes, CutDatagrams))


def found_in(pattern: Pattern, data: bytes, open_end: bool = False) -> bool:
    """Whether the bytes are in `data`, or the regex is found in it, whatever follows where the end is open."""
    if isinstance(pattern, bytes):
        return pattern in data
    return pattern.search(data) is not None and not (open_end and _looks_ahead(pattern))


def _looks_ahead(pattern: re.Pattern[bytes]) -> bool:
    """Whether what comes later could undo a match: the end of the data, or of a word, or something ahead."""
    return any(token in _ENDS for token in _TOKENS.findall(pattern.pattern))


def shown(pattern: Pattern) -> str:
    """A pattern as its user wrote it, cut where it is long."""
    text = f"b'{escape(pattern)}'" if isinstance(pattern, bytes) else f"the regex {pattern.pattern!r}"
    return text if len(text) <= 2 * _SHOWN else f"{text[:_SHOWN]}...{text[-_SHOWN:]}"


@dataclass(frozen=True)
class _Part:
    """A part of the pattern and where it was found."""

    size: int
    offset: int
    data: bytes
    where: str


def nearest(
    pattern: Pattern,
    connections: Iterable[Connection],
    direction: Direction,
    kind: str,
    redact: Iterable[re.Pattern[bytes]] = DEFAULT_REDACTIONS,
) -> list[str]:
    """Lines about the longest part of the pattern that did arrive; none for a regex or where nothing fits."""
    if not isinstance(pattern, bytes):
        return []
    places = [
        _longest_part(pattern, data, f"connection {connection.number} of {connection.endpoint}")
        for connection in connections
        for data in pieces(connection, direction, kind)
    ]
    best = max(places, key=lambda part: part.size, default=None)
    if best is None or not best.size:
        return []
    there = slice(best.offset, best.offset + len(pattern))
    safe = masked(best.data, redact)
    line = (
        f"nearest miss: the first {best.size} of {len(pattern)} bytes, at byte {best.offset} of {best.where}"
    )
    lines = hexdump_diff(best.data[there], pattern, safe[there])
    return [line, "(left is what came, right what was expected)", *lines]


def _longest_part(pattern: bytes, data: bytes, where: str) -> _Part:
    """The longest beginning of the pattern that is in `data`: found by halving, since shorter ones are in it too."""
    low, high = 0, len(pattern)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if pattern[:middle] in data else (low, middle - 1)
    return _Part(low, data.find(pattern[:low]), data, where)


def summary(
    connections: Sequence[Connection],
    directions: Iterable[Direction] = (),
    kind: str = "sent",
    redact: Iterable[re.Pattern[bytes]] = DEFAULT_REDACTIONS,
) -> list[str]:
    """What did arrive: the end of each record, and the table."""
    lines = []
    for direction in directions:
        for connection in connections[:5]:
            data = [masked(piece, redact) for piece in pieces(connection, direction, kind)[-1:]]
            text = escape(data[-1][-_SHOWN:]) if data else ""
            dots = "..." if data and len(data[-1]) > _SHOWN else ""
            lines.append(f'{kind} {direction} on connection {connection.number}: {dots}"{text}"')
    return [*lines, table(Traffic(tuple(connections)))]
