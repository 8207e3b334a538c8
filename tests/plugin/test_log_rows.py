"""Records of Python's logging as rows of a capture: which ones, when, from where, and that nobody is in their way."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from .conftest import Suite

TALK = """
import logging, threading
log = logging.getLogger("shop.client")

def rows(net_capture):
    return re.findall(rb"MESSAGE=LOG ([^\\n]*)", net_capture.path.read_bytes())
"""


def passes(suite: Suite, *arguments: str) -> None:
    suite.run(*arguments).assert_outcomes(passed=1)


def test_a_record_becomes_a_row_between_the_packets(suite: Suite, referee: Callable[[str], str]) -> None:
    tshark = referee("tshark")
    suite.write(
        TALK
        + """
def test_it(tcp_echo, net_capture):
    with socket.create_connection(tcp_echo.address, 10) as client:
        client.sendall(b"one")
        assert client.recv(3) == b"one"
        log.warning("asking %s", "again")
        client.sendall(b"two")
        assert client.recv(3) == b"two"
    assert rows(net_capture) == [b"WARNING shop.client: asking again"]
"""
    )
    passes(suite, "--net-capture-keep=all", "--net-capture-log=WARNING")
    (name,) = suite.files()
    command = [tshark, "-n", "-r", str(suite.captures / name), "-T", "fields", "-e", "_ws.col.Info"]
    seen = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    place = next(n for n, info in enumerate(seen) if "LOG WARNING shop.client: asking again" in info)
    data = [n for n, info in enumerate(seen) if "Len=3" in info]
    assert len(data) == 4
    assert data[1] < place < data[2]


def test_no_record_is_a_row_unless_asked_for(suite: Suite) -> None:
    suite.write(
        TALK
        + """
def test_it(tcp_echo, net_capture):
    log.error("not here")
    assert rows(net_capture) == []
    assert not [h for h in logging.getLogger().handlers if type(h).__module__.startswith("pytest_netfixtures")]
"""
    )
    passes(suite, "--net-capture")


@pytest.mark.parametrize("level", ["INFO", "info", "20", "15"])
def test_the_level_chooses(suite: Suite, level: str) -> None:
    suite.ini("log_level = DEBUG")
    suite.write(
        TALK
        + """
def test_it(tcp_echo, net_capture):
    log.debug("low")
    log.info("high")
    assert rows(net_capture) == [b"INFO shop.client: high"]
"""
    )
    passes(suite, f"--net-capture-log={level}")


def test_the_levels_of_loggers_stay_what_they_are(suite: Suite) -> None:
    suite.write(
        TALK
        + """
def test_it(tcp_echo, net_capture):
    assert logging.getLogger().level == logging.WARNING
    log.info("the loggers let nothing below WARNING pass")
    log.warning("this")
    assert rows(net_capture) == [b"WARNING shop.client: this"]
"""
    )
    passes(suite, "--net-capture-log=DEBUG")


@pytest.mark.parametrize("source", ["ini", "environment"])
def test_ini_and_environment_ask_for_rows_too(
    suite: Suite, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    if source == "ini":
        suite.ini("net_capture_log = ERROR")
    else:
        monkeypatch.setenv("PYTEST_NET_CAPTURE_LOG", "ERROR")
    suite.write(
        TALK
        + """
def test_it(tcp_echo, net_capture):
    log.warning("low")
    log.error("high")
    assert rows(net_capture) == [b"ERROR shop.client: high"]
"""
    )
    passes(suite)


def test_the_command_line_wins_and_a_wrong_level_is_named(suite: Suite) -> None:
    suite.ini("net_capture_log = DEBUG")
    suite.write(TALK + "def test_it(tcp_echo, net_capture):\n log.error('x')\n assert not rows(net_capture)")
    passes(suite, "--net-capture-log=off")
    wrong = suite.run("--net-capture-log=LOUD")
    assert wrong.ret == pytest.ExitCode.USAGE_ERROR
    wrong.stderr.fnmatch_lines(["*--net-capture-log is 'LOUD'; expected off, DEBUG, INFO, *or a number*"])


def test_rows_come_from_every_thread_and_from_a_fault_on_the_engine(suite: Suite) -> None:
    suite.write(
        TALK
        + """
def told(event, seen):
    log.warning("a fault of mine")
    yield event

def handler(conn):
    log.warning("a handler")
    conn.send(conn.recv(10))

def test_it(netlab, fault_proxy, net_capture):
    proxy = fault_proxy(netlab.tcp_server(handler), to_server=narrow(told).optional())
    assert ask(proxy.address, b"ping") == b"ping"
    thread = threading.Thread(target=log.warning, args=("a thread",))
    thread.start()
    thread.join()
    found = {row.partition(b": ")[2] for row in rows(net_capture)}
    assert found == {b"a fault of mine", b"a handler", b"a thread"}
"""
    )
    passes(suite, "--net-capture-log=WARNING")


def test_a_row_is_one_line_of_a_sane_length_that_no_terminal_acts_on(suite: Suite) -> None:
    suite.write(
        TALK
        + """
def test_it(tcp_echo, net_capture):
    log.warning("two\\nlines \\x1b[31m")
    log.warning("x" * 5000)
    try:
        {}["key"]
    except KeyError:
        log.exception("lost")
    first, long, lost = rows(net_capture)
    assert first == rb"WARNING shop.client: two\\nlines \\x1b[31m"
    assert 900 < len(long) < 1100
    assert lost == b"ERROR shop.client: lost (KeyError: 'key')"
"""
    )
    passes(suite, "--net-capture-log=WARNING")


def test_a_record_that_cannot_be_shown_breaks_nothing(suite: Suite) -> None:
    suite.write(
        TALK
        + """
class Broken:
    def __repr__(self):
        raise RuntimeError("no words")

def test_it(tcp_echo, net_capture):
    logging.getLogger().handlers[:] = [h for h in logging.getLogger().handlers if "netfixtures" in type(h).__module__]
    log.warning("%d items", "many")
    log.warning(Broken())
    log.warning("afterwards")
    assert [row.partition(b": ")[2] for row in rows(net_capture)] == [
        b"'%d items' (its arguments do not fit: TypeError)", b"afterwards"
    ]
"""
    )
    suite.run("-p", "no:logging", "--net-capture-log=WARNING").assert_outcomes(passed=1)


def test_what_we_log_ourselves_is_no_row(suite: Suite) -> None:
    suite.write(
        TALK
        + """
def test_it(netlab, net_capture, caplog):
    caplog.set_level(logging.DEBUG, "pytest_netfixtures.wire")
    assert ask(netlab.tcp_echo().address, b"ping") == b"ping"
    netlab.flush_log()
    assert any(record.name == "pytest_netfixtures.wire" for record in caplog.records)
    assert rows(net_capture) == []
"""
    )
    passes(suite, "--net-capture-log=DEBUG")


def test_after_the_test_nobody_listens_any_more(suite: Suite) -> None:
    suite.write(
        TALK
        + """
def ours():
    return [h for h in logging.getLogger().handlers if type(h).__module__.startswith("pytest_netfixtures")]

def test_it(tcp_echo, net_capture):
    assert len(ours()) == 1

def test_without_us():
    assert ours() == []
"""
    )
    suite.run("--net-capture-log=WARNING").assert_outcomes(passed=2)


def test_the_report_of_a_failure_tells_them_too_and_masks_what_the_user_says(suite: Suite) -> None:
    suite.ini("net_redact = token=(\\w+)")
    suite.write(
        TALK
        + """
def test_it(tcp_echo, net_capture):
    ask(tcp_echo.address, b"ping")
    log.warning("asked with token=abc123")
    assert False
"""
    )
    result = suite.run("-p", "no:logging", "--net-capture", "--net-capture-log=WARNING")
    result.assert_outcomes(failed=1)
    (line,) = [line for line in result.stdout.lines if "log WARNING" in line]
    assert line.endswith("log WARNING shop.client: asked with token=******")


def test_whoever_logs_while_somebody_who_waits_for_him_holds_our_lock_is_not_stuck(suite: Suite) -> None:
    suite.write(
        TALK
        + """
from pytest_netfixtures._engine.loop import current_engine

class Asks(logging.Handler):
    "Takes our lock below its own, as a handler that looks at traffic does."
    def emit(self, record):
        with current_engine().journal.lock:
            pass

def test_it(tcp_echo, net_capture):
    log.addHandler(Asks())
    threads = [threading.Thread(target=lambda: [log.warning("x") for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        assert ask(tcp_echo.address, b"ping") == b"ping"
    for thread in threads:
        thread.join(60)
    assert len(rows(net_capture)) == 200
"""
    )
    passes(suite, "--net-capture-log=WARNING")
