"""The tap: turns the entries of one test into a pcapng file, while they happen.

Law: what went through our sockets becomes valid TCP and UDP on one interface for each leg of each endpoint; rows come from
`writer.py`. A connection that two endpoints of one test see (a proxy and the server behind it) is shown once, as the
first one saw it. Under TLS it is the cipher text that is shown.
"""

from __future__ import annotations

from collections.abc import Iterable

from pytest_netfixtures._pcap import rows
from pytest_netfixtures._pcap.blocks import printable
from pytest_netfixtures._pcap.legs import SYNTHESISED, Leg, Legs, Opening, interface_name
from pytest_netfixtures._pcap.tcp import Frame
from pytest_netfixtures._pcap.writer import Writer
from pytest_netfixtures._wire.entries import (
    Delivered,
    LegEnded,
    LegFailed,
    LegOpened,
    LegOpening,
    Sealed,
    Sent,
    Side,
    TlsStarted,
)

__all__ = ["Tap"]

_BEFORE = ("opened before this test",)
_OTHER: dict[Side, Side] = {"client": "server", "server": "client"}


class Tap(Writer):
    """Makes packets of what our servers and proxies read and write; needs no privileges."""

    backend = f"tap, {SYNTHESISED}"

    def _set_up(self) -> None:
        self._legs = Legs()
        self._under_tls: set[tuple[int, Side]] = set()

    @property
    def connections(self) -> int:
        """Connections with packets in the file; a proxy's two legs are one."""
        return self._legs.shown()

    def stream_of(self, connection: int, leg: Side) -> int | None:
        return self._legs.stream_of(connection, leg)

    def finish(self, outcome: str, keys: str = "") -> None:
        """As every writer's; names that no packet has carried become rows before."""
        if not self._finished:
            for text in self._legs.unsaid():
                self._book.row(self._book.start, text)
        super().finish(outcome, keys)

    def _sent(self, entry: Sent, data: bytes | None) -> None:
        side: Side = "client" if entry.direction == "to_server" else "server"
        leg = self._plain((entry.connection, side))
        if leg is not None and data is not None:
            self._show(leg, entry.at, leg.talk.data(side, data))

    def _delivered(self, entry: Delivered, data: bytes | None) -> None:
        side: Side = "client" if entry.direction == "to_client" else "server"
        leg = self._plain((entry.connection, side))
        if leg is not None and data is not None:
            self._show(leg, entry.at, leg.talk.data(_OTHER[side], data), self._touched(entry))

    def _sealed(self, entry: Sealed, data: bytes | None) -> None:
        leg = self._legs.get((entry.connection, entry.leg))
        if leg is not None and data is not None:
            side = leg.side if entry.by == "peer" else _OTHER[leg.side]
            self._show(leg, entry.at, leg.talk.data(side, data), self._touched(entry))

    def _touched(self, entry: Delivered | Sealed) -> tuple[str, ...]:
        """Comments on a packet that faults touched."""
        if not entry.faults:
            return ()
        return tuple(map(rows.fault, entry.faults)) + rows.late(entry, self._book.start)

    def _tls_started(self, entry: TlsStarted, data: bytes | None) -> None:
        super()._tls_started(entry, data)
        self._under_tls.add((entry.connection, entry.leg))

    def _plain(self, key: tuple[int, Side]) -> Leg | None:
        """The leg, unless its bytes go over it as cipher text."""
        return None if key in self._under_tls else self._legs.get(key)

    def _opening(self, entry: LegOpening, data: bytes | None) -> None:
        super()._opening(entry, data)
        if isinstance(entry.client, str) or entry.client[1]:  # port 0: not yet known, it comes with LegOpened
            leg = self._leg(entry)
            if leg is not None:
                self._show(leg, entry.at, leg.talk.syn())

    def _opened(self, entry: LegOpened, data: bytes | None) -> None:
        super()._opened(entry, data)
        leg = self._leg(entry)
        if leg is not None:
            self._show(leg, entry.at, leg.talk.open(), _BEFORE if entry.before else ())
        else:
            self._legs.other_view(entry).introduction += (rows.leg(entry),)

    def _failed(self, entry: LegFailed, data: bytes | None) -> None:
        leg = self._legs.get((entry.connection, entry.leg))
        if leg is not None and entry.refused:
            self._show_reset(leg, entry.at, leg.talk.refuse())
        super()._failed(entry, data)

    def _ended(self, entry: LegEnded, data: bytes | None) -> None:
        leg = self._legs.get((entry.connection, entry.leg))
        if leg is None:
            return
        side = leg.side if entry.by == "peer" else _OTHER[leg.side]
        show = self._show_reset if entry.how == "RST" else self._show
        show(leg, entry.at, leg.talk.end(side, entry.how), tuple(map(rows.fault, entry.faults)))

    def _leg(self, entry: Opening) -> Leg | None:
        leg = self._legs.add(entry)
        if leg is not None and leg.interface < 0:
            description = printable(self._legs.description(entry))
            leg.interface = self._book.interface(printable(interface_name(entry)), description)
            leg.introduction = (rows.leg(entry),)
        return leg

    def _show_reset(
        self, leg: Leg, at: float, frames: Iterable[Frame], comments: tuple[str, ...] = ()
    ) -> None:
        before = self._book.packets
        self._show(leg, at, frames, comments)
        self.resets += self._book.packets - before

    def _show(self, leg: Leg, at: float, frames: Iterable[Frame], comments: tuple[str, ...] = ()) -> None:
        for sender, frame in frames:
            text = leg.introduction + comments
            written = self._book.packet(leg.interface, at, frame, leg.direction(sender), text)
            if written:
                leg.introduction = ()
            if written and leg.stream is None:
                self._legs.number(leg)
