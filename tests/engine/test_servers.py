"""TCP servers over real sockets: echo, the test as the server, one that is deaf, and what their records say.

Nothing here looks into the engine: clients are plain sockets, and traffic is what users read.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from engine.server_tools import HOSTS, connect, leave_by_reset, pattern, pouring, read_all, small_client

from pytest_netfixtures import NetLab, ServerConnection, WaitTimeout


@pytest.fixture
def lab() -> Iterator[NetLab]:
    with NetLab() as lab:
        yield lab


@pytest.mark.parametrize("host", HOSTS)
def test_an_echo_sends_its_prefix_and_then_what_it_gets(lab: NetLab, host: str) -> None:
    server = lab.tcp_echo(b"220 ready\r\n", host=host)
    with connect(server) as client:
        client.sendall(b"ping")
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b"220 ready\r\nping"
    (connection,) = server.connections
    assert connection.to_client.sent == connection.to_client.delivered == b"220 ready\r\nping"
    assert connection.to_server.sent == connection.to_server.delivered == b"ping"
    assert connection.ended == {"client": "FIN", "server": "FIN"}


def test_an_echo_without_prefix_says_nothing_first(lab: NetLab) -> None:
    server = lab.tcp_echo()
    with connect(server) as client:
        client.sendall(b"x")
        assert client.recv(10) == b"x"
    assert server.traffic.to_client.sent == b"x"


def test_an_echo_rests_while_its_client_does_not_read(lab: NetLab) -> None:
    server, data = lab.tcp_echo(), pattern(16 << 20)
    with small_client(server) as client, pouring(client, data):
        lab.wait_for(lambda: server._live)
        connection: Any = server._live[0]
        lab.wait_for(lambda: not connection._link.reading)
        flows = server.connections[0]
        assert flows.to_server.sent_bytes < len(data)
        held = flows.to_server.sent_bytes - flows.to_client.sent_bytes
        assert held <= (1 << 20) + (256 << 10)  # the bound, and one reading
        assert read_all(client) == data


def test_an_echo_gives_back_a_big_body_after_the_client_has_half_closed(lab: NetLab) -> None:
    server, data = lab.tcp_echo(), pattern(3 << 20)
    with connect(server) as client, pouring(client, data):
        assert read_all(client) == data
    assert server.traffic.to_client.end == "FIN"


@pytest.mark.parametrize("reset", [False, True])
def test_a_cut_ends_an_echo_that_still_had_something_to_say(lab: NetLab, reset: bool) -> None:
    server = lab.tcp_echo()
    with small_client(server) as client:
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                client.send(bytes(1 << 16))
        client.settimeout(30)
        server.cut(reset=reset)
        if reset:
            with pytest.raises(ConnectionError):
                read_all(client)
        else:
            read_all(client)
            client.sendall(bytes(8 << 20))  # read and dropped, so that nobody is stuck
    assert server.connections[0].ended["server"] == ("RST" if reset else "FIN")


def test_the_record_is_true_at_every_answer(lab: NetLab) -> None:
    server = lab.tcp_echo()
    with connect(server) as client:
        for number in range(1, 500):
            client.sendall(b"x")
            assert client.recv(10) == b"x"
            flow = server.traffic.to_client
            assert flow.sent_bytes == flow.delivered_bytes == number
            assert server.traffic.to_server.delivered_bytes == number


def test_what_the_handler_has_not_taken_is_sent_and_not_delivered(lab: NetLab) -> None:
    server = lab.tcp_server()
    with connect(server) as client:
        connection = server.accept()
        client.sendall(b"abcdef")
        lab.wait_for(lambda: server.traffic.to_server.sent == b"abcdef")
        assert server.traffic.to_server.delivered == b""
        assert connection.recv(2) == b"ab"
        assert server.traffic.to_server.delivered == b"ab"


def test_the_ends_of_both_sides_are_told_apart(lab: NetLab) -> None:
    server = lab.tcp_server()
    clients = [connect(server) for _ in range(4)]
    connections = [server.accept() for _ in clients]
    clients[0].close()
    leave_by_reset(clients[1])
    connections[2].half_close()
    connections[3].reset()
    ends = [
        {"client": "FIN", "server": None},
        {"client": "RST", "server": None},
        {"client": None, "server": "FIN"},
        {"client": None, "server": "RST"},
    ]
    lab.wait_for(lambda: [connection.ended for connection in server.connections] == ends)
    for client in clients[2:]:
        client.close()


@pytest.mark.parametrize("host", HOSTS)
def test_an_endpoint_says_where_it_is_in_every_form(lab: NetLab, host: str) -> None:
    server = lab.tcp_echo(host=host)
    assert server.address == (server.host, server.port) == (host, server.port)
    assert server.netloc == (f"[::1]:{server.port}" if host == "::1" else f"127.0.0.1:{server.port}")
    assert server.url == f"tcp://{server.netloc}"
    assert repr(server) == f"<tcp_echo on {server.url}>"
    assert lab.http_echo(host=host).url.startswith(f"http://{server.netloc.rpartition(':')[0]}:")


def test_names_are_never_used_twice(lab: NetLab) -> None:
    made = [lab.tcp_echo(name=name) for name in (None, None, "cache", "cache", "tcp_echo-3", None, "")]
    names = [server.name for server in made]
    assert names == ["tcp_echo", "tcp_echo-2", "cache", "cache-2", "tcp_echo-3", "tcp_echo-4", "tcp_echo-5"]
    with connect(made[2]) as client:
        client.sendall(b"x")
        client.recv(1)
    assert [connection.endpoint for connection in lab.traffic.connections] == ["cache"]


def test_a_name_is_text(lab: NetLab) -> None:
    with pytest.raises(TypeError, match="name is 5; expected text"):
        lab.tcp_echo(name=5)  # type: ignore[arg-type]


def test_forgetting_starts_record_and_numbers_afresh(lab: NetLab) -> None:
    server = lab.tcp_echo()
    with connect(server) as old:
        old.sendall(b"x")
        assert old.recv(1) == b"x"
        server.forget()
        with connect(server) as new:
            new.sendall(b"y")
            old.sendall(b"z")
            assert (new.recv(1), old.recv(1)) == (b"y", b"z")
        records = {c.number: (c.opened_before, c.to_server.sent) for c in server.connections}
    assert records == {0: (True, b"z"), 1: (False, b"y")}


def test_what_a_session_server_had_waiting_is_gone_with_the_test_when_its_client_is(lab: NetLab) -> None:
    server = lab.tcp_server()
    connect(server).close()
    with connect(server):
        lab.wait_for(lambda: len(server.connections) == 2)
        first = server.accept()
        first.close()
        server.forget()
        connection = server.accept()
        assert connection.number == 0


def test_results_of_finished_handlers_are_forgotten_too(lab: NetLab) -> None:
    server = lab.tcp_server(lambda connection: connection.recv(4))
    with connect(server) as client:
        client.sendall(b"abcd")
        lab.wait_for(lambda: server.results == [b"abcd"])
        assert read_all(client) == b""
    lab.wait_for(lambda: not any(thread.thread.is_alive() for thread in server._threads))
    server.forget()
    assert server.results == []


@pytest.mark.parametrize("host", HOSTS)
def test_a_stopped_server_refuses_and_comes_back_on_its_port(lab: NetLab, host: str) -> None:
    server = lab.tcp_echo(host=host)
    address = server.address
    with connect(server) as client:
        client.sendall(b"x")
        client.recv(1)
        server.stop()
        server.stop()
        assert client.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            connect(server)
    server.start()
    server.start()
    with connect(server) as client:
        client.sendall(b"y")
        assert client.recv(1) == b"y"
    assert server.address == address


def test_a_server_refuses_for_a_block(lab: NetLab) -> None:
    server = lab.tcp_echo()
    with server.refuse(), pytest.raises(ConnectionRefusedError):
        connect(server)
    connect(server).close()


def test_a_server_is_stopped_at_the_end_of_its_block(lab: NetLab) -> None:
    with lab.tcp_echo() as server:
        connect(server).close()
    with pytest.raises(ConnectionRefusedError):
        connect(server)


# The test as the server.


def test_the_test_is_the_server_reconnects_included(lab: NetLab) -> None:
    server = lab.tcp_server()
    for number in (1, 2, 3):
        with connect(server) as client:
            connection = server.accept()
            assert connection.number == number
            assert connection.peer == connection.getpeername() == client.getsockname()
            client.sendall(b"hello")
            connection.expect(b"hello")
            connection.send(b"welcome")
            assert client.recv(10) == b"welcome"
            client.close()
            connection.expect_eof()
            connection.close()


def test_the_second_connection_is_accepted_while_the_first_is_open(lab: NetLab) -> None:
    server = lab.tcp_server()
    with connect(server) as first, connect(server) as second:
        one, two = server.accept(), server.accept()
        assert one.peer == first.getsockname()
        assert two.peer == second.getsockname()


def test_nobody_comes(lab: NetLab) -> None:
    server = lab.tcp_server()
    with pytest.raises(WaitTimeout, match=r"after 0\.05 s no connection came to <tcp_server on tcp://127"):
        server.accept(within=0.05)


def test_accept_is_not_for_a_server_with_handlers(lab: NetLab) -> None:
    server = lab.tcp_server(ServerConnection.recv)
    with pytest.raises(TypeError, match="has handlers; expected"):
        server.accept()


@pytest.mark.parametrize("within", [-1, float("nan"), "1", True])
def test_a_deadline_is_a_number_of_seconds(lab: NetLab, within: object) -> None:
    with pytest.raises((TypeError, ValueError), match="within is"):
        lab.tcp_server().accept(within=within)  # type: ignore[arg-type]


def test_connections_of_before_a_stop_are_not_accepted_after_it(lab: NetLab) -> None:
    server = lab.tcp_server()
    with connect(server) as client:
        lab.wait_for(lambda: server.connections)
        server.stop()
        assert client.recv(1) == b""
    server.start()
    with connect(server):
        assert server.accept().number == 2


# Deaf servers.


@pytest.mark.parametrize("host", HOSTS)
def test_a_deaf_server_lets_connect_and_reads_nothing(lab: NetLab, host: str) -> None:
    server = lab.deaf_server(host=host)
    with connect(server) as client:
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.recv(1)
        with pytest.raises(BlockingIOError):
            while True:
                client.send(bytes(1 << 16))


def test_a_deaf_server_that_stops_resets_and_refuses(lab: NetLab) -> None:
    server = lab.deaf_server(name="tarpit")
    assert repr(server) == f"<tarpit on {server.url}>"
    with connect(server) as client:
        server.stop()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with pytest.raises(ConnectionRefusedError):
        connect(server)
    server.start()
    connect(server).close()


def test_a_thousand_clients_leave_their_sockets_open_and_nobody_waits(lab: NetLab) -> None:
    with NetLab() as inner:
        server = inner.tcp_echo()
        clients = [connect(server) for _ in range(200)]
        inner.wait_for(lambda: len(server.connections) == 200)
    for client in clients:
        assert client.recv(1) == b""
        client.close()
