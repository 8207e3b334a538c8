"""A UDP port that hears, falls silent, and hears again.

Law: it reads and sends datagrams and says who is no longer there; whose datagrams they are is its user's business. While
nobody hears, the kernel answers with port unreachable (ICMP).
"""

from __future__ import annotations

import _socket
import struct
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from .loop import Engine
from .poller import ERROR, READ
from .ports import Port
from .sockets import make_roomy

__all__ = ["Heard", "UdpListener", "take_in"]

Heard = Callable[[bytes, Any], Callable[[], object]]
"""Called with a datagram and its sender, under the journal's lock; what it returns is called without the lock."""

AT_ONCE = 256
"""So many datagrams are read from one socket before others get their turn."""

# linux/in.h and linux/in6.h; the module `socket` has these names from Python 3.14 on.
_TELL_OF_ERRORS = {_socket.AF_INET: (_socket.IPPROTO_IP, 11), _socket.AF_INET6: (_socket.IPPROTO_IPV6, 25)}
_ERROR_QUEUE = 0x2000
_REFUSED = 111
_ROOM_FOR_AN_ERROR = 128


def take_in(engine: Engine, sock: _socket.socket, heard: Heard, failed: Callable[[OSError], object]) -> None:
    """Read what is there, as far as others need not wait for it."""
    for _ in range(AT_ONCE):
        with engine.journal.lock:
            try:
                size, peer = sock.recvfrom_into(engine.buffer)
            except BlockingIOError:
                return
            except OSError as error:
                then: Callable[[], object] = partial(failed, error)
            else:
                then = heard(bytes(engine.buffer[:size]), peer)
        then()
        if sock.fileno() < 0:
            return


class UdpListener:
    """A port that can be heard on, refused, and heard on again. For the engine's thread.

    `unreachable` is called with the address of a client that is no longer there: the kernel has told of it by ICMP, which
    it does on Linux alone.
    """

    def __init__(self, port: Port, heard: Heard, unreachable: Callable[[Any], object] | None = None) -> None:
        self.port = port
        self.engine = port.engine
        self.sock: _socket.socket | None = None
        self._heard = heard
        self._unreachable = unreachable if sys.platform.startswith("linux") else None
        self.then: set[Callable[[], object]] = set()
        """What is called once, when it listens again."""

    def listen(self) -> None:
        """Hear clients from now on."""
        if self.sock is None:
            self.sock = make_roomy(self.port.another())
            if self._unreachable is not None:
                self.sock.setsockopt(*_TELL_OF_ERRORS[self.port.family], 1)
            self.engine.watch(self.sock, READ, self._ready)
            while self.then:
                self.then.pop()()

    def refuse(self) -> None:
        """From now on nobody listens; the port stays ours."""
        if self.sock is not None:
            self.engine.close(self.sock)
            self.sock = None

    def send(self, data: bytes, peer: Any) -> None:
        """Send a datagram from this port, which a port where nobody listens can do too. Raises OSError."""
        sock = self.sock or self.port.silent
        try:
            sock.sendto(data, peer)
        except OSError:
            if not self._take_errors():
                raise
            sock.sendto(data, peer)  # the error was that of an earlier datagram, perhaps to somebody else

    def _ready(self, ready: int) -> None:
        if ready & ERROR:
            self._take_errors()
        if self.sock is not None:
            take_in(self.engine, self.sock, self._heard, lambda error: self._take_errors())

    def _take_errors(self) -> bool:
        """Empty the queue of the kernel's messages, else it would tell of them again and again; whether there were any."""
        found = False
        while self.sock is not None and self._unreachable is not None:
            try:
                _, extra, _, peer = self.sock.recvmsg(0, _ROOM_FOR_AN_ERROR, _ERROR_QUEUE)
            except OSError:
                break
            found = True
            if any(struct.unpack_from("=I", data)[0] == _REFUSED for _, _, data in extra):
                self.engine.post(partial(self._unreachable, peer))
        return found
