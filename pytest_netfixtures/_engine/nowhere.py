"""Addresses where a client gets nowhere.

Law: nobody is served here, and nothing is recorded: there is no connection. That a connect hangs is proven before the
address is told to anybody.
"""

from __future__ import annotations

import _socket
import select
import time

from .._errors import SetupError
from .loop import Engine
from .ports import Port
from .sockets import dropped, full, in_syn_sent

__all__ = ["Refused", "Tarpit"]

MOST_CROWDED = 16
"""So many connections of ours are tried before it is said that a connect does not hang here."""

PROOF_SECONDS = 2.0
"""How long the kernel may take to say that its queue is full; it takes microseconds."""

SILENCE_SECONDS = 0.1
"""Where the kernel does not say it: a connect without an answer for so long hangs."""

_LOOK_AGAIN_MS = 1


class Refused:
    """A port where nobody ever listens."""

    def __init__(self, engine: Engine, host: str) -> None:
        self._engine = engine
        self._port = Port(engine, host)
        self.address = (self._port.host, self._port.port)

    def close(self) -> None:
        """Give the port back."""
        self._engine.call(self._close)

    def _close(self) -> None:
        self._port.close()


class Tarpit(Refused):
    """A port where a connect hangs: somebody listens, nobody accepts, and the queue is full of connections of ours.

    The kernel drops every SYN to a full queue, so that a client tries until its own timeout. After `close()` it is
    refused at its next try.

    Raises SetupError where a connect does not hang.
    """

    def __init__(self, engine: Engine, host: str) -> None:
        super().__init__(engine, host)
        self._crowd: list[_socket.socket] = []
        try:
            self._listener = self._keep(self._port.another())
            self._listener.listen(0 if full(self._listener) is not None else 1)  # to some kernels 0 is many
            self._fill()
        except BaseException as problem:
            self.close()
            if isinstance(problem, OSError):
                raise self._does_not_hang(f"it failed: {problem.strerror}") from problem
            raise

    def _keep(self, sock: _socket.socket) -> _socket.socket:
        self._crowd.append(sock)
        return sock

    def _fill(self) -> None:
        for _ in range(MOST_CROWDED):
            before = dropped(self._listener)
            one = self._try()
            if self._hangs(one, before):
                self._crowd.remove(one)
                self._engine.close(one)  # else it would go on trying
                return
        raise self._does_not_hang(f"it was answered, {MOST_CROWDED} times")

    def _try(self) -> _socket.socket:
        one = self._keep(self._engine.adopt(_socket.socket(self._port.family, _socket.SOCK_STREAM)))
        one.connect_ex(self.address)
        return one

    def _hangs(self, one: _socket.socket, before: int | None) -> bool:
        """Whether this connect gets no answer, and none after it will."""
        told = full(self._listener) is not None
        answer = select.poll()
        answer.register(one, select.POLLOUT)
        deadline = time.monotonic() + (PROOF_SECONDS if told else SILENCE_SECONDS)
        while time.monotonic() < deadline:
            if answer.poll(0):
                return False
            if told and self._is_proven(one, before):
                return True
            answer.poll(_LOOK_AGAIN_MS)
        if told:
            raise self._does_not_hang("the kernel does not say that its queue is full")
        return True

    def _is_proven(self, one: _socket.socket, before: int | None) -> bool:
        """Whether the kernel says that the queue is full, that it dropped a SYN, and that the client is still trying."""
        now = dropped(self._listener)
        was_dropped = before is None or now is None or now > before
        return bool(full(self._listener)) and was_dropped and in_syn_sent(one)

    def _does_not_hang(self, what: str) -> SetupError:
        return SetupError(
            f"a connect to {self.address[0]} port {self.address[1]} shall hang, but {what}; expected a kernel that drops"
            " a SYN when the queue of a listener is full: use deaf_server(), where connects succeed and nobody answers"
        )

    def _close(self) -> None:
        for sock in self._crowd:
            self._engine.close(sock)
        self._crowd.clear()
        super()._close()
