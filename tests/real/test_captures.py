"""Captures of real traffic before their judge: what our servers and proxies really did is what tshark reads.

The journal counts resets by itself, so that the file is compared with what happened and not with its own writer.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from pcap import shark
from real.example_run import assert_valid, captures_of

from pytest_netfixtures import Delay, HalfClose, NetLab, Reset, ServerConnection, Slice, Truncate
from pytest_netfixtures._pcap.tap import Tap
from pytest_netfixtures._wire.entries import Entry, LegEnded, LegFailed, LegOpened, LegOpening

Referee = Callable[[str], str]
HELLO = bytes(range(256)) * 40


class Resets:
    """The TCP connections that were reset, once each: a proxy and the server behind it see the same one."""

    def __init__(self) -> None:
        self.places: dict[tuple[int, str], object] = {}
        self.reset: set[object] = set()

    def __call__(self, entry: Entry, data: bytes | None) -> None:
        if isinstance(entry, (LegOpening, LegOpened)):
            self.places[entry.connection, entry.leg] = (entry.client, entry.server)
        elif (isinstance(entry, LegEnded) and entry.how == "RST") or (
            isinstance(entry, LegFailed) and entry.refused
        ):
            self.reset.add(self.places[entry.connection, entry.leg])


def answering(connection: ServerConnection) -> None:
    """Reads a line, sends much, and closes."""
    connection.readline()
    connection.send(HELLO * 20)


def ask(address: tuple[str, int]) -> bytes:
    """A line, its answer, and a clean end, as far as the proxy lets it come."""
    got = b""
    with contextlib.suppress(OSError), socket.create_connection(address) as client:
        client.sendall(b"hello\n")
        while data := client.recv(65536):
            got += data
    return got


def exercise(lab: NetLab, host: str) -> None:
    """Every kind of end and fault, each through a proxy in front of a server of ours."""
    server = lab.tcp_server(answering, host=host)
    cuts = [Truncate(after=1000), Reset(after=1000), HalfClose(after=0), Reset()]
    ask(lab.tcp_proxy(server, host=host).address)
    ask(lab.tcp_proxy(server, to_client=[Delay(0.01), Slice(70_000)], host=host).address)
    for cut in cuts:
        ask(lab.tcp_proxy(server, to_client=cut, host=host).address)
    ask(lab.tcp_proxy(lab.tcp_proxy(server, host=host), to_server=Reset(after=3), host=host).address)
    ask(lab.tcp_proxy(lab.refused_address(host), host=host).address)
    with socket.create_connection(lab.tcp_echo(host=host).address) as client:
        client.sendall(HELLO)
        client.shutdown(socket.SHUT_WR)
        while client.recv(65536):
            pass
    responder = lab.udp_responder(host=host)
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"who?", responder.address)
        assert client.recv(100) == b"who?"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_everything_that_servers_and_proxies_do_is_valid_in_the_capture(
    host: str, tmp_path: Path, referee: Referee
) -> None:
    tshark, resets = referee("tshark"), Resets()
    tap = Tap(tmp_path / "all.pcapng", node_id="test", comment={})
    with NetLab() as lab:
        lab.add_sink(resets)
        lab.add_sink(tap)
        exercise(lab, host)
    tap.finish("passed")
    frames = shark.read(tshark, tap.path, plain=True)
    assert shark.blemishes(frames) == []
    assert shark.resets(frames) == len(resets.reset) > 3
    shown = shark.expert(tshark, tap.path)
    assert set(shown.get("Warns", {})) <= {shark.RESET} and "Errors" not in shown


def test_many_connections_at_once_are_valid_in_the_capture(tmp_path: Path, referee: Referee) -> None:
    tshark, resets = referee("tshark"), Resets()
    tap = Tap(tmp_path / "many.pcapng", node_id="test", comment={})
    with NetLab() as lab:
        lab.add_sink(resets)
        lab.add_sink(tap)
        proxy = lab.tcp_proxy(
            lab.tcp_server(answering), to_client=Reset(after=50_000).on_connections(*range(1, 60, 2))
        )
        threads = [threading.Thread(target=lambda: [ask(proxy.address) for _ in range(20)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    tap.finish("passed")
    frames = shark.read(tshark, tap.path, plain=True)
    assert shark.blemishes(frames, ports_reused=True) == []
    assert shark.resets(frames) == len(resets.reset)
    assert tap.connections == 80


@pytest.mark.parametrize(
    "folder", ["redis_client", "http_client", "dns_client", "subprocess_client", "retry_policy"]
)
def test_the_captures_of_the_examples_are_valid(folder: str, tmp_path: Path, referee: Referee) -> None:
    referee("tshark")
    if folder == "redis_client":
        referee("redis-server")
    for path in captures_of(folder, tmp_path):
        assert_valid(path, referee)
