"""All traffic as lines of the logger pytest_netfixtures.wire: what a line says, what it never says, and when it is free."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_netfixtures import Delay, NetLab, Reset, TcpEcho

from .conftest import Suite

NAME = "pytest_netfixtures.wire"


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """The messages of the logger, switched on."""
    messages: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    logger, handler = logging.getLogger(NAME), Collect()
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield messages
    logger.setLevel(logging.NOTSET)
    logger.removeHandler(handler)


def ask(address: Any, data: bytes) -> bytes:
    with socket.create_connection(address, 10) as client:
        client.sendall(data)
        return client.recv(100)


def shown(lab: NetLab, lines: list[str], text: str) -> str:
    """The one line with this text."""

    def found() -> list[str]:
        lab.flush_log()
        return [line for line in lines if text in line]

    lab.wait_for(found)
    (line,) = found()
    return line


def test_each_entry_is_a_line(lines: list[str]) -> None:
    with NetLab() as lab:
        proxy = lab.tcp_proxy(
            lab.tcp_echo(name="echo"), to_server=Delay(0.01), to_client=Reset(after=2), name="front"
        )
        with socket.create_connection(proxy.address, 10) as client, pytest.raises(ConnectionResetError):
            client.sendall(b"ping\r\n")
            while client.recv(1):
                pass
        assert shown(lab, lines, "front #1 client leg: open, ").endswith(f" > {proxy.netloc}")
        assert shown(lab, lines, "front #1 server leg: open, ")
        assert shown(lab, lines, "front #1 to_server sent ") == 'front #1 to_server sent 6 B "ping\\r\\n"'
        assert shown(lab, lines, "front #1 to_server delivered ").endswith(
            '6 B "ping\\r\\n" (Delay(seconds=0.01))'
        )
        assert shown(lab, lines, "front #1 to_client FAULT Reset(after=2): RST after byte 2")
        assert shown(lab, lines, "front #1 client leg: RST by us (Reset(after=2))")
        assert shown(lab, lines, "echo #1 client leg: open, ")


def test_datagrams_marks_and_a_connection_refused_are_lines_too(lines: list[str]) -> None:
    with NetLab() as lab:
        responder = lab.udp_responder(name="dns")
        with socket.socket(type=socket.SOCK_DGRAM) as client:
            client.settimeout(10)
            client.sendto(b"who?", responder.address)
            assert client.recv(10) == b"who?"
        lab.mark("now the refusal")
        gone = lab.tcp_proxy(lab.refused_address(), name="gone")
        with pytest.raises(OSError):
            ask(gone.address, b"anybody?")
        assert shown(lab, lines, "dns #1 to_server sent ") == 'dns #1 to_server sent 4 B "who?"'
        assert shown(lab, lines, "mark: ") == "mark: now the refusal"
        assert "refused" in shown(lab, lines, "gone #1 server leg failed: ").lower()


def test_no_line_shows_a_secret_even_one_that_comes_in_two_pieces(lines: list[str]) -> None:
    with NetLab(redact=["token=([a-z]+)"]) as lab:
        server = lab.tcp_server(name="web")
        with socket.create_connection(server.address, 10) as client:
            conn = server.accept()
            for piece in (b"GET / HTTP/1.1\r\nAuthori", b"zation: Bearer hun", b"ter2\r\n", b"token=abc\r\n"):
                client.sendall(piece)
                conn.recv_exactly(len(piece))
        shown(lab, lines, "web #1 client leg: FIN by peer")
        text = "\n".join(lines)
        assert 'to_server sent 18 B "zation: Bearer ***"' in text
        assert 'to_server sent 6 B "****\\r\\n"' in text
        assert 'to_server sent 11 B "token=***\\r\\n"' in text
        assert "hun" not in text and "ter2" not in text


def test_bytes_are_escaped_and_cut(lines: list[str]) -> None:
    with NetLab() as lab:
        echo = lab.tcp_echo()
        ask(echo.address, b"\x1b[31m" + b"x" * 3000)
        (line, *_) = [line for line in lines if "to_server sent " in line] or [
            shown(lab, lines, "to_server sent ")
        ]
        assert "\\x1b[31m" in line and "\x1b" not in line
        assert len(line) < 200 and line.endswith('..."')


def test_a_lab_without_it_has_no_sink() -> None:
    with NetLab() as lab:
        lab.tcp_echo()
        assert lab._book.sinks == []


def test_whoever_switches_it_on_sees_what_comes_after_the_next_server(lines: list[str]) -> None:
    logging.getLogger(NAME).setLevel(logging.INFO)
    with NetLab() as lab:
        first = lab.tcp_echo(name="first")
        ask(first.address, b"unseen")
        logging.getLogger(NAME).setLevel(logging.DEBUG)
        lab.tcp_echo(name="second")
        ask(first.address, b"seen")
        assert shown(lab, lines, "first #2 to_server sent ") == 'first #2 to_server sent 4 B "seen"'
        assert not [line for line in lines if "unseen" in line]


def test_whoever_switches_it_off_sees_no_more(lines: list[str]) -> None:
    with NetLab() as lab:
        echo: TcpEcho = lab.tcp_echo()
        logging.getLogger(NAME).setLevel(logging.INFO)
        ask(echo.address, b"unseen")
        lab.flush_log()
        assert lines == []


def test_a_handler_that_takes_our_lock_does_not_stop_the_traffic() -> None:
    class Looks(logging.Handler):
        """Looks at the traffic below its own lock, and so waits for ours."""

        def emit(self, record: logging.LogRecord) -> None:
            seen.append(len(lab.traffic.connections))

    seen: list[int] = []
    logger, handler = logging.getLogger(NAME), Looks()
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        with NetLab() as lab:
            echo = lab.tcp_echo()
            for _ in range(20):
                with handler.lock or pytest.fail("a handler has a lock"):
                    assert len(lab.traffic.connections) >= 0
                assert ask(echo.address, b"ping") == b"ping"
        assert seen
    finally:
        logger.setLevel(logging.NOTSET)
        logger.removeHandler(handler)


def test_caplog_switches_it_on(suite: Suite) -> None:
    suite.write(
        """
def test_it(netlab, caplog):
    caplog.set_level('DEBUG', 'pytest_netfixtures.wire')
    ask(netlab.tcp_echo(name="echo").address, b"ping")
    netlab.wait_for(lambda: 'echo #1 to_server sent 4 B "ping"' in caplog.text)
    assert False
"""
    )
    result = suite.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*Captured log call*", '*echo #1 to_server sent 4 B "ping"*'])


def test_a_level_of_the_root_logger_is_for_other_things(suite: Suite) -> None:
    suite.write(
        """
import logging

def test_it(netlab, caplog):
    caplog.set_level("DEBUG")
    ask(netlab.tcp_echo(name="echo").address, b"ping")
    logging.debug("the only one")
    netlab.flush_log()
    assert [record.getMessage() for record in caplog.records] == ["the only one"]
"""
    )
    suite.run("--log-level=DEBUG").assert_outcomes(passed=1)


def test_the_lines_of_a_shared_lab_come_to_the_test_that_asked(suite: Suite) -> None:
    suite.write(
        """
@pytest.fixture(scope="session")
def echo(netlab_session):
    return netlab_session.tcp_echo(name="shared")

def test_quiet(echo, caplog):
    ask(echo.address, b"ping")
    assert "shared" not in caplog.text

@pytest.fixture
def loud(caplog):
    caplog.set_level("DEBUG", "pytest_netfixtures.wire")

def test_loud(loud, echo, netlab_session, caplog):
    ask(echo.address, b"ping")
    netlab_session.flush_log()
    assert 'shared #1 to_server sent 4 B "ping"' in caplog.text
"""
    )
    suite.run().assert_outcomes(passed=2)
