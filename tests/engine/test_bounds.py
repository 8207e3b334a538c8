"""Bounds: a receiver that never reads costs `queue_bytes` and `record_bytes`, and a reset is noticed while nothing is read."""

from __future__ import annotations

import gc
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from engine.proxy_tools import MIB, connect, ends, entries, pattern, reset

from pytest_netfixtures import Delay, Drop, Flow, NetLab, Slice, Stall
from pytest_netfixtures._engine.loop import READ_SIZE
from pytest_netfixtures._engine.tcp_proxy import TcpProxy
from pytest_netfixtures._wire.entries import DIRECTIONS, TO_SERVER, Direction, LegOpened

QUEUE = 512 << 10
RECORD = 64 << 10
BLOCK = pattern(MIB)
KEPT = 3 * RECORD
"""`.sent` and `.delivered`, and one of them once more as a value that the test asked for."""

SLACK = 256 << 10
"""For what is no payload: entries, events, and what other threads of this process do."""

BOTH = pytest.mark.parametrize("direction", DIRECTIONS)


class Peers(NamedTuple):
    """Plain sockets on both sides of a proxy; the receiver takes few bytes that it does not read."""

    lab: NetLab
    proxy: TcpProxy
    direction: Direction
    sender: socket.socket
    receiver: socket.socket

    @property
    def flow(self) -> Flow:
        return self.proxy.traffic.connection(1).flow(self.direction)

    @property
    def side(self) -> str:
        return "client" if self.direction == TO_SERVER else "server"

    def rests(self) -> bool:
        """Whether the proxy has stopped reading the sender."""
        connection: Any
        (connection,) = self.lab.engine.call(self.proxy.faulted)
        link = connection.client if self.direction == TO_SERVER else connection.server
        return link is not None and not link.reading

    def send_until_nothing_is_read(self) -> None:
        self.lab.wait_for(lambda: send_what_the_kernel_takes(self.sender) and self.rests(), within=30)

    def send_for_ever(self, size: int) -> None:
        """So many bytes, as fast as the proxy reads them."""
        self.lab.wait_for(
            lambda: send_what_the_kernel_takes(self.sender) and self.flow.sent_bytes >= size, within=30
        )


def send_what_the_kernel_takes(sender: socket.socket) -> bool:
    try:
        for _ in range(64):
            sender.send(BLOCK)
    except BlockingIOError:
        return True
    return True


@contextmanager
def peers(direction: Direction, faults: Any = (), queue_bytes: int = QUEUE) -> Iterator[Peers]:
    there: dict[str, Any] = {direction: faults}
    with NetLab(must_fire=False, record_bytes=RECORD) as lab, socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        proxy = lab.tcp_proxy(listener.getsockname(), queue_bytes=queue_bytes, **there)
        with connect(proxy, small=True) as client, listener.accept()[0] as server:
            lab.wait_for(lambda: len(entries(lab, LegOpened)) == 2)
            sender, receiver = (client, server) if direction == TO_SERVER else (server, client)
            sender.setblocking(False)
            yield Peers(lab, proxy, direction, sender, receiver)


@contextmanager
def measured() -> Iterator[Callable[[], int]]:
    """A function that says how much more is allocated now than at the beginning of the block."""
    tracemalloc.start()
    try:
        before = allocated()
        yield lambda: allocated() - before
    finally:
        tracemalloc.stop()


def allocated() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


FAULTS: dict[str, Any] = {
    "no fault": (),
    "a stall": Stall(),
    "a long delay": Delay(3600),
    "a short delay": Delay(0.001),
    "a stall behind a delay": [Delay(0.001), Stall(after=10)],
    "slices": Slice(4096),
}


@BOTH
@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS)
def test_a_receiver_that_never_reads_costs_the_queue_and_the_record(
    faults: Any, direction: Direction
) -> None:
    with peers(direction, faults) as there, measured() as grown:
        there.send_until_nothing_is_read()
        waiting = there.flow.sent_bytes - there.flow.delivered_bytes
        assert there.flow.sent_bytes > QUEUE
        assert waiting <= QUEUE + READ_SIZE
        assert grown() <= QUEUE + READ_SIZE + KEPT + SLACK


@BOTH
def test_what_rests_rests_for_good(direction: Direction) -> None:
    with peers(direction, Stall()) as there:
        there.send_until_nothing_is_read()
        sent = there.flow.sent_bytes
        with pytest.raises(AssertionError):
            there.lab.wait_for(lambda: there.flow.sent_bytes != sent, within=0.1)


@BOTH
def test_a_drop_reads_everything_and_keeps_nothing_but_the_record(direction: Direction) -> None:
    with peers(direction, Drop()) as there, measured() as grown:
        there.send_for_ever(64 * MIB)
        assert not there.rests()
        assert grown() <= READ_SIZE + KEPT + SLACK


@BOTH
def test_the_memory_is_given_back_when_the_connection_is_cut(direction: Direction) -> None:
    with peers(direction, Stall(), queue_bytes=8 * MIB) as there, measured() as grown:
        there.send_until_nothing_is_read()
        assert grown() > 8 * MIB
        there.proxy.cut(reset=True)
        there.lab.wait_for(lambda: not there.proxy.open_connections())
        assert grown() <= KEPT + SLACK


# A reset is noticed while nothing is read.


def engine_seconds(lab: NetLab) -> float:
    """Processor time of the engine so far."""
    return lab.engine.call(time.thread_time)


def assert_nothing_spins(lab: NetLab) -> None:
    used, began = engine_seconds(lab), time.monotonic()
    assert not threading.Event().wait(0.25)
    assert engine_seconds(lab) - used < (time.monotonic() - began) / 2


HOLDS: dict[str, Callable[[TcpProxy], object]] = {
    "a pause": lambda proxy: proxy.pause(),
    "a stall": lambda proxy: proxy.set_faults(to_server=Stall(), to_client=Stall()),
    "back-pressure": lambda proxy: None,
}


@BOTH
@pytest.mark.parametrize("hold", HOLDS.values(), ids=HOLDS)
def test_a_reset_is_noticed_while_nothing_is_read_and_nothing_spins(
    hold: Callable[[TcpProxy], object], direction: Direction
) -> None:
    with peers(direction) as there:
        hold(there.proxy)
        there.send_until_nothing_is_read()
        assert_nothing_spins(there.lab)
        assert ends(there.proxy)[there.side] is None
        reset(there.sender)
        there.lab.wait_for(lambda: ends(there.proxy)[there.side] == "RST")
        assert_nothing_spins(there.lab)


@BOTH
def test_what_was_read_before_a_reset_in_a_pause_is_delivered_after_it(direction: Direction) -> None:
    with peers(direction) as there:
        there.receiver.settimeout(0.05)
        with there.proxy.pause():
            there.sender.send(b"before")
            reset(there.sender)
            there.lab.wait_for(lambda: ends(there.proxy)[there.side] == "RST")
            with pytest.raises(TimeoutError):
                there.receiver.recv(1)
        there.receiver.settimeout(10)
        assert there.receiver.recv(100) == b"before"
        with pytest.raises(ConnectionResetError):
            there.receiver.recv(1)


def test_a_reset_behind_a_full_queue_comes_after_what_was_read() -> None:
    with peers(TO_SERVER) as there:
        with there.proxy.pause():
            there.send_until_nothing_is_read()
            reset(there.sender)
            there.lab.wait_for(lambda: ends(there.proxy)["client"] == "RST")
            sent = there.flow.sent_bytes
        got = 0
        there.receiver.settimeout(10)
        with pytest.raises(ConnectionResetError):
            while data := there.receiver.recv(1 << 16):
                assert data == (BLOCK * 2)[got % MIB :][: len(data)]
                got += len(data)
        assert got == sent
