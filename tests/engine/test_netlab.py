"""The lab: what it makes it closes, errors reach who uses it, waits end, and bad arguments are told.

Without pytest's fixtures: this is how Hypothesis, unittest and scripts use it.
"""

from __future__ import annotations

import itertools
import socket
import sys
import threading
import time
from collections.abc import Callable
from fcntl import ioctl
from typing import Any

import pytest
from engine.server_tools import HOSTS, connect, dialogue, read_all, taken_error, udp_client

from pytest_netfixtures import (
    ConnectionEnded,
    Event,
    FaultNeverFired,
    NetLab,
    Reset,
    Seen,
    ServerConnection,
    SetupError,
    WaitTimeout,
)
from pytest_netfixtures._wire.entries import LegOpened, Marked, Noted


class WrongError(Exception):
    """What a handler of these tests raises."""


def goes_wrong(connection: ServerConnection) -> None:
    raise WrongError("in the handler")


def visit(server: Any) -> None:
    with connect(server) as client:
        assert read_all(client) == b""


# Errors and ends.


def test_a_handlers_error_is_raised_at_the_end_of_the_block() -> None:
    with pytest.raises(WrongError, match="in the handler") as caught, NetLab() as lab:
        visit(lab.tcp_server(goes_wrong))
    assert "goes_wrong" in [entry.name for entry in caught.traceback]


def test_the_error_of_the_block_itself_comes_first() -> None:
    with pytest.raises(ZeroDivisionError), NetLab() as lab:
        visit(lab.tcp_server(goes_wrong))
        raise ZeroDivisionError


def test_an_error_that_was_taken_is_not_raised_again() -> None:
    with NetLab() as lab:
        visit(lab.tcp_server(goes_wrong))
        assert isinstance(taken_error(lab), WrongError)


def test_of_many_errors_none_is_lost() -> None:
    with NetLab() as lab:
        server = lab.tcp_server(goes_wrong)
        taken: list[BaseException] = []

        def all_taken() -> bool:
            taken.extend(lab.errors())
            return len(taken) == 50

        for _ in range(50):
            visit(server)
            all_taken()
        lab.wait_for(all_taken)


def test_closing_closes_everything_and_once_is_enough() -> None:
    lab = NetLab()
    servers = [
        lab.tcp_echo(),
        lab.tcp_server(),
        lab.http_echo(),
        lab.deaf_server(),
        lab.tcp_proxy(lab.tcp_echo()),
    ]
    clients = [connect(server) for server in servers]
    lab.close()
    lab.close()
    assert lab.closed
    assert lab.endpoints == ()
    for server, client in zip(servers, clients, strict=True):
        client.close()
        with pytest.raises(ConnectionRefusedError):
            connect(server)


@pytest.mark.parametrize(
    "make",
    [
        NetLab.tcp_echo,
        NetLab.tcp_server,
        NetLab.http_echo,
        NetLab.udp_responder,
        NetLab.deaf_server,
        NetLab.refused_address,
        lambda lab: lab.tcp_proxy(("127.0.0.1", 1)),
    ],
)
def test_a_closed_lab_makes_nothing(make: Callable[[NetLab], object]) -> None:
    lab = NetLab()
    lab.close()
    with pytest.raises(SetupError, match="the lab is closed; expected an open one"):
        make(lab)


@pytest.mark.parametrize(
    "wrong",
    [
        {"seed": "7"},
        {"seed": 1.5},
        {"seed": True},
        {"wait": -1},
        {"wait": 0},
        {"wait": "5"},
        {"wait": float("inf")},
        {"record_bytes": -1},
        {"record_bytes": 1.5},
    ],
    ids=str,
)
def test_wrong_arguments_are_told_at_once(wrong: dict[str, Any]) -> None:
    (field,) = wrong
    with pytest.raises((TypeError, ValueError), match=f"{field} is .*; expected"):
        NetLab(**wrong)


def test_the_record_is_as_long_as_asked_for() -> None:
    with NetLab(record_bytes=4) as lab, connect(lab.tcp_echo()) as client:
        client.sendall(b"abcdef")
        assert client.recv(10) == b"abcdef"
        flow = lab.traffic.to_server
        assert (flow.cut, flow.sent_bytes) == (True, 6)


# Waiting.


def test_wait_for_sees_what_happens_on_the_wire() -> None:
    with NetLab() as lab, connect(lab.tcp_echo()) as client:
        client.sendall(b"x")
        lab.wait_for(lambda: lab.traffic.connections and lab.traffic.to_client.sent == b"x")


def test_wait_for_sees_what_happens_elsewhere() -> None:
    with NetLab() as lab:
        asked = itertools.count()
        lab.wait_for(lambda: next(asked) == 5)
        elsewhere = threading.Event()
        threading.Thread(target=elsewhere.set).start()
        lab.wait_for(elsewhere.is_set)


def test_wait_for_ends_at_its_deadline_and_names_the_condition() -> None:
    def has_come_true() -> bool:
        return False

    with NetLab() as lab:
        began = time.monotonic()
        with pytest.raises(WaitTimeout, match=r"after 0\.05 s .*has_come_true was not true; expected it to"):
            lab.wait_for(has_come_true, within=0.05)
        assert time.monotonic() - began >= 0.05


def test_the_default_deadline_is_that_of_the_lab() -> None:
    with NetLab(wait=0.03) as lab:
        assert lab.wait == 0.03
        with pytest.raises(WaitTimeout, match=r"after 0\.03 s"):
            lab.wait_for(lambda: False)
        with dialogue(lab) as (_, connection), pytest.raises(WaitTimeout, match=r"in 0\.03 s"):
            connection.readline()


def test_a_deadline_of_nothing_looks_once() -> None:
    asked: list[int] = []
    with NetLab() as lab:
        lab.wait_for(lambda: True, within=0)
        with pytest.raises(WaitTimeout):
            lab.wait_for(lambda: asked.append(1), within=0)
    assert asked == [1]


@pytest.mark.parametrize("condition", [True, None, "x"])
def test_a_condition_is_a_function(condition: Any) -> None:
    with NetLab() as lab, pytest.raises(TypeError, match=r"condition is .*; expected a function"):
        lab.wait_for(condition)


@pytest.mark.parametrize("within", [-1, "1", float("nan"), True])
def test_a_deadline_is_a_number_of_seconds(within: Any) -> None:
    with NetLab() as lab, pytest.raises((TypeError, ValueError), match=r"within is .*; expected"):
        lab.wait_for(lambda: True, within=within)


def test_the_error_of_a_condition_is_its_own() -> None:
    def breaks() -> None:
        raise WrongError

    with NetLab() as lab, pytest.raises(WrongError):
        lab.wait_for(breaks)


# For those who run the tests.


def test_a_sink_hears_of_what_is_open_first_and_of_all_the_rest() -> None:
    with NetLab() as lab:
        server = lab.tcp_echo()
        gone = connect(server)
        gone.close()
        with connect(server) as client:
            client.sendall(b"x")
            assert client.recv(1) == b"x"
            lab.wait_for(lambda: [c.ended["server"] for c in server.connections] == ["FIN", None])
            lab.wait_for(lambda: not server._live[0].open)
            heard: list[Any] = []

            def sink(entry: object, data: bytes | None) -> None:
                heard.append(entry)

            lab.add_sink(sink)
            assert [(type(entry), entry.number, entry.before) for entry in heard] == [(LegOpened, 2, True)]
            connect(server).close()
            lab.wait_for(lambda: any(getattr(entry, "number", 0) == 3 for entry in heard))
            lab.remove_sink(sink)
            count = len(heard)
            lab.mark("nobody hears this")
            assert len(heard) == count


def test_marks_and_notes_are_in_the_story() -> None:
    with NetLab() as lab:
        lab.mark("half time")
        lab.reset_all("it took too long")
        story = [(type(entry), getattr(entry, "text", "")) for entry in lab.recorder.story()]
    assert story == [(Marked, "half time"), (Noted, "it took too long")]


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("kind", ["tcp_echo", "tcp_server", "http_echo", "deaf_server"])
def test_reset_all_ends_a_client_that_waits(kind: str, host: str) -> None:
    with NetLab() as lab:
        server = getattr(lab, kind)(host=host)
        with connect(server) as client:
            if kind != "deaf_server":
                lab.wait_for(lambda: server.connections)
            lab.reset_all("over")
            with pytest.raises(ConnectionResetError):
                client.recv(1)
        with connect(server) as client:
            client.setblocking(False)
            with pytest.raises(BlockingIOError):
                client.recv(1)


def test_reset_all_ends_a_handler_that_waits() -> None:
    with NetLab() as lab:
        ended: list[BaseException] = []

        def handler(connection: ServerConnection) -> None:
            try:
                connection.hold(threading.Event())
            except ConnectionEnded as error:
                ended.append(error)

        server = lab.tcp_server(handler)
        with connect(server) as client:
            lab.wait_for(lambda: server.connections)
            lab.reset_all("over")
            with pytest.raises(ConnectionResetError):
                client.recv(1)
            lab.wait_for(lambda: ended)


def test_reset_all_ends_the_test_as_server() -> None:
    with NetLab() as lab, dialogue(lab) as (_, connection):
        timer = threading.Timer(0.05, lab.reset_all, ["over"])
        timer.start()
        with pytest.raises(ConnectionEnded, match="was ended by its server"):
            connection.recv()
        timer.join()


def test_a_lab_that_forgets_keeps_what_is_open() -> None:
    with NetLab() as lab:
        echo, udp = lab.tcp_echo(), lab.udp_responder()
        with connect(echo) as client, udp_client(udp) as other:
            for place in (client, other):
                place.send(b"old")
                assert place.recv(10) == b"old"
            lab.forget()
            assert [(c.endpoint, c.number, c.opened_before) for c in lab.traffic.connections] == [
                ("tcp_echo", 0, True)
            ]
            client.send(b"new")
            assert client.recv(10) == b"new"
            assert echo.traffic.to_server.sent == b"new"


def test_two_labs_do_not_mix() -> None:
    with NetLab() as one, NetLab() as two:
        first, second = one.tcp_echo(), two.tcp_echo()
        assert first.name == second.name
        for server in (first, second):
            with connect(server) as client:
                client.sendall(b"x")
                client.recv(1)
        visit(one.tcp_server(goes_wrong))
        one.wait_for(lambda: one._scope.errors)
        assert two.errors() == []
        assert [len(lab.traffic.connections) for lab in (one, two)] == [2, 1]
        assert len(one.errors()) == 1


def test_a_guard_in_place_of_the_socket_class_is_not_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.socket

    class Guard(real):  # type: ignore[misc, valid-type]
        def __new__(cls, *args: object, **kwargs: object) -> Guard:
            raise RuntimeError("a test should not use a socket")

    with NetLab() as lab:
        monkeypatch.setattr(socket, "socket", Guard)
        with pytest.raises(RuntimeError):
            socket.socket()
        server = lab.tcp_server(lambda connection: connection.send(connection.recv()))
        servers = [lab.tcp_echo(), server, lab.tcp_proxy(lab.tcp_echo()), lab.deaf_server()]
        udp, http = lab.udp_responder(), lab.http_echo()
        nobody = lab.refused_address()
        monkeypatch.undo()
        for place in servers[:3]:
            with connect(place) as client:
                client.sendall(b"x")
                assert client.recv(1) == b"x"
        with udp_client(udp) as client:
            client.send(b"x")
            assert client.recv(1) == b"x"
        with connect(http) as client:
            client.sendall(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
            assert b"200 OK" in read_all(client)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(nobody)


def test_clients_that_the_guard_lets_through_meet_servers_that_accept_under_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, created = socket.socket, socket.create_connection

    def refuse(*args: object, **kwargs: object) -> None:
        raise RuntimeError("a test should not use a socket")

    with NetLab() as lab:
        server = lab.tcp_server(lambda connection: connection.send(connection.recv()))
        client = real(socket.AF_INET)
        with client:
            monkeypatch.setattr(socket, "socket", refuse)
            client.settimeout(30)
            client.connect(server.address)
            client.sendall(b"x")
            assert client.recv(1) == b"x"
            assert read_all(client) == b""
        assert created is not None


def test_a_fault_that_never_fired_in_a_block_is_a_warning() -> None:
    with pytest.warns(
        FaultNeverFired, match=r"Reset\(after=9\) to_client of tcp_proxy was armed and never fired"
    ):
        with NetLab() as lab:
            lab.tcp_proxy(lab.tcp_echo(), to_client=Reset(after=9))
    with NetLab(must_fire=False) as lab:
        lab.tcp_proxy(lab.tcp_echo(), to_client=Reset(after=9))
    with NetLab() as lab:
        lab.tcp_proxy(lab.tcp_echo(), to_client=Reset(after=9).optional())


def test_a_function_that_never_fired_is_called_by_its_name() -> None:
    def nothing(event: Event, seen: Seen) -> list[Event]:
        return [event]

    with pytest.warns(
        FaultNeverFired, match=r"^test_a_function_\w+\.<locals>\.nothing to_client of tcp_proxy was"
    ):
        with NetLab() as lab:
            lab.tcp_proxy(lab.tcp_echo(), to_client=nothing)


def test_a_block_that_failed_says_nothing_of_faults() -> None:
    with pytest.raises(LookupError), NetLab() as lab:
        lab.tcp_proxy(lab.tcp_echo(), to_client=Reset(after=9))
        raise LookupError


def all_has_arrived(client: socket.socket) -> bool:
    """Whether the peer's kernel has everything: nothing is unacknowledged (SIOCOUTQ)."""
    return ioctl(client.fileno(), 0x5411, bytes(4)) == bytes(4)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux what has arrived")
def test_what_a_client_did_before_forgetting_belongs_to_before() -> None:
    with NetLab() as lab:
        server = lab.tcp_proxy(lab.tcp_echo())
        busy = threading.Event()
        lab.engine.post(lambda: busy.wait(10))  # so that the engine has seen nothing of it
        with connect(server) as client:
            client.sendall(b"before")
            while not all_has_arrived(client):
                pass
            forgetting = threading.Thread(target=lab.forget)
            forgetting.start()
            busy.set()
            forgetting.join()
            assert [connection.opened_before for connection in server.connections] == [True]
            assert server.connections[0].to_server.sent == b""
            assert client.recv(100) == b"before"
