"""A client in a process of its own: the ports of our servers are real, so it needs nothing but the number.

Give the port as an argument or in the environment. What the client does is asserted on the server's side, and its exit
status and output on the test's side.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_netfixtures import NetLab, Reset, ServerConnection, TcpProxy, TcpServer, Truncate, assert_closed

CLIENT = Path(__file__).with_name("client.py")


def status(conn: ServerConnection) -> None:
    conn.expect(b"STATUS\n")
    conn.send(b"all is well\n")


@pytest.fixture
def server(netlab: NetLab) -> TcpServer:
    return netlab.tcp_server(status)


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(CLIENT), *arguments]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60
    )


def test_the_port_as_an_argument(server: TcpServer) -> None:
    done = run(str(server.port))
    assert (done.returncode, done.stdout) == (0, "all is well\n")
    assert_closed(server, by="client", how="FIN")


def test_the_port_in_the_environment(server: TcpServer) -> None:
    assert run(STATUS_PORT=str(server.port)).stdout == "all is well\n"


def test_half_an_answer_is_no_answer(server: TcpServer, fault_proxy: Callable[..., TcpProxy]) -> None:
    proxy = fault_proxy(server, to_client=Truncate(after=6))
    done = run(str(proxy.port))
    assert done.returncode == 1
    assert "ends after 6 bytes" in done.stderr


def test_a_reset_is_said_in_words(server: TcpServer, fault_proxy: Callable[..., TcpProxy]) -> None:
    proxy = fault_proxy(server, to_client=Reset(at=0))
    done = run(str(proxy.port))
    assert done.returncode == 1
    assert "Connection reset by peer" in done.stderr


def test_nobody_is_there(netlab: NetLab) -> None:
    done = run(str(netlab.refused_address()[1]))
    assert done.returncode == 1
    assert "refused" in done.stderr


def test_the_test_is_the_server(netlab: NetLab) -> None:
    server = netlab.tcp_server()
    with subprocess.Popen([sys.executable, str(CLIENT), str(server.port)], stdout=subprocess.PIPE) as client:
        conn = server.accept(within=30)
        conn.expect(b"STATUS\n")
        conn.send(b"busy")
        conn.send(b" today\n")
        conn.expect_eof()
        assert client.communicate(timeout=60)[0] == b"busy today\n"
