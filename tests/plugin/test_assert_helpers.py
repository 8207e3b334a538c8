"""The assert helpers over a plain NetLab: what holds, what does not, and what a failure says."""

from __future__ import annotations

import asyncio
import pickle
import re
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trio

from pytest_netfixtures import (
    CaptureIncomplete,
    NetLab,
    NetlabError,
    Reset,
    ServerConnection,
    TcpEcho,
    Truncate,
    WaitTimeout,
    assert_closed,
    assert_closed_async,
    assert_connections,
    assert_connections_async,
    assert_delivered,
    assert_delivered_async,
    assert_fired,
    assert_fired_async,
    assert_sent,
    assert_sent_async,
    assert_silent,
    assert_silent_async,
)


@pytest.fixture
def lab() -> Iterator[NetLab]:
    with NetLab() as lab:
        yield lab


@pytest.fixture
def echo(lab: NetLab) -> TcpEcho:
    return lab.tcp_echo(name="echo")


def ask(address: Any, data: bytes) -> bytes:
    with socket.create_connection(address, 10) as client:
        client.sendall(data)
        return client.recv(100)


def later(function: Callable[[], object]) -> threading.Timer:
    timer = threading.Timer(0.05, function)
    timer.start()
    return timer


def test_what_was_sent_and_delivered_is_found(echo: TcpEcho) -> None:
    ask(echo.address, b"hello world")
    assert_sent(echo, to_server=b"lo wo")
    assert_delivered(echo, to_server=b"hello", to_client=b"world")
    assert_sent(echo, to_server=re.compile(rb"^hello\b"))


def test_it_waits_until_it_is_true(lab: NetLab, echo: TcpEcho) -> None:
    timer = later(lambda: ask(echo.address, b"late"))
    assert_sent(echo, to_server=b"late")
    assert_connections(echo, 1)
    timer.join()


def test_what_a_fault_keeps_was_sent_and_not_delivered(lab: NetLab, echo: TcpEcho) -> None:
    proxy = lab.tcp_proxy(echo, to_client=Truncate(after=2))
    assert ask(proxy.address, b"hello") == b"he"
    assert_sent(proxy, to_client=b"hello")
    with pytest.raises(WaitTimeout, match="was not delivered"):
        assert_delivered(proxy, to_client=b"hello", within=0.05)


@pytest.mark.parametrize("where", ["server", "lab", "handler"])
def test_every_place_can_be_asked(lab: NetLab, where: str) -> None:
    met: list[ServerConnection] = []

    def handler(conn: ServerConnection) -> None:
        met.append(conn)
        conn.expect(b"hello")

    server = lab.tcp_server(handler)
    ask(server.address, b"hello")
    assert_sent({"server": server, "lab": lab, "handler": met[0]}[where], to_server=b"hello")


def test_a_connection_of_the_traffic_can_be_asked(echo: TcpEcho) -> None:
    ask(echo.address, b"one")
    ask(echo.address, b"two")
    assert_connections(echo, 2)
    assert_sent(echo.traffic.connection(2), to_server=b"two")
    with pytest.raises(WaitTimeout):
        assert_sent(echo.traffic.connection(2), to_server=b"one", within=0.01)


def test_both_directions_must_be_of_one_connection(echo: TcpEcho) -> None:
    ask(echo.address, b"one")
    ask(echo.address, b"two")
    assert_sent(echo, to_server=b"one", to_client=b"one")
    with pytest.raises(WaitTimeout):
        assert_sent(echo, to_server=b"one", to_client=b"two", within=0.01)


def test_a_failure_shows_the_nearest_miss_and_what_came(echo: TcpEcho) -> None:
    ask(echo.address, b"GET /index HTTP/1.1")
    with pytest.raises(WaitTimeout) as caught:
        assert_sent(echo, to_server=b"GET /index HTTP/2", within=0.01)
    text = str(caught.value)
    assert "after 0.01 s" in text and "was not sent" in text and "Expected" in text and "within=" in text
    assert "nearest miss: the first 16 of 17 bytes, at byte 0 of connection 1 of echo" in text
    assert "|GET /index HTTP/|" in text and '"GET /index HTTP/1.1"' in text
    assert str(echo.traffic) in text


def test_a_failure_says_which_side_is_which(echo: TcpEcho) -> None:
    ask(echo.address, b"PONG")
    with pytest.raises(WaitTimeout) as caught:
        assert_sent(echo, to_server=b"PING", within=0.01)
    text = str(caught.value)
    assert "left is what came, right what was expected" in text
    assert re.search(r"left .*\|PONG\|", text) and re.search(r"right .*\|PING\|", text)


@pytest.mark.parametrize(
    "expected", [b"POST /", b"Authorization: Basic other", b"Authorization: Basic c2VjX"]
)
def test_a_failure_shows_no_secret_that_came(echo: TcpEcho, expected: bytes) -> None:
    ask(echo.address, b"GET / HTTP/1.1\r\nAuthorization: Basic c2VjcmV0\r\n\r\n")
    with pytest.raises(WaitTimeout) as caught:
        assert_sent(echo, to_server=expected, within=0.01)
    text = str(caught.value)
    assert "cmV0" not in text and b"cmV0".hex(" ") not in text
    assert "Authorization: Basic ********" in text


def test_a_failure_survives_the_way_between_processes(echo: TcpEcho) -> None:
    with pytest.raises(WaitTimeout) as caught:
        assert_sent(echo, to_server=b"x", within=0.01)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_regex_that_is_not_found(echo: TcpEcho) -> None:
    ask(echo.address, b"hello")
    with pytest.raises(WaitTimeout, match=r"the regex b'\\\\d' to_server was not sent"):
        assert_sent(echo, to_server=re.compile(rb"\d"), within=0.01)


def test_each_datagram_is_searched_by_itself(lab: NetLab) -> None:
    server = lab.udp_responder()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        for data in (b"ab", b"cd"):
            client.sendto(data, server.address)
            assert client.recv(10) == data
    assert_sent(server, to_server=b"ab")
    assert_delivered(server, to_client=b"cd")
    with pytest.raises(WaitTimeout):
        assert_sent(server, to_server=b"bc", within=0.01)


def test_a_cut_record_decides_nothing() -> None:
    with NetLab(record_bytes=4) as lab:
        server = lab.tcp_echo()
        ask(server.address, b"abcdefgh")
        assert_sent(server, to_server=b"abcd")
        with pytest.raises(CaptureIncomplete, match="absence cannot be told"):
            assert_sent(server, to_server=b"gh", within=0.01)
        with pytest.raises(CaptureIncomplete):
            assert_sent(server, to_server=re.compile(rb"gh"), within=0.01)


def test_the_number_of_connections(echo: TcpEcho) -> None:
    assert_connections(echo, 0)
    ask(echo.address, b"a")
    ask(echo.address, b"b")
    assert_connections(echo, 2)
    with pytest.raises(WaitTimeout, match=r"cannot become true any more.*has had 2 connections. Expected 1"):
        assert_connections(echo, 1)
    with pytest.raises(WaitTimeout, match=r"after 0.01 s.*Expected 3"):
        assert_connections(echo, 3, within=0.01)


def test_who_closed_and_how(lab: NetLab, echo: TcpEcho) -> None:
    ask(echo.address, b"a")
    assert_closed(echo, by="client")
    assert_closed(echo, by="client", how="FIN")
    with pytest.raises(WaitTimeout, match="not end every connection"):
        assert_closed(echo, by="client", how="RST", within=0.01)


def test_an_open_connection_is_not_closed(echo: TcpEcho) -> None:
    with pytest.raises(WaitTimeout, match="no connections"):
        assert_closed(echo, by="client", within=0.01)
    with socket.create_connection(echo.address, 10), pytest.raises(WaitTimeout, match="1: not ended"):
        assert_connections(echo, 1)
        assert_closed(echo, by="client", within=0.01)


def test_what_fired(lab: NetLab, echo: TcpEcho) -> None:
    reset = Reset(after=1)
    proxy = lab.tcp_proxy(echo, to_client=reset)
    with pytest.raises(WaitTimeout, match=r"has fired 0 times.*Expected at least once"):
        assert_fired(proxy, reset, within=0.01)
    for _ in range(2):
        ask(proxy.address, b"abc")
    assert_fired(proxy, reset)
    assert_fired(proxy, reset, times=2)
    with pytest.raises(WaitTimeout, match="cannot become true any more"):
        assert_fired(proxy, reset, times=1)
    with pytest.raises(ValueError, match=r"fault is Truncate\(after=1\); expected one that was armed"):
        assert_fired(proxy, Truncate(after=1))


def test_silence(echo: TcpEcho) -> None:
    assert_silent(echo, during=0.02)
    ask(echo.address, b"before")
    assert_closed(echo, by="client")
    assert_silent(echo, during=0.02)


def test_a_byte_breaks_the_silence(echo: TcpEcho) -> None:
    timer = later(lambda: ask(echo.address, b"noise"))
    with pytest.raises(AssertionError, match="was not silent"):
        assert_silent(echo, during=60)
    timer.join()


WRONG: list[tuple[str, Callable[[TcpEcho], object], type[Exception], str]] = [
    ("nothing to look for", lambda s: assert_sent(s), ValueError, "neither to_server nor to_client"),
    ("text", lambda s: assert_sent(s, to_server="a"), TypeError, "to_server is 'a'; expected bytes"),  # type: ignore[arg-type]
    ("a regex of text", lambda s: assert_sent(s, to_client=re.compile("a")), TypeError, "to_client is re"),  # type: ignore[arg-type]
    ("no bytes", lambda s: assert_sent(s, to_server=b""), ValueError, "to_server is empty"),
    (
        "an address",
        lambda s: assert_sent(s.address, to_server=b"a"),
        TypeError,
        "where is .*expected a server",
    ),
    ("a direction", lambda s: assert_sent(s, to_sever=b"a"), TypeError, "to_sever"),  # type: ignore[call-arg]
    ("half a connection", lambda s: assert_connections(s, 1.5), ValueError, "n is 1.5"),  # type: ignore[arg-type]
    ("a third side", lambda s: assert_closed(s, by="us"), ValueError, "by is 'us'; expected one of 'client'"),  # type: ignore[arg-type]
    ("a third way", lambda s: assert_closed(s, by="client", how="ACK"), ValueError, "how is 'ACK'"),  # type: ignore[arg-type]
    ("a server's faults", lambda s: assert_fired(s, Reset()), TypeError, "expected a proxy"),
    ("never", lambda s: assert_sent(s, to_server=b"a", within=-1), ValueError, "within is -1"),
    ("text for seconds", lambda s: assert_sent(s, to_server=b"a", within="1"), TypeError, "within is '1'"),  # type: ignore[arg-type]
    ("no silence", lambda s: assert_silent(s, during=0), ValueError, "during is 0"),
]


@pytest.mark.parametrize(
    ("call", "error", "message"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG]
)
def test_a_wrong_argument_is_named(
    echo: TcpEcho, call: Callable[[TcpEcho], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        call(echo)


def test_zero_times_is_no_number_of_times(lab: NetLab, echo: TcpEcho) -> None:
    proxy = lab.tcp_proxy(echo, to_client=Reset().optional())
    with pytest.raises(ValueError, match="times is 0"):
        assert_fired(proxy, Reset().optional(), times=0)


async def all_twins(lab: NetLab, echo: TcpEcho) -> None:
    """Every twin: they run on any loop, and the loop goes on meanwhile."""
    truncate = Truncate(after=2)
    proxy = lab.tcp_proxy(echo, to_client=truncate)
    timer = later(lambda: ask(proxy.address, b"hello"))
    await assert_sent_async(proxy, to_server=b"hello")
    await assert_delivered_async(proxy, to_client=b"he")
    await assert_connections_async(proxy, 1)
    await assert_fired_async(proxy, truncate, times=1)
    await assert_closed_async(proxy, by="client")
    await assert_silent_async(echo, during=0.02)
    with pytest.raises(WaitTimeout):
        await assert_sent_async(proxy, to_server=b"other", within=0.01)
    timer.join()


async def all_sync(echo: TcpEcho) -> None:
    """What is true at once may be said in a loop; what would have to wait may not."""
    ask(echo.address, b"hello")
    assert_sent(echo, to_server=b"hello")
    with pytest.raises(NetlabError, match="await assert_sent_async"):
        assert_sent(echo, to_server=b"other")
    with pytest.raises(NetlabError, match="await assert_silent_async"):
        assert_silent(echo)


def test_the_twins_under_asyncio(lab: NetLab, echo: TcpEcho) -> None:
    asyncio.run(all_twins(lab, echo))


def test_the_twins_under_trio(lab: NetLab, echo: TcpEcho) -> None:
    trio.run(all_twins, lab, echo)


def test_the_sync_forms_under_asyncio(echo: TcpEcho) -> None:
    asyncio.run(all_sync(echo))


def test_the_sync_forms_under_trio(echo: TcpEcho) -> None:
    trio.run(all_sync, echo)


def test_the_loop_goes_on_while_a_twin_waits(echo: TcpEcho) -> None:
    async def both() -> None:
        _, writer = await asyncio.open_connection(*echo.address)
        waiting = asyncio.create_task(assert_sent_async(echo, to_server=b"from the same loop"))
        await asyncio.wait([waiting], timeout=0.05)
        writer.write(b"from the same loop")
        await waiting
        writer.close()
        await writer.wait_closed()

    asyncio.run(both())


def test_a_connection_of_a_snapshot_is_waited_for(lab: NetLab) -> None:
    server = lab.tcp_echo()
    with socket.create_connection(server.address) as client:
        lab.wait_for(lambda: server.traffic.connections)
        connection = server.traffic.connection(1)
        later = threading.Timer(0.05, client.sendall, [b"late"])
        later.start()
        assert_sent(connection, to_server=b"late")
        later.join()
    assert connection.to_server.sent == b""
