"""1,000 connections through one proxy at once, each with its own delay and its own cut, end as they should."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from engine.proxy_tools import Client, connect, pattern

from pytest_netfixtures import Data, Delay, Event, Fin, HalfClose, NetLab, Reset, Rst, Seen, Truncate
from pytest_netfixtures._engine.tcp_proxy import TcpProxy
from pytest_netfixtures._wire.effect import is_signal

CROWD = 1000
BUILT_IN = range(501, CROWD + 1)
"""These connections meet the faults of this package, the others a function of this test."""

CLASSES = 20
DESCRIPTORS = 4 * CROWD + 200
"""Client, both legs of the proxy, and server are in this process."""

ENDS = {Truncate: "FIN", HalfClose: "FIN", Reset: "RST", None: "FIN"}


class Fate(NamedTuple):
    """What one connection shall meet."""

    delay: float
    cut: int
    end: Any


def fate(number: int) -> Fate:
    """Each number has its own; those of a class of built-in faults share one."""
    kind = number % CLASSES if number in BUILT_IN else number
    return Fate(0.2 + (kind * 7 % 100) / 200, kind * 13 % 290, list(ENDS)[kind % 4])


def request(index: int) -> bytes:
    """What a client sends, and gets back."""
    return index.to_bytes(2, "big") + pattern(300)[index % 200 :][:98] + bytes(200)


def own(event: Event, seen: Seen) -> Iterator[Event]:
    """A user's own fault: a delay and a cut by the number of the connection."""
    delay, cut, end = fate(seen.number)
    if seen.number in BUILT_IN or not isinstance(event, (Data, Fin, Rst)):
        yield from () if is_signal(event) else (event,)
        return
    event = event.moved(event.at + delay)
    if not isinstance(event, Data) or end is None or seen.bytes + len(event.data) < cut:
        yield event
        return
    yield Data(event.at, event.data[: max(0, cut - seen.bytes)])
    yield Rst(event.at) if end is Reset else Fin(event.at, whole=end is Truncate)


def built_in() -> list[Any]:
    """The same for the others, a class at a time."""
    rows: list[Any] = []
    for kind in range(CLASSES):
        numbers = [number for number in BUILT_IN if number % CLASSES == kind]
        delay, cut, end = fate(numbers[0])
        rows.append(Delay(delay).on_connections(*numbers))
        rows += [] if end is None else [end(at=cut).on_connections(*numbers)]
    return rows


@pytest.fixture
def enough_descriptors() -> Iterator[None]:
    """Raised as far as this user may; skipped where that is not enough."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < DESCRIPTORS:
        pytest.skip(
            f"this user may have {hard} descriptors; {CROWD} connections need {DESCRIPTORS}: raise `ulimit -Hn`"
        )
    if soft != resource.RLIM_INFINITY and soft < DESCRIPTORS:
        resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@dataclass
class Visitor:
    """One client: what it got, how it ended, and how long after its request that was."""

    client: Client
    index: int
    address: Any = None
    asked_at: float = 0.0
    first: float = float("inf")
    last: float = 0.0
    end: str = ""
    got: bytearray = field(default_factory=bytearray)

    def ask(self) -> None:
        self.address = self.client.getsockname()[:2]
        self.client.setblocking(False)
        self.asked_at = time.monotonic()
        self.client.sendall(request(self.index))
        self.client.shutdown(socket.SHUT_WR)

    def listen(self) -> bool:
        """Take what has come; True at the end."""
        try:
            data = self.client.recv(4096)
            self.end = "" if data else "FIN"
        except ConnectionResetError:
            data, self.end = b"", "RST"
        self.last = time.monotonic() - self.asked_at
        self.first = min(self.first, self.last)
        self.got += data
        return bool(self.end)


@contextmanager
def crowd_of(proxy: TcpProxy, count: int) -> Iterator[list[Visitor]]:
    with ExitStack() as clients:
        yield [Visitor(clients.enter_context(connect(proxy)), index) for index in range(count)]


def hear_them_out(visitors: list[Visitor]) -> None:
    """Read until all have ended."""
    with selectors.DefaultSelector() as selector:
        for visitor in visitors:
            visitor.ask()
            selector.register(visitor.client, selectors.EVENT_READ, visitor)
        deadline = time.monotonic() + 60
        while selector.get_map():
            assert time.monotonic() < deadline, f"{len(selector.get_map())} connections have not ended"
            for key, _ in selector.select(1):
                if key.data.listen():
                    selector.unregister(key.fileobj)


def all_open(proxy: TcpProxy, count: int) -> bool:
    return sum(connection.upstream is not None for connection in proxy.connections) == count


@pytest.mark.usefixtures("enough_descriptors")
def test_1000_connections_at_once_end_each_in_its_own_way() -> None:
    with NetLab() as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), to_client=[own, *built_in()])
        with crowd_of(proxy, CROWD) as visitors:
            lab.wait_for(lambda: all_open(proxy, CROWD), within=30)
            assert len(proxy.open_connections()) == CROWD
            hear_them_out(visitors)
        numbers = {connection.peer: connection.number for connection in proxy.connections}
        assert sorted(numbers.values()) == list(range(1, CROWD + 1))
        wrong = [text for visitor in visitors if (text := what_is_wrong(visitor, numbers[visitor.address]))]
        assert wrong == []
        lab.wait_for(lambda: not proxy.open_connections())


def what_is_wrong(visitor: Visitor, number: int) -> str:
    """What differs from its fate, in words."""
    delay, cut, end = fate(number)
    sent = request(visitor.index)
    expected = sent if end is None else sent[:cut]
    if bytes(visitor.got) != expected or visitor.end != ENDS[end]:
        return f"connection {number} got {len(visitor.got)} bytes, {visitor.end}; expected {len(expected)}, {ENDS[end]}"
    if visitor.first < delay:
        return (
            f"connection {number} heard something after {visitor.first:.3f} s; expected {delay:g} s at least"
        )
    return ""
