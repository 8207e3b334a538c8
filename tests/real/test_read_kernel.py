"""What `read_capture` reads from the kernel's packets is what the journal says, stream by stream.

Where two ends saw different things, the wire is the truth between them: what a proxy had no chance to read is in the file,
and not in the proxy's record.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from engine.read_back_tools import FAULTS, LIMIT, facts, named, talk

from pytest_netfixtures import (
    CaptureUnavailable,
    Connection,
    Drop,
    Duplicate,
    Flow,
    Loss,
    NetLab,
    Traffic,
    read_capture,
)


class Kernel:
    """A lab whose packets the kernel's capture has, and what both say of it in the end."""

    def __init__(self, path: Path) -> None:
        from pytest_netfixtures._kernel_capture import KernelCapture

        try:
            self.capture = KernelCapture(path, node_id="test", comment={}, max_bytes=64 << 20)
        except CaptureUnavailable as problem:
            pytest.skip(str(problem))

    @contextmanager
    def running(self) -> Iterator[NetLab]:
        with NetLab(must_fire=False) as lab:
            self.capture.attach(lab)
            yield lab
        self.told = lab.traffic
        self.capture.finish("passed", True)
        self.read: Traffic = read_capture(self.capture.path)
        assert self.read.incomplete == ""


@pytest.fixture
def scene(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path / "kernel.pcapng")


def names_of(c: Connection) -> dict[str, Any]:
    found = (c.number, c.endpoint, c.transport, c.peer, c.address, c.opened_before, c.faults, c.notes)
    return {"who": found, "upstream": (c.upstream, c.upstream_peer)}


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_streams_are_read_back(scene: Kernel, host: str) -> None:
    with scene.running() as lab:
        echo = lab.tcp_echo(name="echo", host=host)
        for name, faults in FAULTS.items():
            proxy = lab.tcp_proxy(echo, name=f"proxy, {name}", host=host, **faults)
            talk(proxy.address)
            talk(proxy.address, b"x" * 100_000)
    told, read = named(scene.told), named(scene.read)
    assert told.keys() == read.keys()
    resets = {c.upstream_peer for c in scene.told.connections if "reset" in c.endpoint}
    for key, c in told.items():
        found = read[key]
        assert names_of(found) == names_of(c)
        if "reset" in c.endpoint or c.peer in resets:
            assert_on_the_wire(c, found)
        elif c.upstream is not None:
            assert facts(found) == facts(c)
        else:  # what its handler has taken is nowhere on the wire
            assert found.to_server.sent == c.to_server.sent
            assert said(found.to_client) == said(c.to_client)


def said(flow: Flow) -> tuple[Any, ...]:
    """The bytes and the end of a flow, without its times."""
    return flow.sent, flow.delivered, flow.end


def assert_on_the_wire(told: Connection, read: Connection) -> None:
    """Where one end resets, the other's last bytes and its end are on the wire, and were never read."""
    assert told.to_client.delivered.startswith(read.to_client.delivered)
    assert read.to_server.sent.startswith(told.to_server.sent)
    assert read.to_client.sent.startswith(told.to_client.sent) or told.upstream is None


def test_datagrams_are_read_back(scene: Kernel) -> None:
    with scene.running() as lab:
        server = lab.udp_responder(name="server")
        proxy = lab.udp_proxy(server, name="line", to_server=[Loss(0.3), Duplicate(0.4)])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect(proxy.address)
            client.settimeout(LIMIT)
            for number in range(40):
                client.send(b"%d" % number)
            lab.wait_for(lambda: len(proxy.traffic.to_server.sent) == 40)
            lab.wait_for(
                lambda: proxy.traffic.to_server.delivered_bytes == proxy.traffic.to_client.delivered_bytes
            )
    told, read = named(scene.told), named(scene.read)
    assert told.keys() == read.keys()
    for name, c in told.items():
        assert names_of(read[name]) == names_of(c)
        for mine, theirs in ((read[name].to_server, c.to_server), (read[name].to_client, c.to_client)):
            assert (mine.sent, mine.delivered) == (theirs.sent, theirs.delivered)


def test_what_a_drop_kept_back_is_not_on_the_other_leg(scene: Kernel) -> None:
    with scene.running() as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(name="echo"), name="proxy", to_server=Drop(after=2))
        with socket.create_connection(proxy.address, timeout=LIMIT) as client:
            client.sendall(b"hello")
            assert client.recv(2, socket.MSG_WAITALL) == b"he"
            lab.wait_for(lambda: proxy.traffic.to_server.sent == b"hello")
    flow = scene.read.connection(1, "proxy").to_server
    assert (flow.sent, flow.delivered) == (b"hello", b"he")
    assert scene.read.connection(1, "proxy").faults == ("Drop(after=2)",)
