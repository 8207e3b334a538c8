"""Code that other people wrote for sockets: asyncio's streams, telnet-like dialogues, smtplib, socketserver's handlers.

Clients are the stdlib's; handlers are those that exist and were written for a `socket.socket`.
"""

from __future__ import annotations

import asyncio
import smtplib
import socketserver
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_netfixtures import NetLab, ServerConnection


@pytest.fixture
def lab() -> Iterator[NetLab]:
    with NetLab() as lab:
        yield lab


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_asyncio_streams_against_an_echo(lab: NetLab, host: str) -> None:
    server = lab.tcp_echo(b"welcome\n", host=host)

    async def main() -> None:
        reader, writer = await asyncio.open_connection(*server.address)
        assert await reader.readline() == b"welcome\n"
        for size in (1, 1000, 1_000_000):
            data = bytes(size)
            writer.write(data)
            got, _ = await asyncio.gather(reader.readexactly(size), writer.drain())
            assert got == data
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()

    asyncio.run(main())


def test_a_hundred_asyncio_clients_at_once(lab: NetLab) -> None:
    server = lab.tcp_server(lambda connection: connection.send(connection.readline()[::-1]))

    async def ask(number: int) -> bytes:
        reader, writer = await asyncio.open_connection(*server.address)
        writer.write(b"%d\n" % number)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    async def main() -> list[bytes]:
        return await asyncio.gather(*(ask(number) for number in range(100)))

    assert asyncio.run(main()) == [(b"%d\n" % number)[::-1] for number in range(100)]
    assert len(server.connections) == 100


def test_smtplib_against_a_scripted_server(lab: NetLab) -> None:
    def handler(connection: ServerConnection) -> bytes:
        connection.send(b"220 here\r\n")
        for command, answer in (
            (b"ehlo localhost", b"250-here\r\n250 8BITMIME"),
            (b"mail from:<me@example.org>", b"250 ok"),
            (b"rcpt to:<you@example.org>", b"250 ok"),
            (b"data", b"354 go on"),
        ):
            assert connection.readline().lower() == command + b"\r\n"  # newer Pythons say it in capitals
            connection.send(answer + b"\r\n")
        message = connection.recv_until(b"\r\n.\r\n")
        connection.send(b"250 taken\r\n")
        assert connection.readline().lower() == b"quit\r\n"
        connection.send(b"221 bye\r\n")
        return message

    server = lab.tcp_server(handler)
    with smtplib.SMTP(*server.address, local_hostname="localhost", timeout=30) as client:
        client.sendmail("me@example.org", ["you@example.org"], b"Subject: hi\r\n\r\nbody\r\n")
    lab.wait_for(lambda: server.results[0] is not None)
    assert server.results == [b"Subject: hi\r\n\r\nbody\r\n.\r\n"]


class Shouter(socketserver.StreamRequestHandler):
    """As in the documentation of socketserver, line by line."""

    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line.upper())


class Answerer(socketserver.BaseRequestHandler):
    """As in the documentation of socketserver, with the socket's own calls."""

    def handle(self) -> None:
        self.request.settimeout(30)
        while data := self.request.recv(1024).strip():
            self.request.sendall(data.upper() + b"\n")


@pytest.mark.parametrize("kind", [Shouter, Answerer])
def test_handlers_of_socketserver_run_on_our_connection(
    lab: NetLab, kind: type[socketserver.BaseRequestHandler]
) -> None:
    def handler(connection: Any) -> None:
        kind(connection, connection.getpeername(), connection.server)

    server = lab.tcp_server(handler)

    async def main() -> None:
        reader, writer = await asyncio.open_connection(*server.address)
        for word in (b"one", b"two"):
            writer.write(word + b"\n")
            assert await reader.readline() == word.upper() + b"\n"
        writer.close()
        await writer.wait_closed()

    asyncio.run(main())


def test_a_callback_of_a_client_may_stop_and_start_its_server(lab: NetLab) -> None:
    server = lab.tcp_echo()

    class Client(asyncio.Protocol):
        def __init__(self) -> None:
            self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def data_received(self, data: bytes) -> None:
            server.stop()
            server.start()

        def connection_lost(self, exc: Exception | None) -> None:
            self.lost.set_result(None)

    async def main() -> None:
        for _ in range(10):
            transport, client = await asyncio.get_running_loop().create_connection(Client, *server.address)
            transport.write(b"x")
            await client.lost

    asyncio.run(main())
