"""Faults from a time on, and on a share of the connections, over real TCP: no traffic is needed, and paper agrees."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from engine.proxy_tools import connect, entries
from wire.wire_tools import Wire

from pytest_netfixtures import Data, Delay, Drop, NetLab, Reset, Truncate
from pytest_netfixtures._wire.entries import Fired


@pytest.fixture
def lab() -> Iterator[NetLab]:
    with NetLab(seed=7) as lab:
        yield lab


def test_a_reset_comes_at_its_time_although_nothing_is_sent(lab: NetLab) -> None:
    proxy = lab.tcp_proxy(lab.tcp_echo(), to_client=Reset().after_seconds(0.2))
    with connect(proxy) as client, pytest.raises(ConnectionResetError):
        client.recv(1)
    (connection,), (fired,) = proxy.connections, entries(lab, Fired)
    assert fired.at - connection.opened_at >= 0.2
    assert fired.effect == "RST after byte 0"


def test_what_is_sent_before_that_time_arrives_and_offsets_count_from_then(lab: NetLab) -> None:
    fault = Truncate(after=3).after_seconds(0.3)
    proxy = lab.tcp_proxy(lab.tcp_echo(), to_client=[Delay(0.3), fault])
    with connect(proxy) as client:
        client.sendall(b"hello")
        assert client.makefile("rb").read() == b"hel"
    # Behind a delay all of it arrives at the time when the second fault has begun.
    assert proxy.fired(fault) == 1


def test_for_a_fault_that_is_added_the_time_counts_from_then(lab: NetLab) -> None:
    proxy = lab.tcp_proxy(lab.tcp_echo())
    with connect(proxy) as client:
        client.sendall(b"a")
        assert client.recv(1) == b"a"
        began = time.monotonic()
        with proxy.fault(to_client=Reset().after_seconds(0.2)), pytest.raises(ConnectionResetError):
            client.recv(1)
        assert time.monotonic() - began >= 0.2


def test_a_fault_that_is_lifted_before_its_time_never_acts(lab: NetLab) -> None:
    proxy = lab.tcp_proxy(lab.tcp_echo())
    with connect(proxy) as client:
        with proxy.fault(to_client=Reset().after_seconds(60).optional()):
            client.sendall(b"a")
            assert client.recv(1) == b"a"
        client.sendall(b"b")
        assert client.recv(1) == b"b"


def test_those_connections_are_chosen_that_paper_chooses(lab: NetLab) -> None:
    fault = Drop(after=2).sometimes(0.5)
    proxy = lab.tcp_proxy(lab.tcp_echo(), to_server=fault)
    expected = []
    for number in range(1, 13):
        wire = Wire([fault], number=number, key=(*proxy.scope.key, proxy.name))
        expected.append(wire.give(Data(0.0, b"hello"), "to_server").run().delivered("to_server"))
        with connect(proxy) as client:
            client.sendall(b"hello")
            assert client.recv(2, socket.MSG_WAITALL) == b"he"
    lab.wait_for(lambda: [c.to_server.delivered for c in proxy.connections] == expected)
    assert set(expected) == {b"he", b"hello"}
    assert proxy.fired(fault) == expected.count(b"he")
