"""Flipped, added and replaced bytes over real sockets: exact in both directions, and nobody is kept waiting for ever."""

from __future__ import annotations

import re
import socket
import time

import pytest
from engine.proxy_tools import (
    MIB,
    connect,
    entries,
    in_front_of,
    pattern,
    pieces,
    pours,
    read_to_end,
    take,
    ways_to_chunk,
)
from engine.server_tools import udp_client

from pytest_netfixtures import Corrupt, Fault, Insert, NetLab, Replace, Reset
from pytest_netfixtures._engine.connection import ServerConnection
from pytest_netfixtures._wire.entries import Fired

PATIENT = 5.0
"""Seconds that a possible beginning may wait where the rest is sure to come."""

ROWS: list[tuple[str, Fault, bytes, bytes]] = [
    ("flip", Corrupt(at=[0, 5], mask=0x20), b"abcdefgh", b"AbcdeFgh"),
    ("add", Insert(b"+++", at=4), b"abcdefgh", b"abcd+++efgh"),
    ("add first", Insert(b"+++"), b"abcdefgh", b"+++abcdefgh"),
    ("add last", Insert(b"+++", after=8), b"abcdefgh", b"abcdefgh+++"),
    ("replace", Replace(b"cd", b"-", hold=PATIENT), b"abcdcd", b"ab--"),
    ("replace one", Replace(b"cd", b"-", count=1, hold=PATIENT), b"abcdcdc", b"ab-cdc"),
    (
        "replace a regex",
        Replace(re.compile(rb"<[^>]*>"), b"", hold=PATIENT, window=8),
        b"a<b>c<i>d<",
        b"acd<",
    ),
]


def words(lab: NetLab) -> list[str]:
    """What the journal says that faults did."""
    return [entry.effect for entry in entries(lab, Fired)]


@pytest.mark.parametrize("how", ways_to_chunk())
@pytest.mark.parametrize(
    ("fault", "sent", "got"), [each[1:] for each in ROWS], ids=[each[0] for each in ROWS]
)
def test_what_arrives_is_exact_in_both_directions(fault: Fault, sent: bytes, got: bytes, how: str) -> None:
    requests: list[bytes] = []

    def serve(conn: ServerConnection) -> None:
        requests.append(conn.recv_to_end())
        pours(sent, how)(conn)

    with NetLab() as lab:
        proxy = in_front_of(lab, serve, to_server=fault, to_client=fault)
        with connect(proxy) as client:
            for piece in pieces(sent, how):
                client.sendall(piece)
            client.shutdown(socket.SHUT_WR)
            assert read_to_end(client) == (got, "FIN")
        assert requests == [got]
        assert proxy.fired(fault) == 2  # one connection, in both directions
        assert proxy.traffic.to_client.sent == proxy.traffic.to_server.sent == sent
        assert proxy.traffic.to_client.delivered == proxy.traffic.to_server.delivered == got


def test_the_same_seed_flips_the_same_bits_of_a_stream_however_the_kernel_cuts_it() -> None:
    sent = pattern(MIB)

    def received(how: str, seed: int) -> bytes:
        with NetLab(seed=seed) as lab:
            proxy = in_front_of(lab, pours(sent, how), to_client=Corrupt(0.001))
            with connect(proxy) as client:
                data, end = read_to_end(client)
            assert end == "FIN"
            return data

    first, again, other = received("whole", 1), received("random", 1), received("whole", 2)
    assert first == again != other
    assert len(first) == len(sent)
    flipped = [a ^ b for a, b in zip(sent, first, strict=True) if a != b]
    assert abs(len(flipped) - MIB * 0.001) <= 4 * (MIB * 0.001) ** 0.5
    assert all(bits.bit_count() == 1 for bits in flipped)


def test_a_pattern_is_found_across_two_sends() -> None:
    fault = Replace(b"+PONG", b"-ERR", hold=PATIENT)

    def serve(conn: ServerConnection) -> None:
        for part in (b"+PO", b"NG\r\n"):
            conn.recv_exactly(1)
            conn.send(part)

    with NetLab() as lab:
        proxy = in_front_of(lab, serve, to_client=fault)
        with connect(proxy) as client:
            client.sendall(b"1")
            lab.wait_for(lambda: proxy.traffic.to_client.sent == b"+PO")
            assert proxy.fired(fault) == 0
            client.sendall(b"2")
            assert read_to_end(client) == (b"-ERR\r\n", "FIN")
        assert proxy.fired(fault) == 1
        assert words(lab) == ["changed from byte 0"]


def test_a_peer_that_waits_for_a_possible_beginning_gets_it() -> None:
    fault = Replace(b"+PONG", b"-ERR", hold=0.1)
    sent_at: list[float] = []

    def serve(conn: ServerConnection) -> None:
        sent_at.append(time.monotonic())
        conn.send(b"hello +PO")
        conn.recv_exactly(2)
        conn.send(b"NG")

    with NetLab(must_fire=False) as lab:
        proxy = in_front_of(lab, serve, to_client=fault)
        with connect(proxy) as client:
            assert take(client, 9) == b"hello +PO"
            assert time.monotonic() - sent_at[0] >= 0.1
            client.sendall(b"ok")
            assert read_to_end(client) == (b"NG", "FIN")
        assert proxy.fired(fault) == 0
        assert words(lab) == []
        assert proxy.traffic.connections[0].faults == ()


def test_the_bytes_before_a_possible_beginning_do_not_wait() -> None:
    def serve(conn: ServerConnection) -> None:
        conn.send(b"hello +PO")
        conn.recv_exactly(2)
        conn.send(b"NG")

    with NetLab() as lab:
        proxy = in_front_of(lab, serve, to_client=Replace(b"+PONG", b"-ERR", hold=PATIENT))
        with connect(proxy) as client:
            assert take(client, 6) == b"hello "
            client.sendall(b"ok")
            assert read_to_end(client) == (b"-ERR", "FIN")


@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
def test_a_possible_beginning_arrives_before_the_end(reset: bool) -> None:
    def serve(conn: ServerConnection) -> None:
        conn.send(b"x+PO")
        conn.recv_exactly(1)
        conn.reset() if reset else conn.close()

    with NetLab(must_fire=False) as lab:
        proxy = in_front_of(lab, serve, to_client=Replace(b"+PONG", b"-ERR", hold=60))
        with connect(proxy) as client:
            assert take(client, 1) == b"x"
            client.sendall(b"y")
            assert read_to_end(client) == (b"+PO", "RST" if reset else "FIN")


def test_what_is_added_and_lifted_while_a_connection_is_open_acts_from_then_and_until_then() -> None:
    with NetLab() as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo())
        with connect(proxy) as client:
            assert exchange(client, b"abc", 3) == b"abc"
            with proxy.fault(to_client=Replace(b"b", b"--")):
                assert exchange(client, b"abc", 4) == b"a--c"
            with proxy.fault(to_server=Corrupt(at=1, mask=0x20)):
                assert exchange(client, b"abc", 3) == b"aBc"
            with proxy.fault(to_client=Insert(b"hi")):
                assert take(client, 2) == b"hi"
                assert exchange(client, b"abc", 3) == b"abc"
            assert exchange(client, b"abc", 3) == b"abc"


def exchange(client: socket.socket, data: bytes, size: int) -> bytes:
    """What comes back, so many bytes."""
    client.sendall(data)
    return take(client, size)


def test_what_waits_for_the_rest_of_a_match_comes_when_the_fault_is_lifted() -> None:
    fault = Replace(b"abc", b"-", hold=60)
    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo())
        with connect(proxy) as client:
            with proxy.fault(to_client=fault):
                assert exchange(client, b"xab", 1) == b"x"
            assert take(client, 2) == b"ab"
            assert exchange(client, b"c", 1) == b"c"
        assert proxy.fired(fault) == 0


def test_content_is_counted_by_connections_and_narrowed_like_any_fault() -> None:
    twice, first = Replace(b"b", b"-").times(2), Insert(b"+", at=0).on_connections(1)
    with NetLab() as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), to_client=[twice, first])
        got = []
        for data in (b"abb", b"xyz", b"abb", b"abb"):
            with connect(proxy) as client:
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
                got.append(read_to_end(client)[0])
        assert got == [b"+a--", b"xyz", b"a--", b"abb"]
        assert (proxy.fired(twice), proxy.fired(first)) == (2, 1)


def test_a_request_that_is_changed_on_its_way_is_a_mark_as_it_was_sent_on() -> None:
    with NetLab() as lab:
        proxy = lab.tcp_proxy(
            lab.tcp_echo(),
            to_server=Replace(b"COMMIT", b"ROLLBACK", hold=PATIENT),
            to_client=Reset().when(b"ROLLBACK", direction="to_server"),
        )
        with connect(proxy) as client:
            client.sendall(b"COM")
            lab.wait_for(lambda: proxy.traffic.to_server.sent == b"COM")
            client.sendall(b"MIT")
            assert read_to_end(client) == (b"", "RST")
        assert proxy.traffic.to_server.delivered == b"ROLLBACK"


def test_datagrams_are_changed_and_added_one_by_one() -> None:
    flip, more, other = Corrupt(at=[0, 2], mask=0x20), Insert(b"more", at=1), Replace(b"b", b"--", count=1)
    with NetLab() as lab:
        proxy = lab.udp_proxy(lab.udp_responder(), to_server=other, to_client=[flip, more])
        with udp_client(proxy) as client:
            got = []
            for data, answers in ((b"a", 1), (b"b", 2), (b"b", 1)):
                client.send(data)
                got += [client.recv(100) for _ in range(answers)]
        assert got[0] == b"A"
        assert got[1] == b"more"
        assert got[2] == b"--"
        assert got[3] == b"B"
        assert [proxy.fired(fault) for fault in (flip, more, other)] == [2, 1, 1]
        assert words(lab)[-1] == "datagram 2 changed"
        assert "datagram added beside datagram 1" in words(lab)
