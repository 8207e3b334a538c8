"""TLS that begins in the middle of a stream: SMTP's STARTTLS, PostgreSQL's SSLRequest."""

from __future__ import annotations

import smtplib
import ssl
import threading
from typing import Any

import pytest
from engine.server_tools import connect, dialogue, taken_error
from engine.tls_tools import ByHand

from pytest_netfixtures import ConnectionEnded, NetLab, NetlabError, ServerConnection, Tls, WaitTimeout
from pytest_netfixtures._wire.entries import Sent


def smtp(conn: ServerConnection) -> None:
    """A mail server that speaks in clear until it is asked not to."""
    conn.send(b"220 mail.test ready\r\n")
    while line := conn.readline():
        verb = line.split()[0].upper()
        if verb == b"EHLO":
            conn.send(b"250-mail.test\r\n250 STARTTLS\r\n")
        elif verb == b"STARTTLS":
            conn.send(b"220 go ahead\r\n")
            conn.start_tls(Tls(names=("mail.test", "127.0.0.1")))
        elif verb == b"QUIT":
            conn.send(b"221 bye\r\n")
            return


def test_smtplib_goes_under_tls() -> None:
    with NetLab() as lab:
        server = lab.tcp_server(smtp)
        with smtplib.SMTP(*server.address, timeout=30) as client:
            client.starttls(context=lab.ca.client_context())
            assert client.ehlo()[0] == 250
            assert isinstance(client.sock, ssl.SSLSocket)
        connection = server.connections[0]
        sent = connection.to_server.sent.split(b"\r\n")
        assert [line.split()[0].upper() for line in sent if line] == [b"EHLO", b"STARTTLS", b"EHLO", b"QUIT"]
        assert connection.to_client.sent.startswith(b"220 mail.test ready\r\n250-mail.test")
        assert connection.tls is not None and connection.tls.version == "TLSv1.3"


def test_what_the_client_sent_before_we_asked_belongs_to_the_handshake() -> None:
    with NetLab() as lab, dialogue(lab) as (sock, conn):
        client = ByHand(sock, lab.ca.client_context())
        sock.sendall(b"\x00\x00\x00\x08\x04\xd2\x16\x2f")
        conn.recv_exactly(8)
        with pytest.raises(ssl.SSLWantReadError):
            client.tls.do_handshake()
        client.flush()
        lab.wait_for(lambda: lab.traffic.to_server.sent_bytes > 8)  # the ClientHello lies in the inbox
        before = lab.traffic.to_server
        conn.send(b"S")
        assert sock.recv(1) == b"S"
        conn._go_under_tls(True)
        client.shake_hands()
        client.send(b"startup")
        assert conn.recv_exactly(7) == b"startup"
        conn.send(b"ok")
        assert client.recv() == b"ok"
        assert lab.traffic.to_server.sent == b"\x00\x00\x00\x08\x04\xd2\x16\x2fstartup"
        assert lab.traffic.to_server.delivered == b"\x00\x00\x00\x08\x04\xd2\x16\x2fstartup"
        assert len(before.sent) == before.sent_bytes > 8  # a snapshot never changes
        sizes = [entry.size for entry in lab.recorder.story() if isinstance(entry, Sent)]
        assert sum(sizes) == 8 + 1 + 7 + 2 and 0 not in sizes


def test_a_handshake_that_fails_says_why() -> None:
    reasons: list[str] = []

    def handler(conn: ServerConnection) -> None:
        conn.send(b"go")
        try:
            conn.start_tls()
        except ConnectionEnded as error:
            reasons.append(str(error))

    with NetLab() as lab:
        server = lab.tcp_server(handler)
        with connect(server) as sock:
            assert sock.recv(2) == b"go"
            sock.sendall(b"no TLS at all\r\n")
            while sock.recv(4096):
                pass
        lab.wait_for(lambda: reasons)
        assert "the TLS handshake of <connection 1 of tcp_server> failed" in reasons[0]
        assert lab.errors() == []


def test_a_client_that_leaves_instead_ends_the_wait() -> None:
    def handler(conn: ServerConnection) -> None:
        conn.start_tls()

    with NetLab(strict=True) as lab:
        server = lab.tcp_server(handler)
        connect(server).close()
        error = taken_error(lab)
        assert isinstance(error, ConnectionEnded)
        assert "the client left before it was done" in str(error)


def test_a_client_that_does_not_begin_is_a_timeout() -> None:
    with NetLab() as lab, dialogue(lab) as (_, conn):
        with pytest.raises(WaitTimeout, match="expected the client's TLS handshake"):
            conn.start_tls(within=0.05)


def test_a_thread_that_sends_meanwhile_waits_for_the_handshake_and_does_not_spin() -> None:
    with NetLab() as lab, dialogue(lab) as (sock, conn):
        with pytest.raises(WaitTimeout):
            conn.start_tls(within=0)
        sender = threading.Thread(target=conn.send, args=(b"under TLS",))
        sender.start()
        with pytest.raises(WaitTimeout):
            lab.wait_for(lambda: conn.rooms, within=0.1)
        client = ByHand(sock, lab.ca.client_context())
        client.shake_hands()
        assert client.recv() == b"under TLS"
        sender.join()


def test_it_begins_once() -> None:
    with NetLab() as lab:
        server = lab.tcp_server(tls=True)
        with connect(server) as sock:
            ByHand(sock, lab.ca.client_context()).shake_hands()
            with pytest.raises(NetlabError, match="under TLS already"):
                server.accept().start_tls()


@pytest.mark.parametrize("wrong", [False, None])
def test_no_tls_is_nothing_to_start(wrong: Any) -> None:
    with NetLab() as lab, dialogue(lab) as (_, conn):
        with pytest.raises(ValueError, match="tls is"):
            conn.start_tls(wrong)


def test_a_wrong_deadline_leaves_it_plain() -> None:
    with NetLab() as lab, dialogue(lab) as (client, conn):
        with pytest.raises(ValueError, match="within is -1"):
            conn.start_tls(within=-1)
        client.sendall(b"still plain")
        assert conn.recv_exactly(11) == b"still plain"


def test_an_ended_connection_starts_no_tls() -> None:
    with NetLab() as lab, dialogue(lab) as (_, conn):
        conn.close()
        with pytest.raises(ConnectionEnded):
            conn.start_tls()


@pytest.mark.asyncio
async def test_it_begins_beside_an_event_loop() -> None:
    import asyncio

    with NetLab() as lab:
        server = lab.tcp_server()
        reader, writer = await asyncio.open_connection(*server.address)
        conn = await server.accept_async()
        upgrade = asyncio.create_task(conn.start_tls_async())
        client = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = lab.ca.client_context().wrap_bio(*client, server_hostname="localhost")
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                writer.write(client[1].read())
                client[0].write(await reader.read(65536))
        writer.write(client[1].read())
        await upgrade
        await conn.send_async(b"under TLS")
        client[0].write(await reader.read(65536))
        assert tls.read(100) == b"under TLS"
        writer.close()
