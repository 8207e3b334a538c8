"""Real packets of loopback: what the kernel loses, compared with tcpdump, and what a handle does to its process.

Law: at most 100,000 packets a test; each wait has a deadline.
"""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pcap import shark

from pytest_netfixtures import NetLab, Slice, read_capture
from pytest_netfixtures._kernel_hub import Attached, Hub
from pytest_netfixtures._pcap.bpf import ranges_of
from pytest_netfixtures._pcap.kernel_tap import KernelTap

SENDER = """
import socket, sys, time
port, many, rate = map(int, sys.argv[1:])
line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
line.connect(("127.0.0.1", port))
start = time.perf_counter()
for n in range(many):
    line.send(b"%7d" % n)
    while n % 100 == 99 and (time.perf_counter() - start) * rate < n:
        pass
print(f"{many / (time.perf_counter() - start):.0f} packets a second")
"""
MANY = 100_000


@pytest.fixture
def receiver() -> Iterator[socket.socket]:
    """A UDP socket that nobody reads."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock


def capture(hub: Hub, path: Path, *ports: int, max_bytes: int = 64 << 20) -> Attached:
    tap = KernelTap(path, node_id="x", comment={}, max_bytes=max_bytes)
    tap.watched.update(ports)
    return hub.attach(tap, [])


@pytest.mark.parametrize("busy", [False, True], ids=["quiet", "beside a busy thread"])
def test_nothing_is_lost_where_tcpdump_loses_nothing(
    hub: Hub, receiver: socket.socket, tmp_path: Path, referee: Callable[[str], str], busy: bool
) -> None:
    port = receiver.getsockname()[1]
    command = [
        referee("tcpdump"),
        "-i",
        "lo",
        "-n",
        "-B",
        "65536",
        "-w",
        str(tmp_path / "t.pcap"),
        "-Z",
        "root",
    ]
    over = threading.Event()
    spinner = threading.Thread(target=lambda: [None for _ in iter(over.is_set, True)])
    with subprocess.Popen([*command, f"udp port {port}"], stderr=subprocess.PIPE, text=True) as other:
        assert other.stderr is not None
        assert any("listening" in line for line in other.stderr)
        attached = capture(hub, tmp_path / "k.pcapng", port)
        if busy:
            spinner.start()
        try:
            sender = [sys.executable, "-c", SENDER, str(port), str(MANY), "100000"]
            rate = subprocess.run(sender, check=True, capture_output=True, text=True).stdout
            print(rate)  # what the machine could do
            attached.stop()
        finally:
            over.set()
            other.terminate()
        said = other.stderr.read()
    if busy:
        spinner.join()
    attached.tap.finish("passed")
    dropped = int(said.split("packets received by filter")[1].split()[0])
    lost = MANY - attached.tap.packets
    assert lost <= dropped, (rate, lost, dropped, attached.tap.incomplete)
    assert bool(attached.tap.incomplete) == (lost > 0)


def test_a_new_port_costs_no_packet_of_the_others(hub: Hub, receiver: socket.socket, tmp_path: Path) -> None:
    port = receiver.getsockname()[1]
    attached = capture(hub, tmp_path / "k.pcapng", port)
    with subprocess.Popen([sys.executable, "-c", SENDER, str(port), "20000", "100000"]) as sender:
        for other in range(1, 30000):
            if sender.poll() is not None:
                break
            hub.let_through({other})
    attached.stop()
    assert attached.tap.packets == 20000 and not attached.tap.incomplete


def test_what_the_kernel_had_no_room_for_is_said(
    kernel: None, receiver: socket.socket, tmp_path: Path, referee: Callable[[str], str]
) -> None:
    small = Hub(ring=2 << 20)
    port = receiver.getsockname()[1]
    attached = capture(small, tmp_path / "k.pcapng", port)
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        release.wait(20)

    small.post(hold)
    assert held.wait(10)
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for _ in range(2000):
        sender.sendto(bytes(9000), receiver.getsockname())
    release.set()
    attached.sync()
    sender.sendto(b"after", receiver.getsockname())
    attached.stop()
    attached.tap.finish("passed")
    small.close()
    sender.close()
    assert "had no room for" in attached.tap.incomplete
    path = tmp_path / "k.pcapng"
    wanted = ["-T", "fields", "-e", "frame.drop_count", "-e", "systemd_journal.message"]
    lines = shark.run(referee("tshark"), "-n", "-r", path, *wanted).stdout.splitlines()
    counted = sum(int(line.split("\t")[0] or 0) for line in lines)
    rows = [line.split("\t")[1].split() for line in lines if "LOST" in line]
    dropped = 2001 - attached.tap.packets
    assert 0 < dropped <= counted <= dropped + 30  # sentinels of the barrier had no room either
    assert counted == sum(int(row[1]) for row in rows)
    assert shark.run(referee("editcap"), path, tmp_path / "copy.pcapng").returncode == 0


def test_a_port_that_was_given_back_is_forgotten_with_the_test(
    hub: Hub, receiver: socket.socket, tmp_path: Path
) -> None:
    with NetLab() as lab:
        attached = capture(hub, tmp_path / "one.pcapng")
        port = lab.udp_responder().port
        attached.drop()
        attached.tap.discard()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.1", port))
        attached = capture(hub, tmp_path / "two.pcapng")
        hub.let_through({port})
        receiver.sendto(b"a stranger has it now", ("127.0.0.1", port))
        assert stranger.recv(100)
        attached.stop()
    assert attached.tap.packets == 0


def test_other_peoples_packets_stay_out(hub: Hub, receiver: socket.socket, tmp_path: Path) -> None:
    with NetLab() as lab:
        attached = capture(hub, tmp_path / "k.pcapng")
        lab.udp_responder()
        hub.let_through({receiver.getsockname()[1]})
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"stranger", receiver.getsockname())
        attached.stop()
    assert attached.tap.packets == 0


def test_two_tests_at_once_have_the_packets_of_their_own_labs(hub: Hub, tmp_path: Path) -> None:
    with NetLab() as one, NetLab() as two:
        servers = [lab.tcp_echo() for lab in (one, two)]
        captures = [KernelTap(tmp_path / name, node_id="x", comment={}) for name in ("one", "two")]
        attached = [hub.attach(tap, [lab]) for tap, lab in zip(captures, (one, two), strict=True)]
        for server, word in zip(servers, (b"first", b"second"), strict=True):
            with socket.create_connection(server.address, 10) as client:
                client.sendall(word)
                assert client.recv(10)
        for each in attached:
            each.stop()
            each.tap.finish("passed")
            assert not each.tap.incomplete
    first, second = ((tmp_path / name).read_bytes() for name in ("one", "two"))
    assert (first.count(b"first"), first.count(b"second")) == (2, 0)
    assert (second.count(b"first"), second.count(b"second")) == (0, 2)


def test_what_is_read_back_equals_the_journal_stream_by_stream(hub: Hub, tmp_path: Path) -> None:
    with NetLab() as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(host="::1"), host="::1", to_client=Slice(1000), name="proxy")
        attached = capture(hub, tmp_path / "k.pcapng")
        lab.add_sink(attached.tap)
        for n in range(5):
            with socket.create_connection(proxy.address, 10) as client:
                client.sendall(bytes([n]) * 100_000)
                client.shutdown(socket.SHUT_WR)
                while client.recv(1 << 20):
                    pass
        attached.stop()
        attached.tap.finish("passed")
        said = proxy.traffic
    found = [c for c in read_capture(tmp_path / "k.pcapng").connections if c.endpoint == "proxy"]
    assert len(found) == 5 == len(said.connections)
    for here, there in zip(found, said.connections, strict=True):
        assert here.to_server.delivered == there.to_server.delivered
        assert here.to_client.delivered == there.to_client.delivered
        assert (here.number, here.peer) == (there.number, there.peer[:2])


def test_the_longest_packet_of_loopback_is_whole(
    hub: Hub, tmp_path: Path, referee: Callable[[str], str]
) -> None:
    with NetLab() as lab:
        server = lab.udp_responder()
        attached = capture(hub, tmp_path / "k.pcapng")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(10)
            client.sendto(bytes(65507), server.address)
            assert len(client.recv(70000)) == 65507
        attached.stop()
        attached.tap.finish("passed")
    lengths = shark.run(
        referee("tshark"),
        "-n",
        "-r",
        tmp_path / "k.pcapng",
        "-T",
        "fields",
        "-e",
        "frame.len",
        "-e",
        "frame.cap_len",
    )
    assert lengths.stdout.split() == ["65549"] * 4


def test_a_port_that_is_used_again_is_another_stream(
    hub: Hub, tmp_path: Path, referee: Callable[[str], str]
) -> None:
    with NetLab() as lab:
        server = lab.tcp_echo()
        attached = capture(hub, tmp_path / "k.pcapng")
        lab.add_sink(attached.tap)
        source = 0
        for _ in range(20):
            with socket.socket() as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                client.bind(("127.0.0.1", source))
                source = client.getsockname()[1]
                client.settimeout(10)
                client.connect(server.address)
                client.sendall(b"x")
                assert client.recv(1) == b"x"
        lab.wait_for(lambda: len(server.connections) == 20)
        attached.stop()
        numbers = [attached.tap.stream_of(each.id, "client") for each in server.connections]
        attached.tap.finish("passed")
    assert numbers == list(range(20))
    found = shark.read(referee("tshark"), tmp_path / "k.pcapng")
    named = {
        frame["tcp.stream"]: frame["frame.comment"] for frame in found if "LEG" in frame["frame.comment"]
    }
    assert [named[str(n)].split(",")[0] for n in range(20)] == [
        f"LEG 'tcp_echo' connection {n + 1}" for n in range(20)
    ]


def test_the_handle_is_closed_for_programs_that_are_started(hub: Hub) -> None:
    assert fcntl.fcntl(hub.handle._fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC


def test_a_child_has_nothing_of_the_handle(hub: Hub, tmp_path: Path) -> None:
    attached = capture(hub, tmp_path / "k.pcapng")
    fd = hub.handle._fd
    child = os.fork()
    if not child:
        code = 1
        try:
            hub.leave_behind()
            code = 0 if os.fstat(fd).st_rdev == os.stat(os.devnull).st_rdev and not hub.alive else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    attached.sync()
    attached.stop()
    assert not attached.tap.incomplete


def test_a_barrier_that_nobody_meets_ends_and_says_so(hub: Hub, tmp_path: Path) -> None:
    attached = capture(hub, tmp_path / "k.pcapng")
    release = threading.Event()
    hub.post(lambda: release.wait(30))
    attached.sync()
    release.set()
    assert "did not hand over" in attached.tap.incomplete
    attached.stop()


def test_calls_after_the_end_do_not_hang(kernel: None) -> None:
    one = Hub()
    one.close()
    one.close()
    assert not one.barrier(lambda: None)
    with pytest.raises(TimeoutError):
        one.handle.let_through(ranges_of([1]))


def test_opening_and_closing_leaves_no_descriptor(kernel: None) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        Hub().close()
    assert len(os.listdir("/proc/self/fd")) <= before
