"""A proxy that ends TLS: plain text for faults, traffic and patterns; exact ends; and nothing else changes.

Real sockets and Python's own ssl as the client; the cipher text itself is in test_tls_proxy_beneath.py.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
from typing import Any

import pytest
from engine.proxy_tools import MIB, connect, in_front_of, pattern, pours, read_to_end, take
from engine.tls_proxy_tools import read_all, secure

from pytest_netfixtures import (
    Bandwidth,
    Corrupt,
    Delay,
    Drop,
    HalfClose,
    NetLab,
    Replace,
    Reset,
    Slice,
    Stall,
    Tls,
    Truncate,
    assert_fired,
)
from pytest_netfixtures._engine.tls_legs import name_for
from pytest_netfixtures._wire.entries import LegOpened, TlsStarted

STREAM = b"abcdefghijkl"
RECORD = 1 << 14


# Plain text.


def test_faults_and_traffic_see_plain_text() -> None:
    with NetLab() as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), tls=True, to_client=Replace(b"secret", b"public"))
        with secure(lab, proxy) as client:
            client.sendall(b"a secret")
            assert take(client, 8) == b"a public"
        assert proxy.traffic.to_server.delivered == proxy.traffic.to_client.sent == b"a secret"
        assert proxy.traffic.to_client.delivered == b"a public"
        (connection,) = proxy.connections
        assert connection.tls is not None
        assert connection.tls.version == "TLSv1.3"


def test_a_pattern_is_found_across_records() -> None:
    with NetLab() as lab:
        lost = Reset(at=0).when(b"COMMIT", direction="to_server")
        proxy = lab.tcp_proxy(lab.tcp_echo(), tls=True, to_client=lost)
        with secure(lab, proxy) as client:
            for part in (b"COM", b"M", b"IT"):
                client.sendall(part)
            got, end = read_all(client)
            assert (b"COMMIT".startswith(got), end) == (True, "RST")
        assert proxy.traffic.to_server.delivered == b"COMMIT"


@pytest.mark.parametrize("behind", ["plain", "tls"])
@pytest.mark.parametrize("row", [(), (Slice(3000, gap=0.0),), (Bandwidth(50 * MIB),)], ids=str)
def test_five_megabytes_go_through_byte_for_byte(behind: str, row: Any) -> None:
    with NetLab() as lab:
        data = pattern(5 * MIB)
        server = lab.tcp_server(pours(data), tls=behind == "tls")
        with secure(lab, lab.tcp_proxy(server, tls=True, to_client=row)) as client:
            assert read_all(client, MIB) == (data, "close_notify")


def test_the_url_says_https_and_requests_believe_it() -> None:
    requests = pytest.importorskip("requests")
    with NetLab() as lab:
        proxy = lab.tcp_proxy(lab.http_echo(), tls=True)
        assert proxy.url == f"https://{proxy.netloc}"
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(f"{proxy.url}/hello", verify=lab.ca.pem_path, timeout=10)
        assert answer.json()["path"] == "/hello"
        assert b"GET /hello HTTP/1.1\r\n" in proxy.traffic.to_server.sent


def test_the_url_is_that_of_what_the_client_meets() -> None:
    with NetLab() as lab:
        plain, sealed = lab.http_echo(), lab.http_echo(tls=True)
        assert lab.tcp_proxy(sealed).url.startswith("https://")
        assert lab.tcp_proxy(sealed, tls=True).url.startswith("https://")
        assert lab.tcp_proxy(sealed, upstream_tls=True).url.startswith("http://")
        assert lab.tcp_proxy(plain).url.startswith("http://")
        assert lab.tcp_proxy(lab.tcp_echo(tls=True), tls=True).url.startswith("tcp://")
        assert lab.tcp_proxy(lab.tcp_proxy(plain, tls=True)).url.startswith("https://")


def test_a_body_that_is_cut_is_an_incomplete_read() -> None:
    with NetLab() as lab:
        cut = Truncate(after=10, notify=True).when(b"\r\n\r\n")
        proxy = lab.tcp_proxy(lab.http_echo(), tls=True, to_client=cut)
        client = http.client.HTTPSConnection(*proxy.address, timeout=10, context=lab.ca.client_context())
        client.request("GET", "/")
        with pytest.raises(http.client.IncompleteRead, match="10 bytes read"):
            client.getresponse().read()
        client.close()


# The way to the server.


def test_a_client_without_tls_reaches_a_server_with_it() -> None:
    with NetLab() as lab:
        server = lab.http_echo(tls=True)
        proxy = lab.tcp_proxy(server, upstream_tls=True)
        client = http.client.HTTPConnection(*proxy.address, timeout=10)
        client.request("GET", "/plain")
        assert json.loads(client.getresponse().read())["path"] == "/plain"
        client.close()
        (connection,) = server.connections
        assert connection.tls is not None
        assert connection.tls.server_name == "localhost"


def test_a_context_of_the_users_checks_what_it_checks() -> None:
    with NetLab(must_fire=False) as lab:
        trusted = lab.tcp_echo(b"hello", tls=True)
        other = lab.tcp_echo(b"hello", tls=Tls(trusted=False))
        context = lab.ca.client_context()
        with connect(lab.tcp_proxy(trusted, upstream_tls=context)) as client:
            assert take(client, 5) == b"hello"
        with connect(lab.tcp_proxy(other, upstream_tls=context)) as client:
            assert read_to_end(client) == (b"", "RST")
        with connect(lab.tcp_proxy(other, upstream_tls=True)) as client:
            assert take(client, 5) == b"hello"


def test_the_protocols_of_the_client_are_offered_to_the_server() -> None:
    with NetLab() as lab:
        server = lab.tcp_echo(tls=Tls(alpn=("h2", "http/1.1")))
        proxy = lab.tcp_proxy(server, tls=Tls(alpn=("http/1.1",), names=("example.test",)))
        with secure(lab, proxy, alpn=("h2", "http/1.1"), name="example.test") as client:
            assert client.selected_alpn_protocol() == "http/1.1"
            client.sendall(b"x")
            assert take(client, 1) == b"x"
        for connection, name in (
            (server.connections[0], "localhost"),
            (proxy.connections[0], "example.test"),
        ):
            assert connection.tls is not None
            assert (connection.tls.alpn, connection.tls.server_name) == ("http/1.1", name)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_server_is_asked_for_by_its_name_and_by_localhost_where_it_has_none(host: str) -> None:
    assert name_for(host) == "localhost"
    assert name_for("db.example") == "db.example"


def test_a_chain_of_proxies_with_and_without_tls() -> None:
    with NetLab() as lab:
        server = lab.tcp_echo(tls=True)
        inner = lab.tcp_proxy(server, tls=True, name="inner")
        passing = lab.tcp_proxy(inner, name="passing")
        outer = lab.tcp_proxy(passing, tls=True, name="outer")
        with secure(lab, outer) as client:
            client.sendall(b"through all of it")
            assert take(client, 17) == b"through all of it"
            client.unwrap()
        for place in (server, inner, outer):
            assert place.traffic.to_server.sent == b"through all of it"
        assert b"through" not in passing.traffic.to_server.sent


def test_two_proxies_and_certificates_of_clients() -> None:
    with NetLab() as lab:
        server = lab.tcp_echo(tls=Tls(client_cert="required"))
        inner = lab.tcp_proxy(server, tls=Tls(client_cert="required"))
        outer = lab.tcp_proxy(inner, tls=Tls(client_cert="required"))
        with secure(lab, outer, client_cert=True) as client:
            client.sendall(b"hello")
            assert take(client, 5) == b"hello"


@pytest.mark.parametrize("given", [1, "yes", Tls()], ids=repr)
def test_what_is_no_tls_to_an_upstream_is_said(given: Any) -> None:
    with (
        NetLab() as lab,
        pytest.raises(TypeError, match=f"upstream_tls is {re.escape(repr(given))}; expected None"),
    ):
        lab.tcp_proxy(lab.tcp_echo(), upstream_tls=given)


def test_a_context_for_servers_is_none_to_an_upstream() -> None:
    with NetLab() as lab, pytest.raises(ValueError, match=r"upstream_tls is .*, which is for servers"):
        lab.tcp_proxy(lab.tcp_echo(), upstream_tls=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))


# Ends: what a fault makes, and what a peer makes.

ENDS: list[tuple[Any, str]] = [
    (Truncate(after=5), "FIN"),
    (Truncate(after=5, notify=True), "close_notify"),
    (HalfClose(after=5), "FIN"),
    (HalfClose(after=5, notify=True), "close_notify"),
    (Reset(after=5), "RST"),
    (Reset(at=5), "RST"),
    (Truncate(at=5), "FIN"),
]


@pytest.mark.parametrize("behind", ["plain", "tls"])
@pytest.mark.parametrize(("fault", "end"), ENDS, ids=str)
def test_exactly_n_bytes_of_plain_text_and_the_end(fault: Any, end: str, behind: str) -> None:
    with NetLab() as lab:
        server = lab.tcp_server(pours(STREAM), tls=behind == "tls")
        proxy = lab.tcp_proxy(server, tls=True, to_client=fault)
        with secure(lab, proxy) as client:
            assert read_all(client) == (STREAM[:5], end)
        assert proxy.traffic.to_client.delivered == STREAM[:5]
        assert proxy.traffic.to_client.end == ("RST" if end == "RST" else "FIN")


@pytest.mark.parametrize(("fault", "end"), ENDS, ids=str)
def test_the_server_meets_the_same_ends(fault: Any, end: str) -> None:
    with NetLab() as lab:
        server = lab.tcp_server(tls=True)
        proxy = lab.tcp_proxy(server, tls=True, to_server=fault)
        with secure(lab, proxy) as client:
            conn = server.accept()
            client.sendall(STREAM)
            assert conn.recv_exactly(5) == STREAM[:5]
            if end == "RST":
                with pytest.raises(ConnectionResetError):
                    conn.recv_exactly(1)
            else:
                conn.expect_eof()
        assert proxy.traffic.to_server.delivered == STREAM[:5]


@pytest.mark.parametrize("n", [RECORD - 1, RECORD, RECORD + 1, 3 * RECORD])
def test_a_cut_is_exact_at_the_edges_of_records(n: int) -> None:
    with NetLab() as lab:
        data = pattern(4 * RECORD)
        with secure(lab, in_front_of(lab, pours(data), tls=True, to_client=Truncate(after=n))) as client:
            assert read_all(client) == (data[:n], "FIN")


def test_python_takes_a_ragged_end_for_a_clean_one_unless_it_is_told() -> None:
    with NetLab() as lab:
        proxy = in_front_of(lab, pours(STREAM), tls=True, to_client=Truncate(after=5))
        with socket.create_connection(proxy.address, timeout=10) as raw:
            with lab.ca.client_context().wrap_socket(raw, server_hostname="localhost") as client:
                assert take(client, 100) == STREAM[:5]


@pytest.mark.parametrize("behind", ["plain", "tls"])
def test_a_clean_end_of_the_server_is_a_clean_end_of_the_client(behind: str) -> None:
    with NetLab() as lab:
        server = lab.tcp_server(pours(STREAM), tls=behind == "tls")
        with secure(lab, lab.tcp_proxy(server, tls=True)) as client:
            assert read_all(client) == (STREAM, "close_notify")


def test_a_ragged_end_of_the_server_stays_one() -> None:
    with NetLab() as lab:
        inner = in_front_of(lab, pours(STREAM), tls=True, to_client=Truncate(after=5))
        with secure(lab, lab.tcp_proxy(inner, tls=True)) as client:
            assert read_all(client) == (STREAM[:5], "FIN")


def test_a_reset_of_the_server_is_a_reset_of_the_client() -> None:
    with NetLab() as lab:

        def reset(conn: Any) -> None:
            conn.recv_exactly(1)
            conn.send(STREAM)
            conn.reset()

        with secure(lab, lab.tcp_proxy(lab.tcp_server(reset, tls=True), tls=True)) as client:
            client.sendall(b"x")
            assert read_all(client) == (STREAM, "RST")


def test_a_half_close_without_a_goodbye_is_a_broken_connection_to_openssl_and_with_one_it_is_not() -> None:
    for notify in (True, False):
        with NetLab() as lab:
            server = lab.tcp_server(tls=True)
            proxy = lab.tcp_proxy(server, tls=True, to_client=HalfClose(after=3, notify=notify))
            with secure(lab, proxy) as client:
                conn = server.accept()
                conn.send(b"abc")
                assert read_all(client) == (b"abc", "close_notify" if notify else "FIN")
                if notify:
                    client.sendall(b"still here")
                    conn.expect(b"still here")
            assert proxy.traffic.to_client.end == "FIN"


def test_a_client_that_says_goodbye_is_heard_by_the_server_and_answered() -> None:
    with NetLab() as lab:
        server = lab.tcp_server(tls=True)
        with secure(lab, lab.tcp_proxy(server, tls=True)) as client:
            conn = server.accept()
            client.sendall(b"bye")
            conn.expect(b"bye")
            conn.close()
            client.unwrap()


@pytest.mark.parametrize("behind", ["plain", "tls"])
def test_a_client_that_closes_as_python_does_ends_with_fin_everywhere(behind: str) -> None:
    with NetLab() as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(tls=behind == "tls"), tls=True)
        for _ in range(8):
            with secure(lab, proxy) as client:
                client.sendall(b"x")
                assert take(client, 1) == b"x"
        lab.wait_for(lambda: not proxy.open_connections())
        assert {tuple(c.ended.values()) for c in proxy.connections} == {("FIN", "FIN")}


def test_nothing_follows_a_reset_not_even_an_alert() -> None:
    with NetLab() as lab:
        proxy = lab.tcp_proxy(
            lab.tcp_echo(), tls=True, to_client=Reset(at=0).when(b"x", direction="to_server")
        )
        with secure(lab, proxy) as client:
            client.sendall(b"x")
            assert read_all(client) == (b"", "RST")


@pytest.mark.parametrize("fault", [Drop(after=5), Stall(after=5)], ids=repr)
def test_silence(fault: Any) -> None:
    with NetLab() as lab:
        with secure(lab, in_front_of(lab, pours(STREAM), tls=True, to_client=fault)) as client:
            assert take(client, 5) == STREAM[:5]
            client.settimeout(0.05)
            with pytest.raises(TimeoutError):
                client.recv(1)


# What a proxy does as a whole.


def test_faults_come_and_go_while_the_connection_lives() -> None:
    with NetLab() as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), tls=True)
        with secure(lab, proxy) as client:
            with proxy.fault(to_client=Stall()):
                client.sendall(b"held")
                assert_fired(proxy, Stall())
                client.settimeout(0.05)
                with pytest.raises(TimeoutError):
                    client.recv(1)
                client.settimeout(10)
            assert take(client, 4) == b"held"
            with proxy.fault(to_client=Truncate(notify=True)):
                assert client.recv(1) == b""


def test_a_proxy_that_is_paused_is_silent_and_loses_nothing() -> None:
    with NetLab() as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(tls=True), tls=True)
        with secure(lab, proxy) as client, proxy.pause():
            client.sendall(b"later")
            client.settimeout(0.05)
            with pytest.raises(TimeoutError):
                client.recv(1)
            proxy.resume()
            client.settimeout(10)
            assert take(client, 5) == b"later"


def test_a_new_client_of_a_paused_proxy_waits_for_its_handshake() -> None:
    with NetLab() as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(tls=True), tls=True)
        with proxy.pause(), pytest.raises(TimeoutError), socket.create_connection(proxy.address, 0.05) as raw:
            lab.ca.client_context().wrap_socket(raw, server_hostname="localhost")
        with secure(lab, proxy) as client:
            client.sendall(b"x")
            assert take(client, 1) == b"x"


@pytest.mark.parametrize("reset", [False, True])
def test_a_cut_is_no_clean_end(reset: bool) -> None:
    with NetLab() as lab:
        server = lab.tcp_server(tls=True)
        proxy = lab.tcp_proxy(server, tls=True)
        with secure(lab, proxy) as client:
            conn = server.accept()
            proxy.cut(reset=reset)
            assert read_all(client) == (b"", "RST" if reset else "FIN")
            if reset:
                with pytest.raises(ConnectionResetError):
                    conn.recv()
            else:
                conn.expect_eof()


def test_a_proxy_that_stops_and_starts() -> None:
    with NetLab() as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(tls=True), tls=True)
        with secure(lab, proxy) as client:
            proxy.stop()
            assert read_all(client)[0] == b""
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(proxy.address)
        proxy.start()
        with secure(lab, proxy) as client:
            client.sendall(b"x")
            assert take(client, 1) == b"x"


def test_memory_is_bounded_when_nobody_reads() -> None:
    with NetLab() as lab:
        proxy = in_front_of(lab, pours(pattern(16 * MIB)), tls=True, queue_bytes=MIB)
        with secure(lab, proxy) as client:
            assert take(client, 1)
            assert proxy.traffic.to_client.sent_bytes < 10 * MIB
            lab.wait_for(lambda: proxy.traffic.to_client.sent_bytes >= MIB)
            assert proxy.traffic.to_client.sent_bytes < 10 * MIB


def test_who_begins_to_look_later_is_told_which_legs_are_under_tls() -> None:
    with NetLab() as lab:
        for tls, legs in ((True, ["client", "server"]), (None, ["server"])):
            proxy = lab.tcp_proxy(lab.tcp_echo(b"hello", tls=True), tls=tls, upstream_tls=True)
            with secure(lab, proxy) if tls else connect(proxy) as client:
                assert take(client, 5) == b"hello"
                told = proxy.open_entries()
                assert [entry.leg for entry in told if isinstance(entry, LegOpened)] == ["client", "server"]
                assert [entry.leg for entry in told if isinstance(entry, TlsStarted)] == legs


def test_the_same_seed_gives_the_same_plain_text() -> None:
    def through() -> tuple[bytes, bytes]:
        with NetLab(seed=7) as lab:
            proxy = lab.tcp_proxy(
                lab.tcp_echo(tls=True), tls=True, to_server=Corrupt(rate=0.05), to_client=Corrupt(rate=0.05)
            )
            with secure(lab, proxy) as client:
                client.sendall(pattern(2000))
                return take(client, 2000), proxy.traffic.to_server.delivered

    assert through() == through()


def test_a_delay_is_at_least_as_long_as_it_says() -> None:
    with NetLab() as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), tls=True, to_client=Delay(0.1))
        with secure(lab, proxy) as client:
            client.sendall(b"x")
            assert take(client, 1) == b"x"
        sent, delivered = proxy.traffic.to_client.events[0], proxy.traffic.to_client.events[1]
        assert delivered.at - sent.at >= 0.1


# Without tls= a proxy passes it on.


def test_a_proxy_that_passes_tls_on_finds_no_pattern_and_cuts_at_a_byte() -> None:
    with NetLab(must_fire=False) as lab:
        never = Reset().when(b"secret", direction="to_server")
        proxy = lab.tcp_proxy(lab.tcp_echo(tls=True), to_client=never)
        with secure(lab, proxy) as client:
            client.sendall(b"secret")
            assert take(client, 6) == b"secret"
        assert not proxy.fired(never)
        assert proxy.connections[0].tls is None
        proxy.set_faults(to_client=Truncate(after=50))
        with pytest.raises(ssl.SSLEOFError), secure(lab, proxy):
            pass
        assert len(proxy.connections[-1].to_client.delivered) == 50
