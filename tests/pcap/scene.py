"""Feeds a tap: entries with few words, on a clock of its own.

It knows what each side sent, so that a test can compare it with what tshark reads.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Literal

from pytest_netfixtures._pcap.tap import Tap
from pytest_netfixtures._wire.entries import (
    TO_CLIENT,
    TO_SERVER,
    Address,
    Delivered,
    Direction,
    Entry,
    Fired,
    How,
    LegEnded,
    LegFailed,
    LegOpened,
    LegOpening,
    Marked,
    Noted,
    Sent,
    Side,
)

START = 1000.0
WALL = 1_700_000_000_123_456_789
NODE_ID = "tests/test_x.py::test_retry[redis]"
TICK = 0.000_001_5


def new_tap(path: Path, *, node_id: str = NODE_ID, max_bytes: int = 64 << 20, secrets: bool = True) -> Tap:
    """A tap whose capture begins at START on the one clock and at WALL on the other."""
    comment = {"plugin": "0.1.0", "python": "3.11.7", "pytest": "8.4.0", "seed": "0"}
    return Tap(
        path,
        node_id=node_id,
        comment=comment,
        max_bytes=max_bytes,
        secrets=secrets,
        wall=lambda: (START, WALL),
    )


class Scene:
    """A tap and a clock."""

    def __init__(
        self, path: Path, *, node_id: str = NODE_ID, max_bytes: int = 64 << 20, secrets: bool = True
    ) -> None:
        self.tap = new_tap(path, node_id=node_id, max_bytes=max_bytes, secrets=secrets)
        self.at = START
        self.sent_by: defaultdict[tuple[int, Side, Side], bytes] = defaultdict(bytes)

    def feed(self, entry: Entry, data: bytes | None = None) -> None:
        """One entry."""
        self.tap(entry, data)

    def tick(self) -> float:
        """The time of the next entry."""
        self.at += TICK
        return self.at

    def opening(self, connection: int, client: Address, server: Address, endpoint: str = "redis") -> None:
        """A proxy connects to its upstream."""
        self.feed(LegOpening(self.tick(), connection, endpoint, 1, "server", "tcp", client, server))

    def opened(
        self,
        connection: int,
        client: Address,
        server: Address,
        *,
        leg: Side = "client",
        transport: Literal["tcp", "udp"] = "tcp",
        endpoint: str = "redis",
        before: bool = False,
    ) -> None:
        """A leg is open."""
        self.feed(LegOpened(self.tick(), connection, endpoint, 1, leg, transport, client, server, before))

    def failed(self, connection: int, refused: bool, reason: str = "Connection refused") -> None:
        """The upstream could not be connected to."""
        self.feed(LegFailed(self.tick(), connection, "server", refused, reason))

    def sent(self, connection: int, direction: Direction, data: bytes) -> None:
        """Read from the sender."""
        side: Side = "client" if direction == TO_SERVER else "server"
        self.sent_by[connection, side, side] += data
        self.feed(Sent(self.tick(), connection, direction, 0, len(data)), data)

    def delivered(
        self,
        connection: int,
        direction: Direction,
        data: bytes,
        faults: tuple[str, ...] = (),
        late: float = 0.0,
    ) -> None:
        """Taken by the receiver."""
        leg: Side = "client" if direction == TO_CLIENT else "server"
        self.sent_by[connection, leg, "server" if leg == "client" else "client"] += data
        at = self.tick()
        self.feed(Delivered(at, connection, direction, 0, len(data), at - late, faults), data)

    def ended(
        self,
        connection: int,
        by: Literal["peer", "us"],
        how: How,
        *,
        leg: Side = "client",
        faults: tuple[str, ...] = (),
    ) -> None:
        """A FIN or an RST."""
        self.feed(LegEnded(self.tick(), connection, leg, by, how, faults))

    def fired(self, connection: int, fault: str, effect: str, direction: Direction = TO_CLIENT) -> None:
        """A fault acted."""
        self.feed(Fired(self.tick(), connection, direction, fault, effect, 0))

    def noted(self, text: str, connection: int | None = None) -> None:
        """Something worth a line."""
        self.feed(Noted(self.tick(), connection, text))

    def marked(self, text: str) -> None:
        """A phase or a mark."""
        self.feed(Marked(self.tick(), text))
