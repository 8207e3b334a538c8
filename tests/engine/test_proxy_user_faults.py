"""Users' own fault functions: they may fail, be slow, and call back into the proxy; nothing hangs and nothing is lost."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from engine.proxy_tools import MIB, connect, entries, in_front_of, pours, read_to_end, take

from pytest_netfixtures import Delay, NetLab, NetlabError, Stall, assert_sent, assert_silent, narrow
from pytest_netfixtures._engine.proxied import READ_WITH_FAULTS
from pytest_netfixtures._engine.tcp_proxy import TcpProxy
from pytest_netfixtures._wire.effect import is_signal
from pytest_netfixtures._wire.entries import Delivered
from pytest_netfixtures._wire.events import Data, Event, Opened, Wake
from pytest_netfixtures._wire.seen import Fault, Seen

Change = Callable[[Any], object]


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


def test_two_functions_of_one_name_decide_each_by_itself() -> None:
    drawn: list[float] = []

    def one_more() -> Fault:
        def fault(event: Event, seen: Seen) -> Iterable[Event]:
            if isinstance(event, Opened):
                drawn.append(seen.decisions.chance(0))
            return [event]

        return fault

    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), to_server=[one_more(), one_more()])
        with connect(proxy) as client:
            client.sendall(b"x")
            assert take(client, 1) == b"x"
    assert len(set(drawn)) == 2


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


def test_a_fault_gets_long_traffic_in_parts_so_that_others_have_their_turn() -> None:
    sizes: list[int] = []

    def measures(event: Event, seen: Seen) -> Iterable[Event]:
        sizes.extend([len(event.data)] if isinstance(event, Data) else [])
        return [event]

    with NetLab(must_fire=False) as lab:
        proxy = in_front_of(lab, pours(bytes(MIB)), to_client=measures)
        with connect(proxy) as client:
            assert len(read_to_end(client)[0]) == MIB
    assert sum(sizes) == MIB
    assert max(sizes) <= READ_WITH_FAULTS


def dawdles(event: Event, seen: Seen) -> Iterable[Event]:
    if isinstance(event, Data):
        threading.Event().wait(0.6)
    return [] if isinstance(event, Opened) else [event]


def is_quick(event: Event, seen: Seen) -> Iterable[Event]:
    return [] if isinstance(event, Opened) else [event]


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ({"to_server": dawdles}, "dawdles to_server"),
        ({"to_server": is_quick, "to_client": [Delay(0.001), dawdles]}, "dawdles to_client"),
        (
            {"to_client": [narrow(is_quick), narrow(dawdles).on_connections(1), Delay(0.001)]},
            "narrow(dawdles).on_connections(1) to_client",
        ),
    ],
    ids=["alone", "the other way", "narrowed"],
)
def test_the_one_fault_that_holds_up_everything_is_named(rows: Any, named: str) -> None:
    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), **rows)
        with connect(proxy) as client:
            client.sendall(b"x")
            assert take(client, 1) == b"x"
            (note,) = proxy.connections[0].notes
            assert f"a call of {named} took" in note
            assert float(note.split("took ")[1].split(" s")[0]) >= 0.6


def test_a_slow_fault_that_raises_is_named_too_and_no_other_connection_is_lost() -> None:
    def dawdles_and_raises(event: Event, seen: Seen) -> Iterable[Event]:
        list(dawdles(event, seen))
        return list(fails(event, seen))

    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), to_server=narrow(dawdles_and_raises).on_connections(1))
        with connect(proxy) as client, connect(proxy) as bystander:
            lab.wait_for(lambda: len(proxy.connections) == 2)
            client.sendall(b"x")
            bystander.sendall(b"y")
            assert read_to_end(client) == (b"", "RST")
            assert take(bystander, 1) == b"y"
            notes = " / ".join(proxy.connections[0].notes)
            assert "dawdles_and_raises" in notes
            assert "LookupError" in notes
        (error,) = lab.errors()
        assert isinstance(error, LookupError)


CHANGES: dict[str, Change] = {
    "traffic": lambda proxy: str(proxy.traffic),
    "clear": lambda proxy: proxy.clear_faults(),
    "set": lambda proxy: proxy.set_faults(to_client=Delay(0.001)),
    "a block": lambda proxy: proxy.fault(to_server=Delay(0.001)).__enter__(),
    "a whole block": lambda proxy: proxy.fault(to_server=Stall()).__enter__().clear_faults(),
    "stop": lambda proxy: proxy.stop(),
    "stop and start": lambda proxy: (proxy.stop(), proxy.start()),
    "cut": lambda proxy: proxy.cut(),
    "cut with RST": lambda proxy: proxy.cut(reset=True),
    "pause": lambda proxy: proxy.pause(),
    "pause and resume": lambda proxy: (proxy.pause(), proxy.resume()),
    "resume and pause": lambda proxy: (proxy.resume(), proxy.pause()),
    "refuse": lambda proxy: proxy.refuse(),
    "forget": lambda proxy: proxy.forget(),
    "close": lambda proxy: proxy.close(),
    "fired": lambda proxy: proxy.fired(Delay(1)),
    "never_fired": lambda proxy: proxy.never_fired(),
    "upstream": lambda proxy: setattr(proxy, "upstream", ("127.0.0.1", 1)),
    "accept_delay": lambda proxy: setattr(proxy, "accept_delay", 0.001),
}

SIGNALS: dict[str, Any] = {"when bytes come": Data, "when it opens": Opened, "when it is woken": Wake}


@pytest.mark.parametrize("signal", SIGNALS.values(), ids=SIGNALS)
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_fault_may_call_its_own_proxy(change: Change, signal: Any) -> None:
    done = threading.Event()

    def calls_back(event: Event, seen: Seen) -> Iterable[Event]:
        if isinstance(event, Opened):
            yield Wake(event.at + 0.002)
        if isinstance(event, signal) and not done.is_set():
            change(proxy)
            done.set()
        yield from () if is_signal(event) else (event,)

    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), to_server=[Delay(0.001), calls_back, Delay(0.002)])
        with connect(proxy) as client:
            send_or_end(client)
            assert done.wait(10)
            proxy.resume()
            assert read_or_end(client) in (b"x", b"")
        assert lab.errors() == []


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_fault_may_call_the_proxy_of_somebody_else(change: Change) -> None:
    done = threading.Event()

    def calls_over(event: Event, seen: Seen) -> Iterable[Event]:
        if isinstance(event, Data):
            change(other)
            done.set()
        yield from () if is_signal(event) else (event,)

    with NetLab(must_fire=False) as lab:
        server = lab.tcp_echo()
        other, proxy = (
            lab.tcp_proxy(server, to_client=Delay(0.001)),
            lab.tcp_proxy(server, to_server=calls_over),
        )
        with connect(proxy) as client, connect(other) as bystander:
            bystander.sendall(b"y")
            assert take(bystander, 1) == b"y"
            client.sendall(b"x")
            assert take(client, 1) == b"x"
            assert done.is_set()
        assert lab.errors() == []


def test_a_pause_from_within_a_fault_holds_what_it_lets_through() -> None:
    def pauses(event: Event, seen: Seen) -> Iterable[Event]:
        if isinstance(event, Data):
            proxy.pause()
        return [] if is_signal(event) else [event]

    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), to_server=pauses)
        with connect(proxy) as client:
            client.sendall(b"held")
            lab.wait_for(lambda: proxy.paused)
            client.settimeout(0.05)
            with pytest.raises(TimeoutError):
                client.recv(1)
            client.settimeout(10)
            proxy.resume()
            assert take(client, 4) == b"held"


class NeverNested:
    """A fault that notes whether it was called while it was being called; what it does then is `act`."""

    def __init__(self, act: Callable[[], object], when: Any) -> None:
        self.calls: list[Event] = []
        self.nested: list[Event] = []
        self._act = act
        self._when = when
        self._inside = False

    def __call__(self, event: Event, seen: Seen) -> Iterable[Event]:
        self.calls.append(event)
        self.nested += [event] if self._inside else []
        self._inside = True
        if isinstance(event, self._when) and not self.nested:
            self._act()
        self._inside = False
        wakes = [Wake(event.at + 0.01)] if isinstance(event, Opened) else []
        return [*wakes, *(() if is_signal(event) else (event,))]


def test_a_fault_that_goes_on_after_a_pause_is_not_called_within_its_own_call() -> None:
    def pauses_until_a_call_is_due() -> None:
        proxy.pause()
        until = time.monotonic() + 0.02
        while time.monotonic() < until:
            proxy.fired(fault)
        proxy.resume()

    fault = NeverNested(pauses_until_a_call_is_due, Data)
    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_server(lambda conn: conn.send(b"x")), to_client=fault)
        with connect(proxy) as client:
            assert take(client, 1) == b"x"
            lab.wait_for(lambda: any(isinstance(event, Wake) for event in fault.calls))
    assert fault.nested == []


def test_a_fault_that_lets_its_proxy_forget_is_not_called_within_its_own_call() -> None:
    def sends_and_forgets() -> None:
        client.sendall(b"more")
        proxy.forget()

    fault = NeverNested(sends_and_forgets, Wake)
    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), to_server=fault)
        with connect(proxy) as client:
            assert take(client, 4) == b"more"
    assert fault.nested == []


WAITS: dict[str, Callable[[NetLab, TcpProxy], object]] = {
    "wait_for": lambda lab, proxy: lab.wait_for(lambda: False),
    "accept": lambda lab, proxy: lab.tcp_server().accept(),
    "assert_sent": lambda lab, proxy: assert_sent(proxy, to_server=b"never comes"),
    "assert_silent": lambda lab, proxy: assert_silent(proxy, during=1000),
}


@pytest.mark.parametrize("name", list(WAITS))
def test_a_fault_that_waits_for_the_engine_is_refused_at_once_by_name(name: str) -> None:
    def waits(event: Event, seen: Seen) -> Iterable[Event]:
        if isinstance(event, Data):
            WAITS[name](lab, proxy)
        return [] if is_signal(event) else [event]

    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), to_server=waits)
        with connect(proxy) as client:
            client.sendall(b"x")
            assert read_to_end(client) == (b"", "RST")
        (error,) = lab.errors()
        assert isinstance(error, NetlabError)
        assert f"{name}() would have to wait" in str(error)
        assert "waits" in _functions(error)


def test_a_fault_that_reads_from_a_server_is_refused_and_what_is_true_already_is_no_wait() -> None:
    def reads(event: Event, seen: Seen) -> Iterable[Event]:
        if isinstance(event, Data):
            lab.wait_for(lambda: True)
            lab.wait_for(lambda: proxy.connections)
            conn.recv_exactly(1000)
        return [] if is_signal(event) else [event]

    with NetLab(must_fire=False) as lab:
        server = lab.tcp_server()
        proxy = lab.tcp_proxy(server, to_server=reads)
        with connect(proxy) as client:
            conn = server.accept()
            client.sendall(b"x")
            assert read_to_end(client) == (b"", "RST")
        (error,) = lab.errors()
        assert "recv_exactly() would have to wait" in str(error)


def send_or_end(client: Any) -> None:
    try:
        client.sendall(b"x")
    except OSError:
        return  # it was ended already


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


@pytest.mark.parametrize("end", [lambda proxy: proxy.stop(), lambda proxy: proxy.cut()], ids=["stop", "cut"])
def test_a_fault_that_ends_its_connection_is_never_woken_again(end: Change) -> None:
    calls: list[Event] = []

    def ends_and_wakes(event: Event, seen: Seen) -> Iterable[Event]:
        calls.append(event)
        if isinstance(event, Data):
            end(proxy)
        yield Wake(event.at + 0.001)

    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), to_server=ends_and_wakes)
        with connect(proxy) as client:
            client.sendall(b"x")
            assert read_to_end(client)[0] == b""
        lab.wait_for(lambda: not proxy.open_connections())
        lab.engine.call(calls.clear)
        with pytest.raises(AssertionError):
            lab.wait_for(lambda: calls, within=0.05)


def test_a_fault_is_not_woken_when_its_connection_has_ended_by_itself() -> None:
    calls: list[Event] = []

    def wakes(event: Event, seen: Seen) -> Iterable[Event]:
        calls.append(event)
        yield Wake(event.at + 0.001)
        yield from () if is_signal(event) else (event,)

    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), to_server=wakes)
        with connect(proxy) as client:
            lab.wait_for(lambda: len(calls) > 3)
            client.shutdown(socket.SHUT_WR)
            assert read_to_end(client) == (b"", "FIN")
        lab.wait_for(lambda: not proxy.open_connections())
        lab.engine.call(calls.clear)
        with pytest.raises(AssertionError):
            lab.wait_for(lambda: calls, within=0.05)
