"""What is read off a frame, and the link types of other systems."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_netfixtures._pcap.glance import ETHERNET, LOOP, NULL, Glance, ethernet, glance, wire_size
from pytest_netfixtures._pcap.headers import ACK, PSH, Route

FOUR = Route(("127.0.0.1", 40000), ("127.0.0.9", 80))
SIX = Route(("::1", 40000), ("fe80::1", 80))


@pytest.mark.parametrize(
    ("route", "source", "target"), [(FOUR, "127.0.0.1", "127.0.0.9"), (SIX, "::1", "fe80::1")]
)
def test_a_segment_and_a_datagram_are_known(route: Route, source: str, target: str) -> None:
    ends = (source, 40000), (target, 80)
    assert glance(route.tcp(7, 8, PSH | ACK, b"hello")) == Glance(6, *ends, 7, PSH | ACK, 5)
    assert glance(route.udp(b"hello")) == Glance(17, *ends, size=5)


@pytest.mark.parametrize("family", [2, 10, 23, 24, 28, 30])
@pytest.mark.parametrize("order", ["<", ">"])
def test_null_and_loop_become_ethernet(family: int, order: str) -> None:
    frame = (FOUR if family == 2 else SIX).udp(b"x")
    assert ethernet(struct.pack(order + "I", family) + frame[14:], NULL) == frame
    assert ethernet(struct.pack(">I", family) + frame[14:], LOOP) == frame
    assert ethernet(frame, ETHERNET) is frame


def test_a_packet_that_is_longer_than_its_length_field_can_say_has_the_length_that_came() -> None:
    frame = bytearray(FOUR.tcp(1, 1, ACK, bytes(1000)))
    frame[16:18] = b"\0\0"
    seen = glance(bytes(frame))
    assert seen is not None and seen.size == 1000 and wire_size(bytes(frame)) == len(frame)


def test_what_was_cut_off_is_counted() -> None:
    for frame in (FOUR.tcp(1, 1, ACK, bytes(1000)), SIX.udp(bytes(1000))):
        assert wire_size(frame[:96]) == len(frame) == wire_size(frame)


@given(st.binary(max_size=120), st.sampled_from((b"\x08\x00", b"\x86\xdd", b"\x08\x06")))
def test_no_frame_is_an_error(data: bytes, kind: bytes) -> None:
    frame = bytes(12) + kind + data
    glance(frame)
    assert wire_size(frame) >= len(frame)
