"""One leg is reset and the other one stays: what is still sent is read and dropped, and it is over when its peer leaves."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from engine.proxy_tools import MIB, connect, ends, pattern, pieces, read_to_end, reset, ways_to_chunk

from pytest_netfixtures import Delay, NetLab, Reset, ServerConnection, Stall
from pytest_netfixtures._engine import link
from pytest_netfixtures._engine.tcp_proxy import TcpProxy
from pytest_netfixtures._wire.entries import Direction

STREAM = b"abcdefghijkl"
HOSTS = pytest.mark.parametrize("host", ["127.0.0.1", "::1"])


def reads_to_its_end(conn: ServerConnection) -> tuple[bytes, str]:
    """All that a server gets, and how it ends."""
    parts: list[bytes] = []
    while True:
        try:
            data = conn.recv()
        except ConnectionResetError:
            return b"".join(parts), "RST"
        if not data:
            return b"".join(parts), "FIN"
        parts.append(data)


# The client's leg is reset.


@HOSTS
@pytest.mark.parametrize("how", ways_to_chunk())
@pytest.mark.parametrize("leave", ["close", "reset"])
def test_the_client_gets_n_bytes_and_rst_and_the_server_notices_nothing(
    how: str, leave: str, host: str
) -> None:
    with NetLab() as lab:
        server = lab.tcp_server(host=host)
        for n in range(len(STREAM)):
            proxy = lab.tcp_proxy(server, to_client=Reset(after=n, other_leg=False), host=host)
            with connect(proxy) as client:
                conn = server.accept()
                for piece in pieces(STREAM, how, n):
                    conn.send(piece)
                assert read_to_end(client) == (STREAM[:n], "RST")
                read_and_dropped(lab, proxy, conn.send, "to_client", n)
                conn.expect_nothing(0)
                getattr(conn, leave)()
                is_over(lab, proxy)
                assert ends(proxy)["server"] == ("FIN" if leave == "close" else "RST")
                assert ends(proxy)["client met"] == "RST"
                assert ends(proxy)["server met"] == ("FIN" if leave == "close" else None)


def read_and_dropped(
    lab: NetLab, proxy: TcpProxy, send: Callable[[bytes], object], direction: Direction, n: int
) -> None:
    """What comes behind the reset is read, all of it, and nobody gets it; the leg stays."""
    lab.wait_for(lambda: proxy.traffic.connection(1).flow(direction).sent == STREAM)
    send(b"more of it")
    lab.wait_for(lambda: proxy.traffic.connection(1).flow(direction).sent == STREAM + b"more of it")
    assert proxy.traffic.connection(1).flow(direction).delivered == STREAM[:n]
    assert len(proxy.open_connections()) == 1


def is_over(lab: NetLab, proxy: TcpProxy) -> None:
    lab.wait_for(lambda: not proxy.open_connections())


def test_a_server_that_goes_on_for_long_is_read_and_never_held_up() -> None:
    data = pattern(8 * MIB)
    with NetLab() as lab:
        server = lab.tcp_server(lambda conn: conn.send(data))
        proxy = lab.tcp_proxy(server, to_client=Reset(after=1000, other_leg=False), queue_bytes=1000)
        with connect(proxy) as client:
            assert read_to_end(client) == (data[:1000], "RST")
        lab.wait_for(lambda: not proxy.open_connections())
        assert proxy.traffic.to_client.sent_bytes == len(data)
        assert proxy.traffic.to_client.delivered == data[:1000]


def test_what_the_client_sent_before_is_still_delivered_when_it_is_due() -> None:
    with NetLab() as lab:
        server = lab.tcp_server()
        proxy = lab.tcp_proxy(server, to_server=Delay(0.1), to_client=Reset(at=0, other_leg=False))
        with connect(proxy) as client:
            conn = server.accept()
            client.sendall(b"a request")
            lab.wait_for(lambda: proxy.traffic.to_server.sent == b"a request")
            conn.send(b"x")
            conn.half_close()
            assert read_to_end(client) == (b"", "RST")
            assert conn.recv_to_end() == b"a request"
        lab.wait_for(lambda: not proxy.open_connections())


def test_what_is_held_for_the_server_keeps_its_leg_until_it_is_delivered() -> None:
    with NetLab() as lab:
        server = lab.tcp_server()
        proxy = lab.tcp_proxy(server, to_client=Reset(at=0, other_leg=False))
        with connect(proxy) as client:
            conn = server.accept()
            with proxy.fault(to_server=Stall()):
                client.sendall(b"held")
                lab.wait_for(lambda: proxy.traffic.to_server.sent == b"held")
                conn.send(b"x")
                conn.half_close()
                assert read_to_end(client) == (b"", "RST")
                lab.wait_for(lambda: ends(proxy)["server"] == "FIN")
                assert len(proxy.open_connections()) == 1
            assert reads_to_its_end(conn) == (b"held", "FIN")
        lab.wait_for(lambda: not proxy.open_connections())


def test_a_server_that_had_ended_before_is_let_go() -> None:
    fault = Reset(other_leg=False).when(b"now", direction="to_server")
    with NetLab() as lab:
        server = lab.tcp_server()
        proxy = lab.tcp_proxy(server, to_client=fault)
        with connect(proxy) as client:
            conn = server.accept()
            conn.half_close()
            assert read_to_end(client) == (b"", "FIN")
            client.sendall(b"now")
            assert reads_to_its_end(conn) == (b"now", "FIN")
        lab.wait_for(lambda: not proxy.open_connections())


def test_a_server_that_leaves_while_the_reset_still_waits_for_the_client_is_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(link, "LONGEST_LINGER", 0.2)
    data = pattern(4 * MIB)
    with NetLab() as lab:
        server = lab.tcp_server(lambda conn: conn.send(data))
        fault = Reset(after=3 * MIB, other_leg=False)
        proxy = lab.tcp_proxy(server, to_client=fault, queue_bytes=8 * MIB)
        with connect(proxy, small=True):
            lab.wait_for(lambda: ends(proxy).get("server") == "FIN")
            is_over(lab, proxy)
        assert (ends(proxy)["client met"], ends(proxy)["server met"]) == ("RST", "FIN")


# The server's leg is reset.


@HOSTS
@pytest.mark.parametrize("how", ways_to_chunk())
@pytest.mark.parametrize("leave", [socket.socket.close, reset], ids=["close", "reset"])
def test_the_server_gets_n_bytes_and_rst_and_the_client_notices_nothing(
    how: str, leave: Callable[[socket.socket], None], host: str
) -> None:
    with NetLab() as lab:
        server = lab.tcp_server(host=host)
        for n in range(len(STREAM)):
            proxy = lab.tcp_proxy(server, to_server=Reset(after=n, other_leg=False), host=host)
            with connect(proxy) as client:
                conn = server.accept()
                for piece in pieces(STREAM, how, n):
                    client.sendall(piece)
                assert reads_to_its_end(conn) == (STREAM[:n], "RST")
                read_and_dropped(lab, proxy, client.sendall, "to_server", n)
                leave(client)
                is_over(lab, proxy)
            assert ends(proxy)["client"] == ("RST" if leave is reset else "FIN")
            assert ends(proxy)["server met"] == "RST"
            assert ends(proxy)["client met"] == (None if leave is reset else "FIN")


def test_what_the_server_sent_before_is_still_delivered_when_it_is_due() -> None:
    with NetLab() as lab:
        server = lab.tcp_server()
        proxy = lab.tcp_proxy(server, to_client=Delay(0.1), to_server=Reset(at=1, other_leg=False))
        with connect(proxy) as client:
            conn = server.accept()
            conn.send(b"an answer")
            lab.wait_for(lambda: proxy.traffic.to_client.sent == b"an answer")
            client.sendall(b"xy")
            client.shutdown(socket.SHUT_WR)
            assert reads_to_its_end(conn) == (b"x", "RST")
            assert read_to_end(client) == (b"an answer", "FIN")
        lab.wait_for(lambda: not proxy.open_connections())


def test_a_client_that_waits_for_an_answer_waits_until_it_gives_up() -> None:
    with NetLab() as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), to_server=Reset(after=3, other_leg=False))
        with connect(proxy) as client:
            client.sendall(b"abcdef")
            lab.wait_for(lambda: ends(proxy).get("server met") == "RST")
            client.settimeout(0.1)
            with pytest.raises(TimeoutError):
                client.recv(1)


# Neither leaves anything behind.


@pytest.mark.parametrize("direction", ["to_client", "to_server"])
def test_a_leg_that_is_left_costs_no_processor_time(direction: str) -> None:
    faults: Any = {direction: Reset(other_leg=False)}
    with NetLab() as lab:
        server = lab.tcp_server()
        proxy = lab.tcp_proxy(server, **faults)
        with connect(proxy) as client:
            conn = server.accept()
            lab.wait_for(
                lambda: ends(proxy)["client met" if direction == "to_client" else "server met"] == "RST"
            )
            sends = conn.send if direction == "to_client" else client.sendall
            sends(b"still here")
            used, began = lab.engine.call(time.thread_time), time.monotonic()
            with pytest.raises(AssertionError):
                lab.wait_for(lambda: not proxy.open_connections(), within=0.3)
            used = lab.engine.call(time.thread_time) - used
            assert used < (time.monotonic() - began) / 2


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts descriptors in /proc")
@pytest.mark.parametrize("direction", ["to_client", "to_server"])
def test_no_descriptor_stays(direction: str) -> None:
    faults: Any = {direction: Reset(other_leg=False)}
    with NetLab() as lab:
        server = lab.tcp_server()
        proxy = lab.tcp_proxy(server, **faults)
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(50):
            with connect(proxy) as client:
                conn = server.accept()
                if direction == "to_client":
                    assert read_to_end(client) == (b"", "RST")
                    conn.close()
                else:
                    assert reads_to_its_end(conn) == (b"", "RST")
        is_over(lab, proxy)
        lab.wait_for(lambda: not server.open_connections())
        lab.wait_for(lambda: len(os.listdir("/proc/self/fd")) <= before)
