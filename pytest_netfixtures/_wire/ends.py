"""The faults after which nothing more arrives: swallowed, or ended by FIN or RST.

Law: as in `streams.py`: frozen values that decide by byte offsets, and what is said there of faults that are added and
lifted live holds here. What reached its byte before the end is delivered; an end is made once, and nothing follows it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .._errors import is_for_the_user
from .checks import check_count, check_flag, check_place
from .effect import is_signal
from .events import Data, Datagram, Event, Fin, Lifted, Opened, Rst
from .narrowing import Narrowable
from .seen import Seen

__all__ = ["Drop", "HalfClose", "Reset", "Truncate"]

__tracebackhide__ = is_for_the_user


@dataclass(frozen=True, repr=False)
class Drop(Narrowable):
    """Nothing more arrives, ever; the connection stays open. Ends are swallowed too. Works on streams and datagrams.

    `after`: so many bytes (datagrams) are delivered first. Reading goes on, so the sender never notices.

    Lifted: once it has swallowed a byte of a connection it keeps this direction of it dead, because a gap is something
    that TCP never shows. New connections pass, and so do datagrams.

    >>> Drop(after=3)
    Drop(after=3)

        sent       |abcdefg
        delivered  |abc
    """

    after: int = 0

    def __post_init__(self) -> None:
        check_count("after", self.after)

    def __call__(self, event: Event, seen: Seen) -> Iterator[Event]:
        if isinstance(event, Data):
            yield from self._cut(event, seen)
        elif isinstance(event, Datagram) and seen.events < self.after:
            yield event
        elif isinstance(event, (Fin, Rst)) and seen.bytes < self.after:
            yield event
        elif isinstance(event, Lifted) and seen.memory.get("swallowed"):
            seen.stay()

    def _cut(self, event: Data, seen: Seen) -> Iterator[Event]:
        room = max(0, self.after - seen.bytes)
        if room < len(event.data):
            seen.memory["swallowed"] = True
        if room:
            yield event if room >= len(event.data) else Data(event.at, event.data[:room])


@dataclass(frozen=True, repr=False)
class _Cut(Narrowable):
    """A fault that ends the stream at a byte."""

    after: int | None = None
    at: int | None = None

    def __post_init__(self) -> None:
        check_place(self.after, self.at)

    def unfit(self, transport: str) -> str | None:
        return "UDP has no end; write Drop() for silence, or proxy.refuse()" if transport == "udp" else None

    def __call__(self, event: Event, seen: Seen) -> Iterator[Event]:
        if isinstance(event, Opened) and self.at is None and not self.after:
            yield self._end(event.at)
        elif isinstance(event, Data):
            yield from self._cut(event, seen)
        elif not is_signal(event):
            yield event

    def _cut(self, event: Data, seen: Seen) -> Iterator[Event]:
        limit = self.at if self.at is not None else self.after or 0
        room = max(0, limit - seen.bytes)
        reached = len(event.data) > room if self.at is not None else len(event.data) >= room
        if not reached:
            yield event
            return
        if room:
            yield event if room == len(event.data) else Data(event.at, event.data[:room])
        yield self._end(event.at)

    def _end(self, at: float) -> Event:
        raise TypeError(f"{type(self).__name__} does not say how it ends")


@dataclass(frozen=True, repr=False)
class _CleanCut(_Cut):
    """A cut with FIN, which under TLS may say goodbye before."""

    notify: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag("notify", self.notify)


@dataclass(frozen=True, repr=False)
class Truncate(_CleanCut):
    """n bytes, then a clean end (FIN). The connection is over: both legs end, later bytes are drained and dropped.

    `after=n` acts as soon as n bytes have been delivered (default 0: when the connection opens, before any request).
    `at=n` acts when the byte with offset n arrives, which is not delivered. What the peer still sends is read and
    dropped, so that the FIN never turns into an RST.

    Under TLS the FIN comes without a close_notify, as when a line is cut: an end that the receiver must not take for the end
    of the data (RFC 8446, section 6.1). `notify=True` sends the close_notify before it, on both legs.

    Added: with `after=0` it ends open connections at once; what is still on its way then is not delivered.

    Lifted: what has ended stays ended.

    >>> Truncate(after=10)
    Truncate(after=10)

        sent       |abcdefg
        delivered  |abc FIN
    """

    def _end(self, at: float) -> Event:
        return Fin(at, whole=True, notify=self.notify)


@dataclass(frozen=True, repr=False)
class HalfClose(_CleanCut):
    """n bytes, then FIN in this direction alone; the other one goes on. `after`, `at` and `notify` as for `Truncate`.

    Added: as for `Truncate`, in this direction.

    Lifted: what has ended stays ended.

    >>> HalfClose(after=10)
    HalfClose(after=10)

        sent       |abcdefg
        delivered  |abc FIN
    """

    def _end(self, at: float) -> Event:
        return Fin(at, notify=self.notify)


@dataclass(frozen=True, repr=False)
class Reset(_Cut):
    """n bytes, then RST; the other leg is reset too, unless `other_leg=False`. `after` and `at` as for `Truncate`.

    `Reset(at=0)` in `to_client` is "the server did the work, the answer is lost". The client may meet the RST in any
    call: catch `OSError`, and assert on the traffic. On a Unix socket there is no RST.

    Added: as for `Truncate`.

    Lifted: what has ended stays ended.

    >>> Reset(after=3)
    Reset(after=3)

        sent       |abcdefg
        delivered  |abc RST
    """

    other_leg: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag("other_leg", self.other_leg)

    def _end(self, at: float) -> Event:
        return Rst(at, whole=self.other_leg)
