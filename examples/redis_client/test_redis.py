"""redis-py meets a bad network: a real redis-server, and a proxy of ours between the two.

To copy it, take conftest.py along. The client is yours to choose: where these tests make a `redis.Redis`, call what your
program calls. Nothing here sleeps; a client that waits for an answer waits for its own timeout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from pytest_netfixtures import Delay, Reset, TcpProxy, assert_connections, assert_fired

Address = tuple[str, int]


@pytest.fixture
def store(redis_server: Address) -> Iterator[redis.Redis]:
    """Redis without a proxy: to set up, and to look at what is true. Empty at the start of each test."""
    with redis.Redis(host=redis_server[0], port=redis_server[1]) as store:
        store.flushall()
        yield store


def client_of(proxy: TcpProxy, retries: int = 0, timeout: float = 5.0) -> redis.Redis:
    policy = Retry(NoBackoff(), retries)
    return redis.Redis(host=proxy.host, port=proxy.port, socket_timeout=timeout, retry=policy)


def test_a_slow_answer_is_a_timeout_and_the_next_one_works(
    redis_server: Address, store: redis.Redis, fault_proxy: Callable[..., TcpProxy]
) -> None:
    proxy, slow = fault_proxy(redis_server), Delay(30)
    store.set("greeting", "hello")
    with proxy.fault(to_client=slow):
        with client_of(proxy, timeout=0.2) as hasty, pytest.raises(redis.TimeoutError):
            hasty.get("greeting")
        assert_fired(proxy, slow)
    with client_of(proxy) as client:
        assert client.get("greeting") == b"hello"


def test_a_reset_in_the_middle_of_a_reply_is_an_error_and_never_half_a_value(
    redis_server: Address, store: redis.Redis, fault_proxy: Callable[..., TcpProxy]
) -> None:
    proxy = fault_proxy(redis_server, to_client=Reset(after=7).when(b"GET", direction="to_server"))
    store.set("greeting", "hello")
    with client_of(proxy) as client, pytest.raises(redis.ConnectionError):
        client.get("greeting")
    reply = proxy.traffic.connection(1).to_client
    assert reply.sent.endswith(b"$5\r\nhello\r\n")
    assert reply.delivered.endswith(b"$5\r\nhel")


def test_the_first_two_attempts_fail_and_the_third_succeeds(
    redis_server: Address, fault_proxy: Callable[..., TcpProxy]
) -> None:
    first_two = Reset().on_connections(1, 2)
    proxy = fault_proxy(redis_server, to_client=first_two)
    with client_of(proxy, retries=2) as client:
        assert client.ping()
    assert_connections(proxy, 3)
    assert proxy.fired(first_two) == 2


def test_a_retry_counts_twice_when_only_the_answer_was_lost(
    redis_server: Address, store: redis.Redis, fault_proxy: Callable[..., TcpProxy]
) -> None:
    answer_lost = Reset(at=0).when(b"INCR", direction="to_server").times(1)
    proxy = fault_proxy(redis_server, to_client=answer_lost)
    with client_of(proxy, retries=1) as client:
        assert client.incr("visits") == 2, "the first INCR was done, though its answer never came"
    assert store.get("visits") == b"2"
    assert_connections(proxy, 2)


def test_the_server_goes_and_comes_back_on_the_same_port(
    redis_server: Address, fault_proxy: Callable[..., TcpProxy]
) -> None:
    proxy = fault_proxy(redis_server)
    with client_of(proxy) as client:
        assert client.ping()
        proxy.stop()
        with pytest.raises(redis.ConnectionError):
            client.ping()
        proxy.start()
        assert client.ping()


def test_nobody_listens_for_a_while(redis_server: Address, fault_proxy: Callable[..., TcpProxy]) -> None:
    proxy = fault_proxy(redis_server)
    with client_of(proxy) as client:
        with proxy.refuse(), pytest.raises(redis.ConnectionError, match="refused"):
            client.ping()
        assert client.ping()
    assert_connections(proxy, 1)
