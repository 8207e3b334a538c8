"""Every call of a server's connection, over real sockets: what it returns, what it raises, and what it says.

A deadline loses nothing, an end is told clearly, and a clean end is never an RST.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from engine.server_tools import (
    HOSTS,
    connect,
    dialogue,
    leave_by_reset,
    pattern,
    pouring,
    read_all,
    small_client,
    taken_error,
    total,
)

from pytest_netfixtures import ConnectionEnded, NetLab, NetlabError, ServerConnection, WaitTimeout

BIG = 5 << 20
"""More than the inbox holds, so that reading has to rest and to go on."""


@pytest.fixture
def lab() -> Iterator[NetLab]:
    with NetLab() as lab:
        yield lab


# Receiving.


def test_recv_gives_what_is_there_and_then_the_end_again_and_again(lab: NetLab) -> None:
    with dialogue(lab) as (client, connection):
        client.sendall(b"abcdef")
        assert connection.recv(4) == b"abcd"
        assert connection.recv() == b"ef"
        assert connection.recv(0) == b""
        client.close()
        assert [connection.recv() for _ in range(5)] == [b""] * 5


def test_recv_until_takes_the_pattern_and_leaves_the_rest(lab: NetLab) -> None:
    with dialogue(lab) as (client, connection):
        client.sendall(b"GET / HTTP/1.1\r\n\r\nbody\r\n\r\n")
        assert connection.recv_until(b"\r\n\r\n") == b"GET / HTTP/1.1\r\n\r\n"
        assert connection.recv_until(b"\r\n\r\n") == b"body\r\n\r\n"


def test_recv_until_finds_a_pattern_that_comes_a_byte_at_a_time(lab: NetLab) -> None:
    with dialogue(lab) as (client, connection):
        for number in range(1, 7):
            client.sendall(b"ab\r\r\n!"[number - 1 : number])
            lab.wait_for(lambda: lab.traffic.to_server.sent_bytes == number)  # noqa: B023
            if number < 5:
                with pytest.raises(WaitTimeout):
                    connection.recv_until(b"\r\n", within=0)
        assert connection.recv_until(b"\r\n") == b"ab\r\r\n"
        assert connection.recv() == b"!"


def test_recv_exactly_is_exact(lab: NetLab) -> None:
    with dialogue(lab) as (client, connection):
        client.sendall(b"\x00\x03abcrest")
        size = int.from_bytes(connection.recv_exactly(2), "big")
        assert connection.recv_exactly(size) == b"abc"
        assert connection.recv_exactly(0) == b""
        assert connection.recv() == b"rest"


def test_readline_gives_lines_with_their_ends(lab: NetLab) -> None:
    with dialogue(lab) as (client, connection):
        client.sendall(b"EHLO me\r\nQUIT\n")
        assert connection.readline() == b"EHLO me\r\n"
        assert connection.readline() == b"QUIT\n"


@pytest.mark.parametrize(
    "call",
    [
        lambda connection, data: connection.recv_exactly(len(data)),
        lambda connection, data: connection.recv_until(data[-8:]),
        lambda connection, data: connection.expect(data),
        lambda connection, data: connection.recv_to_end(),
    ],
    ids=["recv_exactly", "recv_until", "expect", "recv_to_end"],
)
def test_more_than_the_inbox_holds_can_be_asked_for(lab: NetLab, call: Callable[..., bytes]) -> None:
    data = pattern(BIG)
    with dialogue(lab) as (client, connection), pouring(client, data):
        lab.wait_for(lambda: not connection._link.reading)  # it rests, until somebody asks for more
        assert call(connection, data) == data
        assert connection.recv() == b""


def test_what_nobody_takes_rests_with_the_client(lab: NetLab) -> None:
    data = pattern(BIG)
    with dialogue(lab) as (client, connection), pouring(client, data):
        lab.wait_for(lambda: not connection._link.reading)
        assert lab.traffic.to_server.sent_bytes <= (1 << 20) + (256 << 10)
        assert b"".join(iter(connection.recv, b"")) == data


def test_a_handler_that_takes_as_fast_as_it_comes_is_never_left_without(lab: NetLab) -> None:
    data = pattern(1 << 20) * 48
    server = lab.tcp_server(lambda connection: sum(map(len, iter(lambda: connection.recv(1 << 20), b""))))
    with connect(server) as client, pouring(client, data):
        assert read_all(client) == b""
    lab.wait_for(lambda: server.results == [len(data)])


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda c: c.recv_until(b"\r\n", within=0.05), WaitTimeout, r"got 3 bytes, b'abc' in 0.05 s; expected b'\\r\\n'"),
        (lambda c: c.recv_exactly(4, within=0.05), WaitTimeout, "in 0.05 s; expected 4 bytes: did the client"),
        (lambda c: c.recv_to_end(within=0.05), WaitTimeout, "in 0.05 s; expected the end of the stream"),
        (lambda c: c.readline(within=0.05), WaitTimeout, "in 0.05 s; expected"),
        (lambda c: c.expect(b"abcd", within=0.05), WaitTimeout, "in 0.05 s; expected b'abcd'"),
    ],
    ids=["recv_until", "recv_exactly", "recv_to_end", "readline", "expect"],
)  # fmt: skip
def test_a_deadline_loses_nothing(
    lab: NetLab, call: Callable[[ServerConnection], bytes], kind: type[Exception], text: str
) -> None:
    with dialogue(lab) as (client, connection):
        client.sendall(b"abc")
        lab.wait_for(lambda: lab.traffic.to_server.sent == b"abc")
        with pytest.raises(kind, match=text):
            call(connection)
        assert lab.traffic.to_server.delivered == b""
        client.sendall(b"def")
        assert connection.recv_exactly(6) == b"abcdef"


def test_a_deadline_loses_nothing_of_much_either(lab: NetLab) -> None:
    data = pattern(BIG)
    with dialogue(lab) as (client, connection), pouring(client, data):
        connection.expect(data[:1000])
        with pytest.raises((WaitTimeout, ConnectionEnded)):
            connection.recv_exactly(2 * BIG, within=0.001)
        with pytest.raises((WaitTimeout, ConnectionEnded)):
            connection.recv_until(b"!" * 9, within=0.01)
        assert connection.recv_to_end() == data[1000:]


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.recv_until(b"\n"),
        lambda c: c.recv_exactly(4),
        lambda c: c.readline(),
    ],
    ids=["recv_until", "recv_exactly", "readline"],
)
def test_an_early_end_is_told_and_what_came_is_still_there(
    lab: NetLab, call: Callable[[ServerConnection], bytes]
) -> None:
    with dialogue(lab) as (client, connection):
        client.sendall(b"abc")
        client.close()
        with pytest.raises(
            ConnectionEnded, match=r"ended after 3 bytes, b'abc' and then FIN; expected .*too early"
        ):
            call(connection)
        assert connection.recv() == b"abc"


def test_connection_ended_is_an_eof_error(lab: NetLab) -> None:
    with dialogue(lab) as (client, connection):
        client.close()
        with pytest.raises(EOFError):
            connection.recv_exactly(1)


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.recv(),
        lambda c: c.recv_until(b"\n"),
        lambda c: c.recv_exactly(4),
        lambda c: c.recv_to_end(),
        lambda c: c.expect(b"abc"),
    ],
    ids=["recv", "recv_until", "recv_exactly", "recv_to_end", "expect"],
)
def test_a_reset_is_told_as_one(lab: NetLab, call: Callable[[ServerConnection], bytes]) -> None:
    with dialogue(lab) as (client, connection):
        leave_by_reset(client)
        for _ in range(2):
            with pytest.raises(
                ConnectionResetError, match=r"expected .*: the client has reset the connection"
            ):
                call(connection)


def test_what_came_before_a_reset_can_be_taken(lab: NetLab) -> None:
    with dialogue(lab) as (client, connection):
        client.sendall(b"last words")
        lab.wait_for(lambda: lab.traffic.to_server.sent == b"last words")
        leave_by_reset(client)
        lab.wait_for(lambda: lab.traffic.connection(1).ended["client"] == "RST")
        assert connection.recv_exactly(10) == b"last words"
        with pytest.raises(ConnectionResetError):
            connection.recv()


# Expecting.


def test_expect_shows_where_bytes_differ_and_takes_nothing(lab: NetLab) -> None:
    with dialogue(lab) as (client, connection):
        client.sendall(b"PING 123\r\n")
        with pytest.raises(AssertionError) as caught:
            connection.expect(b"PING 223\r\n")
        assert "<connection 1 of tcp_server> got other bytes than expected" in str(caught.value)
        assert "first difference at byte 5 (0x5): '1' and '2'" in str(caught.value)
        assert "|PING 123..|" in str(caught.value)
        connection.expect(b"PING 123\r\n")


def test_expect_does_not_wait_for_what_can_no_longer_come_true(lab: NetLab) -> None:
    with dialogue(lab) as (client, connection):
        client.sendall(b"PONG")
        with pytest.raises(AssertionError, match="first difference at byte 1"):
            connection.expect(b"PING and much more", within=60)


def test_expect_tells_of_an_end_in_the_middle(lab: NetLab) -> None:
    with dialogue(lab) as (client, connection):
        client.sendall(b"PI")
        client.close()
        with pytest.raises(AssertionError, match=r"ended \(FIN\) and got other bytes than expected"):
            connection.expect(b"PING")


def test_expect_nothing_waits_for_its_time(lab: NetLab) -> None:
    import time

    with dialogue(lab) as (_, connection):
        began = time.monotonic()
        connection.expect_nothing(0.1)
        assert time.monotonic() - began >= 0.1


def test_expect_nothing_fails_for_bytes_and_for_ends(lab: NetLab) -> None:
    with dialogue(lab) as (client, connection):
        client.sendall(b"surprise")
        with pytest.raises(
            AssertionError, match="got 8 bytes, b'surprise'; expected nothing, and no end, for 60 s"
        ):
            connection.expect_nothing(60)
        assert connection.recv_exactly(8) == b"surprise"
        client.close()
        with pytest.raises(AssertionError, match="got nothing and then FIN; expected nothing"):
            connection.expect_nothing(60)


def test_expect_nothing_fails_for_a_reset(lab: NetLab) -> None:
    with dialogue(lab) as (client, connection):
        leave_by_reset(client)
        with pytest.raises(AssertionError, match="got nothing and then RST"):
            connection.expect_nothing(60)


def test_expect_eof_wants_fin_and_nothing_before(lab: NetLab) -> None:
    with dialogue(lab) as (client, connection):
        client.sendall(b"more")
        with pytest.raises(AssertionError, match="got 4 bytes, b'more'; expected the client's FIN"):
            connection.expect_eof()
        connection.expect(b"more")
        with pytest.raises(WaitTimeout, match=r"got nothing in 0\.05 s; expected the client's FIN"):
            connection.expect_eof(within=0.05)
        client.close()
        connection.expect_eof()
        connection.expect_eof()


def test_expect_eof_is_not_content_with_a_reset(lab: NetLab) -> None:
    with dialogue(lab) as (client, connection):
        leave_by_reset(client)
        with pytest.raises(AssertionError, match="got nothing and then RST; expected the client's FIN"):
            connection.expect_eof()


# Sending and ending.


@pytest.mark.parametrize("host", HOSTS)
def test_send_is_whole_however_slowly_the_client_reads(lab: NetLab, host: str) -> None:
    data = pattern(BIG)
    server = lab.tcp_server(lambda connection: connection.send(data), host=host)
    with small_client(server) as client:
        lab.wait_for(lambda: total(server, "to_client"))
        assert read_all(client) == data
    assert server.traffic.to_client.delivered_bytes == len(data)
    lab.wait_for(lambda: server.results == [len(data)])


def test_send_takes_anything_with_bytes_in_it(lab: NetLab) -> None:
    with dialogue(lab) as (client, connection):
        assert connection.send(b"") == 0
        assert connection.send(bytearray(b"ab")) == 2
        assert connection.send(memoryview(b"cdef")[::1]) == 4
        connection.sendall(b"gh")
        connection.close()
        assert read_all(client) == b"abcdefgh"


def test_send_meets_its_timeout_when_the_client_does_not_read(lab: NetLab) -> None:
    server = lab.tcp_server()
    with small_client(server):
        connection = server.accept()
        connection.settimeout(0.05)
        with pytest.raises(TimeoutError, match=r"could not send in 0\.05 s; expected a client that reads"):
            connection.send(bytes(16 << 20))


def test_send_after_our_end_is_an_error(lab: NetLab) -> None:
    with dialogue(lab) as (_, connection):
        connection.half_close()
        with pytest.raises(
            ConnectionEnded, match="has ended here and cannot send 2 bytes; expected an open connection"
        ):
            connection.send(b"hi")


def test_send_after_the_clients_reset_is_an_error(lab: NetLab) -> None:
    with dialogue(lab) as (client, connection):
        leave_by_reset(client)
        with pytest.raises(ConnectionResetError, match=r"could not send .* the client has left"):
            while True:
                connection.send(b"hi")


def test_a_send_that_waits_is_ended_by_a_reset(lab: NetLab) -> None:
    def handler(connection: ServerConnection) -> None:
        with pytest.raises(ConnectionResetError):
            connection.send(bytes(64 << 20))

    for _ in range(20):
        server = lab.tcp_server(handler)
        with small_client(server) as client:
            lab.wait_for(lambda: total(server, "to_client"))  # noqa: B023
            leave_by_reset(client)
        lab.wait_for(lambda: not server._threads[0].thread.is_alive())  # noqa: B023
    assert lab.errors() == []


def test_half_close_ends_one_direction_alone(lab: NetLab) -> None:
    with dialogue(lab) as (client, connection):
        connection.send(b"bye")
        connection.half_close()
        assert read_all(client) == b"bye"
        client.sendall(b"still here")
        connection.expect(b"still here")


def test_a_close_is_never_a_reset_although_the_client_goes_on_sending(lab: NetLab) -> None:
    server = lab.tcp_server(lambda connection: connection.send(b"no"))
    for _ in range(100):
        with connect(server) as client:
            client.sendall(bytes(100_000))
            client.sendall(bytes(100_000))
            assert read_all(client) == b"no"
            client.sendall(bytes(10))


def test_a_close_reads_and_drops_without_end(lab: NetLab) -> None:
    server = lab.tcp_server(lambda connection: None)
    with connect(server) as client:
        assert read_all(client) == b""
        client.sendall(bytes(32 << 20))
    lab.wait_for(lambda: server.traffic.to_server.sent_bytes == 32 << 20)
    assert server.traffic.to_server.delivered_bytes == 0


def test_a_reset_comes_after_what_was_sent_before_it(lab: NetLab) -> None:
    with dialogue(lab) as (client, connection):
        connection.send(b"last words")
        connection.reset()
        assert client.recv(100) == b"last words"
        with pytest.raises(ConnectionResetError):
            client.recv(100)
        with pytest.raises(ConnectionEnded, match="has ended here"):
            connection.send(b"x")


@pytest.mark.parametrize("end", ["close", "reset"])
def test_after_an_end_of_ours_nothing_is_received(lab: NetLab, end: str) -> None:
    with dialogue(lab) as (client, connection):
        client.sendall(b"abc")
        lab.wait_for(lambda: lab.traffic.to_server.sent_bytes)
        getattr(connection, end)()
        getattr(connection, end)()
        for call in (connection.recv, connection.recv_to_end, connection.readline, connection.expect_eof):
            with pytest.raises(ConnectionEnded, match="was ended by its server; expected an open one"):
                call()


def test_a_cut_ends_a_handler_that_waits(lab: NetLab) -> None:
    waiting = threading.Event()

    def handler(connection: ServerConnection) -> None:
        waiting.set()
        with pytest.raises(ConnectionEnded, match="was ended by its server"):
            connection.recv()

    server = lab.tcp_server(handler)
    for reset in (False, True):
        waiting.clear()
        with connect(server):
            assert waiting.wait(10)
            server.cut(reset=reset)
            lab.wait_for(lambda: not any(thread.thread.is_alive() for thread in server._threads))
    assert lab.errors() == []


def test_a_with_block_closes(lab: NetLab) -> None:
    with dialogue(lab) as (client, connection):
        with connection as same:
            assert same is connection
            same.send(b"x")
        assert read_all(client) == b"x"


def test_hold_waits_for_the_event(lab: NetLab) -> None:
    release = threading.Event()

    def handler(connection: ServerConnection) -> None:
        connection.hold(release)
        connection.send(b"released")

    server = lab.tcp_server(handler)
    with connect(server) as client:
        client.settimeout(0.1)
        with pytest.raises(TimeoutError):
            client.recv(1)
        release.set()
        client.settimeout(30)
        assert read_all(client) == b"released"


# What code written for a socket needs.


def test_timeouts_are_those_of_a_socket(lab: NetLab) -> None:
    with dialogue(lab) as (client, connection):
        assert connection.gettimeout() is None
        connection.settimeout(0.05)
        assert connection.gettimeout() == 0.05
        with pytest.raises(TimeoutError, match=r"got nothing in 0\.05 s; expected at least one byte"):
            connection.recv()
        connection.settimeout(None)
        client.sendall(b"x")
        assert connection.recv() == b"x"
        client.close()
        assert connection.recv() == b""


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.settimeout(-1),
        lambda c: c.settimeout("1"),
        lambda c: c.recv(-1),
        lambda c: c.recv("1"),
        lambda c: c.recv_exactly(-1),
        lambda c: c.recv_exactly(1.5),
        lambda c: c.recv_until(b""),
        lambda c: c.recv_until("text"),
        lambda c: c.expect(b""),
        lambda c: c.expect("text"),
        lambda c: c.expect_nothing(-1),
        lambda c: c.recv_to_end(within=-1),
        lambda c: c.readline(within="soon"),
        lambda c: c.makefile("rx"),
        lambda c: c.makefile(""),
        lambda c: c.makefile("rb", encoding="utf-8"),
        lambda c: c.send("text"),
    ],
)
def test_wrong_arguments_are_errors_at_once(lab: NetLab, call: Callable[[Any], object]) -> None:
    with dialogue(lab) as (_, connection), pytest.raises((TypeError, ValueError)):
        call(connection)


@pytest.mark.parametrize("host", HOSTS)
def test_both_names_are_those_of_the_client(lab: NetLab, host: str) -> None:
    with dialogue(lab, host) as (client, connection):
        assert connection.getpeername() == client.getsockname()[:2]
        assert connection.getsockname() == client.getpeername()[:2]


def test_a_file_of_bytes(lab: NetLab) -> None:
    with dialogue(lab) as (client, connection):
        client.sendall(b"one\ntwo\nthree")
        client.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as reader:
            assert reader.readline() == b"one\n"
            assert reader.readlines() == [b"two\n", b"three"]
        with connection.makefile("wb") as writer:
            writer.write(b"buffered")
        with connection.makefile("wb", 0) as writer:
            writer.write(b" at once")
            assert client.recv(100) in (b"buffered", b"buffered at once")
        with connection.makefile() as both:
            both.write(b"!")
            both.flush()
        connection.close()


def test_a_file_of_text(lab: NetLab) -> None:
    with dialogue(lab) as (client, connection):
        client.sendall("grüß dich\r\n".encode())
        with connection.makefile("r", encoding="utf-8", newline="\r\n") as reader:
            assert reader.readline() == "grüß dich\r\n"
        with connection.makefile("w", encoding="utf-8") as writer:
            writer.write("später\n")
        assert client.recv(100) == "später\n".encode()


# Under a loop: the sync form looks once.


def test_in_a_loop_what_is_there_already_is_given(lab: NetLab) -> None:
    import asyncio

    with dialogue(lab) as (client, connection):
        client.sendall(b"abc")
        lab.wait_for(lambda: lab.traffic.to_server.sent == b"abc")

        async def take() -> bytes:
            return connection.expect(b"a") + connection.recv_exactly(1) + connection.recv()

        assert asyncio.run(take()) == b"abc"


@pytest.mark.parametrize(
    ("call", "twin"),
    [
        (lambda c: c.recv(), "recv"),
        (lambda c: c.recv_until(b"\n"), "recv_until"),
        (lambda c: c.recv_exactly(1), "recv_exactly"),
        (lambda c: c.recv_to_end(), "recv_to_end"),
        (lambda c: c.readline(), "readline"),
        (lambda c: c.expect(b"x"), "expect"),
        (lambda c: c.expect_nothing(), "expect_nothing"),
        (lambda c: c.expect_eof(), "expect_eof"),
        (lambda c: c.send(bytes(64 << 20)), "send"),
        (lambda c: c.hold(threading.Event()), "hold"),
        (lambda c: c.server.accept(), "accept"),
    ],
)
def test_in_a_loop_a_wait_is_refused_and_its_twin_named(
    lab: NetLab, call: Callable[[ServerConnection], object], twin: str
) -> None:
    import asyncio

    async def wait(connection: ServerConnection) -> None:
        call(connection)

    with dialogue(lab) as (_, connection):
        with pytest.raises(NetlabError, match=rf"{twin}\(\) would have to wait.*Write: await {twin}_async\("):
            asyncio.run(wait(connection))
        assert hasattr(connection, f"{twin}_async") or hasattr(connection.server, f"{twin}_async")


def test_a_handlers_own_mistake_reaches_the_test(lab: NetLab) -> None:
    server = lab.tcp_server(lambda connection: connection.expect(b"hello"))
    with connect(server) as client:
        client.sendall(b"hullo")
        assert read_all(client) == b""
    assert "first difference at byte 1" in str(taken_error(lab))


def test_a_failure_masks_the_secrets_of_the_wire(lab: NetLab) -> None:
    with dialogue(lab) as (client, connection):
        client.sendall(b"AUTH hunter2secret\r\n")
        with pytest.raises(AssertionError) as unexpected:
            connection.expect_nothing(60)
        with pytest.raises(AssertionError) as other:
            connection.expect(b"PING ............\r\n")
    assert "hunter2" not in str(unexpected.value) and "AUTH" in str(unexpected.value)
    assert "hunter2" not in str(other.value) and b"hunter2".hex(" ") not in str(other.value)
