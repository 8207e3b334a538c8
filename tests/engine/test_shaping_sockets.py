"""Slow lines, glued writes, late ends and late bytes over real sockets: every byte is there, and nothing is there too early.

No bound here is an upper one: what may come at the earliest is counted from before the client connects.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from engine.proxy_tools import MIB, Client, connect, in_front_of, pattern, pours, read_to_end, take

from pytest_netfixtures import (
    Bandwidth,
    Coalesce,
    Data,
    Delay,
    Event,
    NetLab,
    Opened,
    Retransmit,
    Seen,
    Slice,
    SlowClose,
    Stall,
    TcpProxy,
    Wake,
)
from pytest_netfixtures._engine.loop import READ_SIZE
from pytest_netfixtures._wire.entries import Direction


class Watch:
    """How long ago it began."""

    def __init__(self) -> None:
        self.began = time.monotonic()

    def passed(self) -> float:
        return time.monotonic() - self.began


def delivered(proxy: TcpProxy, direction: Direction) -> list[int]:
    """The sizes of what was handed on, in order."""
    events = proxy.traffic.connection(1).flow(direction).events
    return [event.size for event in events if event.kind == "delivered"]


@contextmanager
def echo(*faults: Any) -> Iterator[tuple[NetLab, TcpProxy, Client]]:
    """A client of an echo server, with faults on the way to the server."""
    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), to_server=faults)
        with connect(proxy) as client:
            yield lab, proxy, client


def write_apart(lab: NetLab, proxy: TcpProxy, client: Client, *writes: bytes) -> None:
    """Each write is read by the proxy before the next one is made."""
    for number, write in enumerate(writes, 1):
        client.sendall(write)
        lab.wait_for(partial(has_sent, proxy, sum(map(len, writes[:number]))))


def has_sent(proxy: TcpProxy, size: int) -> bool:
    return [connection.to_server.sent_bytes for connection in proxy.connections] == [size]


# Bandwidth.


@pytest.mark.parametrize("how", ["whole", "bytes", "random"])
@pytest.mark.parametrize("burst", [0, 1500])
def test_no_byte_comes_before_the_line_has_carried_it(how: str, burst: int) -> None:
    data, rate, watch = pattern(5000), 25_000, Watch()
    with NetLab(must_fire=False) as lab:
        proxy = in_front_of(lab, pours(data, how), to_client=Bandwidth(rate, burst))
        with connect(proxy) as client:
            got = b""
            while more := client.recv(65536):
                got += more
                assert watch.passed() >= (len(got) - burst) / rate
        assert got == data
        assert max(delivered(proxy, "to_client")) <= max(rate * 0.02, burst)


def test_the_end_comes_behind_the_bytes_of_a_slow_line() -> None:
    with NetLab(must_fire=False) as lab:
        server = lab.tcp_server()
        proxy = lab.tcp_proxy(server, to_client=Bandwidth(20_000))
        with connect(proxy) as client:
            conn = server.accept()
            conn.send(pattern(2000))
            lab.wait_for(lambda: proxy.traffic.to_client.sent_bytes == 2000)
            conn.close()
            assert read_to_end(client) == (pattern(2000), "FIN")


def test_two_connections_that_share_a_line_are_not_through_before_it_has_carried_both() -> None:
    data, watch = pattern(2500), Watch()
    with NetLab(must_fire=False) as lab:
        proxy = in_front_of(lab, pours(data), to_client=Bandwidth(25_000, shared=True))
        with connect(proxy) as one, connect(proxy) as two:
            assert (read_to_end(one), read_to_end(two)) == ((data, "FIN"), (data, "FIN"))
            assert watch.passed() >= 5000 / 25_000


def test_a_small_answer_comes_through_a_shared_line_that_is_busy_for_hours() -> None:
    with NetLab(must_fire=False) as lab:
        server = lab.tcp_server()
        proxy = lab.tcp_proxy(server, to_client=Bandwidth(50, shared=True))
        with connect(proxy) as busy, connect(proxy) as quick:
            server.accept().send(pattern(MIB))
            assert take(busy, 1) == pattern(1)
            server.accept().send(b"ok")
            assert take(quick, 2) == b"ok"


def test_each_direction_of_a_shared_line_is_a_line_of_its_own() -> None:
    shared = Bandwidth(50_000, shared=True)
    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), to_server=shared, to_client=shared)
        with connect(proxy) as client:
            client.sendall(pattern(3000))
            assert take(client, 3000) == pattern(3000)
        assert proxy.fired(shared) == 2


def test_what_waits_for_a_slow_line_is_bounded_and_comes_at_once_when_it_is_lifted() -> None:
    data, queue = pattern(4 * MIB), 1 << 17
    with NetLab(must_fire=False) as lab:
        proxy = in_front_of(lab, pours(data), queue_bytes=queue, to_client=Bandwidth(100))
        with connect(proxy) as client:
            assert take(client, 4) == data[:4]
            lab.wait_for(lambda: proxy.traffic.to_client.sent_bytes > queue)
            flow = proxy.traffic.to_client
            assert flow.sent_bytes - flow.delivered_bytes <= queue + READ_SIZE
            proxy.clear_faults()
            assert read_to_end(client) == (data[4:], "FIN")


# Coalesce.


def test_three_small_writes_come_as_one_piece_as_soon_as_its_size_is_there() -> None:
    with echo(Coalesce(3600, size=9)) as (lab, proxy, client):
        write_apart(lab, proxy, client, b"abc", b"def", b"ghi")
        assert take(client, 9) == b"abcdefghi"
        assert delivered(proxy, "to_server") == [9]


def test_small_writes_come_as_one_piece_before_the_end() -> None:
    with echo(Coalesce(3600)) as (lab, proxy, client):
        write_apart(lab, proxy, client, b"a", b"b", b"c")
        client.shutdown(socket.SHUT_WR)
        assert read_to_end(client) == (b"abc", "FIN")
        assert delivered(proxy, "to_server") == [3]


def test_a_small_write_comes_alone_when_nothing_follows_and_not_before() -> None:
    with echo(Coalesce(0.1)) as (_, proxy, client):
        for _ in range(2):
            watch = Watch()
            client.sendall(b"ping")
            assert take(client, 4) == b"ping"
            assert watch.passed() >= 0.1
        assert delivered(proxy, "to_server") == [4, 4]


def test_what_waits_for_more_is_bounded_and_comes_at_once_when_it_is_lifted() -> None:
    data, queue, fault = pattern(2 * MIB), 1 << 17, Coalesce(3600, size=MIB)
    with NetLab(must_fire=False) as lab:
        proxy = in_front_of(lab, pours(data), queue_bytes=queue, to_client=fault)
        with connect(proxy) as client:
            lab.wait_for(lambda: [c for c in proxy.connections if c.to_client.sent_bytes > queue])
            assert proxy.traffic.to_client.sent_bytes <= queue + READ_SIZE
            assert proxy.traffic.to_client.delivered_bytes == 0
            proxy.clear_faults()
            assert read_to_end(client) == (data, "FIN")


def test_what_waits_when_a_connection_is_cut_is_told_as_not_delivered() -> None:
    with echo(Coalesce(3600)) as (lab, proxy, client):
        write_apart(lab, proxy, client, b"lost")
        proxy.cut()
        assert read_to_end(client) == (b"", "FIN")
        assert "4 bytes to_server" in " ".join(proxy.connections[0].notes)


# SlowClose.


@pytest.mark.parametrize(("hard", "end"), [(False, "FIN"), (True, "RST")])
def test_the_end_comes_late_and_the_bytes_do_not(hard: bool, end: str) -> None:
    with NetLab(must_fire=False) as lab:
        server = lab.tcp_server()
        with connect(lab.tcp_proxy(server, to_client=SlowClose(0.2))) as client:
            conn = server.accept()
            conn.send(b"all of it")
            assert take(client, 9) == b"all of it"
            watch = Watch()
            conn.reset() if hard else conn.close()
            assert read_to_end(client) == (b"", end)
            assert watch.passed() >= 0.2


def test_the_other_direction_goes_on_while_an_end_is_on_its_way() -> None:
    with NetLab(must_fire=False) as lab:
        server = lab.tcp_server()
        with connect(lab.tcp_proxy(server, to_client=SlowClose(0.1))) as client:
            conn = server.accept()
            conn.half_close()
            client.sendall(b"still here")
            conn.expect(b"still here")
            assert read_to_end(client) == (b"", "FIN")


def test_an_end_after_a_slow_close_is_lifted_is_not_late() -> None:
    with NetLab(must_fire=False) as lab:
        proxy = in_front_of(lab, pours(b"bye"))
        with proxy.fault(to_client=SlowClose(3600).optional()):
            pass
        with connect(proxy) as client:
            assert read_to_end(client) == (b"bye", "FIN")


# Delay.


@pytest.mark.parametrize(
    "delay",
    [
        Delay(0.05, jitter=0.02),
        Delay(0.05, jitter=0.01, distribution="normal"),
        Delay(0.05, jitter=0.01, distribution="pareto"),
        Delay(0.05, distribution=(0.0, 0.02)),
    ],
    ids=repr,
)
@pytest.mark.parametrize("how", ["whole", "random"])
def test_a_delay_of_any_distribution_never_delivers_before_its_seconds(delay: Delay, how: str) -> None:
    data, watch = pattern(10_000), Watch()
    with NetLab(must_fire=False) as lab:
        proxy = in_front_of(lab, pours(data, how), to_client=delay)
        with connect(proxy) as client:
            first = client.recv(1)
            assert watch.passed() >= 0.05
            assert first + read_to_end(client)[0] == data
        due = {event.at for event in proxy.traffic.to_client.events if event.kind == "delivered"}
        sent = [event.at for event in proxy.traffic.to_client.events if event.kind == "sent"]
        assert min(due) >= sent[0] + 0.05
        assert max(due) >= sent[-1] + 0.05


def test_a_delay_of_centuries_harms_nobody_else() -> None:
    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), to_server=Delay(1e12).on_connections(1))
        with connect(proxy) as late, connect(proxy) as other:
            late.sendall(b"?")
            lab.wait_for(lambda: [c for c in proxy.connections if c.to_server.sent == b"?"])
            other.sendall(b"hello")
            assert take(other, 5) == b"hello"
        assert lab.errors() == []


# All together, and calls that are overdue.


def test_a_row_of_shaping_faults_loses_nothing() -> None:
    data = pattern(20_000)
    up = [Coalesce(0.01, 3000), Bandwidth(400_000, 500), Slice(700), SlowClose(0.01)]
    down = [Slice(999), Bandwidth(400_000, shared=True), Coalesce(0.01), Delay(0.01, 0.01, "pareto")]
    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), to_server=up, to_client=down)
        with connect(proxy) as client:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            assert read_to_end(client) == (data, "FIN")


def test_faults_that_come_and_go_on_an_open_connection_lose_nothing() -> None:
    data = pattern(60_000)
    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo())
        with connect(proxy) as client:
            for start in range(0, len(data), 2000):
                faults = [Bandwidth(1e6, shared=True), Coalesce(0.001), Stall(seconds=0.001), SlowClose(1)]
                with proxy.fault(to_server=faults[start // 2000 % 4], to_client=faults[start // 4000 % 4]):
                    client.sendall(data[start : start + 2000])
            client.shutdown(socket.SHUT_WR)
            assert read_to_end(client) == (data, "FIN")
        lab.never_fired()


def hurry(event: Event, seen: Seen) -> list[Event]:
    """Ask to be called again sooner than that can be done, 5,000 times; then say so."""
    if not isinstance(event, (Opened, Wake)):
        return [event]
    seen.memory["calls"] = calls = seen.memory.get("calls", 0) + 1
    return [Wake(event.at + 1e-7)] if calls < 5000 else [Data(event.at, b"done")]


def test_a_long_row_of_overdue_wake_up_calls_is_worked_off() -> None:
    with NetLab(must_fire=False) as lab:
        with connect(lab.tcp_proxy(lab.tcp_echo(), to_client=hurry)) as client:
            assert take(client, 4) == b"done"
        assert lab.errors() == []


# Retransmit: what is lost on the way comes later, and all behind it with it.


@pytest.mark.parametrize(("rate", "late"), [(1, 0.2), (0.5, 0.3)])
def test_what_is_sent_again_comes_later_and_whole(rate: float, late: float) -> None:
    data = pattern(20_000)
    with NetLab(must_fire=False) as lab:
        proxy = in_front_of(lab, pours(data), to_client=[Slice(1448), Retransmit(rate, seconds=late)])
        watch = Watch()
        with connect(proxy) as client:
            assert read_to_end(client) == (data, "FIN")
        assert watch.passed() >= late
        assert proxy.fired(Retransmit(rate, seconds=late)) == 1
