"""Claims about content: these bytes were sent, or handed on, in one connection.

Law: it makes claims and the text of their failure; who waits is `claims.py`.
"""

from __future__ import annotations

import re
from typing import Any, Literal, TypeAlias

from pytest_netfixtures._assertions.claims import Claim
from pytest_netfixtures._assertions.misses import Pattern, found_in, is_cut, nearest, pieces, shown, summary
from pytest_netfixtures._assertions.places import Place, Where, place_of
from pytest_netfixtures._errors import CaptureIncomplete, is_for_the_user
from pytest_netfixtures._wire.entries import Direction
from pytest_netfixtures._wire.traffic import Connection

__all__ = ["contained"]

__tracebackhide__ = is_for_the_user

Kind: TypeAlias = Literal["sent", "delivered"]


def contained(name: str, kind: Kind, where: Where, to_server: Any, to_client: Any) -> Claim:
    wanted = _patterns(to_server, to_client)
    place = place_of(where)
    return Claim(
        place,
        name,
        holds=lambda: any(_has_all(connection, wanted, kind) for connection in place.connections()),
        explain=lambda: _not_there(place, wanted, kind),
        unknown=lambda: _refuse_unknown(place, wanted, kind),
    )


def _patterns(to_server: Any, to_client: Any) -> dict[Direction, Pattern]:
    wanted: dict[Direction, Any] = {"to_server": to_server, "to_client": to_client}
    given = {direction: pattern for direction, pattern in wanted.items() if pattern is not None}
    if not given:
        raise ValueError(
            "neither to_server nor to_client is given; expected bytes; write for example to_server=b'PING'"
        )
    for direction, pattern in given.items():
        _check_pattern(direction, pattern)
    return given


def _check_pattern(direction: Direction, pattern: Any) -> None:
    text = pattern.pattern if isinstance(pattern, re.Pattern) else pattern
    if not isinstance(text, bytes):
        raise TypeError(
            f"{direction} is {pattern!r}; expected bytes or a compiled regex of bytes; "
            f"write {direction}=b'...' or {direction}=re.compile(rb'...')"
        )
    if not text:
        raise ValueError(f"{direction} is empty; expected at least one byte; everything contains nothing")


def _has_all(connection: Connection, wanted: dict[Direction, Pattern], kind: Kind) -> bool:
    return all(_has(connection, direction, pattern, kind) for direction, pattern in wanted.items())


def _has(connection: Connection, direction: Direction, pattern: Pattern, kind: Kind) -> bool:
    open_end = is_cut(connection, direction, kind) and not connection.flow(direction).datagrams
    return any(found_in(pattern, data, open_end) for data in pieces(connection, direction, kind))


def _not_there(place: Place, wanted: dict[Direction, Pattern], kind: Kind) -> str:
    connections = place.connections()
    text = " and ".join(f"{shown(pattern)} {direction}" for direction, pattern in wanted.items())
    lines = [
        f"{text} was not {kind} at {place.name}. Expected it on one of {len(connections)} connections. "
        "Compare with what came, or give it more time with within=."
    ]
    for direction, pattern in wanted.items():
        lines += nearest(pattern, connections, direction, kind, place.redact)
    return "\n".join([*lines, *summary(connections, wanted, kind, place.redact)])


def _refuse_unknown(place: Place, wanted: dict[Direction, Pattern], kind: Kind) -> None:
    """It is not there; whether it was is unknown where a connection has all else and a record that was cut."""
    __tracebackhide__ = True
    place.refuse_if_incomplete("absence")
    for connection in place.connections():
        cut = [direction for direction in wanted if is_cut(connection, direction, kind)]
        rest = {direction: pattern for direction, pattern in wanted.items() if direction not in cut}
        if cut and _has_all(connection, rest, kind):
            raise CaptureIncomplete(
                f"the record of connection {connection.number} of {connection.endpoint} {cut[0]} was cut, so absence "
                "cannot be told. Expected a whole record. Record more (record_bytes=), or look for something earlier."
            )
