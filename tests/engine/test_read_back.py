"""What `read_capture` reads from a file is what the journal says that wrote it.

A file cannot know what only one end knew: what a handler of ours had taken, and, at a server behind a proxy of the same
capture, what happened after the proxy's leg was over: that connection is shown as the proxy saw it.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from engine.read_back_tools import FAULTS, LIMIT, facts, named, talk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_netfixtures import (
    Connection,
    Drop,
    Duplicate,
    Loss,
    NetLab,
    Reorder,
    Slice,
    Truncate,
    read_capture,
)
from pytest_netfixtures._pcap.tap import Tap


class Lab:
    """A lab with a tap, and what both say of it in the end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tap = Tap(path, node_id="test", comment={})

    @contextmanager
    def running(self) -> Iterator[NetLab]:
        with NetLab(must_fire=False) as lab:
            lab.add_sink(self.tap)
            yield lab
        self.told = lab.traffic
        self.tap.finish("passed")
        self.read = read_capture(self.path)
        assert self.read.incomplete == ""


@pytest.fixture
def scene(tmp_path: Path) -> Lab:
    return Lab(tmp_path / "capture.pcapng")


def assert_same(scene: Lab) -> None:
    """Equal for each endpoint that no other one stands before; the servers behind proxies got what these delivered."""
    told, read = named(scene.told), named(scene.read)
    assert told.keys() == read.keys()
    behind = {(c.upstream_peer, c.upstream): c for c in scene.told.connections if c.upstream is not None}
    for name, c in told.items():
        proxy = behind.get((c.peer, c.address))
        if proxy is None or "udp" == c.transport:
            assert facts(read[name]) == facts(c)
        else:
            assert_behind(c, read[name], proxy)


def assert_behind(told: Connection, read: Connection, proxy: Connection) -> None:
    assert (read.peer, read.address, read.transport) == (told.peer, told.address, told.transport)
    assert read.to_server.sent == proxy.to_server.delivered
    assert read.to_client.sent == proxy.to_client.sent
    assert told.to_client.delivered.startswith(read.to_client.sent)
    assert read.to_server.sent.startswith(told.to_server.sent)
    assert read.ended["client"] == proxy.to_server.end


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_every_end_of_a_proxied_connection_is_read_back(scene: Lab, host: str) -> None:
    with scene.running() as lab:
        echo = lab.tcp_echo(name="echo", host=host)
        for name, faults in FAULTS.items():
            proxy = lab.tcp_proxy(echo, name=f"proxy, {name}", host=host, **faults)
            talk(proxy.address)
            talk(proxy.address, b"x" * 100_000)
    assert_same(scene)
    assert len(scene.read.connections) == 4 * len(FAULTS)
    assert [c.endpoint for c in scene.read.connections][:2] == ["proxy, nothing", "echo"]


def test_a_client_that_resets_and_a_drop_are_read_back(scene: Lab) -> None:
    with scene.running() as lab:
        echo = lab.tcp_echo(name="echo")
        drop = lab.tcp_proxy(echo, name="drop", to_server=Drop(after=1))
        with socket.create_connection(drop.address, timeout=LIMIT) as client:
            client.sendall(b"hello")
            lab.wait_for(lambda: drop.traffic.to_server.sent == b"hello")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        lab.wait_for(lambda: drop.traffic.connection(1).ended["client"] == "RST")
    assert_same(scene)
    assert scene.read.connection(1, "drop").faults == ("Drop(after=1)",)


def test_an_upstream_that_refuses_is_read_back(scene: Lab) -> None:
    with scene.running() as lab:
        proxy = lab.tcp_proxy(lab.refused_address(), name="proxy")
        talk(proxy.address, ask=False)
    assert_same(scene)
    assert "Connection refused" in scene.read.connection(1).notes[0]


def test_servers_without_a_proxy_are_read_back_with_what_was_sent(scene: Lab) -> None:
    def greeter(conn: Any) -> None:
        conn.send(b"hello ")
        conn.send(conn.recv(100))

    with scene.running() as lab:
        server = lab.tcp_server(greeter, name="greeter")
        assert talk(server.address, b"you") == b"hello you"
        assert talk(server.address, b"me") == b"hello me"
    for told, read in zip(scene.told.connections, scene.read.connections, strict=True):
        assert facts(read) == facts(told)


def test_datagrams_that_were_lost_doubled_and_overtaken_are_read_back(scene: Lab) -> None:
    with scene.running() as lab:
        server = lab.udp_responder(name="server")
        proxy = lab.udp_proxy(
            server, name="line", to_server=[Loss(0.3), Duplicate(0.4)], to_client=Reorder(0.5, 0.01)
        )
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect(proxy.address)
            for number in range(60):
                client.send(b"%d" % number)
            lab.wait_for(lambda: len(proxy.traffic.to_server.sent) == 60)
            lab.wait_for(
                lambda: proxy.traffic.to_server.delivered_bytes == proxy.traffic.to_client.delivered_bytes
            )
    assert_same(scene)
    assert (
        scene.read.connection(1, "line").to_server.delivered
        != scene.read.connection(1, "line").to_server.sent
    )


def test_two_proxies_in_a_row_are_read_back(scene: Lab) -> None:
    with scene.running() as lab:
        inner = lab.tcp_proxy(lab.tcp_echo(name="echo"), name="inner", to_client=Truncate(after=4))
        outer = lab.tcp_proxy(inner, name="outer", to_client=Slice(2, gap=0.001))
        assert talk(outer.address) == b"hell"
    assert named(scene.told).keys() == named(scene.read).keys()
    assert facts(scene.read.connection(1, "outer")) == facts(scene.told.connection(1, "outer"))
    inner_read, inner_told = (traffic.connection(1, "inner") for traffic in (scene.read, scene.told))
    assert facts(inner_read) == facts(inner_told)


stream_faults = st.sampled_from([(), *(each for faults in FAULTS.values() for each in faults.values())])


@given(
    to_server=stream_faults,
    to_client=stream_faults,
    says=st.lists(st.tuples(st.binary(max_size=200), st.booleans()), min_size=1, max_size=3),
)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_faults_and_bytes_it_is_read_back(
    to_server: Any, to_client: Any, says: list[tuple[bytes, bool]], tmp_path: Path
) -> None:
    scene = Lab(tmp_path / f"{len(list(tmp_path.iterdir()))}.pcapng")
    with scene.running() as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(name="echo"), name="p", to_server=to_server, to_client=to_client)
        for data, _ in says:
            talk(proxy.address, data)
    assert_same(scene)
