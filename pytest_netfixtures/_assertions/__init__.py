"""The `assert_*` helpers: what went over the wire, and what must not.

Law: they look at traffic alone, and wait until it is true or a deadline; only `assert_silent` waits its whole time, and
nobody waits for traffic that was read from a file. What a cut record or an incomplete capture cannot tell is neither true
nor false: `CaptureIncomplete` is raised. Each has a twin with `_async` for async code.
"""

from __future__ import annotations

from typing import Any

from pytest_netfixtures._assertions.claims import check
from pytest_netfixtures._assertions.content import contained
from pytest_netfixtures._assertions.misses import Pattern
from pytest_netfixtures._assertions.places import Where, place_of
from pytest_netfixtures._assertions.states import closed, connected, fired, listen
from pytest_netfixtures._engine.waiting import beside_the_loop, refuse_to_block
from pytest_netfixtures._wire.entries import How, Side

__all__ = [
    "assert_closed",
    "assert_closed_async",
    "assert_connections",
    "assert_connections_async",
    "assert_delivered",
    "assert_delivered_async",
    "assert_fired",
    "assert_fired_async",
    "assert_sent",
    "assert_sent_async",
    "assert_silent",
    "assert_silent_async",
]


def assert_sent(
    where: Where,
    *,
    to_server: Pattern | None = None,
    to_client: Pattern | None = None,
    within: float | None = None,
) -> None:
    """Wait until this was sent: by the client `to_server`, by the server `to_client`, whatever a fault made of it.

    `where`: a server, a proxy, a connection, a capture, a NetLab, or a Traffic (as of `read_capture`). The patterns are bytes, which must be contained in
    the stream of one connection (in one datagram), or compiled regexes of bytes, which must be found there; with both
    directions it must be the same connection. `within`: seconds, default ini `net_wait` (5 s).

    Raises: WaitTimeout with the nearest miss; CaptureIncomplete when a cut record or an incomplete capture cannot tell.
    Example: `assert_sent(proxy, to_server=b"PING")`.
    """
    __tracebackhide__ = True
    check(contained("assert_sent", "sent", where, to_server, to_client), within)


def assert_delivered(
    where: Where,
    *,
    to_server: Pattern | None = None,
    to_client: Pattern | None = None,
    within: float | None = None,
) -> None:
    """Wait until this was handed on to the receiver; arguments and errors are those of `assert_sent`.

    Example: `assert_delivered(proxy, to_client=re.compile(rb"HTTP/1.1 2.."))`.
    """
    __tracebackhide__ = True
    check(contained("assert_delivered", "delivered", where, to_server, to_client), within)


def assert_connections(where: Where, n: int, *, within: float | None = None) -> None:
    """Wait until `where` has had exactly `n` connections (those opened before the test are not counted).

    Raises: WaitTimeout, at once when there are more; CaptureIncomplete when some may be missing from a capture.
    Example: `assert_connections(server, 3)` after two retries.
    """
    __tracebackhide__ = True
    check(connected(where, n), within)


def assert_closed(where: Where, *, by: Side, how: How | None = None, within: float | None = None) -> None:
    """Wait until every connection of `where`, one at least, was ended by this side itself: "client" or "server".

    `how`: "FIN" or "RST"; None: either. What a fault did is not what a side did.

    Raises: WaitTimeout, at once when FIN was expected and RST came; CaptureIncomplete when connections or ends may be
    missing from a capture.
    Example: `assert_closed(server, by="client", how="FIN")`.
    """
    __tracebackhide__ = True
    check(closed(where, by, how), within)


def assert_fired(proxy: Any, fault: Any, times: int | None = None, *, within: float | None = None) -> None:
    """Wait until a fault of a proxy has acted: at least once, or exactly `times` times.

    Connections are counted on streams, datagrams otherwise. Raises: WaitTimeout, at once when it fired more often.
    Example: `assert_fired(proxy, reset, times=2)`.
    """
    __tracebackhide__ = True
    check(fired(proxy, fault, times), within)


def assert_silent(where: Where, during: float = 0.2) -> None:
    """Wait for `during` seconds, and fail as soon as a byte is sent or delivered, or a connection opened.

    Raises: AssertionError with what came; TypeError for a value, which never changes; CaptureIncomplete when datagrams or
    connections may be missing. Example: `assert_silent(server, during=0.5)` after `client.close()`.
    """
    __tracebackhide__ = True
    refuse_to_block("assert_silent")  # and a loop that is stopped is always silent
    listen(place_of(where), during)


async def assert_sent_async(
    where: Where,
    *,
    to_server: Pattern | None = None,
    to_client: Pattern | None = None,
    within: float | None = None,
) -> None:
    """As `assert_sent`, for asyncio and trio: the loop goes on meanwhile."""
    __tracebackhide__ = True
    claim = contained("assert_sent", "sent", where, to_server, to_client)
    await beside_the_loop(lambda: check(claim, within))


async def assert_delivered_async(
    where: Where,
    *,
    to_server: Pattern | None = None,
    to_client: Pattern | None = None,
    within: float | None = None,
) -> None:
    """As `assert_delivered`, for asyncio and trio: the loop goes on meanwhile."""
    __tracebackhide__ = True
    claim = contained("assert_delivered", "delivered", where, to_server, to_client)
    await beside_the_loop(lambda: check(claim, within))


async def assert_connections_async(where: Where, n: int, *, within: float | None = None) -> None:
    """As `assert_connections`, for asyncio and trio: the loop goes on meanwhile."""
    __tracebackhide__ = True
    claim = connected(where, n)
    await beside_the_loop(lambda: check(claim, within))


async def assert_closed_async(
    where: Where, *, by: Side, how: How | None = None, within: float | None = None
) -> None:
    """As `assert_closed`, for asyncio and trio: the loop goes on meanwhile."""
    __tracebackhide__ = True
    claim = closed(where, by, how)
    await beside_the_loop(lambda: check(claim, within))


async def assert_fired_async(
    proxy: Any, fault: Any, times: int | None = None, *, within: float | None = None
) -> None:
    """As `assert_fired`, for asyncio and trio: the loop goes on meanwhile."""
    __tracebackhide__ = True
    claim = fired(proxy, fault, times)
    await beside_the_loop(lambda: check(claim, within))


async def assert_silent_async(where: Where, during: float = 0.2) -> None:
    """As `assert_silent`, for asyncio and trio: the loop goes on meanwhile."""
    __tracebackhide__ = True
    place = place_of(where)
    await beside_the_loop(lambda: listen(place, during))
