"""The UDP responder over real sockets: its answers, their times, its ports, and what its record says.

No test waits for silence: what must not come is waited out by a datagram that comes after it.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import pytest
from engine.server_tools import HOSTS, quiet_port, taken_error, udp_client

from pytest_netfixtures import Later, NetLab, ServerError


@pytest.fixture
def lab() -> Iterator[NetLab]:
    with NetLab() as lab:
        yield lab


@pytest.mark.parametrize("host", HOSTS)
def test_without_answers_it_is_an_echo(lab: NetLab, host: str) -> None:
    server = lab.udp_responder(host=host)
    with udp_client(server) as client:
        for data in (b"ping", b"", bytes(60_000)):
            client.send(data)
            assert client.recv(65536) == data
        (connection,) = server.connections
        assert connection.peer == client.getsockname()[:2]
    assert connection.transport == "udp"
    assert (
        list(connection.to_server.sent)
        == list(connection.to_client.delivered)
        == [b"ping", b"", bytes(60_000)]
    )


def test_its_addresses_are_those_of_udp(lab: NetLab) -> None:
    server = lab.udp_responder(host="::1")
    assert server.url == f"udp://[::1]:{server.port}"
    assert repr(server) == f"<udp_responder on {server.url}>"


def test_a_table_answers_what_it_knows_and_is_silent_otherwise(lab: NetLab) -> None:
    server = lab.udp_responder({b"who?": b"me", b"two?": [b"1", b"2"], b"hush": None})
    with udp_client(server) as client:
        for question in (b"what?", b"hush", b"who?", b"two?"):
            client.send(question)
        assert [client.recv(10) for _ in range(3)] == [b"me", b"1", b"2"]


def test_a_table_is_read_once(lab: NetLab) -> None:
    table = {b"who?": b"me"}
    server = lab.udp_responder(table)
    table.clear()
    with udp_client(server) as client:
        client.send(b"who?")
        assert client.recv(10) == b"me"


def test_a_callable_gets_data_and_may_remember(lab: NetLab) -> None:
    seen: list[bytes] = []

    def answer(data: bytes) -> bytes | None:
        seen.append(data)
        return None if len(seen) == 1 else data.upper()

    server = lab.udp_responder(answer)
    with udp_client(server) as client:
        client.send(b"once")
        client.send(b"twice")
        assert client.recv(10) == b"TWICE"
    assert seen == [b"once", b"twice"]


@pytest.mark.parametrize("host", HOSTS)
def test_a_callable_that_wants_it_gets_the_peer_too(lab: NetLab, host: str) -> None:
    server = lab.udp_responder(lambda data, peer: repr(peer[:2]).encode(), host=host)
    with udp_client(server) as client:
        client.send(b"who am I?")
        assert client.recv(100).decode() == repr(client.getsockname()[:2])


def test_a_second_parameter_with_a_default_is_not_the_peer(lab: NetLab) -> None:
    known = {b"who?": b"me"}

    def twice(data: bytes, times: int = 2) -> bytes:
        return data * times

    for answers, expected in (
        (twice, b"who?who?"),
        (known.get, b"me"),
        (Mock(return_value=b"mock"), b"mock"),
    ):
        with udp_client(lab.udp_responder(answers)) as client:
            client.send(b"who?")
            assert client.recv(10) == expected


def test_a_peer_with_a_default_is_the_peer(lab: NetLab) -> None:
    def answer(data: bytes, peer: tuple[str, int] = ("", 0)) -> bytes:
        return b"%d" % peer[1]

    with udp_client(lab.udp_responder(answer)) as client:
        client.send(b"?")
        assert int(client.recv(10)) == client.getsockname()[1]


@pytest.mark.parametrize("callable_", [False, True])
def test_a_late_answer_is_never_early(lab: NetLab, callable_: bool) -> None:
    answer: list[bytes | Later] = [Later(0.1, b"late"), b"now", Later(0.05, b"soon")]
    answers: Any = (lambda data: answer) if callable_ else {b"?": answer}
    server = lab.udp_responder(answers)
    with udp_client(server) as client:
        asked = time.monotonic()
        client.send(b"?")
        assert client.recv(10) == b"now"
        assert client.recv(10) == b"soon"
        assert time.monotonic() - asked >= 0.05
        assert client.recv(10) == b"late"
        assert time.monotonic() - asked >= 0.1


def test_late_answers_with_one_time_keep_their_order(lab: NetLab) -> None:
    server = lab.udp_responder({b"?": [Later(0.05, b"%d" % number) for number in range(50)]})
    with udp_client(server) as client:
        client.send(b"?")
        assert [client.recv(10) for _ in range(50)] == [b"%d" % number for number in range(50)]


@pytest.mark.parametrize(
    "answers",
    [
        5,
        "text",
        {"text": b""},
        {b"": "text"},
        {b"": [b"", 5]},
        {b"": 5},
        lambda: b"",
        lambda data, peer, more: b"",
    ],
)
def test_wrong_answers_are_errors_at_once(lab: NetLab, answers: object) -> None:
    with pytest.raises(TypeError, match=r"answer"):
        lab.udp_responder(answers)  # type: ignore[arg-type]


async def answer_async(data: bytes) -> bytes:
    """Would never run."""
    return data


def test_an_async_function_is_no_answer(lab: NetLab) -> None:
    with pytest.raises(TypeError, match="which is async; expected a plain function"):
        lab.udp_responder(answer_async)  # type: ignore[arg-type]


@pytest.mark.parametrize("seconds", [-1, float("inf"), "1"])
def test_a_late_answer_has_a_time(seconds: object) -> None:
    with pytest.raises((TypeError, ValueError), match="seconds is"):
        Later(seconds, b"")  # type: ignore[arg-type]


def test_a_late_answer_has_bytes() -> None:
    with pytest.raises(TypeError, match="data is 'text'"):
        Later(1, "text")  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", ["text", 5, [b"", "text"], {b"": b""}])
def test_a_wrong_answer_of_a_callable_reaches_the_test_and_the_next_one_is_sent(
    lab: NetLab, wrong: object
) -> None:
    given = iter([wrong, b"right"])
    server = lab.udp_responder(lambda data: next(given))  # type: ignore[arg-type, return-value]
    with udp_client(server) as client:
        client.send(b"1")
        client.send(b"2")
        assert client.recv(10) == b"right"
    error = taken_error(lab)
    assert isinstance(error, TypeError)
    assert "the answer is " in str(error)


def test_the_error_of_a_callable_reaches_the_test(lab: NetLab) -> None:
    def answer(data: bytes) -> bytes:
        raise LookupError(data)

    with udp_client(lab.udp_responder(answer)) as client:
        client.send(b"x")
    assert isinstance(taken_error(lab), LookupError)


def test_an_answer_that_fits_into_no_datagram_reaches_the_test(lab: NetLab) -> None:
    with udp_client(lab.udp_responder({b"?": bytes(70_000)})) as client:
        client.send(b"?")
    error = taken_error(lab)
    assert isinstance(error, ServerError)
    assert "could not send 70000 bytes" in str(error)


@pytest.mark.parametrize("host", HOSTS)
def test_a_stopped_responder_is_refused_and_comes_back_on_its_port(lab: NetLab, host: str) -> None:
    server = lab.udp_responder(host=host)
    address = server.address
    with udp_client(server) as client:
        client.send(b"1")
        assert client.recv(10) == b"1"
        server.stop()
        server.stop()
        client.send(b"2")
        with pytest.raises(ConnectionRefusedError):
            client.recv(10)
        server.start()
        server.start()
        client.send(b"3")
        assert client.recv(10) == b"3"
    assert server.address == address
    assert list(server.traffic.to_server.sent) == [b"1", b"3"]


def test_what_was_on_its_way_ends_with_a_stop(lab: NetLab) -> None:
    server = lab.udp_responder({b"old": Later(0.5, b"too late"), b"new": Later(0.6, b"in time")})
    with udp_client(server) as client:
        client.send(b"old")
        lab.wait_for(lambda: server.connections)
        server.stop()
        server.start()
        client.send(b"new")
        assert client.recv(10) == b"in time"


def test_questions_of_before_a_stop_are_not_answered_after_it(lab: NetLab) -> None:
    free, asked = threading.Event(), threading.Event()

    def answer(data: bytes) -> bytes:
        asked.set()
        free.wait(30)
        return data

    server = lab.udp_responder(answer)
    with udp_client(server) as client:
        client.send(b"1")
        client.send(b"2")
        assert asked.wait(30)
        lab.wait_for(lambda: len(server.traffic.to_server.sent) == 2)
        server.stop()
        server.start()
        free.set()
        client.send(b"3")
        assert client.recv(10) == b"3"


def test_a_late_answer_after_the_end_is_nothing() -> None:
    with NetLab() as lab:
        server = lab.udp_responder({b"?": Later(0.5, b"!")})
        with udp_client(server) as client:
            client.send(b"?")
            lab.wait_for(lambda: server.connections)
            lab.close()
            due = time.monotonic() + 0.5
            with NetLab() as other:
                other.wait_for(lambda: time.monotonic() > due)
                echo = other.tcp_echo()  # a call on the engine's thread: what was due has been done
                assert echo.port
            client.setblocking(False)
            with pytest.raises(BlockingIOError):
                client.recv(10)
        assert lab.errors() == []


def test_a_callable_that_does_not_end_is_named_and_abandoned() -> None:
    begun, forever = threading.Event(), threading.Event()

    def stubborn(data: bytes) -> None:
        begun.set()
        forever.wait(60)

    lab = NetLab()
    server = lab.udp_responder(stubborn, name="stubborn")
    with udp_client(server) as client:
        client.send(b"?")
        assert begun.wait(30)
        with pytest.warns(RuntimeWarning, match="netfixtures stubborn did not end"):
            lab.close()
    forever.set()
    assert server._thread is not None
    server._thread.join()


def test_each_client_address_is_a_connection(lab: NetLab) -> None:
    server = lab.udp_responder()
    with udp_client(server) as first, udp_client(server) as second:
        for client, data in ((first, b"a"), (second, b"b"), (first, b"c")):
            client.send(data)
            assert client.recv(10) == data
    assert [list(c.to_server.sent) for c in server.connections] == [[b"a", b"c"], [b"b"]]
    assert [c.number for c in server.connections] == [1, 2]


def test_forgetting_starts_afresh(lab: NetLab) -> None:
    server = lab.udp_responder()
    with udp_client(server) as client:
        client.send(b"old")
        assert client.recv(10) == b"old"
        server.forget()
        assert not server.traffic.connections
        client.send(b"new")
        assert client.recv(10) == b"new"
    (connection,) = server.connections
    assert (connection.number, list(connection.to_server.sent)) == (1, [b"new"])


def test_an_answer_to_a_question_that_was_forgotten_is_still_sent(lab: NetLab) -> None:
    server = lab.udp_responder({b"?": Later(0.5, b"!")})
    with udp_client(server) as client:
        client.send(b"?")
        lab.wait_for(lambda: server.connections)
        server.forget()
        assert client.recv(10) == b"!"
    lab.wait_for(lambda: server.connections)
    (connection,) = server.connections
    assert (connection.number, connection.opened_before) == (0, True)
    assert list(connection.to_client.delivered) == [b"!"]


def test_a_new_reader_hears_of_the_clients_so_far(lab: NetLab) -> None:
    server = lab.udp_responder()
    with udp_client(server) as client:
        client.send(b"x")
        client.recv(1)
    heard: list[object] = []
    lab.add_sink(lambda entry, data: heard.append(entry))
    assert [(entry.endpoint, entry.before) for entry in heard] == [("udp_responder", True)]  # type: ignore[attr-defined]


def test_ports_of_responders_are_exclusive(lab: NetLab) -> None:
    server = lab.udp_responder()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other, pytest.raises(OSError, match="in use"):
        other.bind(server.address)
    assert len({lab.udp_responder().port for _ in range(100)} | {server.port}) == 101


def test_udp_and_tcp_share_a_number(lab: NetLab) -> None:
    udp = lab.udp_responder(port=quiet_port())
    tcp = lab.tcp_echo(port=udp.port)
    assert tcp.address == udp.address
