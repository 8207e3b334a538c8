"""Bytes under TLS: all of them, in order, from any thread, with their cipher text and keys in the journal."""

from __future__ import annotations

import ssl
import threading
from typing import Any

import pytest
from engine.server_tools import PATIENCE, pattern, small_client
from engine.tls_tools import ByHand, by_hand, entries_of, secured

from pytest_netfixtures import NetLab, ServerConnection
from pytest_netfixtures._wire.entries import Delivered, Entry, Sealed, Secret, Sent, TlsOpened, TlsStarted

VERSIONS = ("TLSv1.2", "TLSv1.3")
LARGE = 5_000_000


@pytest.mark.parametrize("version", VERSIONS)
def test_five_megabytes_each_way_byte_for_byte(version: Any) -> None:
    data = pattern(LARGE)
    with NetLab(record_bytes=LARGE) as lab:
        server = lab.tcp_echo(tls=True)
        with by_hand(lab, server, maximum=version) as client:

            def pour() -> None:
                for start in range(0, LARGE, 100_001):
                    client.send(data[start : start + 100_001])
                client.say_goodbye()

            sender = threading.Thread(target=pour)
            sender.start()
            back = client.read_all()
            sender.join()
        assert back == (data, True)
        assert server.traffic.to_server.sent == data == server.traffic.to_client.delivered


def test_a_handler_sends_from_its_thread_while_the_engine_reads() -> None:
    data = pattern(2_000_000)
    got: list[bytes] = []

    def handler(conn: ServerConnection) -> None:
        for start in range(0, len(data), 70_001):
            conn.send(data[start : start + 70_001])
        conn.half_close()
        got.append(conn.recv_to_end(within=PATIENCE))

    with NetLab() as lab:
        server = lab.tcp_server(handler, tls=True)
        with by_hand(lab, server) as client:
            for start in range(0, len(data), 50_000):
                client.send(data[start : start + 50_000])
            client.say_goodbye()
            assert client.read_all() == (data, True)
        lab.wait_for(lambda: got == [data], within=PATIENCE)
        assert server.traffic.to_client.sent == data == server.traffic.to_client.delivered


def test_send_returns_when_the_kernel_has_all_cipher_text() -> None:
    data = pattern(3_000_000)
    with NetLab() as lab:
        server = lab.tcp_server(tls=True)
        with small_client(server) as sock:
            client = ByHand(sock, lab.ca.client_context())
            client.shake_hands()
            conn = server.accept()
            conn.settimeout(0.05)
            with pytest.raises(TimeoutError):
                conn.send(data)
            taken = server.traffic.to_client.sent
            conn.settimeout(None)
            conn.close()
            back, clean = client.read_all()
        assert clean
        assert data.startswith(back) and back.startswith(taken)
        assert server.traffic.to_client.delivered == back


def test_an_inbox_that_is_full_holds_the_client_up_and_loses_nothing() -> None:
    data = pattern(4_000_000)
    with NetLab() as lab:
        server = lab.tcp_server(tls=True)
        with secured(lab, server) as client:
            sender = threading.Thread(target=client.sendall, args=(data,))
            sender.start()
            conn = server.accept()
            lab.wait_for(lambda: not conn._link.reading)
            assert conn.recv_exactly(len(data), within=PATIENCE) == data
            sender.join()


def test_what_comes_with_the_last_message_of_the_handshake_is_plain_text() -> None:
    with NetLab() as lab:
        server = lab.tcp_server(tls=True)
        with by_hand(lab, server) as client:  # the client may speak right behind its own Finished
            client.sock.sendall(client.seal(b"at once"))
            assert server.accept().recv_exactly(7) == b"at once"


@pytest.mark.parametrize("version", VERSIONS)
def test_keys_are_written_down_before_the_bytes_that_need_them(version: Any) -> None:
    with NetLab() as lab:
        seen: list[Entry] = entries_of(lab, TlsStarted, Sealed, Secret, TlsOpened, Sent, Delivered)
        server = lab.tcp_echo(tls=True)
        with secured(lab, server, context=lab.ca.client_context(maximum=version)) as client:
            client.sendall(b"ping")
            client.recv(4)
        lab.wait_for(lambda: server.traffic.to_client.delivered)
        kinds = [type(entry) for entry in seen]
        first_flight = next(
            n for n, entry in enumerate(seen) if isinstance(entry, Sealed) and entry.by == "us"
        )
        assert kinds[0] is TlsStarted
        assert kinds.index(Secret) < (first_flight if version == "TLSv1.3" else kinds.index(TlsOpened))
        assert kinds.index(TlsOpened) < kinds.index(Sent)
        keys = "".join(entry.lines for entry in seen if isinstance(entry, Secret)).splitlines()
        names = {line.split()[0] for line in keys}
        if version == "TLSv1.2":
            assert names == {"CLIENT_RANDOM"}
        else:
            assert {"CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"} < names
        assert {line.split()[1] for line in keys} == {keys[0].split()[1]}


def test_all_cipher_text_is_in_the_journal() -> None:
    with NetLab() as lab:
        wire: dict[str, bytearray] = {"peer": bytearray(), "us": bytearray()}

        def note(entry: Entry, data: bytes | None) -> None:
            if isinstance(entry, Sealed):
                assert data is not None and entry.size == len(data)
                wire[entry.by] += data

        lab.add_sink(note)
        server = lab.tcp_echo(tls=True)
        with by_hand(lab, server) as client:
            client.send(b"x" * 100_000)
            client.say_goodbye()
            back = client.read_all()
        assert back == (b"x" * 100_000, True)
        assert all(len(data) > 100_000 for data in wire.values())
        assert wire["peer"][0] == wire["us"][0] == 22  # both open with a handshake record
        assert b"xxxxxxxx" not in wire["us"] + wire["peer"]


@pytest.mark.parametrize("own", [True, False], ids=["the user's own key log", "a context without one"])
def test_a_key_log_of_the_users_is_read_and_not_replaced(own: bool, tmp_path: Any) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    path = tmp_path / "keys.log"
    if own:
        context.keylog_filename = str(path)
    with NetLab() as lab:
        issued = lab.ca.issue()
        context.load_cert_chain(issued.cert_path, issued.key_path)
        seen = entries_of(lab, Secret)
        server = lab.tcp_echo(tls=context)
        with secured(lab, server) as client:
            client.sendall(b"x")
            client.recv(1)
        told = "".join(entry.lines for entry in seen)
        assert "SERVER_HANDSHAKE_TRAFFIC_SECRET" in told
        if own:
            assert context.keylog_filename == str(path)
            assert told in path.read_text()


def test_each_connection_gets_its_own_keys() -> None:
    with NetLab() as lab:
        seen = entries_of(lab, Secret)
        server = lab.tcp_echo(tls=True)
        for _ in range(3):
            with secured(lab, server) as client:
                client.sendall(b"x")
                client.recv(1)
        randoms = {
            number: {line.split()[1] for e in seen if e.connection == number for line in e.lines.splitlines()}
            for number in {entry.connection for entry in seen}
        }
        assert len(randoms) == 3 and all(len(each) == 1 for each in randoms.values())
        assert len(set.union(*randoms.values())) == 3
