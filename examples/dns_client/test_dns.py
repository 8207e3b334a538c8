"""dnspython's resolver asks our UDP responder, and nobody else.

A responder takes a function of the question: it returns the bytes of an answer, None for silence, or a list, in which
`Later(seconds, data)` is an answer that comes late.
"""

from __future__ import annotations

import dns.message
import dns.resolver
import dns.rrset
import pytest

from pytest_netfixtures import Later, NetLab, UdpResponder, assert_sent

NAME = "printer.example."


def answer(question: bytes, address: str = "192.0.2.7") -> bytes:
    """The bytes of an answer to the bytes of a question."""
    reply = dns.message.make_response(dns.message.from_wire(question))
    reply.answer.append(dns.rrset.from_text(NAME, 60, "IN", "A", address))
    return reply.to_wire()


def with_wrong_id(data: bytes) -> bytes:
    """A message with another id: its first two bytes."""
    return bytes([data[0] ^ 0xFF]) + data[1:]


def resolver_of(
    responder: UdpResponder, timeout: float = 5.0, lifetime: float = 10.0
) -> dns.resolver.Resolver:
    """A resolver that knows this responder and reads no configuration of the machine."""
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = [responder.host]
    resolver.port = responder.port
    resolver.timeout, resolver.lifetime = timeout, lifetime
    return resolver


def addresses(found: dns.resolver.Answer) -> list[str]:
    return [record.to_text() for record in found]


def test_a_question_that_meets_silence_is_asked_again(netlab: NetLab) -> None:
    questions: list[bytes] = []

    def silent_at_first(question: bytes) -> bytes | None:
        questions.append(question)
        return answer(question) if len(questions) > 1 else None

    responder = netlab.udp_responder(silent_at_first)
    found = resolver_of(responder, timeout=0.2).resolve(NAME, "A")
    assert addresses(found) == ["192.0.2.7"]
    assert len(questions) >= 2
    assert len({question[2:] for question in questions}) == 1, (
        "the same question; its first two bytes are the id"
    )


def test_an_answer_after_the_deadline_is_too_late(netlab: NetLab) -> None:
    late = netlab.udp_responder(lambda question: Later(0.5, answer(question)))
    with pytest.raises(dns.resolver.LifetimeTimeout):
        resolver_of(late, lifetime=0.1).resolve(NAME, "A")
    assert_sent(late, to_client=b"printer")


def test_an_answer_with_a_wrong_id_is_not_believed(netlab: NetLab) -> None:
    def forged_first(question: bytes) -> list[bytes | Later]:
        return [with_wrong_id(answer(question, "203.0.113.66")), answer(question)]

    responder = netlab.udp_responder(forged_first)
    assert addresses(resolver_of(responder).resolve(NAME, "A")) == ["192.0.2.7"]
    forged, true = responder.traffic.to_client.delivered
    assert forged[:2] != true[:2]
    assert true[:2] == responder.traffic.to_server.sent[0][:2]
