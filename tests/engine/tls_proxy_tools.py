"""Clients under TLS for the tests of proxies that end it.

It asserts nothing. Every wait of a client ends after 10 s, and an end without close_notify is an error to it.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pytest_netfixtures import NetLab

__all__ = ["read_all", "secure", "was_reset", "wrap"]


def wrap(lab: NetLab, client: socket.socket, **how: Any) -> ssl.SSLSocket:
    """TLS over a socket, with a context that trusts the lab's authority."""
    name = how.pop("name", "localhost")
    context = lab.ca.client_context(**how)
    return context.wrap_socket(client, server_hostname=name, suppress_ragged_eofs=False)


@contextmanager
def secure(lab: NetLab, place: Any, **how: Any) -> Iterator[ssl.SSLSocket]:
    """A client of a server or proxy with TLS, after the handshake."""
    address = getattr(place, "address", place)
    # Wrapped before it is connected: Python leaves a connected one open when an RST comes while it is wrapped.
    with wrap(lab, socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET), **how) as client:
        client.settimeout(10)
        client.connect(address)
        yield client


def was_reset(client: socket.socket) -> bool:
    """Whether the connection is gone altogether: some Pythons say of an RST over TLS what they say of a FIN."""
    try:
        client.getpeername()
    except OSError:
        return True
    return False


def read_all(client: ssl.SSLSocket, size: int = 65536) -> tuple[bytes, str]:
    """All that comes, and how it ends: "close_notify", "FIN" (without one), or "RST"."""
    parts: list[bytes] = []
    while True:
        try:
            data = client.recv(size)
        except (ssl.SSLEOFError, ConnectionResetError):
            return b"".join(parts), "RST" if was_reset(client) else "FIN"
        if not data:
            return b"".join(parts), "close_notify"
        parts.append(data)
