"""What every proxy is: an upstream, and faults for its connections, from the start and live.

Law: it keeps the armed faults and tells the open connections of a change; what a connection makes of that is in
`faulted.py`. A change of faults is one call on the engine's thread, so that every connection meets either the old row or
the new one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .._errors import is_for_the_user
from .._wire.entries import DIRECTIONS, TO_CLIENT, TO_SERVER, Direction
from .._wire.given import faults_of, must_fire
from .._wire.narrowing import check_fault
from .._wire.pipeline import Armed, Fault
from .._wire.seen import code_of
from .endpoint import Endpoint, Undo
from .faulted import ArmedBeneath, Faulted
from .upstream import check_upstream

if TYPE_CHECKING:
    from .faulted import Faulted

__tracebackhide__ = is_for_the_user

__all__ = ["Faults", "LiveFaults", "Proxy", "Row"]

Faults = Fault | Sequence[Fault]
"""Wherever faults are taken: one, or a sequence in the direction of travel."""

Row = list[tuple[Direction, Fault]]


class Proxy(Endpoint):
    """A proxy with faults: `to_server` and `to_client`."""

    transport = "tcp"

    def _take(self, upstream: object, to_server: Faults, to_client: Faults) -> None:
        """What it is made of; before it has a port. `scope` must be there."""
        check_upstream(upstream, transport=self.transport)
        self._upstream = upstream
        self.paused = False
        self.armed: list[Armed] = []
        self.beneath: list[Armed] = []
        self._history: list[Armed] = []
        self._unfired: list[str] = []
        self.armed = self._armed(self._rows(to_server, to_client))

    @property
    def upstream(self) -> object:
        """Where new connections go; open ones stay where they are."""
        return self._upstream

    @upstream.setter
    def upstream(self, upstream: object) -> None:
        check_upstream(upstream, self, transport=self.transport)
        self._upstream = upstream
        self._upstream_changed()

    @property
    def url(self) -> str:
        """`tcp://host:port`, or with the scheme of the server of ours that it stands in front of."""
        scheme = str(getattr(self._upstream, "url", self.scheme)).partition(":")[0]
        return f"{scheme}://{self.netloc}"

    def fault(self, *, to_server: Faults | None = None, to_client: Faults | None = None) -> LiveFaults:
        """Faults for a block: `with proxy.fault(to_client=Stall()):`. Open connections meet them too.

        A fault is added last in its row, nearest the receiver; bytes already on their way do not meet it. At the end of
        the block it is lifted. Rows that are given and empty, as in `proxy.fault(**net_faults)`, change nothing. Raises
        ValueError when no row is given, or for a fault that does not fit.
        """
        if to_server is None and to_client is None:
            raise ValueError(
                "fault() has no fault; expected one at least: write to_server=... or to_client=..."
            )
        given = [() if faults is None else faults for faults in (to_server, to_client)]
        return LiveFaults(self, self._rows(*given))

    def set_faults(self, *, to_server: Faults = (), to_client: Faults = ()) -> None:
        """Replace all faults at once, on open connections too."""
        rows = self._rows(to_server, to_client)
        self.scope.engine.call(self._replace, rows)

    def clear_faults(self) -> None:
        """Lift all faults."""
        self.scope.engine.call(self._replace, [])

    def fired(self, fault: Fault) -> int:
        """On how many connections (of UDP: datagrams) this fault, or one that equals it, has changed anything."""
        check_fault("fault", fault)
        with self.scope.book.lock:
            return sum(armed.fired for armed in self._history if armed.fault == fault)

    def armed_so_far(self, beneath_tls: bool = False) -> dict[Direction, list[Fault]]:
        """The faults of each direction since the last `forget()`, oldest first, those of blocks that ended included.

        `beneath_tls`: those of the cipher text instead.
        """
        history = [armed for armed in self._history if isinstance(armed, ArmedBeneath) == beneath_tls]
        return {way: [armed.fault for armed in history if armed.direction == way] for way in DIRECTIONS}

    def is_armed(self, fault: Fault) -> bool:
        """Whether this fault, or one that equals it, was armed since the last `forget()`."""
        return any(armed.fault == fault for armed in self._history)

    def never_fired(self) -> list[str]:
        """The faults that had to fire and have not, as code with their place; those of blocks that ended, once."""
        return self.scope.engine.call(self._never_fired)

    def pause(self) -> Undo:
        """Hold both directions; nothing is lost, and new connections are accepted. As a context manager: for a block."""
        self.scope.engine.call(self._pause, True)
        return Undo(self.resume)

    def resume(self) -> None:
        """Go on after `pause()`."""
        self.scope.engine.call(self._pause, False)

    # On the engine's thread.

    def faulted(self) -> list[Faulted]:
        """The open connections."""
        return [live for live in self.open_connections() if isinstance(live, Faulted)]

    def _upstream_changed(self) -> None:
        """Called on any thread."""

    def _never_fired(self) -> list[str]:
        late = [self._described(armed) for armed in self.armed + self.beneath if _failed_to_fire(armed)]
        names, self._unfired = self._unfired + late, []
        return names

    def _rows(self, to_server: object, to_client: object) -> Row:
        given = {TO_SERVER: to_server, TO_CLIENT: to_client}
        return [(way, each) for way in DIRECTIONS for each in faults_of(way, given[way], self.transport)]

    def _armed(self, rows: Row, kind: type[Armed] = Armed) -> list[Armed]:
        new: list[Armed] = []
        before = self.beneath if kind is ArmedBeneath else self.armed
        for direction, fault in rows:
            equal = [
                a for a in before + new if a.direction == direction and code_of(a.fault) == code_of(fault)
            ]
            new.append(kind(fault, direction, len(equal), by_test=self.scope.in_test))
        self._history += new
        return new

    def add(self, rows: Row) -> list[Armed]:
        """Arm faults on this proxy and its open connections."""
        new = self._armed(rows)
        self.armed += new
        for connection in self.faulted():
            for armed in new:
                connection.add(armed)
        return new

    def lift(self, old: list[Armed]) -> None:
        """Take armed faults away, by identity."""
        self.armed = [armed for armed in self.armed if not _is_among(old, armed)]
        self.beneath = [armed for armed in self.beneath if not _is_among(old, armed)]
        self._unfired += [self._described(armed) for armed in old if _failed_to_fire(armed)]
        for connection in self.faulted():
            for armed in old:
                connection.lift(armed)

    def has(self, armed: Armed) -> bool:
        """Whether it is armed now, by identity."""
        return _is_among(self.armed, armed)

    def _replace(self, rows: Row) -> None:
        self.lift(list(self.armed))
        self.add(rows)

    def _pause(self, on: bool) -> None:
        self.paused = on
        for connection in self.faulted():
            connection.pause(on)

    def _forget(self) -> None:
        """The faults that a test has armed are gone, the others start afresh, and so does the record."""
        self.lift([armed for armed in self.armed + self.beneath if armed.by_test])
        self._unfired.clear()
        self._history = self.armed + self.beneath
        for armed in self._history:
            armed.forget()
        super()._forget()

    def _described(self, armed: Armed) -> str:
        place = " beneath TLS" if isinstance(armed, ArmedBeneath) else ""
        return f"{code_of(armed.fault)} {armed.direction}{place} of {self.name}"


class LiveFaults:
    """Faults that are armed for a block."""

    def __init__(self, proxy: Proxy, rows: Row) -> None:
        self._proxy = proxy
        self._rows = rows
        self._armed: list[Armed] = []

    def __enter__(self) -> Proxy:
        self._armed += self._proxy.scope.engine.call(self._proxy.add, self._rows)
        return self._proxy

    def __exit__(self, *exc: object) -> None:
        armed, self._armed = self._armed, []
        self._proxy.scope.engine.call(self._proxy.lift, armed)


def _is_among(some: list[Armed], armed: Armed) -> bool:
    return any(armed is each for each in some)


def _failed_to_fire(armed: Armed) -> bool:
    return not armed.fired and must_fire(armed.fault)
