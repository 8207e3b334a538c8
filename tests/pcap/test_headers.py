"""Headers against bytes worked out by hand, and checksums against the plain definition."""

from __future__ import annotations

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_netfixtures._pcap.headers import ACK, PSH, SYN, SYN_OPTIONS, Route, checksum

V4 = Route(("127.0.0.1", 40001), ("127.0.0.1", 6379))
V6 = Route(("::1", 40001), ("::1", 6379))
routes = st.sampled_from([V4, V6])
ports = st.integers(0, 65535)
numbers = st.integers(0, 1 << 34)


def ones_complement(data: bytes) -> int:
    """The sum as RFC 1071 defines it: 16-bit words with the carry added back."""
    total = 0
    for (word,) in struct.iter_unpack(">H", data + b"\0" * (len(data) & 1)):
        total += word
        total = (total & 0xFFFF) + (total >> 16)
    return total


def pseudo(frame: bytes) -> bytes:
    """The pseudo-header and all that follows the IP header."""
    if frame[12:14] == b"\x08\x00":
        return frame[26:34] + struct.pack(">HH", frame[23], len(frame) - 34) + frame[34:]
    return frame[22:54] + struct.pack(">II", len(frame) - 54, frame[20]) + frame[54:]


@given(routes, numbers, numbers, st.binary(max_size=99))
@example(V4, 0, 0, b"")
def test_every_tcp_checksum_verifies(route: Route, seq: int, ack: int, data: bytes) -> None:
    assert ones_complement(pseudo(route.tcp(seq, ack, PSH | ACK, data))) == 0xFFFF


@given(routes, st.binary(max_size=99))
def test_every_udp_checksum_verifies(route: Route, data: bytes) -> None:
    assert ones_complement(pseudo(route.udp(data))) == 0xFFFF


@given(st.ip_addresses(v=4), st.ip_addresses(v=4), ports, ports, st.integers(0, 3000))
def test_every_ipv4_header_verifies(here: object, there: object, source: int, target: int, size: int) -> None:
    frame = Route((str(here), source), (str(there), target)).udp(bytes(size))
    assert ones_complement(frame[14:34]) == 0xFFFF
    assert struct.unpack_from(">H", frame, 16) == (len(frame) - 14,)


@given(st.binary(min_size=2, max_size=40).filter(any))
def test_the_quick_sum_is_the_plain_sum(data: bytes) -> None:
    data += b"\0" * (len(data) & 1)
    assert checksum(int.from_bytes(data, "big")) == 0xFFFF - ones_complement(data)


@pytest.mark.parametrize("route", [V4, V6], ids=["IPv4", "IPv6"])
def test_a_udp_sum_that_comes_out_as_zero_is_written_as_ffff(route: Route) -> None:
    for word in range(0x10000):
        frame = route.udp(struct.pack(">H", word))
        written = frame[-4:-2]
        assert written != b"\0\0"
        if written == b"\xff\xff":
            assert ones_complement(pseudo(frame)) == 0xFFFF
            return
    raise AssertionError("no payload of two bytes sums up to zero")


def test_a_tcp_sum_that_comes_out_as_zero_is_written_as_zero() -> None:
    found = {V4.tcp(word, 0, ACK)[50:52] for word in range(0x10000)}
    assert b"\0\0" in found
    assert b"\xff\xff" not in found


def test_a_syn_over_ipv4_has_the_bytes_of_the_rfcs() -> None:
    assert V4.tcp(1, 0, SYN, options=SYN_OPTIONS) == bytes.fromhex(
        "000000000000 000000000000 0800 45000030 00004000 4006 3cc6 7f000001 7f000001"
        "9c41 18eb 00000001 00000000 7002 ffff d6d1 0000 0204ffc3 0103030e"
    )


def test_a_datagram_over_ipv6_has_the_bytes_of_the_rfcs() -> None:
    start = bytes.fromhex("000000000000 000000000000 86dd 60000000 000d 11 40")
    addresses = (bytes(15) + b"\1") * 2
    assert V6.udp(b"hello")[:58] == start + addresses + bytes.fromhex("9c41 18eb")
    assert V6.udp(b"hello")[58:60] == b"\0\x0d"
    assert V6.udp(b"hello")[62:] == b"hello"


def test_numbers_wrap_at_32_bits() -> None:
    assert V4.tcp((1 << 32) + 5, (1 << 32) + 6, ACK) == V4.tcp(5, 6, ACK)


def test_two_families_in_one_conversation_are_refused() -> None:
    with pytest.raises(ValueError, match="two families"):
        Route(("127.0.0.1", 1), ("::1", 2))
