"""What breaks one reader or another, each as a test: facts of the pcapng format that took experiments to find."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from pcap import shark, walk
from pcap.scene import START, Scene
from pcap.test_referees import whole_story

from pytest_netfixtures._pcap import blocks
from pytest_netfixtures._wire.entries import TO_CLIENT, TO_SERVER, Sealed, Secret, TlsStarted

Referee = Callable[[str], str]
COMMENT, FLAGS, VERDICT, END = 1, 2, 7, b"\0\0\0\0"
NAMES = 4
"""The type of a block of resolved names."""
RSA = f"RSA {0:016x} {0:096x}\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with all that a test can do, keys included."""
    path = tmp_path / "capture.pcapng"
    scene, _ = whole_story(path)
    scene.opened(90, ("127.0.0.1", 41090), ("127.0.0.1", 46000), endpoint="under TLS")
    scene.feed(TlsStarted(scene.tick(), 90, "client"))
    scene.feed(Secret(scene.tick(), 90, "client", RSA))
    scene.feed(
        Sealed(scene.tick(), 90, "client", "peer", 2), b".."
    )  # editcap drops keys behind the last packet
    scene.tap.finish("failed")
    return path


def bodies(path: Path, kind: int) -> list[bytes]:
    return [body for found, body in walk.blocks(path.read_bytes()) if found == kind]


def options_of(packet: bytes) -> list[int]:
    (size,) = struct.unpack_from("<I", packet, 12)
    return [code for code, _ in walk.options(packet[20 + (size + 3 & ~3) :])]


def test_a_block_of_keys_has_the_bytes_of_the_specification() -> None:
    head = bytes.fromhex("0a000000 1c000000 4b534c54 05000000")  # type, size, "TLSK" backwards, size of text
    assert blocks.secrets(b"# ab\n") == head + b"# ab\n\0\0\0" + bytes.fromhex("1c000000")
    assert blocks.secrets(b"#\n#\n")[blocks.SECRETS_AT : blocks.SECRETS_AT + 4] == b"#\n#\n"


def test_blocks_without_options_have_no_end_mark() -> None:
    assert blocks.journal(1000, {"A": "b"}) == bytes.fromhex("09000000 28000000") + (
        b"__REALTIME_TIMESTAMP=1\nA=b\n".ljust(28, b"\0") + bytes.fromhex("28000000")
    )
    assert not blocks.secrets(b"abcd")[:-4].endswith(END)


def test_all_interfaces_have_one_link_type_one_snap_length_and_nanoseconds(path: Path) -> None:
    found = bodies(path, walk.INTERFACE)
    assert len(found) > 5
    assert {body[:8] for body in found} == {struct.pack("<HHI", 1, 0, 262144)}
    assert all((9, b"\x09") in walk.options(body[8:]) for body in found)


def test_no_packet_has_a_verdict_which_editcap_turns_into_a_torn_file(path: Path) -> None:
    codes = {code for packet in bodies(path, walk.PACKET) for code in options_of(packet)}
    assert codes == {COMMENT, FLAGS} and VERDICT not in codes


def test_names_are_in_interfaces_and_rows_because_resolved_names_are_off_by_default(path: Path) -> None:
    kinds = {kind for kind, _ in walk.blocks(path.read_bytes())}
    assert kinds == {walk.SECTION, walk.INTERFACE, walk.STATISTICS, walk.PACKET, walk.JOURNAL, walk.SECRETS}
    assert NAMES not in kinds


def test_rows_in_whole_microseconds_keep_the_order_of_the_file(path: Path, referee: Referee) -> None:
    frames = shark.read(referee("tshark"), path, plain=True)
    times = [frame["frame.time_epoch"] for frame in frames]
    assert times == sorted(times) and len(set(times)) > 50
    assert all(
        frame["frame.time_epoch"].endswith("000") for frame in frames if frame["systemd_journal.message"]
    )


@pytest.mark.parametrize(("host", "longest"), [("127.0.0.1", 65507), ("::1", 65527)])
def test_the_longest_datagram_is_one_packet(
    host: str, longest: int, tmp_path: Path, referee: Referee
) -> None:
    scene = Scene(tmp_path / "long.pcapng")
    scene.opened(1, (host, 42000), (host, 42001), transport="udp")
    scene.sent(1, TO_SERVER, b"x" * longest)
    scene.delivered(1, TO_CLIENT, b"y" * longest)
    scene.tap.finish("passed")
    frames = shark.read(referee("tshark"), scene.tap.path, plain=True)
    assert shark.blemishes(frames) == []
    assert [len(frame["udp.payload"]) // 2 for frame in frames] == [longest] * 2
    assert shark.run(referee("tcpdump"), "-r", scene.tap.path).returncode == 0


def test_no_segment_is_so_long_that_a_kill_is_likely_to_tear_it(path: Path) -> None:
    assert max(len(body) for body in bodies(path, walk.PACKET)) < 65_536
    tcp = [
        body
        for body in bodies(path, walk.PACKET)
        if body[20 + 12 : 20 + 14] == b"\x08\x00" and body[20 + 23] == 6
    ]
    assert max(len(body) for body in tcp) < 17_000


def test_editcap_and_mergecap_keep_rows_comments_keys_and_both_sections_can_be_joined(
    path: Path, tmp_path: Path, referee: Referee
) -> None:
    tshark = referee("tshark")
    original = shark.read(tshark, path, plain=True)
    edited, merged, joined = (tmp_path / f"{name}.pcapng" for name in ("edited", "merged", "joined"))
    assert shark.run(referee("editcap"), path, edited).returncode == 0
    assert shark.run(referee("mergecap"), "-a", "-w", merged, path, path).returncode == 0
    joined.write_bytes(path.read_bytes() * 2)
    assert shark.read(tshark, edited, plain=True) == original
    assert RSA in "".join(walk.keys(edited)) and RSA in "".join(walk.keys(merged))
    for both in (merged, joined):
        frames = shark.read(tshark, both, plain=True)
        assert shark.messages(frames) == shark.messages(original) * 2
        assert [frame["frame.comment"] for frame in frames] == [
            frame["frame.comment"] for frame in original
        ] * 2
    assert shark.run(referee("tcpdump"), "-r", path).returncode == 0


def test_the_clock_of_rows_and_packets_is_the_same_whatever_comes_first(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "x.pcapng")
    scene.at = START + 1
    scene.marked("call")
    scene.at = START - 5  # an entry from before the capture: time in the file stands still
    scene.opened(1, ("127.0.0.1", 41000), ("127.0.0.1", 46000))
    scene.tap.finish("passed")
    [row], packets = bodies(scene.tap.path, walk.JOURNAL), bodies(scene.tap.path, walk.PACKET)
    stamp = int(row.split(b"\n")[0].partition(b"=")[2]) * 1000
    assert {struct.unpack_from("<II", body, 4) for body in packets} == {(stamp >> 32, stamp & 0xFFFFFFFF)}
