"""What one peer does to end a connection is what the other one meets: FIN, RST, one after the other, early and late."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from engine.proxy_tools import MIB, connect, ends, entries, in_front_of, pattern, read_to_end, reset

from pytest_netfixtures import Delay, NetLab, Stall
from pytest_netfixtures._wire.entries import LegEnded

HOSTS = pytest.mark.parametrize("host", ["127.0.0.1", "::1"])


@HOSTS
def test_the_clients_fin_is_passed_on_and_the_answer_still_comes(host: str) -> None:
    def answer_at_the_end(conn: Any) -> None:
        conn.send(b"got " + conn.recv_to_end())

    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_server(answer_at_the_end, host=host), host=host)
        with connect(proxy) as client:
            client.sendall(b"all of it")
            client.shutdown(socket.SHUT_WR)
            assert read_to_end(client) == (b"got all of it", "FIN")
        assert proxy.traffic.connections[0].ended == {"client": "FIN", "server": "FIN"}


@HOSTS
def test_the_servers_fin_is_passed_on_and_requests_still_go(host: str) -> None:
    with NetLab(must_fire=False) as lab:
        server = lab.tcp_server(host=host)
        with connect(lab.tcp_proxy(server, host=host)) as client:
            conn = server.accept()
            conn.send(b"last words")
            conn.half_close()
            assert read_to_end(client) == (b"last words", "FIN")
            client.sendall(b"still here")
            conn.expect(b"still here")
            client.shutdown(socket.SHUT_WR)
            conn.expect_eof()


def test_the_clients_reset_is_passed_on_to_the_server() -> None:
    with NetLab(must_fire=False) as lab:
        server = lab.tcp_server()
        proxy = lab.tcp_proxy(server)
        with connect(proxy) as client:
            conn = server.accept()
            client.sendall(b"before")
            reset(client)
            assert conn.recv_exactly(6) == b"before"
            with pytest.raises(ConnectionResetError):
                conn.recv()
        assert (ends(proxy)["client"], ends(proxy)["server met"]) == ("RST", "RST")


def test_the_servers_reset_is_passed_on_to_the_client() -> None:
    with NetLab(must_fire=False) as lab:
        server = lab.tcp_server()
        proxy = lab.tcp_proxy(server)
        with connect(proxy) as client:
            conn = server.accept()
            conn.send(b"before")
            conn.reset()
            assert read_to_end(client) == (b"before", "RST")
        assert (ends(proxy)["server"], ends(proxy)["client met"]) == ("RST", "RST")


def test_a_reset_after_a_half_close_is_passed_on() -> None:
    with NetLab(must_fire=False) as lab:
        server = lab.tcp_server()
        proxy = lab.tcp_proxy(server)
        with connect(proxy) as client:
            conn = server.accept()
            client.shutdown(socket.SHUT_WR)
            conn.expect_eof()
            reset(client)
            lab.wait_for(lambda: ends(proxy)["client"] == "RST")
            lab.wait_for(lambda: ends(proxy)["server met"] == "RST")
            lab.wait_for(lambda: server.traffic.connections[0].ended["client"] == "RST")


def test_a_servers_reset_after_its_half_close_is_passed_on() -> None:
    with NetLab(must_fire=False) as lab:
        server = lab.tcp_server()
        proxy = lab.tcp_proxy(server)
        with connect(proxy) as client:
            conn = server.accept()
            conn.half_close()
            assert read_to_end(client) == (b"", "FIN")
            conn.reset()
            lab.wait_for(lambda: ends(proxy)["client met"] == "RST")
            with pytest.raises(OSError):
                while True:
                    client.sendall(b"anybody?")


def test_what_a_client_sent_before_its_reset_is_read_although_the_answer_cannot_be_written() -> None:
    data = pattern(100_000)
    with NetLab(must_fire=False) as lab:
        server = lab.tcp_server()
        proxy = lab.tcp_proxy(server)
        with connect(proxy, small=True) as client:
            conn = server.accept()
            conn.settimeout(5)
            proxy.pause()
            conn.send(pattern(2 * MIB)[:200_000])
            client.sendall(data)
            reset(client)
            lab.wait_for(lambda: ends(proxy)["client"] == "RST")
            assert proxy.traffic.to_server.sent == data
            proxy.resume()
            assert conn.recv_exactly(len(data)) == data
            with pytest.raises(ConnectionResetError):
                conn.recv()


def test_a_server_that_closes_at_once_is_passed_on() -> None:
    with NetLab(must_fire=False) as lab:
        proxy = in_front_of(lab, lambda conn: conn.close())
        for _ in range(50):
            with connect(proxy) as client:
                assert read_to_end(client) == (b"", "FIN")


def test_a_server_that_resets_at_once_is_passed_on() -> None:
    with NetLab(must_fire=False) as lab:
        proxy = in_front_of(lab, lambda conn: conn.reset())
        for _ in range(50):
            with connect(proxy) as client:
                assert read_to_end(client) == (b"", "RST")


@pytest.mark.parametrize("leave", [reset, socket.socket.close], ids=["RST", "FIN"])
def test_a_client_that_leaves_before_the_upstream_is_connected_is_told_to_it(leave: Any) -> None:
    with NetLab(must_fire=False) as lab:
        server = lab.tcp_server()
        proxy = lab.tcp_proxy(server)
        for _ in range(50):
            with connect(proxy) as client:
                leave(client)
            conn = server.accept()
            if leave is reset:
                with pytest.raises(ConnectionResetError):
                    conn.recv()
            else:
                conn.expect_eof()
                conn.close()
        lab.wait_for(lambda: not proxy.open_connections())


@pytest.mark.parametrize("how", ["FIN", "RST"])
def test_an_end_comes_after_the_delay_of_the_bytes_before_it(how: str) -> None:
    with NetLab(must_fire=False) as lab:
        server = lab.tcp_server()
        proxy = lab.tcp_proxy(server, to_client=Delay(0.1))
        with connect(proxy) as client:
            conn = server.accept()
            conn.send(b"slowly")
            conn.close() if how == "FIN" else conn.reset()
            assert read_to_end(client) == (b"slowly", how)
        identity = proxy.connections[0].id
        ended = entries(lab, LegEnded)
        ours = next(e for e in ended if e.connection == identity and (e.leg, e.by) == ("client", "us"))
        theirs = next(e for e in ended if e.connection == identity and (e.leg, e.by) == ("server", "peer"))
        assert ours.at - theirs.at >= 0.1


def test_a_fin_waits_behind_a_stall() -> None:
    with NetLab(must_fire=False) as lab:
        server = lab.tcp_server()
        proxy = lab.tcp_proxy(server)
        with connect(proxy) as client:
            conn = server.accept()
            with proxy.fault(to_client=Stall()):
                conn.send(b"held")
                conn.close()
                lab.wait_for(lambda: ends(proxy)["server"] == "FIN")
                assert proxy.traffic.to_client.delivered == b""
                assert proxy.traffic.to_client.end is None
            assert read_to_end(client) == (b"held", "FIN")
