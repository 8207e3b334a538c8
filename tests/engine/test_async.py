"""The twins for async code, under asyncio and trio: the loop goes on while they wait, and a cancelled one takes nothing.

Every test runs a loop of its own, so that no plugin is needed.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from functools import partial
from typing import Any

import pytest
import trio
from engine.server_tools import connect, dialogue, leave_by_reset, pattern, pouring, small_client

from pytest_netfixtures import ConnectionEnded, NetLab, NetlabError, ServerConnection, WaitTimeout

Run = Callable[[Callable[[], Coroutine[Any, Any, Any]]], Any]


@pytest.fixture
def lab() -> Iterator[NetLab]:
    with NetLab() as lab:
        yield lab


@pytest.fixture(params=["asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs an async function in a loop."""
    return trio.run if request.param == "trio" else lambda function: asyncio.run(function())


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda c: c.recv_async(3), b"abc"),
        (lambda c: c.recv_until_async(b"\n"), b"abc\n"),
        (lambda c: c.recv_exactly_async(5), b"abc\nd"),
        (lambda c: c.readline_async(), b"abc\n"),
        (lambda c: c.recv_to_end_async(), b"abc\ndef"),
        (lambda c: c.expect_async(b"abc\nde"), b"abc\nde"),
    ],
    ids=["recv", "recv_until", "recv_exactly", "readline", "recv_to_end", "expect"],
)
def test_a_twin_gives_what_its_sync_form_gives(
    lab: NetLab, run: Run, call: Callable[[ServerConnection], Awaitable[bytes]], expected: bytes
) -> None:
    with dialogue(lab) as (client, connection):

        def speak() -> None:
            client.sendall(b"abc\ndef")
            client.close()

        timer = threading.Timer(0.02, speak)
        timer.start()

        async def main() -> bytes:
            return await call(connection)

        assert run(main) == expected
        timer.join()


def test_the_loop_goes_on_while_a_twin_waits(lab: NetLab) -> None:
    server = lab.tcp_server()

    async def client() -> bytes:
        reader, writer = await asyncio.open_connection(*server.address)
        writer.write(b"hello")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    async def main() -> None:
        task = asyncio.create_task(client())
        connection = await server.accept_async()
        assert await connection.expect_async(b"hello") == b"hello"
        await connection.expect_nothing_async(0.02)
        assert await connection.send_async(b"welcome") == 7
        connection.half_close()
        assert await task == b"welcome"
        await connection.expect_eof_async()

    asyncio.run(main())


def test_trio_goes_on_while_a_twin_waits(lab: NetLab) -> None:
    server = lab.tcp_server()

    async def client(answers: list[bytes]) -> None:
        async with await trio.open_tcp_stream(*server.address) as stream:
            await stream.send_all(b"hello")
            answers.append(await stream.receive_some(100))

    async def main() -> None:
        answers: list[bytes] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client, answers)
            connection = await server.accept_async()
            await connection.expect_async(b"hello")
            await connection.send_async(b"welcome")
            await connection.expect_eof_async()
        assert answers == [b"welcome"]

    trio.run(main)


def test_trio_is_refused_a_wait_too(lab: NetLab) -> None:
    async def main() -> None:
        lab.wait_for(lambda: False)

    with pytest.raises(NetlabError, match=r"Write: await wait_for_async\("):
        trio.run(main)


def test_wait_for_in_a_loop_looks_once_and_names_its_twin(lab: NetLab) -> None:
    asked: list[int] = []

    async def main() -> None:
        lab.wait_for(lambda: True)
        lab.wait_for(lambda: asked.append(1))

    with pytest.raises(NetlabError, match=r"wait_for\(\) would have to wait.*Write: await wait_for_async\("):
        asyncio.run(main())
    assert asked == [1]


def test_wait_for_async_waits(lab: NetLab, run: Run) -> None:
    with connect(lab.tcp_echo()) as client:
        timer = threading.Timer(0.02, client.sendall, [b"x"])
        timer.start()
        run(
            partial(
                lab.wait_for_async, lambda: any(c.to_client.sent == b"x" for c in lab.traffic.connections)
            )
        )
        timer.join()


def test_twins_meet_their_deadlines(lab: NetLab, run: Run) -> None:
    server = lab.tcp_server()
    with pytest.raises(WaitTimeout, match=r"after 0\.02 s no connection came to"):
        run(partial(server.accept_async, within=0.02))
    with pytest.raises(WaitTimeout, match=r"after 0\.02 s .* was not true"):
        run(partial(lab.wait_for_async, lambda: False, within=0.02))
    with dialogue(lab) as (_, connection):
        with pytest.raises(WaitTimeout, match=r"got nothing in 0\.02 s; expected 3 bytes"):
            run(partial(connection.recv_exactly_async, 3, within=0.02))
        connection.settimeout(0.02)
        with pytest.raises(TimeoutError):
            run(connection.recv_async)


def test_twins_tell_of_ends(lab: NetLab, run: Run) -> None:
    with dialogue(lab) as (client, connection):
        client.close()
        with pytest.raises(ConnectionEnded, match="the client closed too early"):
            run(partial(connection.recv_exactly_async, 3))
        with pytest.raises(AssertionError, match="got nothing and then FIN"):
            run(partial(connection.expect_nothing_async, 60))
    with dialogue(lab) as (client, connection):
        leave_by_reset(client)
        with pytest.raises(ConnectionResetError):
            run(connection.recv_async)
        with pytest.raises(AssertionError, match="and then RST"):
            run(connection.expect_eof_async)


def test_accept_async_is_not_for_a_server_with_handlers(lab: NetLab) -> None:
    with pytest.raises(TypeError, match="has handlers"):
        asyncio.run(lab.tcp_server(ServerConnection.recv).accept_async())


def test_hold_async_is_released(lab: NetLab, run: Run) -> None:
    event = threading.Event()
    with dialogue(lab) as (_, connection):
        timer = threading.Timer(0.02, event.set)
        timer.start()
        run(partial(connection.hold_async, event))
        timer.join()


def test_send_async_waits_for_a_client_that_reads_later(lab: NetLab, run: Run) -> None:
    server, data, got = lab.tcp_server(), pattern(3 << 20), bytearray()

    def read() -> None:
        while len(got) < len(data):
            got.extend(client.recv(65536))

    with small_client(server) as client:
        connection = server.accept()
        timer = threading.Timer(0.02, read)
        timer.start()
        assert run(partial(connection.send_async, data)) == len(data)
        timer.join()
    assert got == data


def test_more_than_the_inbox_holds_can_be_awaited(lab: NetLab, run: Run) -> None:
    data = pattern(3 << 20)
    with dialogue(lab) as (client, connection), pouring(client, data):
        assert run(partial(connection.recv_exactly_async, len(data))) == data


def test_a_cancelled_wait_takes_nothing_and_holds_nobody_up(lab: NetLab) -> None:
    with dialogue(lab) as (client, connection):

        async def main() -> None:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(connection.recv_exactly_async(3, within=60), 0.02)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(lab.wait_for_async(over.is_set, within=60), 0.02)

        over = threading.Event()
        asyncio.run(main())
        client.sendall(b"abc")
        lab.wait_for(lambda: lab.traffic.to_server.sent == b"abc")
        over.set()
        waiting = [thread for thread in threading.enumerate() if thread.name == "netfixtures waiting"]
        for thread in waiting:
            thread.join(30)
        assert connection.recv_exactly(3) == b"abc"


def test_a_cancelled_wait_of_trio_takes_nothing(lab: NetLab) -> None:
    with dialogue(lab) as (client, connection):

        async def main() -> None:
            with trio.move_on_after(0.02):
                await connection.recv_exactly_async(3, within=60)

        trio.run(main)
        client.sendall(b"abc")
        lab.wait_for(lambda: lab.traffic.to_server.sent == b"abc")
        assert connection.recv_exactly(3) == b"abc"


def test_outside_of_a_loop_a_twin_says_so(lab: NetLab) -> None:
    step = lab.wait_for_async(lambda: True)
    with pytest.raises(NetlabError, match="no event loop runs here; expected asyncio or trio"):
        step.send(None)


def test_handlers_wait_while_a_loop_runs_elsewhere(lab: NetLab) -> None:
    server = lab.tcp_server(lambda connection: connection.send(connection.recv_exactly(3)[::-1]))

    async def main() -> bytes:
        reader, writer = await asyncio.open_connection(*server.address)
        writer.write(b"abc")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    assert asyncio.run(main()) == b"cba"


def test_stop_and_start_work_inside_the_loop(lab: NetLab) -> None:
    server = lab.tcp_echo()

    async def main() -> None:
        reader, writer = await asyncio.open_connection(*server.address)
        server.stop()
        assert await reader.read() == b""
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*server.address)
        server.start()
        _, again = await asyncio.open_connection(*server.address)
        for each in (writer, again):
            each.close()
            await each.wait_closed()

    asyncio.run(main())
