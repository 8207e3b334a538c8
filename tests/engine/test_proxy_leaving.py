"""Leaving: `stop()` from anywhere, teardown that waits for no peer, and nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import sys
import threading
import time
import tracemalloc
from contextlib import ExitStack

import pytest
from engine.proxy_tools import connect, read_to_end, take

from pytest_netfixtures import Delay, NetLab, Reset, Stall
from pytest_netfixtures._engine.loop import current_engine

LABS = 100
ROUNDS = 500


def test_stop_works_in_a_clients_callback_inside_the_event_loop() -> None:
    async def main() -> None:
        with NetLab(must_fire=False) as lab:
            proxy = lab.tcp_proxy(lab.tcp_echo())
            over = asyncio.get_running_loop().create_future()

            class Client(asyncio.Protocol):
                def connection_made(self, transport: asyncio.BaseTransport) -> None:
                    assert isinstance(transport, asyncio.Transport)
                    transport.write(b"hello")

                def data_received(self, data: bytes) -> None:
                    proxy.stop()

                def connection_lost(self, error: Exception | None) -> None:
                    over.set_result(proxy.traffic.to_client.delivered)

            await asyncio.get_running_loop().create_connection(Client, *proxy.address)
            assert await asyncio.wait_for(over, 10) == b"hello"
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(*proxy.address)
            proxy.start()
            reader, writer = await asyncio.open_connection(*proxy.address)
            writer.write(b"again")
            assert await asyncio.wait_for(reader.readexactly(5), 10) == b"again"
            writer.close()
            await writer.wait_closed()

    asyncio.run(main())


def test_a_lab_closes_inside_the_event_loop_while_a_client_is_connected() -> None:
    async def main() -> bytes:
        lab = NetLab(must_fire=False)
        proxy = lab.tcp_proxy(lab.tcp_echo())
        reader, writer = await asyncio.open_connection(*proxy.address)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        lab.close()
        rest = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        return rest

    assert asyncio.run(main()) == b""


def test_stop_may_be_called_by_many_threads_at_once() -> None:
    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo())
        with connect(proxy) as client:
            client.sendall(b"x")
            assert take(client, 1) == b"x"
            threads = [threading.Thread(target=proxy.stop) for _ in range(20)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert read_to_end(client)[0] == b""


def test_on_return_from_stop_the_port_refuses_and_the_connection_is_dead() -> None:
    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo())
        for _ in range(50):
            proxy.start()
            with connect(proxy) as client:
                proxy.stop()
                with pytest.raises(ConnectionRefusedError):
                    socket.create_connection(proxy.address)
                client.setblocking(False)
                try:
                    assert client.recv(1) == b""
                except ConnectionResetError:
                    pass


def test_leaving_100_labs_whose_clients_stay_connected_is_cheap() -> None:
    spent = 0.0
    with ExitStack() as clients:
        for _ in range(LABS):
            lab = NetLab(must_fire=False)
            proxy = lab.tcp_proxy(lab.tcp_echo(), to_client=Delay(0.0001))
            client = clients.enter_context(connect(proxy))
            client.sendall(b"hello")
            assert take(client, 5) == b"hello"
            began = time.monotonic()
            lab.close()
            spent += time.monotonic() - began
    print(f"teardown of {LABS} labs: {spent:.3f} s")
    assert spent < 5.0  # measured: 0.02 s; the promise is 0.5 s, the rest is for a machine that is busy


def test_what_waits_at_the_end_is_said_to_be_undelivered() -> None:
    notes: list[str] = []
    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), to_client=Delay(3600))
        lab.add_sink(lambda entry, data: notes.append(getattr(entry, "text", "")))
        with connect(proxy) as client:
            client.sendall(b"hello")
            lab.wait_for(lambda: [c.to_client.sent for c in proxy.connections] == [b"hello"])
            proxy.stop()
            assert (proxy.traffic.to_client.sent, proxy.traffic.to_client.delivered) == (b"hello", b"")
    assert "5 bytes to_client of connection 1 were never delivered" in notes


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def one_round() -> None:
    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(
            lab.tcp_echo(), to_client=[Delay(0.0001), Stall(after=8), Reset(at=16).optional()]
        )
        with connect(proxy) as client:
            client.sendall(b"ping")
            assert take(client, 4) == b"ping"


def memory() -> int:
    """What is in use, without the cancelled timers of earlier tests, which the engine throws away by and by."""
    engine = current_engine()
    engine.call(engine._timers.keep, lambda timer: not timer.cancelled)
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts descriptors in /proc")
def test_500_labs_leave_nothing_behind() -> None:
    for _ in range(60):
        one_round()
    gc.collect()
    before, threads = descriptors(), threading.active_count()
    tracemalloc.start()
    for _ in range(40):
        one_round()
    base = memory()
    for _ in range(ROUNDS):
        one_round()
    grown = memory() - base
    tracemalloc.stop()
    assert descriptors() <= before
    assert threading.active_count() <= threads  # one of an earlier test may end meanwhile
    print(f"memory grew by {grown} bytes")
    assert grown < 64 << 10
