"""Ports: from the kernel, ours until given back, refused where that is promised; and clear errors for the others.

The kernel is the judge: it is asked by plain sockets.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from engine.server_tools import HOSTS, connect, quiet_port, udp_client

from pytest_netfixtures import NetLab, SetupError

MAKERS: dict[str, Callable[..., Any]] = {
    "tcp_echo": NetLab.tcp_echo,
    "tcp_server": NetLab.tcp_server,
    "udp_responder": NetLab.udp_responder,
    "http_echo": NetLab.http_echo,
    "deaf_server": NetLab.deaf_server,
}


@pytest.fixture
def lab() -> Iterator[NetLab]:
    with NetLab() as lab:
        yield lab


@pytest.fixture(params=list(MAKERS))
def make(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return MAKERS[request.param]


@pytest.mark.parametrize("host", HOSTS)
def test_a_refused_address_stays_refused(lab: NetLab, host: str) -> None:
    address = lab.refused_address(host)
    for _ in range(100):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)


def test_a_refused_port_is_given_to_nobody_else(lab: NetLab) -> None:
    host, port = lab.refused_address()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind((host, port))
    given = set()
    for reuse in (0, 1):
        others = [socket.socket() for _ in range(200)]
        for other in others:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
            other.bind((host, 0))
            given.add(other.getsockname()[1])
        for other in others:
            other.close()
    assert port not in given


def test_the_port_of_a_stopped_server_stays_ours(lab: NetLab) -> None:
    server = lab.tcp_echo()
    server.stop()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(server.address)


def test_a_port_is_free_after_the_lab(make: Callable[..., Any]) -> None:
    for _ in range(3):
        with NetLab() as lab:
            assert make(lab, port=quiet_port()).port == quiet_port()


def test_a_port_can_be_asked_for_again_although_its_connections_are_not_long_gone() -> None:
    with NetLab() as lab:
        server = lab.tcp_server(lambda connection: connection.send(b"x"), port=quiet_port())
        with connect(server) as client:
            assert client.recv(1) == b"x"  # it closes first, so that the port rests in TIME_WAIT
            assert client.recv(1) == b""
    with NetLab() as lab:
        connect(lab.tcp_echo(port=server.port)).close()


def test_a_port_in_use_is_told(lab: NetLab) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            SetupError, match=f"port {port} could not be bound: Address already in use; expected"
        ):
            lab.tcp_echo(port=port)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(SetupError, match="in use"):
            lab.udp_responder(port=taken.getsockname()[1])


def test_an_address_that_is_not_of_this_machine_is_told(lab: NetLab, make: Callable[..., Any]) -> None:
    with pytest.raises(
        SetupError, match=r"a port of 192\.0\.2\.1 could not be bound: .*; expected a loopback address"
    ):
        make(lab, host="192.0.2.1")


@pytest.mark.parametrize(
    "host", ["localhost", "", "127.0.0.1:80", "example.org", "::1::", "nul\0", "300.1.1.1"]
)
def test_a_host_is_a_numeric_address(lab: NetLab, make: Callable[..., Any], host: str) -> None:
    with pytest.raises(ValueError, match="expected a numeric address such as"):
        make(lab, host=host)
    with pytest.raises(ValueError, match="expected a numeric address such as"):
        lab.refused_address(host)


def test_a_host_is_text(lab: NetLab, make: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match="host is 5; expected"):
        make(lab, host=5)


@pytest.mark.parametrize("port", [-1, 65536, "80", 80.0, None, True])
def test_a_port_is_a_number(lab: NetLab, make: Callable[..., Any], port: object) -> None:
    with pytest.raises((TypeError, ValueError), match=r"port is .*; expected"):
        make(lab, port=port)


def test_nothing_is_made_of_what_failed(lab: NetLab) -> None:
    with pytest.raises(ValueError):
        lab.tcp_echo(port=-1)
    assert lab.endpoints == ()
    assert lab.tcp_echo().name == "tcp_echo"


def test_a_port_that_was_given_back_is_not_taken_again(lab: NetLab) -> None:
    for server in (lab.tcp_echo(), lab.udp_responder(), lab.deaf_server()):
        server.close()
        server.close()
        with pytest.raises(SetupError, match=r"was given back by close\(\); expected an open server"):
            server.start()


def test_beyond_this_machine_only_by_name_and_said(lab: NetLab) -> None:
    servers = [
        lab.tcp_echo(host="0.0.0.0"),
        lab.udp_responder(host="0.0.0.0"),
        lab.deaf_server(host="0.0.0.0"),
    ]
    notes = [getattr(entry, "text", "") for entry in lab.recorder.story()]
    for server in servers:
        assert f"{server.name} is bound to 0.0.0.0: reachable from beyond this machine" in notes
    with socket.create_connection(("127.0.0.1", servers[0].port)) as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
    with udp_client(servers[1]) as client:
        client.send(b"x")
        assert client.recv(1) == b"x"


def test_on_loopback_nothing_is_said(lab: NetLab) -> None:
    for host in (*HOSTS, "127.1.2.3"):
        lab.tcp_echo(host=host)
    assert not list(lab.recorder.story())


OUT_OF_DESCRIPTORS = """
import resource, socket, warnings
from pytest_netfixtures import NetLab, SetupError

with NetLab() as lab, warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    server = lab.tcp_echo()
    first = socket.create_connection(server.address, timeout=30)
    first.sendall(b"first")
    assert first.recv(10) == b"first"
    late = socket.socket()
    late.settimeout(30)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    spare = []
    try:
        while True:
            spare.append(socket.socket())
    except OSError:
        pass
    late.connect(server.address)
    late.sendall(b"late")
    lab.wait_for(lambda: caught)
    try:
        lab.tcp_echo()
    except SetupError as error:
        print(error)
    spare.pop().close()
    print(late.recv(10))
    for sock in (first, late, *spare):
        sock.close()
print(len(caught), caught[0].message)
"""


def test_when_descriptors_run_out_accepting_rests_and_says_so_once() -> None:
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", OUT_OF_DESCRIPTORS], capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    setup, answer, warning = run.stdout.splitlines()
    assert "could not be bound: Too many open files; expected a free file descriptor" in setup
    assert answer == "b'late'"
    assert warning.startswith("1 no file descriptor is left")
    assert "ulimit -n" in warning
