"""Upstreams that are there, by number and by name, and upstreams that are not."""

from __future__ import annotations

import _socket
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from engine.proxy_tools import connect, ends, read_to_end, reset, take

from pytest_netfixtures import NetLab, Reset
from pytest_netfixtures._engine import upstream as upstream_module
from pytest_netfixtures._wire.entries import LegOpening

NO_NAMES = ["a..b", "x" * 64 + ".invalid"]
"""Names that fail before anybody is asked."""


@pytest.mark.parametrize(("choice", "end"), [("reset", "RST"), ("close", "FIN")])
def test_a_refused_upstream_ends_the_client_as_asked(choice: str, end: str) -> None:
    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.refused_address(), on_unreachable=choice)
        with connect(proxy) as client:
            assert read_to_end(client) == (b"", end)
            (connection,) = proxy.connections
            assert "refused" in " ".join(connection.notes)
            assert connection.to_client.end == end


@pytest.mark.parametrize("name", NO_NAMES)
@pytest.mark.parametrize(("choice", "end"), [("reset", "RST"), ("close", "FIN")])
def test_a_name_that_does_not_resolve_ends_the_client_as_asked(name: str, choice: str, end: str) -> None:
    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy((name, 80), on_unreachable=choice)
        with connect(proxy) as client:
            assert read_to_end(client) == (b"", end)
            lab.wait_for(lambda: "does not resolve" in " ".join(proxy.connections[0].notes))


def test_an_unreachable_upstream_may_hang_and_what_the_client_does_is_seen() -> None:
    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.refused_address(), on_unreachable="hang")
        with connect(proxy) as client:
            client.sendall(b"hello?")
            lab.wait_for(lambda: [c.to_server.sent for c in proxy.connections] == [b"hello?"])
            client.settimeout(0.05)
            with pytest.raises(TimeoutError):
                client.recv(1)
        lab.wait_for(lambda: ends(proxy)["client"] == "FIN")
        assert proxy.traffic.to_server.delivered == b""


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize(("choice", "end"), [("reset", "RST"), ("close", "FIN")])
def test_an_upstream_that_does_not_answer_is_given_up(
    choice: str, end: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream_module, "CONNECT_SECONDS", 0.1)
    with NetLab() as lab:
        proxy = lab.tcp_proxy(lab.tarpit_address(host), on_unreachable=choice)
        began = time.monotonic()
        with connect(proxy) as client:
            assert read_to_end(client) == (b"", end)
            assert time.monotonic() - began >= 0.1
            assert "no answer within 0.1 s" in " ".join(proxy.connections[0].notes)
        lab.wait_for(lambda: not proxy.open_connections())


UNREACHABLE: dict[str, Callable[[NetLab], Any]] = {
    "refused": NetLab.refused_address,
    "no answer": NetLab.tarpit_address,
    "does not resolve": lambda lab: (NO_NAMES[0], 80),
}


@pytest.mark.parametrize("why", list(UNREACHABLE))
@pytest.mark.parametrize("leave", [reset, socket.socket.close], ids=["RST", "FIN"])
def test_whatever_the_reason_an_unreachable_upstream_may_hang(
    why: str, leave: Callable[[socket.socket], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream_module, "CONNECT_SECONDS", 0.05)
    with NetLab() as lab:
        proxy = lab.tcp_proxy(UNREACHABLE[why](lab), on_unreachable="hang")
        with connect(proxy) as client:
            client.sendall(b"hello?")
            lab.wait_for(lambda: why in " ".join(note for c in proxy.connections for note in c.notes).lower())
            client.settimeout(0.05)
            with pytest.raises(TimeoutError):
                client.recv(1)
            assert proxy.traffic.to_server.sent == b"hello?"
            leave(client)
        lab.wait_for(lambda: ends(proxy)["client"] == ("RST" if leave is reset else "FIN"))
        assert proxy.traffic.to_server.delivered == b""
        proxy.cut()
        assert proxy.open_connections() == []


@pytest.mark.parametrize("end", [lambda proxy: proxy.stop(), lambda proxy: proxy.cut()], ids=["stop", "cut"])
def test_while_the_upstream_hangs_the_client_can_be_ended(end: Callable[[Any], None]) -> None:
    with NetLab() as lab:
        proxy = lab.tcp_proxy(lab.tarpit_address())
        with connect(proxy) as client:
            lab.wait_for(lambda: proxy.connections)
            sockets = lab.engine.call(lambda: set(lab.engine.sockets))
            end(proxy)
            assert read_to_end(client) == (b"", "FIN")
        lab.wait_for(lambda: not proxy.open_connections())
        assert len(sockets - lab.engine.call(lambda: set(lab.engine.sockets))) >= 2


def test_a_connection_stays_at_its_upstream_even_while_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream_module, "CONNECT_SECONDS", 0.2)
    with NetLab() as lab:
        proxy = lab.tcp_proxy(lab.tarpit_address())
        with connect(proxy) as first:
            lab.wait_for(lambda: proxy.connections)
            proxy.upstream = lab.tcp_echo(prefix=b"new")
            with connect(proxy) as second:
                assert take(second, 3) == b"new"
            assert read_to_end(first) == (b"", "RST")


@pytest.mark.parametrize("why", list(UNREACHABLE))
def test_an_upstream_that_is_mended_is_reached_by_the_next_attempt(
    why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream_module, "CONNECT_SECONDS", 0.2)
    with NetLab() as lab:
        server = lab.tcp_echo(prefix=b"hi")
        proxy = lab.tcp_proxy(UNREACHABLE[why](lab))
        for _ in range(3):
            with connect(proxy) as client:
                assert read_to_end(client) == (b"", "RST")
        proxy.upstream = server
        with connect(proxy) as client:
            assert take(client, 2) == b"hi"
        assert [connection.upstream == server.address for connection in proxy.connections] == [False] * 3 + [
            True
        ]


def test_a_deaf_upstream_is_connected_to_and_the_client_hears_nothing() -> None:
    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.deaf_server())
        with connect(proxy) as client:
            client.sendall(b"hello?")
            lab.wait_for(lambda: [c.to_server.delivered for c in proxy.connections] == [b"hello?"])
            client.settimeout(0.05)
            with pytest.raises(TimeoutError):
                client.recv(1)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_every_address_of_a_name_is_tried(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    both = [(socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1")]

    def look_up(name: str, port: int, *rest: Any) -> list[Any]:
        return [(family, socket.SOCK_STREAM, 6, "", (address, port)) for family, address in both]

    monkeypatch.setattr(_socket, "getaddrinfo", look_up)
    with NetLab(must_fire=False) as lab:
        server = lab.tcp_echo(prefix=b"hello", host=host)
        proxy = lab.tcp_proxy(("localhost", server.port))
        with connect(proxy) as client:
            assert take(client, 5) == b"hello"
        refused = [note for note in proxy.connections[0].notes if "refused" in note]
        assert len(refused) == (host != "::1")
        assert proxy.connections[0].upstream == (host, server.port)


@pytest.mark.parametrize("leave", [reset, socket.socket.close], ids=["RST", "FIN"])
def test_what_an_upstream_sends_before_it_leaves_at_once_is_passed_on(
    leave: Callable[[socket.socket], None],
) -> None:
    def leave_at_once(entry: Any, data: Any) -> None:
        if isinstance(
            entry, LegOpening
        ):  # the engine has asked, and waits here, so that it sees the answer and the end at once
            conn, _ = listener.accept()
            conn.send(b"bye")
            leave(conn)

    with NetLab() as lab, socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        proxy = lab.tcp_proxy(listener.getsockname())
        lab.add_sink(leave_at_once)
        with connect(proxy) as client:
            assert read_to_end(client) == (b"bye", "RST" if leave is reset else "FIN")
        assert proxy.traffic.connections[0].ended["server"] == ("RST" if leave is reset else "FIN")
        assert proxy.traffic.connections[0].notes == ()


def test_localhost_is_resolved() -> None:
    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(f"localhost:{lab.tcp_echo(prefix=b'hello').port}")
        with connect(proxy) as client:
            assert take(client, 5) == b"hello"


def test_another_upstream_is_for_new_connections_alone() -> None:
    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(prefix=b"old"))
        with connect(proxy) as first:
            assert take(first, 3) == b"old"
            proxy.upstream = lab.tcp_echo(prefix=b"new").address
            with connect(proxy) as second:
                assert take(second, 3) == b"new"
            first.sendall(b"echo")
            assert take(first, 4) == b"echo"


def test_a_proxy_stands_in_front_of_a_proxy() -> None:
    with NetLab(must_fire=False) as lab:
        inner = lab.tcp_proxy(lab.tcp_echo())
        outer = lab.tcp_proxy(inner, to_client=Reset(after=3))
        with connect(outer) as client:
            client.sendall(b"abcdef")
            assert read_to_end(client) == (b"abc", "RST")
        lab.wait_for(lambda: ends(inner)["client"] == "RST")


def test_a_proxy_has_the_scheme_of_its_server() -> None:
    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.http_echo())
        assert proxy.url == f"http://127.0.0.1:{proxy.port}"
        assert lab.tcp_proxy(("127.0.0.1", 1)).url.startswith("tcp://127.0.0.1:")
        assert lab.tcp_proxy(proxy, host="::1").netloc.startswith("[::1]:")


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        6379,
        "localhost",
        ("127.0.0.1", 0),
        ("127.0.0.1", "6379"),
        ("", 80),
        "h:port",
        ("127.0.0.1", 65536),
    ],
)
def test_what_is_no_upstream_is_said_where_the_mistake_is_made(wrong: Any) -> None:
    with NetLab(must_fire=False) as lab:
        with pytest.raises((TypeError, ValueError), match="upstream"):
            lab.tcp_proxy(wrong)
        proxy = lab.tcp_proxy(("127.0.0.1", 1))
        with pytest.raises((TypeError, ValueError), match="upstream"):
            proxy.upstream = wrong
        assert proxy.upstream == ("127.0.0.1", 1)


def test_a_proxy_refuses_what_cannot_be_its_upstream() -> None:
    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo())
        with pytest.raises(ValueError, match="the proxy itself"):
            proxy.upstream = proxy
        with pytest.raises(ValueError, match="speaks UDP"):
            proxy.upstream = lab.udp_responder()
        with pytest.raises(ValueError, match="expected a server or proxy of ours"):
            proxy.upstream = "http://127.0.0.1:80"
