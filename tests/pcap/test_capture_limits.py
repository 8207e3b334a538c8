"""The limit of a capture, to the byte: packets below it, all else at most a MiB above, whatever comes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pcap import shark, walk
from pcap.scene import Scene

from pytest_netfixtures._pcap.book import ROWS_BEYOND
from pytest_netfixtures._wire.entries import TO_CLIENT, TO_SERVER

CLIENT, OUT, SERVER = ("127.0.0.1", 40001), ("127.0.0.1", 45001), ("127.0.0.1", 46000)
SMALLEST = 2500
"""Bytes that hold the head, an interface and a handshake."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "capture.pcapng"


def end_of_packets(path: Path) -> int:
    """The offset behind the last packet."""
    kinds = [kind for kind, _ in walk.blocks(path.read_bytes())]
    ends = walk.boundaries(path)
    return max(end for kind, end in zip(kinds, ends, strict=True) if kind == walk.PACKET)


@pytest.mark.parametrize("size", range(SMALLEST, SMALLEST + 200, 9))
def test_packets_stay_below_the_limit_with_their_comments(path: Path, size: int) -> None:
    scene = Scene(path, max_bytes=size)
    scene.opened(1, CLIENT, SERVER)
    for number in range(40):
        scene.delivered(1, TO_CLIENT, b"x", ("Slice(size=1)" * (number % 7),))
    scene.tap.finish("failed")
    assert end_of_packets(path) <= size
    assert scene.tap.packets + scene.tap.left_out == 43 and scene.tap.left_out


def test_nothing_takes_more_than_its_mebibyte_beyond_the_limit(
    path: Path, referee: Callable[[str], str]
) -> None:
    scene = Scene(path, max_bytes=SMALLEST)
    for number in range(1, 2500):
        scene.opened(number, CLIENT, ("127.0.0.1", number), endpoint=f"server {number} " * 40)
        scene.noted("x" * 1000)
    scene.tap.finish("failed")
    assert ROWS_BEYOND * 0.98 < path.stat().st_size <= SMALLEST + ROWS_BEYOND
    found = [kind for kind, _ in walk.blocks(path.read_bytes())]
    assert found.count(walk.STATISTICS) == found.count(walk.INTERFACE) < 2499
    assert found.count(walk.JOURNAL) > 100
    assert b"LIMIT left out: " in path.read_bytes()
    assert shark.run(referee("capinfos"), path).returncode == 0
    assert shark.run(referee("editcap"), path, path.with_suffix(".again")).returncode == 0


@pytest.mark.parametrize("text", ["M" * 1_000_000, "\x1b" * 1_000_000, "\u20ac" * 1_000_000])
def test_a_row_is_cut_before_it_is_too_long_for_any_reader(
    path: Path, text: str, referee: Callable[[str], str]
) -> None:
    scene = Scene(path)
    scene.opened(1, CLIENT, SERVER)
    scene.marked(text)
    scene.tap.finish("failed")
    assert path.stat().st_size < 100_000
    assert shark.run(referee("editcap"), path, path.with_suffix(".again")).returncode == 0
    assert shark.run(referee("tshark"), "-r", path, "-w", "/dev/null").returncode == 0
    message = next(
        body for kind, body in walk.blocks(path.read_bytes()) if kind == walk.JOURNAL and b"MARK " in body
    )
    assert message.rstrip(b"\0").endswith(b"...\n") and message.decode()


def test_beyond_the_limit_the_head_stays_and_rows_go_on(path: Path) -> None:
    scene = Scene(path, max_bytes=20_000)
    scene.opened(1, CLIENT, SERVER)
    for _ in range(5):
        scene.sent(1, TO_SERVER, b"x" * 9000)
    scene.opened(2, OUT, SERVER)
    scene.fired(1, "Reset(after=3)", "RST after byte 3")
    scene.marked("teardown")
    scene.tap.finish("failed")
    text = path.read_bytes().decode("latin-1")
    assert scene.tap.packets == 3 + 2
    assert scene.tap.stream_of(2, "client") is None
    order = [
        "LIMIT capture limit of 20000 bytes reached",
        "FAULT Reset",
        "PHASE teardown",
        "LIMIT left out: 6 ",
    ]
    assert [text.count(each) for each in order] == [1, 1, 1, 1]
    assert sorted(order, key=text.index) == order
    assert "6 packets with 27340 bytes, 0 rows" in text
    assert len(text) < 25_000


def test_rows_have_a_limit_too(path: Path) -> None:
    scene = Scene(path, max_bytes=2000)
    scene.opened(1, CLIENT, SERVER, transport="udp")
    for _ in range(40):
        scene.noted("x" * 50_000)
    scene.tap.finish("failed")
    assert path.stat().st_size <= 2000 + ROWS_BEYOND
    assert b"0 packets with 0 bytes, 20 rows" in path.read_bytes()[-500:]
