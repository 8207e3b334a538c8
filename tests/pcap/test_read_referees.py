"""Our reader against tshark, over files of other people's programs: tcpdump, editcap, mergecap, and files made by hand.

Every field of every segment, datagram and row is compared; the real traffic goes over loopback alone.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from pcap import forge, seen, shark
from pcap.dump import Dump
from pcap.forged_files import every_kind_of_block, every_kind_of_packet
from pcap.scene import Scene
from pcap.test_referees import every_end, whole_story

from pytest_netfixtures._pcap.items import Packet, Row, Statement
from pytest_netfixtures._pcap.read_items import read_items
from pytest_netfixtures._wire.entries import TO_SERVER

Referee = Callable[[str], str]
ORDERS: tuple[Callable[[random.Random, list[bytes]], list[bytes]], ...] = (
    lambda chance, pieces: pieces,
    lambda chance, pieces: pieces[::-1],
    lambda chance, pieces: chance.sample(pieces, len(pieces)),
    lambda chance, pieces: [pieces[0], *pieces],
)
"""In which fragments are sent."""
NOBODY = b"nobody hears this"


@pytest.fixture
def tshark(referee: Referee) -> str:
    return referee("tshark")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "capture.pcapng"


def agree(tshark: str, path: Path, at_least: int = 1) -> None:
    """tshark and we see the same, and there is something to see."""
    ours = seen.by_us(path)
    assert len(ours) >= at_least
    for one, other in zip(ours, seen.by_tshark(tshark, path), strict=True):
        assert one == other


def packets_alone(path: Path) -> None:
    """A file of ours without rows, which older formats do not have."""
    scene = Scene(path)
    every_end(scene)
    scene.opened(60, ("::1", 42000), ("::1", 42001), transport="udp")
    scene.sent(60, TO_SERVER, b"who?" * 15_000)
    scene.tap.finish("failed")


class Talkers:
    """The sockets of a conversation; they have their ports before tcpdump is told which ones to look at."""

    def __init__(self, stack: ExitStack, family: int, host: str) -> None:
        self.listener = stack.enter_context(closing(socket.create_server((host, 0), family=family)))
        self.client = stack.enter_context(closing(socket.socket(family)))
        self.udp, self.gone = (
            stack.enter_context(closing(socket.socket(family, socket.SOCK_DGRAM))) for _ in range(2)
        )
        for each in (self.udp, self.gone):
            each.bind((host, 0))
        for each in (self.listener, self.client):
            each.settimeout(10)
        ports = [each.getsockname()[1] for each in (self.listener, self.udp, self.gone)]
        self.filter = f"tcp port {ports[0]} or udp port {ports[1]} or udp port {ports[2]}"

    def talk(self) -> None:
        """A TCP conversation with a large piece, and datagrams, one of them to nobody."""
        self.client.connect(self.listener.getsockname())
        server, _ = self.listener.accept()
        with closing(server):
            server.settimeout(10)
            for piece in (b"ping", bytes(range(256)) * 400):
                self.client.sendall(piece)
                left = len(piece)
                while left:
                    left -= len(server.recv(left))
                server.sendall(b"pong")
        while self.client.recv(100):
            """Until the other side's FIN."""
        self.client.close()
        for piece in (b"", b"who?", b"x" * 60_000):
            self.udp.sendto(piece, self.udp.getsockname())
        nobody = self.gone.getsockname()
        self.gone.close()
        self.udp.sendto(NOBODY, nobody)


def send_fragments(family: int, host: str, pieces: list[bytes]) -> None:
    """Packets with headers of their own, over loopback."""
    with closing(socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW)) as raw:
        for piece in pieces:
            raw.sendto(piece, (host, 0))


@pytest.mark.parametrize(
    "options",
    [
        ("-i", "lo"),
        ("-i", "lo", "--nano"),
        ("-i", "any", "-y", "LINUX_SLL"),
        ("-i", "any", "-y", "LINUX_SLL2"),
    ],
    ids=lambda options: options[-1],
)
def test_tcpdump(options: tuple[str, ...], path: Path, tshark: str, referee: Referee) -> None:
    with ExitStack() as stack:
        four = Talkers(stack, socket.AF_INET, "127.0.0.1")
        six = Talkers(stack, socket.AF_INET6, "::1")
        what = f"{four.filter} or {six.filter} or icmp or icmp6"
        with Dump(referee("tcpdump"), path, what, *options):
            four.talk()
            six.talk()
    agree(tshark, path, 30)
    items = [item for item in read_items(path) if isinstance(item, Packet)]
    assert {"tcp", "udp", "icmp", "icmpv6"} <= {item.protocol for item in items}
    for protocol in ("icmp", "icmpv6"):
        assert any(NOBODY in item.payload for item in items if item.protocol == protocol)
    assert not [item for item in read_items(path) if isinstance(item, Statement)]


def test_fragments_of_real_datagrams(path: Path, tshark: str, referee: Referee) -> None:
    chance = random.Random(4)
    payload = chance.randbytes(30_000)
    datagram = forge.udp(payload)
    with Dump(referee("tcpdump"), path, "ip[6:2] & 0x3fff != 0 or ip6[6] = 44", "-i", "lo"):
        for ident, order in enumerate(ORDERS, 1):
            send_fragments(socket.AF_INET, "127.0.0.2", order(chance, forge.pieces(datagram, ident=ident)))
            send_fragments(socket.AF_INET6, "::1", order(chance, forge.pieces_6(datagram, ident=ident)))
    whole = [item for item in read_items(path) if isinstance(item, Packet) and item.payload == payload]
    assert [item.source for item in whole] == ["127.0.0.1", "::1"] * len(ORDERS)
    assert [item.size for item in whole] == [30_028, 30_048] * len(ORDERS)
    agree(tshark, path, 2 * len(ORDERS))


@pytest.mark.parametrize("kind", ["pcapng", "pcap", "nsecpcap", "modpcap"])
def test_every_format_of_editcap(
    kind: str, path: Path, tmp_path: Path, tshark: str, referee: Referee
) -> None:
    packets_alone(path)
    other = tmp_path / "other"
    done = shark.run(referee("editcap"), "-F", kind, path, other)
    assert done.returncode == 0, done.stderr
    agree(tshark, other, 90)


def test_our_own_file(path: Path, tshark: str) -> None:
    scene, _ = whole_story(path)
    scene.tap.finish("passed")
    agree(tshark, path, 100)
    items = list(read_items(path))
    assert sum(isinstance(item, Packet) for item in items) == scene.tap.packets
    [comment] = [item.text for item in items if isinstance(item, Statement)]
    assert comment.startswith("outcome: passed")


def test_snapped_packets_say_what_is_missing(
    path: Path, tmp_path: Path, tshark: str, referee: Referee
) -> None:
    scene, _ = whole_story(path)
    scene.tap.finish("failed")
    cut = tmp_path / "cut.pcapng"
    assert shark.run(referee("editcap"), "-s", "80", path, cut).returncode == 0
    agree(tshark, cut, 100)
    whole = {item.number: item for item in read_items(path) if isinstance(item, Packet)}
    for item in read_items(cut):
        if isinstance(item, Packet):
            payload = whole[item.number].payload
            assert len(item.payload) + item.missing == len(payload) and payload.startswith(item.payload)
            assert item.size == whole[item.number].size


def test_merged_files_have_the_interfaces_of_all(
    path: Path, tmp_path: Path, tshark: str, referee: Referee
) -> None:
    packets_alone(path)
    old, both, joined = tmp_path / "old.pcap", tmp_path / "both.pcapng", tmp_path / "joined.pcapng"
    assert shark.run(referee("editcap"), "-F", "pcap", path, old).returncode == 0
    done = shark.run(referee("mergecap"), "-w", both, path, old)
    assert done.returncode == 0, done.stderr
    agree(tshark, both, 180)
    joined.write_bytes(path.read_bytes() * 2)
    agree(tshark, joined, 180)


@pytest.mark.parametrize("order", ["<", ">"])
def test_every_kind_of_packet(order: str, path: Path, tshark: str) -> None:
    path.write_bytes(forge.pcapng(*every_kind_of_packet(), order=order))
    agree(tshark, path, 9)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("magic", [forge.MICRO, forge.NANO, forge.MODIFIED])
def test_classic_files_of_every_kind(magic: int, order: str, path: Path, tshark: str) -> None:
    path.write_bytes(forge.classic(*every_kind_of_packet(), magic=magic, order=order))
    agree(tshark, path, 9)


@pytest.mark.parametrize(
    ("link", "four", "six"),
    [
        (0, b"\2\0\0\0", b"\x1e\0\0\0"),
        (0, b"\0\0\0\2", b"\0\0\0\x1c"),
        (12, b"", b""),
        (101, b"", b""),
        (108, b"\0\0\0\2", b"\0\0\0\x18"),
    ],
)
def test_link_types_without_ethernet(link: int, four: bytes, six: bytes, path: Path, tshark: str) -> None:
    frames = [four + forge.ipv4(forge.udp(b"four")), six + forge.ipv6(forge.tcp(b"six"), protocol=6)]
    order = ">" if four[:1] == b"\0" and link == 0 else "<"
    path.write_bytes(forge.classic(*frames, link=link, order=order))
    agree(tshark, path, 2)


@pytest.mark.parametrize(
    ("link", "frame"),
    [(228, forge.ipv4(forge.udp(b"four"))), (229, forge.ipv6(forge.udp(b"six")))],
)
def test_link_types_of_one_version(link: int, frame: bytes, path: Path, tshark: str) -> None:
    path.write_bytes(forge.classic(frame, link=link))
    agree(tshark, path)


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_blocks_that_our_writer_never_writes(order: str, path: Path, tshark: str) -> None:
    path.write_bytes(every_kind_of_block(order))
    ours, theirs = seen.by_us(path), seen.by_tshark(tshark, path)
    assert ours[-1].pop("interface") == "other"
    assert theirs[-1].pop("interface") in ("other", "binary")  # older ones look it up in the first section
    assert ours == theirs
    said = [item for item in read_items(path) if isinstance(item, Statement)]
    assert [(item.kind, item.total) for item in said] == [
        ("comment", 0), ("comment", 0), ("dropped", 3), ("dropped", 2),
    ]  # fmt: skip


def test_a_packet_without_a_time_has_that_of_the_last_one(path: Path, tshark: str) -> None:
    frame = every_kind_of_packet()[0]
    blocks = [forge.section(), forge.interface((2, b"lo")), forge.packet(frame, ticks=77)]
    path.write_bytes(b"".join([*blocks, forge.simple(frame)]))
    ours, theirs = seen.by_us(path), seen.by_tshark(tshark, path)
    assert theirs[1]["stamp"] == 0 and ours[1]["stamp"] == ours[0]["stamp"] == 77_000
    assert {**ours[1], "stamp": 0} == theirs[1]


def test_rows_of_the_journal_are_numbered_with_the_packets(path: Path, tshark: str) -> None:
    scene = Scene(path)
    scene.marked("call")
    scene.opened(1, ("127.0.0.1", 1025), ("127.0.0.1", 80))
    scene.noted("a note")
    scene.tap.finish("passed")
    agree(tshark, path, 5)
    assert [type(item) for item in read_items(path)] == [Statement, Row, Packet, Packet, Packet, Row]
