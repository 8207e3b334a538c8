"""What faults and connections leave behind: nothing that is still armed, waits, or holds up others."""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Event as Flag

from engine.proxy_tools import connect, entries, in_front_of, read_to_end, take

from pytest_netfixtures import Coalesce, NetLab, Reset
from pytest_netfixtures._engine.connection import ServerConnection
from pytest_netfixtures._wire.effect import is_signal
from pytest_netfixtures._wire.entries import Noted
from pytest_netfixtures._wire.events import Data, Event, Opened, Wake
from pytest_netfixtures._wire.seen import Seen


def restless(event: Event, seen: Seen) -> Iterator[Event]:
    """Wants to be called again sooner than anybody can."""
    if isinstance(event, (Opened, Wake)):
        yield Wake(event.at + 1e-6)
    if not is_signal(event):
        yield event


def test_a_fault_that_wants_more_wake_up_calls_than_there_is_time_for_holds_up_nobody() -> None:
    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), to_client=restless)
        with connect(proxy) as client:
            client.sendall(b"x")
            assert take(client, 1) == b"x"
            proxy.stop()
            assert read_to_end(client)[0] == b""


def test_a_fault_that_is_lifted_while_it_is_being_added_stays_on_no_connection() -> None:
    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo())

        def upper(event: Event, seen: Seen) -> Iterator[Event]:
            if isinstance(event, Opened):
                proxy.clear_faults()
            if not is_signal(event):
                yield Data(event.at, event.data.upper()) if isinstance(event, Data) else event

        with connect(proxy) as one, connect(proxy) as two:
            for client in (one, two):
                client.sendall(b"a")
                assert take(client, 1) == b"a"
            proxy.set_faults(to_client=upper)
            for client in (one, two):
                client.sendall(b"b")
                assert take(client, 1) == b"b"


def test_a_connection_that_is_over_leaves_no_wake_up_call_behind() -> None:
    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), to_client=Reset().after_seconds(3600))
        for _ in range(3):
            with connect(proxy) as client:
                client.sendall(b"x")
                assert take(client, 1) == b"x"
        lab.wait_for(lambda: not proxy.open_connections())
        lab.wait_for(lambda: _far_timers(lab) == 0)


def _far_timers(lab: NetLab) -> int:
    heap = list(lab.engine._timers._heap)
    return sum(not timer.cancelled for at, _, timer in heap if at > time.monotonic() + 1000)


def test_what_was_never_delivered_is_said_once() -> None:
    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), to_client=Coalesce(60))
        with connect(proxy) as client:
            client.sendall(b"abc")
            lab.wait_for(lambda: proxy.connections and proxy.connections[0].to_client.sent == b"abc")
            proxy.cut()
            assert read_to_end(client)[0] == b""
        proxy.stop()
        lost = [note.text for note in entries(lab, Noted) if "never delivered" in note.text]
        assert lost == ["3 bytes to_client of connection 1 were never delivered"]


def test_a_pause_holds_the_end_of_a_leg_that_was_left_alone() -> None:
    leave = Flag()

    def answers_and_waits(conn: ServerConnection) -> None:
        conn.send(b"answer")
        conn.hold(leave)

    with NetLab() as lab:
        proxy = in_front_of(lab, answers_and_waits, to_client=Reset(at=0, other_leg=False))
        with connect(proxy) as client:
            assert read_to_end(client) == (b"", "RST")
        with proxy.pause():
            leave.set()
            lab.wait_for(lambda: proxy.connections[0].ended["server"] == "FIN")
            lab.engine.call(len, "what was posted before is done")
            assert proxy.open_connections()
        lab.wait_for(lambda: not proxy.open_connections())
