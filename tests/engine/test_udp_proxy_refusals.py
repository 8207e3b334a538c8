"""Port unreachable (ICMP) through the UDP proxy: what becomes of it in either direction, and that nothing spins.

The kernel alone can send it, and does when nobody listens; so the proxy's port is closed for a while where the upstream
has refused.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from engine.proxy_tools import entries
from engine.server_tools import HOSTS, udp_client
from engine.udp_tools import (
    ask,
    delivered,
    notes,
    numbers,
    plain_server,
    refused,
    sent,
    stopped,
    wait_for_note,
)

from pytest_netfixtures import (
    Delay,
    NetLab,
    SetupError,
    UdpProxy,
    UdpResponder,
)
from pytest_netfixtures._engine.ports import Port
from pytest_netfixtures._engine.udp_session import UdpSession
from pytest_netfixtures._wire.entries import LegFailed

ON_LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells of it")


@pytest.fixture
def lab() -> Iterator[NetLab]:
    with NetLab(must_fire=False) as lab:
        yield lab


@pytest.fixture(autouse=True)
def long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that refuses does so until something else happens."""
    monkeypatch.setattr(UdpProxy, "REFUSES_FOR", 1000.0)


def was_sent_on(proxy: UdpProxy, number: int, data: bytes) -> bool:
    """Whether this was the last datagram to the server in a session."""
    return delivered(proxy, number)[-1:] == [data]


def refuses(lab: NetLab, proxy: UdpProxy) -> None:
    """Wait until the port is closed, as the upstream was."""
    lab.wait_for(lambda: any("as the upstream did" in notes(proxy, number) for number in numbers(proxy)))


@pytest.mark.parametrize("host", HOSTS)
def test_a_refusal_of_the_upstream_is_written_down_and_passed_on(lab: NetLab, host: str) -> None:
    server = lab.udp_responder(host=host)
    proxy = lab.udp_proxy(server, host=host)
    with udp_client(proxy) as client:
        ask(client, b"1")
        server.stop()
        client.send(b"2")
        refuses(lab, proxy)
        assert refused(client)
    (failed,) = entries(lab, LegFailed)
    assert (failed.leg, failed.refused) == ("server", True)
    assert failed.reason == f"{host} port {server.port}: port unreachable (ICMP)"
    assert "udp_proxy refuses for 1000 s, as the upstream did" in notes(proxy)
    assert delivered(proxy) == [b"1", b"2"]


def test_a_refusal_by_a_server_that_is_not_ours_is_passed_on(lab: NetLab) -> None:
    with plain_server() as server, udp_client(proxy := lab.udp_proxy(server.getsockname())) as client:
        client.send(b"0")
        server.recv(10)
        server.close()
        client.send(b"1")
        refuses(lab, proxy)
        assert refused(client)


def test_after_its_time_the_port_listens_again(lab: NetLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(UdpProxy, "REFUSES_FOR", 0.1)
    server = stopped(lab)
    proxy = lab.udp_proxy(server)
    with udp_client(proxy) as client:
        client.send(b"1")
        wait_for_note(lab, proxy, "refuses for 0.1 s")
        lab.wait_for(lambda: proxy._listener.sock is not None)
        client.send(b"2")
        lab.wait_for(lambda: len(entries(lab, LegFailed)) == 2)
    first, second = entries(lab, LegFailed)
    assert second.at - first.at >= 0.1


def test_without_a_descriptor_the_port_listens_again_later(
    lab: NetLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing, another = [True, True], Port.another

    def none_left(port: Port) -> Any:
        if missing:
            missing.pop()
            raise SetupError("no descriptor is left")
        return another(port)

    proxy = lab.udp_proxy(stopped(lab))
    with udp_client(proxy) as client:
        client.send(b"1")
        refuses(lab, proxy)
        monkeypatch.setattr(Port, "another", none_left)
        proxy.upstream = ("127.0.0.1", 9)
        lab.wait_for(lambda: not missing and proxy._listener.sock is not None)


def test_a_proxy_that_is_closed_waits_for_no_upstream(lab: NetLab) -> None:
    server = stopped(lab)
    with NetLab(must_fire=False) as other:
        proxy = other.udp_proxy(server)
        with udp_client(proxy) as client:
            client.send(b"1")
            refuses(other, proxy)
            assert len(server._listener.then) == 1
    assert not server._listener.then


@pytest.mark.parametrize("how", ["upstream starts", "proxy starts", "another upstream"])
def test_the_port_listens_again_at_once(lab: NetLab, how: str) -> None:
    server = stopped(lab)
    proxy = lab.udp_proxy(server)
    with udp_client(proxy) as client:
        client.send(b"1")
        refuses(lab, proxy)
        _come_back(lab, proxy, server, how)
        assert ask(client, b"2") == b"2"


def _come_back(lab: NetLab, proxy: UdpProxy, server: UdpResponder, how: str) -> None:
    if how == "another upstream":
        proxy.upstream = lab.udp_responder()
        return
    server.start()
    if how == "proxy starts":
        proxy.start()


def test_a_refusal_goes_through_two_proxies_and_ends_for_both(lab: NetLab) -> None:
    server = lab.udp_responder()
    inner = lab.udp_proxy(server, name="inner")
    outer = lab.udp_proxy(inner, name="outer")
    server.stop()
    with udp_client(outer) as client:
        client.send(b"1")
        refuses(lab, inner)
        client.send(b"2")
        refuses(lab, outer)
        server.start()
        assert ask(client, b"3") == b"3"


def test_refused_or_stopped_by_the_test_it_stays_so(lab: NetLab) -> None:
    server = stopped(lab)
    proxy = lab.udp_proxy(server)
    with udp_client(proxy) as client:
        client.send(b"1")
        refuses(lab, proxy)
        proxy.stop()
        server.start()
        assert refused(client)


def test_a_refusal_of_an_upstream_of_before_refuses_nobody(lab: NetLab) -> None:
    old, new = lab.udp_responder(), lab.udp_responder({b"who?": b"new"})
    proxy = lab.udp_proxy(old)
    with udp_client(proxy) as client, udp_client(proxy) as other:
        ask(client, b"1")
        proxy.upstream = new.address
        old.stop()
        client.send(b"2")
        wait_for_note(lab, proxy, "port unreachable")
        assert ask(other, b"who?") == ask(client, b"who?") == b"new"


def test_a_refusal_that_is_heard_of_late_does_not_close_the_port(lab: NetLab) -> None:
    proxy = lab.udp_proxy(lab.udp_responder())
    with udp_client(proxy) as client:
        ask(client, b"1")
        session: Any
        (session,) = proxy.faulted()
        lab.engine.call(session._refused)
        assert ask(client, b"2") == b"2"
    assert numbers(proxy) == [1, 2]


@pytest.mark.parametrize("count", [1, 3])
def test_a_refusal_from_far_away_comes_later_and_is_the_same(
    lab: NetLab, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(UdpSession, "_look_for_refusal", lambda session, sock: None)
    proxy = lab.udp_proxy(stopped(lab))
    with udp_client(proxy) as client:
        with proxy.pause():
            for _ in range(count):
                client.send(b"?")
            lab.wait_for(lambda: len(sent(proxy)) == count)
        refuses(lab, proxy)
        assert refused(client)
    assert len(entries(lab, LegFailed)) == 1


def test_answers_that_are_not_read_yet_arrive_although_the_upstream_refuses(lab: NetLab) -> None:
    with plain_server() as server:
        proxy = lab.udp_proxy(server.getsockname())
        with udp_client(proxy) as client:
            client.send(b"1")
            _, session = server.recvfrom(10)
            before = len(lab.engine.sockets)

            def at_once() -> None:
                server.sendto(b"answer", session)
                server.close()
                live: Any = proxy.faulted()[0]
                live._got("to_server", b"2")

            lab.engine.call(at_once)
            assert client.recv(10) == b"answer"
            refuses(lab, proxy)
            lab.wait_for(lambda: not proxy.faulted())
            assert len(lab.engine.sockets) == before - 2


def test_with_hang_a_refusal_is_silence(lab: NetLab) -> None:
    server = stopped(lab)
    proxy = lab.udp_proxy(server, on_unreachable="hang")
    with udp_client(proxy) as client:
        for number in (1, 2):
            client.send(b"?")
            wait_for_note(lab, proxy, "port unreachable", number)
        server.start()
        assert ask(client, b"there?") == b"there?"
    assert numbers(proxy) == [1, 2, 3]


def test_answers_of_before_a_refusal_still_arrive(lab: NetLab) -> None:
    server = lab.udp_responder()
    proxy = lab.udp_proxy(server, to_client=Delay(0.2))
    with udp_client(proxy) as client, udp_client(proxy) as other:
        for each in (client, other):
            each.send(b"1")
        lab.wait_for(lambda: [len(c.to_client.sent) for c in proxy.connections] == [1, 1])
        server.stop()
        client.send(b"2")
        refuses(lab, proxy)
        assert client.recv(10) == other.recv(10) == b"1"


def test_what_comes_after_the_upstream_is_back_is_never_lost(lab: NetLab) -> None:
    server = lab.udp_responder()
    proxy = lab.udp_proxy(server)
    with udp_client(proxy) as client:
        for number in range(1, 51):
            server.stop()
            client.send(b"refused")
            lab.wait_for(partial(was_sent_on, proxy, number, b"refused"))
            server.start()
            assert ask(client, b"answered") == b"answered"
