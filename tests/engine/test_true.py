"""The record agrees with the peers at every moment at which one of them has seen an effect; and times are never early."""

from __future__ import annotations

import socket
import threading
from typing import Any

from engine.proxy_tools import MIB, connect, entries, in_front_of, pattern, pours, read_to_end, take

from pytest_netfixtures import Delay, NetLab, Slice
from pytest_netfixtures._wire.entries import Delivered, Fired, Sent

ROUNDS = 10_000


def ping(client: socket.socket, message: bytes) -> None:
    client.sendall(message)
    assert take(client, len(message)) == message


def test_10_000_round_trips_agree_with_the_record_after_each() -> None:
    said = b""
    with NetLab(must_fire=False) as lab:
        server = lab.tcp_echo()
        proxy = lab.tcp_proxy(server)
        with connect(proxy) as client:
            for number in range(ROUNDS):
                message = b"%x;" % number
                ping(client, message)
                said += message
                _agrees(proxy.traffic, said, number)
                _agrees(server.traffic, said, number)


def _agrees(traffic: Any, said: bytes, number: int) -> None:
    flows = (traffic.to_server, traffic.to_client)
    assert [(flow.sent_bytes, flow.delivered_bytes) for flow in flows] == [(len(said), len(said))] * 2
    if number % 50 == 0:
        assert [(flow.sent, flow.delivered) for flow in flows] == [(said, said)] * 2


def test_four_clients_at_once_agree_with_their_records() -> None:
    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), to_server=Slice(3))
        wrong: list[str] = []
        hammers = [threading.Thread(target=_hammer, args=(proxy, wrong)) for _ in range(4)]
        for hammer in hammers:
            hammer.start()
        for hammer in hammers:
            hammer.join()
        assert wrong == []
        assert len(proxy.connections) == 4


def _hammer(proxy: Any, wrong: list[str]) -> None:
    with connect(proxy) as client:
        said, me = b"", client.getsockname()
        for number in range(500):
            ping(client, b"%d;" % number)
            said += b"%d;" % number
            (mine,) = [c for c in proxy.connections if c.peer == me]
            flows = (mine.to_server, mine.to_client)
            wrong += [repr(flow) for flow in flows if not flow.sent == flow.delivered == said]


def test_what_a_handler_has_is_in_the_record() -> None:
    seen: list[bool] = []
    with NetLab(must_fire=False) as lab:

        def look(conn: Any) -> None:
            data = conn.recv_exactly(3)
            delivered = proxy.traffic.to_server.delivered
            seen.append(data == delivered == server.traffic.to_server.delivered)

        server = lab.tcp_server(look)
        proxy = lab.tcp_proxy(server)
        with connect(proxy) as client:
            client.sendall(b"abc")
            assert read_to_end(client) == (b"", "FIN")
            assert proxy.traffic.to_client.end == "FIN"
        assert seen == [True]


def test_a_delay_is_never_early_and_latency_does_not_add_up() -> None:
    delay, count = 0.2, 50
    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), to_client=Delay(delay))
        with connect(proxy) as client:
            for number in range(count):
                client.sendall(b"%03d" % number)
                lab.wait_for(lambda n=number: _sent(proxy) == 3 * (n + 1))  # type: ignore[misc]
            assert take(client, 3 * count) == b"".join(b"%03d" % n for n in range(count))
        sent, delivered = _times(lab, Sent), _times(lab, Delivered)
        late = [delivered[offset] - sent[offset] for offset in delivered]
        assert len(late) == count
        assert min(late) >= delay
        # Were each chunk delayed after the one before it, the last one would be late by the sum.
        assert max(late) < delay * count


def _sent(proxy: Any) -> int:
    return sum(connection.to_client.sent_bytes for connection in proxy.connections)


def _times(lab: NetLab, kind: Any) -> dict[int, float]:
    (proxied, *_) = [c for c in lab.traffic.connections if c.endpoint == "tcp_proxy"]
    found = [e for e in entries(lab, kind) if e.connection == proxied.id and e.direction == "to_client"]
    return {entry.offset: entry.at for entry in found}


def test_a_delay_below_a_millisecond_is_not_early_and_jitter_stays_within_its_bounds() -> None:
    with NetLab(seed=3) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), to_client=Delay(0.0003, jitter=0.0004))
        with connect(proxy) as client:
            for number in range(300):
                ping(client, b"%03d" % number)
        sent, delivered = _times(lab, Sent), _times(lab, Delivered)
        assert min(delivered[offset] - sent[offset] for offset in delivered) >= 0.0003
        due = {
            e.offset: e.due
            for e in entries(lab, Delivered)
            if e.connection == proxy.connections[0].id and e.faults
        }
        assert len({round((due[o] - sent[o]) * 1e6) for o in due if o in sent}) > 50


def test_pieces_are_a_gap_apart() -> None:
    with NetLab(must_fire=False) as lab:
        proxy = in_front_of(lab, pours(b"abcdefghij"), to_client=Slice(3, gap=0.02))
        with connect(proxy) as client:
            parts = [client.recv(100) for _ in range(4)]
            assert b"".join(parts) + read_to_end(client)[0] == b"abcdefghij"
        delivered = _times(lab, Delivered)
        assert sorted(delivered) == [0, 3, 6, 9]
        times = [delivered[offset] for offset in sorted(delivered)]
        dues = [e.due for e in entries(lab, Delivered) if e.faults]
        assert all(b - a >= 0.02 - 1e-9 for a, b in zip(dues, dues[1:], strict=False))
        assert times[-1] - times[0] >= 0.06 - (times[0] - dues[0])


def test_the_same_seed_gives_the_same_delays() -> None:
    assert _lateness(7) == _lateness(7) != _lateness(8)


def _lateness(seed: int) -> list[str]:
    """How late the first bytes of each connection are, to the digit."""
    with NetLab(seed=seed) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), to_client=Delay(0.001, jitter=0.01))
        for _ in range(10):
            with connect(proxy) as client:
                ping(client, b"x")
        effects = [entry.effect for entry in entries(lab, Fired)]
    assert len(set(effects)) == 10
    return effects


def test_a_record_counts_on_beyond_what_it_keeps() -> None:
    data = pattern(8 * MIB)
    with NetLab(must_fire=False) as lab:
        proxy = in_front_of(lab, pours(data))
        with connect(proxy) as client:
            got, end = read_to_end(client, 1 << 18)
            assert (len(got), end) == (len(data), "FIN")
            flow = proxy.traffic.to_client
            assert (flow.sent_bytes, flow.delivered_bytes, flow.cut) == (len(data), len(data), True)
            assert flow.delivered[: 4 * MIB] == data[: 4 * MIB]
