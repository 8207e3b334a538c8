"""What `read_items` makes of a file: refusals, tears, statements, and packets that are none.

Files are made by hand; nothing here asks another program.
"""

from __future__ import annotations

import errno
import io
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from pcap import forge

from pytest_netfixtures import CaptureUnavailable
from pytest_netfixtures._pcap.items import Item, Packet, Row, Statement
from pytest_netfixtures._pcap.read_items import read_items
from pytest_netfixtures._pcap.source import LONGEST

FRAME = forge.ethernet(forge.ipv4(forge.udp(b"hello")))
HEAD = forge.section() + forge.interface((2, b"lo"))


def items(data: bytes) -> list[Item]:
    return list(read_items(io.BytesIO(data)))


def said(data: bytes) -> list[tuple[str, str]]:
    return [(item.kind, item.text) for item in items(data) if isinstance(item, Statement)]


def one(frame: bytes, wire: int = 0) -> Item:
    """What becomes of a single frame."""
    [item] = items(HEAD + forge.packet(frame, wire=wire))
    return item


def payload(frame: bytes) -> bytes:
    item = one(frame)
    assert isinstance(item, Packet), item
    return item.payload


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", ["it is empty", "look for its error"]),
        (b"\n", ["it begins with b'\\n'", "editcap"]),
        (b"GET / HTTP/1.1\r\n\x1b[31m", ["b'GET / HTTP/1'"]),
        (b"\x1b[2J" * 9, ["\\x1b[2J"]),
        (b"\x1f\x8b\x08 packed", ["compressed with gzip", "gunzip"]),
        (b"\x28\xb5\x2f\xfd packed", ["zstd"]),
        (b"\n\r\r\n" + bytes(60), ["\\n\\r\\r\\n"]),
        (bytes(60), ["\\x00"]),
    ],
)
def test_what_is_no_capture_is_an_error_that_helps(data: bytes, words: list[str], tmp_path: Path) -> None:
    path = tmp_path / "new\x1b[31m.pcap"
    path.write_bytes(data)
    with pytest.raises(CaptureUnavailable) as caught:
        list(read_items(path))
    message = str(caught.value)
    assert message.isprintable() and "new\\x1b" in message
    assert "Expected a file of pcapng or classic pcap" in message
    for word in words:
        assert word in message
    assert str(pickle.loads(pickle.dumps(caught.value))) == message


def test_what_cannot_be_opened_is_the_error_of_open(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(read_items(tmp_path / "missing.pcap"))
    with pytest.raises(IsADirectoryError):
        list(read_items(tmp_path))
    with pytest.raises(FileNotFoundError):
        list(read_items(str(tmp_path / "missing.pcap")))


def test_an_open_file_stays_open(tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    path.write_bytes(forge.pcapng(FRAME))
    with path.open("rb") as file:
        assert len(list(read_items(file))) == 1
        assert not file.closed


def test_a_disk_that_fails_is_no_tear() -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 30:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return super().read(size)

    with pytest.raises(OSError, match="Input/output"):
        list(read_items(Failing(forge.pcapng(FRAME))))


def test_a_pipe_gives_its_bytes_in_small_pieces() -> None:
    class Pipe(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 0, 3))

    data = forge.pcapng(FRAME, FRAME)
    assert list(read_items(Pipe(data))) == items(data) != []


@pytest.mark.parametrize(
    ("tail", "words"),
    [
        (b"\x06", "ends at byte {end}, within the block that begins at byte {start}"),
        (forge.packet(FRAME)[:-1], "ends at byte {end}, within the block that begins at byte {start}"),
        (forge.section()[:11], "ends at byte {end}, within the block that begins at byte {start}"),
        (bytes(64), "the block at byte {start} says that it has 0 bytes"),
        (struct.pack("<II", 6, LONGEST + 4), f"the block at byte {{start}} says that it has {LONGEST + 4} bytes"),
        (struct.pack("<II", 6, 0xFFFFFFFF), "the block at byte {start} says that it has 4294967295 bytes"),
        (forge.packet(FRAME)[:-4] + bytes(4), "bytes by its head, and 0 by its end"),
        (b"\n\r\r\n" + bytes(20), "the section at byte {start} does not say in which order its bytes are"),
        (forge.section().replace(b"\1\0\0\0", b"\2\0\0\0"), "the section at byte {start} is of version 2"),
    ],
)  # fmt: skip
def test_a_torn_tail_is_read_up_to_the_tear(tail: bytes, words: str) -> None:
    whole = HEAD + forge.packet(FRAME)
    found = items(whole + tail)
    assert found[:-1] == items(whole)
    [(kind, text)] = said(whole + tail)
    assert kind == "torn" and words.format(start=len(whole), end=len(whole + tail)) in text


def test_a_torn_classic_file_is_read_up_to_the_tear() -> None:
    whole = forge.classic(FRAME, FRAME)
    for cut in range(12, len(whole)):
        found = items(whole[:cut])
        inside = cut not in (24, 24 + 16 + len(FRAME))
        assert [type(item) for item in found[len(found) - inside :]] == [Statement] * inside
        assert (
            found[: len(found) - inside] == items(whole)[: (cut - 24) // (16 + len(FRAME)) if cut > 24 else 0]
        )
    huge = struct.pack("<IIII", 1, 1, LONGEST + 1, 1)
    assert f"says that it has {LONGEST + 1} bytes" in said(whole + huge)[0][1]


def test_a_classic_file_that_ends_in_zeros_is_torn_there() -> None:
    """As a machine that lost its power leaves it; each 16 bytes would be an empty packet."""
    whole = forge.classic(FRAME)
    assert said(whole + bytes(16_000)) == [
        ("torn", f"from byte {len(whole)} on there are zeros, and no packet")
    ]


def test_what_comes_before_a_tear_is_there_before_it_is_met() -> None:
    class Endless(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            assert self.tell() < 4000, "it reads ahead"
            return super().read(size)

    found = read_items(Endless(forge.pcapng(*[FRAME] * 100_000)))
    assert [next(found).number for _ in range(10)] == list(range(1, 11))  # type: ignore[union-attr]


def test_frames_that_are_not_ip_are_numbered_and_left_out() -> None:
    arp = forge.ethernet(b"who has it", kind=0x0806)
    blocks = [arp, FRAME, forge.MACS + b"\0\4abcd", FRAME]
    found = items(forge.pcapng(*blocks))
    assert [item.number for item in found if isinstance(item, Packet)] == [2, 4] and len(found) == 2


def test_an_unknown_link_type_is_said_once() -> None:
    found = items(forge.pcapng(FRAME, FRAME, link=105))
    assert [type(item) for item in found] == [Statement]
    assert said(forge.pcapng(FRAME, FRAME, link=105))[0][1].startswith(
        "frame 1: its link type is 105; all such"
    )


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (b"short", "header of its link layer"),
        (forge.ethernet(b"\x45"), "ends within its IPv4 header"),
        (forge.ethernet(forge.ipv6(b"")[:39], kind=0x86DD), "ends within its IPv6 header"),
        (forge.ethernet(b"\x55" + bytes(40)), "here it is 0x55"),
        (forge.ethernet(b"\x44" + bytes(40)), "here it is 0x44"),
        (forge.ethernet(forge.ipv4(b""), kind=0x86DD) + bytes(40), "here it is 0x45"),
        (forge.ethernet(forge.ipv4(b"", total=19)), "20 bytes, and all of it together 19"),
        (forge.ethernet(forge.ipv4(b"1234567", protocol=17)), "ends within its UDP header"),
        (forge.ethernet(forge.ipv4(forge.udp(b"x", size=7))), "UDP header says that it has 7 bytes"),
        (forge.ethernet(forge.ipv4(forge.udp(b"x", size=10))), "expected from 8 to 9"),
        (forge.ethernet(forge.ipv4(bytes(19), protocol=6)), "ends within its TCP header"),
        (forge.ethernet(forge.ipv4(bytes(20), protocol=6)), "TCP header says that it has 0 bytes"),
        (forge.ethernet(forge.ipv4(forge.tcp(b"")[:12] + b"\xf0" + bytes(7), protocol=6)), "it has 60 bytes"),
        (forge.ethernet(forge.ipv6(b"\x11\0", protocol=0), kind=0x86DD), "within its extension header"),
        (forge.ethernet(forge.ipv6(b"\x11\x09" + bytes(6), protocol=60), kind=0x86DD), "extension header"),
        (forge.ethernet(forge.ipv4(b"1234567", more=True)), "a fragment of 7 bytes at 0"),
        (forge.ethernet(forge.ipv4(b"", more=True)), "a fragment of 0 bytes"),
        (forge.ethernet(forge.ipv4(bytes(80), offset=65480)), "a fragment of 80 bytes at 65480"),
    ],
)  # fmt: skip
def test_a_packet_that_is_none_says_why_and_the_next_one_is_read(frame: bytes, words: str) -> None:
    bad, good = items(HEAD + forge.packet(frame) + forge.packet(FRAME))
    assert isinstance(bad, Statement) and bad.kind == "malformed" and bad.total == 1
    assert bad.text.startswith("frame 1: ") and words in bad.text and "capture cut" not in bad.text
    assert isinstance(good, Packet) and good.number == 2


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (forge.packet(FRAME, number=1), "it is of interface 1"),
        (forge.block(6, bytes(16)), "shorter than the head"),
        (forge.block(2, bytes(16)), "shorter than the head"),
        (forge.block(3, b""), "too short"),
        (forge.block(6, struct.pack("<IIIII", 0, 0, 0, 100, 100) + FRAME[:20]), "it has 100 bytes by its head"),
    ],
)  # fmt: skip
def test_a_block_that_makes_no_sense_has_a_number_and_is_skipped(block: bytes, words: str) -> None:
    bad, good = items(HEAD + block + forge.packet(FRAME))
    assert isinstance(bad, Statement) and bad.kind == "malformed" and words in bad.text
    assert isinstance(good, Packet) and good.number == 2


def test_a_header_that_the_capture_cut_says_so() -> None:
    segment = forge.ethernet(forge.ipv4(forge.tcp(b"x" * 100), protocol=6))
    for size, layer in ((20, "IPv4"), (40, "TCP")):
        item = one(segment[:size], wire=len(segment))
        assert isinstance(item, Statement)
        assert item.text == f"frame 1: it ends within its {layer} header, where the capture cut it"


def test_what_the_capture_cut_off_is_missing_from_the_payload() -> None:
    whole = forge.ethernet(forge.ipv4(forge.tcp(b"0123456789", options=bytes(8)), protocol=6))
    for cut, left in ((0, b"0123456789"), (3, b"0123456"), (10, b""), (14, b"")):
        item = one(whole[: len(whole) - cut], wire=len(whole))
        assert isinstance(item, Packet)
        assert (item.payload, item.missing, item.size) == (left, 10 - len(left), 58)


def test_the_lengths_of_headers_rule_over_padding() -> None:
    bare = forge.tcp(b"", flags=0x10)
    assert payload(forge.ethernet(forge.ipv4(bare, protocol=6) + bytes(6))) == b""
    assert payload(forge.ethernet(forge.ipv6(bare, protocol=6) + bytes(6), kind=0x86DD)) == b""
    assert payload(FRAME + bytes(13)) == b"hello"
    assert payload(forge.ethernet(forge.ipv6(forge.udp(b"hello")) + bytes(13), kind=0x86DD)) == b"hello"


def test_what_is_behind_the_udp_length_is_no_payload() -> None:
    assert payload(forge.ethernet(forge.ipv4(forge.udp(b"hello, options", size=13)))) == b"hello"


def test_a_udp_length_of_0_means_all_that_is_there() -> None:
    assert (
        payload(forge.ethernet(forge.ipv6(forge.udp(b"a jumbogram", size=0)), kind=0x86DD)) == b"a jumbogram"
    )


def test_a_length_of_0_means_all_that_is_there() -> None:
    segment = forge.tcp(b"offloaded" * 9000)
    for frame, header in (
        (forge.ethernet(forge.ipv4(segment, protocol=6, total=0)), 20),
        (forge.ethernet(forge.ipv6(segment, protocol=6, size=0), kind=0x86DD), 40),
    ):
        item = one(frame)
        assert isinstance(item, Packet)
        assert item.payload == b"offloaded" * 9000 and item.size == header + len(segment)
    nothing = one(forge.ethernet(forge.ipv6(b"padding", protocol=59, size=0), kind=0x86DD))
    assert isinstance(nothing, Packet) and (nothing.protocol, nothing.payload) == ("59", b"")


def test_other_protocols_go_by_their_number() -> None:
    item = one(forge.ethernet(forge.ipv4(b"routing", protocol=89)))
    assert isinstance(item, Packet)
    assert (item.protocol, item.payload, item.source_port) == ("89", b"routing", 0)
    ping = one(forge.ethernet(forge.ipv6(b"\x80\0\0\0ping", protocol=58), kind=0x86DD))
    assert isinstance(ping, Packet) and (ping.protocol, ping.payload) == ("icmpv6", b"\x80\0\0\0ping")


def test_mapped_addresses_are_written_as_sockets_write_them() -> None:
    packet = bytearray(forge.ipv6(forge.udp(b"")))
    packet[18:24] = b"\xff\xff\x7f\x00\x00\x01"
    item = one(forge.ethernet(bytes(packet), kind=0x86DD))
    assert isinstance(item, Packet) and (item.source, item.target) == ("::ffff:127.0.0.1", "::2")


def test_losses_are_told_once() -> None:
    lost = (4, struct.pack("<Q", 3))
    blocks = [
        forge.packet(FRAME, lost), forge.statistics((5, struct.pack("<Q", 3)), (7, struct.pack("<Q", 1))),
        forge.statistics((5, struct.pack("<Q", 3)), (7, struct.pack("<Q", 1))), forge.statistics((5, b"\xff" * 8)),
        forge.statistics((5, b"odd")), forge.statistics((5, struct.pack("<Q", 9)), number=7),
        forge.packet(FRAME, (4, b"\xff" * 8)),
    ]  # fmt: skip
    found = [item for item in items(HEAD + b"".join(blocks)) if isinstance(item, Statement)]
    assert [(item.kind, item.total) for item in found] == [("dropped", 3), ("dropped", 1)]
    assert found[0].text == "3 packets at lo"


def test_text_that_is_no_text_is_handed_on_as_text() -> None:
    data = forge.section((1, b"\xff\x1b[31m")) + forge.interface((2, b"\xfe" * 5000))
    data += forge.packet(FRAME, (1, b"\x80")) + forge.journal(b"MESSAGE=\xc3")
    comment, packet, row = items(data)
    assert isinstance(comment, Statement) and comment.text == "\\xff\x1b[31m"
    assert isinstance(packet, Packet) and packet.comments == ("\\x80",) and len(packet.interface) == 4096
    assert isinstance(row, Row) and row.text == "\\xc3"


def test_options_that_run_over_their_block_end_there() -> None:
    bad = forge.packet(FRAME, (1, b"good"), (1, b"bad!")).replace(b"\1\0\4\0bad!", b"\1\0\xff\xffbad!")
    [packet] = items(HEAD + bad)
    assert isinstance(packet, Packet) and packet.comments == ("good",)


def binary(name: bytes, value: bytes) -> bytes:
    return name + b"\n" + struct.pack("<Q", len(value)) + value


@pytest.mark.parametrize(
    ("lines", "stamp", "text"),
    [
        ([b"__REALTIME_TIMESTAMP=5", b"PRIORITY=4", b"MESSAGE=a=b"], 5000, "a=b"),
        ([b"MESSAGE=first", b"MESSAGE=second"], 77_000, "first"),
        ([binary(b"MESSAGE", b"two\nlines"), b"__REALTIME_TIMESTAMP=6"], 6000, "two\nlines"),
        ([binary(b"OTHER", b"MESSAGE=hidden\n"), b"MESSAGE=seen"], 77_000, "seen"),
        ([b"MESSAGE\n" + b"\xff" * 8 + b"short"], 77_000, "short\n"),
        ([b"__REALTIME_TIMESTAMP=" + b"9" * 5000], 77_000, ""),
        ([b"__REALTIME_TIMESTAMP=-1", b"no field at all"], 77_000, ""),
        ([], 77_000, ""),
    ],
)
def test_journal_entries(lines: list[bytes], stamp: int, text: str) -> None:
    _, row = items(HEAD + forge.packet(FRAME, ticks=77) + forge.journal(*lines))
    assert isinstance(row, Row) and row.number == 2
    assert (row.stamp, row.text.rstrip("\0")) == (stamp, text)


@pytest.mark.parametrize(
    ("options", "ticks", "stamp"),
    [
        ([], 5, 5000),
        ([(9, b"\x09")], 5, 5),
        ([(9, b"\x00")], 5, 5_000_000_000),
        ([(9, b"\x0c")], 5999, 5),
        ([(9, b"\x8a")], 1024, 1_000_000_000),
        ([(9, b"\x7f")], 2**64 - 1, 0),
        ([(9, b"\xff")], 2**64 - 1, 0),
        ([(14, struct.pack("<q", -2))], 5, -1_999_995_000),
        ([(14, b"odd"), (9, b"")], 5, 5000),
        ([(9, b"\x09"), (9, b"\x00")], 5, 5),
    ],
)
def test_times(options: list[tuple[int, bytes]], ticks: int, stamp: int) -> None:
    [packet] = items(forge.section() + forge.interface(*options) + forge.packet(FRAME, ticks=ticks))
    assert isinstance(packet, Packet) and packet.stamp == stamp


def test_more_interfaces_than_anybody_has_are_a_tear() -> None:
    data = forge.section() + forge.interface() * 65537 + forge.packet(FRAME)
    assert said(data) == [("torn", "a section has more than 65536 interfaces")]
    assert isinstance(items(forge.section() + forge.interface() * 65536 + forge.packet(FRAME))[0], Packet)


def test_a_simple_packet_is_of_the_first_interface() -> None:
    data = forge.section() + forge.interface((2, b"lo"), snaplen=44) + forge.interface((2, b"other"))
    [packet] = items(data + forge.simple(FRAME, wire=len(FRAME)))
    assert isinstance(packet, Packet)
    assert (packet.interface, packet.payload, packet.missing) == ("lo", b"he", 3)


def test_a_block_whose_length_leaves_its_padding_out_is_read() -> None:
    """Wireshark reads such files as well."""
    odd = struct.pack("<II", 0x1234, 13) + b"x" + bytes(3) + struct.pack("<I", 13)
    [packet] = items(HEAD + odd + forge.packet(FRAME))
    assert isinstance(packet, Packet)


def test_losses_that_nobody_counted_are_not_told() -> None:
    assert [type(item) for item in items(HEAD + forge.obsolete(FRAME, lost=0xFFFF))] == [Packet]


def test_bits_above_the_link_type_are_not_part_of_it() -> None:
    """There is the length of a frame check sequence, which some captures keep."""
    [packet] = items(forge.classic(FRAME + b"sum!", link=0x44000001))
    assert isinstance(packet, Packet) and packet.payload == b"hello"


def test_a_packet_is_never_shorter_on_the_wire_than_in_the_file() -> None:
    """Some writers leave its length on the wire at 0."""
    segment = forge.ethernet(
        forge.ipv4(forge.tcp(b"all of it"), protocol=6)[:2]
        + bytes(2)
        + forge.ipv4(forge.tcp(b"all of it"), protocol=6)[4:]
    )
    ng = bytearray(HEAD + forge.packet(segment))
    ng[len(HEAD) + 24 : len(HEAD) + 28] = bytes(4)
    old = bytearray(forge.classic(segment))
    old[36:40] = bytes(4)
    for data in (ng, old):
        [packet] = items(bytes(data))
        assert isinstance(packet, Packet) and packet.payload == b"all of it"


@pytest.mark.parametrize("make", [forge.pcapng, forge.classic])
def test_every_cut_of_a_file_gives_what_is_before_it(make: Callable[..., bytes]) -> None:
    frames = [FRAME, forge.ethernet(forge.ipv4(forge.tcp(b"segment"), protocol=6)), FRAME]
    data = make(*frames)
    whole = items(data)
    for cut in range(12, len(data)):
        found = items(data[:cut])
        packets = [item for item in found if isinstance(item, Packet)]
        assert packets == whole[: len(packets)]
        assert [item.kind for item in found[len(packets) :] if isinstance(item, Statement)] in ([], ["torn"])
