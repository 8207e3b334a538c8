"""Real HTTP clients against our servers: requests, urllib3, http.client, and a handler written for a socket.

They judge: what they say about an answer, and how they fail, is compared with what was done to them.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any
from wsgiref.handlers import SimpleHandler

import pytest
import requests
import urllib3

from pytest_netfixtures import NetLab, Reset, ServerConnection, Truncate


@pytest.fixture
def lab() -> Iterator[NetLab]:
    with NetLab() as lab:
        yield lab


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_session_of_requests_uses_one_connection(lab: NetLab, host: str) -> None:
    server = lab.http_echo(host=host)
    with requests.Session() as session:
        for number in range(5):
            said = session.post(f"{server.url}/{number}?q=ä", json={"number": number}, timeout=30).json()
            assert said["method"] == "POST"
            assert said["path"] == f"/{number}"
            assert said["query"] == {"q": ["ä"]}
            assert said["json"] == {"number": number}
        assert session.head(server.url, timeout=30).content == b""
        assert session.get(server.url, timeout=30).json()["method"] == "GET"
    assert len(server.connections) == 1


def test_requests_sends_streams_and_forms(lab: NetLab) -> None:
    server = lab.http_echo()
    said = requests.post(server.url, data=iter([b"one,", b"two"]), timeout=30).json()
    assert (said["body"], said["headers"]["Transfer-Encoding"]) == ("one,two", "chunked")
    assert requests.put(server.url, data={"a": "1"}, timeout=30).json()["body"] == "a=1"
    big = "x" * (2 << 20)
    assert requests.post(server.url, data=big, timeout=30).json()["body"] == big


def test_requests_from_many_threads(lab: NetLab) -> None:
    server, paths = lab.http_echo(), []

    def ask(number: int) -> None:
        paths.append(requests.get(f"{server.url}/{number}", timeout=30).json()["path"])

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(paths) == sorted(f"/{number}" for number in range(20))


def test_requests_is_told_that_an_answer_was_cut(lab: NetLab) -> None:
    server = lab.http_echo()
    proxy = lab.tcp_proxy(server, to_client=Truncate(after=10).when(b"\r\n\r\n"))
    with pytest.raises(
        requests.exceptions.ChunkedEncodingError, match=r"10 bytes read, [0-9]+ more expected"
    ):
        requests.get(f"http://{proxy.netloc}", timeout=30)


def test_requests_meets_a_refused_address_and_a_timeout(lab: NetLab) -> None:
    host, port = lab.refused_address()
    with pytest.raises(requests.exceptions.ConnectionError):
        requests.get(f"http://{host}:{port}", timeout=30)
    deaf = lab.deaf_server()
    with pytest.raises(requests.exceptions.ReadTimeout):
        requests.get(f"http://{deaf.netloc}", timeout=0.1)


def test_requests_leaves_in_the_middle_of_an_answer(lab: NetLab) -> None:
    server = lab.http_echo()
    with requests.post(server.url, data="x" * (4 << 20), stream=True, timeout=30) as response:
        assert response.raw.read(10)
    lab.wait_for(lambda: not server._threads[0].thread.is_alive())
    assert lab.errors() == []


def test_urllib3_tries_again_after_resets(lab: NetLab) -> None:
    proxy = lab.tcp_proxy(lab.http_echo(), to_client=Reset(after=0).on_connections(1, 2))
    with urllib3.PoolManager() as pool:
        retries = urllib3.Retry(total=5, backoff_factor=0)
        assert (
            pool.request("GET", f"http://{proxy.netloc}/again", retries=retries, timeout=30).json()["path"]
            == "/again"
        )
    assert len(proxy.connections) == 3


def test_http_client_against_canned_answers(lab: NetLab) -> None:
    def handler(connection: ServerConnection) -> bytes:
        request = connection.recv_until(b"\r\n\r\n")
        connection.sendall(b"HTTP/1.1 418 I'm a teapot\r\nContent-Length: 5\r\n\r\nshort")
        return request

    server = lab.tcp_server(handler)
    client = http.client.HTTPConnection(*server.address, timeout=30)
    client.request("BREW", "/pot")
    response = client.getresponse()
    assert (response.status, response.read()) == (418, b"short")
    client.close()
    lab.wait_for(lambda: server.results[0] is not None)
    assert server.results[0].startswith(b"BREW /pot HTTP/1.1\r\nHost: 127.0.0.1")  # type: ignore[attr-defined]


@pytest.mark.parametrize("body", [b"", b"shor"])
def test_http_client_is_told_that_the_server_left(lab: NetLab, body: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
    server = lab.tcp_server([lambda connection: None, lambda connection: connection.sendall(head + body)])
    for error in (http.client.RemoteDisconnected, http.client.IncompleteRead):
        client = http.client.HTTPConnection(*server.address, timeout=30)
        client.request("GET", "/")
        with pytest.raises(error):
            client.getresponse().read()
        client.close()


class Greeter(BaseHTTPRequestHandler):
    """A handler as people write it for the stdlib's server; with a buffered writer and a timeout."""

    timeout = 30
    wbufsize = -1
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        text = f"hello {self.client_address[0]}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


def test_a_handler_of_the_stdlib_runs_on_our_connection(lab: NetLab) -> None:
    def handler(connection: Any) -> None:
        Greeter(connection, connection.getpeername(), connection.server)

    server = lab.tcp_server(handler)
    with requests.Session() as session:
        for _ in range(3):
            assert session.get(f"http://{server.netloc}", timeout=30).text == "hello 127.0.0.1"
    assert len(server.connections) == 1


def test_a_wsgi_application_runs_on_our_connection(lab: NetLab) -> None:
    def application(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["PATH_INFO"].encode(), b"!"]

    def handler(connection: ServerConnection) -> None:
        path = connection.recv_until(b"\r\n\r\n").split()[1].decode()
        with connection.makefile("rwb") as file:
            environ = {"PATH_INFO": path, "REQUEST_METHOD": "GET", "SERVER_PROTOCOL": "HTTP/1.1"}
            SimpleHandler(file, file, file, environ).run(application)

    server = lab.tcp_server(handler)
    assert requests.get(f"http://{server.netloc}/wsgi", timeout=30).text == "/wsgi!"
