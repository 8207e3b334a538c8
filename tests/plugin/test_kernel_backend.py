"""The kernel backend as users meet it: whole streams test by test, what is not ours, and what is said where it cannot be."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pcap import shark

from .conftest import Suite

KERNEL = "--net-capture-backend=kernel"
NOISE = """
import socket, sys, time
server = socket.create_server(("127.0.0.1", 0))
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
one.bind(("127.0.0.1", 0))
two = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
end = time.monotonic() + 20
print("ready", flush=True)
for round in range(4000):
    for _ in range(20):
        two.sendto(b"noise", one.getsockname())
    with socket.create_connection(server.getsockname()) as client:
        other, _ = server.accept()
        other.sendall(bytes(20000))
        other.close()
    if time.monotonic() > end:
        break
"""
TALK = """
@pytest.mark.parametrize("n", range(200))
def test_one(tcp_echo, n):
    with socket.create_connection(tcp_echo.address) as client:
        client.sendall(b"%d" % n)
        assert client.recv(100)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
"""


@pytest.fixture
def noise() -> Iterator[None]:
    """A neighbour that is loud on loopback, for 20 s at most."""
    with subprocess.Popen([sys.executable, "-c", NOISE], stdout=subprocess.PIPE) as neighbour:
        assert neighbour.stdout is not None and neighbour.stdout.readline()
        yield
        neighbour.kill()


def frames(suite: Suite, tshark: str, name: str = "") -> list[shark.Frame]:
    (path,) = (suite.captures / found for found in suite.files() if name in found)
    return shark.read(tshark, path)


@pytest.mark.usefixtures("kernel", "noise")
def test_two_hundred_tests_in_a_row_have_every_packet_from_syn_to_fin(
    suite: Suite, referee: Callable[[str], str], tmp_path: Path
) -> None:
    suite.write(TALK)
    suite.run_apart(KERNEL, "--net-capture-keep=all", "-q").assert_outcomes(passed=200)
    files = sorted(suite.captures.glob("*.pcapng"))
    assert len(files) == 200
    wanted = ["-T", "fields", "-e", "tcp.flags.str", "-e", "systemd_journal.message"]
    merged = tmp_path / "all.pcapng"
    merged.write_bytes(b"".join(path.read_bytes() for path in files))
    lines = shark.run(referee("tshark"), "-n", "-r", merged, *wanted).stdout.split("PHASE setup")
    assert len(lines) == 201
    for number, text in enumerate(lines[1:]):
        flags = [line.split("\t")[0].strip("·") for line in text.splitlines()]
        assert flags.count("A··S") + flags.count("S") == 2, (number, text)
        assert sum("F" in flag for flag in flags) == 2, (number, text)
        assert "LOST" not in text and "INCOMPLETE" not in text


@pytest.mark.usefixtures("kernel")
def test_everything_that_happened_is_in_the_file_when_the_test_asks_for_it(suite: Suite) -> None:
    suite.write(
        """
from pytest_netfixtures import read_capture
def test_one(netlab, net_capture):
    echo = netlab.tcp_echo()
    for n in range(50):
        assert ask(echo.address, b"round %d" % n) == b"round %d" % n
        found = read_capture(net_capture.path)
        assert len(found.connections) == n + 1
        assert found.connections[-1].to_client.delivered == b"round %d" % n
    assert net_capture.traffic.incomplete == ""
"""
    )
    suite.run_apart(KERNEL).assert_outcomes(passed=1)


@pytest.mark.usefixtures("kernel")
def test_faults_legs_and_phases_stand_beside_the_packets(suite: Suite, referee: Callable[[str], str]) -> None:
    suite.write(
        """
def test_one(netlab):
    proxy = netlab.tcp_proxy(netlab.tcp_echo(), to_client=Reset(after=3), name="proxy")
    with socket.create_connection(proxy.address) as client, pytest.raises(ConnectionResetError):
        client.sendall(b"hello")
        while client.recv(3):
            pass
"""
    )
    suite.run_apart(KERNEL, "--net-capture-keep=all").assert_outcomes(passed=1)
    found = frames(suite, referee("tshark"))
    said = shark.messages(found)
    assert [text for text in said if text.startswith("PHASE")] == [
        "PHASE setup",
        "PHASE call",
        "PHASE teardown",
    ]
    assert any(text.startswith("FAULT Reset(after=3) on 'proxy' connection 1") for text in said)
    resets = [f for f in found if "R" in f["tcp.flags.str"] and "fault: Reset(after=3)" in f["frame.comment"]]
    assert {f["tcp.stream"] for f in resets} == {"0", "1"}
    first = next(f for f in found if f["tcp.stream"] == "0")
    assert first["frame.comment"].startswith("LEG 'proxy' connection 1, client leg")
    times = [float(frame["frame.time_epoch"] or 0) for frame in found]
    assert times == sorted(times)


@pytest.mark.usefixtures("kernel")
def test_a_stream_has_the_number_that_wireshark_gives_it(suite: Suite, referee: Callable[[str], str]) -> None:
    suite.write(
        """
def test_one(netlab, net_capture):
    echo = netlab.tcp_echo()
    proxy = netlab.tcp_proxy(echo, name="proxy")
    with pytest.raises(OSError):
        socket.create_connection(netlab.refused_address())
    ask(proxy.address, b"one")
    ask(echo.address, b"two")
    ask(proxy.address, b"three")
    net_capture.path
    with open("streams", "w") as file:
        for c in net_capture.traffic.connections:
            for leg in ("client", "server"):
                number = net_capture.stream_of(c.id, leg)
                if number is not None:
                    print(number, c.address[1] if leg == "client" else c.upstream[1], file=file)
"""
    )
    suite.run_apart(KERNEL, "--net-capture-keep=all").assert_outcomes(passed=1)
    shown = {
        (frame["tcp.stream"], frame["tcp.dstport"])
        for frame in frames(suite, referee("tshark"))
        if frame["tcp.flags.str"].count("S") and "A" not in frame["tcp.flags.str"]
    }
    told = {tuple(line.split()) for line in (suite.path / "streams").read_text().splitlines()}
    assert len(told) == 5 and told <= shown


@pytest.mark.usefixtures("kernel")
def test_of_an_upstream_only_our_own_connections_are_shown_unless_it_is_watched(
    suite: Suite, referee: Callable[[str], str]
) -> None:
    suite.write(
        """
import subprocess, threading
@pytest.fixture(scope="session")
def redis():
    port = socket.create_server(("127.0.0.1", 0))
    number = port.getsockname()[1]
    port.close()
    server = subprocess.Popen(["REDIS", "--port", str(number), "--save", ""], stdout=subprocess.PIPE)
    for line in server.stdout:
        if b"eady to accept" in line:
            break
    yield ("127.0.0.1", number)
    server.kill()
    server.communicate()
def talk(netlab, redis):
    proxy = netlab.tcp_proxy(redis, name="proxy")
    assert ask(redis, b"GET stranger\\r\\n") == b"$-1\\r\\n"
    assert ask(proxy.address, b"GET ours\\r\\n") == b"$-1\\r\\n"
def test_without(netlab, net_capture, redis):
    talk(netlab, redis)
    data = net_capture.path.read_bytes()
    assert data.count(b"GET ours") == 2 and b"GET stranger" not in data
def test_watched(netlab, net_capture, redis):
    net_capture.watch(redis[1])
    talk(netlab, redis)
    data = net_capture.path.read_bytes()
    assert data.count(b"GET ours") == 2 and data.count(b"GET stranger") == 1
    (stranger,) = [c for c in net_capture.traffic.connections if c.endpoint != "proxy"]
    assert stranger.address == redis and stranger.to_client.delivered == b"$-1\\r\\n"
    assert_sent(net_capture, to_server=b"GET stranger")
""".replace("REDIS", referee("redis-server"))
    )
    suite.run_apart(KERNEL).assert_outcomes(passed=2)


@pytest.mark.usefixtures("kernel")
def test_a_port_is_watched_by_the_marker(suite: Suite) -> None:
    suite.write(
        """
server = socket.create_server(("127.0.0.1", 0))
@pytest.mark.netlab(watch=[server.getsockname()[1]], backend="kernel")
def test_one(net_capture):
    with socket.create_connection(server.getsockname()) as client:
        other, _ = server.accept()
        client.sendall(b"hello")
        assert other.recv(5) == b"hello"
        other.close()
    (seen,) = net_capture.traffic.connections
    assert seen.to_server.sent == b"hello" and seen.transport == "tcp"
def teardown_module(): server.close()
"""
    )
    suite.run_apart("--net-capture").assert_outcomes(passed=1)


def test_the_tap_says_that_it_cannot_watch(suite: Suite) -> None:
    suite.write(
        """
@pytest.mark.netlab(watch=[5432], capture=True)
def test_marked(netlab): pass
def test_called(net_capture):
    with pytest.raises(CaptureUnavailable, match="port 5432 cannot be watched.*--net-capture-backend=kernel"):
        net_capture.watch(5432)
"""
    )
    result = suite.run()
    result.assert_outcomes(errors=1, passed=1)
    result.stdout.fnmatch_lines(["*CaptureUnavailable: port 5432 cannot be watched*"])


@pytest.mark.parametrize("ports", ["[0]", "[65536]", "['http']", "[True]"])
def test_what_is_no_port_cannot_be_watched(suite: Suite, ports: str) -> None:
    suite.write(f"@pytest.mark.netlab(watch={ports})\ndef test_one(netlab): pass\n")
    result = suite.run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*watch= of the marker netlab*expected a list of ports from 1 to 65535*"])


@pytest.mark.usefixtures("kernel")
def test_an_unreachable_port_of_udp_is_shown_with_its_icmp_message(
    suite: Suite, referee: Callable[[str], str]
) -> None:
    suite.write(
        """
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_one(netlab, host):
    server = netlab.udp_responder(host=host)
    server.stop()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as client, pytest.raises(ConnectionRefusedError):
        client.connect(server.address)
        client.send(b"anybody?")
        client.settimeout(10)
        client.recv(1)
"""
    )
    suite.run_apart(KERNEL, "--net-capture-keep=all").assert_outcomes(passed=2)
    for path in suite.captures.glob("*.pcapng"):
        shown = shark.run(referee("tshark"), "-n", "-r", path).stdout
        assert "unreachable (Port unreachable)" in shown or "(Port unreachable)" in shown, shown


@pytest.mark.usefixtures("kernel")
def test_a_run_that_is_killed_leaves_a_file_that_is_read(suite: Suite, referee: Callable[[str], str]) -> None:
    suite.write(
        "def test_one(tcp_echo, net_capture):\n    ask(tcp_echo.address, b'seen')\n    net_capture.path\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    assert suite.run_apart(KERNEL, "--net-capture").ret != 0
    found = frames(suite, referee("tshark"))
    assert any("73:65:65:6e" in f["tcp.payload"] or "7365656e" in f["tcp.payload"] for f in found)


@pytest.mark.usefixtures("kernel")
def test_a_run_ends_well_after_ctrl_c(suite: Suite) -> None:
    suite.write(
        "import signal\ndef test_one(tcp_echo):\n    ask(tcp_echo.address, b'seen')\n"
        "    signal.signal(signal.SIGINT, signal.default_int_handler)\n    os.kill(os.getpid(), signal.SIGINT)\n"
    )
    result = suite.run_apart(KERNEL, "--net-capture")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert len(suite.files()) == 1


@pytest.mark.usefixtures("kernel")
def test_a_child_of_the_test_leaves_the_capture_alone(suite: Suite, referee: Callable[[str], str]) -> None:
    suite.write(
        """
import sys
def test_one(tcp_echo, net_capture):
    ask(tcp_echo.address, b"before")
    child = os.fork()
    if not child:
        try:
            ask(tcp_echo.address, b"child")
            import gc; gc.collect()
        finally:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    ask(tcp_echo.address, b"after")
    data = net_capture.path.read_bytes()
    assert all(data.count(word) == 2 for word in (b"before", b"child", b"after"))
"""
    )
    suite.run_apart(KERNEL, "--net-capture-keep=all").assert_outcomes(passed=1)
    assert shark.messages(frames(suite, referee("tshark")))[-1] == "PHASE teardown"


@pytest.mark.usefixtures("kernel")
def test_workers_have_a_handle_each(suite: Suite) -> None:
    pytest.importorskip("xdist")
    suite.write(TALK.replace("range(200)", "range(12)"))
    result = suite.run_apart("-p", "xdist.plugin", "-n", "2", KERNEL, "--net-capture-keep=all")
    result.assert_outcomes(passed=12)
    assert len(suite.files()) == 12


@pytest.mark.usefixtures("kernel")
def test_the_header_names_the_backend(suite: Suite) -> None:
    suite.write("def test_one(): pass\n")
    result = suite.run_apart(KERNEL, "--net-capture")
    result.stdout.fnmatch_lines(["netfixtures: capture of failed tests by the kernel into net-captures"])


@pytest.mark.usefixtures("kernel")
def test_a_session_that_never_ends_in_a_crash(suite: Suite) -> None:
    suite.write("def test_one(tcp_echo):\n    ask(tcp_echo.address, b'x')\n    assert 0\n")
    result = suite.run_apart(KERNEL, "--net-capture")
    assert result.ret == pytest.ExitCode.TESTS_FAILED != -signal.SIGSEGV
    result.stdout.fnmatch_lines(["*wireshark -r *tcp.stream eq 0*"])
