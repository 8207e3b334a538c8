"""A client that waits for ever gets a reset, and its test fails with the story."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable

import pytest

from pytest_netfixtures import _timer
from pytest_netfixtures._timer import Timer

from .conftest import Suite

HANG = """
def test_hang(netlab):
    proxy = netlab.tcp_proxy(netlab.tcp_echo(), to_client=Stall())
    with socket.create_connection(proxy.address) as client:
        client.sendall(b"hello")
        client.recv(5)
"""


def test_a_hanging_client_is_reset_and_the_test_fails_with_the_ladder(suite: Suite) -> None:
    suite.write(HANG + "def test_next(tcp_echo): assert ask(tcp_echo.address, b'a') == b'a'\n")
    result = suite.run("--net-test-timeout=0.2")
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(
        [
            ">*client.recv(5)",
            "E*WaitTimeout: the test took longer than net_test_timeout, 0.2 s*",
            "*Captured network traffic log*",
            "*Stall() to_client: held from byte 0*",
        ]
    )


def test_a_test_that_swallows_the_reset_fails_too(suite: Suite) -> None:
    suite.write(
        HANG.replace(
            "        client.recv(5)", "        with pytest.raises(OSError):\n            client.recv(5)"
        )
    )
    result = suite.run("--net-test-timeout=0.2")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*the test took longer than net_test_timeout*"])


def test_a_client_that_comes_again_is_reset_again(suite: Suite) -> None:
    suite.write(
        "def test_hang(netlab):\n"
        "    server = netlab.deaf_server()\n"
        "    proxy = netlab.tcp_proxy(server)\n"
        "    for _ in range(2):\n"
        "        with pytest.raises(OSError), socket.create_connection(proxy.address) as client:\n"
        "            client.sendall(b'hello')\n"
        "            if not client.recv(5): raise OSError\n"
    )
    result = suite.run("--net-test-timeout=0.2")
    result.assert_outcomes(failed=1)


def test_xfail_takes_it_for_a_failure(suite: Suite) -> None:
    suite.write("@pytest.mark.xfail(raises=ConnectionResetError)" + HANG)
    suite.run("--net-test-timeout=0.2").assert_outcomes(failed=1)


def test_the_marker_sets_it_for_one_test(suite: Suite) -> None:
    suite.write("@pytest.mark.netlab(timeout=0.2)" + HANG)
    suite.run().assert_outcomes(failed=1)


@pytest.mark.parametrize("method", ["signal", "thread"])
def test_a_timeout_of_the_user_wins(suite: Suite, method: str) -> None:
    pytest.importorskip("pytest_timeout")
    suite.ini("net_test_timeout = 0.3")
    suite.write(HANG)
    result = suite.run_apart("-p", "pytest_timeout", "--timeout=1", f"--timeout-method={method}")
    text = result.stdout.str() + result.stderr.str()
    assert "Timeout" in text and "net_test_timeout" not in text


def test_what_the_command_line_says_holds_beside_it(suite: Suite) -> None:
    pytest.importorskip("pytest_timeout")
    suite.write(HANG)
    result = suite.run_apart("-p", "pytest_timeout", "--timeout=50", "--net-test-timeout=0.2")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*net_test_timeout, 0.2 s*"])


def test_the_shared_lab_is_reset_too(suite: Suite) -> None:
    suite.write(HANG.replace("(netlab)", "(netlab_session)").replace("netlab.", "netlab_session."))
    suite.run("--net-test-timeout=0.2").assert_outcomes(failed=1)


class Clock:
    """Calls in the future, made when the test says so."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, Callable[[], None]]] = []

    def call_later(self, seconds: float, function: Callable[[], None]) -> Clock:
        self.calls.append((seconds, function))
        return self

    def cancel(self) -> None:
        self.calls.clear()

    def ring(self) -> None:
        calls, self.calls = self.calls, []
        for _, function in calls:
            function()


def test_the_timer_rings_again_every_second_until_it_is_cancelled() -> None:
    clock, rung = Clock(), list[str]()
    timer = Timer(clock.call_later, 5.0, lambda: rung.append("ring"))
    assert [seconds for seconds, _ in clock.calls] == [5.0]
    clock.ring()
    clock.ring()
    assert rung == ["ring", "ring"] and [seconds for seconds, _ in clock.calls] == [_timer.AGAIN]
    timer.cancel()
    clock.ring()
    assert rung == ["ring", "ring"]


def test_the_timer_keeps_what_is_left_while_it_rests() -> None:
    clock, rung = Clock(), list[str]()
    timer = Timer(clock.call_later, 1000.0, lambda: rung.append("ring"))
    timer.pause()
    timer.pause()
    assert clock.calls == []
    timer.resume()
    timer.resume()
    ((left, _),) = clock.calls
    assert 0 < left <= 1000.0


def test_nobody_is_reset_while_a_debugger_is_among_the_frames() -> None:
    clock, rung = Clock(), list[str]()
    Timer(clock.call_later, 1.0, lambda: rung.append("ring"))
    code = compile("clock.ring()", "bdb.py", "exec")
    exec(code, {"__name__": "bdb", "clock": clock})
    assert rung == [] and clock.calls
    clock.ring()
    assert rung == ["ring"]


def test_a_debugger_that_traces_stops_the_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    class Tracer:
        """As pydevd has one."""

        __module__ = "pydevd_bundle.trace"

        def __call__(self, *args: object) -> None: ...

    monkeypatch.setattr(sys, "gettrace", lambda: Tracer())
    clock = Clock()
    Timer(clock.call_later, 1.0, lambda: None)
    assert clock.calls == []


def test_a_thread_that_is_gone_is_not_debugged() -> None:
    gone = threading.Thread(target=int)
    gone.start()
    gone.join()
    assert not _timer.is_debugged(gone.ident or 0)


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="pdb wants a terminal")
def test_pdb_stops_the_clock(suite: Suite) -> None:
    (suite.path / "conftest.py").write_text(
        "from pytest_netfixtures._stash import SESSION\n"
        "def pytest_leave_pdb(config, pdb):\n"
        "    (run,) = config.stash[SESSION].running\n"
        "    print('rests' if run._timer._handle is None or run._timer._handle else '')\n"
    )
    suite.write(
        "def test_one(tcp_echo, pytestconfig):\n"
        "    from pytest_netfixtures._stash import SESSION\n"
        "    (run,) = pytestconfig.stash[SESSION].running\n"
        "    pytestconfig.hook.pytest_enter_pdb(config=pytestconfig, pdb=None)\n"
        "    assert run._timer._handle is None\n"
        "    pytestconfig.hook.pytest_leave_pdb(config=pytestconfig, pdb=None)\n"
        "    assert run._timer._handle is not None\n"
    )
    suite.run().assert_outcomes(passed=1)
