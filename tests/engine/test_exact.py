"""Exactly n bytes, then exactly this end: whatever n is, however the server chunks, and 100 times in a row.

Real sockets; what a client got is compared with what was asked for, byte by byte.
"""

from __future__ import annotations

import socket
from random import Random
from typing import Any

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

from pytest_netfixtures import HalfClose, NetLab, Reset, Truncate
from pytest_netfixtures._wire.entries import Fired, LegEnded

STREAM = b"abcdefghijkl"
ENDS: dict[Any, str] = {Truncate: "FIN", HalfClose: "FIN", Reset: "RST"}
"""The faults that end a stream, and what the receiver meets."""


def ends_early(place: str, n: int) -> bool:
    """Whether the fault acts at all: the stream must reach n bytes, or have a byte with offset n."""
    return n <= len(STREAM) if place == "after" else n < len(STREAM)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("how", ways_to_chunk())
@pytest.mark.parametrize("place", ["after", "at"])
@pytest.mark.parametrize("fault", list(ENDS), ids=lambda fault: str(fault.__name__))
def test_exactly_n_bytes_and_the_end_arrive_for_every_n(fault: Any, place: str, how: str, host: str) -> None:
    with NetLab(must_fire=False) as lab:
        server = lab.tcp_server(pours(STREAM, how), host=host)
        for n in range(len(STREAM) + 3):
            with (
                lab.tcp_proxy(server, to_client=fault(**{place: n}), host=host) as proxy,
                connect(proxy) as client,
            ):
                got, end = read_to_end(client)
                assert got == STREAM[:n]
                assert end == (ENDS[fault] if ends_early(place, n) else "FIN")
                assert proxy.traffic.to_client.delivered == got
                assert proxy.fired(fault(**{place: n})) == ends_early(place, n)


@pytest.mark.parametrize("how", ways_to_chunk())
@pytest.mark.parametrize("fault", list(ENDS), ids=lambda fault: str(fault.__name__))
def test_the_server_gets_exactly_n_bytes_too(fault: Any, how: str) -> None:
    with NetLab(must_fire=False) as lab:
        server = lab.tcp_server()
        for n in range(len(STREAM) + 1):
            with lab.tcp_proxy(server, to_server=fault(after=n)) as proxy, connect(proxy) as client:
                conn = server.accept()
                for piece in pieces(STREAM, how, n):
                    _send_as_far_as_it_goes(client, piece)
                assert _received(conn) == (STREAM[:n], ENDS[fault])
                assert server_record(lab, server.name, conn.number) == STREAM[:n]


def _send_as_far_as_it_goes(client: socket.socket, data: bytes) -> None:
    try:
        client.sendall(data)
    except OSError:
        return  # reset already, as asked


def _received(conn: Any) -> tuple[bytes, str]:
    parts: list[bytes] = []
    while True:
        try:
            data = conn.recv()
        except ConnectionResetError:
            return b"".join(parts), "RST"
        if not data:
            return b"".join(parts), "FIN"
        parts.append(data)


def server_record(lab: NetLab, endpoint: str, number: int) -> bytes:
    """What the server's own record says it has got."""
    got: bytes = lab.traffic.connection(number, endpoint).to_server.delivered
    return got


@pytest.mark.parametrize("fault", [Truncate, Reset], ids=["FIN", "RST"])
def test_a_mebibyte_is_cut_at_the_byte_100_times_in_a_row(fault: Any) -> None:
    data, chance = pattern(MIB), Random(7)
    with NetLab(must_fire=False) as lab:
        server = lab.tcp_server(pours(data))
        for _ in range(100):
            n = chance.randint(0, MIB)
            with lab.tcp_proxy(server, to_client=fault(after=n)) as proxy, connect(proxy) as client:
                got, end = read_to_end(client)
                assert (len(got), end) == (n, ENDS[fault])
                assert got == data[:n]
                assert proxy.traffic.to_client.delivered_bytes == n


@pytest.mark.parametrize("fault", [Truncate, Reset], ids=["FIN", "RST"])
def test_a_mebibyte_to_the_server_is_cut_at_the_byte(fault: Any) -> None:
    data, chance = pattern(MIB), Random(11)
    for _ in range(30):
        n = chance.randint(0, MIB)
        with NetLab(must_fire=False) as lab:
            server = lab.tcp_server()
            with lab.tcp_proxy(server, to_server=fault(after=n)) as proxy, connect(proxy) as client:
                conn = server.accept()
                _send_as_far_as_it_goes(client, data)
                got, end = _received(conn)
                assert (len(got), end) == (n, ENDS[fault])
                assert got == data[:n] == server_record(lab, server.name, conn.number)


def test_bytes_that_come_one_by_one_all_arrive_before_a_reset() -> None:
    data = pattern(20_000)
    with NetLab(must_fire=False) as lab:
        proxy = in_front_of(lab, pours(data, "bytes"), to_client=Reset(after=len(data)))
        with connect(proxy, small=True) as client:
            assert read_to_end(client, 999) == (data, "RST")


def test_a_reset_waits_for_a_reader_that_is_slow() -> None:
    data = pattern(3 * MIB)
    with NetLab(must_fire=False) as lab:
        proxy = in_front_of(lab, pours(data), to_client=Reset(after=len(data)))
        with connect(proxy, small=True) as client:
            first = client.recv(1, socket.MSG_PEEK)
            lab.wait_for(lambda: proxy.traffic.to_client.sent_bytes > MIB)
            assert first == data[:1]
            assert proxy.traffic.to_client.end is None
            got, end = read_to_end(client, 8192)
            assert (len(got), end) == (len(data), "RST")
            assert got == data


def test_a_reset_gives_a_reader_that_reads_nothing_up_after_two_seconds() -> None:
    data = pattern(3 * MIB)
    with NetLab(must_fire=False) as lab:
        proxy = in_front_of(lab, pours(data), to_client=Reset(after=2 * MIB), queue_bytes=4 * MIB)
        with connect(proxy, small=True) as client:
            lab.wait_for(lambda: [c.to_client.end for c in proxy.connections] == ["RST"], within=10)
            flow = proxy.traffic.to_client
            (fired,) = entries(lab, Fired)
            ended = [entry.at for entry in entries(lab, LegEnded) if entry.by == "us" and entry.how == "RST"]
            assert max(ended) - fired.at >= 2.0
            got, end = read_to_end(client)
            assert end == "RST"
            assert data.startswith(got)
            assert len(got) <= flow.delivered_bytes < flow.sent_bytes


@pytest.mark.parametrize(("other_leg", "met"), [(True, "RST"), (False, None)])
def test_a_reset_takes_the_other_leg_along_unless_told_not_to(other_leg: bool, met: str | None) -> None:
    with NetLab(must_fire=False) as lab:
        server = lab.tcp_server()
        with (
            lab.tcp_proxy(server, to_client=Reset(at=0, other_leg=other_leg)) as proxy,
            connect(proxy) as client,
        ):
            conn = server.accept()
            conn.send(b"answer")
            assert read_to_end(client) == (b"", "RST")
            if met is None:
                conn.expect_nothing(0.05)
                conn.send(b"more of it")
                lab.wait_for(lambda: proxy.traffic.to_client.sent == b"answermore of it")
            else:
                with pytest.raises(ConnectionResetError):
                    conn.recv()
            assert proxy.traffic.to_server.end == met


def test_after_a_truncate_what_the_client_still_sends_is_drained_and_never_reset() -> None:
    data = pattern(8 * MIB)
    with NetLab(must_fire=False) as lab:
        server = lab.tcp_server()
        with lab.tcp_proxy(server, to_client=Truncate(after=3)) as proxy, connect(proxy) as client:
            conn = server.accept()
            conn.send(b"abcdef")
            assert read_to_end(client) == (b"abc", "FIN")
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            lab.wait_for(lambda: proxy.traffic.connections[0].ended["client"] == "FIN")
            assert read_to_end(client) == (b"", "FIN")
            assert proxy.traffic.to_server.sent_bytes == len(data)
            assert proxy.traffic.to_server.delivered_bytes == 0
            assert conn.recv_to_end() == b""
            conn.send(b"into the void")


def test_a_half_close_ends_one_direction_and_leaves_the_other() -> None:
    with NetLab(must_fire=False) as lab:
        server = lab.tcp_server()
        with lab.tcp_proxy(server, to_client=HalfClose(after=3)) as proxy, connect(proxy) as client:
            conn = server.accept()
            conn.send(b"abcdef")
            assert read_to_end(client) == (b"abc", "FIN")
            client.sendall(b"still heard")
            conn.expect(b"still heard")
            client.shutdown(socket.SHUT_WR)
            conn.expect_eof()


def test_a_cut_at_zero_comes_before_any_request() -> None:
    with NetLab(must_fire=False) as lab:
        server = lab.tcp_server()
        with lab.tcp_proxy(server, to_client=Reset()) as proxy, connect(proxy) as client:
            assert read_to_end(client) == (b"", "RST")
            assert proxy.traffic.to_server.sent == b""
            with pytest.raises(ConnectionResetError):
                server.accept().recv()


def test_the_server_gets_the_whole_request_and_the_client_none_of_the_answer_200_times() -> None:
    requests = []

    def serve(conn: Any) -> None:
        requests.append(conn.recv_until(b"COMMIT"))
        conn.send(b"done")

    with NetLab(must_fire=False) as lab:
        server = lab.tcp_server(serve)
        fault = Reset().when(b"COMMIT", direction="to_server")
        proxy = lab.tcp_proxy(server, to_client=fault)
        for _ in range(200):
            with connect(proxy) as client:
                client.sendall(b"BEGIN; COMMIT")
                assert read_to_end(client) == (b"", "RST")
        lab.wait_for(lambda: requests == [b"BEGIN; COMMIT"] * 200)
        assert proxy.fired(fault) == 200


def test_an_answer_passes_until_the_mark_is_seen() -> None:
    with NetLab(must_fire=False) as lab:
        server = lab.tcp_server()
        proxy = lab.tcp_proxy(server, to_client=Truncate(after=2).when(b"NOW", direction="to_server"))
        with connect(proxy) as client:
            conn = server.accept()
            conn.send(b"before ")
            assert take(client, 7) == b"before "
            client.sendall(b"N")
            conn.expect(b"N")
            client.sendall(b"OW")
            conn.expect(b"OW")
            conn.send(b"after")
            assert read_to_end(client) == (b"af", "FIN")
