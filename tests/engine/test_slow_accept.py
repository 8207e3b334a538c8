"""A proxy that takes connections up late: the kernel answers, nothing is read, and the upstream hears nothing meanwhile."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from engine.proxy_tools import Client, connect, ends, entries, read_to_end, reset, take

from pytest_netfixtures import Data, NetLab, Opened, Reset, narrow
from pytest_netfixtures._engine.tcp_proxy import TcpProxy
from pytest_netfixtures._wire.entries import LegOpened, LegOpening, Noted, Sent
from pytest_netfixtures._wire.ladder import ladder

LONG = 3600.0
SHORT = 0.1

Act = Callable[[TcpProxy], object]


def times_of(lab: NetLab, proxy: TcpProxy) -> dict[str, float]:
    """When each leg of the only connection was opened, its first byte was read, and it was taken up."""
    kinds: list[Any] = [LegOpening, LegOpened, Sent, Noted]
    told = [
        entry for kind in kinds for entry in entries(lab, kind) if entry.connection == proxy.connections[0].id
    ]
    named = [(f"{getattr(entry, 'leg', '')} {type(entry).__name__}".strip(), entry.at) for entry in told]
    return dict(reversed(named))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_connect_succeeds_at_once_and_all_else_is_late(host: str) -> None:
    with NetLab() as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(host=host), accept_delay=SHORT, host=host)
        assert proxy.accept_delay == SHORT
        with connect(proxy) as client:
            client.sendall(b"hello")
            assert take(client, 5) == b"hello"
        times = times_of(lab, proxy)
    in_order = ["Noted", "server LegOpening", "server LegOpened", "Sent"]
    assert times["Noted"] - times["client LegOpened"] >= SHORT
    assert sorted(in_order, key=times.__getitem__) == in_order


def test_nothing_is_read_and_nobody_is_dialled_before() -> None:
    with NetLab() as lab:
        server = lab.tcp_server()
        proxy = lab.tcp_proxy(server, accept_delay=LONG)
        with connect(proxy) as client:
            client.sendall(b"hello")
            lab.wait_for(lambda: proxy.connections)
            client.settimeout(0.1)
            with pytest.raises(TimeoutError):
                client.recv(1)
            (connection,) = proxy.connections
            assert (connection.to_server.sent, connection.upstream, connection.notes) == (b"", None, ())
            assert server.connections == ()


def test_the_ladder_shows_when_it_was_taken_up() -> None:
    with NetLab() as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(prefix=b"x"), accept_delay=0.05)
        with connect(proxy) as client:
            assert take(client, 1) == b"x"
        assert proxy.connections[0].notes == ("taken up after 0.05 s",)
        with lab.engine.journal.lock:
            assert "note: taken up after 0.05 s" in ladder(lab.recorder.story(), lab.traffic)


def test_without_a_delay_nothing_is_said() -> None:
    with NetLab() as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(prefix=b"x"))
        assert proxy.accept_delay == 0
        with connect(proxy) as client:
            assert take(client, 1) == b"x"
        assert proxy.connections[0].notes == ()


def test_it_may_be_changed_while_running_for_later_connections() -> None:
    with NetLab() as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(prefix=b"x"), accept_delay=LONG)
        with connect(proxy) as first:
            lab.wait_for(lambda: proxy.connections)
            proxy.accept_delay = 0
            with connect(proxy) as second:
                assert take(second, 1) == b"x"
            proxy.accept_delay = 0.01
            with connect(proxy) as third:
                assert take(third, 1) == b"x"
            assert [connection.notes for connection in proxy.connections] == [
                (),
                (),
                ("taken up after 0.01 s",),
            ]
            first.settimeout(0.05)
            with pytest.raises(TimeoutError):
                first.recv(1)


@pytest.mark.parametrize("wrong", [-1, "0.5", None, float("nan"), float("inf"), True])
def test_a_wrong_delay_is_refused_where_it_is_written(wrong: Any) -> None:
    with NetLab() as lab:
        with pytest.raises((TypeError, ValueError), match="accept_delay is "):
            lab.tcp_proxy(lab.refused_address(), accept_delay=wrong)
        proxy = lab.tcp_proxy(lab.refused_address(), accept_delay=0.5)
        with pytest.raises((TypeError, ValueError), match="accept_delay is "):
            proxy.accept_delay = wrong
        assert proxy.accept_delay == 0.5


def test_the_upstream_is_the_one_at_the_time_when_it_is_taken_up() -> None:
    with NetLab() as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(prefix=b"old"), accept_delay=SHORT)
        with connect(proxy) as client:
            lab.wait_for(lambda: proxy.connections)
            proxy.upstream = lab.tcp_echo(prefix=b"new")
            assert take(client, 3) == b"new"


@pytest.mark.parametrize(("choice", "end"), [("reset", "RST"), ("close", "FIN")])
def test_an_upstream_that_refuses_is_met_late_too(choice: str, end: str) -> None:
    with NetLab() as lab:
        proxy = lab.tcp_proxy(lab.refused_address(), accept_delay=SHORT, on_unreachable=choice)
        began = time.monotonic()
        with connect(proxy) as client:
            assert read_to_end(client) == (b"", end)
        assert time.monotonic() - began >= SHORT


# What the client does meanwhile.


def test_a_client_that_half_closed_meanwhile_is_served() -> None:
    with NetLab() as lab:
        proxy = lab.tcp_proxy(
            lab.tcp_server(lambda conn: conn.send(b"got " + conn.recv_to_end())), accept_delay=SHORT
        )
        with connect(proxy) as client:
            client.sendall(b"all of it")
            client.shutdown(socket.SHUT_WR)
            assert read_to_end(client) == (b"got all of it", "FIN")
        lab.wait_for(lambda: not proxy.open_connections())


def test_a_client_that_closed_meanwhile_is_told_to_the_server() -> None:
    with NetLab() as lab:
        server = lab.tcp_server()
        proxy = lab.tcp_proxy(server, accept_delay=SHORT)
        with connect(proxy) as client:
            client.sendall(b"in vain")
        conn = server.accept()
        assert conn.recv_to_end() == b"in vain"
        conn.close()
        lab.wait_for(lambda: not proxy.open_connections())


def test_a_client_that_resets_meanwhile_is_noticed_at_once_and_nobody_is_dialled() -> None:
    asked: list[Any] = []

    def notes(event: Any, seen: Any) -> Any:
        asked.append(event)
        return []

    with NetLab() as lab:
        server = lab.tcp_server()
        proxy = lab.tcp_proxy(server, accept_delay=LONG, to_server=narrow(notes).optional())
        with connect(proxy) as client:
            client.sendall(b"in vain")
            reset(client)
            lab.wait_for(lambda: ends(proxy).get("client") == "RST")
        lab.wait_for(lambda: not proxy.open_connections() and proxy.connections[0].notes)
        (connection,) = proxy.connections
        assert (connection.to_server.sent, connection.to_server.delivered) == (b"in vain", b"")
        assert connection.notes == ("the client was gone before it was taken up",)
        assert server.connections == ()
        assert asked == []  # nothing was opened, so no fault hears of it


def test_that_it_waits_costs_no_processor_time() -> None:
    with NetLab() as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), accept_delay=LONG)
        with connect(proxy) as client, connect(proxy) as leaver:
            client.sendall(b"hello")
            leaver.sendall(b"hello")
            leaver.shutdown(socket.SHUT_WR)
            lab.wait_for(lambda: len(proxy.connections) == 2)
            used = lab.engine.call(time.thread_time)
            client.settimeout(0.3)
            with pytest.raises(TimeoutError):
                client.recv(1)
            assert lab.engine.call(time.thread_time) - used < 0.15


# What the test does meanwhile.


def waiting(lab: NetLab, proxy: TcpProxy, client: Client) -> None:
    """The connection is accepted, with a byte in it, and waits."""
    client.sendall(b"x")
    lab.wait_for(proxy.open_connections)


@pytest.mark.parametrize(
    ("act", "end"),
    [
        (lambda proxy: proxy.stop(), "FIN"),
        (lambda proxy: proxy.close(), "FIN"),
        (lambda proxy: proxy.cut(), "FIN"),
        (lambda proxy: proxy.cut(reset=True), "RST"),
    ],
    ids=["stop", "close", "cut", "cut with RST"],
)
def test_ending_it_meanwhile_is_prompt_and_nobody_is_dialled(act: Act, end: str) -> None:
    with NetLab() as lab:
        server = lab.tcp_server()
        proxy = lab.tcp_proxy(server, accept_delay=SHORT)
        with connect(proxy) as client:
            waiting(lab, proxy, client)
            act(proxy)
            assert read_to_end(client) == (b"", end)
        lab.wait_for(lambda: not proxy.open_connections())
        with pytest.raises(AssertionError):
            server.accept(within=2 * SHORT)
        assert "taken up" not in str(proxy.connections[0].notes)


def test_the_lab_closes_without_waiting_and_keeps_what_was_sent() -> None:
    lab = NetLab()
    proxy = lab.tcp_proxy(lab.tcp_echo(), accept_delay=LONG)
    with connect(proxy) as client:
        waiting(lab, proxy, client)
        before = lab.engine.call(lambda: set(lab.engine.sockets))
        lab.close()
        assert read_to_end(client) == (b"", "FIN")
        assert proxy.traffic.to_server.sent == b"x"
        assert lab.engine.call(lambda: set(lab.engine.sockets)) < before
        assert lab.errors() == []


def test_a_pause_meanwhile_holds_the_bytes_and_not_the_taking_up() -> None:
    with NetLab() as lab:
        server = lab.tcp_server()
        proxy = lab.tcp_proxy(server, accept_delay=SHORT)
        with connect(proxy) as client:
            waiting(lab, proxy, client)
            with proxy.pause():
                conn = server.accept()
                lab.wait_for(lambda: proxy.traffic.to_server.sent == b"x")
                conn.expect_nothing(0.05)
            conn.expect(b"x")


def test_a_proxy_that_forgets_meanwhile_keeps_the_connection() -> None:
    with NetLab() as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), accept_delay=SHORT)
        with connect(proxy) as client:
            waiting(lab, proxy, client)
            proxy.forget()
            assert take(client, 1) == b"x"
            (connection,) = proxy.connections
            assert (connection.number, connection.opened_before) == (0, True)
            assert connection.to_server.sent == b"x"


def test_refusing_meanwhile_is_for_new_clients_alone() -> None:
    with NetLab() as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), accept_delay=SHORT)
        with connect(proxy) as client:
            waiting(lab, proxy, client)
            with proxy.refuse():
                with pytest.raises(ConnectionRefusedError), connect(proxy):
                    pass
                assert take(client, 1) == b"x"


def test_faults_armed_and_lifted_meanwhile_are_as_at_the_start() -> None:
    with NetLab() as lab:
        proxy = lab.tcp_proxy(
            lab.tcp_echo(prefix=b"abcdef"), accept_delay=SHORT, to_client=Reset().optional()
        )
        with connect(proxy) as client:
            lab.wait_for(proxy.open_connections)
            proxy.set_faults(to_client=Reset(after=3))
            assert read_to_end(client) == (b"abc", "RST")


def test_a_fault_is_told_of_the_opening_when_the_connection_is_taken_up() -> None:
    opened = []

    def notes(event: Any, seen: Any) -> Any:
        opened.extend([event.at] if isinstance(event, Opened) else [])
        return [event] if isinstance(event, Data) else []

    with NetLab() as lab:
        proxy = lab.tcp_proxy(
            lab.tcp_echo(prefix=b"x"), accept_delay=SHORT, to_client=narrow(notes).optional()
        )
        with connect(proxy) as client:
            assert take(client, 1) == b"x"
        times = times_of(lab, proxy)
    assert opened[0] >= times["Noted"] >= times["client LegOpened"] + SHORT


def test_many_at_once_are_all_taken_up_not_before_their_time() -> None:
    with NetLab() as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), accept_delay=SHORT)
        got: list[tuple[bytes, float]] = []
        threads = [threading.Thread(target=_ask, args=(proxy, got)) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [data for data, _ in got] == [b"ping"] * 20
        assert min(seconds for _, seconds in got) >= SHORT
        lab.wait_for(lambda: not proxy.open_connections())


def _ask(proxy: TcpProxy, got: list[tuple[bytes, float]]) -> None:
    began = time.monotonic()
    with connect(proxy) as client:
        client.sendall(b"ping")
        got.append((take(client, 4), time.monotonic() - began))
