"""Upstreams that are there, by number and by name, and upstreams that are not."""

from __future__ import annotations

import _socket
import socket
from typing import Any

import pytest
from engine.proxy_tools import connect, crowded, ends, read_to_end, take

from pytest_netfixtures import NetLab, Reset
from pytest_netfixtures._engine import upstream as upstream_module

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


def test_an_upstream_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream_module, "CONNECT_SECONDS", 0.1)
    with NetLab(must_fire=False) as lab, crowded() as full:
        proxy = lab.tcp_proxy(full.getsockname())
        with connect(proxy) as client:
            assert read_to_end(client) == (b"", "RST")
            assert "no answer within" in " ".join(proxy.connections[0].notes)


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
