"""A retry policy, attempt by attempt: each attempt is a connection, and `on_connections` says which of them fail, and how.

The pauses of the policy are handed to the test instead of being waited for, so that it sees them and takes no time.
"""

from __future__ import annotations

import time
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
    TcpServer,
    Truncate,
    assert_connections,
    assert_fired,
)

END_OF_HEADER = b"\r\n\r\n"
MAY_BE_REPEATED = {"GET", "HEAD", "PUT", "DELETE"}


# The program.


def fetch(
    method: str,
    url: str,
    *,
    attempts: int = 3,
    timeout: float = 5.0,
    pause: Callable[[float], None] = time.sleep,
) -> str:
    """The body of the answer. What may be repeated is tried again after 0.1 s, 0.2 s, 0.4 s and so on."""
    for attempt in range(1, attempts + 1):
        try:
            return whole(requests.request(method, url, timeout=timeout)).text
        except requests.RequestException:
            if attempt == attempts or method not in MAY_BE_REPEATED:
                raise
        pause(0.1 * 2 ** (attempt - 1))
    raise ValueError(f"attempts is {attempts}; expected 1 or more")


def whole(answer: requests.Response) -> requests.Response:
    """http.client takes a header that is cut for a shorter one; without a length it would take no body for the body."""
    if "Content-Length" not in answer.headers:
        raise requests.ConnectionError("the header of the answer is cut")
    return answer


# Its tests.


@pytest.fixture
def server(netlab: NetLab) -> TcpServer:
    """A server that answers every request with a description of it."""
    return netlab.http_echo()


@pytest.fixture
def proxy(server: TcpServer, fault_proxy: Callable[..., TcpProxy]) -> TcpProxy:
    return fault_proxy(server)


@pytest.fixture
def pauses() -> list[float]:
    """The pauses that the policy wanted."""
    return []


def test_two_attempts_fail_in_different_ways_and_the_third_succeeds(
    proxy: TcpProxy, pauses: list[float]
) -> None:
    answer_lost = Reset(at=0).on_connections(1)
    answer_cut = Truncate(after=10).when(END_OF_HEADER).on_connections(2)
    proxy.set_faults(to_client=[answer_lost, answer_cut])
    assert '"method": "GET"' in fetch("GET", proxy.url, pause=pauses.append)
    assert_connections(proxy, 3)
    assert_fired(proxy, answer_lost, times=1)
    assert_fired(proxy, answer_cut, times=1)
    assert pauses == [0.1, 0.2]


@pytest.mark.parametrize(
    "fault",
    [
        Reset(),
        Reset(at=0),
        Reset(after=100),
        Reset(after=200),
        Truncate(),
        Truncate(after=100),
        Truncate(after=200),
    ],
    ids=repr,
)
def test_wherever_the_first_attempt_ends_the_second_succeeds(
    fault: Reset | Truncate, proxy: TcpProxy, pauses: list[float]
) -> None:
    proxy.set_faults(to_client=fault.on_connections(1))
    assert '"method": "GET"' in fetch("GET", proxy.url, pause=pauses.append)
    assert_connections(proxy, 2)
    assert pauses == [0.1]


def test_silence_is_a_failed_attempt(proxy: TcpProxy, pauses: list[float]) -> None:
    silence = Stall().times(1)
    proxy.set_faults(to_client=silence)
    # A slow machine may need more than one of the others.
    assert '"method": "GET"' in fetch("GET", proxy.url, attempts=20, timeout=0.2, pause=pauses.append)
    assert_fired(proxy, silence, times=1)
    assert pauses


def test_there_are_no_more_attempts_than_allowed(proxy: TcpProxy, pauses: list[float]) -> None:
    proxy.set_faults(to_client=Reset(at=0))
    with pytest.raises(requests.ConnectionError):
        fetch("GET", proxy.url, attempts=4, pause=pauses.append)
    assert_connections(proxy, 4)
    assert len(pauses) == 3


def test_what_must_not_be_done_twice_is_sent_once(
    server: TcpServer, proxy: TcpProxy, pauses: list[float]
) -> None:
    proxy.set_faults(to_client=Reset(at=0))
    with pytest.raises(requests.ConnectionError):
        fetch("POST", proxy.url, pause=pauses.append)
    assert_connections(proxy, 1)
    assert server.traffic.to_server.sent.count(b"POST") == 1
    assert pauses == []


def test_the_retries_of_urllib3_do_not_help_where_a_body_is_cut(proxy: TcpProxy) -> None:
    proxy.set_faults(to_client=Truncate(after=10).when(END_OF_HEADER))
    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(max_retries=Retry(2, backoff_factor=0)))
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            session.get(proxy.url, timeout=5)
    assert_connections(proxy, 1)
