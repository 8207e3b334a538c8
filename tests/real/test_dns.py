"""dnspython against the UDP responder: its resolver asks again, gives up, and is not fooled, as it would be by a real server.

The answers are made by dnspython itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.resolver
import dns.rrset
import pytest
from engine.server_tools import quiet_port

from pytest_netfixtures import Later, NetLab, UdpResponder


@pytest.fixture
def lab() -> Iterator[NetLab]:
    with NetLab() as lab:
        yield lab


def reply(question: bytes, address: str = "192.0.2.7") -> dns.message.Message:
    query = dns.message.from_wire(question)
    response = dns.message.make_response(query)
    response.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", address))
    return response


def resolver_of(server: UdpResponder) -> dns.resolver.Resolver:
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = [server.host]
    resolver.port = server.port
    resolver.timeout, resolver.lifetime = 0.2, 30
    return resolver


def addresses(server: UdpResponder) -> list[str]:
    return [record.address for record in resolver_of(server).resolve("example.org", "A")]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_answer_is_taken(lab: NetLab, host: str) -> None:
    server = lab.udp_responder(lambda data: reply(data).to_wire(), host=host)
    assert addresses(server) == ["192.0.2.7"]


def test_silence_is_asked_again(lab: NetLab) -> None:
    asked: list[bytes] = []

    def answer(data: bytes) -> bytes | None:
        asked.append(data)
        return None if len(asked) < 3 else reply(data).to_wire()

    assert addresses(lab.udp_responder(answer)) == ["192.0.2.7"]
    assert len(asked) >= 3


def test_an_answer_that_comes_late_is_still_taken(lab: NetLab) -> None:
    server = lab.udp_responder(lambda data: Later(0.05, reply(data).to_wire()))
    assert addresses(server) == ["192.0.2.7"]


def wrong_id(data: bytes) -> list[bytes | Later]:
    forged = reply(data, "203.0.113.1")
    forged.id ^= 1
    return [forged.to_wire(), Later(0.02, reply(data).to_wire())]


def nonsense(data: bytes) -> list[bytes | Later]:
    return [b"", b"\xff" * 50, Later(0.02, reply(data).to_wire())]


@pytest.mark.parametrize("answer", [wrong_id, nonsense])
def test_a_false_answer_is_not_taken(lab: NetLab, answer: Callable[[bytes], list[bytes | Later]]) -> None:
    server = lab.udp_responder(answer)
    query = dns.message.make_query("example.org", "A")
    taken = dns.query.udp(
        query, server.host, port=server.port, timeout=30, ignore_unexpected=True, ignore_errors=True
    )
    assert taken.answer[0][0].address == "192.0.2.7"


def test_nobody_there_is_told(lab: NetLab) -> None:
    server = lab.udp_responder(lambda data: reply(data).to_wire())
    server.stop()
    query = dns.message.make_query("example.org", "A")
    with pytest.raises((ConnectionRefusedError, dns.exception.Timeout)):
        dns.query.udp(query, server.host, port=server.port, timeout=0.2)
    server.start()
    assert dns.query.udp(query, server.host, port=server.port, timeout=30).answer


def test_a_truncated_answer_is_asked_for_again_over_tcp_on_the_same_port(lab: NetLab) -> None:
    def truncated(data: bytes) -> bytes:
        response = dns.message.make_response(dns.message.from_wire(data))
        response.flags |= dns.flags.TC
        return response.to_wire()

    udp = lab.udp_responder(truncated, port=quiet_port())
    tcp = lab.tcp_server(
        lambda connection: connection.send(
            reply(connection.recv_exactly(int.from_bytes(connection.recv_exactly(2), "big"))).to_wire(
                prepend_length=True
            )
        ),
        port=udp.port,
    )
    query = dns.message.make_query("example.org", "A")
    response, was_tcp = dns.query.udp_with_fallback(query, udp.host, port=udp.port, timeout=30)
    assert was_tcp
    assert response.answer[0][0].address == "192.0.2.7"
    assert len(tcp.connections) == 1
