"""A UDP responder.

Law: a datagram comes in, none to many go out; answers come from a table, or from a callable in a thread of its own. Each
client address counts as a connection.
"""

from __future__ import annotations

import _socket
import errno
import inspect
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from .._errors import ServerError, is_for_the_user
from .._wire.checks import check_seconds
from .._wire.entries import TO_CLIENT, TO_SERVER, Address, Delivered, Direction, LegOpened, Sent
from .handlers import check_function, join_all
from .place import Recorded
from .ports import Port
from .scope import Scope
from .udp_port import UdpListener

__tracebackhide__ = is_for_the_user

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


Answer: TypeAlias = "bytes | Later | Sequence[bytes | Later] | None"
Answers: TypeAlias = "Mapping[bytes, Answer] | Callable[..., Answer] | None"


@dataclass
class _Client:
    """One client address: a connection, for the record."""

    id: int
    number: int
    peer: Address
    counts: dict[Direction, int] = field(default_factory=lambda: {TO_SERVER: 0, TO_CLIENT: 0})


class _Question(NamedTuple):
    """A datagram, who sent it, when it came, and through which socket."""

    data: bytes
    peer: Any
    asked: float
    sock: _socket.socket | None


class UdpResponder(Recorded):
    """A UDP server that answers from a table or a callable; without either it is an echo.

    `answers` is a mapping from datagram to answer (others get silence), or a callable of `(data)` or `(data, peer)`. An
    answer is bytes, `None` (silence), `Later(seconds, data)`, or a list of bytes and `Later`. A callable runs in a thread
    of its own; its error fails the test.
    """

    kind = "udp_responder"
    scheme = "udp"

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
        self._listener = UdpListener(self._port, self._heard)
        self.scope = scope
        self.name = scope.name(self.kind, name)
        self._clients: dict[Any, _Client] = {}
        # The number of the youngest client; 0, -1 ... of those that were there before.
        self._last = {False: 0, True: 1}
        self._questions: queue.SimpleQueue[_Question | None] = queue.SimpleQueue()
        self._thread = self._own_thread() if callable(answers) else None
        self._say_where()
        self.start()
        if self._thread is not None:
            self._thread.start()

    def start(self) -> None:
        """Answer; again on the same port after `stop()`."""
        self.scope.engine.call(self._listener.listen)

    def stop(self) -> None:
        """Stop answering: the port is closed, and a client's datagram meets ICMP port unreachable.

        Answers that are on their way are dropped.
        """
        self.scope.engine.call(self._listener.refuse)

    def forget(self) -> None:
        """Start the record and the numbering afresh; who gets an answer later is a client that was there before."""
        self.scope.engine.call(self._forget)

    def close(self) -> None:
        """Stop, and give the port back."""
        self.scope.engine.call(self._close)
        if self._thread is not None:
            self._questions.put(None)
            join_all([self._thread])

    def open_entries(self) -> list[LegOpened]:
        """The entries that open the record of every client so far."""
        return [self._opened(client) for client in self._clients.values()]

    # On the engine's thread.

    def _close(self) -> None:
        self._listener.refuse()
        self._port.close()

    def _forget(self) -> None:
        self.scope.engine.settle()  # what a client has sent before belongs to before
        with self.scope.book.lock:
            self._clients.clear()
            self._last = {False: 0, True: 1}
            self.scope.book.recorder.forget((), self.name)

    def _heard(self, data: bytes, peer: Any) -> Callable[[], object]:
        self._write(self._client(peer, before=False), TO_SERVER, data)
        return partial(self._ask, _Question(data, peer, time.monotonic(), self._listener.sock))

    def _client(self, peer: Any, before: bool) -> _Client:
        """The record of this address; a new one is written down."""
        client = self._clients.get(peer)
        if client is None:
            self._last[before] += -1 if before else 1
            client = _Client(self.scope.identity(), self._last[before], peer[:2])
            self._clients[peer] = client
            self.scope.book.write(self._opened(client, before))
        return client

    def _opened(self, client: _Client, before: bool = True) -> LegOpened:
        now = time.monotonic()
        return LegOpened(
            now, client.id, self.name, client.number, "client", "udp", client.peer, self.address, before
        )

    def _write(self, client: _Client, direction: Direction, data: bytes) -> None:
        now, number = time.monotonic(), client.counts[direction]
        self.scope.book.write(Sent(now, client.id, direction, number, len(data)), data)
        self.scope.book.write(Delivered(now, client.id, direction, number, len(data), now), data)
        client.counts[direction] += 1

    def _ask(self, question: _Question) -> None:
        if self._thread is not None:
            self._questions.put(question)
        else:
            self._reply(self._answer(question.data, question.peer), question)

    def _reply(self, answer: Answer, question: _Question) -> None:
        for part in _parts(answer):
            if isinstance(part, Later):
                send = partial(self._send, part.data, question)
                self.scope.engine.call_at(question.asked + part.seconds, send)
            else:
                self._send(part, question)

    def _send(self, data: bytes, question: _Question) -> None:
        sock, peer = question.sock, question.peer
        if sock is None or sock is not self._listener.sock:
            return  # stopped since then
        with self.scope.book.lock:
            try:
                sock.sendto(data, peer)
            except OSError as error:
                self._not_sent(data, peer, error)
            else:
                self._write(self._client(peer, before=True), TO_CLIENT, data)

    def _not_sent(self, data: bytes, peer: Any, error: OSError) -> None:
        text = f"{self.name} could not send {len(data)} bytes to {peer[0]} port {peer[1]}: {error.strerror}"
        if error.errno == errno.EMSGSIZE:
            self.scope.fail(
                ServerError(f"{text}; expected an answer that fits into a datagram: make it shorter")
            )
        else:
            self.scope.note(text)

    # On the responder's own thread.

    def _own_thread(self) -> threading.Thread:
        return threading.Thread(target=self._serve, name=f"netfixtures {self.name}", daemon=True)

    def _serve(self) -> None:
        while (question := self._questions.get()) is not None:
            if question.sock is self._listener.sock:
                self._work_out(question)

    def _work_out(self, question: _Question) -> None:
        try:
            parts = list(_parts(self._answer(question.data, question.peer)))
        except BaseException as error:
            self.scope.fail(error)
        else:
            self.scope.engine.post(partial(self._reply, parts, question))


def _answering(answers: Answers) -> Callable[[bytes, Any], Answer]:
    if answers is None:
        return lambda data, peer: data
    if isinstance(answers, Mapping):
        table = {_checked(question): list(_parts(answer)) for question, answer in answers.items()}
        return lambda data, peer: table.get(data)
    if not callable(answers):
        raise TypeError(
            f"answers is {answers!r}; expected a mapping of datagrams to answers, or a callable of (data)"
        )
    check_function("answers", answers)
    return answers if _wants_peer(answers) else lambda data, peer: answers(data)


def _wants_peer(function: Callable[..., Answer]) -> bool:
    """Whether it takes `(data, peer)`: a second parameter that it needs, or that is called `peer`."""
    try:
        signature = inspect.signature(function)
    except ValueError:
        return False  # a builtin that does not say
    if "peer" in signature.parameters or not _binds(signature, 1):
        if not _binds(signature, 2):
            raise TypeError(f"answers is {function!r}; expected a callable of (data) or of (data, peer)")
        return True
    return False


def _binds(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True


def _checked(question: object) -> bytes:
    if not isinstance(question, bytes):
        raise TypeError(f"answers has the question {question!r}; expected bytes")
    return question


def _parts(answer: object) -> Iterable[bytes | Later]:
    parts = answer if isinstance(answer, (list, tuple)) else [] if answer is None else [answer]
    for part in parts:
        if not isinstance(part, (bytes, bytearray, Later)):
            raise TypeError(
                f"the answer is {answer!r}; expected bytes, None, Later(seconds, data), or a list of those"
            )
        yield part if isinstance(part, Later) else bytes(part)
