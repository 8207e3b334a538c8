"""Back-pressure: what a proxy has read ahead is bounded, nothing is lost or reordered, and waiting costs no processor time."""

from __future__ import annotations

import hashlib
import socket
import threading
import time

import pytest
from engine.proxy_tools import MIB, Client, connect, ends, in_front_of, pattern, pours, reset, take

from pytest_netfixtures import Delay, Drop, NetLab, Slice, Stall
from pytest_netfixtures._engine.connection import ServerConnection
from pytest_netfixtures._engine.loop import READ_SIZE
from pytest_netfixtures._engine.tcp_proxy import TcpProxy

QUEUE = 1 << 20
BLOCK = pattern(8 * MIB)
BLOCKS = 4


def pours_blocks(conn: ServerConnection) -> None:
    for _ in range(BLOCKS):
        conn.send(BLOCK)


def drain(client: Client, size: int = 1 << 18) -> tuple[int, str]:
    """Reads to the end: how many bytes, and their digest."""
    digest, count = hashlib.sha256(), 0
    while data := client.recv(size):
        digest.update(data)
        count += len(data)
    return count, digest.hexdigest()


def all_of_it() -> tuple[int, str]:
    return len(BLOCK) * BLOCKS, hashlib.sha256(BLOCK * BLOCKS).hexdigest()


def most_read_ahead(proxy: TcpProxy) -> int:
    """The most bytes that were read and not yet handed over, at any moment."""
    ahead, most = 0, 0
    for event in proxy.traffic.to_client.events:
        ahead += event.size if event.kind == "sent" else -event.size
        most = max(most, ahead)
    return most


def read_ahead(proxy: TcpProxy) -> int:
    """The same, now."""
    flows = [connection.to_client for connection in proxy.connections]
    return sum(flow.sent_bytes - flow.delivered_bytes for flow in flows)


def bounded(proxy: TcpProxy) -> bool:
    return QUEUE < most_read_ahead(proxy) <= QUEUE + READ_SIZE


def test_32_mebibytes_behind_a_stall_wait_at_the_server() -> None:
    with NetLab(must_fire=False) as lab:
        proxy = in_front_of(lab, pours_blocks)
        with connect(proxy) as client:
            with proxy.fault(to_client=Stall()):
                lab.wait_for(lambda: read_ahead(proxy) > QUEUE)
            assert drain(client) == all_of_it()
        assert bounded(proxy)


def test_32_mebibytes_through_a_delay_are_all_there() -> None:
    with NetLab(must_fire=False) as lab:
        proxy = in_front_of(lab, pours_blocks, to_client=Delay(0.005))
        with connect(proxy) as client:
            assert drain(client) == all_of_it()
        assert most_read_ahead(proxy) <= QUEUE + READ_SIZE


def test_32_mebibytes_to_a_slow_reader_are_all_there() -> None:
    with NetLab(must_fire=False) as lab:
        proxy = in_front_of(lab, pours_blocks)
        with connect(proxy, small=True) as client:
            lab.wait_for(lambda: read_ahead(proxy) > QUEUE)
            assert drain(client, 60_000) == all_of_it()
        assert bounded(proxy)


def test_a_small_queue_bounds_what_is_read_ahead_too() -> None:
    data = pattern(4 * MIB)
    with NetLab(must_fire=False) as lab:
        proxy = in_front_of(lab, pours(data), queue_bytes=1, to_client=Delay(0.001))
        with connect(proxy) as client:
            assert drain(client) == (len(data), hashlib.sha256(data).hexdigest())
        assert most_read_ahead(proxy) <= 1 + READ_SIZE


def test_32_mebibytes_to_the_server_wait_for_it() -> None:
    got: list[tuple[int, str]] = []
    go = threading.Event()

    def read_late(conn: ServerConnection) -> None:
        conn.hold(go)
        digest, count = hashlib.sha256(), 0
        while data := conn.recv(1 << 18):
            digest.update(data)
            count += len(data)
        got.append((count, digest.hexdigest()))

    with NetLab(must_fire=False) as lab:
        proxy = in_front_of(lab, read_late)
        with connect(proxy) as client:
            sender = threading.Thread(target=_send_blocks, args=(client,))
            sender.start()
            lab.wait_for(lambda: _waiting_for_the_server(proxy) > QUEUE)
            go.set()
            sender.join()
            lab.wait_for(lambda: got)
        assert got == [all_of_it()]


def _send_blocks(client: Client) -> None:
    for _ in range(BLOCKS):
        client.sendall(BLOCK)
    client.shutdown(socket.SHUT_WR)


def _waiting_for_the_server(proxy: TcpProxy) -> int:
    return sum(c.to_server.sent_bytes - c.to_server.delivered_bytes for c in proxy.connections)


def test_a_drop_never_pauses_the_sender() -> None:
    with NetLab(must_fire=False) as lab:
        proxy = in_front_of(lab, pours_blocks, to_client=Drop(after=10))
        with connect(proxy) as client:
            assert take(client, 10) == BLOCK[:10]
            lab.wait_for(lambda: proxy.traffic.to_client.sent_bytes == len(BLOCK) * BLOCKS, within=20)
            assert proxy.traffic.to_client.delivered == BLOCK[:10]


def test_small_pieces_keep_order_and_bound() -> None:
    data = pattern(2 * MIB)
    with NetLab(must_fire=False) as lab:
        proxy = in_front_of(lab, pours(data), to_client=[Slice(1000), Delay(0.001)])
        with connect(proxy) as client:
            assert drain(client) == (len(data), hashlib.sha256(data).hexdigest())
        assert most_read_ahead(proxy) <= QUEUE + READ_SIZE


def processor_seconds_while_nothing_happens(client: Client) -> tuple[float, float]:
    """Processor time and time that pass while a client waits in vain."""
    client.settimeout(0.4)
    began, used = time.monotonic(), time.process_time()
    with pytest.raises(TimeoutError):
        client.recv(1)
    return time.process_time() - used, time.monotonic() - began


def test_a_reset_is_noticed_while_reading_rests_and_nothing_spins() -> None:
    with NetLab(must_fire=False) as lab:
        server = lab.tcp_server()
        proxy = lab.tcp_proxy(server, to_server=Stall())
        with connect(proxy) as client, connect(proxy) as bystander:
            server.accept()
            _send_until_it_would_block(client)
            lab.wait_for(lambda: _waiting_for_the_server(proxy) > QUEUE)
            reset(client)
            lab.wait_for(lambda: ends(proxy)["client"] == "RST")
            used, passed = processor_seconds_while_nothing_happens(bystander)
            assert used < passed / 2


def test_a_connection_that_is_over_on_both_sides_and_not_read_does_not_spin() -> None:
    with NetLab(must_fire=False) as lab:
        server = lab.tcp_server()
        proxy = lab.tcp_proxy(server)
        with connect(proxy) as client, connect(proxy) as bystander:
            server.accept().half_close()
            assert client.recv(1) == b""
            with proxy.fault(to_server=Stall()):
                _send_until_it_would_block(client)
                lab.wait_for(lambda: _waiting_for_the_server(proxy) > QUEUE)
                client.shutdown(socket.SHUT_WR)
                used, passed = processor_seconds_while_nothing_happens(bystander)
                assert used < passed / 2
                assert ends(proxy)["client"] is None
            # What was not read is still there: nothing is lost by resting.
            lab.wait_for(lambda: proxy.traffic.connection(1).to_server.delivered_bytes > QUEUE)


def _send_until_it_would_block(client: Client) -> None:
    client.settimeout(0.2)
    try:
        for _ in range(64):
            client.sendall(BLOCK[:MIB])
    except TimeoutError:
        client.settimeout(10)
