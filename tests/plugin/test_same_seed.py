"""What a test meets does not depend on which tests run before it, beside it, or in which process."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Suite

SUITE = """
DATA = bytes(range(256)) * 8

@pytest.fixture(scope="session")
def shared(netlab_session):
    return netlab_session.tcp_proxy(netlab_session.tcp_echo(), to_client=Corrupt(rate=0.01))

def meet(proxy, times=3):
    got = []
    for _ in range(times):
        with socket.create_connection(proxy.address, 10) as client:
            client.sendall(DATA)
            client.shutdown(socket.SHUT_WR)
            got.append(b"".join(iter(lambda: client.recv(65536), b"")))
    return got

def write(request, got):
    with open(os.environ["WRITTEN"], "a") as file:
        file.write(f"{request.node.name} {b' '.join(got).hex()}\\n")

@pytest.mark.parametrize("n", range(3))
def test_own(netlab, request, n):
    faults = [Corrupt(rate=0.01), Truncate(after=1000).sometimes(0.5)]
    write(request, meet(netlab.tcp_proxy(netlab.tcp_echo(), to_server=faults)))

@pytest.mark.parametrize("n", range(3))
def test_of_the_session(shared, request, n):
    write(request, meet(shared))

def test_both(shared, netlab, request):
    mine = netlab.tcp_proxy(shared, to_server=Corrupt(rate=0.01))
    write(request, meet(mine) + meet(shared))

def test_by_the_factory(fault_proxy, tcp_echo, request):
    write(request, meet(fault_proxy(tcp_echo, to_client=Corrupt(rate=0.01))))
"""

IN_OTHER_ORDERS: dict[str, list[str]] = {
    "in one order": ["-p", "pytest_randomly", "--randomly-seed=1"],
    "in another": ["-p", "pytest_randomly", "--randomly-seed=2"],
    "in two processes": ["-p", "xdist", "-n2"],
}


class Writes:
    """Runs the suite, and returns what each test wrote down."""

    def __init__(self, suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
        suite.write(SUITE)
        self._suite = suite
        self._file = suite.path / "written"
        monkeypatch.setenv("WRITTEN", str(self._file))
        self.order: list[str] = []

    def __call__(self, *arguments: str, passed: int = 8) -> dict[str, str]:
        self._file.write_text("")
        self._suite.run_apart(*arguments).assert_outcomes(passed=passed)
        lines = [line.partition(" ") for line in self._file.read_text().splitlines()]
        self.order = [name for name, _, _ in lines]
        return {name: text for name, _, text in lines}


@pytest.fixture
def writes(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> Writes:
    return Writes(suite, monkeypatch)


def test_the_same_traffic_alone_in_other_orders_and_in_other_processes(writes: Writes) -> None:
    pytest.importorskip("pytest_randomly")
    pytest.importorskip("xdist")
    usual = writes()
    in_order = writes.order
    assert (
        len(set(usual.values())) == 6
    )  # what the session shares starts afresh with each test, and so do its numbers
    orders: list[Any] = [in_order]
    for arguments in IN_OTHER_ORDERS.values():
        assert writes(*arguments) == usual
        orders.append(writes.order)
    assert orders[1] != in_order != orders[2] != orders[1]
    alone = writes("test_it.py::test_both", passed=1)
    assert alone == {"test_both": usual["test_both"]}


def test_another_seed_is_other_traffic_for_every_test(writes: Writes) -> None:
    usual, other = writes(), writes("--net-seed=1")
    assert usual.keys() == other.keys()
    assert not usual.items() & other.items()
