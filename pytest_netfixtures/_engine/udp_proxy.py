"""A fault-injecting UDP proxy in front of any server.

Law: it takes datagrams and finds the session of their client; what goes on inside a session is in `udp_session.py`.
"""

from __future__ import annotations

import _socket
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from .._errors import SetupError, is_for_the_user
from .._wire.checks import check_choice, check_count, check_seconds
from .._wire.entries import TO_SERVER
from .loop import Timer
from .ports import LOOK_AGAIN, Port
from .proxy import Faults, Proxy
from .scope import Scope
from .udp_port import UdpListener
from .udp_session import UdpSession

__tracebackhide__ = is_for_the_user

__all__ = ["UdpProxy"]


class UdpProxy(Proxy):
    """A UDP proxy with faults: `to_server` and `to_client`, from the start and live.

    Each client address is a session with a socket of its own towards the upstream, and counts as a connection. It is
    over after `idle_seconds` without a datagram in either direction; the next one of that client opens a new session.

    `upstream` is a server or proxy of ours, `(host, port)` or `"host:port"`, and may be changed while running: sessions
    stay where they are, new ones go there. A name is resolved for each session, and its first address is taken, because
    in UDP nobody says whether somebody is there.

    `queue_bytes` bounds what waits in one direction of a session. UDP cannot push back, so that a datagram that finds no
    room is lost, as in a router whose queue is full; a note says so.

    `on_unreachable` says what becomes of a refusal of the upstream (port unreachable, ICMP). The session is over either
    way. With `"refuse"` the proxy's port refuses too, for 1 s: a program cannot send ICMP, but the kernel does when nobody
    listens. So the client meets no answer to the datagram that was refused, and a refusal of every datagram that it, or
    any other client, sends within that second. The port listens again earlier when a server of ours that is the upstream
    is started, when `upstream` changes, and at `start()`. With `"hang"` there is silence. In the other direction: when the
    port of a client is closed its session is over, and the upstream meets a refusal of what it sends next; elsewhere than
    on Linux only once the session is idle.

    While it is paused everything waits, so that `queue_bytes` is what bounds it. While it refuses (`refuse()`) sessions
    stay, and answers that are on their way to their clients still go.

    Raises TypeError or ValueError for an upstream that is no address or speaks TCP, and for a fault that is none, or none
    of UDP.
    """

    kind = "udp_proxy"
    scheme = "udp"
    transport = "udp"

    REFUSES_FOR = 1.0
    """Seconds for which the port refuses after the upstream did."""

    _listener: UdpListener

    def __init__(
        self,
        scope: Scope,
        upstream: object,
        *,
        to_server: Faults = (),
        to_client: Faults = (),
        on_unreachable: str = "refuse",
        idle_seconds: float = 30.0,
        queue_bytes: int = 1 << 20,
        host: str = "127.0.0.1",
        port: int = 0,
        name: str | None = None,
    ) -> None:
        self.scope = scope
        self._take(upstream, to_server, to_client)
        check_choice("on_unreachable", on_unreachable, ("refuse", "hang"))
        check_seconds("idle_seconds", idle_seconds, positive=True)
        check_count("queue_bytes", queue_bytes, least=1)
        self.on_unreachable = on_unreachable
        self.idle_seconds = idle_seconds
        self.queue_bytes = queue_bytes
        self._sessions: dict[Any, UdpSession] = {}
        self._again: Timer | None = None
        self._waits_for: UdpListener | None = None
        own = Port(scope.engine, host, port, _socket.SOCK_DGRAM)
        super().__init__(scope, own, UdpListener(own, self._heard, self._client_is_gone), name)

    def cut(self, reset: bool = False) -> None:
        """End every session at once; nothing that waits is delivered. UDP has no ends: nobody is told, and `reset` is the same."""
        super().cut(reset)

    # On the engine's thread.

    def send(self, data: bytes, peer: Any) -> None:
        """A datagram to a client."""
        self._listener.send(data, peer)

    def gone(self, session: UdpSession) -> None:
        """The next datagram of its client opens a new session."""
        if self._sessions.get(session.peer) is session:
            del self._sessions[session.peer]

    def unreachable(self, session: UdpSession) -> None:
        """Nobody listens at the upstream of this session; so nobody does here, for a while."""
        theirs = getattr(self._upstream, "_listener", None)
        if self.on_unreachable != "refuse" or session.upstream is not self._upstream:
            return
        if self._listener.sock is None or getattr(theirs, "sock", None) is not None:
            return  # the latter: it was started since then
        self._listener.refuse()
        self._again = self.scope.engine.call_at(time.monotonic() + self.REFUSES_FOR, self._listen_again)
        self.scope.note(f"{self.name} refuses for {self.REFUSES_FOR:g} s, as the upstream did", session.id)
        if isinstance(theirs, UdpListener):
            self._waits_for = theirs
            theirs.then.add(self._listen_again)

    def _listen_again(self) -> None:
        if self._again is not None:
            self._again.cancel()
            try:
                self._listen()
            except SetupError:  # no descriptor is left
                self._again = self.scope.engine.call_at(time.monotonic() + LOOK_AGAIN, self._listen_again)

    def _listen(self) -> None:
        super()._listen()
        self._forget_refusal()

    def _refuse(self) -> None:
        self.scope.engine.settle()  # what a client has sent before is not refused
        self._forget_refusal()
        super()._refuse()

    def _forget_refusal(self) -> None:
        again, self._again = self._again, None
        if again is not None:
            again.cancel()
        if self._waits_for is not None:
            self._waits_for.then.discard(self._listen_again)

    def _upstream_changed(self) -> None:
        self.scope.engine.call(self._listen_again)

    def _heard(self, data: bytes, peer: Any) -> Callable[[], object]:
        session = self._sessions.get(peer)
        if session is not None:
            return session.heard(TO_SERVER, data)
        session = self._sessions[peer] = self._one_more(lambda number: UdpSession(self, peer, number))
        for entry in session.opened(before=False):
            self.scope.book.write(entry)
        return partial(self._begin, session, session.heard(TO_SERVER, data))

    def _begin(self, session: UdpSession, go_on: Callable[[], object]) -> None:
        session.start()
        go_on()

    def _client_is_gone(self, peer: Any) -> None:
        session = self._sessions.get(peer)
        if session is not None:
            session.client_is_gone()
