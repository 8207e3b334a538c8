"""Faults on datagrams over real sockets: times, order, numbers, live changes, and users' own functions.

What a fault decides is tested without sockets in `tests/wire`; here it is carried out.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from engine.proxy_tools import entries
from engine.server_tools import udp_client
from engine.udp_tools import ask, delivered, notes, numbers, sent, speak, take

from pytest_netfixtures import (
    NEVER,
    Data,
    Datagram,
    Delay,
    Drop,
    Duplicate,
    Event,
    Fin,
    Lifted,
    Loss,
    MaxSize,
    NetLab,
    Opened,
    Reorder,
    Reset,
    Rst,
    Seen,
    ServerError,
    Stall,
    UdpProxy,
    Wake,
    assert_fired,
    narrow,
)
from pytest_netfixtures._wire.entries import Fired


@pytest.fixture
def lab() -> Iterator[NetLab]:
    with NetLab(must_fire=False) as lab:
        yield lab


def row(count: int) -> list[bytes]:
    """Datagrams with numbers."""
    return [b"%d" % number for number in range(count)]


def proxy_with(lab: NetLab, **faults: Any) -> UdpProxy:
    """A proxy in front of an echo."""
    return lab.udp_proxy(lab.udp_responder(), **faults)


@pytest.mark.parametrize("way", ["to_server", "to_client"])
@pytest.mark.parametrize("jitter", [0.0, 0.02])
def test_a_delay_never_delivers_early(lab: NetLab, way: str, jitter: float) -> None:
    proxy = proxy_with(lab, **{way: Delay(0.05, jitter)})
    asked = {}
    with udp_client(proxy) as client:
        for data in row(20):
            asked[data] = time.monotonic()
            client.send(data)
        late = [-asked[client.recv(10)] + time.monotonic() for _ in asked]
    assert min(late) >= 0.05


def test_a_delay_without_jitter_keeps_the_order(lab: NetLab) -> None:
    proxy = proxy_with(lab, to_server=Delay(0.05), to_client=Delay(0.05))
    with udp_client(proxy) as client:
        speak(client, row(200))
        assert take(client, 200) == row(200)


def test_2000_datagrams_each_acknowledged_all_arrive(lab: NetLab) -> None:
    proxy = proxy_with(lab, to_server=Delay(0.0), to_client=Delay(0.0))
    with udp_client(proxy) as client:
        for data in row(2000):
            assert ask(client, data) == data
    for flow in (proxy.traffic.to_server, proxy.traffic.to_client):
        assert list(flow.sent) == list(flow.delivered) == row(2000)


def test_a_stall_after_two_holds_the_rest_until_it_is_lifted(lab: NetLab) -> None:
    proxy = proxy_with(lab)
    with udp_client(proxy) as client:
        assert ask(client, b"before") == b"before"
        with proxy.fault(to_client=Stall(after=2)):
            speak(client, row(5))
            assert take(client, 2) == row(2)
            lab.wait_for(lambda: len(proxy.traffic.to_client.sent) == 6)
            assert len(proxy.traffic.to_client.delivered) == 3
        assert take(client, 3) == row(5)[2:]


def test_a_stall_with_an_end_lets_go_by_itself(lab: NetLab) -> None:
    proxy = proxy_with(lab, to_server=Stall(seconds=0.1))
    with udp_client(proxy) as client:
        began = time.monotonic()
        speak(client, row(3))
        assert take(client, 3) == row(3)
        assert time.monotonic() - began >= 0.1


def test_a_drop_after_two_swallows_the_rest_until_it_is_lifted(lab: NetLab) -> None:
    proxy = proxy_with(lab)
    with udp_client(proxy) as client:
        with proxy.fault(to_server=Drop(after=2)):
            speak(client, row(5))
            assert take(client, 2) == row(2)
            lab.wait_for(lambda: len(sent(proxy)) == 5)
        assert ask(client, b"after") == b"after"
    assert delivered(proxy) == [*row(2), b"after"]
    assert proxy.fired(Drop(after=2)) == 3


def test_what_is_lost_is_written_down(lab: NetLab) -> None:
    proxy = proxy_with(lab, to_server=Loss(1.0).times(2))
    with udp_client(proxy) as client:
        speak(client, row(3))
        assert client.recv(10) == b"2"
    assert (sent(proxy), delivered(proxy)) == (row(3), [b"2"])
    assert_fired(proxy, Loss(1.0).times(2), times=2)
    effects = [(fired.offset, fired.effect) for fired in entries(lab, Fired)]
    assert effects == [(0, "datagram 0 lost"), (1, "datagram 1 lost")]


def test_a_duplicate_arrives_twice(lab: NetLab) -> None:
    proxy = proxy_with(lab, to_client=Duplicate(1.0))
    with udp_client(proxy) as client:
        client.send(b"once")
        assert take(client, 2) == [b"once", b"once"]
    flow = proxy.traffic.to_client
    assert (list(flow.sent), list(flow.delivered)) == ([b"once"], [b"once", b"once"])


def test_one_that_is_late_is_overtaken(lab: NetLab) -> None:
    proxy = proxy_with(lab, to_server=Reorder(1.0, 0.1).times(1))
    with udp_client(proxy) as client:
        speak(client, row(3))
        assert take(client, 3) == [b"1", b"2", b"0"]


@pytest.mark.parametrize(("cut", "arrives"), [(False, b"ok"), (True, b"too")])
def test_one_that_is_too_long_vanishes_or_is_cut(lab: NetLab, cut: bool, arrives: bytes) -> None:
    proxy = proxy_with(lab, to_server=MaxSize(3, cut=cut))
    with udp_client(proxy) as client:
        speak(client, [b"too long", b"ok"])
        assert client.recv(10) == arrives


def test_narrowed_to_sessions_and_moments(lab: NetLab) -> None:
    proxy = proxy_with(lab, to_client=[Drop().on_connections(1), Drop().when(b"die")])
    with udp_client(proxy) as first, udp_client(proxy) as second:
        first.send(b"?")
        lab.wait_for(lambda: proxy.fired(Drop().on_connections(1)) == 1)
        assert ask(second, b"live") == b"live"
        assert ask(second, b"or die") == b"or die"
        second.send(b"dead")
        lab.wait_for(lambda: proxy.fired(Drop().when(b"die")) == 1)


def test_a_fault_of_tcp_alone_or_of_udp_alone_is_an_error_that_names_another(lab: NetLab) -> None:
    proxy = proxy_with(lab)
    with pytest.raises(ValueError, match=r"to_server has Loss.*expected a fault that fits TCP: "):
        lab.tcp_proxy(lab.tcp_echo(), to_server=Loss(0.5))
    for change in (proxy.fault, proxy.set_faults):
        with pytest.raises(ValueError, match=r"to_client has Reset.*expected a fault that fits UDP"):
            change(to_client=Reset())


# Live changes.


def live(lab: NetLab, proxy: UdpProxy, client: socket.socket) -> Iterator[AbstractContextManager[object]]:
    """A pause, a stall and a delay that come and go."""
    for _ in range(10):
        yield proxy.pause()
        yield proxy.fault(to_server=Stall())
        yield proxy.fault(to_client=[Delay(0.01), Stall()])


def test_while_shaping_faults_come_and_go_nothing_is_lost_or_doubled(lab: NetLab) -> None:
    proxy = proxy_with(lab)
    wanted = [b"%d" % number for number in range(120)]
    left = iter(wanted)
    with udp_client(proxy) as client:
        for change in live(lab, proxy, client):
            speak(client, [next(left), next(left)])
            with change:
                speak(client, [next(left), next(left)])
        assert sorted(take(client, 120), key=int) == wanted


def test_faults_are_replaced_at_once_on_open_sessions(lab: NetLab) -> None:
    proxy = proxy_with(lab, to_server=Drop())
    with udp_client(proxy) as client:
        client.send(b"dropped")
        lab.wait_for(lambda: proxy.fired(Drop()) == 1)
        proxy.set_faults(to_client=Duplicate(1.0))
        client.send(b"twice")
        assert take(client, 2) == [b"twice"] * 2
        proxy.clear_faults()
        assert (ask(client, b"1"), ask(client, b"2")) == (b"1", b"2")


# Users' own functions.


def on_datagrams(function: Callable[[Datagram], Iterable[Event]]) -> Any:
    """A fault that acts on datagrams alone."""

    def fault(event: Event, seen: Seen) -> Iterable[Event]:
        if isinstance(event, Datagram):
            return function(event)
        return ()

    return fault


def fails(event: Datagram) -> Iterable[Event]:
    raise LookupError("a fault of the fault")


def test_a_fault_that_raises_ends_its_session_and_the_error_comes_out(lab: NetLab) -> None:
    proxy = proxy_with(lab, to_server=narrow(on_datagrams(fails)).on_connections(1))
    with udp_client(proxy) as client:
        client.send(b"1")
        lab.wait_for(lambda: "a fault raised LookupError" in notes(proxy))
        assert "so that the session is over" in notes(proxy)
        (error,) = lab.errors()
        assert isinstance(error, LookupError)
        assert ask(client, b"2") == b"2"
    assert numbers(proxy) == [1, 2]


def test_a_fault_that_raises_when_the_session_opens_ends_it_too(lab: NetLab) -> None:
    def fails_at_once(event: Event, seen: Seen) -> Iterable[Event]:
        if isinstance(event, Opened):
            raise LookupError("too early")
        return [event]

    proxy = proxy_with(lab, to_client=narrow(fails_at_once).on_connections(1))
    with udp_client(proxy) as client:
        client.send(b"1")
        lab.wait_for(lambda: "too early" in notes(proxy))
        assert ask(client, b"2") == b"2"
    assert [str(error) for error in lab.errors()] == ["too early"]


@pytest.mark.parametrize("when", [Opened, Datagram])
@pytest.mark.parametrize("end", [Fin(0.0), Rst(0.0)])
def test_an_end_is_an_error_because_a_session_has_none(lab: NetLab, end: Event, when: type[Event]) -> None:
    def ends(event: Event, seen: Seen) -> list[Event]:
        return [end.moved(event.at)] if isinstance(event, when) else []

    proxy = proxy_with(lab, to_server=ends)
    with udp_client(proxy) as client:
        client.send(b"1")
        lab.wait_for(lambda: lab._scope.errors)
    (error,) = lab.errors()
    assert isinstance(error, TypeError)
    assert f"ends yielded {type(end).__name__}" in str(error)
    assert "no end" in str(error)


def test_data_of_its_own_is_sent_as_a_datagram(lab: NetLab) -> None:
    def greets(event: Event, seen: Seen) -> list[Event]:
        return [Data(event.at, b"hello")] if isinstance(event, Opened) else [event]

    proxy = proxy_with(lab, to_server=greets)
    with udp_client(proxy) as client:
        client.send(b"x")
        assert take(client, 2) == [b"hello", b"x"]


def test_one_that_a_fault_made_too_long_is_an_error_and_the_next_one_goes(lab: NetLab) -> None:
    def swell(event: Datagram) -> Iterable[Event]:
        return [Datagram(event.at, event.data * 70_000, event.peer), event]

    proxy = proxy_with(lab, to_server=on_datagrams(swell))
    with udp_client(proxy) as client:
        assert ask(client, b"x") == b"x"
    (error,) = lab.errors()
    assert isinstance(error, ServerError)
    assert "a datagram of 70000 bytes to_server is lost" in str(error)
    assert "swell" not in str(error)
    assert "expected one that fits" in str(error)


def test_what_a_fault_keeps_it_may_yield_later_by_itself(lab: NetLab) -> None:
    def batch(event: Event, seen: Seen) -> Iterator[Event]:
        """Two datagrams become one, at most 0.05 s after the first."""
        kept = seen.memory.setdefault("kept", [])
        if isinstance(event, Datagram):
            kept.append(event.data)
            yield Wake(event.at + 0.05)
        elif isinstance(event, (Wake, Lifted)) and kept:
            yield Datagram(event.at, b"+".join(kept))
            kept.clear()

    proxy = proxy_with(lab, to_server=batch)
    with udp_client(proxy) as client:
        with proxy.pause():
            speak(client, [b"1", b"2"])
            lab.wait_for(lambda: len(sent(proxy)) == 2)
        assert client.recv(10) == b"1+2"


def test_what_is_held_goes_on_when_the_fault_is_lifted(lab: NetLab) -> None:
    proxy = proxy_with(lab)
    with udp_client(proxy) as client:
        with proxy.fault(to_server=on_datagrams(lambda event: [event.moved(NEVER)])):
            speak(client, row(3))
            lab.wait_for(lambda: len(sent(proxy)) == 3)
        assert take(client, 3) == row(3)


def test_a_fault_may_call_back_into_the_proxy(lab: NetLab) -> None:
    def calls(event: Datagram) -> Iterable[Event]:
        if event.data == b"cut":
            proxy.cut()
        elif event.data == b"change":
            proxy.set_faults()
        elif event.data == b"stop":
            proxy.stop()
            proxy.start()
            started.append(True)
        return [event]

    started: list[bool] = []
    proxy = proxy_with(lab, to_server=on_datagrams(calls))
    with udp_client(proxy) as client:
        speak(client, [b"cut", b"stop"])
        lab.wait_for(lambda: started)
        assert ask(client, b"change") == b"change"
        assert ask(client, b"cut") == b"cut"
    assert numbers(proxy) == [1, 2, 3]
    assert lab.errors() == []
