"""Clients for the tests of servers: plain sockets, and the ways in which they leave.

It judges nothing. Every client has a timeout, so that a test that is wrong ends.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pytest_netfixtures import NetLab, ServerConnection
from pytest_netfixtures._wire.entries import Direction

__all__ = [
    "HOSTS",
    "PATIENCE",
    "connect",
    "dialogue",
    "leave_by_reset",
    "pattern",
    "pouring",
    "quiet_port",
    "read_all",
    "small_client",
    "taken_error",
    "total",
    "udp_client",
]

HOSTS = ("127.0.0.1", "::1")
PATIENCE = 30.0


def connect(server: Any) -> socket.socket:
    """A client of a server of ours."""
    return socket.create_connection(server.address, timeout=PATIENCE)


def small_client(server: Any) -> socket.socket:
    """A client that takes few bytes before it reads."""
    client = socket.socket(socket.AF_INET6 if ":" in server.host else socket.AF_INET)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(PATIENCE)
    client.connect(server.address)
    return client


@contextmanager
def udp_client(server: Any) -> Iterator[socket.socket]:
    """A connected UDP client, which meets ICMP errors."""
    with socket.socket(
        socket.AF_INET6 if ":" in server.host else socket.AF_INET, socket.SOCK_DGRAM
    ) as client:
        client.settimeout(PATIENCE)
        client.connect(server.address)
        yield client


@contextmanager
def dialogue(lab: NetLab, host: str = "127.0.0.1") -> Iterator[tuple[socket.socket, ServerConnection]]:
    """A client and the connection that the test, as the server, has accepted."""
    server = lab.tcp_server(host=host)
    with connect(server) as client:
        yield client, server.accept()


def quiet_port() -> int:
    """A port that the kernel gives to nobody by itself (it begins at 32768), and no other process of this run either."""
    return 10_000 + os.getpid() % 20_000


def read_all(client: socket.socket) -> bytes:
    """Everything up to FIN."""
    chunks = []
    while chunk := client.recv(65536):
        chunks.append(chunk)
    return b"".join(chunks)


def leave_by_reset(client: socket.socket) -> None:
    """Close with RST."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def pattern(size: int) -> bytes:
    """Bytes of which no two places look alike."""
    return b"".join(number.to_bytes(4, "big") for number in range(size // 4 + 1))[:size]


def taken_error(lab: NetLab) -> BaseException:
    """The only error that a handler made; waited for."""
    found: list[BaseException] = []

    def look() -> bool:
        found.extend(lab.errors())
        return bool(found)

    lab.wait_for(look)
    assert len(found) == 1, found
    return found[0]


@contextmanager
def pouring(client: socket.socket, data: bytes) -> Iterator[None]:
    """A thread sends `data` and FIN, while the block reads."""

    def pour() -> None:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=pour)
    thread.start()
    yield
    thread.join()


def total(server: Any, direction: Direction) -> int:
    """How many bytes have been sent this way, on all connections; 0 before there is one."""
    return sum(connection.flow(direction).sent_bytes for connection in server.connections)
