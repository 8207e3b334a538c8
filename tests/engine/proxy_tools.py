"""Clients, servers and looks at the kernel for the tests of the proxy.

It asserts nothing and starts nothing by itself.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from random import Random
from typing import Any, TypeVar

from pytest_netfixtures._engine.connection import ServerConnection
from pytest_netfixtures._engine.tcp_proxy import TcpProxy
from pytest_netfixtures._netlab import NetLab

__all__ = [
    "MIB",
    "Client",
    "connect",
    "in_front_of",
    "pattern",
    "pieces",
    "pours",
    "read_to_end",
    "ways_to_chunk",
]

MIB = 1 << 20

E = TypeVar("E")


def pattern(size: int) -> bytes:
    """Bytes of which no two places look alike for 16 MiB, so that a loss, a doubling and a swap are all seen."""
    return b"".join(number.to_bytes(4, "big") for number in range(-(-size // 4)))[:size]


class Client(socket.socket):
    """A socket that remembers that it was reset while it connected: the kernel tells of a reset once."""

    was_reset = False

    def connect(self, address: Any) -> None:
        try:
            super().connect(address)
        except ConnectionResetError:
            self.was_reset = True


@contextmanager
def connect(place: Any, small: bool = False) -> Iterator[Client]:
    """A client; every wait of it ends after 10 s. A small one takes few bytes that it does not read."""
    address = getattr(place, "address", place)
    with Client(socket.AF_INET6 if ":" in address[0] else socket.AF_INET) as client:
        if small:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(10)
        client.connect(address)
        yield client


def take(client: socket.socket, size: int) -> bytes:
    """Exactly `size` bytes; fewer at the end of the stream."""
    data = b""
    while len(data) < size and (more := client.recv(size - len(data))):
        data += more
    return data


@contextmanager
def crowded() -> Iterator[socket.socket]:
    """A listener whose queue is full: connects hang until something is accepted."""
    with socket.socket() as listener, ExitStack() as crowd:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        while True:
            one = crowd.enter_context(socket.socket())
            one.settimeout(0.1)
            try:
                one.connect(listener.getsockname())
            except TimeoutError:
                one.close()  # else it would go on trying
                break
        yield listener


def reset(client: socket.socket) -> None:
    """End with RST."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def ends(proxy: TcpProxy, number: int = 1) -> dict[str, str | None]:
    """What each side of a connection did to end it, and what it met; {} before there is a connection."""
    for connection in proxy.connections:
        if connection.number == number:
            did = {"client": connection.ended["client"], "server": connection.ended["server"]}
            return {**did, "client met": connection.to_client.end, "server met": connection.to_server.end}
    return {}


def entries(lab: NetLab, kind: type[E]) -> list[E]:
    """What the journal says so far, of one kind."""
    with lab.engine.journal.lock:
        return [entry for entry in lab.recorder.story() if isinstance(entry, kind)]


def read_to_end(client: Client, size: int = 65536) -> tuple[bytes, str]:
    """All that comes, and how it ends: "FIN" or "RST"."""
    parts: list[bytes] = []
    while True:
        try:
            data = client.recv(size)
        except ConnectionResetError:
            return b"".join(parts), "RST"
        if not data:
            return b"".join(parts), "RST" if client.was_reset else "FIN"
        parts.append(data)


def pieces(data: bytes, how: str, seed: int = 0) -> list[bytes]:
    """The same bytes: "whole", in "bytes", or at "random"."""
    if how == "whole":
        return [data]
    if how == "bytes":
        return [data[i : i + 1] for i in range(len(data))]
    chance, cut = Random(seed), [0]
    while cut[-1] < len(data):
        cut.append(cut[-1] + chance.randint(1, max(2, len(data) // 4)))
    return [data[a:b] for a, b in zip(cut, cut[1:], strict=False)]


def ways_to_chunk() -> tuple[str, ...]:
    """What `pieces` takes."""
    return ("whole", "bytes", "random")


def pours(data: bytes, how: str = "whole", seed: int = 0) -> Callable[[ServerConnection], None]:
    """A handler that sends `data`, and with that ends its direction."""

    def pour(conn: ServerConnection) -> None:
        for piece in pieces(data, how, seed):
            conn.send(piece)

    return pour


def in_front_of(lab: NetLab, handler: Callable[[ServerConnection], object], **faults: Any) -> TcpProxy:
    """A proxy with faults before a server with this handler."""
    return lab.tcp_proxy(lab.tcp_server(handler), **faults)
