"""Addresses where a connect hangs: until the client's own timeout, for every client, and proven before anybody hears of them."""

from __future__ import annotations

import errno
import os
import selectors
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from engine.proxy_tools import connect, take

from pytest_netfixtures import NetLab, SetupError
from pytest_netfixtures._engine import nowhere
from pytest_netfixtures._engine.nowhere import Tarpit
from pytest_netfixtures._engine.sockets import dropped, full, in_syn_sent

HOSTS = pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
PATIENCE = 0.05


@pytest.fixture
def lab() -> Iterator[NetLab]:
    with NetLab() as lab:
        yield lab


def sockets_of(lab: NetLab) -> set[Any]:
    """Those that the engine knows now."""
    return lab.engine.call(lambda: set(lab.engine.sockets))


def seconds_until_it_gives_up(address: Any, timeout: float = PATIENCE) -> float:
    """How long a client with a timeout of its own tries; it must end with that timeout and nothing else."""
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        socket.create_connection(address, timeout)
    return time.monotonic() - began


@HOSTS
def test_a_connect_hangs_until_the_clients_own_timeout(lab: NetLab, host: str) -> None:
    address = lab.tarpit_address(host)
    assert address[0] == host
    for _ in range(5):
        assert seconds_until_it_gives_up(address) >= PATIENCE


def test_it_is_at_127_0_0_1_by_default(lab: NetLab) -> None:
    assert lab.tarpit_address()[0] == "127.0.0.1"


@HOSTS
def test_clients_that_come_at_once_all_hang(lab: NetLab, host: str) -> None:
    address = lab.tarpit_address(host)
    with selectors.DefaultSelector() as selector, ExitStack() as clients:
        for _ in range(50):
            client = clients.enter_context(socket.socket(family(host)))
            client.setblocking(False)
            assert client.connect_ex(address) == errno.EINPROGRESS
            selector.register(client, selectors.EVENT_WRITE)
        assert selector.select(0.2) == []


def family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def test_a_client_that_tries_for_long_and_again_is_never_let_in(lab: NetLab) -> None:
    # The kernel sends a SYN again after a second; one that is let in then would be seen here.
    assert seconds_until_it_gives_up(lab.tarpit_address(), 1.3) >= 1.3


def _try_for(address: Any, seconds: float, took: dict[float, float]) -> None:
    took[seconds] = seconds_until_it_gives_up(address, seconds)


def test_clients_in_threads_hang_each_for_its_own_time(lab: NetLab) -> None:
    address = lab.tarpit_address()
    waits = [0.02 * n for n in range(1, 9)]
    took: dict[float, float] = {}
    threads = [threading.Thread(target=_try_for, args=(address, wait, took)) for wait in waits]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(took) == waits
    assert all(seconds >= wait for wait, seconds in took.items())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel proves it on Linux alone")
@HOSTS
def test_the_kernel_proves_it(host: str) -> None:
    with NetLab() as lab:
        pit = Tarpit(lab.engine, host)
        assert full(pit._listener) is True
        before = dropped(pit._listener)
        with socket.socket(family(host)) as client:
            client.setblocking(False)
            client.connect_ex(pit.address)
            assert in_syn_sent(client)
            lab.wait_for(lambda: (dropped(pit._listener) or 0) > (before or 0))
        pit.close()


def test_many_in_a_row_are_made_and_all_hang(lab: NetLab) -> None:
    addresses = [lab.tarpit_address(host) for _ in range(25) for host in ("127.0.0.1", "::1")]
    assert len(set(addresses)) == 50
    with selectors.DefaultSelector() as selector, ExitStack() as clients:
        for address in addresses:
            client = clients.enter_context(socket.socket(family(address[0])))
            client.setblocking(False)
            client.connect_ex(address)
            selector.register(client, selectors.EVENT_WRITE)
        assert selector.select(0.2) == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts descriptors in /proc")
def test_nothing_is_left_behind_and_the_port_is_refused_afterwards() -> None:
    with NetLab() as lab:
        before, sockets = len(os.listdir("/proc/self/fd")), sockets_of(lab)
    for _ in range(20):
        with NetLab() as lab:
            address = lab.tarpit_address()
            assert len(sockets_of(lab) - sockets) == 3
        assert sockets_of(lab) <= sockets
        with pytest.raises(ConnectionRefusedError), connect(address):
            pass
    assert len(os.listdir("/proc/self/fd")) <= before


def test_where_the_kernel_does_not_tell_a_probe_does(lab: NetLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nowhere, "full", lambda listener: None)
    monkeypatch.setattr(nowhere, "dropped", lambda listener: None)
    began = time.monotonic()
    address = lab.tarpit_address()
    assert time.monotonic() - began >= nowhere.SILENCE_SECONDS
    seconds_until_it_gives_up(address)


@pytest.mark.parametrize(
    ("name", "answer", "said"),
    [("full", False, "does not say that its queue is full"), ("MOST_CROWDED", 1, "it was answered, 1 times")],
)
def test_one_that_does_not_hang_is_never_given_out(
    monkeypatch: pytest.MonkeyPatch, name: str, answer: Any, said: str
) -> None:
    monkeypatch.setattr(nowhere, "PROOF_SECONDS", 0.01)
    monkeypatch.setattr(nowhere, name, (lambda listener: answer) if name == "full" else answer)
    with NetLab() as lab:
        before = sockets_of(lab)
        with pytest.raises(SetupError, match=f"{said}.*; expected a kernel that .*: use deaf_server"):
            lab.tarpit_address()
        assert sockets_of(lab) <= before


def test_without_a_descriptor_it_says_so_and_gives_back_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_socket(*arguments: Any) -> Any:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with NetLab() as lab:
        before = sockets_of(lab)
        monkeypatch.setattr(Tarpit, "_try", no_socket)
        with pytest.raises(SetupError, match="Too many open files"):
            lab.tarpit_address()
        assert sockets_of(lab) <= before


def test_wrong_hosts_are_refused_by_name(lab: NetLab) -> None:
    with pytest.raises(ValueError, match="host is 'localhost'; expected a numeric address"):
        lab.tarpit_address("localhost")


def test_other_servers_of_the_lab_go_on(lab: NetLab) -> None:
    server = lab.tcp_echo(prefix=b"hello")
    seconds_until_it_gives_up(lab.tarpit_address())
    with connect(server) as client:
        assert take(client, 5) == b"hello"
