"""What is left when nothing of ours gets a chance to clean up, and when a human interrupts."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from .conftest import Suite

TALK = """
import signal
def talk(netlab):
    proxy = netlab.tcp_proxy(netlab.tcp_echo(), to_client=Stall(after=3), name="proxy")
    client = socket.create_connection(proxy.address)
    client.sendall(b"seen before the end")
    assert client.recv(3) == b"see"
    assert_delivered(proxy, to_client=b"see")
    return client
"""

DEATHS: list[tuple[str, str, list[str]]] = [
    ("SIGKILL", "os.kill(os.getpid(), 9)", []),
    ("os._exit", "os._exit(1)", []),
    ("SIGTERM", "os.kill(os.getpid(), 15)\n    client.recv(1)", []),
    (
        "pytest-timeout's thread",
        "client.recv(1)",
        ["-p", "pytest_timeout", "--timeout=1", "--timeout-method=thread"],
    ),
]


def rows(suite: Suite, referee: Callable[[str], str]) -> tuple[str, str]:
    """The outcome and the packet list of the only capture."""
    (name,) = suite.files()
    path = str(suite.captures / name)
    packets = subprocess.run([referee("tshark"), "-r", path], capture_output=True, text=True)
    assert packets.returncode == 0 and not packets.stderr.strip("\n").count("cut short"), packets.stderr
    header = subprocess.run([referee("capinfos"), path], capture_output=True, text=True, check=True).stdout
    return header.partition("outcome: ")[2].split()[0], packets.stdout


@pytest.mark.parametrize(
    ("how", "arguments"), [death[1:] for death in DEATHS], ids=[death[0] for death in DEATHS]
)
def test_a_run_that_dies_leaves_all_that_had_happened(
    suite: Suite, how: str, arguments: list[str], referee: Callable[[str], str]
) -> None:
    if arguments:
        pytest.importorskip("pytest_timeout")
    suite.write(TALK + f"def test_one(netlab):\n    client = talk(netlab)\n    {how}\n")
    assert suite.run_apart("--net-capture", *arguments).ret != 0
    outcome, packets = rows(suite, referee)
    assert outcome == "RUNNING"
    assert "call" in packets and "Len=19" in packets and "Len=3" in packets and "Stall" in packets


def test_a_test_that_dies_in_setup_leaves_its_capture_too(
    suite: Suite, referee: Callable[[str], str]
) -> None:
    suite.write(
        TALK
        + "@pytest.fixture\ndef dies(netlab):\n    talk(netlab)\n    os._exit(1)\ndef test_one(dies): pass\n"
    )
    suite.run_apart("--net-capture")
    outcome, packets = rows(suite, referee)
    assert outcome == "RUNNING" and "setup" in packets and "Len=19" in packets


# A run in the background may have been born deaf to Ctrl-C, so that it is told to listen.
INTERRUPTS = {
    "Ctrl-C": "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "    os.kill(os.getpid(), signal.SIGINT)\n    client.recv(1)",
    "pytest.exit": "pytest.exit('enough')",
}


@pytest.mark.parametrize("how", INTERRUPTS.values(), ids=INTERRUPTS.keys())
def test_an_interrupted_test_keeps_its_capture_and_the_exit_code_stays(
    suite: Suite, how: str, referee: Callable[[str], str]
) -> None:
    suite.write(
        TALK
        + f"def test_one(netlab):\n    client = talk(netlab)\n    {how}\n"
        + "def test_two(tcp_echo): pass\n"
    )
    without = suite.run_apart().ret
    assert suite.run_apart("--net-capture").ret == without == pytest.ExitCode.INTERRUPTED
    outcome, packets = rows(suite, referee)
    assert outcome == "interrupted" and "Len=19" in packets


def test_a_second_interrupt_in_the_teardown_keeps_it_too(suite: Suite, referee: Callable[[str], str]) -> None:
    suite.write(
        TALK
        + "@pytest.fixture\ndef impatient(netlab):\n    yield\n    raise KeyboardInterrupt\n"
        + "def test_one(netlab, impatient):\n    talk(netlab)\n    raise KeyboardInterrupt\n"
    )
    suite.run_apart("--net-capture")
    outcome, packets = rows(suite, referee)
    assert outcome == "interrupted" and "Len=19" in packets


def test_an_interrupted_run_under_xdist_has_the_same_exit_code(suite: Suite) -> None:
    pytest.importorskip("xdist")
    suite.write(TALK + "def test_one(netlab):\n    talk(netlab)\n    raise KeyboardInterrupt\n")
    without = suite.run_apart("-p", "xdist", "-n1").ret
    assert suite.run_apart("-p", "xdist", "-n1", "--net-capture").ret == without
    assert len(suite.files()) == 1


def test_many_tests_leave_no_descriptor_and_no_thread(suite: Suite) -> None:
    (suite.path / "conftest.py").write_text(
        "import os, threading\n"
        "def pytest_runtest_logfinish(nodeid):\n"
        "    with open('counts', 'a') as file:\n"
        "        file.write(f\"{len(os.listdir('/dev/fd'))} {threading.active_count()}\\n\")\n"
    )
    suite.write(
        "@pytest.mark.parametrize('n', range(60))\n"
        "def test_one(netlab, net_capture, n):\n"
        "    proxy = netlab.tcp_proxy(netlab.tcp_echo(), to_client=Truncate(after=2))\n"
        "    assert ask(proxy.address, b'hello') == b'he'\n"
    )
    suite.run_apart("--net-capture").assert_outcomes(passed=60)
    counts = (suite.path / "counts").read_text().splitlines()
    assert counts[9] == counts[-1]
