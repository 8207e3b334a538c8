"""A small HTTP server that echoes requests as JSON.

Law: HTTP is the stdlib's work; here is only what the answer says. It is for tests of transport: for routes, matchers and
expectations put pytest-httpserver behind a proxy.
"""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from .._errors import ConnectionEnded
from .connection import ServerConnection
from .scope import Scope
from .servers import TcpServer

if TYPE_CHECKING:
    import ssl

    from .authority import Tls

__all__ = ["HttpEcho"]


class _Echo(BaseHTTPRequestHandler):
    """Answers every request with what it was."""

    protocol_version = "HTTP/1.1"
    server_version = "netfixtures"
    sys_version = ""

    def _echo(self) -> None:
        try:
            text = json.dumps(self._described(self._body()), indent=2).encode() + b"\n"
        except (ValueError, RecursionError) as error:
            self.send_error(400, explain=str(error))
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _echo

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return b"".join(iter(self._chunk, b""))
        length = self.headers.get("Content-Length") or "0"
        if not (length.isascii() and length.isdigit()):
            raise ValueError(f"Content-Length is {length!r}; expected a number")
        return self._exactly(int(length))

    def _chunk(self) -> bytes:
        """One chunk of a body; `b""` after the last and its trailers."""
        size = _chunk_size(self.rfile.readline(1024))
        data = self._exactly(size)
        while (line := self.rfile.readline(65536)) != b"\r\n":
            if size or not line:
                raise ValueError("a chunk does not end where its size says")
        return data

    def _exactly(self, size: int) -> bytes:
        parts, missing = [], size
        while missing and (part := self.rfile.read(min(missing, 1 << 20))):
            parts.append(part)
            missing -= len(part)
        if missing:
            raise ConnectionEnded(
                f"the client left after {size - missing} bytes of a body; expected {size}: it closed too early"
            )
        return b"".join(parts)

    def _described(self, body: bytes) -> dict[str, Any]:
        url = urlsplit(self.path)
        return {
            "method": self.command,
            "path": url.path,
            "query": parse_qs(url.query, keep_blank_values=True),
            "headers": dict(self.headers.items()),
            "body": body.decode("utf-8", "backslashreplace"),
            "json": self._json(body),
        }

    def _json(self, body: bytes) -> Any:
        if "json" not in self.headers.get("Content-Type", ""):
            return None
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            return None

    def log_message(self, format: str, *args: object) -> None:
        """The record says it all."""


def _chunk_size(line: bytes) -> int:
    digits = line.split(b";")[0].strip()
    if not digits or digits.strip(b"0123456789abcdefABCDEF"):
        raise ValueError(f"the size of a chunk is {digits!r}; expected hexadecimal digits")
    return int(digits, 16)


def _serve(connection: ServerConnection) -> None:
    _Echo(connection, connection.peer, None)  # type: ignore[arg-type]


class HttpEcho(TcpServer):
    """HTTP/1.1 with keep-alive; answers 200 with method, path, query, headers, body and JSON of the request as JSON.

    With `tls=` its `url` says https: `requests.get(server.url, verify=lab.ca.pem_path)`.
    """

    kind = "http_echo"
    scheme = "http"

    def __init__(
        self,
        scope: Scope,
        *,
        tls: Tls | ssl.SSLContext | bool | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        name: str | None = None,
    ) -> None:
        super().__init__(scope, _serve, tls=tls, host=host, port=port, name=name)

    def _secure(self, tls: Tls | ssl.SSLContext | bool) -> None:
        super()._secure(tls)
        self.scheme = "https"
