"""How connections with TLS end: close_notify, FIN without it, RST; each seen by both sides as it was."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from engine.server_tools import leave_by_reset
from engine.tls_tools import by_hand, entries_of, secured

from pytest_netfixtures import ConnectionEnded, NetLab, ServerConnection
from pytest_netfixtures._wire.entries import Entry, LegEnded, LegOpened, TlsOpened, TlsStarted

VERSIONS = ("TLSv1.2", "TLSv1.3")
RAGGED = ("the client ended without close_notify",)


def both_ended(server: Any) -> bool:
    connection = server.connections[0]
    return None not in connection.ended.values()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_that_says_goodbye_still_hears_the_answer(version: Any) -> None:
    def handler(conn: ServerConnection) -> None:
        request = conn.recv_to_end()
        conn.send(b"answer to " + request)

    with NetLab() as lab:
        server = lab.tcp_server(handler, tls=True)
        with by_hand(lab, server, maximum=version) as client:
            client.send(b"request")
            client.say_goodbye()
            assert client.recv() == b"answer to request"
            assert client.read_all() == (b"", True)
            assert server.connections[0].ended["client"] is None  # there was no FIN yet
        lab.wait_for(lambda: both_ended(server))
        assert dict(server.connections[0].ended) == {"client": "FIN", "server": "FIN"}
        assert server.connections[0].notes == ()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_server_that_says_goodbye_still_hears_the_client(version: Any) -> None:
    with NetLab() as lab:
        server = lab.tcp_server(tls=True)
        with by_hand(lab, server, maximum=version) as client:
            conn = server.accept()
            conn.send(b"all")
            conn.half_close()
            assert client.read_all() == (b"all", True)
            client.send(b"late" * 10_000)
            client.say_goodbye()
            assert conn.recv_to_end() == b"late" * 10_000


def test_a_fin_without_close_notify_is_an_end_and_is_noted() -> None:
    with NetLab() as lab:
        server = lab.tcp_server(tls=True)
        with by_hand(lab, server) as client:
            client.send(b"last")
            client.sock.shutdown(socket.SHUT_WR)
            conn = server.accept()
            assert conn.recv_to_end() == b"last"
            assert not conn._link.clean_end
            conn.send(b"still there")
            assert client.recv() == b"still there"
            conn.close()
            assert client.read_all() == (b"", True)
        lab.wait_for(lambda: both_ended(server))
        assert server.connections[0].notes == RAGGED


def test_a_record_that_is_torn_by_the_fin_is_no_plain_text() -> None:
    with NetLab() as lab:
        server = lab.tcp_server(tls=True)
        with by_hand(lab, server) as client:
            whole, torn = client.seal(b"whole"), client.seal(b"torn" * 100)
            client.sock.sendall(whole + torn[:-1])
            client.sock.shutdown(socket.SHUT_WR)
            assert server.accept().recv_to_end() == b"whole"
        assert server.traffic.to_server.sent == b"whole"


def test_an_rst_is_met_after_what_came_before_it() -> None:
    with NetLab() as lab:
        server = lab.tcp_server(tls=True)
        with by_hand(lab, server) as client:
            conn = server.accept()
            client.send(b"last")
            lab.wait_for(lambda: server.traffic.to_server.sent == b"last")
            leave_by_reset(client.sock)
        assert conn.recv(10) == b"last"
        with pytest.raises(ConnectionResetError):
            conn.recv_exactly(1)
        assert server.connections[0].ended["client"] == "RST"


@pytest.mark.parametrize("say", ["end", "fin"])
def test_a_goodbye_that_meets_an_rst_tells_of_it_outside_of_the_lock(say: str) -> None:
    with NetLab() as lab:
        server = lab.tcp_server(tls=True)
        with by_hand(lab, server) as client:
            conn, held = server.accept(), []
            lock: Any = conn._lock
            conn.got = lambda *what: held.append(lock._is_owned())  # type: ignore[method-assign]

            client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

            def leave() -> None:
                client.send(b"last")
                leave_by_reset(client.sock)
                conn._link.end("FIN") if say == "end" else conn._link.fin()

            lab._scope.engine.call(leave)  # there nobody has heard of the RST before the goodbye meets it
        assert conn.recv(10) == b"last"
        with pytest.raises(ConnectionResetError):
            conn.recv_exactly(1)
        assert held == [False]
        assert dict(server.connections[0].ended) == {"client": "RST", "server": None}


def test_a_server_resets() -> None:
    with NetLab() as lab:
        server = lab.tcp_server(tls=True)
        with by_hand(lab, server) as client:  # the stdlib's client takes an RST for an end
            conn = server.accept()
            conn.send(b"first")
            conn.reset()
            assert client.recv() == b"first"
            with pytest.raises(ConnectionResetError):
                client.recv()
        assert server.connections[0].ended["server"] == "RST"


@pytest.mark.parametrize("how", ["close", "stop", "cut"])
def test_an_end_of_the_server_is_clean(how: str) -> None:
    with NetLab() as lab:
        server = lab.tcp_server(tls=True)
        with by_hand(lab, server) as client:
            conn = server.accept()
            conn.send(b"bye")
            client.send(b"unread")
            lab.wait_for(lambda: server.traffic.to_server.sent == b"unread")
            conn.close() if how == "close" else getattr(server, how)()
            assert client.read_all() == (b"bye", True)


def test_after_an_end_of_ours_nothing_is_sent() -> None:
    with NetLab() as lab:
        server = lab.tcp_server(tls=True)
        with by_hand(lab, server) as client:
            conn = server.accept()
            conn.half_close()
            with pytest.raises(ConnectionEnded):
                conn.send(b"late")
            assert client.read_all() == (b"", True)


@pytest.mark.parametrize("version", VERSIONS)
def test_bytes_that_are_no_tls_break_it(version: Any) -> None:
    with NetLab() as lab:
        server = lab.tcp_server(tls=True)
        with by_hand(lab, server, maximum=version) as client:
            conn = server.accept()
            client.send(b"good")
            sealed = client.seal(b"bad")
            client.sock.sendall(sealed[:-1] + bytes([sealed[-1] ^ 1]))
            assert conn.recv_exactly(4) == b"good"
            with pytest.raises(ConnectionResetError):
                conn.recv_exactly(1)
            lab.wait_for(lambda: server.connections[0].notes)
            assert server.connections[0].notes[0].startswith("TLS with the client broke: ")
            assert client.sock.recv(4096)  # the alert
            assert client.sock.recv(4096) == b""
        assert server.traffic.to_server.sent == b"good"


def test_a_goodbye_and_all_that_came_with_it_in_one_piece() -> None:
    with NetLab() as lab:
        server = lab.tcp_server(tls=True)
        with by_hand(lab, server) as client:
            data = b"".join(client.seal(bytes([n]) * 3000) for n in range(40))
            client.sock.sendall(data)
            client.say_goodbye()
            client.sock.shutdown(socket.SHUT_WR)
            assert server.accept().recv_to_end() == b"".join(bytes([n]) * 3000 for n in range(40))


def test_a_connection_of_before_is_told_to_a_new_reader_with_its_tls() -> None:
    with NetLab() as lab:
        server = lab.tcp_server(tls=True)
        with secured(lab, server):
            server.accept()
            seen = entries_of(lab, LegOpened, TlsStarted)
            assert [type(entry) for entry in seen] == [LegOpened, TlsStarted]


def test_the_journal_tells_ends_of_tcp_and_the_handshake_in_order() -> None:
    with NetLab() as lab:
        seen: list[Entry] = entries_of(lab, LegOpened, TlsStarted, TlsOpened, LegEnded)
        server = lab.tcp_echo(tls=True)
        with by_hand(lab, server) as client:
            client.say_goodbye()
            assert client.read_all() == (b"", True)
        lab.wait_for(lambda: len(seen) == 5)
        assert [type(entry) for entry in seen] == [LegOpened, TlsStarted, TlsOpened, LegEnded, LegEnded]
        assert [entry.by for entry in seen if isinstance(entry, LegEnded)] == ["us", "peer"]
