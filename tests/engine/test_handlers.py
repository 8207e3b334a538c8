"""Handlers in their threads: lists of them, what they return, how their errors reach the test, and how they end.

The client's leaving is no error, the end of the test is none either, and nothing that a handler does holds a test up.
"""

from __future__ import annotations

import socket
import threading
import traceback
from collections.abc import Callable, Iterator

import pytest
from engine.server_tools import connect, leave_by_reset, read_all, small_client, taken_error, total

from pytest_netfixtures import ConnectionEnded, NetLab, ServerConnection, ServerError


@pytest.fixture
def lab() -> Iterator[NetLab]:
    with NetLab() as lab:
        yield lab


def says(text: bytes) -> Callable[[ServerConnection], bytes]:
    def say(connection: ServerConnection) -> bytes:
        connection.send(text)
        return text

    return say


def ask(server: object) -> bytes:
    with connect(server) as client:
        return read_all(client)


# Lists of handlers.


def test_the_nth_connection_gets_the_nth_handler(lab: NetLab) -> None:
    server = lab.tcp_server([says(b"one"), says(b"two")])
    assert [ask(server), ask(server)] == [b"one", b"two"]
    lab.wait_for(lambda: server.results == [b"one", b"two"])


def test_one_connection_too_many_fails_the_test(lab: NetLab) -> None:
    server = lab.tcp_server([says(b"one")])
    ask(server)
    with pytest.raises(ConnectionError):
        ask(server)
    error = taken_error(lab)
    assert isinstance(error, ServerError)
    assert 'got connection 2; expected 1, as many as it has handlers: add one, or say then="refuse"' in str(
        error
    )


def test_after_the_list_nobody_listens(lab: NetLab) -> None:
    server = lab.tcp_server([says(b"one"), says(b"two")], then="refuse")
    assert [ask(server), ask(server)] == [b"one", b"two"]
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError):
            connect(server)
    assert lab.errors() == []


def test_after_the_list_it_starts_again(lab: NetLab) -> None:
    server = lab.tcp_server([says(b"one"), says(b"two")], then="repeat")
    assert [ask(server) for _ in range(5)] == [b"one", b"two", b"one", b"two", b"one"]


def test_one_handler_serves_all(lab: NetLab) -> None:
    server = lab.tcp_server(says(b"same"))
    assert [ask(server) for _ in range(3)] == [b"same"] * 3


def test_handlers_run_at_the_same_time(lab: NetLab) -> None:
    both = threading.Barrier(2, timeout=30)
    server = lab.tcp_server(lambda connection: both.wait())
    with connect(server) as first, connect(server) as second:
        assert read_all(first) == read_all(second) == b""


def test_results_stand_in_the_order_of_the_connections(lab: NetLab) -> None:
    server = lab.tcp_server(lambda connection: connection.recv_exactly(1))
    with connect(server) as first, connect(server) as second:
        lab.wait_for(lambda: server.results == [None, None])
        second.sendall(b"2")
        lab.wait_for(lambda: server.results == [None, b"2"])
        first.sendall(b"1")
        lab.wait_for(lambda: server.results == [b"1", b"2"])


@pytest.mark.parametrize("handler", [5, "text", [], [5], [says(b""), None]])
def test_a_handler_is_a_function_or_a_list_of_them(lab: NetLab, handler: object) -> None:
    with pytest.raises(TypeError, match=r"handler is .*; expected a function of the connection"):
        lab.tcp_server(handler)  # type: ignore[arg-type]


async def serve_async(connection: ServerConnection) -> None:
    """Would never run."""


def serve_in_steps(connection: ServerConnection) -> Iterator[None]:
    """Would never run."""
    yield


@pytest.mark.parametrize("handler", [serve_async, serve_in_steps, [serve_async]])
def test_what_must_be_awaited_is_no_handler(lab: NetLab, handler: object) -> None:
    with pytest.raises(TypeError, match=r"which is (async|a generator); expected a plain function"):
        lab.tcp_server(handler)  # type: ignore[arg-type]


def test_then_is_one_of_three(lab: NetLab) -> None:
    with pytest.raises(ValueError, match="then is 'close'; expected one of 'error', 'refuse', 'repeat'"):
        lab.tcp_server([says(b"")], then="close")


# Errors.


def breaks(connection: ServerConnection) -> None:
    connection.recv()
    raise ValueError("the handler is wrong")


def test_a_handlers_error_reaches_the_test_with_its_traceback(lab: NetLab) -> None:
    server = lab.tcp_server(breaks)
    with connect(server) as client:
        client.sendall(b"x")
        assert read_all(client) == b""
    error = taken_error(lab)
    assert isinstance(error, ValueError)
    assert "in breaks" in "".join(traceback.format_exception(error))
    assert lab.errors() == []


def test_a_verdict_of_pytest_inside_a_handler_reaches_the_test(lab: NetLab) -> None:
    def fails(connection: ServerConnection) -> None:
        pytest.fail("not like this")

    with connect(lab.tcp_server(fails)) as client:
        assert read_all(client) == b""
    assert isinstance(taken_error(lab), pytest.fail.Exception)


def test_a_connect_of_the_handlers_own_that_is_refused_is_an_error(lab: NetLab) -> None:
    nobody = lab.refused_address()
    server = lab.tcp_server(lambda connection: socket.create_connection(nobody))
    assert ask(server) == b""
    assert isinstance(taken_error(lab), ConnectionRefusedError)


def wants_more(connection: ServerConnection) -> None:
    connection.recv_exactly(100)


def talks_on(connection: ServerConnection) -> None:
    while True:
        connection.send(bytes(1000))


@pytest.mark.parametrize("handler", [wants_more, talks_on])
@pytest.mark.parametrize("leave", [socket.socket.close, leave_by_reset])
def test_a_client_that_leaves_is_noted_and_no_error(
    lab: NetLab, handler: Callable[[ServerConnection], None], leave: Callable[[socket.socket], None]
) -> None:
    server = lab.tcp_server(handler)
    client = connect(server)
    client.sendall(b"x")
    lab.wait_for(lambda: total(server, "to_server"))
    leave(client)
    lab.wait_for(lambda: server.connections[0].notes)
    assert "the client left its handler: " in server.connections[0].notes[0]
    assert lab.errors() == []


def test_a_cut_under_a_handler_is_told_as_what_it_is(lab: NetLab) -> None:
    server = lab.tcp_server(receives)
    with connect(server) as client:
        lab.wait_for(lambda: server.connections)
        server.cut()
        assert read_all(client) == b""
        lab.wait_for(lambda: server.connections[0].notes)
    (note,) = server.connections[0].notes
    assert note.startswith("its server ended it and left its handler: was ended by its server")


@pytest.mark.parametrize("whole_lab", [False, True])
def test_a_client_that_leaves_is_an_error_where_that_is_said(whole_lab: bool) -> None:
    with NetLab(strict=whole_lab) as lab:
        server = lab.tcp_server(wants_more, strict=True) if not whole_lab else lab.tcp_server(wants_more)
        connect(server).close()
        assert isinstance(taken_error(lab), ConnectionEnded)


# The end of the test.


def receives(connection: ServerConnection) -> None:
    connection.recv()


def holds(connection: ServerConnection) -> None:
    connection.hold(threading.Event())


def pours(connection: ServerConnection) -> None:
    connection.send(bytes(64 << 20))


def reads_a_file(connection: ServerConnection) -> None:
    with connection.makefile("rb") as file:
        file.readline()


def expects_nothing(connection: ServerConnection) -> None:
    connection.expect_nothing(100)


def spins_at_the_end(connection: ServerConnection) -> None:
    while connection.recv() != b"never":
        pass


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(
    "handler", [receives, wants_more, holds, pours, reads_a_file, expects_nothing, spins_at_the_end]
)
def test_whatever_a_handler_waits_for_it_is_released(
    handler: Callable[[ServerConnection], None], strict: bool
) -> None:
    with NetLab(strict=strict) as lab:
        server = lab.tcp_server(handler)
        client = small_client(server)
        if handler is spins_at_the_end:
            client.shutdown(socket.SHUT_WR)
        lab.wait_for(lambda: server._threads and server._threads[0].thread.is_alive())
        lab.close()
        assert not server._threads[0].thread.is_alive()
        assert lab.errors() == []
        assert server.connections[0].notes == ()
        client.close()


def test_a_handler_sees_the_clients_end_although_the_test_is_over() -> None:
    late, seen = threading.Event(), []

    def slow(connection: ServerConnection) -> None:
        late.wait(30)
        seen.append(connection.recv())
        seen.append(connection.recv())

    with NetLab() as lab:
        server = lab.tcp_server(slow)
        with connect(server) as client:
            client.sendall(b"abc")
        lab.wait_for(lambda: server.connections and server.connections[0].ended["client"])
        server.scope.engine.call(server._stop)
        late.set()
        lab.wait_for(lambda: seen == [b"abc", b""])
        assert lab.errors() == []


def test_a_handler_that_does_not_end_is_named_and_abandoned() -> None:
    forever = threading.Event()
    lab = NetLab()
    server = lab.tcp_server(lambda connection: forever.wait(60), name="stubborn")
    with connect(server), connect(server):
        lab.wait_for(lambda: len(server.results) == 2)
        with pytest.warns(
            RuntimeWarning, match=r"connection 1 of stubborn>, .*connection 2 of stubborn> did not end"
        ):
            lab.close()
    threads = [thread.thread for thread in server._threads]
    assert all(thread.daemon and thread.is_alive() for thread in threads)
    forever.set()
    for thread in threads:
        thread.join()


def test_a_warning_that_is_an_error_keeps_nothing_open() -> None:
    import warnings

    forever = threading.Event()
    lab = NetLab()
    echo = lab.tcp_echo()
    server = lab.tcp_server(lambda connection: forever.wait(60))
    with connect(server):
        lab.wait_for(lambda: server.results)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(RuntimeWarning, match="did not end within 2 s"):
                lab.close()
    assert not echo._listener.listening
    forever.set()
    server._threads[0].thread.join()


def test_nothing_stays_behind_when_handlers_return() -> None:
    before = set(threading.enumerate())
    for _ in range(20):
        with NetLab() as lab:
            server = lab.tcp_server(says(b"x"))
            assert [ask(server) for _ in range(5)] == [b"x"] * 5
    here = {thread for thread in threading.enumerate() if thread.name.startswith("netfixtures <")}
    assert here <= before


def test_the_traceback_of_a_handler_ends_in_the_handler(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        from pytest_netfixtures import NetLab
        import socket

        def test_greeting():
            with NetLab() as lab:
                server = lab.tcp_server(lambda connection: connection.expect(b"hello"))
                with socket.create_connection(server.address) as client:
                    client.sendall(b"hullo")
                    client.recv(1)
    """)
    text = "\n".join(pytester.runpytest_inprocess("-p", "no:netfixtures", "-p", "no:asyncio").outlines)
    assert 'connection.expect(b"hello")' in text
    assert "first difference at byte 1" in text
    assert "self._compared" not in text
