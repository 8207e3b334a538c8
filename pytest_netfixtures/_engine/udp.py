"""A UDP responder.

Law: a datagram comes in, none to many go out; answers come from a table, or from a callable in a thread of its own. Each
client address counts as a connection.
"""

from __future__ import annotations

import _socket
import inspect
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from .._wire.checks import check_seconds
from .._wire.entries import TO_CLIENT, TO_SERVER, Address, Delivered, Direction, LegOpened, Sent
from .._wire.traffic import Traffic
from .handlers import join_all
from .poller import READ
from .ports import Port
from .scope import Scope

__all__ = ["Answer", "Answers", "Later", "UdpResponder"]


@dataclass(frozen=True)
class Later:
    """An answer that leaves `seconds` after the question came.

    >>> Later(0.5, b"pong")
    Later(seconds=0.5, data=b'pong')
    """

    seconds: float
    data: bytes

    def __post_init__(self) -> None:
        check_seconds("seconds", self.seconds)
        if not isinstance(self.data, bytes):
            raise TypeError(f"data is {self.data!r}; expected bytes")


Answer: TypeAlias = "bytes | Later | list[bytes | Later] | None"
Answers: TypeAlias = "Mapping[bytes, Answer] | Callable[..., Answer] | None"


@dataclass
class _Client:
    """One client address: a connection, for the record."""

    id: int
    number: int
    peer: Address
    opened_before: bool = False
    sent: int = 0
    delivered: int = 0


class UdpResponder:
    """A UDP server that answers from a table or a callable; without either it is an echo.

    `answers` is a mapping from datagram to answer (others get silence), or a callable of `(data)` or `(data, peer)`. An
    answer is bytes, `None` (silence), `Later(seconds, data)`, or a list of bytes and `Later`. A callable runs in a thread
    of its own; its error fails the test.
    """

    kind = "udp_responder"

    def __init__(
        self,
        scope: Scope,
        answers: Answers = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        name: str | None = None,
    ) -> None:
        self._answer = _answering(answers)
        self._port = Port(scope.engine, host, port, _socket.SOCK_DGRAM)
        self.scope = scope
        self.name = scope.name(self.kind, name)
        self._clients: dict[Any, _Client] = {}
        self._sock: _socket.socket | None = None
        self._questions: queue.SimpleQueue[tuple[bytes, Any, float] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        if callable(answers):
            self._thread = threading.Thread(target=self._serve, name=f"netfixtures {self.name}", daemon=True)
            self._thread.start()
        self.start()

    @property
    def host(self) -> str:
        """The address that it is bound to."""
        return self._port.host

    @property
    def port(self) -> int:
        """The port."""
        return self._port.port

    @property
    def address(self) -> tuple[str, int]:
        """`(host, port)`, as `sendto` takes it."""
        return (self.host, self.port)

    @property
    def url(self) -> str:
        """`udp://host:port`."""
        return f"udp://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def traffic(self) -> Traffic:
        """An immutable snapshot of the datagrams so far, a connection for each client address."""
        with self.scope.book.lock:
            return self.scope.book.recorder.traffic(self.name)

    def start(self) -> None:
        """Answer; again on the same port after `stop()`."""
        self.scope.engine.call(self._start)

    def stop(self) -> None:
        """Stop answering: the port is closed, and a client's datagram meets ICMP port unreachable."""
        self.scope.engine.call(self._stop)

    def forget(self) -> None:
        """Start the record and the numbering afresh."""
        self.scope.engine.call(self._forget)

    def close(self) -> None:
        """Stop, and give the port back."""
        self.scope.engine.call(self._close)
        if self._thread is not None:
            self._questions.put(None)
            join_all([self._thread])

    def open_entries(self) -> list[LegOpened]:
        """The entries that open the record of every client so far."""
        return [self._opened(client, True) for client in self._clients.values()]

    # On the engine's thread.

    def _start(self) -> None:
        if self._sock is None:
            self._sock = self._port.another()
            self.scope.engine.watch(self._sock, READ, self._ready)

    def _stop(self) -> None:
        sock, self._sock = self._sock, None
        if sock is not None:
            self.scope.engine.close(sock)

    def _close(self) -> None:
        self._stop()
        self._port.close()

    def _forget(self) -> None:
        with self.scope.book.lock:
            self._clients.clear()
            self.scope.book.recorder.forget((), self.name)

    def _ready(self, ready: int) -> None:
        while self._sock is not None:
            with self.scope.book.lock:
                try:
                    data, peer = self._sock.recvfrom(65536)
                except BlockingIOError:
                    return
                except OSError:
                    continue  # an ICMP error of an earlier answer
                self._write_received(peer, data)
            self._ask(data, peer)

    def _write_received(self, peer: Any, data: bytes) -> None:
        client = self._clients.get(peer)
        if client is None:
            client = self._clients[peer] = _Client(self.scope.identity(), len(self._clients) + 1, peer[:2])
            self.scope.book.write(self._opened(client, False))
        now, number = time.monotonic(), client.sent
        self.scope.book.write(Sent(now, client.id, TO_SERVER, number, len(data)), data)
        self.scope.book.write(Delivered(now, client.id, TO_SERVER, number, len(data), now), data)
        client.sent += 1

    def _opened(self, client: _Client, before: bool) -> LegOpened:
        now = time.monotonic()
        return LegOpened(
            now, client.id, self.name, client.number, "client", "udp", client.peer, self.address, before
        )

    def _ask(self, data: bytes, peer: Any) -> None:
        if self._thread is not None:
            self._questions.put((data, peer, time.monotonic()))
        else:
            self._reply(self._answer(data, peer), peer, time.monotonic())

    def _reply(self, answer: Answer, peer: Any, asked: float) -> None:
        for part in _parts(answer):
            if isinstance(part, Later):
                self.scope.engine.call_at(asked + part.seconds, partial(self._send, part.data, peer))
            else:
                self._send(part, peer)

    def _send(self, data: bytes, peer: Any) -> None:
        if self._sock is None or peer not in self._clients:
            return
        with self.scope.book.lock:
            try:
                self._sock.sendto(data, peer)
            except OSError as error:
                self.scope.note(
                    f"{self.name} could not send {len(data)} bytes to {peer[0]} port {peer[1]}: {error.strerror}"
                )
                return
            self._write_sent(self._clients[peer], data, TO_CLIENT)

    def _write_sent(self, client: _Client, data: bytes, direction: Direction) -> None:
        now, number = time.monotonic(), client.delivered
        self.scope.book.write(Sent(now, client.id, direction, number, len(data)), data)
        self.scope.book.write(Delivered(now, client.id, direction, number, len(data), now), data)
        client.delivered += 1

    # On the responder's own thread.

    def _serve(self) -> None:
        while (question := self._questions.get()) is not None:
            data, peer, asked = question
            try:
                answer = self._answer(data, peer)
                parts = list(_parts(answer))
            except BaseException as error:
                self.scope.fail(error)
            else:
                self.scope.engine.post(partial(self._reply, parts, peer, asked))

    def __repr__(self) -> str:
        return f"<{self.name} on {self.url}>"


def _answering(answers: Answers) -> Callable[[bytes, Any], Answer]:
    if answers is None:
        return lambda data, peer: data
    if isinstance(answers, Mapping):
        table = dict(answers)
        for question, answer in table.items():
            _check_entry(question, answer)
        return lambda data, peer: table.get(data)
    if not callable(answers):
        raise TypeError(
            f"answers is {answers!r}; expected a mapping of datagrams to answers, or a callable of (data)"
        )
    return answers if _wants_peer(answers) else lambda data, peer: answers(data)


def _wants_peer(function: Callable[..., Answer]) -> bool:
    try:
        inspect.signature(function).bind(b"", ("", 0))
    except TypeError:
        return False
    return True


def _check_entry(question: object, answer: Answer) -> None:
    if not isinstance(question, bytes):
        raise TypeError(f"answers has the question {question!r}; expected bytes")
    list(_parts(answer))


def _parts(answer: object) -> Iterable[bytes | Later]:
    parts = answer if isinstance(answer, (list, tuple)) else [] if answer is None else [answer]
    for part in parts:
        if not isinstance(part, (bytes, bytearray, Later)):
            raise TypeError(
                f"the answer is {answer!r}; expected bytes, None, Later(seconds, data), or a list of those"
            )
        yield part if isinstance(part, Later) else bytes(part)
