"""Files that tcpdump wrote of real programs' traffic: `read_capture` gives what client and server said."""

from __future__ import annotations

import http.client
import http.server
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from pytest_netfixtures import CaptureUnavailable, NetLab, Reset, Traffic, read_capture

Referee = Callable[[str], str]
LIMIT = 30.0
BIG = bytes(range(256)) * 512


class Tcpdump:
    """tcpdump on loopback, from before the block to its end."""

    def __init__(self, program: str, path: Path, port: int, options: tuple[str, ...]) -> None:
        words = [
            program,
            "-i",
            "lo",
            "-U",
            "--immediate-mode",
            "-B",
            "16384",
            "-n",
            "-w",
            str(path),
            *options,
        ]
        self._process = subprocess.Popen([*words, f"port {port}"], stderr=subprocess.PIPE, text=True)
        self.path = path
        assert self._process.stderr is not None
        said = self._process.stderr.readline()
        while "listening" not in said:
            if not said or self._process.poll() is not None:
                self.stop()
                pytest.skip(f"tcpdump cannot capture here: {said.strip()}; run as root, or with CAP_NET_RAW")
            said = self._process.stderr.readline()

    def read_until(self, done: Callable[[Traffic], bool]) -> Traffic:
        """What it has written, as soon as that is so; then it is stopped."""
        deadline = time.monotonic() + LIMIT
        while not done(self._read()):
            assert time.monotonic() < deadline, f"after {LIMIT:g} s the file has {self._read()}"
            threading.Event().wait(0.02)
        self.stop()
        return read_capture(self.path)

    def _read(self) -> Traffic:
        try:
            return read_capture(self.path)
        except CaptureUnavailable:  # not even its head is there
            return Traffic()

    def stop(self) -> None:
        """End the program."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        self._process.wait(LIMIT)
        if self._process.stderr is not None:
            self._process.stderr.close()


@contextmanager
def tcpdump(program: str, path: Path, port: int, *options: str) -> Iterator[Tcpdump]:
    dump = Tcpdump(program, path, port, options)
    try:
        yield dump
    finally:
        dump.stop()


def all_ended(traffic: Traffic, count: int = 1) -> bool:
    ended = [c for c in traffic.connections if all(c.ended.values()) or "RST" in c.ended.values()]
    return len(ended) == len(traffic.connections) >= count


class Page(http.server.BaseHTTPRequestHandler):
    """Answers everything with 128 KiB, and keeps the connection."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(BIG)))
        self.end_headers()
        self.wfile.write(BIG)

    def log_message(self, *args: object) -> None:
        """Nothing."""


@pytest.mark.parametrize(
    "options", [(), ("--time-stamp-precision=nano",)], ids=["microseconds", "nanoseconds"]
)
def test_http_is_read_as_it_was_said(tmp_path: Path, referee: Referee, options: tuple[str, ...]) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        port = server.server_address[1]
        with tcpdump(referee("tcpdump"), tmp_path / "http.pcap", port, *options) as dump:
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)) as client:
                for _ in range(2):
                    client.request("POST", "/", BIG)
                    assert client.getresponse().read() == BIG
            traffic = dump.read_until(all_ended)
        server.shutdown()
    [c] = traffic.connections
    assert (c.endpoint, c.opened_before, traffic.incomplete) == (f"127.0.0.1:{port}", False, "")
    requests = c.to_server.sent.split(b"\r\n\r\n")
    assert [part.startswith(b"POST / HTTP/1.1") for part in requests] == [True, False, False]
    assert requests[1].startswith(BIG) and requests[2] == BIG
    assert c.to_client.sent.count(BIG) == 2 and c.to_client.sent.endswith(BIG)


def test_redis_is_read_as_it_was_said(tmp_path: Path, referee: Referee) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    words = [
        referee("redis-server"),
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--dir",
        str(tmp_path),
    ]
    with (
        tcpdump(referee("tcpdump"), tmp_path / "redis.pcap", port) as dump,
        subprocess.Popen(words, stdout=subprocess.DEVNULL) as redis,
    ):
        try:
            asked, answered = converse(port)
            traffic = dump.read_until(all_ended)
        finally:
            redis.terminate()
    c = next(c for c in traffic.connections if c.to_server.sent_bytes)
    assert (c.to_server.sent, c.to_client.sent) == (asked, answered)
    assert b"+PONG" in answered and dict(c.ended) == {"client": "FIN", "server": "FIN"}
    refused = [c for c in traffic.connections if c.ended["server"] == "RST"]
    assert all(c.to_server.sent == b"" for c in refused)


def converse(port: int) -> tuple[bytes, bytes]:
    """Pipelined commands over a real socket, as soon as the server is there: what was asked, and all of the answer."""
    asked = b"PING\r\n" + b"".join(b"SET key%d %s\r\n" % (n, b"v" * 5000) for n in range(200)) + b"QUIT\r\n"
    deadline = time.monotonic() + LIMIT
    while True:
        try:
            client = socket.create_connection(("127.0.0.1", port), timeout=LIMIT)
            break
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            threading.Event().wait(0.02)
    with client:
        client.sendall(asked)
        client.shutdown(socket.SHUT_WR)
        answered = b""
        while more := client.recv(65536):
            answered += more
    return asked, answered


def test_frames_that_tcpdump_cut_are_gaps(tmp_path: Path, referee: Referee) -> None:
    with NetLab() as lab:
        echo = lab.tcp_echo()
        with tcpdump(referee("tcpdump"), tmp_path / "cut.pcap", echo.port, "-s", "96") as dump:
            with socket.create_connection(echo.address, timeout=LIMIT) as client:
                client.sendall(b"x" * 1000)
                assert len(client.recv(1000, socket.MSG_WAITALL)) == 1000
            traffic = dump.read_until(all_ended)
    flow = traffic.to_server
    assert (flow.cut, flow.sent_bytes, flow.end) == (True, 1000, "FIN")
    assert bytes(flow.sent) == b"x" * len(flow.sent)


def test_what_the_kernel_showed_of_a_proxy_is_what_the_journal_says(tmp_path: Path, referee: Referee) -> None:
    with NetLab() as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), to_client=Reset(after=500))
        with tcpdump(referee("tcpdump"), tmp_path / "proxy.pcap", proxy.port) as dump:
            with socket.create_connection(proxy.address, timeout=LIMIT) as client:
                client.sendall(BIG[:1000])
                with pytest.raises(ConnectionResetError):
                    while client.recv(1000):
                        pass
            traffic = dump.read_until(all_ended)
        told = proxy.traffic.connection(1)
    [c] = traffic.connections
    assert (c.peer, c.address) == (told.peer, told.address)
    assert (c.to_server.sent, c.to_client.delivered) == (told.to_server.sent, told.to_client.delivered)
    assert c.to_client.end == told.to_client.end == "RST"
