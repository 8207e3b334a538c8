"""Which packets a kernel hands over: those from or to some ports, ICMP errors and fragments, as a program for it.

Law: pure; from port numbers to instructions of the classic BPF on Ethernet, and to the text that libpcap takes elsewhere.
What is let through is never less than asked for: many ports become ranges that hold others too. It is written out here
because libpcap's compiler takes minutes for a thousand ports, and cannot attach a new filter without losing packets.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from pytest_netfixtures._pcap.blocks import SNAPLEN

__all__ = ["Instruction", "Range", "expression", "program", "ranges_of"]

Instruction: TypeAlias = "tuple[int, int, int, int]"
"""Code, jump if true, jump if false, constant."""
Range: TypeAlias = "tuple[int, int]"
"""The first and the last port of it."""

MOST_RANGES = 88
"""Old kernels allow 20 KiB for a filter and the one that takes its place, in instructions of their own, which are more."""
MOST_IN_TEXT = 24
_LEAF = 8

_LOAD_HALF, _LOAD_BYTE = 0x28, 0x30
_LOAD_HALF_AT_X, _LOAD_BYTE_AT_X = 0x48, 0x50
_X_IS, _X_IS_HEADER = 0x01, 0xB1
_EQUAL, _AT_LEAST, _ABOVE, _HAS_BITS, _JUMP = 0x15, 0x35, 0x25, 0x45, 0x05
_TAKE: Instruction = (0x06, 0, 0, SNAPLEN)
_LEAVE: Instruction = (0x06, 0, 0, 0)
_NOT_LEAVING: list[Instruction] = [(_LOAD_BYTE, 0, 0, 0xFFFFF004), (_EQUAL, 0, 1, 4), _LEAVE]
"""Loopback shows every packet twice, leaving and arriving: the first is left out before it takes room in the buffer."""
_IPV4, _IPV6 = 0x0800, 0x86DD
_ICMP, _TCP, _UDP, _FRAGMENT, _ICMPV6 = 1, 6, 17, 44, 58
_ERRORS = (3, 11, 12)
"""Unreachable, time exceeded, parameter problem; what ICMPv6 calls an error is below 128."""


def ranges_of(ports: Iterable[int], most: int = MOST_RANGES) -> tuple[Range, ...]:
    """At most `most` ranges, in order, that hold all these ports and as few others as can be."""
    return _merged([(port, port) for port in sorted(set(ports))], most)


def program(ranges: tuple[Range, ...]) -> list[Instruction]:
    """Instructions for TCP and UDP from and to these ports, for errors of ICMP, over IPv4 and IPv6, and for fragments.

    Loopback has few of them, such as a datagram over IPv6 that is longer than a packet; they have no ports.
    """
    six = [
        (_EQUAL, 1, 0, _IPV6), _LEAVE, (_LOAD_BYTE, 0, 0, 20),
        (_EQUAL, 0, 1, _FRAGMENT), _TAKE, (_EQUAL, 0, 4, _ICMPV6), (_LOAD_BYTE, 0, 0, 54), (_AT_LEAST, 0, 1, 128), _LEAVE, _TAKE,
        *_tcp_or_udp(), (_X_IS, 0, 0, 40),
    ]  # fmt: skip
    errors = [step for kind in _ERRORS for step in ((_EQUAL, 0, 1, kind), _TAKE)]
    four = [
        (_LOAD_HALF, 0, 0, 20), (_HAS_BITS, 0, 1, 0x1FFF), _TAKE, (_X_IS_HEADER, 0, 0, 14), (_LOAD_BYTE, 0, 0, 23),
        (_EQUAL, 0, 2 + len(errors), _ICMP), (_LOAD_BYTE_AT_X, 0, 0, 14), *errors, _LEAVE,
        *_tcp_or_udp(), (_JUMP, 0, 0, len(six)),
    ]  # fmt: skip
    search = _search(ranges)
    ports = [(_LOAD_HALF_AT_X, 0, 0, 14), *search, (_LOAD_HALF_AT_X, 0, 0, 16), *search, _LEAVE]
    return [
        *_NOT_LEAVING,
        (_LOAD_HALF, 0, 0, 12),
        (_EQUAL, 1, 0, _IPV4),
        (_JUMP, 0, 0, len(four)),
        *four,
        *six,
        *ports,
    ]


def expression(ranges: tuple[Range, ...]) -> str:
    """The same as text for libpcap, with fewer and wider ranges."""
    few = _merged(list(ranges), MOST_IN_TEXT)
    ports = " or ".join(f"portrange {low}-{high}" for low, high in few)
    errors = "(icmp and (icmp[0] = 3 or icmp[0] = 11 or icmp[0] = 12)) or (icmp6 and ip6[40] < 128)"
    always = f"{errors} or (ip[6:2] & 0x1fff != 0) or (ip6[6] = {_FRAGMENT})"
    return f"{always} or ((tcp or udp) and ({ports}))" if ports else always


def _merged(ranges: list[Range], most: int) -> tuple[Range, ...]:
    """Divided at the widest gaps alone, so that at most `most` are left."""
    widest = sorted(range(1, len(ranges)), key=lambda n: ranges[n - 1][1] - ranges[n][0])[: most - 1]
    starts = sorted(n for n in widest if ranges[n][0] - ranges[n - 1][1] > 1)
    edges = [0, *starts, len(ranges)] if ranges else []
    return tuple((ranges[a][0], ranges[b - 1][1]) for a, b in zip(edges, edges[1:], strict=False))


def _tcp_or_udp() -> list[Instruction]:
    return [(_EQUAL, 2, 0, _TCP), (_EQUAL, 1, 0, _UDP), _LEAVE]


def _search(ranges: tuple[Range, ...]) -> list[Instruction]:
    """Takes the packet where the number is in a range, and goes on behind itself where it is in none."""
    if len(ranges) <= _LEAF:
        return [step for low, high in ranges for step in _in_range(low, high)]
    middle = len(ranges) // 2
    left, right = _search(ranges[:middle]), _search(ranges[middle:])
    to_right = [(_AT_LEAST, 0, 1, ranges[middle][0]), (_JUMP, 0, 0, len(left) + 1)]
    return [*to_right, *left, (_JUMP, 0, 0, len(right)), *right]


def _in_range(low: int, high: int) -> list[Instruction]:
    if low == high:
        return [(_EQUAL, 0, 1, low), _TAKE]
    return [(_AT_LEAST, 0, 2, low), (_ABOVE, 1, 0, high), _TAKE]
