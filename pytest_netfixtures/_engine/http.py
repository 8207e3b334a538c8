"""A small HTTP server that echoes requests as JSON.

Law: HTTP is the stdlib's work; here is only what the answer says. It is for tests of transport: for routes, matchers and
expectations put pytest-httpserver behind a proxy.
"""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from .connection import ServerConnection
from .servers import TcpServer

__all__ = ["HttpEcho"]


class _Echo(BaseHTTPRequestHandler):
    """Answers every request with what it was."""

    protocol_version = "HTTP/1.1"
    server_version = "netfixtures"
    sys_version = ""

    def _echo(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        text = json.dumps(self._described(body), indent=2).encode() + b"\n"
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _echo

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
        except ValueError:
            return None

    def log_message(self, format: str, *args: object) -> None:
        """The record says it all."""


def _serve(connection: ServerConnection) -> None:
    _Echo(connection, connection.peer, None)  # type: ignore[arg-type]


class HttpEcho(TcpServer):
    """HTTP/1.1 with keep-alive; answers 200 with method, path, query, headers, body and JSON of the request as JSON."""

    kind = "http_echo"

    def __init__(
        self, scope: Any, *, host: str = "127.0.0.1", port: int = 0, name: str | None = None
    ) -> None:
        super().__init__(scope, _serve, host=host, port=port, name=name)

    @property
    def url(self) -> str:
        """`http://host:port`, without a slash at the end."""
        return "http" + super().url.removeprefix("tcp")
