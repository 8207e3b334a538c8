"""Fragments become whole in any order, and what never does is bounded and said.

Fragments come from a function that splits, written without a look at the one that joins.
"""

from __future__ import annotations

import io
import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pcap import forge

from pytest_netfixtures._pcap.fragments import Fragment, Fragments, Whole
from pytest_netfixtures._pcap.items import Item, Packet, Statement
from pytest_netfixtures._pcap.read_items import read_items

SECOND = 1_000_000_000


def piece(data: bytes, offset: int, more: bool, *, length: int = -1, stamp: int = 0) -> Fragment:
    return Fragment(1, stamp, 17, 20, offset, len(data) if length < 0 else length, data, more, ())


def items(*packets: bytes, kind: int = 0x0800) -> list[Item]:
    return list(read_items(io.BytesIO(forge.pcapng(*(forge.ethernet(each, kind) for each in packets)))))


@st.composite
def shuffled(draw: st.DrawFn) -> tuple[bytes, list[Fragment]]:
    """A payload, and its fragments: in any order, some of them again, some of them overlapping others."""
    payload = draw(st.binary(min_size=1, max_size=200))
    cuts = draw(st.lists(st.integers(0, len(payload) // 8), max_size=8))
    bounds = sorted({0, *(8 * cut for cut in cuts if 8 * cut < len(payload)), len(payload)})
    pieces = [
        piece(payload[start:stop], start, stop < len(payload))
        for start, stop in zip(bounds, bounds[1:], strict=False)
    ]
    if len(bounds) > 2:
        pairs = draw(
            st.lists(st.tuples(st.sampled_from(bounds[:-1]), st.sampled_from(bounds[1:])), max_size=3)
        )
        pieces += [piece(payload[a:b], a, b < len(payload)) for a, b in pairs if a < b]
    return payload, draw(st.permutations(pieces))


@given(shuffled())
def test_any_order_with_duplicates_and_overlaps_gives_the_payload(case: tuple[bytes, list[Fragment]]) -> None:
    payload, pieces = case
    fragments = Fragments()
    found = [whole for each in pieces if (whole := fragments.add(("key",), each))]
    assert found[0] == Whole(17, 20, len(payload), payload, ())


@given(shuffled(), st.integers(0, 30))
def test_what_the_capture_cut_off_a_fragment_is_missing_in_the_whole(
    case: tuple[bytes, list[Fragment]], size: int
) -> None:
    payload, pieces = case
    fragments = Fragments()
    for each in pieces:
        whole = fragments.add(("key",), each._replace(data=each.data[:size]))
        if whole is not None:
            assert whole.length == len(payload) and payload.startswith(whole.data)
            assert len(whole.data) >= min(size, len(payload))
            return
    raise AssertionError("it never became whole")


def test_where_fragments_overlap_the_first_one_wins() -> None:
    fragments = Fragments()
    assert fragments.add((1,), piece(b"b" * 16, 8, True)) is None
    assert fragments.add((1,), piece(b"a" * 32, 0, True)) is None
    whole = fragments.add((1,), piece(b"c" * 8, 32, False))
    assert whole is not None and whole.data == b"a" * 8 + b"b" * 16 + b"a" * 8 + b"c" * 8


def test_what_lies_behind_the_end_is_cut() -> None:
    fragments = Fragments()
    assert fragments.add((1,), piece(b"x" * 24, 0, True)) is None
    whole = fragments.add((1,), piece(b"end!", 8, False))
    assert whole is not None and (whole.length, whole.data) == (12, b"x" * 12)


def test_the_whole_has_number_and_stamp_of_the_fragment_that_completed_it() -> None:
    payload = random.Random(1).randbytes(5000)
    for make, kind in ((forge.pieces, 0x0800), (forge.pieces_6, 0x86DD)):
        pieces = make(forge.udp(payload))
        [packet] = items(*pieces[::-1], kind=kind)
        assert isinstance(packet, Packet)
        assert (packet.number, packet.stamp, packet.payload) == (
            len(pieces),
            1000 * (len(pieces) - 1),
            payload,
        )


def test_comments_of_all_fragments_are_those_of_the_whole() -> None:
    one, two = (forge.ethernet(each) for each in forge.pieces(forge.udp(b"x" * 1200)))
    data = (
        forge.section() + forge.interface() + forge.packet(one, (1, b"one")) + forge.packet(two, (1, b"two"))
    )
    [packet] = read_items(io.BytesIO(data))
    assert isinstance(packet, Packet) and packet.comments == ("one", "two")


def test_fragments_that_come_twice_make_one_datagram() -> None:
    pieces = forge.pieces(forge.udp(b"x" * 3000))
    doubled = [each for each in pieces for _ in range(2)]
    assert [type(item) for item in items(*doubled)] == [Packet]
    assert [type(item) for item in items(*pieces, *pieces)] == [Packet]


def test_one_number_may_be_used_again_for_another_datagram() -> None:
    first, second = forge.pieces(forge.udp(b"a" * 3000)), forge.pieces(forge.udp(b"b" * 3000))
    payloads = [item.payload for item in items(*first, *second) if isinstance(item, Packet)]
    assert payloads == [b"a" * 3000, b"b" * 3000]


def test_datagrams_are_told_apart_by_number_protocol_and_addresses() -> None:
    datagram = forge.udp(b"x" * 1200)
    rows = [
        forge.pieces(datagram, ident=1),
        forge.pieces(datagram, ident=2),
        forge.pieces_6(datagram, ident=1),
    ]
    turned = [each for row in zip(*rows, strict=True) for each in row]
    frames = [forge.ethernet(each, 0x86DD if each[0] >> 4 == 6 else 0x0800) for each in turned]
    found = list(read_items(io.BytesIO(forge.pcapng(*frames))))
    assert [type(item) for item in found] == [Packet] * 3


def test_headers_behind_the_fragment_header_are_walked() -> None:
    destination = bytes((17, 0, 1, 4, 0, 0, 0, 0))
    [packet] = items(*forge.pieces_6(destination + forge.udp(b"x" * 1200), protocol=60), kind=0x86DD)
    assert isinstance(packet, Packet)
    assert (packet.protocol, packet.payload, packet.size) == ("udp", b"x" * 1200, 40 + 8 + 8 + 1200)


def test_a_fragment_within_fragments_is_malformed() -> None:
    inner = struct.pack(">BBHI", 17, 0, 8, 9) + bytes(1200)
    [said] = items(*forge.pieces_6(inner, protocol=44), kind=0x86DD)
    assert isinstance(said, Statement) and "a fragment within fragments" in said.text


def test_what_never_became_whole_is_said_at_the_end() -> None:
    pieces = forge.pieces(forge.udp(b"x" * 3000))
    [said] = items(*pieces[:-1])
    text = "frame 1: the first of 3 fragments that never became a datagram"
    assert said == Statement("fragment", text, 3)


def test_fragments_too_far_apart_belong_to_two_datagrams() -> None:
    fragments = Fragments()
    assert fragments.add((1,), piece(b"x" * 8, 0, True)) is None
    assert fragments.add((1,), piece(b"x" * 8, 8, False, stamp=31 * SECOND)) is None
    assert [each.total for each in fragments.take()] == [1] and fragments.take() == []
    assert len(list(fragments.unfinished())) == 1
    assert list(fragments.unfinished()) == []


@pytest.mark.parametrize(("most", "most_bytes"), [(3, 1 << 30), (1 << 30, 3000)])
def test_the_oldest_goes_where_there_are_too_many(most: int, most_bytes: int) -> None:
    fragments = Fragments(most, most_bytes)
    for key in range(50):
        fragments.add((key,), piece(b"x" * 400, 0, True)._replace(number=key))
    gone = [int(each.text.split()[1].strip(":")) for each in fragments.take()]
    assert gone == list(range(len(gone))) and len(gone) in (46, 47, 48)
    whole = fragments.add((49,), piece(b"y" * 8, 400, False))
    assert whole is not None and whole.data == b"x" * 400 + b"y" * 8


def test_a_datagram_that_is_too_large_alone_goes_as_well() -> None:
    fragments = Fragments(256, 1000)
    assert fragments.add((1,), piece(b"x" * 2000, 0, True)) is None
    assert [each.total for each in fragments.take()] == [1]


def test_extension_headers_before_the_fragments_count_once() -> None:
    hop = bytes((44, 0, 1, 4, 0, 0, 0, 0))
    pieces = [forge.ipv6(hop + each[40:], protocol=0) for each in forge.pieces_6(forge.udp(b"x" * 1200))]
    [packet] = items(*pieces, kind=0x86DD)
    assert isinstance(packet, Packet) and packet.size == 40 + 8 + 8 + 1200


def test_fragments_of_two_interfaces_are_not_mixed() -> None:
    one, two = map(forge.ethernet, forge.pieces(forge.udp(b"x" * 1200)))
    data = forge.section() + forge.interface((2, b"a")) + forge.interface((2, b"b"))
    frames = [(one, 0), (one, 1), (two, 0), (two, 1)]
    data += b"".join(forge.packet(frame, number=number) for frame, number in frames)
    found = [item.interface for item in read_items(io.BytesIO(data)) if isinstance(item, Packet)]
    assert found == ["a", "b"]


def test_what_became_whole_takes_no_room() -> None:
    fragments = Fragments(256, 5000)
    for key in range(100):
        assert fragments.add((key,), piece(b"x" * 800, 0, True)) is None
        assert fragments.add((key,), piece(b"x" * 8, 800, False)) is not None
    assert fragments.take() == []
    assert fragments.add((99,), piece(b"x" * 8, 800, False)) is None
    assert fragments.add((0,), piece(b"x" * 8, 800, False)) is None
    assert [each.total for each in fragments.unfinished()] == [1], "only the last ones are remembered"
