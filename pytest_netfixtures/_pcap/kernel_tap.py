"""A capture of real packets of the kernel, with what our servers and proxies know of them.

Law: packets come from the owner's thread of `kernel.py`, entries from under the journal's lock; each of them once, merged by
time: packets keep the kernel's stamp, a row stands where it happened. Bytes come from packets alone. Keys are written at
once, before the packets that need them. Two threads write one file under a lock of its own, and nobody who holds that lock
takes another.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

from pytest_netfixtures._pcap import blocks, rows
from pytest_netfixtures._pcap.book import WARNING, Book
from pytest_netfixtures._pcap.glance import Glance, wire_size
from pytest_netfixtures._pcap.headers import FIN, RST
from pytest_netfixtures._pcap.kernel import now_exactly
from pytest_netfixtures._pcap.kernel_legs import KernelLeg, KernelLegs, Talk
from pytest_netfixtures._pcap.told import OPENED_BEFORE
from pytest_netfixtures._pcap.writer import Writer
from pytest_netfixtures._wire.entries import (
    Delivered,
    Entry,
    LegEnded,
    LegOpened,
    LegOpening,
    Sealed,
    Secret,
    Sent,
    Side,
    TlsStarted,
)

__all__ = ["REAL", "Caught", "KernelTap"]

REAL = "packets of the kernel, on loopback; checksums are not yet computed there"
ROWS_WAIT = 0.005
"""Seconds that a row waits for packets that were before it: longer than the kernel keeps a packet to itself."""
_OPENERS = (LegOpening, LegOpened)
_NO_ROW = (LegOpening, LegOpened, Delivered, Sealed, LegEnded, TlsStarted)

Caught = tuple[int, bytes, "Glance | None"]
"""Stamp in ns since 1970, the frame with its Ethernet header, and what it says of itself."""


class KernelBook(Book):
    """A capture whose packets have stamps of their own."""

    dropped = 0
    """Packets that the kernel had no room for."""

    def stamp_of(self, at: float) -> int:
        """Nanoseconds since 1970 of a moment of `time.monotonic()`, in whole microseconds as the kernel's are."""
        return (self._wall + round((at - self.start) * 1e9)) // 1000 * 1000

    def follow(self, clocks: tuple[float, int]) -> None:
        """The wall clock may have been set since the file was begun; packets follow it at once."""
        start, wall = clocks
        if abs(wall - self.stamp_of(start)) > 500_000:
            self._wall = wall - round((start - self.start) * 1e9)

    def packet_at(self, stamp: int, frame: bytes, comments: tuple[str, ...], lost: int) -> bool:
        """Writes a packet of the kernel on the only interface; False if it is not in the file."""
        block = b"" if self._full else blocks.kernel_packet(0, stamp, frame, wire_size(frame), comments, lost)
        if self._full or self.file.size + len(block) > self._max_bytes:
            self._leave_out(0, self.start + (stamp - self._wall) / 1e9, frame)
            return False
        if not self.file.append(block):
            return False
        self._last = max(self._last, stamp)
        self.packets += 1
        self._shown[0] += 1
        return True

    def lose(self, count: int) -> None:
        """So many packets are lost for this file."""
        self.dropped += count
        self.row(self.start + (self._last - self._wall) / 1e9, rows.lost(count), WARNING)

    def _stamp(self, at: float) -> int:
        self._last = max(self._last, self.stamp_of(at))
        return self._last

    def _missing(self, number: int) -> int:
        return super()._missing(number) + self.dropped


class KernelTap(Writer):
    """Writes real packets; it is fed by `take` in the owner's thread, and as a sink of the labs.

    `wake` is called when a row waits and no packet may come.
    """

    backend = f"kernel, {REAL}"
    book_type: type[Book] = KernelBook
    _book: KernelBook

    clocks = staticmethod(now_exactly)

    def _set_up(self) -> None:
        self._doubts: dict[str, str] = {}
        self.watched: set[int] = set()
        """Ports that are not ours, whose packets belong into the file too."""
        self.lock = threading.RLock()
        self.wake: Any = None
        self._legs = KernelLegs()
        self._entries: deque[tuple[Entry, float]] = deque()
        self._rows: deque[tuple[int, Entry]] = deque()
        self._pending: set[tuple[int, Side]] = set()
        self._lost = 0

    @property
    def incomplete(self) -> str:
        """Why packets may be missing; empty when none is."""
        return "; ".join(list(self._doubts.values()))

    @property
    def connections(self) -> int:
        """Connections of ours with packets in the file; a proxy's two legs are one."""
        return self._legs.shown()

    def stream_of(self, connection: int, leg: Side) -> int | None:
        return self._legs.stream_of(connection, leg)

    def whole(self) -> AbstractContextManager[Any]:
        return self.lock

    def __call__(self, entry: Entry, data: bytes | None) -> None:
        """Takes an entry, in whichever thread it was written down; only keys and the first entry are written here."""
        if self._finished or type(entry) is Sent:
            return
        if type(entry) in (TlsStarted, Secret) and not getattr(entry, "unseen", False):
            with self.lock:
                super().__call__(entry, data)
        self._entries.append((entry, time.monotonic()))
        if len(self._entries) == 1 and self.wake is not None:
            self.wake()

    def begin(self) -> None:
        """Makes the file, with its interface."""
        with self.lock:
            self._book.begin()
            self._book.interface("lo", REAL)

    def say(self, at: float, text: str) -> None:
        with self.lock:
            super().say(at, text)

    def finish(self, outcome: str, keys: str = "") -> None:
        with self.lock:
            if not self._finished:
                self._settle([], everything=True)
                for text in self._legs.unsaid():
                    self._book.row(time.monotonic(), text)
            super().finish(outcome, keys)

    def discard(self) -> None:
        with self.lock:
            super().discard()

    def forget(self) -> None:
        """Without the lock: in a child its holder is not there any more."""
        super().forget()

    # On the owner's thread.

    def knows(self, seen: Glance) -> bool:
        """Whether a packet is one of a connection of this capture, or of a port that is watched."""
        ports = self.watched
        if ports and (seen.source[1] in ports or seen.target[1] in ports):
            return True
        return self._legs.knows(seen)

    def ports(self) -> set[int]:
        """Where the upstreams of its connections are, and what is watched."""
        return self._legs.ports() | self.watched

    def learn(self) -> None:
        """What the entries so far tell of connections; to be called before it is asked whose a packet is."""
        with self.lock:
            while self._entries:
                entry, _ = self._entries.popleft()
                self._learn(entry)

    def take(self, packets: Iterable[Caught], lost: int = 0, everything: bool = False) -> bool:
        """Packets in their order, after `lost` others; whether rows still wait. `everything`: no row waits."""
        with self.lock:
            if self._finished:
                return False
            try:
                if lost:
                    self.miss(lost)
                return self._settle(list(packets), everything)
            except Exception as problem:  # a capture must never break the traffic that it shows
                self._book.file.stop(problem)
                return False

    def miss(self, count: int) -> None:
        """The kernel had no room for so many packets, some of which may have been of this capture."""
        with self.lock:
            self._lost += count
            self._book.lose(count)
            self._doubts["lost"] = f"the kernel had no room for {self._book.dropped} packets"

    def doubt(self, why: str) -> None:
        """Packets may be missing."""
        with self.lock:
            if not self._finished and why not in self._doubts:
                self._book.row(time.monotonic(), f"INCOMPLETE {why}", WARNING)
            self._doubts[why] = why

    def _settle(self, packets: list[Caught], everything: bool) -> bool:
        self.learn()
        self._book.follow(now_exactly())
        talks = [self._talk(seen, stamp) for stamp, _, seen in packets]
        self._legs.settle()
        with self._book.file.together():
            for (stamp, frame, seen), talk in zip(packets, talks, strict=True):
                self._tell_until(stamp)
                self._show(stamp, frame, seen, talk)
        late = time.monotonic() - (0.0 if everything else ROWS_WAIT)
        self._tell_until(self._book.stamp_of(late))
        return bool(self._rows)

    def _talk(self, seen: Glance | None, stamp: int) -> Talk | None:
        return None if seen is None or seen.quoted else self._legs.talk(seen, stamp)

    def _tell_until(self, stamp: int) -> None:
        while self._rows and self._rows[0][0] <= stamp:
            _, entry = self._rows.popleft()
            super().__call__(entry, None)

    def _show(self, stamp: int, frame: bytes, seen: Glance | None, talk: Talk | None) -> None:
        comments: tuple[str, ...] = ()
        if seen is not None and talk is not None:
            comments = self._comments(seen, talk)
        if not self._book.packet_at(stamp, frame, comments, self._lost):
            return
        self._lost = 0
        if seen is not None and talk is not None:
            self._legs.number(talk, seen.protocol)
            self.resets += bool(seen.flags & RST)
            for leg in talk.legs:
                leg.said = True

    def _comments(self, seen: Glance, talk: Talk) -> tuple[str, ...]:
        found: tuple[str, ...] = ()
        start = talk.start(seen)
        for leg in talk.legs:
            if not leg.said:
                found += (leg.name, OPENED_BEFORE) if leg.before else (leg.name,)
            if start is not None and seen.source == leg.ours:
                size = seen.size if seen.protocol == 6 else 1
                found += leg.way.of(start, size, bool(seen.flags & (FIN | RST)))
        return found

    # What entries tell.

    def _learn(self, entry: Entry) -> None:
        if isinstance(entry, _OPENERS):
            self._meet(entry)
            self._legs.open(entry, self._book.stamp_of(entry.at) + 1000)
        elif isinstance(entry, TlsStarted):
            leg = self._legs.get((entry.connection, entry.leg))
            if leg is not None:
                leg.under_tls = True
            if entry.unseen:
                self._rows.append((self._book.stamp_of(entry.at), entry))
        elif isinstance(entry, (Delivered, Sealed, LegEnded)):
            self._touch(entry)
        elif not isinstance(entry, Secret):
            self._rows.append((self._book.stamp_of(entry.at), entry))

    def _touch(self, entry: Delivered | Sealed | LegEnded) -> None:
        """What we have sent, and which faults have touched it, so that the packets can say so."""
        said = tuple(map(rows.fault, entry.faults))
        if isinstance(entry, Delivered):
            leg = self._legs.get((entry.connection, "client" if entry.direction == "to_client" else "server"))
            if leg is not None and not leg.under_tls:
                self._sent_on(leg, entry, said)
            return
        leg = self._legs.get((entry.connection, entry.leg))
        if leg is None or entry.by == "peer":
            return
        if isinstance(entry, Sealed):
            self._sent_on(leg, entry, said)
        else:
            leg.way.at_the_end += said

    def _sent_on(self, leg: KernelLeg, entry: Delivered | Sealed, said: tuple[str, ...]) -> None:
        comments = said + rows.late(entry, self._book.start) if said else ()
        leg.way.add(1 if leg.protocol == 17 else entry.size, comments)
