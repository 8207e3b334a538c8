"""The tap: turns the entries of one test into a pcapng file, while they happen.

Law: a sink that is quick and never raises; it knows no engine and no pytest. What went through our sockets becomes valid
TCP and UDP on one interface for each leg of each endpoint; faults, phases and notes become rows between the packets. A
connection that two endpoints of one test see (a proxy and the server behind it) is shown once, as the first one saw it.
It takes no lock: entries come under the journal's, `finish` and `discard` when the journal knows it no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from pytest_netfixtures._pcap import rows
from pytest_netfixtures._pcap.blocks import printable
from pytest_netfixtures._pcap.book import NOTICE, WARNING, Book, now
from pytest_netfixtures._pcap.head import comment_text
from pytest_netfixtures._pcap.legs import Leg, Legs, Opening, interface_name
from pytest_netfixtures._pcap.places import readable
from pytest_netfixtures._pcap.tcp import Frame
from pytest_netfixtures._wire.entries import (
    Delivered,
    Entry,
    Fired,
    LegEnded,
    LegFailed,
    LegOpened,
    LegOpening,
    Marked,
    Noted,
    Sent,
    Side,
)

__all__ = ["Tap"]

_BEFORE = ("opened before this test",)
_OTHER: dict[Side, Side] = {"client": "server", "server": "client"}


class Tap:
    """Writes the capture of one test. Use it as a sink: `lab.add_sink(tap)`.

    Arguments: `path`, where the file is made at the first entry; `node_id` of the test and more lines (`comment`:
    versions, seed) for the section header; `max_bytes` of the file, after which only rows are written; `wall`, a
    moment on both clocks.
    """

    def __init__(
        self,
        path: Path,
        *,
        node_id: str,
        comment: Mapping[str, str],
        max_bytes: int = 64 << 20,
        wall: Callable[[], tuple[float, int]] = now,
    ) -> None:
        self.faults = 0
        """How often a fault fired."""
        self.resets = 0
        """Packets with RST in the file, refused connections included."""
        self._book = Book(path, comment_text(node_id, comment), max_bytes, wall)
        self._legs = Legs()
        self._who: dict[int, str] = {}
        self._upstream: dict[tuple[int, Side], str] = {}
        self._finished = False
        self._take: dict[type, Callable[[Any, bytes | None], None]] = {
            Sent: self._sent,
            Delivered: self._delivered,
            LegOpening: self._opening,
            LegOpened: self._opened,
            LegFailed: self._failed,
            LegEnded: self._ended,
            Fired: self._fired,
            Noted: self._noted,
            Marked: self._marked,
        }

    @property
    def path(self) -> Path:
        """Where the file is, once there was an entry."""
        return self._book.file.path

    @property
    def error(self) -> str | None:
        """Why the file ends early, or is not there: what happened, what was expected, what to do."""
        return self._book.file.error

    @property
    def packets(self) -> int:
        """Packets in the file; rows are not counted."""
        return self._book.packets

    @property
    def left_out(self) -> int:
        """Packets that are not in the file, because it reached `max_bytes`."""
        return self._book.left_out

    @property
    def connections(self) -> int:
        """Connections with packets in the file; a proxy's two legs are one."""
        return self._legs.shown()

    def stream_of(self, connection: int, leg: Side) -> int | None:
        """The `tcp.stream` or `udp.stream` of a leg in Wireshark; None if it has no packets in the file."""
        return self._legs.stream_of(connection, leg)

    def __call__(self, entry: Entry, data: bytes | None) -> None:
        """Takes an entry and the bytes that belong to it."""
        if self._finished:
            return
        try:
            self._book.begin()
            self._take[type(entry)](entry, data)
        except Exception as problem:  # a capture must never break the traffic that it shows
            self._book.file.stop(problem)

    def finish(self, outcome: str) -> None:
        """Writes what was left out, the outcome in place of RUNNING, and closes. Again: nothing happens."""
        if not self._finished:
            self._finished = True
            self._book.finish(outcome)

    def discard(self) -> None:
        """Closes and deletes the file."""
        self._finished = True
        self._book.file.remove()

    def forget(self) -> None:
        """In a forked child: lets go of the file, which stays the parent's."""
        self._finished = True
        self._book.file.forget()

    def _sent(self, entry: Sent, data: bytes | None) -> None:
        side: Side = "client" if entry.direction == "to_server" else "server"
        leg = self._legs.get((entry.connection, side))
        if leg is not None and data is not None:
            self._show(leg, entry.at, leg.talk.data(side, data))

    def _delivered(self, entry: Delivered, data: bytes | None) -> None:
        side: Side = "client" if entry.direction == "to_client" else "server"
        leg = self._legs.get((entry.connection, side))
        if leg is None or data is None:
            return
        comments: tuple[str, ...] = ()
        if entry.faults:
            comments = tuple(map(rows.fault, entry.faults)) + rows.late(entry, self._book.start)
        self._show(leg, entry.at, leg.talk.data(_OTHER[side], data), comments)

    def _opening(self, entry: LegOpening, data: bytes | None) -> None:
        self._meet(entry)
        if isinstance(entry.client, str) or entry.client[1]:  # port 0: not yet known, it comes with LegOpened
            leg = self._leg(entry)
            if leg is not None:
                self._show(leg, entry.at, leg.talk.syn())

    def _opened(self, entry: LegOpened, data: bytes | None) -> None:
        self._meet(entry)
        leg = self._leg(entry)
        if leg is not None:
            self._show(leg, entry.at, leg.talk.open(), _BEFORE if entry.before else ())

    def _failed(self, entry: LegFailed, data: bytes | None) -> None:
        leg = self._legs.get((entry.connection, entry.leg))
        if leg is not None and entry.refused:
            self._show_reset(leg, entry.at, leg.talk.refuse())
        server = self._upstream.get((entry.connection, entry.leg), "")
        self._book.row(entry.at, rows.failed(entry, self._name(entry.connection), server), WARNING)

    def _ended(self, entry: LegEnded, data: bytes | None) -> None:
        leg = self._legs.get((entry.connection, entry.leg))
        if leg is None:
            return
        side = leg.side if entry.by == "peer" else _OTHER[leg.side]
        show = self._show_reset if entry.how == "RST" else self._show
        show(leg, entry.at, leg.talk.end(side, entry.how), tuple(map(rows.fault, entry.faults)))

    def _fired(self, entry: Fired, data: bytes | None) -> None:
        self.faults += 1
        self._book.row(entry.at, rows.fired(entry, self._name(entry.connection)), WARNING)

    def _noted(self, entry: Noted, data: bytes | None) -> None:
        who = None if entry.connection is None else self._name(entry.connection)
        self._book.row(entry.at, rows.noted(entry, who), NOTICE)

    def _marked(self, entry: Marked, data: bytes | None) -> None:
        self._book.row(entry.at, rows.marked(entry))

    def _meet(self, entry: Opening) -> None:
        self._who[entry.connection] = f"'{entry.endpoint}' connection {entry.number}"
        self._upstream[entry.connection, entry.leg] = readable(entry.server)

    def _name(self, connection: int) -> str:
        return self._who.get(connection, f"connection #{connection}")

    def _leg(self, entry: Opening) -> Leg | None:
        leg = self._legs.add(entry)
        if leg is not None and leg.interface < 0:
            description = printable(self._legs.description(entry))
            leg.interface = self._book.interface(printable(interface_name(entry)), description)
        return leg

    def _show_reset(
        self, leg: Leg, at: float, frames: Iterable[Frame], comments: tuple[str, ...] = ()
    ) -> None:
        before = self._book.packets
        self._show(leg, at, frames, comments)
        self.resets += self._book.packets - before

    def _show(self, leg: Leg, at: float, frames: Iterable[Frame], comments: tuple[str, ...] = ()) -> None:
        for sender, frame in frames:
            written = self._book.packet(leg.interface, at, frame, leg.direction(sender), comments)
            if written and leg.stream is None:
                self._legs.number(leg)
