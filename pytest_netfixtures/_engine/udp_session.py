"""One client of a UDP proxy: its datagrams, a socket of its own towards the upstream, and the faults between.

Law: what either side sends becomes an event, the pipeline says what is to be sent on and when. A datagram has no end and
no way to push back: what finds no room is lost, and a session is over when nothing comes for a while or a side is gone.
"""

from __future__ import annotations

import _socket
import errno
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from .._errors import ServerError
from .._wire.entries import DIRECTIONS, TO_CLIENT, TO_SERVER, Delivered, Direction, LegOpened, Sent, Side
from .._wire.events import Data, Datagram, Event, size_of
from .faulted import Faulted
from .poller import READ
from .udp_port import take_in
from .upstream import Dial, address_of

if TYPE_CHECKING:
    from .udp_proxy import UdpProxy

__all__ = ["UdpSession"]


class UdpSession(Faulted):
    """A client address and what is on the way between it and the upstream. For the engine's thread."""

    proxy: UdpProxy
    connected = False
    open = True
    ending = "the session is over"

    def __init__(self, proxy: UdpProxy, peer: Any, number: int) -> None:
        super().__init__(proxy, peer, number)
        self.upstream = proxy.upstream
        self._sock: _socket.socket | None = None
        self._dial = Dial(
            self.engine,
            self._connecting,
            self._failed,
            self._connected,
            self._not_there,
            _socket.SOCK_DGRAM,
        )
        self._early: list[bytes] = []
        self._early_room = 0
        self._lost = dict.fromkeys(DIRECTIONS, 0)
        self._ways: set[Direction] = set(DIRECTIONS)
        self._last = time.monotonic()
        self._idle = self.engine.call_at(self._last + proxy.idle_seconds, self._look)

    # Opening.

    def start(self) -> None:
        """The upstream's socket is made; datagrams wait for it where a name has to be resolved."""
        self._dial.start(*address_of(self.upstream))

    def opened(self, before: bool) -> list[LegOpened]:
        """The entries that say which legs are open."""
        legs: list[Side] = ["client", "server"] if self.connected else ["client"]
        return [self._entry_of_leg(LegOpened, leg, before) for leg in legs]

    def _connecting(self, local: tuple[str, int], upstream: tuple[str, int]) -> None:
        self._local, self._upstream = local, upstream

    def _connected(self, sock: _socket.socket) -> None:
        self._sock = sock
        with self.book.lock:
            self.book.write(self._entry_of_leg(LegOpened, "server"))
        self.connected = True
        self._open_faults()
        early, self._early, self._early_room = self._early, [], 0
        for data in early:
            self._got(TO_SERVER, data)
        if self._sock is not None:
            self.engine.watch(sock, READ, self._ready)

    def _not_there(self) -> None:
        with self.book.lock:
            self.proxy.unreachable(self)
            self.over()

    # What the two sides send.

    def heard(self, direction: Direction, data: bytes) -> Callable[[], object]:
        """A datagram, just read; what is to be done with it."""
        self._last = now = time.monotonic()
        number = self._sent[direction]
        self.book.write(Sent(now, self.id, direction, number, len(data)), data)
        self._sent[direction] = number + 1
        return partial(self._got, direction, data)

    def _ready(self, ready: int) -> None:
        if self._sock is not None:
            heard = partial(self.heard, TO_CLIENT)
            take_in(self.engine, self._sock, lambda data, peer: heard(data), self._upstream_failed)

    def _got(self, direction: Direction, data: bytes) -> None:
        if direction not in self._ways:
            return
        event = Datagram(time.monotonic(), data, self.peer if direction == TO_SERVER else self._upstream)
        if not self._fits(direction, event):
            self._lose(direction)
        elif self.connected:
            self._feed(direction, event)
        else:
            self._early.append(data)
            self._early_room += size_of(event)

    def _fits(self, direction: Direction, event: Datagram) -> bool:
        """Whether there is room; a single datagram always has some."""
        waiting = self._waiting(direction)
        return not waiting or waiting + size_of(event) <= self.proxy.queue_bytes

    def _waiting(self, direction: Direction) -> int:
        early = self._early_room if direction == TO_SERVER else 0
        return self._agenda.waiting[direction] + self._pipeline.held_bytes(direction) + early

    def _lose(self, direction: Direction) -> None:
        self._lost[direction] += 1
        if self._lost[direction] == 1:
            self.proxy.scope.note(
                f"datagram {self._sent[direction] - 1} {direction} is lost, and so are others that find no room: more than"
                f" {self.proxy.queue_bytes} bytes would wait; a larger queue_bytes keeps them",
                self.id,
            )

    # Events on their way.

    def _act(self, direction: Direction, event: Event, faults: tuple[str, ...]) -> None:
        if direction not in self._ways or (direction == TO_SERVER and self._sock is None):
            return  # without a socket: a fault has made something of being lifted before the name was resolved
        if not isinstance(event, (Data, Datagram)):
            self._refuse_end(event, faults)
            return
        problem = self._send(direction, event, faults)
        if problem is not None:
            self._not_sent(direction, event.data, problem, faults)
        elif direction == TO_SERVER and self._sock is not None:
            self._look_for_refusal(self._sock)

    def _send(self, direction: Direction, event: Data | Datagram, faults: tuple[str, ...]) -> OSError | None:
        with self.book.lock:
            try:
                self._put(direction, event.data)
            except OSError as problem:
                return problem
            self._last = now = time.monotonic()
            number, size = self._delivered[direction], len(event.data)
            entry = Delivered(now, self.id, direction, number, size, event.at, faults)
            self.book.write(entry, event.data)
            self._delivered[direction] = number + 1
        return None

    def _put(self, direction: Direction, data: bytes) -> None:
        if direction == TO_CLIENT:
            self.proxy.send(data, self.peer)
        elif self._sock is not None:
            self._sock.send(data)

    def _refuse_end(self, event: Event, faults: tuple[str, ...]) -> None:
        by = faults[-1] if faults else "a fault"
        self.proxy.scope.fail(
            TypeError(
                f"{by} yielded {event!r}: a UDP session has no end; expected datagrams: use Drop() for silence, or"
                " proxy.refuse()"
            )
        )
        self.cut(reset=True)

    def _not_sent(self, direction: Direction, data: bytes, problem: OSError, faults: tuple[str, ...]) -> None:
        if problem.errno == errno.ECONNREFUSED and direction == TO_SERVER:
            self._refused()
            return
        text = f"a datagram of {len(data)} bytes {direction} is lost: {problem.strerror}"
        if problem.errno == errno.EMSGSIZE and faults:
            made = ", ".join(faults)
            self.proxy.scope.fail(ServerError(f"{text}; expected one that fits: {made} made it longer"))
        else:
            self.proxy.scope.note(text, self.id)

    # A side that is gone.

    def _look_for_refusal(self, sock: _socket.socket) -> None:
        """On loopback the kernel knows at once; then it is this datagram that was refused, and not a later one."""
        if sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR) == errno.ECONNREFUSED:
            self._refused()

    def _upstream_failed(self, problem: OSError) -> None:
        if problem.errno == errno.ECONNREFUSED:
            self._refused()
        else:
            self.proxy.scope.note(f"the upstream could not be reached: {problem.strerror}", self.id)

    def _refused(self) -> None:
        """Nobody listens at the upstream. Its earlier answers are still delivered."""
        self._ready(READ)  # those that are not read yet
        if self._sock is None:
            return  # there was another refusal among them
        host, port = self._upstream
        with self.book.lock:  # who reads of it finds it done
            self._failed(f"{host} port {port}: port unreachable (ICMP)", True)
            self._close_upstream()
            self.proxy.unreachable(self)
            self._leave(TO_CLIENT)

    def client_is_gone(self) -> None:
        """Nobody listens at the client. What it sent before is still delivered."""
        with self.book.lock:
            self.proxy.scope.note("the client's port is closed: port unreachable (ICMP)", self.id)
            self._leave(TO_SERVER)

    def _leave(self, direction: Direction) -> None:
        """Only what waits in this direction is still carried out; for a new datagram there is a new session."""
        self._ways &= {direction}
        self.proxy.gone(self)
        self._carried_out()
        self.engine.post(self._carried_out)  # when what is due now has been done

    def _carried_out(self) -> None:
        if len(self._ways) < len(DIRECTIONS) and not any(map(self._waiting, self._ways)):
            self.over()

    # Its end.

    def _look(self) -> None:
        """Over, unless something came or went since, or waits: the timer is not touched by datagrams."""
        self.engine.settle()  # what has come by now counts, however late we are
        due = self._due()
        if self.open and due > time.monotonic():
            self._idle = self.engine.call_at(due, self._look)
        elif self.open:
            with self.book.lock:
                self.proxy.scope.note(f"over: no datagram for {self.proxy.idle_seconds:g} s", self.id)
                self.over()

    def _due(self) -> float:
        busy = self._agenda.paused or any(map(self._waiting, DIRECTIONS))
        return (time.monotonic() if busy else self._last) + self.proxy.idle_seconds

    def over(self) -> None:
        """The session is over; what waits is not delivered."""
        if self.open:
            self._say_what_is_lost()
            self.open = False
            self._ways.clear()
            self._early_room = 0
            self._early.clear()
            self._dial.stop()
            self._idle.cancel()
            self._agenda.clear()
            self._close_upstream()
            self.proxy.gone(self)

    def cut(self, reset: bool) -> None:
        """End now; there is nothing to reset."""
        self.over()

    abandon = over

    def _close_upstream(self) -> None:
        sock, self._sock = self._sock, None
        if sock is not None:
            self.engine.close(sock)

    def _say_what_is_lost(self) -> None:
        for way in DIRECTIONS:
            if waiting := self._waiting(way):
                self.proxy.scope.note(f"datagrams with {waiting} bytes {way} were never delivered", self.id)
            if self._lost[way] > 1:
                self.proxy.scope.note(
                    f"{self._lost[way]} datagrams {way} found no room and were lost", self.id
                )
