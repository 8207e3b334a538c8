"""The hub between the kernel's packets and the captures: what it waits for, what it does when there is too much, and its end."""

from __future__ import annotations

import errno
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pcap import walk

from pytest_netfixtures import NetLab, read_capture
from pytest_netfixtures._kernel_hub import Attached, Hub
from pytest_netfixtures._pcap import kernel
from pytest_netfixtures._pcap.file import CaptureFile
from pytest_netfixtures._pcap.kernel_tap import KernelTap

MANY = 3000


@pytest.fixture
def line() -> Iterator[socket.socket]:
    """A UDP socket that sends to itself, and that nobody reads."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.connect(sock.getsockname())
        yield sock


def capture(hub: Hub, path: Path, line: socket.socket) -> Attached:
    tap = KernelTap(path, node_id="x", comment={})
    tap.watched.add(line.getsockname()[1])
    return hub.attach(tap, [])


def test_a_port_is_announced_while_a_test_ends_and_nobody_waits_for_the_other(
    hub: Hub, tmp_path: Path, line: socket.socket
) -> None:
    first, second = (capture(hub, tmp_path / name, line) for name in ("one", "two"))
    reached, go_on = threading.Event(), threading.Event()

    def end() -> None:
        reached.set()
        go_on.wait(10)
        hub.detach(first)

    hub.post(end)
    assert reached.wait(10)
    announcing = threading.Thread(target=hub.let_through, args=({1},))
    announcing.start()
    while not hub.handle._messages:  # it waits for the owner's thread by now
        assert announcing.is_alive()
    go_on.set()
    announcing.join(10)
    second.stop()
    assert not announcing.is_alive() and second.tap.incomplete == ""


def test_a_barrier_waits_longer_where_packets_still_come(
    hub: Hub, tmp_path: Path, line: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_netfixtures._kernel_hub.BARRIER_SECONDS", 0.5)
    monkeypatch.setattr(kernel, "PORTION", 100)
    attached = capture(hub, tmp_path / "k.pcapng", line)
    deliver, nobody = hub.handle._deliver, threading.Event()

    def slowly(packets: kernel.Packets, dropped: int) -> float | None:
        nobody.wait(0.1 if packets else 0)
        return deliver(packets, dropped)

    monkeypatch.setattr(hub.handle, "_deliver", slowly)
    began = time.monotonic()
    for _ in range(MANY):
        line.send(b"x")
    attached.stop()
    assert time.monotonic() - began > 0.5
    assert attached.tap.packets == MANY and not attached.tap.incomplete


def test_a_barrier_ends_though_packets_never_do(
    hub: Hub, tmp_path: Path, line: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_netfixtures._kernel_hub.LONGEST", 0.5)
    attached = capture(hub, tmp_path / "k.pcapng", line)
    monkeypatch.setattr(hub, "_meet_barrier", lambda token: None)
    over = threading.Event()
    flood = threading.Thread(target=lambda: [line.send(b"x") for _ in iter(over.is_set, True)])
    flood.start()
    waiting = threading.Thread(target=attached.sync)
    waiting.start()
    waiting.join(20)
    hung = waiting.is_alive()
    over.set()
    flood.join()
    assert not hung
    assert "did not hand over in time" in attached.tap.incomplete
    monkeypatch.undo()
    attached.stop()


def test_the_buffer_is_emptied_while_packets_wait_to_be_handed_on(
    hub: Hub, tmp_path: Path, line: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than a buffer holds, while the first portion is being handed on by small steps."""
    monkeypatch.setattr(kernel, "PORTION", 10)
    attached = capture(hub, tmp_path / "k.pcapng", line)
    seen: list[int] = []
    deliver = hub.handle._deliver

    def counted(packets: kernel.Packets, dropped: int) -> float | None:
        seen.append(len(packets))
        return deliver(packets, dropped)

    monkeypatch.setattr(hub.handle, "_deliver", counted)
    for _ in range(MANY):
        line.send(b"x")
    attached.stop()
    assert max(seen) == 10 and attached.tap.packets == MANY and not attached.tap.incomplete
    assert hub.handle._kept == 0 and not hub.handle._backlog


def test_what_is_attached_when_the_hub_closes_has_what_has_happened(
    hub: Hub, tmp_path: Path, line: socket.socket
) -> None:
    attached = capture(hub, tmp_path / "k.pcapng", line)
    for _ in range(MANY):
        line.send(b"x")
    hub.close()
    attached.sync()
    attached.stop()
    attached.drop()
    attached.tap.finish("interrupted")
    assert attached.tap.packets == MANY and not attached.tap.incomplete


def test_a_row_of_blocks_is_whole_where_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = CaptureFile(tmp_path / "k.pcapng")
    file.open()
    room, write = 1000, os.pwrite

    def small_disk(fd: int, data: Any, offset: int) -> int:
        left = max(room - offset, 0)
        if not left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(fd, data[:left], offset)

    monkeypatch.setattr(os, "pwrite", small_disk)
    with file.together():
        assert file.append(b"a" * 400) and file.append(b"b" * 400) and file.append(b"c" * 400)
        assert file.path.read_bytes() == b""
    assert file.path.read_bytes() == b"a" * 400 + b"b" * 400
    assert file.size == 800 and "No space left" in str(file.error)
    file.close()


def test_many_blocks_are_written_by_few_calls_and_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, write = CaptureFile(tmp_path / "k.pcapng"), os.pwrite
    calls: list[int] = []

    def counted(fd: int, data: bytes, at: int) -> int:
        calls.append(at)
        return write(fd, data, at)

    monkeypatch.setattr(os, "pwrite", counted)
    file.open()
    with file.together():
        for number in range(30):
            assert file.append(bytes([number]) * 100_000)
    file.append(b"behind")
    assert file.path.read_bytes() == b"".join(bytes([n]) * 100_000 for n in range(30)) + b"behind"
    assert len(calls) == 4
    file.close()


@pytest.mark.parametrize("limit", range(4096, 4216, 24))
def test_the_limit_of_a_file_counts_whole_blocks(
    hub: Hub, tmp_path: Path, line: socket.socket, limit: int
) -> None:
    tap = KernelTap(tmp_path / "k.pcapng", node_id="x", comment={}, max_bytes=limit)
    tap.watched.add(line.getsockname()[1])
    attached = hub.attach(tap, [])
    for _ in range(100):
        line.send(b"x" * 20)
    attached.stop()
    tap.finish("passed")
    kinds = [kind for kind, _ in walk.blocks((tmp_path / "k.pcapng").read_bytes())]
    ends = walk.boundaries(tmp_path / "k.pcapng")
    last = max(end for end, kind in zip(ends, kinds, strict=True) if kind == walk.PACKET)
    assert limit - 200 < last <= limit and tap.packets + tap.left_out == 100


def test_a_datagram_in_fragments_is_whole_and_a_strangers_is_not_there(hub: Hub, tmp_path: Path) -> None:
    """Over IPv6 the longest datagrams do not fit into a packet of loopback."""
    with NetLab() as lab, socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client:
        server = lab.udp_responder(host="::1", name="server")
        attached = hub.attach(KernelTap(tmp_path / "k.pcapng", node_id="x", comment={}), [])
        lab.add_sink(attached.tap)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        client.settimeout(10)
        client.sendto(b"z" * 65500, server.address)
        assert len(client.recv(70000)) == 65500
        client.sendto(b"s" * 65500, client.getsockname())  # to somebody who is not ours
        assert len(client.recv(70000)) == 65500
        attached.stop()
        attached.tap.finish("passed")
    (found,) = read_capture(tmp_path / "k.pcapng").connections
    assert found.endpoint == "server" and attached.tap.packets == 4
    assert found.to_server.sent == found.to_client.delivered == (b"z" * 65500,)


def test_a_child_that_ends_waits_for_no_lock_of_its_parent(
    hub: Hub, tmp_path: Path, line: socket.socket
) -> None:
    attached = capture(hub, tmp_path / "k.pcapng", line)
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with attached.tap.lock:
            held.set()
            release.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(10)
    child = os.fork()
    if not child:
        code = 1
        try:
            signal.alarm(10)
            hub.leave_behind()
            hub.close()
            code = 0
        finally:
            os._exit(code)
    release.set()
    holder.join()
    assert os.waitpid(child, 0)[1] == 0
    attached.stop()
    assert not attached.tap.incomplete


def test_a_hub_that_is_closed_takes_no_ports_from_another_one(hub: Hub, tmp_path: Path) -> None:
    other, labs = Hub(), [NetLab()]
    tap = KernelTap(tmp_path / "one.pcapng", node_id="x", comment={})
    attached = hub.attach(tap, labs)
    other.close()
    with labs[0] as lab:
        echo = lab.tcp_echo()
        with socket.create_connection(echo.address, 10) as client:
            client.sendall(b"ping")
            assert client.recv(4) == b"ping"
        attached.stop()
    assert tap.packets and tap.incomplete == ""
