"""Blocks against bytes written by hand, and against a reader that was written without a look at the writer."""

from __future__ import annotations

import struct

from hypothesis import example, given
from hypothesis import strategies as st
from pcap import walk

from pytest_netfixtures._pcap import blocks

STAMP = 1_700_000_000_123_456_789


def test_a_section_header_has_the_bytes_of_the_specification() -> None:
    assert blocks.section(b"abc", os="L", application="n") == bytes.fromhex(
        "0a0d0d0a 38000000 4d3c2b1a 0100 0000 ffffffffffffffff"
        "0100 0300 61626300 0300 0100 4c000000 0400 0100 6e000000 00000000 38000000"
    )


def test_an_interface_is_ethernet_with_nanoseconds() -> None:
    assert blocks.interface("lo", "d") == bytes.fromhex(
        "01000000 30000000 0100 0000 00000400 0200 0200 6c6f0000 0300 0100 64000000 0900 0100 09000000"
        "00000000 30000000"
    )


def test_a_packet_without_comments_has_the_bytes_of_the_specification() -> None:
    stamp = struct.pack("<II", STAMP >> 32, STAMP & 0xFFFFFFFF)
    expected = bytes.fromhex("06000000 34000000 02000000") + stamp + bytes.fromhex("05000000 05000000")
    expected += b"hello\0\0\0" + bytes.fromhex("0200 0400 01000000 00000000 34000000")
    assert blocks.packet(2, STAMP, b"hello", blocks.INBOUND) == expected


@given(st.binary(max_size=70), st.lists(st.text(max_size=9), max_size=3), st.sampled_from([1, 2]))
def test_a_packet_reads_back_as_it_was_written(frame: bytes, comments: list[str], direction: int) -> None:
    [(kind, body)] = walk.blocks(blocks.packet(7, STAMP, frame, direction, tuple(comments)))
    number, high, low, caplen, size = struct.unpack_from("<IIIII", body)
    assert (kind, number, high << 32 | low, caplen, size) == (walk.PACKET, 7, STAMP, len(frame), len(frame))
    assert body[20 : 20 + size] == frame
    said = [(1, text.encode("utf-8", "backslashreplace")) for text in comments]
    assert walk.options(body[20 + (size + 3 & ~3) :]) == [*said, (2, struct.pack("<I", direction))]


def test_statistics_carry_both_counts() -> None:
    [(kind, body)] = walk.blocks(blocks.statistics(1, STAMP, received=10, dropped=3))
    assert kind == walk.STATISTICS
    assert walk.options(body[12:]) == [(4, struct.pack("<Q", 10)), (5, struct.pack("<Q", 3))]


@given(st.text(st.characters()))
@example("two\nlines\r\n")
@example("\x1b[31mred\x9b\0")
@example("\ud800 alone")
@example("line\u2028separator")
def test_a_row_is_one_line_a_field_whatever_the_text(text: str) -> None:
    [(kind, body)] = walk.blocks(blocks.journal(STAMP, {"PRIORITY": "4", "MESSAGE": text}))
    assert kind == walk.JOURNAL
    first, second, third, rest = body.split(b"\n")
    assert (first, second, rest.strip(b"\0")) == (
        b"__REALTIME_TIMESTAMP=1700000000123457",
        b"PRIORITY=4",
        b"",
    )
    assert third.decode().isprintable()
    if text.isprintable():
        assert third.decode() == f"MESSAGE={text}"


@given(st.text(max_size=60), st.integers(0, 60))
def test_cut_text_is_utf8_of_at_most_the_size(text: str, size: int) -> None:
    cut = blocks.cut_text(text, size)
    whole = text.encode("utf-8", "backslashreplace")
    assert len(cut) <= size
    assert cut == whole if len(whole) <= size else cut.endswith(b"..."[:size])
    assert whole.startswith(cut.decode().removesuffix("...").encode()) or size < 3


def test_an_option_that_is_too_long_is_cut_and_still_whole() -> None:
    [(_, body)] = walk.blocks(blocks.packet(0, STAMP, b"", blocks.INBOUND, ("x" * 70_000,)))
    (code, value), _ = walk.options(body[20:])
    assert (code, len(value)) == (1, 65535)
    assert value.endswith(b"x...")
