"""The UDP proxy: sessions and what becomes of them, by itself and when it is told so.

No test waits for silence: what must not come is waited out by a datagram that comes after it. Faults are in
`test_udp_proxy_faults.py`, refusals in `test_udp_proxy_refusals.py`, time and room in
`test_udp_proxy_waiting.py`.
"""

from __future__ import annotations

import _socket
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from engine.proxy_tools import entries
from engine.server_tools import HOSTS, quiet_port, udp_client
from engine.udp_tools import ask, delivered, notes, numbers, sent, speak, take

from pytest_netfixtures import (
    Delay,
    Drop,
    Later,
    NetLab,
    Reset,
    Slice,
    Stall,
    UdpProxy,
    assert_connections,
    assert_delivered,
    assert_sent,
    assert_silent,
)
from pytest_netfixtures._wire.entries import Delivered, LegOpened, Sent

LOOK_UP = _socket.getaddrinfo


@pytest.fixture
def lab() -> Iterator[NetLab]:
    with NetLab(must_fire=False) as lab:
        yield lab


@pytest.mark.parametrize("inside", HOSTS)
@pytest.mark.parametrize("outside", HOSTS)
def test_datagrams_go_there_and_back_between_both_families(lab: NetLab, outside: str, inside: str) -> None:
    server = lab.udp_responder(host=inside)
    proxy = lab.udp_proxy(server, host=outside)
    with udp_client(proxy) as client:
        for data in (b"ping", b"", bytes(60_000)):
            assert ask(client, data) == data
        (connection,) = proxy.connections
        assert connection.peer == client.getsockname()[:2]
    (behind,) = server.connections
    assert (connection.transport, connection.number, connection.address) == ("udp", 1, proxy.address)
    assert (connection.upstream, connection.upstream_peer) == (server.address, behind.peer)
    for flow in (connection.to_server, connection.to_client):
        assert list(flow.sent) == list(flow.delivered) == [b"ping", b"", bytes(60_000)]


def test_one_that_is_too_long_for_the_other_family_is_lost_with_a_note(lab: NetLab) -> None:
    proxy = lab.udp_proxy(lab.udp_responder(), host="::1")
    with udp_client(proxy) as client:
        speak(client, [bytes(65_520), b"short"])
        assert client.recv(10) == b"short"
    assert "a datagram of 65520 bytes to_server is lost: Message too long" in notes(proxy)


def test_its_addresses_are_those_of_udp(lab: NetLab) -> None:
    proxy = lab.udp_proxy(("127.0.0.1", 53), host="::1", name="dns")
    assert proxy.url == f"udp://[::1]:{proxy.port}"
    assert repr(proxy) == f"<dns on {proxy.url}>"
    assert isinstance(proxy, UdpProxy)
    assert proxy in lab.endpoints


def test_each_client_address_is_a_session_with_a_socket_of_its_own(lab: NetLab) -> None:
    server = lab.udp_responder()
    proxy = lab.udp_proxy(server)
    with udp_client(proxy) as first, udp_client(proxy) as second:
        for client, data in ((first, b"a"), (second, b"b"), (first, b"c")):
            assert ask(client, data) == data
    assert [sent(proxy, number) for number in numbers(proxy)] == [[b"a", b"c"], [b"b"]]
    assert len({connection.upstream_peer for connection in proxy.connections}) == 2
    assert_connections(proxy, 2)


def test_the_journal_tells_of_both_legs_and_counts_datagrams(lab: NetLab) -> None:
    proxy = lab.udp_proxy(lab.udp_responder())
    with udp_client(proxy) as client:
        for data in (b"one", b"two"):
            ask(client, data)
    legs = [(entry.leg, entry.transport) for entry in entries(lab, LegOpened) if entry.endpoint == proxy.name]
    assert legs == [("client", "udp"), ("server", "udp")]
    for every in (entries(lab, Sent), entries(lab, Delivered)):
        mine = [entry for entry in every if entry.connection == proxy.connections[0].id]
        assert [entry.offset for entry in mine if entry.direction == "to_server"] == [0, 1]


def test_what_assertions_ask_of_a_proxy_they_ask_of_this_one(lab: NetLab) -> None:
    proxy = lab.udp_proxy(lab.udp_responder())
    with udp_client(proxy) as client:
        ask(client, b"hello")
        assert_sent(proxy, to_server=b"hello")
        assert_delivered(proxy, to_client=b"hello")
        assert_silent(proxy, during=0.05)


# What the proxy can be told.


def test_another_upstream_is_for_new_sessions_alone(lab: NetLab) -> None:
    proxy = lab.udp_proxy(lab.udp_responder({b"who?": b"old"}))
    with udp_client(proxy) as first, udp_client(proxy) as second:
        assert ask(first, b"who?") == b"old"
        proxy.upstream = lab.udp_responder({b"who?": b"new"}, host="::1").address
        assert ask(second, b"who?") == b"new"
        assert ask(first, b"who?") == b"old"


@pytest.mark.parametrize("host", HOSTS)
def test_a_stopped_proxy_is_refused_and_comes_back_on_its_port(lab: NetLab, host: str) -> None:
    proxy = lab.udp_proxy(lab.udp_responder(), host=host)
    address = proxy.address
    with udp_client(proxy) as client:
        ask(client, b"1")
        proxy.stop()
        proxy.stop()
        client.send(b"2")
        with pytest.raises(ConnectionRefusedError):
            client.recv(10)
        proxy.start()
        proxy.start()
        assert ask(client, b"3") == b"3"
    assert proxy.address == address
    assert (sent(proxy, 1), sent(proxy, 2)) == ([b"1"], [b"3"])


def test_as_a_context_manager_it_stops(lab: NetLab) -> None:
    with lab.udp_proxy(lab.udp_responder()) as proxy, udp_client(proxy) as client:
        ask(client, b"1")
    with udp_client(proxy) as client:
        client.send(b"2")
        with pytest.raises(ConnectionRefusedError):
            client.recv(10)


def test_while_it_refuses_answers_still_go_and_sessions_stay(lab: NetLab) -> None:
    proxy = lab.udp_proxy(lab.udp_responder({b"?": Later(0.1, b"!"), b"now": b"here"}))
    with udp_client(proxy) as client, udp_client(proxy) as other:
        client.send(b"?")
        with proxy.refuse():
            other.send(b"now")
            with pytest.raises(ConnectionRefusedError):
                other.recv(10)
            assert client.recv(10) == b"!"
        assert ask(client, b"now") == b"here"
    assert numbers(proxy) == [1]


def test_what_came_before_it_refuses_is_not_refused(lab: NetLab) -> None:
    proxy = lab.udp_proxy(lab.udp_responder())
    with udp_client(proxy) as client:
        lab.engine.call(lambda: (client.send(b"in time"), proxy.refuse()))
        assert client.recv(10) == b"in time"


def test_a_cut_ends_every_session_and_what_waits_is_not_delivered(lab: NetLab) -> None:
    server = lab.udp_responder()
    proxy = lab.udp_proxy(server, to_server=Stall().on_connections(1))
    with udp_client(proxy) as client:
        client.send(b"lost")
        lab.wait_for(lambda: sent(proxy) == [b"lost"])
        proxy.cut()
        assert "datagrams with 4 bytes to_server were never delivered" in notes(proxy)
        assert ask(client, b"new") == b"new"
    assert numbers(proxy) == [1, 2]
    assert list(server.traffic.to_server.sent) == [b"new"]


def test_paused_it_holds_everything_and_loses_nothing(lab: NetLab) -> None:
    proxy = lab.udp_proxy(lab.udp_responder(), idle_seconds=0.01)
    row = [b"%d" % number for number in range(20)]
    with udp_client(proxy) as client, udp_client(proxy) as late:
        with proxy.pause():
            speak(client, row)
            late.send(b"late")
            lab.wait_for(lambda: sent(proxy) == row and sent(proxy, 2) == [b"late"])
            assert delivered(proxy) == delivered(proxy, 2) == []
        assert take(client, 20) == row
        assert late.recv(10) == b"late"


def test_forgetting_starts_afresh_and_open_sessions_stay(lab: NetLab) -> None:
    proxy = lab.udp_proxy(lab.udp_responder())
    with udp_client(proxy) as first, udp_client(proxy) as second, udp_client(proxy) as third:
        ask(first, b"old")
        ask(second, b"old")
        proxy.forget()
        assert [(c.number, c.opened_before) for c in proxy.connections] == [(-1, True), (0, True)]
        for client in (second, third):
            assert ask(client, b"new") == b"new"
    assert [sent(proxy, number) for number in (-1, 0, 1)] == [[], [b"new"], [b"new"]]


def test_forgetting_lifts_what_tests_have_armed(lab: NetLab) -> None:
    proxy = lab.udp_proxy(lab.udp_responder())
    lab.forget()
    proxy.set_faults(to_server=Drop())
    with udp_client(proxy) as client:
        client.send(b"dropped")
        lab.wait_for(lambda: proxy.fired(Drop()) == 1)
        lab.forget()
        assert ask(client, b"through") == b"through"


def test_a_new_reader_hears_of_the_sessions_so_far(lab: NetLab) -> None:
    proxy = lab.udp_proxy(lab.udp_responder(), name="dns")
    with udp_client(proxy) as client:
        ask(client, b"x")
    heard: list[Any] = []
    lab.add_sink(lambda entry, data: heard.append(entry))
    assert [(e.leg, e.before) for e in heard if e.endpoint == "dns"] == [("client", True), ("server", True)]


def test_the_port_is_ours_and_tcp_may_have_the_same_number(lab: NetLab) -> None:
    proxy = lab.udp_proxy(("127.0.0.1", 53), port=quiet_port())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other, pytest.raises(OSError, match="in use"):
        other.bind(proxy.address)
    assert lab.tcp_echo(port=proxy.port).address == proxy.address


def test_a_proxy_stands_in_front_of_a_proxy(lab: NetLab) -> None:
    inner = lab.udp_proxy(lab.udp_responder())
    outer = lab.udp_proxy(inner, to_client=Delay(0.05))
    with udp_client(outer) as client:
        assert ask(client, b"deep") == b"deep"
    assert outer.fired(Delay(0.05)) == 1


# What is no UDP proxy.


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"on_unreachable": "reset"}, "on_unreachable is 'reset'; expected one of 'refuse', 'hang'"),
        ({"idle_seconds": 0}, "idle_seconds is 0; expected a finite number of seconds, more than 0"),
        ({"idle_seconds": "1"}, "idle_seconds is '1'; expected a number of seconds"),
        ({"queue_bytes": 0}, "queue_bytes is 0; expected 1 or more bytes"),
        ({"to_server": 5}, "to_server is 5; expected a fault"),
        ({"to_client": Slice(3)}, "to_client has Slice.*MaxSize"),
        ({"to_client": Reset()}, "to_client has Reset.*Drop"),
        ({"host": "localhost"}, "host is 'localhost'"),
    ],
)
def test_a_wrong_argument_is_an_error_where_it_is_given(
    lab: NetLab, wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        lab.udp_proxy(("127.0.0.1", 53), **wrong)
    assert lab.endpoints == ()


def test_an_upstream_has_to_speak_udp(lab: NetLab) -> None:
    with pytest.raises(ValueError, match=r"speaks TCP; expected one that speaks UDP: put netlab.tcp_proxy"):
        lab.udp_proxy(lab.tcp_echo())
    proxy = lab.udp_proxy(("127.0.0.1", 53))
    with pytest.raises(ValueError, match="the proxy itself"):
        proxy.upstream = proxy
    with pytest.raises(ValueError, match=r"speaks UDP; expected one that speaks TCP: put netlab.udp_proxy"):
        lab.tcp_proxy(proxy)
