"""The HTTP echo: what it says about a request, and that no request, however bad, ends it.

Requests are raw bytes here, answers are read by the stdlib; `tests/real` has real clients.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from engine.server_tools import HOSTS, connect, leave_by_reset, read_all, total

from pytest_netfixtures import NetLab, TcpServer


@pytest.fixture
def lab() -> Iterator[NetLab]:
    with NetLab() as lab:
        yield lab


@pytest.fixture
def server(lab: NetLab) -> TcpServer:
    return lab.http_echo()


def answer(client: socket.socket, method: str = "GET") -> tuple[int, Any]:
    """Status and JSON of the next answer."""
    response = http.client.HTTPResponse(client, method=method)
    response.begin()
    body = response.read()
    is_json = response.headers.get_content_type() == "application/json"
    return response.status, json.loads(body) if is_json and body else body


def request(server: TcpServer, raw: bytes) -> tuple[int, Any]:
    with connect(server) as client:
        client.sendall(raw)
        return answer(client)


@pytest.mark.parametrize("host", HOSTS)
def test_a_request_is_described(lab: NetLab, host: str) -> None:
    raw = b'POST /things?x=1&x=2&y= HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n{"a": 1}'
    assert request(lab.http_echo(host=host), raw) == (
        200,
        {
            "method": "POST",
            "path": "/things",
            "query": {"x": ["1", "2"], "y": [""]},
            "headers": {"Host": "here", "Content-Type": "application/json", "Content-Length": "8"},
            "body": '{"a": 1}',
            "json": {"a": 1},
        },
    )


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_every_usual_method_is_answered(server: TcpServer, method: str) -> None:
    status, said = request(server, f"{method} / HTTP/1.1\r\n\r\n".encode())
    assert (status, said["method"], said["body"], said["json"]) == (200, method, "", None)


def test_head_has_no_body(server: TcpServer) -> None:
    with connect(server) as client:
        client.sendall(b"HEAD / HTTP/1.1\r\nConnection: close\r\n\r\n")
        text = read_all(client)
    assert text.startswith(b"HTTP/1.1 200 OK\r\n")
    assert text.endswith(b"\r\n\r\n")


def test_a_connection_is_kept_alive_until_the_client_says_close(server: TcpServer) -> None:
    with connect(server) as client:
        for path in ("/1", "/2"):
            client.sendall(f"GET {path} HTTP/1.1\r\n\r\n".encode())
            assert answer(client)[1]["path"] == path
        client.sendall(b"GET /3 HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert answer(client)[1]["path"] == "/3"
        assert client.recv(1) == b""
    assert len(server.connections) == 1


def test_requests_may_come_in_a_row_and_in_pieces(server: TcpServer) -> None:
    raw = b"GET /1 HTTP/1.1\r\n\r\nPOST /2 HTTP/1.1\r\nContent-Length: 2\r\n\r\nhiGET /3 HTTP/1.1\r\nConnection: close\r\n\r\n"
    with connect(server) as client:
        for byte in raw:
            client.sendall(bytes([byte]))
        text = read_all(client)
    assert [text.count(b'"path": "/%d"' % number) for number in (1, 2, 3)] == [1, 1, 1]


def test_a_chunked_body_is_put_together(server: TcpServer) -> None:
    head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    status, said = request(server, head + b"4\r\nwiki\r\nB;x=y\r\npedia, once\r\n0\r\nTrailer: x\r\n\r\n")
    assert (status, said["body"]) == (200, "wikipedia, once")


@pytest.mark.parametrize(
    "raw",
    [
        b"POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-4\r\nwiki\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nwiki\r\n0\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET / HTTP/x.y\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
)
def test_a_bad_request_is_answered_with_400_and_the_next_one_is_fine(
    lab: NetLab, server: TcpServer, raw: bytes
) -> None:
    with connect(server) as client:
        client.sendall(raw)
        assert b"400" in read_all(client)
    assert request(server, b"GET / HTTP/1.1\r\n\r\n")[0] == 200
    assert lab.errors() == []


def test_json_that_is_none_is_text(server: TcpServer) -> None:
    for text in ("{", "[" * 100_000, "\xff"):
        body = text.encode("latin-1")
        raw = b"POST / HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
            len(body),
            body,
        )
        status, said = request(server, raw)
        assert (status, said["json"]) == (200, None)


@pytest.mark.parametrize(
    "raw", [b"GE", b"GET / HTTP/1.1\r\nHost:", b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf"]
)
@pytest.mark.parametrize("leave", [socket.socket.close, leave_by_reset])
def test_a_client_that_leaves_in_the_middle_is_no_error(
    lab: NetLab, server: TcpServer, raw: bytes, leave: Any
) -> None:
    client = connect(server)
    client.sendall(raw)
    lab.wait_for(lambda: total(server, "to_server") == len(raw))
    leave(client)
    lab.wait_for(lambda: not server._threads[0].thread.is_alive())
    assert lab.errors() == []


def test_a_body_that_is_promised_and_never_comes_takes_no_memory(lab: NetLab, server: TcpServer) -> None:
    with connect(server) as client:
        client.sendall(b"POST / HTTP/1.1\r\nContent-Length: 999999999999\r\n\r\nx")
    lab.wait_for(lambda: server.connections and server.connections[0].notes)
    assert "left after 1 bytes of a body; expected 999999999999" in server.connections[0].notes[0]


def test_a_client_that_asks_before_it_sends_is_told_to_go_on(server: TcpServer) -> None:
    with connect(server) as client:
        client.sendall(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 100 Continue")
        client.sendall(b"hi")
        assert answer(client)[1]["body"] == "hi"
