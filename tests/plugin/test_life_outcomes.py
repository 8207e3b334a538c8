"""No result of a test changes because capture is on, whatever the test does to itself, its process or the disk."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from io import BytesIO

import pytest

from pytest_netfixtures._pcap.salvage import outcome_of, whole

from .conftest import Suite

EVERYTHING = """
import unittest, warnings

def talk(tcp_echo): assert ask(tcp_echo.address, b"a") == b"a"
def test_pass(tcp_echo):
    talk(tcp_echo)
    print("said")
def test_fail(tcp_echo):
    talk(tcp_echo)
    assert 1 == 2
def test_fail_bytes(tcp_echo): assert ask(tcp_echo.address, b"abc") == b"abd"
@pytest.fixture
def broken(tcp_echo):
    talk(tcp_echo)
    raise ValueError("setup")
def test_setup_error(broken): pass
@pytest.fixture
def breaks(tcp_echo):
    yield
    raise ValueError("teardown")
def test_teardown_error(breaks): pass
def test_both(breaks): assert 0
def test_skip(tcp_echo): pytest.skip("no")
@pytest.fixture
def away(tcp_echo): pytest.skip("not here")
def test_skip_in_fixture(away): pass
@pytest.mark.skip
def test_skip_marked(tcp_echo): pass
@pytest.mark.xfail
def test_xfail(tcp_echo): assert 0
@pytest.mark.xfail(strict=True)
def test_xpass_strict(tcp_echo): talk(tcp_echo)
@pytest.mark.xfail(strict=False)
def test_xpass(tcp_echo): talk(tcp_echo)
@pytest.mark.xfail(raises=ValueError)
def test_xfail_raises(tcp_echo): raise ValueError
@pytest.mark.xfail(run=False)
def test_xfail_not_run(tcp_echo): pass
def test_xfail_called(tcp_echo): pytest.xfail("known")
def test_warns(tcp_echo): warnings.warn("mind")
def test_handler(netlab):
    def handler(conn): raise KeyError("in the handler")
    with socket.create_connection(netlab.tcp_server(handler).address) as client: client.recv(1)
@pytest.mark.parametrize("n", [1, 2])
def test_many(tcp_echo, n): assert n == 1
def test_never_fired(netlab): netlab.tcp_proxy(netlab.tcp_echo(), to_client=Reset(after=9))
def test_exits(tcp_echo): sys.exit(3)
def test_without(): assert 0
tries = []
@pytest.mark.flaky(reruns=2)
def test_rerun(tcp_echo):
    tries.append(talk(tcp_echo))
    assert len(tries) == 2
class TestOld(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def _lab(self, tcp_echo): self.echo = tcp_echo
    def test_pass(self): talk(self.echo)
    def test_fail(self): self.assertEqual(1, 2)
    def test_skip(self): self.skipTest("no")
    @unittest.expectedFailure
    def test_expected(self): self.assertEqual(1, 2)
"""
SUBTESTS = """
def test_subtests(tcp_echo, subtests):
    for n in range(3):
        with subtests.test(n=n):
            talk(tcp_echo)
            if n == 1: assert 0
            if n == 2: pytest.skip("no")
"""
OURS = ("capture: ", "wireshark -r ", "netfixtures: ", "network captures ", "run with --net-capture")


def told(result: pytest.RunResult) -> list[str]:
    """The lines that a run has printed, without those that are about captures, times, ports and addresses of objects."""
    lines = (line for line in result.outlines if not line.startswith(OURS) and "Captured network" not in line)
    text = "\n".join(lines)
    for what in (
        r"\d+\.\d+s\b",
        r"127\.0\.0\.1:\d+",
        r"0x[0-9a-f]+",
        r"('127\.0\.0\.1', )\d+",
        r" +\d+\.\d ms",
        r"=+",
    ):
        text = re.sub(what, "", text)
    return text.splitlines()


@pytest.mark.parametrize("more", [[], ["-W", "error"], ["-x"]], ids=" ".join)
def test_every_kind_of_outcome_is_the_same_with_captures(suite: Suite, more: list[str]) -> None:
    pytest.importorskip("pytest_rerunfailures")
    suite.write(EVERYTHING + (SUBTESTS if pytest.version_tuple >= (9,) else ""))
    arguments = [
        "-p",
        "pytest_rerunfailures",
        "-p",
        "no:cacheprovider",
        "-v",
        "-rA",
        "-o",
        "net_report=off",
        *more,
    ]
    without = suite.run_apart(*arguments)
    kept = suite.run_apart(*arguments, "--net-capture-keep=all")
    assert kept.ret == without.ret == pytest.ExitCode.TESTS_FAILED
    assert kept.parseoutcomes() == without.parseoutcomes()
    assert told(kept) == told(without)
    assert "network captures kept: " in kept.stdout.str()


def nodes_and_outcomes(suite: Suite) -> list[tuple[str, str]]:
    """What the manifest says: names of tests, with their outcomes."""
    lines = (suite.captures / "manifest.jsonl").read_text().splitlines()
    return [(line["nodeid"].partition("::")[2], line["outcome"]) for line in map(json.loads, lines)]


FORKS = """
import multiprocessing

@pytest.fixture
def busy(netlab):
    proxy = netlab.tcp_proxy(netlab.tcp_echo(), name="proxy")
    assert ask(proxy.address, b"before") == b"before"
    yield proxy
    assert ask(proxy.address, b"behind") == b"behind"

def in_child(pid):
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) in (0, 1, 3)

def test_exit_at_once(busy):
    pid = os.fork()
    if not pid: os._exit(3)
    in_child(pid)

@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_multiprocessing(busy):
    child = multiprocessing.get_context("fork").Process(target=ask, args=(busy.address, b"child"))
    child.start()
    child.join(30)
    assert child.exitcode == 0
    assert [c.to_server.sent for c in busy.connections] == [b"before", b"child"]

def test_lab_in_child(busy):
    pid = os.fork()
    if not pid:
        with NetLab() as lab: ask(lab.tcp_echo().address, b"own")
        os._exit(0)
    in_child(pid)

def test_goes_on_in_child(busy):
    pid = os.fork()
    if not pid: sys.exit(3)
    in_child(pid)
    assert not [name for name in os.listdir("net-captures") if "test_after" in name]

def test_after(tcp_echo): assert ask(tcp_echo.address, b"after") == b"after"
"""


def test_children_made_by_fork_do_nothing_to_captures(suite: Suite, referee: Callable[[str], str]) -> None:
    """The last child raises SystemExit, which pytest takes for a failure: it runs on, as a second run of pytest."""
    (suite.path / "conftest.py").write_text(
        "import os\nOWN = os.getpid()\n"
        "def pytest_netfixtures_artifact(item, path, kind):\n"
        "    with open('told', 'a') as file: file.write(f'{item.name} {os.getpid() == OWN}\\n')\n"
    )
    suite.write(FORKS)
    result = suite.run_apart("--net-capture-keep=all", "-p", "no:cacheprovider")
    assert result.ret == pytest.ExitCode.OK
    names = ["exit_at_once", "multiprocessing", "lab_in_child", "goes_on_in_child", "after"]
    assert nodes_and_outcomes(suite) == [(f"test_{name}", "passed") for name in names]
    assert (suite.path / "told").read_text().splitlines() == [f"test_{name} True" for name in names]
    for path in suite.captures.glob("*.pcapng"):
        done = subprocess.run([referee("tshark"), "-x", "-r", str(path)], capture_output=True, text=True)
        assert done.returncode == 0 and "cut short" not in done.stderr
        assert ("behind" in done.stdout) == ("test_after" not in path.name)
        assert outcome_of(path) == "passed"


GONE = """
import shutil
def talk(tcp_echo): assert ask(tcp_echo.address, b"a") == b"a"
def test_before(tcp_echo): talk(tcp_echo)
def test_removes(tcp_echo):
    talk(tcp_echo)
    shutil.rmtree("net-captures")
    talk(tcp_echo)
def test_removes_and_fails(tcp_echo):
    shutil.rmtree("net-captures")
    talk(tcp_echo)
    assert 0
def test_after(tcp_echo): talk(tcp_echo)
"""


@pytest.mark.parametrize("more", [[], ["-W", "error"]], ids=["", "warnings are errors"])
def test_a_directory_that_vanishes_costs_its_files_and_no_result(suite: Suite, more: list[str]) -> None:
    suite.write(GONE)
    result = suite.run_apart("--net-capture-keep=all", *more)
    result.assert_outcomes(passed=3, failed=1, warnings=1)
    result.stdout.fnmatch_lines(
        ["*the capture * is gone: somebody has deleted*", "network captures kept: 1 in *"]
    )
    assert nodes_and_outcomes(suite) == [("test_after", "passed")]


@pytest.fixture
def small_disk(suite: Suite) -> Iterator[Suite]:
    """A suite whose captures go onto a disk of four pages."""
    suite.captures.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "none", str(suite.captures)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small disk can be made by root alone")
    yield suite
    subprocess.run(["umount", str(suite.captures)], check=True)


def test_a_full_disk_costs_files_and_lines_and_no_result(small_disk: Suite) -> None:
    small_disk.write(
        "def talk(tcp_echo, n): assert ask(tcp_echo.address, bytes(n), 9)\n"
        "def test_one(tcp_echo): talk(tcp_echo, 5)\n"
        "def test_two(tcp_echo): talk(tcp_echo, 20_000)\n"
        "def test_three(tcp_echo):\n    talk(tcp_echo, 5)\n    assert 0\n"
        "def test_four(tcp_echo): pass\n"
    )
    result = small_disk.run_apart("--net-capture-keep=all")
    result.assert_outcomes(passed=3, failed=1, warnings=1)
    result.stdout.fnmatch_lines(["*could not be written*No space left on device*"])
    assert ("test_one", "passed") in nodes_and_outcomes(small_disk)
    for path in small_disk.captures.glob("*.pcapng"):
        assert whole(BytesIO(path.read_bytes()))[0] == path.stat().st_size


INTERRUPTED = """
import signal
def talk(tcp_echo): assert ask(tcp_echo.address, b"a") == b"a"
@pytest.fixture
def interrupted(tcp_echo):
    talk(tcp_echo)
    raise KeyboardInterrupt
def test_one(tcp_echo): talk(tcp_echo)
def test_two(interrupted): pass
def test_three(tcp_echo): pass
"""


def test_an_interrupt_in_a_fixture_keeps_its_capture_and_says_so(suite: Suite) -> None:
    suite.write(INTERRUPTED)
    without = suite.run_apart("-p", "no:cacheprovider")
    result = suite.run_apart("-p", "no:cacheprovider", "--net-capture")
    assert result.ret == without.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["network captures kept: 1 in net-captures"])
    assert nodes_and_outcomes(suite) == [("test_two", "interrupted")]


def test_what_fails_first_stays_until_it_passes_again(suite: Suite) -> None:
    source = "def test_one(tcp_echo): pass\ndef test_two(tcp_echo): assert WELL\ndef test_three(tcp_echo): assert WELL\n"
    suite.write(source.replace("WELL", "0"))
    suite.run_apart("--net-capture", "-x").assert_outcomes(passed=1, failed=1)
    assert len(suite.files()) == 1
    suite.write(source.replace("WELL", "1"))
    suite.run_apart("--net-capture", "--lf").assert_outcomes(passed=1)
    assert suite.files() == []


def test_a_test_that_closes_all_descriptors_does_not_hang_the_run(suite: Suite) -> None:
    suite.write(
        "def test_one(tcp_echo):\n"
        "    ask(tcp_echo.address, b'a')\n"
        "    os.closerange(3, 200)\n"
        "def test_two(tcp_echo): pass\n"
    )
    result = suite.run_apart(
        "--net-capture", "-s", "-p", "no:cacheprovider", "-p", "no:faulthandler", timeout=60
    )
    outcomes = (
        result.parseoutcomes()
    )  # which ones they are is the moment's affair: the engine has lost its descriptors too
    assert result.ret in (0, 1)
    assert sum(outcomes.get(each, 0) for each in ("passed", "failed", "errors")) >= 2
