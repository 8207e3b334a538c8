"""The tap without tshark: what it counts, keeps, leaves out, and survives."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from pcap import walk
from pcap.scene import START, WALL, Scene, new_tap

from pytest_netfixtures._pcap.tap import Tap
from pytest_netfixtures._wire.entries import TO_CLIENT, TO_SERVER, Delivered, LegOpened, Marked, Sent

CLIENT = ("127.0.0.1", 40001)
PROXY = ("127.0.0.1", 45000)
OUT = ("127.0.0.1", 45001)
SERVER = ("127.0.0.1", 46000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "capture.pcapng"


def proxied(scene: Scene, connection: int = 1) -> None:
    """A proxy's connection with a server of the same test behind it."""
    scene.opened(connection, CLIENT, PROXY, endpoint="proxy")
    scene.opening(connection, OUT, SERVER, endpoint="proxy")
    scene.opened(connection + 1, OUT, SERVER, endpoint="echo")
    scene.opened(connection, OUT, SERVER, leg="server", endpoint="proxy")


def kinds(path: Path) -> list[int]:
    return [kind for kind, _ in walk.blocks(path.read_bytes())]


def comment(path: Path) -> str:
    (_, section), *_ = walk.blocks(path.read_bytes())
    return dict(walk.options(section[16:]))[1].decode()


def test_there_is_no_file_before_the_first_entry(path: Path) -> None:
    tap = new_tap(path)
    assert not path.exists()
    tap.finish("passed")
    assert not path.exists()
    assert (tap.path, tap.packets, tap.connections, tap.faults, tap.error) == (path, 0, 0, 0, None)


def test_it_counts_packets_connections_faults_and_resets(path: Path) -> None:
    scene = Scene(path)
    proxied(scene)
    scene.sent(1, TO_SERVER, b"hello")
    scene.fired(1, "Reset(after=0)", "RST after byte 0")
    scene.ended(1, "us", "RST")
    scene.ended(1, "us", "RST", leg="server")
    scene.ended(2, "peer", "RST")
    tap = scene.tap
    assert (tap.packets, tap.connections, tap.faults, tap.resets) == (3 + 3 + 1 + 2, 1, 1, 2)
    tap.discard()


def test_a_connection_that_two_endpoints_see_is_shown_once(path: Path) -> None:
    scene = Scene(path)
    proxied(scene)
    before = scene.tap.packets
    scene.sent(2, TO_SERVER, b"seen by the server, too")
    scene.delivered(2, TO_CLIENT, b"seen by the server, too")
    scene.ended(2, "us", "FIN")
    assert scene.tap.packets == before
    assert scene.tap.stream_of(2, "client") == scene.tap.stream_of(1, "server") == 1
    scene.tap.discard()


def test_each_view_is_matched_once_so_that_a_reused_port_is_a_new_connection(path: Path) -> None:
    scene = Scene(path)
    proxied(scene)
    scene.opened(3, OUT, SERVER, endpoint="echo")
    assert scene.tap.stream_of(3, "client") == 2
    scene.opening(4, OUT, SERVER, endpoint="proxy")
    scene.opened(5, OUT, SERVER, endpoint="echo")
    assert scene.tap.stream_of(5, "client") == scene.tap.stream_of(4, "server") == 3
    scene.tap.discard()


def test_a_server_that_accepts_after_the_proxy_has_left_makes_no_second_connection(path: Path) -> None:
    scene = Scene(path)
    scene.opening(1, OUT, SERVER, endpoint="proxy")
    scene.opened(1, OUT, SERVER, leg="server", endpoint="proxy")
    scene.ended(1, "us", "RST", leg="server")
    packets = scene.tap.packets
    scene.opened(2, OUT, SERVER, endpoint="echo")
    assert (scene.tap.packets, scene.tap.connections) == (packets, 1)
    scene.tap.discard()


@pytest.mark.parametrize("order", ["proxy first", "server first"])
def test_connections_from_before_the_test_are_matched_in_either_order(path: Path, order: str) -> None:
    scene = Scene(path)
    views = [(1, "proxy"), (2, "echo")] if order == "proxy first" else [(2, "echo"), (1, "proxy")]
    for connection, endpoint in views:
        leg = "server" if endpoint == "proxy" else "client"
        scene.feed(LegOpened(START, connection, endpoint, 0, leg, "tcp", OUT, SERVER, before=True))  # type: ignore[arg-type]
    assert (scene.tap.packets, scene.tap.connections) == (3, 1)
    assert scene.tap.stream_of(1, "server") == scene.tap.stream_of(2, "client") == 0
    scene.tap.discard()


def test_two_unix_connections_to_one_path_stay_apart(path: Path) -> None:
    scene = Scene(path)
    for connection in (1, 2):
        scene.opening(connection, "", "/run/db.sock", endpoint="proxy")
    for connection in (3, 4):
        scene.opened(connection, "", "/run/db.sock", endpoint="db")
    streams = [scene.tap.stream_of(n, "server") for n in (1, 2)]
    assert streams == [0, 1] == [scene.tap.stream_of(n, "client") for n in (3, 4)]
    assert scene.tap.packets == 2
    scene.tap.discard()


def test_datagrams_and_streams_are_numbered_apart(path: Path) -> None:
    scene = Scene(path)
    scene.opened(1, CLIENT, SERVER, transport="udp")
    assert scene.tap.stream_of(1, "client") is None, "no datagram yet"
    scene.opened(2, CLIENT, SERVER)
    scene.opened(3, OUT, SERVER, transport="udp")
    scene.sent(3, TO_SERVER, b"first")
    scene.sent(1, TO_SERVER, b"")
    scene.opened(4, OUT, SERVER, transport="udp")
    scene.delivered(4, TO_CLIENT, b"the same two addresses")
    numbers = [scene.tap.stream_of(connection, "client") for connection in (1, 2, 3, 4)]
    assert numbers == [1, 0, 0, 0]
    assert scene.tap.stream_of(9, "client") is None
    scene.tap.discard()


def test_the_comment_names_the_test_and_says_running_until_the_outcome_is_known(path: Path) -> None:
    scene = Scene(path)
    scene.marked("call")
    running = path.read_bytes()
    assert comment(path).startswith("outcome: RUNNING ")
    scene.tap.finish("failed")
    scene.tap.finish("passed")
    lines = [line.rstrip() for line in comment(path).splitlines()]
    assert lines == [
        "outcome: failed",
        "backend: tap, synthesised from socket reads and writes, not wire packets",
        "plugin: 0.1.0",
        "python: 3.11.7",
        "pytest: 8.4.0",
        "seed: 0",
        "test: tests/test_x.py::test_retry[redis]",
    ]
    finished = path.read_bytes()
    assert finished[:1000].replace(b"failed ", b"RUNNING") == running[:1000]


@pytest.mark.parametrize("node_id", ["x" * 5000, "ü" * 5000, "..\0/\n\x1b[31m", "", "\ud800"], ids=ascii)
def test_every_node_id_gives_a_header_of_the_same_size(path: Path, node_id: str) -> None:
    scene = Scene(path, node_id=node_id)
    scene.marked("call")
    scene.tap.finish("error at teardown, and a very long word about it")
    (_, section), *_ = walk.blocks(path.read_bytes())
    assert len(dict(walk.options(section[16:]))[1]) == 1024
    assert comment(path).replace("\n", "").isprintable()
    assert scene.tap.error is None


def test_stamps_are_wall_clock_and_never_run_backwards(path: Path) -> None:
    tap = new_tap(path)
    tap(Marked(START + 2, "call"), None)
    tap(LegOpened(START + 1, 1, "redis", 1, "client", "tcp", CLIENT, SERVER), None)
    tap(Sent(START + 2.5, 1, TO_SERVER, 0, 1), b"x")
    tap.finish("passed")
    stamps = []
    for kind, body in walk.blocks(path.read_bytes()):
        if kind == walk.PACKET:
            stamps.append(int.from_bytes(body[4:8], "little") << 32 | int.from_bytes(body[8:12], "little"))
        elif kind == walk.JOURNAL:
            stamps.append(int(body.split(b"\n")[0].partition(b"=")[2]) * 1000)
    assert stamps == sorted(stamps)
    assert 0 <= stamps[0] - (WALL + 2_000_000_000) < 1000
    assert stamps[-1] == WALL + 2_500_000_000


def test_it_never_raises_and_says_what_went_wrong(path: Path) -> None:
    scene = Scene(path)
    scene.opened(1, CLIENT, SERVER)
    size = path.stat().st_size
    scene.opened(2, ("127.0.0.1", 70_000), SERVER)
    scene.sent(1, TO_SERVER, b"after a fault of ours nothing more is written")
    scene.tap("no entry at all", None)  # type: ignore[arg-type]
    error = scene.tap.error
    assert error is not None and "could not be written" in error
    scene.tap.finish("failed")
    assert path.stat().st_size == size
    assert comment(path).startswith("outcome: failed")


def test_an_unwritable_place_costs_the_capture_and_nothing_else(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "missing" / "capture.pcapng")
    scene.opened(1, CLIENT, SERVER)
    scene.sent(1, TO_SERVER, b"x")
    scene.tap.finish("failed")
    assert scene.tap.packets == 0
    assert scene.tap.error is not None and "No such file or directory" in scene.tap.error


def test_a_full_disk_leaves_whole_blocks_and_the_outcome(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(path)
    scene.opened(1, CLIENT, SERVER)
    scene.sent(1, TO_SERVER, b"x" * 100)
    whole, real = path.stat().st_size, os.pwrite

    def full(fd: int, data: bytes, at: int) -> int:
        if at + len(data) > whole + 50:
            if at >= whole + 50:
                raise OSError(28, "No space left on device")
            return real(fd, data[: whole + 50 - at], at)
        return real(fd, data, at)

    monkeypatch.setattr(os, "pwrite", full)
    for _ in range(3):
        scene.sent(1, TO_SERVER, b"x" * 100)
    scene.fired(1, "Drop()", "dropped")
    scene.tap.finish("failed")
    assert path.stat().st_size == whole
    assert comment(path).startswith("outcome: failed")
    assert scene.tap.error is not None and "No space left on device" in scene.tap.error


def test_discarding_deletes_and_later_entries_are_nothing(path: Path) -> None:
    scene = Scene(path)
    scene.opened(1, CLIENT, SERVER)
    scene.tap.discard()
    scene.sent(1, TO_SERVER, b"late")
    scene.tap.finish("failed")
    scene.tap.discard()
    assert not path.exists() and scene.tap.error is None


def test_a_forked_child_leaves_the_file_to_its_parent(path: Path) -> None:
    scene = Scene(path)
    scene.opened(1, CLIENT, SERVER)
    before = path.read_bytes()
    scene.tap.forget()
    scene.sent(1, TO_SERVER, b"from the child")
    scene.tap.finish("failed")
    scene.tap.discard()
    assert path.read_bytes() == before


def test_entries_about_what_it_never_saw_are_rows_or_nothing(path: Path) -> None:
    scene = Scene(path)
    scene.sent(7, TO_SERVER, b"x")
    scene.delivered(7, TO_CLIENT, b"x")
    scene.ended(7, "us", "RST")
    scene.failed(7, refused=True)
    scene.fired(7, "Drop()", "dropped from byte 0")
    scene.tap.finish("failed")
    assert (scene.tap.packets, scene.tap.error) == (0, None)
    assert b"FAULT Drop() on connection #7 to_client" in path.read_bytes()


def test_a_thousand_taps_leave_no_descriptor_behind(tmp_path: Path) -> None:
    def descriptors() -> int:
        return len(os.listdir("/dev/fd"))

    before = descriptors()
    for number in range(1000):
        tap = new_tap(tmp_path / f"{number}.pcapng")
        tap(Marked(START, "call"), None)
        tap.discard() if number % 2 else tap.finish("passed")
    assert descriptors() == before


def test_a_delivery_without_bytes_is_no_packet(path: Path) -> None:
    tap: Tap = new_tap(path)
    tap(LegOpened(START, 1, "redis", 1, "client", "tcp", CLIENT, SERVER), None)
    tap(Delivered(START, 1, TO_CLIENT, 0, 5, START), None)
    tap(Sent(START, 1, TO_SERVER, 0, 0), b"")
    assert tap.packets == 3
    tap.discard()


def test_blocks_come_in_the_order_that_every_reader_takes(path: Path) -> None:
    scene = Scene(path)
    scene.marked("setup")
    scene.opened(1, CLIENT, SERVER)
    scene.opened(2, OUT, SERVER, endpoint="other")
    scene.tap.finish("passed")
    head = [walk.SECTION, walk.INTERFACE, walk.JOURNAL, walk.INTERFACE]
    rest = [walk.PACKET] * 3 + [walk.INTERFACE] + [walk.PACKET] * 3 + [walk.STATISTICS] * 3
    assert kinds(path) == head + rest


def test_a_client_port_that_is_not_known_yet_is_shown_when_it_is(path: Path) -> None:
    scene = Scene(path)
    scene.opening(1, ("127.0.0.1", 0), SERVER)
    assert scene.tap.packets == 0
    scene.opened(1, OUT, SERVER, leg="server")
    assert scene.tap.packets == 3
    scene.opening(2, ("127.0.0.1", 0), SERVER)
    scene.failed(2, refused=True)
    assert (scene.tap.packets, scene.tap.error) == (3, None)
    assert b"UPSTREAM 127.0.0.1:46000 of 'redis' connection 1 refused" in path.read_bytes()
    scene.tap.discard()


def test_a_second_try_at_another_address_is_a_second_stream(path: Path) -> None:
    scene = Scene(path)
    scene.opening(1, ("::1", 45001), ("::1", 46000))
    scene.failed(1, refused=True)
    scene.opening(1, OUT, SERVER)
    scene.opened(1, OUT, SERVER, leg="server")
    assert (scene.tap.packets, scene.tap.connections, scene.tap.resets) == (2 + 3, 1, 1)
    assert scene.tap.stream_of(1, "server") == 1
    scene.tap.discard()


def test_the_clocks_are_read_once_and_the_default_is_now(path: Path) -> None:
    before = time.time_ns()
    tap = Tap(path, node_id="x", comment={})
    tap(LegOpened(time.monotonic(), 1, "redis", 1, "client", "tcp", CLIENT, SERVER), None)
    tap.finish("passed")
    packet = next(body for kind, body in walk.blocks(path.read_bytes()) if kind == walk.PACKET)
    stamp = int.from_bytes(packet[4:8], "little") << 32 | int.from_bytes(packet[8:12], "little")
    assert stamp > before - 1_000_000


def test_a_leg_that_is_said_to_be_open_twice_has_one_handshake(path: Path) -> None:
    scene = Scene(path)
    for _ in range(2):
        scene.opened(1, CLIENT, SERVER)
    scene.failed(1, refused=True)
    assert (scene.tap.packets, scene.tap.resets) == (3, 0)
    scene.tap.discard()
