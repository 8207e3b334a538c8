"""A server that shakes hands once more in the middle of a TLS 1.2 connection, as some do to ask for a certificate: openssl's.

What a client sends meanwhile waits in the proxy, because nothing can be sealed before the new handshake is done.
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.tls_proxy_tools import secure
from engine.tls_tools import entries_of

from pytest_netfixtures import NetLab, Stall
from pytest_netfixtures._wire.entries import Secret

HELLO_REQUEST = 5 + 8 + 4 + 16
"""Record, nonce, message and tag of what asks for it (RFC 5246, 7.4.1.1; RFC 5288)."""


@contextmanager
def s_server(
    openssl: str, lab: NetLab, out: Path
) -> Iterator[tuple[tuple[str, int], subprocess.Popen[bytes]]]:
    """openssl's server, which takes commands on its input and writes what it gets to `out`."""
    cert, key = lab.ca.issue()
    with socket.socket() as port, out.open("wb") as file:
        port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        port.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{port.getsockname()[1]}"
        what = ["-tls1_2", "-cipher", "ECDHE+AESGCM", "-cert", cert, "-key", key]
        command = [openssl, "s_server", "-accept", where, *what]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=file, stderr=file) as process:
            try:
                lab.wait_for(lambda: b"ACCEPT" in out.read_bytes())
                yield port.getsockname(), process
            finally:
                process.kill()


def test_what_is_sent_while_hands_are_shaken_once_more_is_not_lost(
    tmp_path: Path, referee: Callable[[str], str]
) -> None:
    out = tmp_path / "out"
    with NetLab() as lab, s_server(referee("openssl"), lab, out) as (address, process):
        secrets = entries_of(lab, Secret)
        way = lab.tcp_proxy(address)
        proxy = lab.tcp_proxy(way, tls=True, upstream_tls=True)
        with secure(lab, proxy) as client:
            client.sendall(b"first\n")
            lab.wait_for(lambda: b"first" in out.read_bytes())
            told, stall = len(secrets), Stall(after=HELLO_REQUEST)
            with way.fault(to_client=stall):
                assert process.stdin is not None
                process.stdin.write(b"r\n")
                process.stdin.flush()
                lab.wait_for(lambda: way.fired(stall))  # the proxy has answered, and the server too
                client.sendall(b"second\n")
                lab.wait_for(lambda: proxy.traffic.to_server.sent == b"first\nsecond\n")
            lab.wait_for(lambda: b"second" in out.read_bytes())
            assert proxy.traffic.to_server.delivered == b"first\nsecond\n"
            assert len(secrets) > told
