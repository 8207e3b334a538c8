"""What a session of the UDP proxy waits for: datagrams, a name, room, a descriptor; and what becomes of what finds none."""

from __future__ import annotations

import _socket
import errno
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from engine.proxy_tools import entries
from engine.server_tools import HOSTS, udp_client
from engine.udp_tools import ask, delivered, notes, numbers, sent, speak, take, wait_for_note

from pytest_netfixtures import Datagram, Delay, Drop, Event, Later, Lifted, NetLab, Seen, Stall, UdpProxy
from pytest_netfixtures._engine import ports
from pytest_netfixtures._wire.entries import Delivered, Noted, Sent

LOOK_UP = _socket.getaddrinfo


@pytest.fixture
def lab() -> Iterator[NetLab]:
    with NetLab(must_fire=False) as lab:
        yield lab


# Idle time.


def test_after_its_idle_time_a_session_is_over_and_the_next_datagram_opens_another(lab: NetLab) -> None:
    server = lab.udp_responder()
    proxy = lab.udp_proxy(server, idle_seconds=0.05)
    with udp_client(proxy) as client:
        ask(client, b"1")
        wait_for_note(lab, proxy, "no datagram for 0.05 s")
        assert ask(client, b"2") == b"2"
    assert numbers(proxy) == [1, 2]
    assert len(server.connections) == 2


@pytest.mark.parametrize(
    ("kind", "faults"),
    [(Sent, {"to_server": Drop()}), (Delivered, {}), (Delivered, {"to_client": Delay(0.2)})],
)
def test_the_idle_time_counts_from_the_last_datagram(
    lab: NetLab, kind: type[Sent | Delivered], faults: dict[str, Any]
) -> None:
    proxy = lab.udp_proxy(lab.udp_responder({b"?": Later(0.2, b"!")}), idle_seconds=0.3, **faults)
    with udp_client(proxy) as client:
        client.send(b"?")
        soon = time.monotonic() + 0.15
        lab.wait_for(lambda: time.monotonic() > soon)
        client.send(b"more")
        wait_for_note(lab, proxy, "no datagram")
    number = proxy.connections[0].id
    last = [entry.at for entry in entries(lab, kind) if entry.connection == number][-1]
    over = [
        entry.at
        for entry in entries(lab, Noted)
        if entry.connection == number and "no datagram" in entry.text
    ]
    assert over[0] - last >= 0.3


def test_what_came_while_the_engine_was_late_counts(lab: NetLab) -> None:
    proxy = lab.udp_proxy(lab.udp_responder(), idle_seconds=0.2)

    def late() -> None:
        client.send(b"2")
        threading.Event().wait(0.3)

    with udp_client(proxy) as client:
        ask(client, b"1")
        lab.engine.call(late)
        assert client.recv(10) == b"2"
    assert sent(proxy) == [b"1", b"2"]


def test_what_waits_keeps_a_session(lab: NetLab) -> None:
    proxy = lab.udp_proxy(lab.udp_responder(), to_client=Delay(0.3), idle_seconds=0.02)
    with udp_client(proxy) as client:
        assert ask(client, b"") == b""
    assert numbers(proxy) == [1]


def test_a_session_that_is_over_holds_nothing(lab: NetLab) -> None:
    before = set(lab.engine.sockets)
    proxy = lab.udp_proxy(lab.udp_responder(), idle_seconds=0.02)
    made = len(lab.engine.sockets)
    with udp_client(proxy) as client:
        ask(client, b"1")
        wait_for_note(lab, proxy, "no datagram")
        assert len(lab.engine.sockets) == made
    lab.close()
    assert lab.engine.sockets <= before


# Names.


@pytest.mark.parametrize("host", HOSTS)
def test_a_name_is_resolved_for_each_session(lab: NetLab, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    server = lab.udp_responder(host=host)
    asked: list[Any] = []

    def look_up(name: str, port: int, family: int, kind: int) -> list[Any]:
        asked.append((name, kind))
        return LOOK_UP(host, port, family, kind)

    monkeypatch.setattr(_socket, "getaddrinfo", look_up)
    proxy = lab.udp_proxy(("dns.test", server.port))
    for _ in range(2):
        with udp_client(proxy) as client:
            assert ask(client, b"x") == b"x"
    assert asked == [("dns.test", socket.SOCK_DGRAM)] * 2


def test_datagrams_wait_in_order_while_a_name_is_resolved(
    lab: NetLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()

    def look_up(name: str, *rest: Any) -> list[Any]:
        go_on.wait(30)
        return LOOK_UP("127.0.0.1", *rest)

    monkeypatch.setattr(_socket, "getaddrinfo", look_up)
    proxy = lab.udp_proxy(("dns.test", lab.udp_responder().port), queue_bytes=6)
    with udp_client(proxy) as client:
        speak(client, [b"one", b"two", b"lost"])
        lab.wait_for(lambda: len(sent(proxy)) == 3)
        assert delivered(proxy) == []
        go_on.set()
        assert take(client, 2) == [b"one", b"two"]
        assert ask(client, b"four") == b"four"
    assert "datagram 2 to_server is lost" in notes(proxy)


def test_a_fault_that_is_lifted_before_a_name_is_resolved_has_no_datagram_to_add(
    lab: NetLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def adds(event: Event, seen: Seen) -> list[Event]:
        return [Datagram(event.at, b"added")] if isinstance(event, Lifted) else []

    go_on = threading.Event()

    def look_up(name: str, *rest: Any) -> list[Any]:
        go_on.wait(30)
        return LOOK_UP("127.0.0.1", *rest)

    monkeypatch.setattr(_socket, "getaddrinfo", look_up)
    proxy = lab.udp_proxy(("dns.test", lab.udp_responder().port), to_server=adds)
    with udp_client(proxy) as client:
        client.send(b"asked")
        lab.wait_for(lambda: sent(proxy) == [b"asked"])
        proxy.clear_faults()
        go_on.set()
        assert client.recv(10) == b"asked"


def test_a_name_that_does_not_resolve_ends_the_session_and_refuses(
    lab: NetLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(UdpProxy, "REFUSES_FOR", 1000.0)
    proxy = lab.udp_proxy(("a..b", 53))
    with udp_client(proxy) as client:
        client.send(b"1")
        wait_for_note(lab, proxy, "does not resolve")
        lab.wait_for(lambda: "refuses for 1000 s" in notes(proxy))
        client.send(b"2")
        with pytest.raises(ConnectionRefusedError):
            client.recv(10)


# Room.


def test_what_finds_no_room_is_lost_and_a_note_says_so(lab: NetLab) -> None:
    proxy = lab.udp_proxy(lab.udp_responder(), queue_bytes=10)
    with udp_client(proxy) as client:
        with proxy.fault(to_server=Stall()):
            speak(client, [b"0123", b"4567", b"lost", b"89", b"", b"lost too"])
            lab.wait_for(lambda: len(sent(proxy)) == 6)
        assert take(client, 3) == [b"0123", b"4567", b"89"]
        proxy.cut()
    said = notes(proxy)
    assert "datagram 2 to_server is lost" in said
    assert "more than 10 bytes would wait; a larger queue_bytes keeps them" in said
    assert "3 datagrams to_server found no room and were lost" in said


def test_empty_datagrams_take_room_too(lab: NetLab) -> None:
    proxy = lab.udp_proxy(lab.udp_responder(), to_server=Delay(0.2), queue_bytes=3)
    with udp_client(proxy) as client:
        speak(client, [b""] * 5)
        lab.wait_for(lambda: len(sent(proxy)) == 5)
        assert take(client, 3) == [b""] * 3
    assert delivered(proxy) == [b""] * 3


def test_one_datagram_always_finds_room(lab: NetLab) -> None:
    proxy = lab.udp_proxy(lab.udp_responder(), to_client=Delay(0.01), queue_bytes=1)
    with udp_client(proxy) as client:
        assert ask(client, bytes(1000)) == bytes(1000)


def test_without_a_descriptor_a_session_waits_for_one(lab: NetLab, monkeypatch: pytest.MonkeyPatch) -> None:
    real, missing = _socket.socket, iter([errno.EMFILE, errno.ENFILE])

    def socket_or_none(*args: Any, **more: Any) -> Any:
        if (problem := next(missing, None)) is not None:
            raise OSError(problem, os.strerror(problem))
        return real(*args, **more)

    proxy = lab.udp_proxy(lab.udp_responder())
    monkeypatch.setattr(ports, "_warned", True)
    with udp_client(proxy) as client:
        monkeypatch.setattr(_socket, "socket", socket_or_none)
        assert ask(client, b"patience") == b"patience"
