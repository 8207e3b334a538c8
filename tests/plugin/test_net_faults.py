"""The marker `net_faults`: which tests it makes, what they are called, what reaches a proxy, and what is said of a wrong one."""

from __future__ import annotations

import re

import pytest

from pytest_netfixtures import profiles

from .conftest import Suite

TALK = """
from pytest_netfixtures import profiles


def told(address):
    with socket.create_connection(address, 10) as client:
        client.sendall(b"abcdefg")
        return client.makefile("rb").read(7)


"""

NEAREST_FIRST = (
    TALK
    + """
pytestmark = pytest.mark.net_faults(to_client=Truncate(after=5))


@pytest.mark.net_faults(to_server=HalfClose(after=2))
class TestOfAClass:
    @pytest.mark.net_faults(
        to_client=[Truncate(after=1), [Slice(2), Truncate(after=3)], (), pytest.param(Truncate(after=4), id="four")]
    )
    def test_all(self, tcp_echo, fault_proxy, request):
        with open("all", "a") as file:
            print(request.node.name, told(fault_proxy(tcp_echo).address), file=file)
"""
)
ALL = """\
test_all[to_client=Truncate(after=1)] b'a'
test_all[to_client=Slice(size=2)+Truncate(after=3)] b'abc'
test_all[no faults] b'abcdefg'
test_all[four] b'abcd'
test_all[to_server=HalfClose(after=2)] b'ab'
test_all[to_client=Truncate(after=5)] b'abcde'
"""

OTHERS = (
    TALK
    + """
@pytest.fixture(scope="session")
def shared(netlab_session):
    return netlab_session.tcp_proxy(netlab_session.tcp_echo())


@pytest.mark.net_faults(to_client=[Truncate(after=5), ()])
@pytest.mark.parametrize("word", ["one", "two"])
def test_live(shared, net_faults, word):
    with shared.fault(**net_faults):
        assert told(shared.address) in (b"abcde", b"abcdefg")


@pytest.mark.net_faults(
    profiles.CABLE, profiles.DSL.streams, {"to_server": Slice(1), "to_client": [Slice(2), Truncate(after=2)]}
)
def test_both_ways(netlab, net_faults):
    assert sorted(net_faults) == ["to_client", "to_server"]
    assert ask(netlab.tcp_proxy(netlab.tcp_echo(), **net_faults).address, b"abc", 2) == b"ab"


@pytest.mark.net_faults(to_client=Slice(2))
def test_behind(tcp_echo, fault_proxy):
    proxy = fault_proxy(tcp_echo, to_client=Slice(3))
    assert proxy.armed_so_far() == {"to_server": [], "to_client": [Slice(3), Slice(2)]}
    assert told(proxy.address) == b"abcdefg"


def test_without_the_marker(netlab, net_faults, fault_proxy, tcp_echo):
    assert net_faults == {"to_server": (), "to_client": ()}
    assert fault_proxy(tcp_echo).armed_so_far() == {"to_server": [], "to_client": []}


@pytest.mark.net_faults(to_client=[Reset(after=999)])
def test_proves_nothing(tcp_echo, fault_proxy):
    assert told(fault_proxy(tcp_echo).address) == b"abcdefg"
"""
)
PASSED = {
    "test_live[to_client=Truncate(after=5)-one]",
    "test_live[to_client=Truncate(after=5)-two]",
    "test_live[no faults-one]",
    "test_live[no faults-two]",
    "test_both_ways[CABLE]",
    "test_both_ways[DSL]",
    "test_both_ways[to_server=Slice(size=1),to_client=Slice(size=2)+Truncate(after=2)]",
    "test_behind[to_client=Slice(size=2)]",
    "test_without_the_marker",
}


def test_each_case_is_a_test_with_a_readable_id_and_meets_its_faults(suite: Suite) -> None:
    suite.write(NEAREST_FIRST, "test_nearest.py")
    suite.write(OTHERS, "test_others.py")
    result = suite.run("-W", "error", "-rA")
    result.assert_outcomes(passed=6 + len(PASSED), failed=1)
    assert (suite.path / "all").read_text() == ALL
    assert PASSED == {*re.findall(r"^PASSED test_others.py::(.*)$", result.stdout.str(), re.M)}
    result.stdout.fnmatch_lines(["*FaultNeverFired: Reset(after=999) to_client of tcp_proxy was armed*"])


ODD = """
class Shouting:
    def __repr__(self):
        return "Shouting(" + "x" * 500 + "\\x1b[31m\\n)"

    def __call__(self, event, seen):
        yield event


class Whispering(Shouting):
    def __repr__(self):
        return "Shouting(" + "x" * 499 + "y\\x1b[31m\\n)"


def mine(event, seen):
    yield event


@pytest.mark.netlab(keep="all")
@pytest.mark.net_faults(
    to_client=[
        Reset().when(b"\\x00/::").optional(),
        Reset().when(b"a[1]::test_b \\\\ @x, $HOME `!").optional(),
        Reset().when(b"it's").optional(),
        Reset().when(re.compile(rb'"(?P<n>.)+"\\r\\n'), window=9).optional(),
        narrow(Shouting()).optional(),
        narrow(Whispering()).optional(),
        narrow(mine).optional(),
        Stall().optional(),
        Stall().optional(),
    ]
)
def test_odd(tcp_echo, fault_proxy):
    assert fault_proxy(tcp_echo).armed_so_far()["to_client"]
"""


def test_odd_ids_can_be_typed_and_name_files(suite: Suite) -> None:
    suite.write(ODD)
    listed = suite.run("--collect-only", "-q").stdout.str()
    ids = [line for line in listed.splitlines() if line.startswith("test_it.py::test_odd[")]
    assert len(ids) == len({*ids}) == 9
    assert all(line.isprintable() and len(line) < 130 for line in ids)
    assert "test_it.py::test_odd[to_client=narrow(mine).optional()]" in ids
    suite.run(*ids[::2]).assert_outcomes(passed=5)
    assert len(suite.files()) == 5
    suite.run("-k", "when and window").assert_outcomes(passed=1, deselected=8)


WRONG = {
    "@pytest.mark.net_faults()": "it has no case; expected one at least",
    "@pytest.mark.net_faults(to_client=[])": "it has no case; expected one at least",
    "@pytest.mark.net_faults(to_klient=Reset())": "it has to_klient=; expected to_server= and to_client=",
    "@pytest.mark.net_faults(to_client=0.2)": "to_client is 0.2; expected a fault, or a list or tuple of faults",
    "@pytest.mark.net_faults(to_server=[[Reset(), 'x']])": "to_server is 'x'; expected a fault such as Delay(0.2)",
    "@pytest.mark.net_faults(Reset())": "it has Reset(); expected a profile or a mapping",
    "@pytest.mark.net_faults({'to_klient': Reset()})": "it has {'to_klient': Reset()}; expected a profile or a mapping",
    "@pytest.mark.net_faults(to_client=pytest.param(Reset(), 1))": "expected pytest.param with one value",
}


def test_a_wrong_marker_is_an_error_that_names_the_test(suite: Suite) -> None:
    for number, mark in enumerate(WRONG):
        suite.write(f"{mark}\ndef test_{number}(fault_proxy): pass\n", f"test_wrong_{number}.py")
    suite.write("@pytest.mark.net_faults(to_client=Reset())\ndef test_x(netlab): pass\n", "test_unused.py")
    result = suite.run()
    result.assert_outcomes(errors=len(WRONG) + 1)
    text = result.stdout.str()
    for number, said in enumerate(WRONG.values()):
        place = f"the marker net_faults of test_wrong_{number}.py::test_{number} cannot be used: "
        assert said in text.partition(place)[2].partition("\n")[0]
    result.stdout.fnmatch_lines(
        [
            "the marker net_faults of test_unused.py::test_x has no effect: the test uses neither *; add it, or *"
        ]
    )
    assert "_cases.py" not in text
    assert "During handling of" not in text


TOO_LATE = """
import unittest


@pytest.mark.net_faults(to_client=Reset())
class TestOfUnittest(unittest.TestCase):
    def test_one(self): pass


@pytest.mark.parametrize("n", [pytest.param(1, marks=pytest.mark.net_faults(to_client=Reset()))])
def test_of_a_param(fault_proxy, n): pass
"""


def test_a_marker_that_comes_too_late_is_an_error(suite: Suite) -> None:
    suite.write(TOO_LATE)
    result = suite.run()
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(
        [
            "*the marker net_faults of test_it.py::TestOfUnittest::test_one has no effect. *unittest.TestCase*",
            "*the marker net_faults of test_it.py::test_of_a_param* has no effect. *",
        ]
    )


def test_beside_those_who_reorder_repeat_and_spread_tests(suite: Suite) -> None:
    suite.write(
        TALK
        + "@pytest.mark.net_faults(to_client=[Truncate(after=n) for n in range(1, 7)])\n"
        + "def test_cut(tcp_echo, fault_proxy, request):\n"
        + "    first = request.node.execution_count == 1\n"
        + "    assert len(told(fault_proxy(tcp_echo).address)) == (0 if first else request.node.callspec.indices['net_faults'] + 1)\n"
    )
    others = ("xdist", "pytest_randomly", "pytest_rerunfailures")
    result = suite.run_apart(*(f"-p{name}" for name in others), "-n2", "--reruns=1", "-W", "error")
    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines(["*6 passed, 6 rerun in *"])


def test_profiles_have_readable_ids_in_any_parametrization(suite: Suite) -> None:
    suite.write(
        "from pytest_netfixtures import profiles\n"
        "@pytest.mark.parametrize('conditions', [profiles.GPRS.datagrams, profiles.LTE.streams])\n"
        "@pytest.mark.parametrize('profile', profiles.ALL)\n"
        "def test_one(profile, conditions): pass\n"
    )
    result = suite.run("--collect-only", "-q")
    result.stdout.fnmatch_lines(
        [f"*::test_one?{p.name}-{name}?" for p in profiles.ALL for name in ("GPRS", "LTE")]
    )


def test_the_marker_is_known(suite: Suite) -> None:
    suite.run("--markers").stdout.fnmatch_lines(
        ["@pytest.mark.net_faults(*profiles, to_server=*, to_client=*): *"]
    )


@pytest.mark.parametrize("profile", [profiles.GPRS, profiles.LTE])
def test_the_name_of_a_profile_is_its_id(profile: profiles.Profile, request: pytest.FixtureRequest) -> None:
    assert request.node.name == f"test_the_name_of_a_profile_is_its_id[{profile.name}]"
