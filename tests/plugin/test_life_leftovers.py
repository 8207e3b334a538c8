"""What a killed run or a dead worker has left is made whole by those who come after, and never while its owner lives."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pytest_netfixtures
from pytest_netfixtures._pcap.salvage import KILLED, outcome_of

from .conftest import Suite

DYING = """
def test_dies(netlab):
    proxy = netlab.tcp_proxy(netlab.tcp_echo(), name="redis")
    assert ask(proxy.address, b"last words") == b"last words"
    HOW
"""
ALIVE = """
from pathlib import Path
def test_alive(netlab):
    echo = netlab.tcp_echo()
    assert ask(echo.address, b"a") == b"a"
    Path("ready").touch()
    netlab.wait_for(lambda: Path("go").exists(), within=60)
    assert ask(echo.address, b"b") == b"b"
    assert WELL
"""
LINE = "network captures of a killed run, made readable: *"


def manifest(suite: Suite) -> list[dict[str, Any]]:
    """Its lines."""
    return [json.loads(line) for line in (suite.captures / "manifest.jsonl").read_text().splitlines()]


def outcomes(suite: Suite) -> set[str | None]:
    """What the captures say of themselves."""
    return {outcome_of(path) for path in suite.captures.glob("*.pcapng")}


def assert_clean(referee: Callable[[str], str], path: Path, text: str) -> None:
    """tshark reads all of it, and it shows `text`."""
    done = subprocess.run([referee("tshark"), "-x", "-r", str(path)], capture_output=True, text=True)
    assert done.returncode == 0 and "cut short" not in done.stderr, done.stderr
    assert text in done.stdout


def test_the_next_run_makes_whole_what_a_killed_one_has_left(
    suite: Suite, referee: Callable[[str], str]
) -> None:
    suite.write(DYING.replace("HOW", "os.kill(os.getpid(), 9)"), "test_kill.py")
    hang = "__import__('faulthandler').dump_traceback_later(0.5, exit=True); __import__('threading').Event().wait(60)"
    suite.write(DYING.replace("HOW", hang), "test_hang.py")
    suite.write("def test_fine(tcp_echo): pass\n", "test_fine.py")
    suite.run_apart("--net-capture", "test_kill.py")
    suite.run_apart("--net-capture", "test_hang.py")
    torn = suite.captures / suite.files()[0]
    assert len(suite.files()) == 2 and outcomes(suite) == {KILLED, "RUNNING"}
    torn.write_bytes(torn.read_bytes()[:-3])
    for looking in (["--collect-only"], ["--setup-plan"], ["--fixtures"]):
        suite.run("--net-capture", "test_fine.py", *looking)
    suite.run("test_fine.py")
    assert outcomes(suite) == {KILLED, "RUNNING"}
    result = suite.run("--net-capture", "test_fine.py")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines([f"{LINE}net-captures/{torn.name}"])
    assert outcomes(suite) == {KILLED}
    assert {(line["nodeid"], line["outcome"]) for line in manifest(suite)} == {
        ("test_kill.py::test_dies", KILLED),
        ("test_hang.py::test_dies", KILLED),
    }
    assert_clean(referee, torn, "last words"[:8])
    again = suite.run("--net-capture", "test_fine.py")
    again.stdout.no_fnmatch_line(LINE)


def test_a_test_that_has_run_again_has_no_capture_of_the_killed_run(suite: Suite) -> None:
    suite.write(DYING.replace("HOW", "os.kill(os.getpid(), 9)"))
    suite.run_apart("--net-capture")
    suite.write(DYING.replace("HOW", "pass"))
    result = suite.run("--net-capture")
    assert suite.files() == []
    result.stdout.no_fnmatch_line(LINE)


def until(condition: Callable[[], bool]) -> None:
    """Wait for it, at most a minute."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)


@pytest.mark.parametrize("well", [True, False])
def test_a_run_that_is_alive_is_left_in_peace_by_another_one(suite: Suite, well: bool) -> None:
    suite.write(ALIVE.replace("WELL", str(well)), "test_alive.py")
    suite.write("def test_one(tcp_echo): assert 0\n", "test_other.py")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "pytest_netfixtures.plugin",
        "--net-capture",
        "test_alive.py",
    ]
    running = subprocess.Popen(command, cwd=suite.path, stdout=subprocess.PIPE, text=True)
    until(lambda: (suite.path / "ready").exists())
    assert outcomes(suite) == {"RUNNING"}
    other = suite.run_apart("--net-capture", "test_other.py")
    assert outcomes(suite) == {"RUNNING", "failed"}
    (suite.path / "go").touch()
    text = running.communicate(timeout=60)[0]
    other.stdout.no_fnmatch_line(LINE)
    assert "could not be written" not in text and running.returncode == (not well)
    assert len(suite.files()) == (1 if well else 2) and outcomes(suite) == {"failed"}
    assert [line["outcome"] for line in manifest(suite)] == (["failed"] if well else ["failed", "failed"])


def test_the_report_of_a_dead_worker_has_its_capture_and_its_last_words(
    suite: Suite, referee: Callable[[str], str]
) -> None:
    pytest.importorskip("xdist")
    suite.write(DYING.replace("HOW", "os._exit(9)") + "def test_next(tcp_echo): pass\n")
    result = suite.run_apart("-p", "xdist", "-n1", "--net-capture")
    (name,) = suite.files()
    lines = ["*crashed while running*", f"capture: *{name}", f"wireshark -r *{name}"]
    if hasattr(pytest_netfixtures, "read_capture"):
        lines += ["*10 B sent*last words*"]
    result.stdout.fnmatch_lines([*lines, "network captures kept: 1 in net-captures"])
    assert outcomes(suite) == {KILLED}
    (line,) = manifest(suite)
    assert (line["path"], line["outcome"], line["worker"], line["attempt"]) == (name, KILLED, "gw0", 1)
    assert_clean(referee, suite.captures / name, "last word")


def test_a_worker_that_a_test_interrupts_has_ended_its_capture_itself_and_it_is_told_too(
    suite: Suite,
) -> None:
    pytest.importorskip("xdist")
    suite.write(DYING.replace("HOW", "raise KeyboardInterrupt") + "def test_next(tcp_echo): pass\n")
    result = suite.run_apart("-p", "xdist", "-n1", "--net-capture")
    (name,) = suite.files()
    told = ["*crashed while running*", f"capture: *{name}", "network captures kept: 1 in net-captures"]
    result.stdout.fnmatch_lines(told)
    assert outcomes(suite) == {"interrupted"}
    assert [line["outcome"] for line in manifest(suite)] == ["interrupted"]


def test_each_worker_that_dies_has_its_own_under_dist_each(suite: Suite) -> None:
    pytest.importorskip("xdist")
    suite.write(DYING.replace("HOW", "os._exit(9)"))
    result = suite.run_apart("-p", "xdist", "--dist=each", "--tx=2*popen", "--net-capture")
    result.stdout.fnmatch_lines_random(["capture: *.gw0.pcapng", "capture: *.gw1.pcapng"])
    assert len(suite.files()) == 2 and outcomes(suite) == {KILLED}


def test_a_marker_alone_is_enough_for_a_dead_worker_and_its_attempts_are_told_apart(suite: Suite) -> None:
    pytest.importorskip("xdist")
    pytest.importorskip("pytest_rerunfailures")
    suite.write("@pytest.mark.netlab(capture=True)" + DYING.replace("HOW", "os._exit(9)"))
    old = suite.captures / "test_it.py-test_dies-0123456789.pcapng"
    suite.captures.mkdir()
    old.write_bytes(b"of somebody else")
    result = suite.run_apart("-p", "xdist", "-n1", "-p", "pytest_rerunfailures", "--reruns=1")
    result.stdout.fnmatch_lines(["capture: *attempt2.pcapng"])
    assert [line["attempt"] for line in manifest(suite)] == [1, 2]
    assert len(suite.files()) == 3 and outcomes(suite) == {KILLED, None}
