"""Users' own fault functions: they may fail, be slow, and call back into the proxy; nothing hangs and nothing is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from engine.proxy_tools import connect, entries, read_to_end, take

from pytest_netfixtures import Delay, NetLab, narrow
from pytest_netfixtures._engine.tcp_proxy import TcpProxy
from pytest_netfixtures._wire.entries import Delivered
from pytest_netfixtures._wire.events import Data, Event, Opened, Wake
from pytest_netfixtures._wire.seen import Seen

Change = Callable[[TcpProxy], object]


def fails(event: Event, seen: Seen) -> Iterable[Event]:
    if isinstance(event, Data):
        raise LookupError("a fault of the fault")
    yield event


def fails_the_test(event: Event, seen: Seen) -> Iterable[Event]:
    if isinstance(event, Data):
        pytest.fail("not what I wanted")
    yield event


def yields_rubbish(event: Event, seen: Seen) -> Any:
    return [b"bytes are no event"] if isinstance(event, Data) else [event]


@pytest.mark.parametrize(
    ("fault", "kind"),
    [(fails, LookupError), (fails_the_test, pytest.fail.Exception), (yields_rubbish, TypeError)],
)
def test_a_fault_that_raises_resets_its_connection_and_the_error_comes_out(fault: Any, kind: Any) -> None:
    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), to_server=narrow(fault).on_connections(1))
        with connect(proxy) as client:
            client.sendall(b"x")
            assert read_to_end(client) == (b"", "RST")
        (error,) = lab.errors()
        assert isinstance(error, kind)
        assert lab.errors() == []
        if fault is not yields_rubbish:
            assert fault.__name__ in _functions(error)
        with connect(proxy) as client:
            client.sendall(b"x")
            assert take(client, 1) == b"x"


def _functions(error: BaseException) -> list[str]:
    names, trace = [], error.__traceback__
    while trace is not None:
        names.append(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    return names


def test_an_error_that_nobody_took_comes_out_of_the_lab() -> None:
    with pytest.raises(LookupError, match="a fault of the fault"), NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), to_client=fails)
        with connect(proxy) as client:
            client.sendall(b"x")
            read_to_end(client)


def test_a_fault_that_holds_up_everything_is_named() -> None:
    def dawdles(event: Event, seen: Seen) -> Iterable[Event]:
        if isinstance(event, Data):
            threading.Event().wait(0.6)
        return [] if isinstance(event, Opened) else [event]

    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), to_server=dawdles)
        with connect(proxy) as client:
            client.sendall(b"x")
            assert take(client, 1) == b"x"
            (note,) = proxy.connections[0].notes
            assert "dawdles" in note
            assert float(note.split("took ")[1].split(" s")[0]) >= 0.6


@pytest.mark.parametrize(
    "change",
    [
        lambda proxy: proxy.traffic,
        lambda proxy: proxy.clear_faults(),
        lambda proxy: proxy.set_faults(to_client=Delay(0.001)),
        lambda proxy: proxy.stop(),
        lambda proxy: proxy.cut(reset=True),
        lambda proxy: proxy.pause(),
        lambda proxy: proxy.refuse(),
        lambda proxy: proxy.forget(),
        lambda proxy: proxy.close(),
        lambda proxy: proxy.fired(Delay(1)),
        lambda proxy: proxy.never_fired(),
    ],
    ids=[
        "traffic",
        "clear",
        "set",
        "stop",
        "cut",
        "pause",
        "refuse",
        "forget",
        "close",
        "fired",
        "never_fired",
    ],
)
def test_a_fault_may_call_its_own_proxy(change: Change) -> None:
    done = threading.Event()

    def calls_back(event: Event, seen: Seen) -> Iterable[Event]:
        if isinstance(event, Data):
            change(proxy)
            done.set()
        return [] if isinstance(event, Opened) else [event]

    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), to_server=[Delay(0.001), calls_back, Delay(0.002)])
        with connect(proxy) as client:
            client.sendall(b"x")
            assert done.wait(10)
            proxy.resume()
            assert read_or_end(client) in (b"x", b"")
        assert lab.errors() == []


def read_or_end(client: Any) -> bytes:
    client.settimeout(0.1)
    try:
        data: bytes = client.recv(1)
    except OSError:
        return b""
    return data


def test_a_fault_that_lifts_itself_lets_everything_through_from_then_on() -> None:
    def once(event: Event, seen: Seen) -> Iterable[Event]:
        if isinstance(event, Data):
            proxy.clear_faults()
            yield Data(event.at, event.data.upper())

    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), to_server=once)
        with connect(proxy) as client:
            client.sendall(b"abc")
            assert take(client, 3) == b"ABC"
            client.sendall(b"def")
            assert take(client, 3) == b"def"
        assert lab.errors() == []


def test_a_fault_may_act_without_input() -> None:
    def ticks(event: Event, seen: Seen) -> Iterable[Event]:
        if isinstance(event, Opened) or (isinstance(event, Wake) and seen.bytes < 30):
            yield Data(event.at, b"tick ")
            yield Wake(event.at + 0.005)
        elif isinstance(event, Data):
            yield event

    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_server(), to_client=ticks)
        with connect(proxy) as client:
            assert take(client, 15) == b"tick tick tick "
            dues = [entry.due for entry in entries(lab, Delivered) if entry.direction == "to_client"]
            assert dues[2] - dues[0] == pytest.approx(0.01)


def test_a_fault_that_wakes_for_ever_ends_with_its_proxy() -> None:
    calls: list[float] = []

    def wakes(event: Event, seen: Seen) -> Iterable[Event]:
        calls.append(event.at)
        yield Wake(event.at + 0.001)

    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), to_client=wakes)
        with connect(proxy):
            lab.wait_for(lambda: len(calls) > 10)
            proxy.stop()
            lab.engine.call(calls.clear)
            with pytest.raises(AssertionError):
                lab.wait_for(lambda: calls, within=0.05)
