"""The faults of datagrams over real sockets: what the pure fault says of each number is what becomes of that datagram.

Each datagram is sent when the proxy has read the one before it, so that the kernel drops none.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count

import pytest
from engine.proxy_tools import entries
from engine.server_tools import udp_client
from engine.udp_tools import ask, delivered, sent
from wire.wire_tools import Wire

from pytest_netfixtures import (
    BurstLoss,
    Datagram,
    Delay,
    Drop,
    Duplicate,
    Fault,
    Loss,
    MaxSize,
    NetLab,
    Reorder,
    UdpProxy,
)
from pytest_netfixtures._wire.entries import TO_CLIENT, TO_SERVER, Delivered, Direction, Fired, Sent

WORDS = [b"%d:%s" % (number, bytes(number % 8)) for number in range(60)]
LAST = b"the last one"

FAULTS: list[list[Fault]] = [
    [Loss(0.3)],
    [BurstLoss(0.2, 0.4)],
    [BurstLoss(0.3, 0.3, loss_in_bad=0.8, loss_in_good=0.1)],
    [Duplicate(0.3)],
    [MaxSize(6)],
    [MaxSize(6, cut=True)],
    [Drop(after=20)],
    [Loss(1).times(3)],
    [Loss(0.5).when(b"7:").times(5)],
    [Loss(1).when(re.compile(rb"2\d:"), nth=3, window=3)],
    [Duplicate(0.5), Loss(0.5), MaxSize(7, cut=True)],
]


@pytest.fixture
def lab() -> Iterator[NetLab]:
    with NetLab(seed=7) as lab:
        yield lab


@contextmanager
def listener() -> Iterator[socket.socket]:
    """A UDP socket that takes what comes and answers nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(10)
        yield sock


def send(
    lab: NetLab, proxy: UdpProxy, client: socket.socket, words: Iterable[bytes], session: int = 1
) -> None:
    """One after the other, each when the one before it has been read; then all that is due has been sent on."""
    for many, word in enumerate(words, len(sent(proxy, session)) + 1):
        client.send(word)
        wait_until_read(lab, proxy, TO_SERVER, many, session)
    lab.engine.call(int)


def wait_until_read(lab: NetLab, proxy: UdpProxy, direction: Direction, many: int, session: int = 1) -> None:
    lab.wait_for(
        lambda: any(c.number == session and len(c.flow(direction).sent) == many for c in proxy.connections)
    )


def pure(
    proxy: UdpProxy, faults: Sequence[Fault], words: Iterable[bytes], direction: Direction, session: int = 1
) -> list[bytes]:
    """What comes out of the same faults on paper."""
    rows = {direction: faults}
    wire = Wire(**rows, number=session, key=(*proxy.scope.key, proxy.name))  # type: ignore[arg-type]
    for word in words:
        wire.give(Datagram(0.0, word), direction)
    return [data for _, data in wire.run().got[direction]]


def came(receiver: socket.socket) -> list[bytes]:
    """All that a receiver has got: up to a datagram that is sent to it directly, behind everything else."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
        last.sendto(LAST, receiver.getsockname())
    return list(iter(lambda: receiver.recv(65536), LAST))


# Each fault, byte by byte.


@pytest.mark.parametrize("faults", FAULTS, ids=repr)
def test_the_server_gets_exactly_what_the_pure_fault_lets_through(lab: NetLab, faults: list[Fault]) -> None:
    with listener() as server:
        proxy = lab.udp_proxy(server.getsockname(), to_server=faults)
        with udp_client(proxy) as client:
            send(lab, proxy, client, WORDS)
            expected = pure(proxy, faults, WORDS, TO_SERVER)
            assert came(server) == expected
        assert sent(proxy) == WORDS
        assert delivered(proxy) == expected != WORDS


@pytest.mark.parametrize("fault", [Loss(0.3), BurstLoss(0.2, 0.4), Duplicate(0.3), MaxSize(6)], ids=repr)
def test_the_client_gets_exactly_what_the_pure_fault_lets_through(lab: NetLab, fault: Fault) -> None:
    with listener() as server:
        proxy = lab.udp_proxy(server.getsockname(), to_client=fault)
        with udp_client(proxy) as client:
            client.send(b"hello")
            _, upstream = server.recvfrom(100)
            for many, word in enumerate(WORDS, 1):
                server.sendto(word, upstream)
                wait_until_read(lab, proxy, TO_CLIENT, many)
            lab.engine.call(int)
            expected = pure(proxy, [fault], WORDS, TO_CLIENT)
            assert [client.recv(100) for _ in expected] == expected
        assert list(proxy.traffic.to_client.delivered) == expected != WORDS
        assert proxy.fired(fault) == sum(entry.fault == repr(fault) for entry in entries(lab, Fired))


def test_another_seed_loses_others_and_the_same_seed_the_same() -> None:
    def lost(seed: int) -> list[bytes]:
        with NetLab(seed=seed) as lab, listener() as server:
            proxy = lab.udp_proxy(server.getsockname(), to_server=Loss(0.5))
            with udp_client(proxy) as client:
                send(lab, proxy, client, WORDS[:30])
                return came(server)

    assert lost(1) == lost(1) != lost(2)


# Time.


def test_what_reorder_chooses_comes_so_much_later_and_is_overtaken(lab: NetLab) -> None:
    fault = Reorder(1, seconds=0.5).times(1)
    with listener() as server:
        proxy = lab.udp_proxy(server.getsockname(), to_server=fault)
        with udp_client(proxy) as client:
            send(lab, proxy, client, [b"first", b"second", b"third"])
            assert [server.recv(100) for _ in range(3)] == [b"second", b"third", b"first"]
    (first, *_), (*_, last) = entries(lab, Sent), entries(lab, Delivered)
    assert last.at - first.at >= 0.5


@pytest.mark.parametrize(("fault", "least"), [(Reorder(0.4, 0.05), 0.05), (Delay(0.01, jitter=0.1), 0.01)])
def test_datagrams_leave_in_the_order_of_their_times_and_none_before_its_time(
    lab: NetLab, fault: Fault, least: float
) -> None:
    with listener() as server:
        proxy = lab.udp_proxy(server.getsockname(), to_server=fault)
        with udp_client(proxy) as client:
            send(lab, proxy, client, WORDS)
            lab.wait_for(lambda: len(delivered(proxy)) == len(WORDS))
            arrived = came(server)
        assert arrived == delivered(proxy)
    assert sorted(arrived) == sorted(WORDS)
    left, read = entries(lab, Delivered), entries(lab, Sent)
    assert [entry.due for entry in left] == sorted(entry.due for entry in left)
    touched = [entry.offset for entry in entries(lab, Fired)]
    assert len(touched) == proxy.fired(fault) > 5
    assert all(left[arrived.index(WORDS[n])].at - read[n].at >= least for n in touched)


# Sessions and moments.


def test_a_chosen_session_loses_everything_and_another_nothing(lab: NetLab) -> None:
    fault = Loss(1).sometimes(0.5)
    with listener() as server:
        proxy = lab.udp_proxy(server.getsockname(), to_server=fault)
        for session in range(1, 13):
            with udp_client(proxy) as client:
                send(lab, proxy, client, WORDS[:3], session)
        expected = {n: pure(proxy, [fault], WORDS[:3], TO_SERVER, n) for n in range(1, 13)}
        assert {n: delivered(proxy, n) for n in expected} == expected
        assert [] in expected.values() and WORDS[:3] in expected.values()
        assert came(server) == [word for words in expected.values() for word in words]


def test_a_fault_after_seconds_never_acts_before(lab: NetLab) -> None:
    fault = Loss(1).after_seconds(0.2)
    with listener() as server:
        proxy = lab.udp_proxy(server.getsockname(), to_server=fault)
        with udp_client(proxy) as client:
            for number in count():
                send(lab, proxy, client, [b"%d" % number])
                if proxy.fired(fault):
                    break
                assert server.recv(100) == b"%d" % number
    (connection,), (fired,) = proxy.connections, entries(lab, Fired)
    assert fired.at - connection.opened_at >= 0.2
    assert delivered(proxy) == sent(proxy)[:-1]


def test_a_live_fault_loses_what_is_sent_in_its_block(lab: NetLab) -> None:
    proxy = lab.udp_proxy(lab.udp_responder())
    with udp_client(proxy) as client:
        assert ask(client, b"before") == b"before"
        with proxy.fault(to_server=Loss(1)):
            send(lab, proxy, client, [b"within"])
        assert ask(client, b"after") == b"after"
    assert sent(proxy) == [b"before", b"within", b"after"]
    assert delivered(proxy) == [b"before", b"after"]
    assert [entry.effect for entry in entries(lab, Fired)] == ["datagram 1 lost"]


# Where they do not fit.


@pytest.mark.parametrize(
    "fault", [Loss(0.1), BurstLoss(0.1, 0.5), Duplicate(0.1), Reorder(0.1, 0.1), MaxSize(9)], ids=repr
)
def test_a_proxy_of_tcp_refuses_it_and_names_the_alternative(lab: NetLab, fault: Fault) -> None:
    echo = lab.tcp_echo()
    proxy = lab.tcp_proxy(echo)
    calls: list[Callable[[], object]] = [
        lambda: lab.tcp_proxy(echo, to_client=fault),
        lambda: proxy.fault(to_client=[Delay(0), fault]),
        lambda: proxy.set_faults(to_client=fault),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=rf"to_client has {re.escape(repr(fault))}; .* write "):
            call()
