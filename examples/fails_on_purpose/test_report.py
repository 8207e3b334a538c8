"""This test fails, and is meant to: it shows what a failing test prints, and what it leaves for Wireshark.

A connection is reset ten bytes into the body of a reply. Run it with `pytest examples/fails_on_purpose --net-capture`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection

from pytest_netfixtures import NetLab, Reset, ServerConnection, TcpProxy

REPORT = b"day,visits\nmonday,7\ntuesday,9\n"


def reports(conn: ServerConnection) -> None:
    """A small HTTP server with one page; it keeps the connection open for the next request."""
    while conn.recv_until(b"\r\n\r\n"):
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(REPORT), REPORT))


def test_the_report_is_whole(netlab: NetLab, fault_proxy: Callable[..., TcpProxy]) -> None:
    server = netlab.tcp_server(reports, name="reports")
    proxy = fault_proxy(server, to_client=Reset(after=10).when(b"\r\n\r\n"), name="proxy")
    with closing(HTTPConnection(proxy.host, proxy.port, timeout=30)) as client:
        client.request("GET", "/report.csv")
        assert client.getresponse().read() == REPORT
