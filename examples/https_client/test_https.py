"""requests over TLS: a proxy that ends the client's TLS, so that its faults count bytes of HTTP and find words of it.

`netlab.ca` is an authority of this process; a client trusts it with `verify=netlab.ca.pem_path`. Needs the extra:
`pip install "pytest-netfixtures[tls]"`.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import requests

from pytest_netfixtures import NetLab, Reset, TcpProxy, Tls, Truncate, assert_closed, assert_connections

END_OF_HEADER = b"\r\n\r\n"


@pytest.fixture
def proxy(netlab: NetLab) -> TcpProxy:
    """In front of an HTTPS server; TLS on both sides of it, plain text in it."""
    return netlab.tcp_proxy(netlab.http_echo(tls=True, name="shop"), tls=True, name="proxy")


@pytest.fixture
def session(netlab: NetLab) -> requests.Session:
    """A client that trusts the servers of this test, and no setting of this machine."""
    session = requests.Session()
    session.trust_env = False
    session.verify = netlab.ca.pem_path
    return session


def test_what_was_asked_is_seen_as_it_was_before_tls(proxy: TcpProxy, session: requests.Session) -> None:
    assert session.get(f"{proxy.url}/orders", timeout=30).json()["path"] == "/orders"
    asked = proxy.traffic.connection(1)
    assert asked.to_server.sent.startswith(b"GET /orders HTTP/1.1\r\n")
    assert asked.tls is not None and asked.tls.version == "TLSv1.3"


def test_a_body_cut_after_ten_bytes_is_an_error(proxy: TcpProxy, session: requests.Session) -> None:
    cut = Truncate(after=10).when(END_OF_HEADER)
    with (
        proxy.fault(to_client=cut),
        pytest.raises(requests.exceptions.ChunkedEncodingError, match="10 bytes"),
    ):
        session.get(f"{proxy.url}/orders", timeout=30)


def test_an_order_whose_answer_is_lost_is_not_sent_twice(proxy: TcpProxy, session: requests.Session) -> None:
    lost = Reset().when(b"POST /orders", direction="to_server")
    with proxy.fault(to_client=lost), pytest.raises(requests.exceptions.ConnectionError):
        session.post(f"{proxy.url}/orders", json={"item": 7}, timeout=30)
    assert_connections(proxy, 1)


@pytest.mark.parametrize(
    "tls, complaint",
    [
        (Tls(expired=True), "certificate has expired"),
        (Tls(trusted=False), "unable to get"),
        (Tls(names=("shop.example",)), "127.0.0.1"),
    ],
    ids=["expired", "untrusted", "wrong name"],
)
def test_a_wrong_certificate_is_refused(
    netlab: NetLab, session: requests.Session, tls: Tls, complaint: str
) -> None:
    server = netlab.http_echo(tls=tls)
    with pytest.raises(requests.exceptions.SSLError, match=complaint):
        session.get(server.url, timeout=30)


def test_a_line_cut_within_the_handshake_is_an_error(netlab: NetLab, session: requests.Session) -> None:
    cut = {"to_client": Truncate(after=50)}
    proxy = netlab.tcp_proxy(netlab.http_echo(tls=True), tls=True, beneath_tls=cut)
    with pytest.raises(requests.exceptions.ConnectionError):
        session.get(proxy.url, timeout=30)


def test_a_program_of_its_own_trusts_our_servers(netlab: NetLab, proxy: TcpProxy) -> None:
    code = "import sys, requests; print(requests.get(sys.argv[1], timeout=30).status_code)"
    environment = os.environ | {"REQUESTS_CA_BUNDLE": netlab.ca.pem_path, "NO_PROXY": "*"}
    done = subprocess.run(
        [sys.executable, "-c", code, f"{proxy.url}/orders"], env=environment, capture_output=True, text=True
    )
    assert done.stdout == "200\n", done.stderr
    assert_closed(proxy, by="client")
