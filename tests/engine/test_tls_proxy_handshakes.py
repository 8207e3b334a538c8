"""Handshakes through a proxy that fail, or do not end: towards the server, and towards the client.

Real sockets; what the other leg sees of it is looked at each time.
"""

from __future__ import annotations

import socket
import ssl
from typing import Any

import pytest
from engine.proxy_tools import connect, ends, entries, read_to_end, take
from engine.tls_proxy_tools import secure, wrap

from pytest_netfixtures import NetLab, Tls
from pytest_netfixtures._engine import upstream as upstream_module
from pytest_netfixtures._wire.entries import TlsFailed


def hang_up(conn: Any) -> None:
    conn.recv()


def talk_http(conn: Any) -> None:
    conn.recv()
    conn.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def go_away(conn: Any) -> None:
    conn.recv()
    conn.reset()


@pytest.mark.parametrize("handler", [hang_up, talk_http, go_away])
@pytest.mark.parametrize(("choice", "end"), [("reset", "RST"), ("close", "FIN")])
@pytest.mark.parametrize("tls", [True, None])
def test_a_server_whose_handshake_fails_is_one_that_cannot_be_reached(
    handler: Any, choice: str, end: str, tls: bool | None
) -> None:
    with NetLab() as lab:
        proxy = lab.tcp_proxy(lab.tcp_server(handler), tls=tls, upstream_tls=True, on_unreachable=choice)
        with connect(proxy) as client:
            assert read_to_end(client) == (b"", end)
        lab.wait_for(lambda: not proxy.open_connections())
        assert "TLS with the server failed" in " ".join(proxy.connections[0].notes)
        assert [entry.leg for entry in entries(lab, TlsFailed)] == ["server"]


@pytest.mark.parametrize("tls", [Tls(expired=True), Tls(trusted=False), Tls(names=("elsewhere",))], ids=repr)
def test_a_certificate_that_the_proxy_must_not_accept(tls: Tls) -> None:
    with NetLab() as lab:
        server = lab.tcp_echo(tls=tls)
        proxy = lab.tcp_proxy(server, tls=True, upstream_tls=lab.ca.client_context())
        with connect(proxy) as client:
            assert read_to_end(client) == (b"", "RST")
        assert "the server's certificate is not accepted" in " ".join(proxy.connections[0].notes)


def test_a_server_that_never_answers_the_handshake_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream_module, "CONNECT_SECONDS", 0.1)
    with NetLab() as lab:
        proxy = lab.tcp_proxy(lab.deaf_server(), tls=True, upstream_tls=True)
        with connect(proxy) as client:
            assert read_to_end(client) == (b"", "RST")
        assert "no handshake within 0.1 s" in " ".join(proxy.connections[0].notes)
        lab.wait_for(lambda: not proxy.open_connections())


def test_an_upstream_that_refuses_ends_the_client_before_any_handshake() -> None:
    with NetLab() as lab:
        proxy = lab.tcp_proxy(lab.refused_address(), tls=True, on_unreachable="close")
        with connect(proxy) as client:
            with pytest.raises((ssl.SSLEOFError, ConnectionResetError)):
                wrap(lab, client)
        assert "refused" in " ".join(proxy.connections[0].notes)


def test_a_client_may_be_left_hanging_and_what_it_sends_is_no_plain_text() -> None:
    with NetLab() as lab:
        proxy = lab.tcp_proxy(lab.refused_address(), tls=True, on_unreachable="hang")
        with connect(proxy) as client:
            client.settimeout(0.05)
            with pytest.raises(TimeoutError):
                wrap(lab, client)
        lab.wait_for(lambda: not proxy.open_connections() or ends(proxy)["client"] == "FIN")
        assert proxy.traffic.to_server.sent == b""


def no_trust(proxy: Any) -> None:
    with connect(proxy) as raw, pytest.raises(ssl.SSLCertVerificationError):
        ssl.create_default_context().wrap_socket(raw, server_hostname="localhost")


def plain_http(proxy: Any) -> None:
    with connect(proxy) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
        read_to_end(raw)


def leaves(proxy: Any) -> None:
    with connect(proxy) as raw:
        raw.sendall(b"\x16\x03\x01")


@pytest.mark.parametrize("client", [no_trust, plain_http, leaves])
def test_a_client_whose_handshake_fails_is_a_clean_end_for_the_server(client: Any) -> None:
    with NetLab() as lab:
        server = lab.tcp_server(tls=True)
        proxy = lab.tcp_proxy(server, tls=True)
        client(proxy)
        server.accept().expect_eof()
        lab.wait_for(lambda: "TLS with the client failed" in " ".join(proxy.connections[0].notes))
        assert server.connections[0].to_server.sent == b""
        with secure(lab, proxy) as fine:
            conn = server.accept()
            fine.sendall(b"fine")
            conn.expect(b"fine")
            conn.close()


def test_a_client_without_the_certificate_that_is_wanted_is_refused() -> None:
    with NetLab() as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), tls=Tls(client_cert="required"))
        with pytest.raises(ssl.SSLError), secure(lab, proxy) as client:
            client.recv(1)
        lab.wait_for(lambda: "it showed no certificate" in " ".join(proxy.connections[0].notes))


def test_a_teardown_in_the_middle_of_handshakes_waits_for_nobody() -> None:
    with socket.socket() as silent, NetLab() as lab:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        waits = lab.tcp_proxy(silent.getsockname(), tls=True, upstream_tls=True)
        proxy = lab.tcp_proxy(lab.tcp_echo(), tls=True)
        with connect(waits), connect(proxy) as client:
            client.sendall(b"\x16\x03\x01\x02\x00")
            lab.wait_for(lambda: len(lab.traffic.connections) >= 3)
            lab.close()
            assert read_to_end(client)[0] == b""


@pytest.mark.parametrize("reset", [False, True])
def test_a_cut_in_the_middle_of_a_handshake(reset: bool) -> None:
    with NetLab() as lab:
        server = lab.tcp_server()
        proxy = lab.tcp_proxy(server, tls=True)
        with connect(proxy) as client:
            client.sendall(b"\x16\x03\x01")
            conn = server.accept()
            proxy.cut(reset=reset)
            assert read_to_end(client) == (b"", "RST" if reset else "FIN")
            if reset:
                with pytest.raises(ConnectionResetError):
                    conn.recv()
            else:
                conn.expect_eof()


def test_what_a_server_says_and_how_it_ends_before_the_client_is_secured() -> None:
    def early(conn: Any) -> None:
        conn.send(b"hello")

    with NetLab() as lab:
        proxy = lab.tcp_proxy(lab.tcp_server(early, tls=True), tls=True)
        with connect(proxy) as raw:
            lab.wait_for(lambda: proxy.connections and proxy.connections[0].upstream is not None)
            client = wrap(lab, raw)
            assert take(client, 100) == b"hello"
            client.close()
