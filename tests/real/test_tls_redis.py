"""A real redis-server with TLS behind a proxy that ends it, and redis-py in front: the reply that is lost, in plain text.

It is skipped where redis-server is not installed, or was built without TLS.
"""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pytest_netfixtures import NetLab, Reset, Truncate

redis = pytest.importorskip("redis")


@contextmanager
def running(program: str, lab: NetLab, folder: Path) -> Iterator[tuple[str, int]]:
    """A redis-server that speaks TLS alone, asks for certificates of clients, and belongs to this test."""
    cert, key = lab.ca.issue()
    with socket.socket() as port:
        port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        port.bind(("127.0.0.1", 0))
        words = {
            "--bind": "127.0.0.1",
            "--port": "0",
            "--tls-port": str(port.getsockname()[1]),
            "--tls-cert-file": cert,
            "--tls-key-file": key,
            "--tls-ca-cert-file": lab.ca.pem_path,
            "--tls-auth-clients": "no",
            "--save": "",
            "--dir": str(folder),
        }
        command = [program, *(word for pair in words.items() for word in pair)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        with process:
            assert process.stdout is not None
            said: list[str] = []
            for line in process.stdout:
                said.append(line)
                if "Ready to accept connections" in line:
                    break
            else:
                if "tls" in "".join(said).lower():
                    pytest.skip("this redis-server was built without TLS")
                pytest.fail("redis-server did not start:\n" + "".join(said), pytrace=False)
            try:
                yield "127.0.0.1", port.getsockname()[1]
            finally:
                process.send_signal(signal.SIGKILL)


def test_a_redis_with_tls_behind_a_proxy_that_ends_it(tmp_path: Path, referee: Callable[[str], str]) -> None:
    with NetLab() as lab, running(referee("redis-server"), lab, tmp_path) as address:
        checked = lab.ca.client_context()
        proxy = lab.tcp_proxy(address, tls=True, upstream_tls=checked, name="redis")
        client = redis.Redis(
            *(proxy.host, proxy.port), ssl=True, ssl_ca_certs=lab.ca.pem_path, retry=None, socket_timeout=10
        )
        assert client.set("key", "secret value")
        assert b"secret value" in proxy.traffic.connections[-1].to_server.delivered
        lost = Reset(at=0).when(b"INCR", direction="to_server")
        with proxy.fault(to_client=lost), pytest.raises(redis.ConnectionError):
            client.incr("counter")
        assert client.get("counter") == b"1"
        with proxy.fault(to_client=Truncate(after=3)), pytest.raises(redis.ConnectionError):
            client.get("key")
        assert client.get("key") == b"secret value"
        client.close()
