"""Shortly before pytest-timeout ends a test, what is open is written down: both methods, and nothing where all is well.

In these runs "shortly before" is half of the timeout, so that a busy machine gets there in time.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_netfixtures import NetLab, Stall, _deadline
from pytest_netfixtures._deadline import Watch, margin
from pytest_netfixtures._timer import deadline_of

from .conftest import Suite

EARLY = "import pytest_netfixtures._deadline as d\nd.margin = lambda seconds: seconds / 2\n"
OPEN = """OPEN 'redis' connection 1, *to_server 12 B sent, 12 B delivered, last "?x1b??nauth ????"; to_client 12 B sent, 3 B delivered*"""
HANG = """
def hang(netlab):
    proxy = netlab.tcp_proxy(netlab.tcp_echo(), to_client=Stall(after=3), name="redis")
    with socket.create_connection(proxy.address) as client:
        client.sendall(b"\\x1b[\\nauth s3cr")
        client.recv(3)
        client.recv(1)
"""


@pytest.fixture
def hanging(suite: Suite) -> Suite:
    """A suite that can hang."""
    pytest.importorskip("pytest_timeout")
    (suite.path / "conftest.py").write_text(EARLY)
    return suite


def rows(suite: Suite, referee: Callable[[str], str]) -> list[str]:
    """What the rows of the only capture say."""
    (name,) = suite.files()
    command = [
        referee("tshark"),
        "-r",
        str(suite.captures / name),
        "-T",
        "fields",
        "-e",
        "systemd_journal.message",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    return [line for line in done.stdout.splitlines() if line]


def test_the_method_signal_puts_it_into_the_report_and_the_file(hanging: Suite) -> None:
    hanging.write(
        HANG
        + "import threading\n"
        + "def test_hang(netlab): hang(netlab)\n"
        + "@pytest.mark.timeout(1, func_only=True)\ndef test_func_only(netlab): hang(netlab)\n"
        + "@pytest.fixture\ndef slow(netlab): hang(netlab)\ndef test_fixture(slow): pass\n"
        + "def test_elsewhere(tcp_echo): threading.Event().wait()\n"
        + "def test_without_us(): threading.Event().wait()\n"
        + "def test_passes(tcp_echo):\n    assert ask(tcp_echo.address, b'a') == b'a'\n    print('fine')\n"
        + "@pytest.mark.timeout(0)\ndef test_no_timeout(tcp_echo): assert ask(tcp_echo.address, b'a') == b'a'\n"
    )
    result = hanging.run_apart(
        "-p", "pytest_timeout", "--timeout=1", "--timeout-method=signal", "-rP", "--net-capture"
    )
    result.assert_outcomes(failed=4, passed=2, errors=1)
    text = result.stdout.str()
    result.stdout.fnmatch_lines(["capture: *", "wireshark -r *", OPEN, "replay: *"])
    assert text.count("OPEN 'redis' connection 1") == 3 and text.count(f"OPEN {_deadline.NOTHING}") == 1
    assert (
        "faults: Stall(after=3) to_client" in text
        and 's3cr"' not in text.partition("OPEN")[2].partition("replay")[0]
    )
    assert "OPEN" not in text.partition("test_passes")[2].partition("short test summary")[0]


def test_the_method_thread_prints_it_before_the_process_ends(
    hanging: Suite, referee: Callable[[str], str]
) -> None:
    hanging.write(
        HANG + "def test_ok(tcp_echo): ask(tcp_echo.address, b'a')\ndef test_hang(netlab): hang(netlab)\n"
    )
    result = hanging.run_apart(
        "-p", "pytest_timeout", "--timeout=1", "--timeout-method=thread", "--net-capture"
    )
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "*Captured stderr*",
            "test_it.py::test_hang: open connections shortly*",
            "capture: *",
            "wireshark -r *",
            OPEN,
        ]
    )
    assert result.stdout.str().count("OPEN") == 1
    assert [row for row in rows(hanging, referee) if row.startswith("OPEN 'redis'")]


@pytest.mark.parametrize("how", ["-s", "--capture=sys"])
def test_the_method_thread_prints_it_whatever_is_captured(hanging: Suite, how: str) -> None:
    hanging.ini("net_report = sizes")
    hanging.write(HANG + "def test_hang(netlab, capsys): hang(netlab)\n")
    result = hanging.run_apart("-p", "pytest_timeout", "--timeout=1", "--timeout-method=thread", how)
    text = result.stdout.str() + result.stderr.str()
    assert 'last "' not in text
    assert "OPEN 'redis' connection 1" in text and "to_client 12 B sent, 3 B delivered; quiet for" in text


@pytest.mark.parametrize("how", ["--capture=fd", "-s"])
@pytest.mark.parametrize("fixture", ["capsys", "capfd"])
def test_what_a_test_captures_does_not_hide_it_and_is_not_its_to_read(
    hanging: Suite, fixture: str, how: str
) -> None:
    hanging.write(
        HANG
        + "@pytest.mark.timeout(2)\n"
        + f"def test_hang(netlab, {fixture}):\n"
        + "    proxy = netlab.tcp_proxy(netlab.tcp_echo(), to_client=Stall(after=3), name='redis')\n"
        + "    with socket.create_connection(proxy.address) as client:\n"
        + "        client.sendall(b'hello')\n"
        + "        netlab.wait_for(lambda: os.path.exists('said'), within=20)\n"
        + f"        assert {fixture}.readouterr().err == ''\n"
        + "        client.recv(3), client.recv(1)\n"
    )
    (hanging.path / "conftest.py").write_text(
        EARLY
        + "old = d.Watch._say\n"
        + "def say(self):\n    old(self)\n    open('said', 'w').close()\n"
        + "d.Watch._say = say\n"
    )
    result = hanging.run_apart("-p", "pytest_timeout", "--timeout-method=thread", how)
    text = result.stdout.str() + result.stderr.str()
    assert "OPEN 'redis' connection 1" in text and "AssertionError" not in text


def test_a_timeout_of_the_session_and_a_report_that_is_off_print_nothing(hanging: Suite) -> None:
    hanging.ini("net_report = off")
    hanging.write(
        HANG + "@pytest.mark.timeout(1)\ndef test_hang(netlab): hang(netlab)\ndef test_not_run(): pass\n"
    )
    result = hanging.run_apart("-p", "pytest_timeout", "--session-timeout=0.01")
    result.assert_outcomes(failed=1)
    assert "OPEN" not in result.stdout.str()


class Config:
    """As much of a config as is looked at."""

    def __init__(self) -> None:
        self.pluginmanager = self
        self.invocation_params = SimpleNamespace(dir=None)

    def getplugin(self, name: str) -> None:
        """There is no capture manager."""


class Told:
    """A run of a test, and what is said of it."""

    def __init__(self, lab: NetLab) -> None:
        self.labs = [lab]
        self.item = SimpleNamespace(config=Config())
        self.settings = SimpleNamespace(report="full")
        self.redactions = ()
        self.node_id = "test_x.py::test_one"
        self.capture = self
        self.error = "there is no file"
        self.rows: list[str] = []

    def say(self, text: str) -> None:
        """A row for the file."""
        self.rows.append(text)


@pytest.fixture
def lab() -> Iterator[NetLab]:
    """A lab without pytest."""
    with NetLab(must_fire=False) as lab:
        yield lab


def soon(method: str = "signal") -> tuple[float, float, str]:
    """A deadline whose moment to look is now."""
    return time.monotonic(), 100.0, method


def test_all_open_connections_are_told_of_and_no_others(lab: NetLab) -> None:
    import socket

    proxy = lab.tcp_proxy(lab.tcp_echo(), to_client=Stall(), name="redis")
    clients = [socket.create_connection(proxy.address) for _ in range(3)]
    for client in clients:
        client.sendall(b"ping")
    lab.wait_for(lambda: [c.to_server.delivered_bytes for c in proxy.connections] == [4, 4, 4])
    proxy.connections  # noqa: B018
    clients[0].close()
    told = Told(lab)
    watch = Watch(told)  # type: ignore[arg-type]
    watch.begin(soon())
    watch.begin(soon())
    lab.wait_for(lambda: watch.lines)
    for client in clients:
        client.close()
    numbers = [line.split(",")[0] for line in watch.lines]
    assert {"OPEN 'redis' connection 2", "OPEN 'redis' connection 3"} <= set(numbers)
    assert told.rows == watch.lines
    assert all("faults: Stall() to_client" in line for line in watch.lines)


def test_nothing_is_looked_at_after_the_end_or_while_somebody_debugs(lab: NetLab) -> None:
    ended, debugged = Watch(Told(lab)), Watch(Told(lab))  # type: ignore[arg-type]
    ended.end()
    ended.begin(soon())
    debugged.begin((time.monotonic() + 1000, 1.0, "signal"))
    exec(compile("ring()", "bdb.py", "exec"), {"__name__": "bdb", "ring": debugged._ring})
    assert not [thread for thread in threading.enumerate() if thread.name == "netfixtures last words"]
    debugged._ring()
    lab.wait_for(lambda: debugged.lines)
    assert ended.lines == []
    debugged.end()


def test_a_terminal_that_takes_nothing_holds_nothing_up(lab: NetLab, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go = threading.Event(), threading.Event()

    class Stuck:
        """As a pipe that nobody reads."""

        def write(self, text: str) -> None:
            begun.set()
            go.wait(20)

        flush = write

    monkeypatch.setattr(_deadline, "_stderr", lambda config: Stuck())
    watch = Watch(Told(lab))  # type: ignore[arg-type]
    watch.begin(soon("thread"))
    assert begun.wait(10)
    assert lab.engine.call(lambda: "the engine goes on") == "the engine goes on"
    go.set()


def test_what_goes_wrong_in_it_is_nobodys_business(lab: NetLab) -> None:
    told = Told(lab)
    told.labs = [SimpleNamespace(engine=lab.engine)]  # type: ignore[list-item]
    watch = Watch(told)  # type: ignore[arg-type]
    watch.begin(soon())
    lab.engine.call(lambda: None)
    lab.engine.call(lambda: None)
    assert lab.errors() == [] and watch.lines == []


@pytest.mark.parametrize(("timeout", "seconds"), [(0.4, 0.04), (5.0, 0.5), (300.0, 0.5)])
def test_shortly_before_is_a_tenth_and_at_most_half_a_second(timeout: float, seconds: float) -> None:
    assert margin(timeout) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "settings",
    [object(), SimpleNamespace(timeout=None), SimpleNamespace(timeout="soon"), SimpleNamespace(timeout=0)],
)
def test_settings_that_cannot_be_read_are_no_deadline(settings: Any) -> None:
    assert deadline_of(settings) is None


def test_the_method_is_the_one_that_will_be_used() -> None:
    found: list[Any] = []
    settings = SimpleNamespace(timeout="2.5", method="signal")
    other = threading.Thread(target=lambda: found.append(deadline_of(settings)))
    other.start()
    other.join()
    at, seconds, method = deadline_of(settings) or (0, 0, "")
    assert (seconds, method, found[0][2]) == (2.5, "signal", "thread") and at > time.monotonic()
