"""Writes entries the way the engine does, for the tests of records and rendering.

It keeps a clock of its own (a millisecond for each entry unless told otherwise) and the offsets; it checks nothing.
"""

from __future__ import annotations

import contextlib
import ssl
from collections import Counter
from typing import Any, Literal

from pytest_netfixtures._wire.entries import (
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
from pytest_netfixtures._wire.recorder import Recorder

CLIENT = ("127.0.0.1", 40122)
PROXY = ("127.0.0.1", 43127)
OURS = ("127.0.0.1", 51000)
UPSTREAM = ("127.0.0.1", 6379)


def client_hello(name: str | None) -> bytes:
    """What OpenSSL sends first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    out = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return out.read()


class Tape:
    """One connection's entries into a recorder; `step` seconds pass before each."""

    def __init__(self, recorder: Recorder | None = None, connection: int = 1, **names: Any) -> None:
        self.recorder = Recorder() if recorder is None else recorder
        self.connection = connection
        self.names = {"endpoint": "redis", "number": connection, "transport": "tcp", **names}
        self.now = 100.0
        self.step = 0.001
        self.places: Counter[tuple[type, str]] = Counter()

    def put(self, entry: Entry, data: bytes | None = None) -> Tape:
        self.now += self.step
        self.recorder.add(entry, data)
        return self

    def opened(self, client: Any = CLIENT, server: Any = PROXY, before: bool = False) -> Tape:
        names: Any = self.names
        return self.put(
            LegOpened(
                at=self.now,
                connection=self.connection,
                leg="client",
                client=client,
                server=server,
                before=before,
                **names,
            )
        )

    def connecting(self, server: Any = UPSTREAM, client: Any = OURS) -> Tape:
        names: Any = self.names
        return self.put(
            LegOpening(
                at=self.now, connection=self.connection, leg="server", client=client, server=server, **names
            )
        )

    def connected(self, server: Any = UPSTREAM, client: Any = OURS) -> Tape:
        names: Any = self.names
        return self.put(
            LegOpened(
                at=self.now, connection=self.connection, leg="server", client=client, server=server, **names
            )
        )

    def proxy(self, **addresses: Any) -> Tape:
        """Both legs of a proxy, open."""
        return self.opened().connecting(**addresses).connected(**addresses)

    def failed(self, reason: str = "Connection refused", refused: bool = True) -> Tape:
        return self.put(LegFailed(self.now, self.connection, "server", refused, reason))

    def sent(self, way: Direction, data: bytes) -> Tape:
        return self.put(Sent(self.now, self.connection, way, self._place(Sent, way, data), len(data)), data)

    def delivered(self, way: Direction, data: bytes, *faults: str) -> Tape:
        place = self._place(Delivered, way, data)
        return self.put(Delivered(self.now, self.connection, way, place, len(data), self.now, faults), data)

    def passed(self, way: Direction, data: bytes) -> Tape:
        """Sent, and handed on at once."""
        return self.sent(way, data).delivered(way, data)

    def ended(self, leg: Side, by: Literal["peer", "us"], how: How = "FIN", *faults: str) -> Tape:
        return self.put(LegEnded(self.now, self.connection, leg, by, how, faults))

    def fired(self, way: Direction, fault: str, effect: str, offset: int) -> Tape:
        return self.put(Fired(self.now, self.connection, way, fault, effect, offset))

    def noted(self, text: str, everywhere: bool = False) -> Tape:
        return self.put(Noted(self.now, None if everywhere else self.connection, text))

    def marked(self, text: str) -> Tape:
        return self.put(Marked(self.now, text))

    def _place(self, kind: type, way: str, data: bytes) -> int:
        place = self.places[kind, way]
        self.places[kind, way] += 1 if self.names["transport"] == "udp" else len(data)
        return place
