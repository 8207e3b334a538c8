"""For tests that read a capture back: clients, proxies with every kind of end, and the facts of a connection to compare.

It asserts nothing.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

from pytest_netfixtures import (
    Connection,
    Corrupt,
    Delay,
    HalfClose,
    Insert,
    Replace,
    Reset,
    Slice,
    Traffic,
    Truncate,
)

LIMIT = 30
"""Seconds until a client gives up."""

FAULTS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "reset": {"to_client": Reset(after=3)},
    "reset at once": {"to_client": Reset()},
    "reset before the server": {"to_server": Reset(at=2)},
    "reset of one leg": {"to_client": Reset(after=3, other_leg=False)},
    "truncate": {"to_client": Truncate(after=2)},
    "half close": {"to_client": HalfClose(after=2)},
    "delay and slice": {"to_server": Delay(0.01), "to_client": Slice(20_000, gap=0.001)},
    "other bytes": {"to_server": [Corrupt(at=[1]), Replace(b"l", b"LL")], "to_client": Insert(b"new", at=2)},
}


def talk(address: Any, data: bytes = b"hello", *, ask: bool = True) -> bytes:
    """Says it, ends its side, reads to the end; what came. A reset ends it too, while it connects as well."""
    got = b""
    with suppress(ConnectionError), socket.create_connection(address, timeout=LIMIT) as client:
        client.sendall(data)
        if ask:
            with suppress(OSError):  # of a connection that has been reset by now
                client.shutdown(socket.SHUT_WR)
        while more := client.recv(65536):
            got += more
    return got


def facts(c: Connection) -> dict[str, Any]:
    """Everything but times and the id."""
    found: dict[str, Any] = {
        name: getattr(c, name)
        for name in ("number", "endpoint", "transport", "peer", "address", "opened_before", "faults", "notes")
    }
    found |= {"ended": dict(c.ended), "upstream": c.upstream, "upstream_peer": c.upstream_peer}
    for flow in (c.to_server, c.to_client):
        found[flow.direction] = (flow.sent, flow.delivered, flow.end)
    return found


def named(traffic: Traffic) -> dict[tuple[str, int], Connection]:
    return {(c.endpoint, c.number): c for c in traffic.connections}
