"""requests meets a bad network: our small HTTP server, and a proxy between the two.

A row of faults counts from where `when` found its pattern: an empty line ends the header of a reply, so that
`Truncate(after=10).when(b"\\r\\n\\r\\n")` cuts its body after ten bytes, however long the header is.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from pytest_netfixtures import (
    NetLab,
    Reset,
    Stall,
    TcpProxy,
    Truncate,
    assert_connections,
    assert_fired,
    assert_sent,
)

END_OF_HEADER = b"\r\n\r\n"


@pytest.fixture
def proxy(netlab: NetLab, fault_proxy: Callable[..., TcpProxy]) -> TcpProxy:
    """A proxy in front of a server that answers every request with a description of it."""
    return fault_proxy(netlab.http_echo())


def url(proxy: TcpProxy) -> str:
    return f"http://{proxy.netloc}/report?year=2024"


def test_a_body_cut_after_ten_bytes_is_an_error(proxy: TcpProxy) -> None:
    proxy.set_faults(to_client=Truncate(after=10).when(END_OF_HEADER))
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="10 bytes read"):
        requests.get(url(proxy), timeout=5)
    header, _, body = proxy.traffic.to_client.delivered.partition(END_OF_HEADER)
    assert header.startswith(b"HTTP/1.1 200 OK")
    assert len(body) == 10


def test_a_server_that_says_nothing_is_a_read_timeout(proxy: TcpProxy) -> None:
    proxy.set_faults(to_client=Stall())
    with pytest.raises(requests.exceptions.ReadTimeout):
        requests.get(url(proxy), timeout=0.2)
    assert_sent(proxy, to_server=b"GET /report?year=2024 HTTP/1.1\r\n")
    assert_fired(proxy, Stall())


def test_a_body_that_stops_coming_is_a_timeout_too(proxy: TcpProxy) -> None:
    stall = Stall(after=10).when(END_OF_HEADER)
    proxy.set_faults(to_client=stall)
    # In the body it is a ConnectionError; on a machine so slow that the header takes 0.2 s, a ReadTimeout.
    with pytest.raises(
        (requests.exceptions.ConnectionError, requests.exceptions.ReadTimeout), match="timed out"
    ):
        requests.get(url(proxy), timeout=0.2)
    assert_fired(proxy, stall)


def test_a_refused_connection_is_an_error_at_once(netlab: NetLab) -> None:
    host, port = netlab.refused_address()
    with pytest.raises(requests.exceptions.ConnectionError, match="refused"):
        requests.get(f"http://{host}:{port}/", timeout=5)


def test_a_request_whose_answer_is_lost_is_sent_again(proxy: TcpProxy) -> None:
    proxy.set_faults(to_client=Reset(at=0).on_connections(1, 2))
    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(max_retries=Retry(2, backoff_factor=0)))
        answer = session.get(url(proxy), timeout=5).json()
    assert answer["query"] == {"year": ["2024"]}
    assert_connections(proxy, 3)
