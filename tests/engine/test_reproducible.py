"""The same seed gives the same traffic, byte by byte, over real sockets and however it was chunked; another seed gives other."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeAlias

import pytest
from engine.proxy_tools import connect, pattern, pieces, read_to_end

from pytest_netfixtures import (
    BurstLoss,
    Corrupt,
    Data,
    Delay,
    Duplicate,
    Event,
    HalfClose,
    Loss,
    NetLab,
    Reset,
    Seen,
    UdpProxy,
)
from pytest_netfixtures._wire.effect import is_signal

RUNS = 100
CONNECTIONS = 6
REQUEST = pattern(3000)
DATAGRAMS = [number.to_bytes(2, "big") * 20 for number in range(60)]

Outcome: TypeAlias = "list[Any]"
Run: TypeAlias = "Callable[[NetLab, int], Outcome]"


class Lateness:
    """Two functions around a fault, which find out how late it makes the first byte of a connection."""

    def __init__(self) -> None:
        self.found: dict[int, float] = {}

    def before(self, event: Event, seen: Seen) -> Iterable[Event]:
        if isinstance(event, Data) and not seen.bytes:
            self.found[seen.number] = event.at
        return () if is_signal(event) else (event,)

    def after(self, event: Event, seen: Seen) -> Iterable[Event]:
        if isinstance(event, Data) and not seen.bytes:
            self.found[seen.number] = round(event.at - self.found[seen.number], 9)
        return () if is_signal(event) else (event,)


def through_streams(lab: NetLab, run: int) -> Outcome:
    """What both sides got of a few connections, chunked in another way in each run."""
    late = Lateness()
    proxy = lab.tcp_proxy(
        lab.tcp_echo(),
        to_server=[Corrupt(rate=0.01), HalfClose(after=2000).sometimes(0.3)],
        to_client=[
            Corrupt(rate=0.02, mask=0x80),
            late.before,
            Delay(0.0001, jitter=0.001, distribution="normal"),
            late.after,
            Reset(at=2500).sometimes(0.5),
        ],
    )
    met = [one_connection(lab, proxy, run) for _ in range(CONNECTIONS)]
    return [*met, sorted(late.found.items())]


def one_connection(lab: NetLab, proxy: Any, run: int) -> Outcome:
    with connect(proxy) as client:
        send_all_that_goes(
            client, pieces(REQUEST, "bytes" if run % 20 == 1 else ("whole", "random")[run % 2], run)
        )
        got, _ = read_to_end(client)  # the kernel tells of a reset once, perhaps to `sendall`
    connection = proxy.connections[-1]
    return [connection.number, got, connection.to_client.end, sorted(connection.faults)]


def send_all_that_goes(client: socket.socket, data: list[bytes]) -> None:
    try:
        for piece in data:
            client.sendall(piece)
        client.shutdown(socket.SHUT_WR)
    except OSError:
        return  # it has ended already, as it may


def through_datagrams(lab: NetLab, run: int) -> Outcome:
    """Which datagrams got through, and how they looked, in both directions."""
    proxy = lab.udp_proxy(
        lab.udp_responder(),
        to_server=[Loss(0.1), Corrupt(rate=0.2), Duplicate(0.1)],
        to_client=[BurstLoss(0.1, 0.5), Corrupt(rate=0.1, mask=1)],
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(proxy.address)
        for number, datagram in enumerate(DATAGRAMS, 1):
            client.send(datagram)
            lab.wait_for(partial(has_sent, proxy, number))
        lab.engine.call(lambda: None)
        there = proxy.traffic.to_server.delivered
        lab.wait_for(lambda: len(proxy.traffic.to_client.sent) == len(there))
        lab.engine.call(lambda: None)
        return [list(there), list(proxy.traffic.to_client.delivered)]


def has_sent(proxy: UdpProxy, number: int) -> bool:
    """Whether so many datagrams have come from the only client."""
    return [len(connection.to_server.sent) for connection in proxy.connections] == [number]


def outcome(run_through: Run, seed: int, run: int = 0, node_id: str = "") -> Outcome:
    with NetLab(seed=seed, node_id=node_id, must_fire=False) as lab:
        return run_through(lab, run)


WAYS: dict[str, Run] = {"streams": through_streams, "datagrams": through_datagrams}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_100_runs_with_one_seed_are_the_same_byte_by_byte(way: Run) -> None:
    first = outcome(way, seed=7)
    for run in range(1, RUNS):
        assert outcome(way, seed=7, run=run) == first


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_another_seed_or_another_test_has_other_traffic(way: Run) -> None:
    outcomes = [outcome(way, seed=seed) for seed in range(10)]
    outcomes += [outcome(way, seed=0, node_id=f"test_{number}") for number in range(10)]
    assert all(one != other for i, one in enumerate(outcomes) for other in outcomes[:i])


def test_faults_of_all_kinds_have_acted() -> None:
    *connections, late = outcome(through_streams, seed=7)
    assert {end for _, _, end, _ in connections} == {"FIN", "RST"}
    assert len({got for _, got, _, _ in connections}) == CONNECTIONS
    assert len({seconds for _, seconds in late}) == CONNECTIONS
    there, back = outcome(through_datagrams, seed=7)
    assert len(there) != len(set(there))
    assert 0 < len(back) < len(there)
    assert set(DATAGRAMS) - set(there)
