"""Where an assertion looks: at a server, a proxy, one connection, a capture, or all of a lab.

Law: it turns what a user points at into connections, a way to wait, and a name; it asserts nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from pytest_netfixtures._capture import Capture
from pytest_netfixtures._engine.connection import ServerConnection
from pytest_netfixtures._engine.loop import current_engine
from pytest_netfixtures._errors import is_for_the_user
from pytest_netfixtures._netlab import NetLab
from pytest_netfixtures._wire.traffic import Connection, Traffic

__all__ = ["Place", "Where", "place_of"]

__tracebackhide__ = is_for_the_user

Where: TypeAlias = Any
"""A server or proxy, a connection of its traffic or the one that a handler has, a capture, or a NetLab."""


@dataclass(frozen=True)
class Place:
    """What can be asked of it, and how long."""

    name: str
    connections: Callable[[], tuple[Connection, ...]]
    patience: float
    """Seconds to wait, where the call does not say otherwise."""

    def wait(self, condition: Callable[[], object], within: float) -> bool:
        """Wait until the condition is true, at most `within` seconds."""
        return current_engine().journal.wait(condition, within)


def place_of(where: Where) -> Place:
    """The place that `where` means; TypeError when it is none."""
    if isinstance(where, NetLab):
        return Place(f"all of {where!r}", lambda: where.traffic.connections, where.wait)
    if isinstance(where, Capture):
        return Place("this test", lambda: where.traffic.connections, _longest(where))
    if isinstance(where, ServerConnection):
        scope = where.server.scope
        return Place(_name(where), lambda: _with_id(where.server.traffic, where.id), scope.wait)
    if isinstance(where, Connection):
        return _of_connection(where)
    if hasattr(where, "scope") and hasattr(where, "traffic"):
        return Place(f"{where!r}", lambda: where.traffic.connections, where.scope.wait)
    raise TypeError(
        f"where is {where!r}; expected a server, a proxy, a connection, a capture or a NetLab; "
        "pass for example the proxy itself, not its address"
    )


def _longest(capture: Capture) -> float:
    return max((lab.wait for lab in capture.labs), default=5.0)


def _name(connection: Any) -> str:
    return f"connection {connection.number} of {connection.server.name}"


def _with_id(traffic: Traffic, wanted: int) -> tuple[Connection, ...]:
    return tuple(connection for connection in traffic.connections if connection.id == wanted)


def _of_connection(connection: Connection) -> Place:
    """A snapshot never changes, but it stands for a connection that may go on."""
    name = f"connection {connection.number} of {connection.endpoint}"
    scopes = [s for s in current_engine().scopes if _with_id(s.traffic, connection.id)]
    if not scopes:
        return Place(f"{name} (its servers are closed)", lambda: (connection,), 0.0)
    scope = scopes[0]
    return Place(name, lambda: _with_id(scope.traffic, connection.id) or (connection,), scope.wait)
