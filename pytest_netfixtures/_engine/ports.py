"""Addresses that we listen on, or keep refused.

Law: a port comes from the kernel, is bound before anybody hears of it, and stays ours until it is given back: a second
socket stays bound to it and never listens, so that it is refused and not somebody else's while nobody listens.
"""

from __future__ import annotations

import _socket
import errno
import os
import warnings
from collections.abc import Callable
from typing import Any

from .._errors import SetupError, is_for_the_user
from .._wire.checks import check_count
from .loop import Engine
from .poller import READ

__tracebackhide__ = is_for_the_user

__all__ = ["Listener", "Port", "family_of"]

OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)
LOOK_AGAIN = 0.05
"""How long accepting rests: others than we may close a descriptor, and nobody tells."""

_GONE_ALREADY = (errno.ECONNABORTED, errno.EINTR, errno.EPROTO)


def family_of(host: object) -> int:
    """AF_INET or AF_INET6 of a numeric address; ValueError or TypeError otherwise."""
    if not isinstance(host, str):
        raise TypeError(f"host is {host!r}; expected a numeric address such as '127.0.0.1' or '::1'")
    family = _socket.AF_INET6 if ":" in host else _socket.AF_INET
    try:
        _socket.inet_pton(family, host)
    except (OSError, ValueError):
        message = f"host is {host!r}; expected a numeric address such as '127.0.0.1' or '::1'"
        raise ValueError(message) from None
    return family


class Port:
    """A port that is ours: bound, and refused while nobody listens."""

    def __init__(
        self, engine: Engine, host: str = "127.0.0.1", port: int = 0, kind: int = _socket.SOCK_STREAM
    ) -> None:
        check_count("port", port, unit="")
        if port > 65535:
            raise ValueError(f"port is {port!r}; expected 65535 or less, or 0 to let the kernel choose one")
        self.engine = engine
        self.host = host
        self.family = family_of(host)
        self.kind = kind
        self._given_back = False
        # For UDP "reuse" would let two of us have one port; for TCP a port given by the user may have old connections.
        self._reservation = self._bind(port, reuse=kind == _socket.SOCK_STREAM)
        self.port: int = self._reservation.getsockname()[1]
        self._reservation.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        if kind == _socket.SOCK_DGRAM:
            self._reservation.connect((host, self.port))  # it hears nobody, so that the port is refused
        self._place = (int(kind), host, self.port)
        engine.ports.add(self._place)
        engine.announce(self.port)

    def _bind(self, port: int, reuse: bool = True) -> _socket.socket:
        try:
            sock = _socket.socket(self.family, self.kind | getattr(_socket, "SOCK_CLOEXEC", 0))
        except OSError as error:
            raise self._not_bound(port, error) from error
        try:
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, reuse)
            sock.bind((self.host, port))
        except OSError as error:
            sock.close()
            raise self._not_bound(port, error) from error
        return self.engine.adopt(sock)

    def _not_bound(self, port: int, error: OSError) -> SetupError:
        where = f"{self.host} port {port}" if port else f"a port of {self.host}"
        if error.errno in OUT_OF_DESCRIPTORS:
            return SetupError(
                f"{where} could not be bound: {error.strerror}; expected a free file descriptor:"
                " close connections, or raise the limit with `ulimit -n`"
            )
        return SetupError(
            f"{where} could not be bound: {error.strerror}; expected a loopback address of this machine"
            " and a free port: leave port out to let the kernel choose one"
        )

    @property
    def silent(self) -> _socket.socket:
        """The socket that keeps the port: it hears nobody."""
        return self._reservation

    def another(self) -> _socket.socket:
        """Another socket on the same port."""
        if self._given_back:
            raise SetupError(
                f"{self.host} port {self.port} was given back by close(); expected an open server or proxy:"
                " use stop() where start() is to follow, or make another one"
            )
        return self._bind(self.port)

    def close(self) -> None:
        """Give the port back."""
        if not self._given_back:
            self._given_back = True
            self.engine.ports.discard(self._place)
            self.engine.close(self._reservation)


class Listener:
    """A port that can be listened on, refused, and listened on again. For the engine's thread."""

    def __init__(
        self, port: Port, accepted: Callable[[_socket.socket, Any], object], backlog: int = 4096
    ) -> None:
        self.port = port
        self.engine = port.engine
        self._accepted = accepted
        self._backlog = backlog
        self._sock: _socket.socket | None = None

    @property
    def listening(self) -> bool:
        """Whether connects succeed now."""
        return self._sock is not None

    def listen(self) -> None:
        """Accept connections from now on."""
        if self._sock is None:
            self._sock = self.port.another()
            self._sock.listen(self._backlog)
            self._rest(False)

    def refuse(self) -> None:
        """From now on nobody listens; the port stays ours."""
        sock, self._sock = self._sock, None
        if sock is not None:
            self.engine.close(sock)

    def _rest(self, on: bool) -> None:
        if self._sock is not None:
            self.engine.watch(self._sock, 0 if on else READ, self._ready)

    def _ready(self, ready: int) -> None:
        while self._sock is not None:
            try:
                fd, peer = self._sock._accept()  # type: ignore[attr-defined]
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _GONE_ALREADY:
                    continue
                self._wait_for_descriptors(error)
                return
            sock = _socket.socket(self.port.family, self.port.kind, 0, fileno=fd)
            os.set_inheritable(fd, False)
            self._accepted(self.engine.adopt(sock), peer)

    def _wait_for_descriptors(self, error: OSError) -> None:
        if error.errno not in OUT_OF_DESCRIPTORS:
            raise error
        self._rest(True)
        self.engine.call_later(LOOK_AGAIN, lambda: self._rest(False))
        warn_once_about_descriptors()


_warned = False


def warn_once_about_descriptors() -> None:
    """Accepting rests until a descriptor is free: said once in a process."""
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(
            "no file descriptor is left, so accepting rests until one is closed; expected enough for all connections:"
            " close some, or raise the limit with `ulimit -n`",
            RuntimeWarning,
            stacklevel=2,
        )
