"""Faults that come and go while connections are open; and whole proxies that pause, refuse, stop, cut and forget."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from engine.proxy_tools import (
    MIB,
    Client,
    connect,
    crowded,
    ends,
    in_front_of,
    pattern,
    pours,
    read_to_end,
    take,
)

from pytest_netfixtures import Delay, Drop, NetLab, Reset, Stall, Truncate


def exchange(client: socket.socket, data: bytes) -> None:
    """There and back again."""
    client.sendall(data)
    assert take(client, len(data)) == data


def hears_nothing(client: socket.socket, seconds: float = 0.05) -> bool:
    client.settimeout(seconds)
    try:
        return not client.recv(1, socket.MSG_PEEK) and False
    except TimeoutError:
        return True
    finally:
        client.settimeout(10)


def test_a_fault_holds_for_a_block_of_the_test() -> None:
    with NetLab(must_fire=False) as lab:
        proxy, stall = lab.tcp_proxy(lab.tcp_echo()), Stall()
        with connect(proxy) as client:
            exchange(client, b"before")
            with proxy.fault(to_client=stall):
                client.sendall(b"during")
                assert hears_nothing(client)
                assert proxy.fired(stall) == 1
            assert take(client, 6) == b"during"
            exchange(client, b"after")
            assert proxy.traffic.connections[0].faults == (repr(stall),)


def test_a_cut_in_a_block_ends_open_connections_and_spares_later_ones() -> None:
    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo())
        with connect(proxy) as client:
            exchange(client, b"before")
            with proxy.fault(to_client=Truncate()):
                assert read_to_end(client) == (b"", "FIN")
        with connect(proxy) as client:
            exchange(client, b"after")


def test_offsets_of_a_live_fault_count_from_when_it_was_added() -> None:
    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo())
        with connect(proxy) as client:
            exchange(client, b"before")
            with proxy.fault(to_client=Reset(after=3)):
                client.sendall(b"abcdef")
                assert read_to_end(client) == (b"abc", "RST")


def test_set_faults_replaces_all_and_clear_faults_lifts_all() -> None:
    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), to_server=Stall())
        with connect(proxy) as client:
            client.sendall(b"one")
            assert hears_nothing(client)
            proxy.set_faults(to_client=Stall())
            lab.wait_for(lambda: proxy.traffic.to_client.sent == b"one")
            assert hears_nothing(client)
            proxy.clear_faults()
            assert take(client, 3) == b"one"
            exchange(client, b"two")


def test_a_fault_is_lifted_by_identity() -> None:
    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), to_client=Stall())
        with connect(proxy) as client:
            with proxy.fault(to_client=Stall()):
                client.sendall(b"held by two")
                assert hears_nothing(client)
            assert hears_nothing(client)
            proxy.clear_faults()
            assert take(client, 11) == b"held by two"


def test_a_drop_that_has_swallowed_keeps_its_connection_dead() -> None:
    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo())
        with connect(proxy) as client:
            with proxy.fault(to_client=Drop()):
                client.sendall(b"lost")
                lab.wait_for(lambda: proxy.traffic.to_client.sent == b"lost")
            client.sendall(b"lost too")
            lab.wait_for(lambda: proxy.traffic.to_client.sent == b"lostlost too")
            assert hears_nothing(client)
        with connect(proxy) as client:
            exchange(client, b"a new one passes")


def test_a_fault_armed_while_the_upstream_connects_is_met_from_the_start() -> None:
    with NetLab(must_fire=False) as lab, crowded() as full:
        proxy = lab.tcp_proxy(full.getsockname())
        with connect(proxy) as client:
            lab.wait_for(lambda: proxy.connections)
            with proxy.fault(to_client=Reset()):
                full.accept()[0].close()  # there is room now; the SYN comes again after a second
                assert read_to_end(client) == (b"", "RST")
                assert proxy.connections[0].faults == ("Reset()",)


def test_lifting_before_the_upstream_is_connected_harms_nothing() -> None:
    def eager(event: Any, seen: Any) -> Any:
        return [type(event)(event.at)] if type(event).__name__ == "Fin" else [_data(event.at)]

    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.refused_address(), on_unreachable="hang")
        with connect(proxy) as client:
            lab.wait_for(lambda: [c for c in proxy.connections if c.notes])
            with proxy.fault(to_server=eager, to_client=Stall().optional()):
                client.sendall(b"hello?")
            proxy.pause()
            proxy.resume()
            proxy.cut()
            assert read_to_end(client) == (b"", "FIN")
        assert lab.errors() == []


def _data(at: float) -> Any:
    from pytest_netfixtures._wire.events import Data

    return Data(at, b"x")


def test_a_pause_holds_both_directions_and_loses_nothing() -> None:
    with NetLab(must_fire=False) as lab:
        server = lab.tcp_server()
        proxy = lab.tcp_proxy(server)
        with connect(proxy) as client:
            conn = server.accept()
            with proxy.pause():
                client.sendall(b"up")
                conn.send(b"down")
                lab.wait_for(lambda: proxy.traffic.to_client.sent == b"down")
                lab.wait_for(lambda: proxy.traffic.to_server.sent == b"up")
                conn.expect_nothing(0.05)
                assert hears_nothing(client)
            conn.expect(b"up")
            assert take(client, 4) == b"down"


def test_a_pause_holds_the_schedule_and_what_waits_for_the_receiver() -> None:
    data = pattern(MIB)
    with NetLab(must_fire=False) as lab:
        proxy = in_front_of(lab, pours(data), to_client=Delay(0.01))
        with connect(proxy, small=True) as client:
            assert client.recv(4, socket.MSG_PEEK)
            proxy.pause()
            before = proxy.traffic.to_client.delivered_bytes
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2 * MIB)
            got = _read_until_silent(client)
            assert proxy.traffic.to_client.delivered_bytes == before == len(got) < len(data)
            proxy.resume()
            assert (got + read_to_end(client)[0]) == data


def _read_until_silent(client: Client) -> bytes:
    parts: list[bytes] = []
    client.settimeout(0.2)
    try:
        while True:
            parts.append(client.recv(65536))
    except TimeoutError:
        client.settimeout(10)
    return b"".join(parts)


def test_connections_are_accepted_while_paused_and_go_on_afterwards() -> None:
    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(prefix=b"hello"))
        proxy.pause()
        with connect(proxy) as client:
            client.sendall(b"!")
            assert hears_nothing(client)
            proxy.resume()
            assert take(client, 6) == b"hello!"


def test_a_refusing_proxy_keeps_its_port_and_its_connections() -> None:
    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo())
        address = proxy.address
        with connect(proxy) as client:
            with proxy.refuse():
                with pytest.raises(ConnectionRefusedError), connect(address):
                    pass
                exchange(client, b"still open")
            assert proxy.address == address
            with connect(address) as another:
                exchange(another, b"back")


def test_a_stopped_proxy_refuses_and_starts_on_the_same_port() -> None:
    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo())
        address = proxy.address
        for _ in range(20):
            with connect(address) as client:
                exchange(client, b"up")
                proxy.stop()
                proxy.stop()
                assert read_to_end(client)[0] == b""
            with pytest.raises(ConnectionRefusedError), connect(address):
                pass
            proxy.start()
            proxy.start()
        assert len(proxy.connections) == 20


@pytest.mark.parametrize(("hard", "end"), [(False, "FIN"), (True, "RST")])
def test_a_cut_ends_every_connection_and_leaves_the_listener(hard: bool, end: str) -> None:
    with NetLab(must_fire=False) as lab:
        server = lab.tcp_server()
        proxy = lab.tcp_proxy(server)
        with connect(proxy) as one, connect(proxy) as two:
            conn = server.accept()
            server.accept()
            proxy.cut(reset=hard)
            assert (read_to_end(one), read_to_end(two)) == ((b"", end), (b"", end))
            assert ends(proxy)["client met"] == ends(proxy)["server met"] == end
            if hard:
                with pytest.raises(ConnectionResetError):
                    conn.recv()
            else:
                conn.expect_eof()
                one.sendall(pattern(MIB))
        with connect(proxy) as three:
            server.accept().send(b"hi")
            assert take(three, 2) == b"hi"


def test_a_cut_does_not_wait_for_what_is_held_and_says_so() -> None:
    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), to_client=Stall())
        with connect(proxy) as client:
            client.sendall(b"held")
            lab.wait_for(lambda: [c.to_client.sent for c in proxy.connections] == [b"held"])
            proxy.cut()
            assert read_to_end(client) == (b"", "FIN")
            assert "4 bytes to_client" in " ".join(proxy.connections[0].notes)
            proxy.clear_faults()
            assert proxy.traffic.to_client.delivered == b""


def test_a_proxy_that_forgets_numbers_afresh_and_keeps_connections_open() -> None:
    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo())
        with connect(proxy) as old, connect(proxy) as older:
            exchange(old, b"first")
            exchange(older, b"second")
            proxy.forget()
            assert [(c.number, c.opened_before) for c in proxy.connections] == [(-1, True), (0, True)]
            exchange(old, b"again")
            with connect(proxy) as new:
                exchange(new, b"new")
                assert proxy.traffic.connection(1).to_server.sent == b"new"
                assert proxy.traffic.connection(-1).to_server.sent == b"again"


def test_a_fault_for_connection_one_spares_a_connection_from_before() -> None:
    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo())
        with connect(proxy) as old:
            exchange(old, b"first")
            proxy.forget()
            with proxy.fault(to_client=Reset(at=0).on_connections(1)):
                exchange(old, b"not me")
                with connect(proxy) as new:
                    new.sendall(b"me")
                    assert read_to_end(new) == (b"", "RST")


def test_forgetting_lifts_what_the_test_armed_and_keeps_what_was_there() -> None:
    with NetLab(must_fire=False) as lab:
        kept, gone = Delay(0.001), Stall()
        proxy = lab.tcp_proxy(lab.tcp_echo(), to_client=kept)
        with connect(proxy) as client:
            exchange(client, b"x")
            lab.forget()
            assert (proxy.fired(kept), proxy.is_armed(gone)) == (0, False)
            proxy.set_faults(to_client=[kept, gone])
            client.sendall(b"held")
            assert hears_nothing(client)
            assert proxy.fired(gone) == 1
            lab.forget()
            assert take(client, 4) == b"held"
            assert (proxy.fired(gone), proxy.is_armed(gone)) == (0, False)


def test_fired_counts_connections_and_never_fired_names_the_others() -> None:
    with NetLab(must_fire=False) as lab:
        reset, stall, delay = Reset(after=3), Stall(after=1000), Delay(0.001)
        proxy = lab.tcp_proxy(lab.tcp_echo(), to_client=[delay, reset], to_server=stall.optional())
        for _ in range(3):
            with connect(proxy) as client:
                client.sendall(b"abcdef")
                assert read_to_end(client) == (b"abc", "RST")
        assert (proxy.fired(reset), proxy.fired(delay), proxy.fired(stall)) == (3, 3, 0)
        with proxy.fault(to_server=stall):
            assert lab.never_fired() == ["Stall(after=1000) to_server of tcp_proxy"]
        assert lab.never_fired() == ["Stall(after=1000) to_server of tcp_proxy"]
        assert lab.never_fired() == []


def test_the_first_attempts_fail_and_the_next_one_passes() -> None:
    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), to_client=[Reset().on_connections(1), Truncate(at=1).times(1)])
        answers = []
        for _ in range(3):
            with connect(proxy) as client:
                client.settimeout(10)
                try:
                    client.sendall(b"hi")
                    client.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
                answers.append(read_to_end(client))
        assert answers == [(b"", "RST"), (b"h", "FIN"), (b"hi", "FIN")]
