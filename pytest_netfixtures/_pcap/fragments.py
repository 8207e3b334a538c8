"""Datagrams of IP that came in fragments, made whole again.

Law: pure; in any order, where fragments overlap the first one wins. What is kept is bounded in number and in bytes: the
oldest datagram goes, with a statement. Bytes that the capture cut off a fragment are missing in the whole as well.
Source: RFC 791, RFC 815, RFC 8200 section 4.5; 30 seconds are Linux's `ipfrag_time`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import NamedTuple

from pytest_netfixtures._pcap.items import Statement

__all__ = ["Fragment", "Fragments", "Key", "Whole"]

Key = tuple[object, ...]
"""Interface, addresses, protocol and identification: what the fragments of a datagram have in common."""

MOST, MOST_BYTES, REMEMBERED = 256, 8 << 20, 64
OVERHEAD = 256
"""What a piece costs beside its bytes."""
LIFETIME = 30_000_000_000


class Fragment(NamedTuple):
    """One of them."""

    number: int
    stamp: int
    protocol: int
    header: int
    """Bytes of the IP header before it."""
    offset: int
    length: int
    """On the wire; `data` may have less."""
    data: bytes
    more: bool
    """False for the last one."""
    comments: tuple[str, ...]


class Whole(NamedTuple):
    """All of them together."""

    protocol: int
    header: int
    length: int
    data: bytes
    comments: tuple[str, ...]


class _Datagram:
    """What there is of one datagram: the ranges that came, joined where they touch, and their bytes in order of arrival."""

    def __init__(self, first: Fragment) -> None:
        self.first = first
        self.start: Fragment | None = None
        self.end: int | None = None
        self.cost = 0
        self.seen: set[tuple[int, int]] = set()
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._pieces: list[tuple[int, int, bytes]] = []
        self._comments: list[str] = []

    def add(self, fragment: Fragment) -> Whole | None:
        """The datagram, if this was what was missing."""
        mark = _mark(fragment)
        if mark in self.seen:
            return None
        self.seen.add(mark)
        self.cost += OVERHEAD + sum(map(len, fragment.comments))
        self._comments.extend(fragment.comments)
        if not fragment.offset and self.start is None:
            self.start = fragment
        if not fragment.more and self.end is None:
            self.end = fragment.offset + fragment.length
        self._fill(fragment)
        there = self._ends[0] if self._starts[0] == 0 else 0
        if self.end is None or self.start is None or there < self.end:
            return None
        data, comments = self._joined(self.end), tuple(self._comments)
        return Whole(self.start.protocol, self.start.header, self.end, data, comments)

    def _fill(self, fragment: Fragment) -> None:
        """Takes what was not there yet."""
        at, end, data = fragment.offset, fragment.offset + fragment.length, fragment.data
        low, high = bisect_left(self._ends, at), bisect_right(self._starts, end)
        there = list(zip(self._starts[low:high], self._ends[low:high], strict=True))
        for start, stop in [*there, (end, end)]:
            if at < start:
                piece = data[at - fragment.offset : start - fragment.offset]
                self._pieces.append((at, start, piece))
                self.cost += OVERHEAD + len(piece)
            at = stop
        starts, ends = zip(*there, (fragment.offset, end), strict=True)
        self._starts[low:high], self._ends[low:high] = [min(starts)], [max(ends)]

    def _joined(self, size: int) -> bytes:
        """The bytes from the beginning up to the first that the capture did not keep."""
        found = []
        for start, stop, data in sorted(self._pieces, key=lambda piece: piece[0]):
            found.append(data)
            if len(data) < stop - start:
                break
        return b"".join(found)[:size]


class Fragments:
    """The datagrams that are not whole yet; at most `most` of them with `most_bytes`."""

    def __init__(self, most: int = MOST, most_bytes: int = MOST_BYTES) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._open: dict[Key, _Datagram] = {}
        self._done: dict[Key, tuple[int, set[tuple[int, int]]]] = {}
        self._cost = 0
        self.said: list[Statement] = []
        """Statements that nobody has taken yet."""

    def add(self, key: Key, fragment: Fragment) -> Whole | None:
        """The whole datagram, if this fragment completes it."""
        datagram = self._datagram(key, fragment)
        if datagram is None:
            return None
        before = datagram.cost
        whole = datagram.add(fragment)
        self._cost += datagram.cost - before
        if whole is not None:
            self._finish(key, fragment.stamp)
        while self._open and (len(self._open) > self._most or self._cost > self._most_bytes):
            self._give_up(next(iter(self._open)))
        return whole

    def take(self) -> list[Statement]:
        """The statements, once."""
        said, self.said = self.said, []
        return said

    def unfinished(self) -> Iterator[Statement]:
        """At the end of the file: what never became whole."""
        for key in list(self._open):
            self._give_up(key)
        yield from self.take()

    def _datagram(self, key: Key, fragment: Fragment) -> _Datagram | None:
        """The one that it belongs to; None for a fragment that came once more behind the whole."""
        datagram = self._open.get(key)
        if datagram is not None and abs(fragment.stamp - datagram.first.stamp) > LIFETIME:
            self._give_up(key)
            datagram = None
        if datagram is None:
            when, seen = self._done.get(key, (0, ()))
            if _mark(fragment) in seen and abs(fragment.stamp - when) <= LIFETIME:
                return None
            datagram = self._open[key] = _Datagram(fragment)
        return datagram

    def _finish(self, key: Key, stamp: int) -> None:
        datagram = self._open.pop(key)
        self._cost -= datagram.cost
        self._done.pop(key, None)
        self._done[key] = (stamp, datagram.seen)
        if len(self._done) > REMEMBERED:
            del self._done[next(iter(self._done))]

    def _give_up(self, key: Key) -> None:
        datagram = self._open.pop(key)
        self._cost -= datagram.cost
        count = len(datagram.seen)
        text = f"frame {datagram.first.number}: the first of {count} fragments that never became a datagram"
        self.said.append(Statement("fragment", text, count))


def _mark(fragment: Fragment) -> tuple[int, int]:
    """What tells a fragment that comes again from another one at its place."""
    return fragment.offset, hash((fragment.length, fragment.more, fragment.data))
