"""Where a proxy connects to.

Law: an upstream is an address, or anything of ours that has one; it is asked at each connect. A name is resolved at each
connect too, in a thread of its own, because resolving blocks.
"""

from __future__ import annotations

import _socket
import errno
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from .._errors import is_for_the_user
from .loop import Engine, Timer
from .poller import WRITE
from .ports import LOOK_AGAIN, OUT_OF_DESCRIPTORS, warn_once_about_descriptors
from .sockets import make_roomy, tune

__tracebackhide__ = is_for_the_user

__all__ = ["CONNECT_SECONDS", "Dial", "address_of", "check_upstream"]

CONNECT_SECONDS = 5.0
"""How long an upstream may take to answer a connect."""

_EXPECTED = "expected a server or proxy of ours, ('127.0.0.1', 6379) or '127.0.0.1:6379'"


def check_upstream(upstream: object, proxy: object = None, *, transport: str = "tcp") -> None:
    """Raise TypeError or ValueError unless it is, or has, an address of such a server that is not the proxy itself."""
    address_of(upstream)
    if upstream is proxy:
        raise ValueError(f"upstream is the proxy itself, {upstream!r}; {_EXPECTED}")
    speaks = "udp" if getattr(upstream, "scheme", transport) == "udp" else "tcp"
    if speaks != transport:
        raise ValueError(
            f"upstream is {upstream!r}, which speaks {speaks.upper()}; expected one that speaks {transport.upper()}:"
            f" put netlab.{speaks}_proxy(...) in front of it"
        )


def address_of(upstream: object) -> tuple[str, int]:
    """The `(host, port)` of an upstream, now."""
    address: Any = getattr(upstream, "address", upstream)
    if isinstance(address, str):
        address = _split(address)
    if not isinstance(address, (tuple, list)) or len(address) < 2 or not isinstance(address[0], str):
        raise TypeError(f"upstream is {upstream!r}; {_EXPECTED}")
    host, port = address[:2]
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536 or not host or "/" in host:
        raise ValueError(f"upstream is {upstream!r}; {_EXPECTED}, with a port from 1 to 65535")
    return host, port


def _split(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError(f"upstream is {text!r}; {_EXPECTED}")
    return host.strip("[]"), int(port)


class Dial:
    """The way to an upstream, on the engine's thread: each address of a name in turn.

    `connecting` and `failed` are called for each address, and in the end `connected` or `unreachable`, unless stopped.
    Of `kind` SOCK_DGRAM the first address is connected at once, because nobody is asked.
    """

    def __init__(
        self,
        engine: Engine,
        connecting: Callable[[tuple[str, int], tuple[str, int]], object],
        failed: Callable[[str, bool], object],
        connected: Callable[[_socket.socket], object],
        unreachable: Callable[[], object],
        kind: int = _socket.SOCK_STREAM,
    ) -> None:
        self._engine = engine
        self._kind = kind
        self._connecting = connecting
        self._failed = failed
        self._connected = connected
        self._unreachable = unreachable
        self._sock: _socket.socket | None = None
        self._deadline: Timer | None = None
        self._addresses: deque[tuple[int, Any]] = deque()
        self._over = False
        self.was_reset = False
        """Whether the upstream has reset the connection already; the kernel tells of it once, and what came before is there."""

    def start(self, host: str, port: int) -> None:
        """Connect, within 5 s; a name is resolved in a thread first."""
        self._deadline = self._engine.call_at(time.monotonic() + CONNECT_SECONDS, self._too_late)
        family = _family(host)
        if family is not None:
            self._try([(family, (host, port))])
        else:
            look_up = threading.Thread(
                target=self._look_up, args=(host, port), name=f"netfixtures resolver {host}", daemon=True
            )
            look_up.start()

    def stop(self) -> None:
        """Give up; nothing is called any more."""
        self._over = True
        if self._deadline is not None:
            self._deadline.cancel()
        self._close()

    def _close(self) -> None:
        sock, self._sock = self._sock, None
        if sock is not None:
            self._engine.close(sock)

    def _look_up(self, host: str, port: int) -> None:
        try:
            found = _socket.getaddrinfo(host, port, 0, self._kind)
        except (OSError, UnicodeError) as problem:
            reason = f"{host} does not resolve: {problem}"
            self._engine.post(lambda: self._fail(reason, False))
        else:
            self._engine.post(lambda: self._try([(family, address) for family, _, _, _, address in found]))

    def _try(self, addresses: list[tuple[int, Any]]) -> None:
        self._addresses.extend(addresses)
        self._next()

    def _next(self) -> None:
        if self._over:
            return
        family, address = self._addresses[0]
        try:
            sock = _socket.socket(family, self._kind)
        except OSError as problem:
            self._without_socket(problem, address)
        else:
            self._connect(self._engine.adopt(sock), address)

    def _without_socket(self, problem: OSError, address: Any) -> None:
        if problem.errno in OUT_OF_DESCRIPTORS:
            self._engine.call_later(LOOK_AGAIN, self._next)
            warn_once_about_descriptors()
        else:
            self._refuse(problem.errno or 0, address)

    def _connect(self, sock: _socket.socket, address: Any) -> None:
        self._sock = sock
        tune(sock) if self._kind == _socket.SOCK_STREAM else make_roomy(sock)
        self._engine.announce(address[1])
        with self._engine.journal.lock:
            code = sock.connect_ex(address)
            self._connecting(sock.getsockname()[:2], address[:2])
        if code == 0:
            self._done(address)
        elif code == errno.EINPROGRESS:
            self._engine.watch(sock, WRITE, lambda ready: self._done(address))
        else:
            self._refuse(code, address)

    def _done(self, address: Any) -> None:
        sock = self._sock
        if sock is None:
            return
        code = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)
        if code and code != errno.ECONNRESET:
            self._refuse(code, address)
        else:
            self.was_reset = bool(code)
            self._sock = None
            self.stop()
            self._connected(sock)

    def _refuse(self, code: int, address: Any) -> None:
        reason, refused = f"{address[0]} port {address[1]}: {os.strerror(code)}", code == errno.ECONNREFUSED
        self._addresses.popleft()
        if not self._addresses:
            self._fail(reason, refused)
        else:
            self._close()
            self._failed(reason, refused)
            self._next()

    def _too_late(self) -> None:
        self._engine.settle()  # an answer that has come by now counts, however late we are
        self._fail(f"no answer within {CONNECT_SECONDS:g} s", False)

    def _fail(self, reason: str, refused: bool) -> None:
        if not self._over:
            self.stop()
            self._failed(reason, refused)
            self._unreachable()


def _family(host: str) -> int | None:
    """The family of a numeric address; None for a name."""
    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            _socket.inet_pton(family, host)
        except OSError:
            continue
        return family
    return None
