"""Where an assertion looks: at a server, a proxy, one connection, a capture, all of a lab, or traffic that was read.

Law: it turns what a user points at into traffic, a way to wait, and a name; it asserts nothing. A value never changes, so
that nobody waits for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from re import Pattern
from typing import Any, TypeAlias

from pytest_netfixtures._capture import Capture
from pytest_netfixtures._engine.connection import ServerConnection
from pytest_netfixtures._engine.loop import current_engine
from pytest_netfixtures._engine.scope import Scope
from pytest_netfixtures._errors import CaptureIncomplete, is_for_the_user
from pytest_netfixtures._netlab import NetLab
from pytest_netfixtures._wire.redaction import DEFAULT_REDACTIONS
from pytest_netfixtures._wire.traffic import Connection, Traffic

__all__ = ["Place", "Where", "place_of"]

__tracebackhide__ = is_for_the_user

Where: TypeAlias = Any
"""A server or proxy, a connection of its traffic or the one that a handler has, a capture, a NetLab, or a Traffic."""


@dataclass(frozen=True)
class Place:
    """What can be asked of it, and how long."""

    name: str
    traffic: Callable[[], Traffic]
    patience: float
    """Seconds to wait, where the call does not say otherwise."""
    fixed: bool = False
    """True for a value: waiting changes nothing."""
    redact: tuple[Pattern[bytes], ...] = DEFAULT_REDACTIONS
    """What is masked in messages."""

    def connections(self) -> tuple[Connection, ...]:
        """Those that are known now."""
        return self.traffic().connections

    def wait(self, condition: Callable[[], object], within: float) -> bool:
        """Wait until the condition is true, at most `within` seconds."""
        return bool(condition()) if self.fixed else current_engine().journal.wait(condition, within)

    def refuse_if_incomplete(self, claim: str) -> None:
        """Raises CaptureIncomplete when connections or datagrams may be missing."""
        __tracebackhide__ = True
        why = self.traffic().incomplete
        if why:
            raise CaptureIncomplete(
                f"{self.name} may lack connections or datagrams ({why}), so {claim} cannot be told. "
                "Expected a whole record. Look for something that is in it, or capture again."
            )


def place_of(where: Where) -> Place:
    """The place that `where` means; TypeError when it is none."""
    if isinstance(where, NetLab):
        return Place(f"all of {where!r}", lambda: where.traffic, where.wait, redact=where.redactions)
    if isinstance(where, Capture):
        return _of_capture(where)
    if isinstance(where, Traffic):
        return Place("this traffic", lambda: where, 0.0, fixed=True)
    if isinstance(where, ServerConnection):
        return _living(_name(where), lambda: _with_id(where.server.traffic, where.id), where.server.scope)
    if isinstance(where, Connection):
        return _of_connection(where)
    if hasattr(where, "scope") and hasattr(where, "traffic"):
        return _living(f"{where!r}", lambda: where.traffic, where.scope)
    raise TypeError(
        f"where is {where!r}; expected a server, a proxy, a connection, a capture, a NetLab or a Traffic; "
        "pass for example the proxy itself, not its address"
    )


def _living(name: str, traffic: Callable[[], Traffic], scope: Scope) -> Place:
    return Place(name, traffic, scope.wait, redact=scope.redactions)


def _of_capture(capture: Capture) -> Place:
    labs = capture.labs
    patience = max((lab.wait for lab in labs), default=5.0)
    redact = labs[0].redactions if labs else DEFAULT_REDACTIONS
    return Place("this test", lambda: capture.traffic, patience, redact=redact)


def _name(connection: Any) -> str:
    return f"connection {connection.number} of {connection.server.name}"


def _with_id(traffic: Traffic, wanted: int) -> Traffic:
    return Traffic(tuple(connection for connection in traffic.connections if connection.id == wanted))


def _of_connection(connection: Connection) -> Place:
    """A snapshot never changes, but it stands for a connection that may go on."""
    name = f"connection {connection.number} of {connection.endpoint}"
    scopes = [scope for scope in current_engine().scopes if _lives_in(scope, connection)]
    if not scopes:
        return Place(f"{name} (which changes no more)", lambda: Traffic((connection,)), 0.0, fixed=True)
    scope = scopes[0]

    def now() -> Traffic:
        found = _with_id(scope.traffic, connection.id)
        return found if found.connections else Traffic((connection,))

    return _living(name, now, scope)


def _lives_in(scope: Scope, connection: Connection) -> bool:
    """A connection that was read from a file may have the id of a living one."""
    found = _with_id(scope.traffic, connection.id).connections
    return any(_birth(living) == _birth(connection) for living in found)


def _birth(connection: Connection) -> tuple[Any, ...]:
    return connection.opened_at, connection.peer, connection.address
