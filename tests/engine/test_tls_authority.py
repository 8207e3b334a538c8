"""`Tls` as a value, the authority, its contexts and its files."""

from __future__ import annotations

import os
import ssl
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from engine.server_tools import connect

from pytest_netfixtures import NetLab, SetupError, Tls
from pytest_netfixtures._engine import authority as room

ALONE = """
import socket, sys
from pytest_netfixtures import NetLab
with NetLab() as lab:
    server = lab.tcp_echo()
    with socket.create_connection(server.address) as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
print(sorted({"ssl", "trustme", "cryptography"} & set(sys.modules)))
"""

FORKS = """
import os, socket, sys, warnings
warnings.simplefilter("ignore")
from pytest_netfixtures import NetLab

def ping(lab, server):
    context = lab.ca.client_context()
    with socket.create_connection(server.address, timeout=30) as sock:
        with context.wrap_socket(sock, server_hostname="localhost") as client:
            client.sendall(b"ping")
            assert client.recv(4) == b"ping"
            return server.connections[0].tls is not None

with NetLab() as lab:
    server = lab.tcp_echo(tls=True)
    assert ping(lab, server)
    path = lab.ca.pem_path
    child = os.fork()
    if not child:
        with NetLab() as other:
            mine = other.tcp_echo(tls=True)
            assert ping(other, mine)
            assert other.ca.pem_path == path
            assert other.ca.issue().cert_path.startswith(os.path.dirname(path)) is False
        sys.exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert os.path.exists(path)
    assert ping(lab, server)
print(os.path.dirname(path))
"""


def alone(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("tls", "code"),
    [
        (Tls(), "Tls()"),
        (Tls(names=("a.test",)), "Tls(names=('a.test',))"),
        (
            Tls(expired=True, trusted=False, client_cert="required", alpn=("h2",)),
            "Tls(expired=True, trusted=False, client_cert='required', alpn=('h2',))",
        ),
        (Tls(minimum="TLSv1.2", maximum="TLSv1.3"), "Tls(minimum='TLSv1.2', maximum='TLSv1.3')"),
    ],
)
def test_it_prints_as_the_code_that_made_it(tls: Tls, code: str) -> None:
    assert repr(tls) == code
    assert eval(code) == tls and hash(eval(code)) == hash(tls)


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        ({"names": "localhost"}, TypeError, "names is 'localhost'; expected a tuple of host names"),
        ({"names": ()}, ValueError, "names is ()"),
        ({"names": ("http://localhost",)}, ValueError, "without a scheme or a port"),
        ({"names": ("localhost:80",)}, ValueError, "without a scheme or a port"),
        ({"names": ("x" * 64 + ".test",)}, ValueError, "63 between two dots"),
        ({"names": ("x." * 127,)}, ValueError, "253 characters or less"),
        ({"expired": 1}, TypeError, "expired is 1; expected True or False"),
        ({"trusted": None}, TypeError, "trusted is None"),
        (
            {"client_cert": True},
            ValueError,
            "client_cert is True; expected one of None, 'optional', 'required'",
        ),
        ({"alpn": ["h2"]}, TypeError, "alpn is ['h2']; expected a tuple of protocols"),
        ({"alpn": ("",)}, ValueError, "alpn is ('',)"),
        ({"alpn": ("x" * 256,)}, ValueError, "expected 1 to 255 bytes of ASCII"),
        ({"minimum": "1.3"}, ValueError, "minimum is '1.3'; expected one of 'TLSv1'"),
        ({"maximum": "SSLv3"}, ValueError, "maximum is 'SSLv3'"),
        ({"minimum": "TLSv1.3", "maximum": "TLSv1.2"}, ValueError, "swap them"),
    ],
)
def test_wrong_arguments_are_named(wrong: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error) as caught:
        Tls(**wrong)
    assert says in str(caught.value)


def test_what_is_no_tls_is_refused_where_it_is_given() -> None:
    with NetLab() as lab:
        with pytest.raises(TypeError, match="tls is 'yes'; expected True, a Tls"):
            lab.tcp_echo(tls="yes")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="which is for clients"):
            lab.tcp_server(tls=ssl.create_default_context())
        assert lab.endpoints == ()


def test_one_authority_for_the_process_and_one_context_for_equal_values() -> None:
    with NetLab() as lab, NetLab() as other:
        assert lab.ca is other.ca
        first, second = lab.tcp_echo(tls=True), other.http_echo(tls=Tls())
        assert first.tls_context is second.tls_context
        assert lab.tcp_echo(tls=Tls(expired=True)).tls_context is not first.tls_context


def test_files_are_private_and_hold_what_they_say() -> None:
    with NetLab() as lab:
        issued = lab.ca.issue("redis.test", "10.1.2.3")
        for path in (lab.ca.pem_path, *issued):
            assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
            assert stat.S_IMODE(os.stat(Path(path).parent).st_mode) == 0o700
        assert "PRIVATE KEY" in Path(issued.key_path).read_text()
        assert Path(lab.ca.pem_path).read_text().count("BEGIN CERTIFICATE") == 1
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*issued)
        server = lab.tcp_echo(tls=context)
        for name in ("redis.test", "10.1.2.3"):
            client = lab.ca.client_context()
            with connect(server) as plain, client.wrap_socket(plain, server_hostname=name):
                pass


def test_a_client_context_checks_its_arguments() -> None:
    with NetLab() as lab:
        with pytest.raises(TypeError, match="client_cert is 'yes'"):
            lab.ca.client_context(client_cert="yes")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="minimum is 'TLS'"):
            lab.ca.client_context(minimum="TLS")  # type: ignore[arg-type]


def test_without_trustme_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trustme", None)
    monkeypatch.setattr(room, "_current", None)
    with NetLab() as lab:
        with pytest.raises(SetupError, match=r'pip install "pytest-netfixtures\[tls\]"'):
            lab.tcp_echo(tls=True)
        with pytest.raises(SetupError):
            _ = lab.ca
        with lab.tcp_echo() as server, connect(server) as client:
            client.sendall(b"plain")
            assert client.recv(5) == b"plain"


def test_a_ready_context_needs_no_trustme(monkeypatch: pytest.MonkeyPatch) -> None:
    with NetLab() as lab:
        issued = lab.ca.issue()
        trusting = lab.ca.client_context()
        monkeypatch.setitem(sys.modules, "trustme", None)
        monkeypatch.setattr(room, "_current", None)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*issued)
        server = lab.tcp_echo(tls=context)
        with connect(server) as plain, trusting.wrap_socket(plain, server_hostname="localhost") as client:
            client.sendall(b"ping")
            assert client.recv(4) == b"ping"


def test_servers_without_tls_import_no_ssl() -> None:
    assert alone(ALONE) == "[]"


def test_a_fork_may_use_the_authority_and_removes_nothing_of_its_parents() -> None:
    directory = alone(FORKS)
    assert "netfixtures-ca-" in directory
    assert not os.path.exists(directory)
