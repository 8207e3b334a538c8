"""The UDP proxy and clients whose port is closed; and that no refusal on either side makes it spin."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from engine.server_tools import HOSTS, udp_client
from engine.udp_tools import (
    ask,
    plain_server,
    refused,
    sent,
    wait_for_note,
)

from pytest_netfixtures import (
    Datagram,
    Delay,
    Event,
    Later,
    NetLab,
    Seen,
    Stall,
    WaitTimeout,
)

ON_LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells of it")


@pytest.fixture
def lab() -> Iterator[NetLab]:
    with NetLab(must_fire=False) as lab:
        yield lab


@ON_LINUX
@pytest.mark.parametrize("host", HOSTS)
def test_a_client_that_is_gone_ends_its_session_and_the_upstream_is_refused(lab: NetLab, host: str) -> None:
    with plain_server() as server:
        proxy = lab.udp_proxy(server.getsockname(), host=host)
        with udp_client(proxy) as client:
            client.send(b"1")
            _, session = server.recvfrom(10)
        server.connect(session)
        server.send(b"too late")
        wait_for_note(lab, proxy, "the client's port is closed: port unreachable (ICMP)")
        assert refused(server)


@ON_LINUX
def test_a_client_that_is_gone_takes_no_answer_from_another_one(lab: NetLab) -> None:
    with plain_server() as server:
        proxy = lab.udp_proxy(server.getsockname())
        with udp_client(proxy) as client, udp_client(proxy) as gone:
            gone.send(b"gone")
            _, to_nobody = server.recvfrom(10)
            client.send(b"here")
            _, to_client = server.recvfrom(10)
            gone.close()
            for number in range(100):
                server.sendto(b"?", to_nobody)
                server.sendto(b"%d" % number, to_client)
                assert client.recv(10) == b"%d" % number


@ON_LINUX
def test_what_a_client_sent_before_it_left_is_still_delivered(lab: NetLab) -> None:
    server = lab.udp_responder()
    proxy = lab.udp_proxy(server, to_server=Delay(0.2, jitter=0.001))
    with proxy.fault(to_server=Stall(after=1)):
        with udp_client(proxy) as client:
            client.send(b"1")
            lab.wait_for(lambda: sent(proxy) == [b"1"])
            client.send(b"2")
            lab.wait_for(lambda: sent(proxy) == [b"1", b"2"])
        wait_for_note(lab, proxy, "the client's port is closed")
    lab.wait_for(lambda: list(server.traffic.to_server.sent) == [b"1", b"2"])


def test_late_answers_to_a_client_that_came_back_reach_it(lab: NetLab) -> None:
    proxy = lab.udp_proxy(lab.udp_responder({b"?": Later(0.05, b"!")}))
    with udp_client(proxy) as client:
        port = client.getsockname()[1]
        client.send(b"nothing")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.settimeout(30)
        again.bind(("127.0.0.1", port))
        again.connect(proxy.address)
        assert ask(again, b"?") == b"!"


def upstream_refuses(lab: NetLab) -> None:
    server = lab.udp_responder()
    proxy = lab.udp_proxy(server, on_unreachable="hang")
    with udp_client(proxy) as client:
        ask(client, b"1")
        server.stop()
        client.send(b"2")
        wait_for_note(lab, proxy, "port unreachable")


def client_refuses(lab: NetLab) -> None:
    proxy = lab.udp_proxy(lab.udp_responder({b"?": Later(0.05, b"too late")}))
    with udp_client(proxy) as client:
        client.send(b"?")
        lab.wait_for(lambda: sent(proxy) == [b"?"])
    lab.wait_for(lambda: [list(c.to_client.delivered) for c in proxy.connections] == [[b"too late"]])


def answer_is_too_long(lab: NetLab) -> None:
    """Longer than any datagram by so little that only a deeper layer of the kernel says so."""

    def swell(event: Event, seen: Seen) -> list[Event]:
        return [Datagram(event.at, bytes(65_510)), event] if isinstance(event, Datagram) else []

    proxy = lab.udp_proxy(lab.udp_responder(), to_client=swell)
    with udp_client(proxy) as client:
        assert ask(client, b"1") == b"1"
    assert len(lab.errors()) == 1


@pytest.mark.parametrize("happens", [upstream_refuses, client_refuses, answer_is_too_long])
def test_a_refusal_does_not_spin(lab: NetLab, happens: Callable[[NetLab], None]) -> None:
    happens(lab)
    began, used = time.monotonic(), time.process_time()
    with pytest.raises(WaitTimeout):
        lab.wait_for(lambda: False, within=0.3)
    assert time.process_time() - used < 0.5 * (time.monotonic() - began)
