"""A DNS client on a line that loses answers in bursts: it asks again, asks by TCP at last, or gives up in time.

Each client address is a session of the UDP proxy, with a burst of its own. So this client keeps its socket; a resolver that
takes a new port for each question would meet the beginning of a new line every time.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import dns.exception
import dns.message
import dns.query
import dns.resolver
import dns.rrset
import pytest

from pytest_netfixtures import (
    BurstLoss,
    Loss,
    NetLab,
    ServerConnection,
    TcpServer,
    UdpProxy,
    UdpResponder,
    assert_sent,
)

Address = tuple[str, int]
BURSTS = BurstLoss(to_bad=0.5, to_good=0.5)


# The program.


def ask(
    name: str, line: socket.socket, udp: Address, tcp: Address, patience: float = 0.05
) -> tuple[str, str]:
    """The address that a name has, and how we came by it: "UDP", or "TCP" after ten questions without an answer."""
    for _ in range(10):
        question = dns.message.make_query(name, "A")
        with contextlib.suppress(dns.exception.Timeout):
            reply = dns.query.udp(question, udp[0], patience, udp[1], sock=line, ignore_errors=True)
            return reply.answer[0][0].to_text(), "UDP"
    reply = dns.query.tcp(dns.message.make_query(name, "A"), tcp[0], 5, tcp[1])
    return reply.answer[0][0].to_text(), "TCP"


# Its tests.


def answer(question: bytes) -> bytes:
    """`host-7.test` is at 192.0.2.7."""
    asked = dns.message.from_wire(question)
    name = asked.question[0].name
    number = name.to_text().partition(".")[0].removeprefix("host-")
    reply = dns.message.make_response(asked)
    reply.answer.append(dns.rrset.from_text(name, 60, "IN", "A", f"192.0.2.{number}"))
    return reply.to_wire()


def answer_by_tcp(conn: ServerConnection) -> None:
    """The same, where each message begins with its length."""
    length = int.from_bytes(conn.recv_exactly(2), "big")
    reply = answer(conn.recv_exactly(length))
    conn.send(len(reply).to_bytes(2, "big") + reply)


@pytest.fixture
def server(netlab: NetLab) -> UdpResponder:
    return netlab.udp_responder(answer)


@pytest.fixture
def tcp_server(netlab: NetLab) -> TcpServer:
    return netlab.tcp_server(answer_by_tcp)


@pytest.fixture
def line() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.setblocking(False)
        yield line


def test_all_names_are_found_though_answers_are_lost_in_bursts(
    netlab: NetLab, server: UdpResponder, tcp_server: TcpServer, line: socket.socket
) -> None:
    proxy = netlab.udp_proxy(server, to_client=BURSTS)
    for number in range(1, 16):
        found, _ = ask(f"host-{number}.test.", line, proxy.address, tcp_server.address)
        assert found == f"192.0.2.{number}"
    answers = proxy.traffic.to_client
    lost = len(answers.sent) - len(answers.delivered)
    print(f"{lost} of {len(answers.sent)} answers were lost")
    assert lost


def lost_with(seed: int) -> list[int]:
    """Which of thirty answers are lost, all on one line."""
    with NetLab(seed=seed) as lab, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        proxy = lab.udp_proxy(lab.udp_responder(), to_client=BURSTS)
        for number in range(31):
            line.sendto(b"%d" % number, proxy.address)
        lab.wait_for(lambda: len(proxy.traffic.to_client.sent) == 31)
        delivered = proxy.traffic.to_client.delivered
    return [number for number in range(30) if b"%d" % number not in delivered]


def test_the_same_seed_loses_the_same_answers() -> None:
    assert lost_with(seed=7) == lost_with(seed=7)
    assert lost_with(seed=7) != lost_with(seed=8)


def test_a_client_that_hears_nothing_asks_by_tcp(
    netlab: NetLab, server: UdpResponder, tcp_server: TcpServer, line: socket.socket
) -> None:
    proxy = netlab.udp_proxy(server, to_client=Loss(1))
    found = ask("host-7.test.", line, proxy.address, tcp_server.address, patience=0.01)
    assert found == ("192.0.2.7", "TCP")
    netlab.wait_for(lambda: len(proxy.traffic.to_client.sent) == 10)
    assert proxy.traffic.to_client.delivered == ()


def test_a_resolver_that_hears_nothing_gives_up_within_its_lifetime(
    netlab: NetLab, server: UdpResponder
) -> None:
    proxy = netlab.udp_proxy(server, to_client=Loss(1))
    with pytest.raises(dns.resolver.LifetimeTimeout):
        resolver_of(proxy, timeout=0.1, lifetime=0.3).resolve("host-7.test.", "A")
    assert_sent(proxy, to_client=b"host-7")


def resolver_of(proxy: UdpProxy, timeout: float, lifetime: float) -> dns.resolver.Resolver:
    """A resolver that knows this proxy and reads no configuration of the machine."""
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = [proxy.host]
    resolver.port = proxy.port
    resolver.timeout, resolver.lifetime = timeout, lifetime
    return resolver
