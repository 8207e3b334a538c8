"""Connections under TLS that were open before the test: what cannot be decrypted is said, all else decrypts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pcap import shark, walk

from .conftest import Suite

pytest.importorskip("trustme")

BEFORE = """
import socket
import pytest

def secure(lab, raw):
    return lab.ca.client_context().wrap_socket(raw, server_hostname="localhost")

def say(client, text):
    client.sendall(text)
    assert client.recv(100) == text

@pytest.fixture(scope="session")
def web(netlab_session):
    return netlab_session.tcp_echo(tls=True, name="web")

@pytest.fixture(scope="session")
def front(netlab_session, web):
    return netlab_session.tcp_proxy(web, tls=True, name="front")

@pytest.fixture(scope="session")
def old(netlab_session, front):
    with secure(netlab_session, socket.create_connection(front.address, 30)) as client:
        say(client, b"BEFORE")
        yield client

@pytest.fixture(scope="session")
def silent(netlab_session, web, old):
    with socket.create_connection(web.address, 30) as raw:
        netlab_session.wait_for(lambda: len(web.connections) == 2)
        yield raw

def test_one(netlab_session, front, old, silent, net_capture):
    say(old, b"IN-VAIN")
    with secure(netlab_session, silent) as client:
        say(client, b"SILENT")
    with secure(netlab_session, socket.create_connection(front.address, 30)) as client:
        say(client, b"NEW")
    assert 0
"""
TOLD = "TLS '{}' connection {}, {} leg: its handshake was before this test, so that what it says cannot be decrypted"


@pytest.mark.parametrize("backend", ["tap", "kernel"])
def test_a_row_says_which_connection_cannot_be_decrypted_and_all_others_can(
    suite: Suite, backend: str, referee: Callable[[str], str], request: pytest.FixtureRequest
) -> None:
    """One that had said nothing yet shakes hands in the test, and decrypts."""
    tshark = referee("tshark")
    if backend == "kernel":
        request.getfixturevalue("kernel")
    suite.write(BEFORE)
    suite.run("--net-capture", f"--net-capture-backend={backend}").assert_outcomes(failed=1)
    (path,) = suite.captures.glob("*.pcapng")
    told = [
        text.partition(" (")[0]
        for text in shark.messages(shark.read(tshark, path))
        if "handshake was" in text
    ]
    assert sorted(told) == [
        TOLD.format("front", 0, "client"),
        TOLD.format("front", 0, "server"),
        TOLD.format("web", -1, "client"),
    ]
    assert len(walk.keys(path)) == 4, "of the silent one, both legs of the proxy, and the server behind it"
    forced = ("-d", "tcp.port==1-65535,tls")
    found = shark.run(
        tshark, "-n", "-r", path, *forced, "-Y", "data", "-T", "fields", "-e", "data.data"
    ).stdout
    words = {bytes.fromhex(text) for line in found.split() for text in line.split(",")}
    assert words == {b"SILENT", b"NEW"}
