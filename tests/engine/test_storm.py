"""The storm: 65,535 numbered chunks while faults come and go without pause; nothing is lost and nothing is reordered."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
from engine.proxy_tools import Client, connect, entries, read_to_end

from pytest_netfixtures import Delay, NetLab, Slice, Stall
from pytest_netfixtures._wire.entries import Delivered

CHUNKS = [number.to_bytes(2, "big") for number in range(65_535)]
STREAM = b"".join(CHUNKS)
CHANGES = 1000
"""So many at least while the chunks are sent; the sender waits for the storm, so that a busy machine has one too."""

Turn = Callable[[Any], int]


class Storm:
    """A thread that makes changes without pause, in turns, and counts them."""

    def __init__(self, proxy: Any, turns: list[Turn]) -> None:
        self.changes = 0
        self._proxy = proxy
        self._turns = turns
        self._news = threading.Condition()
        self._over = False
        self._thread = threading.Thread(target=self._rage)

    def _rage(self) -> None:
        while not self._over:
            for turn in self._turns:
                made = turn(self._proxy)
                with self._news:
                    self.changes += made
                    self._news.notify_all()

    def wait_for(self, changes: float) -> None:
        with self._news:
            assert self._news.wait_for(lambda: self.changes >= changes, 30), f"only {self.changes} changes"

    def __enter__(self) -> Storm:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over = True
        self._thread.join()


def for_a_block(proxy: Any) -> int:
    with proxy.fault(to_client=Delay(0.001), to_server=Delay(0.0005)):
        with proxy.fault(to_client=Delay(0.002)):
            return 4


def replaced(proxy: Any) -> int:
    proxy.set_faults(to_client=[Delay(0.0005)], to_server=[Delay(0.001), Delay(0.0001)])
    proxy.set_faults(to_server=Delay(0.002))
    proxy.clear_faults()
    return 3


def other_shapes(proxy: Any) -> int:
    with proxy.fault(to_client=[Slice(7, gap=0.00001), Stall(after=100, seconds=0.0005)]):
        proxy.set_faults(to_server=[Slice(1000), Stall()], to_client=Slice(31))
        proxy.clear_faults()
        return 4


def send_in_chunks(client: Client, storm: Storm, changes: int) -> None:
    """65,535 calls of `send`, with the changes of faults spread over them."""
    for number, chunk in enumerate(CHUNKS):
        if number % 100 == 0:
            storm.wait_for(changes * number / len(CHUNKS))
        client.sendall(chunk)
    storm.wait_for(changes)
    client.shutdown(socket.SHUT_WR)


def blow(turns: list[Turn], changes: int) -> int:
    """One storm, there and back again; how many changes it had while the chunks were on their way."""
    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo())
        with connect(proxy) as client, Storm(proxy, turns) as storm:
            sender = threading.Thread(target=send_in_chunks, args=(client, storm, changes))
            sender.start()
            got, end = read_to_end(client)
            made = storm.changes
            sender.join()
        assert (len(got), end) == (len(STREAM), "FIN")
        assert got == STREAM, first_difference(got)
        touched = [bool(entry.faults) for entry in entries(lab, Delivered)]
        assert {True, False} <= set(touched), "faults touched all chunks, or none"
    return made


def first_difference(got: bytes) -> str:
    at = next(i for i, (a, b) in enumerate(zip(got, STREAM, strict=True)) if a != b)
    return f"chunk {at // 2} is {got[at - at % 2 : at - at % 2 + 2]!r}"


@pytest.mark.parametrize("time", range(10))
def test_65535_chunks_in_a_storm_of_delays_all_arrive_in_order(time: int) -> None:
    changes = blow([for_a_block, replaced], CHANGES)
    print(f"{changes} changes")
    assert changes >= CHANGES


def test_65535_chunks_in_a_storm_of_other_shapes_all_arrive_in_order() -> None:
    changes = blow([for_a_block, other_shapes], CHANGES // 4)
    print(f"{changes} changes")
    assert changes >= CHANGES // 4
