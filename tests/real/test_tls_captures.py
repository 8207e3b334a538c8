"""Captures of real TLS connections: what servers and proxies of ours said decrypts, also where the process was killed."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from pcap import shark, walk

from pytest_netfixtures import HalfClose, NetLab, Reset, ServerConnection, Slice, Truncate
from pytest_netfixtures._pcap.secrets import SLOT
from pytest_netfixtures._pcap.tap import Tap

pytest.importorskip("trustme")
from pcap.tls_scene import ANSWER, QUESTION, VERSIONS, Version, decrypted

Referee = Callable[[str], str]
UNREAD = (
    "(tls.record.opaque_type == 23 && !tls.record.content_type) || (tls.record.content_type == 23 && !http)"
)
"""Application data that tshark could not decrypt; under TLS 1.3 and under TLS 1.2."""


def answering(connection: ServerConnection) -> None:
    """A small HTTP server; its answer is the path of the question."""
    while head := question(connection):
        name = head.split()[1].decode().strip("/")
        connection.send(ANSWER.format(len(name), name).encode())


def question(connection: ServerConnection) -> bytes:
    """All up to an empty line; nothing where the client has left."""
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        more = connection.recv(1000)
        if not more:
            return b""
        data += more
    return data


def ask(lab: NetLab, address: object, *names: str, version: Version = "TLSv1.3") -> None:
    """Each question and its answer, as far as it comes."""
    context = lab.ca.client_context(minimum=version, maximum=version)
    with socket.create_connection(address, 30) as raw:  # type: ignore[arg-type]
        with context.wrap_socket(raw, server_hostname="localhost") as client:
            for name in names:
                client.sendall(QUESTION.format(name).encode())
                answer = b""
                while not answer.endswith(name.encode()):
                    more = client.recv(1000)
                    if not more:
                        return
                    answer += more


def unread(tshark: str, path: Path) -> list[str]:
    """Frames of application data that did not decrypt."""
    done = shark.run(tshark, "-n", "-r", path, "-Y", UNREAD)
    return done.stdout.splitlines()


@pytest.mark.parametrize("version", VERSIONS)
def test_servers_and_both_legs_of_proxies_decrypt(version: Version, tmp_path: Path, referee: Referee) -> None:
    tap = Tap(tmp_path / "all.pcapng", node_id="test", comment={})
    with NetLab() as lab:
        lab.add_sink(tap)
        server = lab.tcp_server(answering, tls=True)
        ends = lab.tcp_proxy(server, tls=True, to_client=Slice(30))
        ask(lab, server.address, "direct", "again", version=version)
        ask(lab, ends.address, "ended", version=version)
        ask(lab, lab.tcp_proxy(server).address, "passed", version=version)
        threads = [
            threading.Thread(
                target=ask, args=(lab, server.address, f"many{number}"), kwargs={"version": version}
            )
            for number in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        tshark = referee("tshark")
        running = decrypted(tshark, tap.path)
    tap.finish("passed")
    once = ["direct", "again", *(f"many{number}" for number in range(6))]
    wanted = sorted([*once, "ended", "ended", "passed", "passed"] * 2)
    assert sorted(name for _, name in running) == wanted
    assert sorted(name for _, name in decrypted(tshark, tap.path)) == wanted
    assert shark.blemishes(shark.read(tshark, tap.path)) == []
    assert all(len(keys) == SLOT for keys in walk.keys(tap.path)), "nothing had to be put right"


def test_a_connection_that_turns_to_tls_decrypts_from_there(tmp_path: Path, referee: Referee) -> None:
    def upgrading(connection: ServerConnection) -> None:
        connection.send(connection.readline())
        connection.start_tls()
        answering(connection)

    tap = Tap(tmp_path / "upgraded.pcapng", node_id="test", comment={})
    with NetLab() as lab:
        lab.add_sink(tap)
        server = lab.tcp_server(upgrading)
        with socket.create_connection(server.address, 30) as raw:
            raw.sendall(b"STARTTLS\n")
            assert raw.recv(100) == b"STARTTLS\n"
            with lab.ca.client_context().wrap_socket(raw, server_hostname="localhost") as client:
                client.sendall(QUESTION.format("upgraded").encode())
                assert client.recv(1000)
    tap.finish("passed")
    assert decrypted(referee("tshark"), tap.path) == [(0, "upgraded")] * 2
    assert tap.path.read_bytes().count(b"STARTTLS\n") == 2


def test_connections_that_faults_cut_decrypt_up_to_the_cut(tmp_path: Path, referee: Referee) -> None:
    tap = Tap(tmp_path / "cut.pcapng", node_id="test", comment={})
    with NetLab() as lab:
        lab.add_sink(tap)
        server = lab.tcp_server(answering, tls=True)
        for cut in (Truncate(after=90), Reset(after=90), HalfClose(after=90)):
            proxy = lab.tcp_proxy(server, tls=True, to_client=cut)
            try:
                ask(lab, proxy.address, "first", "second", "third")
            except OSError:
                pass  # the cut, as this client sees it
    tap.finish("passed")
    tshark = referee("tshark")
    names = [name for _, name in decrypted(tshark, tap.path)]
    assert names.count("first") >= 3 * 3, (
        "question and answer on the server leg, the question on the client leg"
    )
    assert shark.blemishes(shark.read(tshark, tap.path)) == []


KILLED = """
import os, sys, threading
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from real.test_tls_captures import *
lab, left = NetLab(), [int(sys.argv[3])]
def kill(entry, data):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), 9)
lab.add_sink(Tap(Path(sys.argv[1]), node_id="test", comment={}, secrets=sys.argv[5] == "keys"))
lab.add_sink(kill)
server = lab.tcp_server(answering, tls=True)
proxy = lab.tcp_proxy(server, tls=True)
def talk(address, name):
    while True:
        ask(lab, address, *[f"{name}{number}" for number in range(5)], version=sys.argv[4])
for number in range(2):
    threading.Thread(target=talk, args=(server.address, f"direct{number}"), daemon=True).start()
talk(proxy.address, "proxied")
"""


@pytest.mark.parametrize(
    ("version", "entries", "keys"),
    [
        ("TLSv1.3", 77, "keys"),
        ("TLSv1.3", 458, "keys"),
        ("TLSv1.2", 333, "keys"),
        ("TLSv1.3", 333, "no keys"),
    ],
)
def test_all_that_a_killed_process_has_recorded_decrypts(
    version: Version, entries: int, keys: str, tmp_path: Path, referee: Referee
) -> None:
    path, tests = tmp_path / "killed.pcapng", str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(path), tests, str(entries), version, keys],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == -9, done.stderr
    assert b"outcome: RUNNING" in path.read_bytes()
    if keys == "keys":
        assert unread(referee("tshark"), path) == []
        assert len(decrypted(referee("tshark"), path)) > entries // 10
    else:
        assert unread(referee("tshark"), path) != [], "or this test could not fail"
        assert decrypted(referee("tshark"), path) == []
