"""A fault-injecting TCP proxy in front of any server.

Law: it accepts clients and says which faults they meet; what goes on inside a connection is in `proxied.py`. A change of
faults is one call on the engine's thread, so that every connection meets either the old row or the new one.
"""

from __future__ import annotations

import _socket
from collections.abc import Sequence

from .._errors import is_for_the_user
from .._wire.checks import check_choice, check_count
from .._wire.entries import DIRECTIONS, TO_CLIENT, TO_SERVER, Address, Direction
from .._wire.narrowing import faults_of, is_optional
from .._wire.pipeline import Armed, Fault
from .endpoint import Live, TcpEndpoint, Undo
from .proxied import ProxiedConnection
from .scope import Scope
from .upstream import check_upstream

__tracebackhide__ = is_for_the_user

__all__ = ["Faults", "LiveFaults", "TcpProxy"]

Faults = Fault | Sequence[Fault]
"""Wherever faults are taken: one, or a sequence in the direction of travel."""


class TcpProxy(TcpEndpoint):
    """A TCP proxy with faults: `to_server` and `to_client`, from the start and live.

    `upstream` is a server or proxy of ours, `(host, port)` or `"host:port"`, and may be changed while running.
    `on_unreachable` says what becomes of a client when the upstream cannot be reached within 5 s: `"reset"`, `"close"` or
    `"hang"`. `queue_bytes` bounds what waits in one direction; above it reading pauses.

    Raises TypeError or ValueError for an upstream that is no address and for a fault that is none.
    """

    kind = "tcp_proxy"

    def __init__(
        self,
        scope: Scope,
        upstream: object,
        *,
        to_server: Faults = (),
        to_client: Faults = (),
        on_unreachable: str = "reset",
        queue_bytes: int = 1 << 20,
        host: str = "127.0.0.1",
        port: int = 0,
        name: str | None = None,
    ) -> None:
        check_upstream(upstream)
        check_choice("on_unreachable", on_unreachable, ("reset", "close", "hang"))
        check_count("queue_bytes", queue_bytes, least=1)
        self._upstream = upstream
        self.on_unreachable = on_unreachable
        self.queue_bytes = queue_bytes
        self.paused = False
        self.armed: list[Armed] = []
        self._history: list[Armed] = []
        self._unfired: list[str] = []
        self.scope = scope
        rows = _rows(to_server, to_client)
        self.armed = self._armed(rows)
        super().__init__(scope, host=host, port=port, name=name)

    @property
    def upstream(self) -> object:
        """Where new connections go; open ones stay where they are."""
        return self._upstream

    @upstream.setter
    def upstream(self, upstream: object) -> None:
        check_upstream(upstream, self)
        self._upstream = upstream

    @property
    def url(self) -> str:
        """`tcp://host:port`, or with the scheme of the server of ours that it stands in front of."""
        scheme = str(getattr(self._upstream, "url", "tcp")).partition(":")[0]
        return f"{scheme}://{self.netloc}"

    def fault(self, *, to_server: Faults = (), to_client: Faults = ()) -> LiveFaults:
        """Faults for a block: `with proxy.fault(to_client=Stall()):`. Open connections meet them too.

        A fault is added last in its row, nearest the receiver; bytes already on their way do not meet it. At the end of
        the block it is lifted. Raises ValueError without a fault.
        """
        rows = _rows(to_server, to_client)
        if not rows:
            raise ValueError(
                "fault() has no fault; expected one at least: write to_server=... or to_client=..."
            )
        return LiveFaults(self, rows)

    def set_faults(self, *, to_server: Faults = (), to_client: Faults = ()) -> None:
        """Replace all faults at once, on open connections too."""
        rows = _rows(to_server, to_client)
        self.scope.engine.call(self._replace, rows)

    def clear_faults(self) -> None:
        """Lift all faults."""
        self.scope.engine.call(self._replace, _rows((), ()))

    def fired(self, fault: Fault) -> int:
        """On how many connections this fault, or one that equals it, has changed anything."""
        with self.scope.book.lock:
            return sum(armed.fired for armed in self._history if armed.fault == fault)

    def is_armed(self, fault: Fault) -> bool:
        """Whether this fault, or one that equals it, was armed since the last `forget()`."""
        return any(armed.fault == fault for armed in self._history)

    def never_fired(self) -> list[str]:
        """The faults that had to fire and have not, as code with their place; those of blocks that ended, once."""
        return self.scope.engine.call(self._never_fired)

    def _never_fired(self) -> list[str]:
        late = [self._described(armed) for armed in self.armed if _failed_to_fire(armed)]
        names, self._unfired = self._unfired + late, []
        return names

    def pause(self) -> Undo:
        """Hold both directions; nothing is lost, and new connections are accepted. As a context manager: for a block."""
        self.scope.engine.call(self._pause, True)
        return Undo(self.resume)

    def resume(self) -> None:
        """Go on after `pause()`."""
        self.scope.engine.call(self._pause, False)

    # On the engine's thread.

    def _connect(self, sock: _socket.socket, peer: Address, number: int) -> Live:
        return ProxiedConnection(self, sock, peer, number)

    def _armed(self, rows: list[tuple[Direction, Fault]]) -> list[Armed]:
        new: list[Armed] = []
        for direction, fault in rows:
            equal = [a for a in self.armed + new if a.direction == direction and repr(a.fault) == repr(fault)]
            new.append(Armed(fault, direction, len(equal), by_test=self.scope.in_test))
        self._history += new
        return new

    def add(self, rows: list[tuple[Direction, Fault]]) -> list[Armed]:
        """Arm faults on this proxy and its open connections."""
        new = self._armed(rows)
        self.armed += new
        for connection in self._proxied():
            for armed in new:
                connection.add(armed)
        return new

    def lift(self, old: list[Armed]) -> None:
        """Take armed faults away, by identity."""
        self.armed = [armed for armed in self.armed if not any(armed is each for each in old)]
        self._unfired += [self._described(armed) for armed in old if _failed_to_fire(armed)]
        for connection in self._proxied():
            for armed in old:
                connection.lift(armed)

    def _replace(self, rows: list[tuple[Direction, Fault]]) -> None:
        self.lift(list(self.armed))
        self.add(rows)

    def _pause(self, on: bool) -> None:
        self.paused = on
        for connection in self._proxied():
            connection.pause(on)

    def _forget(self) -> None:
        self.lift([armed for armed in self.armed if armed.by_test])
        self._unfired.clear()
        for armed in self.armed:
            armed.shared.clear()
            armed.connections.clear()
            armed.datagrams = 0
        self._history = list(self.armed)
        super()._forget()

    def _proxied(self) -> list[ProxiedConnection]:
        return [live for live in self.open_connections() if isinstance(live, ProxiedConnection)]

    def _described(self, armed: Armed) -> str:
        return f"{armed.fault!r} {armed.direction} of {self.name}"


class LiveFaults:
    """Faults that are armed for a block."""

    def __init__(self, proxy: TcpProxy, rows: list[tuple[Direction, Fault]]) -> None:
        self._proxy = proxy
        self._rows = rows
        self._armed: list[Armed] = []

    def __enter__(self) -> TcpProxy:
        self._armed += self._proxy.scope.engine.call(self._proxy.add, self._rows)
        return self._proxy

    def __exit__(self, *exc: object) -> None:
        armed, self._armed = self._armed, []
        self._proxy.scope.engine.call(self._proxy.lift, armed)


def _rows(to_server: object, to_client: object) -> list[tuple[Direction, Fault]]:
    given = {TO_SERVER: to_server, TO_CLIENT: to_client}
    return [(way, fault) for way in DIRECTIONS for fault in faults_of(way, given[way])]


def _failed_to_fire(armed: Armed) -> bool:
    return not armed.fired and not is_optional(armed.fault)
