"""The options of pcapng blocks.

Law: pure; from bytes to codes and values. Options that run over the end of their block end the list and break nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import lru_cache

from pytest_netfixtures._pcap.source import readable_text

__all__ = ["of_a_packet", "options"]

SMALL = 32
COMMENT, DROPPED = 1, 4
NOT_KNOWN = (1 << 64) - 1
_HEADS = {order: struct.Struct(f"{order}HH") for order in "<>"}
_LONGS = {order: struct.Struct(f"{order}Q") for order in "<>"}


def options(order: str, data: bytes) -> Iterator[tuple[int, bytes]]:
    """Code and value of each option up to the end mark, or to where they make no sense."""
    head, at, last = _HEADS[order], 0, len(data) - 4
    while at <= last:
        code, size = head.unpack_from(data, at)
        at += 4
        if not code or at + size > len(data):
            return
        yield code, data[at : at + size]
        at += size + 3 & ~3


def of_a_packet(order: str, data: bytes) -> tuple[tuple[str, ...], int]:
    """The comments of a packet, and how many packets were lost before it."""
    return _small(order, data) if len(data) <= SMALL else _of_a_packet(order, data)


def _of_a_packet(order: str, data: bytes) -> tuple[tuple[str, ...], int]:
    comments, lost = [], 0
    for code, value in options(order, data):
        if code == COMMENT:
            comments.append(readable_text(value))
        elif code == DROPPED and len(value) == 8:
            lost = _LONGS[order].unpack(value)[0]
    return tuple(comments), 0 if lost == NOT_KNOWN else lost


_small = lru_cache(maxsize=64)(_of_a_packet)
"""Most packets have the same few bytes of options: which way they went."""
