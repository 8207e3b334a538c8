"""The faults that change what arrives: flipped bits and bytes that nobody sent. `replacing.py` has the third, Replace.

Law: as in `streams.py`: frozen values that decide by byte offsets (numbers of datagrams), never by chunks. What is not
changed is passed on as the event that came.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from .._errors import is_for_the_user
from .checks import check_bytes, check_count, check_place, check_rate
from .effect import is_signal
from .events import Data, Datagram, Event, Opened
from .narrowing import Narrowable
from .seen import Seen

__all__ = ["Corrupt", "Insert"]

__tracebackhide__ = is_for_the_user

BLOCK = 4096
"""So many offsets share one row of gaps, so that neither a long stream nor a byte alone costs much."""


@dataclass(frozen=True, repr=False)
class Corrupt(Narrowable):
    """Flipped bits, in as many bytes as were sent. Works on streams and datagrams.

    Exactly one of `rate` and `at`. `rate`: the share of bytes that are flipped, above 0 and up to 1, decided per byte
    offset from the seed; of datagrams: the share of datagrams that are flipped, in one byte each. `at`: the offset of a
    byte, or a sequence of offsets, counted from 0 as they reach this fault; of datagrams: their numbers, and one byte of
    each is flipped. `mask`: which bits of a byte, 1 to 255; None: one bit, chosen from the seed. An empty datagram
    passes.

    Lifted: what is on its way stays as it is.

    Raises TypeError or ValueError for both or none of `rate` and `at`, or one out of its range.

    >>> Corrupt(at=[4, 1], mask=0x20)
    Corrupt(at=(1, 4), mask=32)

        sent       |abcdefg
        delivered  |aBcdEfg
    """

    rate: float | None = None
    at: int | Sequence[int] | None = None
    mask: int | None = None

    def __post_init__(self) -> None:
        if (self.rate is None) == (self.at is None):
            raise ValueError(f"rate is {self.rate!r} and at is {self.at!r}; expected one of them: choose")
        if self.rate is not None:
            check_rate("rate", self.rate)
        else:
            object.__setattr__(self, "at", _offsets(self.at))
        if self.mask is not None:
            check_count("mask", self.mask, least=1, most=255, unit="")

    def by_chance(self) -> bool:
        return self.rate is not None and self.rate < 1

    def __call__(self, event: Event, seen: Seen) -> Iterable[Event]:
        if isinstance(event, Data):
            places = self._places(seen.bytes, seen.bytes + len(event.data), seen)
            return (self._flipped(event, seen.bytes, places, seen),)
        if isinstance(event, Datagram) and event.data and self._is_chosen(seen):
            number = seen.events
            byte = int(seen.decisions.chance(number, "byte") * len(event.data))
            return (self._flipped(event, number - byte, [number], seen),)
        return () if is_signal(event) else (event,)

    def _flipped(
        self, event: Data | Datagram, first: int, places: Sequence[int], seen: Seen
    ) -> Data | Datagram:
        """The event with these places flipped; its first byte stands at `first`."""
        if not places:
            return event
        data = bytearray(event.data)
        for place, bits in zip(places, self._bits(places, seen), strict=True):
            data[place - first] ^= bits
        return replace(event, data=bytes(data))

    def _bits(self, places: Sequence[int], seen: Seen) -> Iterator[int]:
        """What is flipped at each place; one draw has the bits of 16 places, three of its binary digits for each."""
        group, drawn = -1, 0
        for place in places:
            if not self.mask and place // 16 != group:
                group = place // 16
                drawn = int(seen.decisions.chance(group, "bits") * 2**48)
            yield self.mask or 1 << (drawn >> 3 * (place % 16) & 7)

    def _is_chosen(self, seen: Seen) -> bool:
        if self.rate is None:
            return bool(self._given(seen.events, seen.events + 1))
        return seen.decisions.chance(seen.events, "datagram") < self.rate

    def _places(self, start: int, stop: int, seen: Seen) -> Sequence[int]:
        """The offsets from `start` on and before `stop` that are flipped."""
        if self.rate is None:
            return self._given(start, stop)
        blocks = range(start // BLOCK, -(-stop // BLOCK))
        return _between(start, stop, [place for block in blocks for place in self._drawn(block, seen)])

    def _given(self, start: int, stop: int) -> Sequence[int]:
        return _between(start, stop, (self.at,) if isinstance(self.at, int) else self.at or ())

    def _drawn(self, block: int, seen: Seen) -> Sequence[int]:
        """The flipped offsets of a block; those of the last one are remembered for a stream that comes in bytes."""
        if seen.memory.get("block") != block:
            seen.memory["block"], seen.memory["places"] = block, list(self._draw(block, seen))
        places: Sequence[int] = seen.memory["places"]
        return places

    def _draw(self, block: int, seen: Seen) -> Iterator[int]:
        """Leap from flip to flip: the gaps between them are as long as if a coin were thrown for every byte."""
        rate, place, number = self.rate or 0.0, block * BLOCK, 0
        slope = math.log1p(-rate) if rate < 1 else -math.inf
        while True:
            gap = math.log1p(-seen.decisions.chance(block, f"gap {number}")) / slope if rate < 1 else 0.0
            place += int(min(gap, BLOCK))
            if place >= (block + 1) * BLOCK:
                return
            yield place
            place, number = place + 1, number + 1


def _between(start: int, stop: int, places: Sequence[int]) -> Sequence[int]:
    return places[bisect_left(places, start) : bisect_left(places, stop)]


def _offsets(at: object) -> int | tuple[int, ...]:
    """One offset as it is, several in order; TypeError or ValueError for anything else."""
    if isinstance(at, int):
        check_count("at", at, unit="")
        return at
    if not isinstance(at, Sequence) or isinstance(at, (str, bytes, bytearray)):
        raise TypeError(f"at is {at!r}; expected an offset, or a sequence of offsets such as [3, 10]")
    for offset in at:
        check_count("at", offset, unit="")
    if not at:
        raise ValueError(f"at is {at!r}; expected at least one offset")
    return tuple(sorted(set(at)))


@dataclass(frozen=True, repr=False)
class Insert(Narrowable):
    """More bytes than were sent, once a connection. Works on streams and datagrams.

    `data`: the bytes, 1 or more. `after=n` acts as soon as n bytes have gone through (default 0: when the connection
    opens, before any byte). `at=n` acts when the byte with offset n arrives, and `data` comes before it. Offsets count
    the bytes that reach this fault. Where the stream ends before, nothing is inserted.

    Of datagrams `data` is one datagram more: before the datagram with number n, counted from 0 (`at=n`), or right
    behind the nth (`after=n`, from 1 on).

    Lifted: what was inserted stays.

    Raises TypeError or ValueError for no bytes, or for both `at` and `after`.

    >>> Insert(b"XY", at=3)
    Insert(data=b'XY', at=3)

        sent       |abcdefg
        delivered  |abcXYdefg
    """

    data: bytes
    at: int | None = None
    after: int | None = None

    def __post_init__(self) -> None:
        check_bytes("data", self.data, least=1)
        check_place(self.after, self.at)

    def unfit(self, transport: str) -> str | None:
        if transport != "udp" or self.at is not None or self.after:
            return None
        return "a datagram stands beside another one; write at=0 for one before the first"

    def __call__(self, event: Event, seen: Seen) -> Iterable[Event]:
        if isinstance(event, Opened) and self.at is None and not self.after:
            seen.memory["done"] = True
            return (Data(event.at, self.data),)
        if isinstance(event, Data):
            return (self._into(event, seen),)
        if isinstance(event, Datagram):
            return self._beside(event, seen)
        return () if is_signal(event) else (event,)

    def _into(self, event: Data, seen: Seen) -> Data:
        place = (self.after or 0 if self.at is None else self.at) - seen.bytes
        last = len(event.data) - (self.at is not None)
        if "done" in seen.memory or not 0 <= place <= last:
            return event
        seen.memory["done"] = True
        return Data(event.at, event.data[:place] + self.data + event.data[place:])

    def _beside(self, event: Datagram, seen: Seen) -> tuple[Datagram, ...]:
        more = replace(event, data=self.data)
        if self.at is not None:
            return (more, event) if seen.events == self.at else (event,)
        return (event, more) if seen.events + 1 == self.after else (event,)
