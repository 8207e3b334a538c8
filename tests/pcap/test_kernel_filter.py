"""The program that the kernel runs for every packet: it is run here by a few lines of Python, and compared with what is meant.

Law: nothing is opened. What a real kernel makes of it is in `test_kernel_packets.py`.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_netfixtures._pcap import bpf
from pytest_netfixtures._pcap.glance import glance
from pytest_netfixtures._pcap.headers import SYN, Route

PORTS = st.integers(1, 65535)


def taken(program: list[bpf.Instruction], frame: bytes, leaving: bool = False) -> int:
    """What the kernel's interpreter does: how many bytes of the packet it takes."""
    a = x = at = 0
    while True:
        code, yes, no, k = program[at]
        at += 1
        if code == 0x06:
            return k
        if code in (0x28, 0x30, 0x48, 0x50):
            if k == 0xFFFFF004:  # the kernel's own word for the kind of packet; 4 is one that leaves
                a = 4 if leaving else 0
                continue
            place, size = k + (x if code & 0x40 else 0), 2 if code & 0x08 else 1
            if place + size > len(frame):
                return 0
            a = int.from_bytes(frame[place : place + size], "big")
        elif code == 0x01:
            x = k
        elif code == 0xB1:
            x = (frame[k] & 15) * 4
        elif code == 0x05:
            at += k
        else:
            true = {0x15: a == k, 0x25: a > k, 0x35: a >= k, 0x45: bool(a & k)}[code]
            at += yes if true else no


def packet(protocol: str, family: str, source: int, target: int) -> bytes:
    host = "127.0.0.1" if family == "4" else "::1"
    route = Route((host, source), (host, target))
    return route.tcp(1, 0, SYN) if protocol == "tcp" else route.udp(b"data")


@given(
    st.sets(PORTS, max_size=40),
    PORTS,
    PORTS,
    st.sampled_from(("tcp", "udp")),
    st.sampled_from("46"),
    st.sampled_from(("neither", "source", "target")),
)
def test_packets_from_and_to_these_ports_are_taken_and_no_others(
    ports: set[int], source: int, target: int, protocol: str, family: str, ours: str
) -> None:
    if ports and ours == "source":
        source = min(ports)
    elif ports and ours == "target":
        target = max(ports)
    program = bpf.program(bpf.ranges_of(ports))
    wanted = bool({source, target} & ports)
    assert taken(program, packet(protocol, family, source, target)) == (262144 if wanted else 0)


@given(st.lists(PORTS, max_size=60), st.integers(1, 10))
def test_few_ranges_hold_all_ports(ports: list[int], most: int) -> None:
    ranges = bpf.ranges_of(ports, most)
    assert len(ranges) <= most
    assert all(any(low <= port <= high for low, high in ranges) for port in ports)
    assert all(left[1] < right[0] for left, right in zip(ranges, ranges[1:], strict=False))


def test_thousands_of_ports_stay_below_what_old_kernels_allow() -> None:
    ports = random.Random(1).sample(range(1, 65536), 5000)
    program = bpf.program(bpf.ranges_of(ports))
    assert len(program) <= 700
    assert all(yes < 256 and no < 256 for _, yes, no, _ in program)
    assert all(taken(program, packet("tcp", "4", 70000 % 65536, port)) for port in ports[:300])


@pytest.mark.parametrize(("kind", "wanted"), [(3, True), (11, True), (12, True), (8, False), (0, False)])
def test_of_icmp_errors_are_taken(kind: int, wanted: bool) -> None:
    inner = packet("udp", "4", 5, 6)[14:]
    header = bytearray(packet("udp", "4", 5, 6)[:34])
    header[23] = 1
    frame = bytes(header) + bytes((kind, 3, 0, 0, 0, 0, 0, 0)) + inner
    assert bool(taken(bpf.program(()), frame)) is wanted
    seen = glance(frame)
    assert (seen is not None and seen.quoted and seen.target == ("127.0.0.1", 6)) is wanted


@pytest.mark.parametrize(("kind", "wanted"), [(1, True), (3, True), (4, True), (128, False), (135, False)])
def test_of_icmpv6_errors_are_taken(kind: int, wanted: bool) -> None:
    inner = packet("udp", "6", 5, 6)[14:]
    header = bytearray(packet("udp", "6", 5, 6)[:54])
    header[20] = 58
    frame = bytes(header) + bytes((kind, 4, 0, 0, 0, 0, 0, 0)) + inner
    assert bool(taken(bpf.program(()), frame)) is wanted
    seen = glance(frame)
    assert (seen is not None and seen.quoted and seen.source == ("::1", 5)) is wanted


def test_the_copy_of_a_packet_that_leaves_is_left_out() -> None:
    program = bpf.program(((80, 80),))
    assert taken(program, packet("tcp", "4", 1, 80)) and not taken(
        program, packet("tcp", "4", 1, 80), leaving=True
    )


def test_a_fragment_behind_the_first_has_no_ports_and_is_taken() -> None:
    four = bytearray(packet("udp", "4", 80, 80))
    four[20:22] = b"\x00\x10"
    assert taken(bpf.program(()), bytes(four)) and glance(bytes(four)) is None
    six = bytearray(packet("udp", "6", 80, 80))
    six[20], six[54:54] = 44, b"\x11\x00\x00\x01\x00\x00\x00\x09"
    first = glance(bytes(six))
    assert first is not None and first.target == ("::1", 80) and first.protocol == 17
    six[56:58] = b"\x00\x10"
    assert taken(bpf.program(()), bytes(six)) and glance(bytes(six)) is None


def test_libpcap_takes_the_text_of_the_same_filter(referee: Callable[[str], str]) -> None:
    text = bpf.expression(bpf.ranges_of(range(1000, 60000, 500)))
    assert text.count("portrange") == bpf.MOST_IN_TEXT
    done = subprocess.run([referee("tcpdump"), "-y", "EN10MB", "-d", text], capture_output=True, text=True)
    assert done.returncode == 0 and "ret" in done.stdout, done.stderr


OLD_KERNEL = f"""
import random, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from pytest_netfixtures._pcap import bpf
from pytest_netfixtures._pcap.kernel import Handle
handle = Handle(lambda packets, dropped: None)
for many in (50, 5000, 200, 30000):
    ports = random.Random(many).sample(range(1, 65536), many)
    handle.let_through(bpf.ranges_of(ports))
    handle.let_through(bpf.ranges_of(ports))
handle.close()
print("all taken")
"""


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare"), reason="only root has a network of its own"
)
@pytest.mark.usefixtures("kernel")
def test_a_filter_takes_the_place_of_another_where_kernels_allow_little() -> None:
    little = 'ip link set lo up && echo 20480 > /proc/sys/net/core/optmem_max || exit 77; exec "$@"'
    command = ["unshare", "-n", "sh", "-c", little, "sh", sys.executable, "-c", OLD_KERNEL]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"no network of its own: {done.stderr}")
    assert done.stdout.strip() == "all taken", done.stderr
