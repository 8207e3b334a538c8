"""What a UDP proxy did is what tshark reads: both legs, datagrams as they were on each, and faults as rows.

The names of a user's test are not needed here; a tap is a sink of the lab.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pcap import shark

from pytest_netfixtures import (
    BurstLoss,
    Corrupt,
    Delay,
    Drop,
    Duplicate,
    Loss,
    MaxSize,
    NetLab,
    Reorder,
    UdpProxy,
)
from pytest_netfixtures._pcap.tap import Tap

Referee = Callable[[str], str]
HOSTS = ("127.0.0.1", "::1")


@pytest.fixture
def tap(tmp_path: Path) -> Tap:
    return Tap(tmp_path / "udp.pcapng", node_id="test", comment={})


@contextmanager
def captured(tap: Tap) -> Iterator[NetLab]:
    """A lab whose traffic goes into the file, which is finished afterwards."""
    with NetLab(must_fire=False) as lab:
        lab.add_sink(tap)
        yield lab
    tap.finish("passed")


@contextmanager
def client_of(proxy: UdpProxy) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in proxy.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(30)
        client.connect(proxy.address)
        yield client


def payloads(frames: list[shark.Frame], leg: str) -> list[bytes]:
    """What went over one leg, in order."""
    return [
        bytes.fromhex(frame["udp.payload"]) for frame in frames if frame["frame.interface_name"].endswith(leg)
    ]


@pytest.mark.parametrize("inside", HOSTS)
@pytest.mark.parametrize("outside", HOSTS)
def test_both_legs_are_there_with_their_addresses(
    tap: Tap, outside: str, inside: str, referee: Referee
) -> None:
    with captured(tap) as lab:
        server = lab.udp_responder({b"who?": b"me"}, host=inside)
        proxy = lab.udp_proxy(server, host=outside, name="line")
        with client_of(proxy) as client:
            client.send(b"who?")
            assert client.recv(10) == b"me"
            ports = [str(client.getsockname()[1]), str(proxy.port), str(server.port)]
    frames = shark.read(referee("tshark"), tap.path, plain=True)
    assert shark.blemishes(frames) == []
    assert payloads(frames, "client leg") == payloads(frames, "server leg") == [b"who?", b"me"]
    packets = {frame["frame.interface_name"]: frame for frame in frames if frame["udp.stream"]}
    assert set(packets) == {"line: client leg", "line: server leg"}
    assert [packets["line: client leg"]["udp.srcport"], packets["line: server leg"]["udp.srcport"]] == ports[
        1:
    ]
    assert [packets[name]["udp.stream"] for name in sorted(packets)] == ["0", "1"]
    assert tap.connections == 1


def test_faults_are_rows_and_comments_and_only_what_was_delivered_is_there(
    tap: Tap, referee: Referee
) -> None:
    with captured(tap) as lab:
        proxy = lab.udp_proxy(
            lab.udp_responder(), to_server=Loss(1.0).times(1), to_client=[Corrupt(at=0, mask=1), Delay(0.01)]
        )
        with client_of(proxy) as client:
            client.send(b"lost")
            client.send(b"find")
            assert client.recv(10) in (b"gind", b"fhnd", b"fiod", b"fine")
    frames = shark.read(referee("tshark"), tap.path, plain=True)
    assert shark.blemishes(frames) == []
    assert payloads(frames, "client leg")[:2] == [b"lost", b"find"]
    assert payloads(frames, "server leg") == [b"find", b"find"]
    (loss,) = [text for text in shark.messages(frames) if "Loss" in text]
    assert loss == "FAULT Loss(rate=1.0).times(1) on 'udp_proxy' connection 1 to_server: datagram 0 lost"
    late = [frame for frame in frames if frame["udp.payload"]][-1]
    assert "fault: Delay(seconds=0.01)" in late["frame.comment"]
    assert "fault: Corrupt(at=0, mask=1)" in late["frame.comment"]


def has_read(proxy: UdpProxy, count: int) -> bool:
    """Whether the proxy has read so many datagrams of clients."""
    return sum(len(connection.to_server.sent) for connection in proxy.connections) == count


def everything(host: str) -> list[dict[str, Any]]:
    """A proxy for each way to treat datagrams."""
    return [
        {"to_server": BurstLoss(0.3, 0.3)},
        {"to_client": [Duplicate(0.5), Reorder(0.3, 0.005)]},
        {"to_server": MaxSize(500, cut=True), "to_client": MaxSize(400)},
        {"to_server": Corrupt(0.5), "to_client": Drop(after=5)},
        {"to_client": Delay(0.001, jitter=0.01)},
        {"idle_seconds": 0.001},
    ]


@pytest.mark.parametrize("host", HOSTS)
def test_everything_that_a_proxy_does_is_valid_in_the_capture(tap: Tap, host: str, referee: Referee) -> None:
    with captured(tap) as lab:
        server = lab.udp_responder(host=host)
        for settings in everything(host):
            proxy = lab.udp_proxy(server, host=host, **settings)
            with client_of(proxy) as client:
                for number in range(20):
                    client.send(bytes([number]) * 50 * number)
                lab.wait_for(partial(has_read, proxy, 20))
        gone = lab.udp_responder(host=host)
        gone.stop()
        proxy = lab.udp_proxy(gone, host=host)
        with client_of(proxy) as client:
            client.send(b"refused")
            lab.wait_for(lambda: proxy._listener.sock is None)
    frames = shark.read(referee("tshark"), tap.path, plain=True)
    assert shark.blemishes(frames) == []
    assert any("port unreachable (ICMP)" in text for text in shark.messages(frames))
    shown = shark.expert(referee("tshark"), tap.path)
    assert not set(shown) & {"Errors", "Warns"}
