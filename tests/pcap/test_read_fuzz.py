"""Files that nobody would write: an error of ours or items, never another exception, and memory within a bound.

Hypothesis's share of what `make fuzz` does with a million inputs.
"""

from __future__ import annotations

import importlib.util
import io
import random
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pcap import forge
from pcap.forged_files import all_files

from pytest_netfixtures import NetlabError
from pytest_netfixtures._pcap import blocks
from pytest_netfixtures._pcap.headers import Route
from pytest_netfixtures._pcap.items import Item, Packet, Row, Statement
from pytest_netfixtures._pcap.read_items import read_items
from pytest_netfixtures._pcap.read_traffic import traffic_of
from pytest_netfixtures._pcap.source import LONGEST

FILES = tuple(all_files())
STAMP = 1_700_000_000_123_456_789
BOUND = 72 << 20
"""Bytes of memory for any file: a block of 16 MiB, what is taken from it as bytes and text, and what there is beside."""


def read(data: bytes) -> list[Item]:
    return list(read_items(io.BytesIO(data)))


def is_ours_or_items(data: bytes) -> None:
    """Any other exception fails the test."""
    try:
        found = read(data)
        str(traffic_of(found).statistics)
    except NetlabError:
        return
    numbers = [item.number for item in found if not isinstance(item, Statement)]
    assert numbers == sorted(set(numbers))
    for item in found:
        if isinstance(item, Packet):
            assert item.missing >= 0 and len(item.payload) + item.missing <= item.size


packets = st.tuples(
    st.booleans(),
    st.booleans(),
    st.binary(max_size=300),
    st.lists(st.text(max_size=20), max_size=3),
    st.text(),
)


@given(st.lists(packets, max_size=5))
def test_what_our_writer_wrote_reads_as_it_was(rows: list[tuple[bool, bool, bytes, list[str], str]]) -> None:
    data = blocks.section(b"a comment", os="Linux", application="x") + blocks.interface("lo", "d")
    expected: list[Item] = [Statement("comment", "a comment")]
    for number, (is_tcp, is_v6, payload, comments, text) in enumerate(rows):
        host, stamp = "::1" if is_v6 else "127.0.0.1", STAMP + number
        route = Route((host, 1234), (host, 80))
        frame = route.tcp(7, 9, 0x18, payload) if is_tcp else route.udp(payload)
        told = tuple(each.encode("utf-8", "backslashreplace").decode() for each in comments)
        data += blocks.packet(0, stamp, frame, blocks.INBOUND, tuple(comments))
        data += blocks.journal(stamp, {"PRIORITY": "6", "MESSAGE": text})
        kind, seq, ack, flags = ("tcp", 7, 9, 0x18) if is_tcp else ("udp", 0, 0, 0)
        expected += [
            Packet(
                2 * number + 1, stamp, "lo", host, host, kind, len(frame) - 14, 1234, 80, seq, ack, flags,
                payload, 0, told,
            ),
            Row(2 * number + 2, -(-stamp // 1000) * 1000, blocks.printable(text)),
        ]  # fmt: skip
    assert read(data) == expected


@given(st.sampled_from(FILES), st.data())
def test_any_prefix_gives_a_prefix_of_the_items(data: bytes, draw: st.DataObject) -> None:
    cut = draw.draw(st.integers(12, len(data)))
    whole, found = read(data), read(data[:cut])
    while found and isinstance(found[-1], Statement) and found[-1].kind in ("torn", "fragment"):
        found.pop()
    assert found == whole[: len(found)]


@given(
    st.sampled_from(FILES), st.lists(st.tuples(st.integers(0), st.integers(0, 255)), min_size=1, max_size=8)
)
def test_any_bytes_may_be_others(data: bytes, changes: list[tuple[int, int]]) -> None:
    changed = bytearray(data)
    for at, value in changes:
        changed[at % len(data)] = value
    is_ours_or_items(bytes(changed))


@given(st.binary(max_size=200), st.sampled_from([0, 1, 12, 101, 108, 113, 228, 229, 276, 999]))
def test_any_bytes_may_be_a_frame(frame: bytes, link: int) -> None:
    is_ours_or_items(forge.pcapng(frame, frame, link=link))


@given(
    st.binary(max_size=120), st.sampled_from([1, 6, 17, 44, 58]), st.booleans(), st.integers(0, 200), st.booleans()
)  # fmt: skip
def test_any_bytes_may_be_in_an_ip_packet(
    payload: bytes, protocol: int, is_v6: bool, size: int, more: bool
) -> None:
    four = forge.ethernet(forge.ipv4(payload, protocol=protocol, total=size, more=more))
    six = forge.ethernet(forge.ipv6(payload, protocol=protocol, size=size), kind=0x86DD)
    is_ours_or_items(forge.pcapng(six if is_v6 else four))


@given(st.binary(max_size=200), st.sampled_from([1, 2, 3, 4, 5, 6, 9, 10, 0xBAD]), st.sampled_from("<>"))
def test_any_bytes_may_be_a_block(body: bytes, kind: int, order: str) -> None:
    head = forge.section(order=order) + forge.interface(order=order)
    is_ours_or_items(head + forge.block(kind, body, order) + forge.packet(b"behind it", order=order))


def test_the_mutations_of_make_fuzz(fuzz: ModuleType) -> None:
    chance = random.Random(11)

    def mutate(data: bytes, size: int) -> bytes:
        changed = bytearray(data or b"\0")
        for _ in range(chance.randrange(1, 4)):
            changed[chance.randrange(len(changed))] = chance.choice(
                (0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256))
            )
        return bytes(changed)[:size]

    for _ in range(1500):
        is_ours_or_items(fuzz.mutated(chance.choice(FILES), 8192, chance, mutate))


@pytest.fixture
def fuzz() -> ModuleType:
    """tools/fuzz.py as a module."""
    path = Path(__file__).resolve().parent.parent.parent / "tools" / "fuzz.py"
    spec = importlib.util.spec_from_file_location("fuzz_of_captures", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_mutator_of_make_fuzz_takes_files_apart_and_puts_them_together(fuzz: ModuleType) -> None:
    for data in FILES:
        if data[:4] == b"\n\r\r\n":
            assert b"".join(fuzz.joined(*block) for block in fuzz.split(data)) == data


class Long(io.RawIOBase):
    """A file that says one thing again and again, up to a size that memory should not have."""

    def __init__(self, head: bytes, again: bytes, size: int) -> None:
        self._file, self._again, self._left = io.BytesIO(head), again, size

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(size)
        while len(data) < size and self._left > 0:
            self._file = io.BytesIO(self._again)
            self._left -= len(self._again)
            data += self._file.read(size - len(data))
        return data


def fragments(number: int, size: int, *comments: bytes) -> bytes:
    """One fragment of each of so many datagrams."""
    said = [(1, comment) for comment in comments]
    frames = (forge.ethernet(forge.ipv4(bytes(size), more=True, ident=each)) for each in range(number))
    return b"".join(forge.packet(frame, *said) for frame in frames)


def addresses(number: int) -> bytes:
    """A packet from each of so many addresses."""
    packet = forge.ipv6(forge.udp(b""))
    rows = (packet[:16] + struct.pack(">Q", each) + packet[24:] for each in range(number))
    return b"".join(forge.packet(forge.ethernet(row, kind=0x86DD)) for row in rows)


def test_texts_of_addresses_are_not_kept_for_ever() -> None:
    data = forge.section() + forge.interface() + addresses(20_000)
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_items(io.BytesIO(data))) == 20_000
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("make", "size"),
    [
        (lambda: fragments(5000, 400), 4),
        (lambda: fragments(500, 64_000), 64),
        (lambda: fragments(50, 800, *[b"c" * 60_000] * 10), 60),
        (lambda: forge.packet(bytes(LONGEST - 64)), 200),
        (lambda: forge.packet(b"", *[(1, b"c" * 60_000)] * 250), 200),
    ],
    ids=["many datagrams", "large datagrams", "comments of fragments", "huge packets", "comments"],
)
def test_memory_is_bounded_whatever_the_size_of_the_file(make: Callable[[], bytes], size: int) -> None:
    file = Long(forge.section() + forge.interface(), make(), size << 20)
    tracemalloc.start()
    try:
        for _ in read_items(file):
            """Nothing is kept."""
        assert tracemalloc.get_traced_memory()[1] < BOUND
    finally:
        tracemalloc.stop()


def test_names_of_interfaces_are_not_kept_whole() -> None:
    file = Long(forge.section(), forge.interface((2, b"n" * 60_000)), 60 << 20)
    tracemalloc.start()
    try:
        assert list(read_items(file)) == []
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_a_length_that_lies_takes_no_memory() -> None:
    head = forge.section() + forge.interface()
    tracemalloc.start()
    try:
        for size in (LONGEST, LONGEST + 4, 0x7FFFFFFC, 0xFFFFFFFC):
            [torn] = read(head + struct.pack("<II", 6, size) + b"a few bytes")
            assert isinstance(torn, Statement) and torn.kind == "torn"
        assert tracemalloc.get_traced_memory()[1] < LONGEST + (1 << 20)
    finally:
        tracemalloc.stop()
