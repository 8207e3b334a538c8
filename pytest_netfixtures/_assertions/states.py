"""Claims about connections and faults: how many there are, who ended them, what fired, and silence.

Law: it makes claims and the text of their failure; who waits is `claims.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_netfixtures._assertions.claims import Claim
from pytest_netfixtures._assertions.misses import summary
from pytest_netfixtures._assertions.places import Place, Where, place_of
from pytest_netfixtures._errors import CaptureIncomplete, is_for_the_user
from pytest_netfixtures._wire.entries import Side
from pytest_netfixtures._wire.traffic import Connection, Traffic

__all__ = ["closed", "connected", "fired", "listen"]

__tracebackhide__ = is_for_the_user


def connected(where: Where, n: Any) -> Claim:
    if isinstance(n, bool) or not isinstance(n, int) or n < 0:
        raise ValueError(f"n is {n!r}; expected a whole number, 0 or more; pass the number of connections")
    place = place_of(where)

    def count() -> int:
        return sum(1 for connection in place.connections() if not connection.opened_before)

    return Claim(
        place,
        "assert_connections",
        holds=lambda: count() == n and not place.traffic().incomplete,
        hopeless=lambda: count() > n or bool(place.traffic().incomplete),
        unknown=lambda: place.refuse_if_incomplete("their number") if count() <= n else None,
        explain=lambda: "\n".join(
            [
                f"{place.name} has had {count()} connections. Expected {n}. Look at who connected and why, below.",
                *summary(place.connections()),
            ]
        ),
    )


def closed(where: Where, by: Any, how: Any) -> Claim:
    _check_word("by", by, ("client", "server"))
    if how is not None:
        _check_word("how", how, ("FIN", "RST"))
    place, wanted = place_of(where), (how,) if how else ("FIN", "RST")

    def holds() -> bool:
        ends = [connection.ended[by] for connection in place.connections()]
        return bool(ends) and all(end in wanted for end in ends) and not place.traffic().incomplete

    def hopeless() -> bool:
        return how == "FIN" and any(connection.ended[by] == "RST" for connection in place.connections())

    return Claim(
        place,
        "assert_closed",
        holds=holds,
        hopeless=hopeless,
        explain=lambda: _still_open(place, by, wanted),
        unknown=lambda: None if hopeless() else _refuse_unknown_ends(place, by, wanted),
    )


def _refuse_unknown_ends(place: Place, by: Side, wanted: Sequence[str]) -> None:
    """Where a record of a file has holes, an end may have been among what is missing."""
    __tracebackhide__ = True
    place.refuse_if_incomplete("who ended every connection")
    for c in place.connections() if place.fixed else ():
        if c.ended[by] not in wanted and (c.to_server.cut or c.to_client.cut):
            raise CaptureIncomplete(
                f"the record of connection {c.number} of {c.endpoint} is not whole, so how the {by} ended it cannot be "
                "told. Expected a whole record. Capture again, or look at what was sent."
            )


def _still_open(place: Place, by: Side, wanted: Sequence[str]) -> str:
    connections = place.connections()
    ends = ", ".join(f"{c.number}: {c.ended[by] or 'not ended'}" for c in connections) or "no connections"
    line = (
        f"the {by} did not end every connection of {place.name} ({ends}). "
        f"Expected {' or '.join(wanted)} from the {by}. Does the {by} close what it opens?"
    )
    return "\n".join([line, *summary(connections)])


def _check_word(field: str, value: Any, words: tuple[str, ...]) -> None:
    if value not in words:
        raise ValueError(
            f"{field} is {value!r}; expected one of {', '.join(map(repr, words))}; use one of these"
        )


def fired(proxy: Any, fault: Any, times: Any) -> Claim:
    if times is not None and (isinstance(times, bool) or not isinstance(times, int) or times < 1):
        raise ValueError(
            f"times is {times!r}; expected a whole number, 1 or more; leave it out for at least once"
        )
    if isinstance(proxy, (Traffic, Connection)):
        raise TypeError(
            f"proxy is {proxy!r}; expected a proxy, which alone counts its faults; look at .faults of a connection, "
            "such as `assert repr(fault) in connection.faults`"
        )
    if not hasattr(proxy, "fired"):
        raise TypeError(f"proxy is {proxy!r}; expected a proxy, which alone has faults; pass the proxy")
    if not proxy.is_armed(fault):
        raise ValueError(
            f"fault is {fault!r}; expected one that was armed at {proxy!r}; pass the same fault, narrowings included"
        )
    place = place_of(proxy)

    def explain() -> str:
        wanted = "at least once" if times is None else f"{times} times"
        line = (
            f"{fault!r} has fired {proxy.fired(fault)} times at {place.name}. Expected {wanted}. "
            "Did the bytes or the connection that it waits for come?"
        )
        return "\n".join([line, *summary(place.connections())])

    return Claim(
        place,
        "assert_fired",
        holds=lambda: proxy.fired(fault) >= 1 if times is None else proxy.fired(fault) == times,
        hopeless=lambda: times is not None and proxy.fired(fault) > times,
        explain=explain,
    )


def listen(place: Place, during: float) -> None:
    """Fail at the first news."""
    __tracebackhide__ = True
    if isinstance(during, bool) or not isinstance(during, (int, float)) or not 0 < during < float("inf"):
        raise ValueError(f"during is {during!r}; expected seconds, more than 0; write for example during=0.2")
    if place.fixed:
        raise TypeError(
            f"where is {place.name}, a value that never changes; expected something that could break a silence; "
            "assert on what it holds, such as `traffic.to_client.sent == b''`"
        )
    before = _counts(place)
    if place.wait(lambda: _counts(place) != before, during):
        lines = summary(place.connections(), ("to_server", "to_client"), redact=place.redact)
        line = f"{place.name} was not silent for {during:g} s. Expected no byte. Look at what came, below."
        raise AssertionError("\n".join([f"assert_silent: {line}", *lines]))
    place.refuse_if_incomplete("silence")


def _counts(place: Place) -> list[tuple[int, ...]]:
    flows = ((c.id, flow) for c in place.connections() for flow in (c.to_server, c.to_client))
    return [(number, flow.sent_bytes, flow.delivered_bytes, _datagrams(flow)) for number, flow in flows]


def _datagrams(flow: Any) -> int:
    """Empty datagrams count too."""
    return len(flow.sent) + len(flow.delivered) if flow.datagrams else 0
