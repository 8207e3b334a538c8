"""The line that runs a failed test again, and its faults as code to paste."""

from __future__ import annotations

import re
import shlex
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_netfixtures import Delay, Reset
from pytest_netfixtures._replay import own_id

from .conftest import Suite
from .test_report_section import TITLE

DECIDES = """
@pytest.mark.xdist_group("a group")
class TestGroup:
    @pytest.mark.net_faults(to_client=[Slice(1), [Delay(0.02, jitter=0.02), Slice(3).when(b"it's")]])
    @pytest.mark.parametrize("word", [b"a $(b)::c", b"d"])
    def test_decides(self, tcp_echo, fault_proxy, word):
        decisions = []

        def deciding(event, seen):
            decisions.append(seen.decisions.chance(7))
            yield event

        proxy = fault_proxy(tcp_echo, to_server=narrow(deciding).optional())
        ask(proxy.address, b"it's " + word)
        with open(os.environ["DECIDED"], "a") as file:
            print(decisions[0], file=file)
        assert word == b"d" and "it's" in str(proxy.armed_so_far())
"""


def lines_with(text: str, opening: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(opening)]


def test_the_line_runs_the_same_test_with_the_same_decisions(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite.ini("net_seed = 3")
    suite.write(DECIDES, "deep down/test_it.py")
    here = suite.path / "deep down"
    monkeypatch.chdir(here)
    monkeypatch.setenv("DECIDED", str(suite.path / "first"))
    result = suite.run_apart(
        "-p", "xdist", "-n1", "--dist=loadgroup", "--net-seed=random", "--show-capture=all"
    )
    result.assert_outcomes(passed=1, failed=3)
    commands = lines_with(result.stdout.str(), "replay: ")
    assert len(commands) == 3
    seed = re.search(r"seed (\d+) \(drawn\)", result.stdout.str())
    assert seed is not None
    chosen = [shlex.split(command) for command in commands]
    assert {words[1] for words in chosen} == {"pytest"}
    assert {words[-1] for words in chosen} == {f"--net-seed={seed[1]}"}
    assert {words[2].partition("[")[0] for words in chosen} == {"test_it.py::TestGroup::test_decides"}
    monkeypatch.setenv("DECIDED", str(suite.path / "second"))
    again = suite.run_apart(*chosen[0][2:-1], *(words[2] for words in chosen[1:]), chosen[0][-1])
    again.assert_outcomes(failed=3)
    first = (suite.path / "first").read_text().split()
    second = (suite.path / "second").read_text().split()
    assert len(second) == 3 and len({*first}) == 4 and {*second} < {*first}


SEVERAL = """
def test_live(netlab):
    proxy = netlab.tcp_proxy(netlab.tcp_echo(), to_server=Delay(0.01), name="front\\x1b[31m")
    with proxy.fault(to_client=[Delay(0.02), Reset(after=3)]):
        pass
    proxy.set_faults(to_client=Reset(after=4).when(b"token-abc"))
    netlab.tcp_proxy(netlab.tcp_echo(), name="without faults")
    assert 0


@pytest.mark.netlab(seed=5)
def test_many(netlab):
    proxy = netlab.tcp_proxy(netlab.tcp_echo())
    for n in range(1000):
        proxy.set_faults(to_client=Reset(after=n).when(b"x" * 1000))
    for n in range(30):
        netlab.tcp_proxy(proxy, to_server=Delay(0.01))
    assert 0


@pytest.fixture
def broken(netlab, request):
    proxy = netlab.tcp_proxy(netlab.tcp_echo(), to_server=Delay(0.03).optional())
    yield
    proxy.close()
    assert 0

def test_teardown(broken): pass
def test_passes(netlab): netlab.tcp_proxy(netlab.tcp_echo(), to_server=Delay(0.04).optional())
"""


def test_faults_are_printed_as_code_to_paste(suite: Suite) -> None:
    suite.ini("net_redact = token-[a-z]+")
    suite.write(SEVERAL)
    result = suite.run("--tb=short", "-rA")
    result.assert_outcomes(passed=2, failed=2, errors=1)
    teardown, live, many = result.stdout.str().partition("short test summary")[0].split(TITLE)[1:]
    assert lines_with(live, "replay: ") == ["replay: pytest test_it.py::test_live --net-seed=0"]
    assert lines_with(many, "replay: ") == ["replay: pytest test_it.py::test_many"]
    assert lines_with(teardown, "replay: ") == ["replay: pytest test_it.py::test_teardown --net-seed=0"]
    (line,) = lines_with(live, "faults of ")
    name, _, code = line.partition(": ")
    assert name == "faults of front\\x1b[31m"
    reset = "Reset(after=4).when(b'*********')"
    assert (
        code == f"to_server=[Delay(seconds=0.01)], to_client=[Delay(seconds=0.02), Reset(after=3), {reset}]"
    )
    assert eval(f"dict({code})")["to_client"][:2] == [Delay(0.02), Reset(after=3)]
    long, *others = lines_with(many, "faults of ")
    assert long.endswith("] and 980 more") and long.count("Reset(") == 20 and len(long) < 20 * 310
    assert len(others) == 19 and "and the faults of 11 more proxies" in many.splitlines()
    assert lines_with(teardown, "faults of ") == [
        "faults of tcp_proxy: to_server=[Delay(seconds=0.03).optional()]"
    ]


def test_where_the_report_is_off_nothing_of_it_is_printed(suite: Suite) -> None:
    suite.ini("net_report = off")
    suite.write(SEVERAL)
    text = suite.run("--net-capture").stdout.str()
    assert text.count(TITLE) == 3
    assert not lines_with(text, "replay: ") and not lines_with(text, "faults of ")
    captures = b"".join((suite.captures / name).read_bytes() for name in suite.files())
    assert b"replay: pytest test_it.py::test_many\n" in captures


def test_what_was_said_about_the_root_is_said_again(suite: Suite) -> None:
    suite.write("def test_one(netlab): assert 0\n", "sub/test_it.py")
    (suite.path / "other.ini").write_text("[pytest]\n")
    result = suite.run("-c", "other.ini", f"--rootdir={suite.path / 'sub'}", "sub")
    (line,) = lines_with(result.stdout.str(), "replay: ")
    assert (
        line
        == f"replay: pytest -c other.ini --rootdir={suite.path / 'sub'} sub/test_it.py::test_one --net-seed=0"
    )


def test_what_xdist_appends_to_a_node_id_is_no_part_of_it() -> None:
    item: Any = SimpleNamespace(parent=SimpleNamespace(nodeid="test_a.py::TestA"), name="test_b[x@y]")
    for suffix in ("", "@a group"):
        item.nodeid = "test_a.py::TestA::test_b[x@y]" + suffix
        assert own_id(item) == "test_a.py::TestA::test_b[x@y]"
