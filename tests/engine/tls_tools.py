"""Clients for the tests of servers with TLS: those of the stdlib, and one whose records, ends and silence are made by hand.

It judges nothing. Every client has a timeout, so that a test that is wrong ends.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from engine.server_tools import connect

from pytest_netfixtures import NetLab

__all__ = ["ByHand", "by_hand", "entries_of", "secured"]

E = TypeVar("E")


@contextmanager
def secured(
    lab: NetLab, server: Any, name: str | None = "localhost", context: ssl.SSLContext | None = None
) -> Iterator[ssl.SSLSocket]:
    """A client that has shaken hands; it trusts the lab's authority unless it has a context of its own."""
    context = context or lab.ca.client_context()
    with connect(server) as plain, context.wrap_socket(plain, server_hostname=name) as client:
        yield client


class ByHand:
    """A TLS client over a socket whose every step is made by the test.

    One thread may send while another one receives, which an `ssl.SSLSocket` does not survive.
    """

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self.sock = sock
        self._lock = threading.Lock()
        self._parts: deque[bytes] = deque()
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._in, self._out, server_hostname="localhost")

    def shake_hands(self) -> None:
        """All of the handshake."""
        while True:
            try:
                self.tls.do_handshake()
                return self.flush()
            except ssl.SSLWantReadError:
                self.flush()
                self._in.write(self._more())

    def flush(self) -> None:
        """Send what TLS has to say."""
        self.sock.sendall(self._out.read())

    def seal(self, data: bytes) -> bytes:
        """These bytes as cipher text, which is not sent."""
        with self._lock:
            self.tls.write(data)
            return self._out.read()

    def send(self, data: bytes) -> None:
        self.sock.sendall(self.seal(data))

    def say_goodbye(self) -> None:
        """close_notify, and no FIN."""
        with self._lock:
            try:
                self.tls.unwrap()
            except ssl.SSLError:
                pass  # the server's has not come yet
        self.flush()

    def recv(self) -> bytes | None:
        """The next plain text; b"" at the server's close_notify, None at a FIN without one."""
        self._take_in(b"")
        while not self._parts:
            cipher = self.sock.recv(65536)
            if not cipher:
                return None
            self._take_in(cipher)
        return self._parts.popleft()

    def _take_in(self, cipher: bytes) -> None:
        """All plain text of it at once: a goodbye of ours would throw away whole records that are left inside."""
        with self._lock:
            self._in.write(cipher)
            try:
                while part := self.tls.read(65536):
                    self._parts.append(part)
                self._parts.append(b"")
            except ssl.SSLZeroReturnError:
                self._parts.append(b"")
            except ssl.SSLWantReadError:
                return

    def read_all(self) -> tuple[bytes, bool]:
        """Everything up to the end, and whether that was close_notify."""
        parts = []
        while part := self.recv():
            parts.append(part)
        return b"".join(parts), part is not None

    def _more(self) -> bytes:
        data = self.sock.recv(65536)
        assert data, "the server ended in the middle of the handshake"
        return data


@contextmanager
def by_hand(lab: NetLab, server: Any, **limits: Any) -> Iterator[ByHand]:
    """A client that has shaken hands, and whose ends are made by hand."""
    with connect(server) as sock:
        client = ByHand(sock, lab.ca.client_context(**limits))
        client.shake_hands()
        yield client


def entries_of(lab: NetLab, *kinds: type[E]) -> list[E]:
    """What a new reader of the journal is told, of these kinds; to be called before it happens."""
    seen: list[E] = []
    lab.add_sink(lambda entry, data: seen.append(entry) if isinstance(entry, kinds) else None)
    return seen
