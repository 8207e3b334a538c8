"""What the tests of the UDP proxy share: a question with its answer, and looks at what was written down.

It asserts nothing and starts nothing by itself.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from pytest_netfixtures import NetLab, UdpProxy, UdpResponder

__all__ = [
    "ask",
    "delivered",
    "notes",
    "numbers",
    "plain_server",
    "refused",
    "sent",
    "speak",
    "stopped",
    "take",
    "wait_for_note",
]


def ask(client: socket.socket, data: bytes) -> bytes:
    """Send, and return what comes back."""
    client.send(data)
    return client.recv(65536)


def speak(client: socket.socket, row: Iterable[bytes]) -> None:
    """Send one datagram after the other."""
    for data in row:
        client.send(data)


def take(client: socket.socket, count: int) -> list[bytes]:
    """The next datagrams."""
    return [client.recv(65536) for _ in range(count)]


def sent(proxy: UdpProxy, number: int = 1) -> list[bytes]:
    """What the proxy has read from the client of one session; [] before there is one."""
    return [data for c in proxy.connections if c.number == number for data in c.to_server.sent]


def delivered(proxy: UdpProxy, number: int = 1) -> list[bytes]:
    """What the proxy has sent on to the server in one session; [] before there is one."""
    return [data for c in proxy.connections if c.number == number for data in c.to_server.delivered]


def notes(proxy: UdpProxy, number: int = 1) -> str:
    """The notes on one session, in a line."""
    return "; ".join(note for c in proxy.connections if c.number == number for note in c.notes)


def numbers(place: Any) -> list[int]:
    """The numbers of its connections."""
    return [connection.number for connection in place.connections]


def wait_for_note(lab: NetLab, proxy: UdpProxy, text: str, number: int = 1) -> None:
    """Wait until a note on a session says it."""
    lab.wait_for(lambda: text in notes(proxy, number))


@contextmanager
def plain_server(host: str = "127.0.0.1") -> Iterator[socket.socket]:
    """A server that is not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as server:
        server.bind((host, 0))
        server.settimeout(30)
        yield server


def stopped(lab: NetLab) -> UdpResponder:
    """A server of ours that is not there."""
    server = lab.udp_responder()
    server.stop()
    return server


def refused(client: socket.socket) -> bool:
    """Whether a datagram meets a refusal."""
    client.send(b"refused?")
    try:
        client.recv(65536)
    except ConnectionRefusedError:
        return True
    return False
