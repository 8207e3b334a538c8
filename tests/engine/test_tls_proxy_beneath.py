"""Faults on the cipher text of a client's leg: cuts within the handshake, and what they count, say and leave alone.

Real sockets and Python's own ssl as the client. The sweeps cut a handshake at one byte after the other.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterable
from typing import Any

import pytest
from engine.proxy_tools import MIB, connect, ends, entries, in_front_of, pattern, pours, take
from engine.tls_proxy_tools import read_all, secure, wrap

from pytest_netfixtures import (
    Bandwidth,
    Corrupt,
    Data,
    Delay,
    Drop,
    Event,
    NetLab,
    Reset,
    Seen,
    Slice,
    Stall,
    Truncate,
    assert_fired,
)
from pytest_netfixtures._replay import faults
from pytest_netfixtures._wire.entries import Fired, LegEnded, Sealed
from pytest_netfixtures._wire.ladder import ladder

STEP = 7
MOST = 3000
"""More bytes than any flight of a handshake has here."""


MET = (ssl.SSLEOFError, ConnectionResetError, BrokenPipeError)


class AtEach:
    """A fault that acts one step later on each connection."""

    def __init__(self, kind: Any, first: int) -> None:
        self.kind = kind
        self.first = first

    def __call__(self, event: Event, seen: Seen) -> Iterable[Event]:
        fault: Iterable[Event] = self.kind(after=self.first + (seen.number - 1) * STEP)(event, seen)
        return fault


def attempt(lab: NetLab, proxy: Any) -> tuple[bool, BaseException | None]:
    """Whether the client's handshake was done, and what it met in it or behind it."""
    done = False
    try:
        with secure(lab, proxy) as client:
            done = True
            client.sendall(b"x")
            assert client.recv(1) == b"x"
    except OSError as error:
        return done, error
    return done, None


@pytest.mark.parametrize("way", ["to_client", "to_server"])
@pytest.mark.parametrize(("kind", "first"), [(Truncate, 0), (Truncate, 1), (Reset, 2), (Reset, 3)])
def test_a_handshake_that_is_cut_anywhere_is_an_error_and_never_hangs(
    kind: Any, first: int, way: str
) -> None:
    with NetLab() as lab:
        cut = AtEach(kind, first)
        proxy = lab.tcp_proxy(lab.tcp_echo(), tls=True, beneath_tls={way: cut})
        failed = 0
        for number in range(1, MOST // STEP):
            done, error = attempt(lab, proxy)
            if error is None:
                break
            failed += not done
            assert isinstance(error, MET), (number, error)
        assert failed > 20
        assert proxy.fired(cut) >= number - 1
        lab.wait_for(lambda: not proxy.open_connections())


def test_exactly_so_many_bytes_of_cipher_text_arrive() -> None:
    with NetLab() as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), tls=True, beneath_tls={"to_client": Truncate(after=100)})
        with connect(proxy) as raw:
            with pytest.raises(ssl.SSLEOFError):
                wrap(lab, raw)
        lab.wait_for(lambda: not proxy.open_connections())
        (connection,) = proxy.connections
        assert connection.tls is None
        assert connection.to_client.delivered == connection.to_server.sent == b""
        assert connection.faults == ("Truncate(after=100) beneath TLS",)


def test_what_is_cut_in_the_handshake_is_written_down_as_it_was_on_the_wire() -> None:
    with NetLab() as lab:
        seen: list[Any] = []
        lab._add_sink(lambda entry, data: seen.append(entry))
        proxy = lab.tcp_proxy(lab.tcp_echo(), tls=True, beneath_tls={"to_client": Truncate(after=100)})
        assert isinstance(attempt(lab, proxy)[1], ssl.SSLEOFError)
        lab.wait_for(lambda: not proxy.open_connections())
        ours = [entry.size for entry in seen if isinstance(entry, Sealed) and entry.by == "us"]
        assert sum(ours) == 100
        (end,) = [e for e in seen if isinstance(e, LegEnded) and e.faults]
        assert (end.leg, end.how, end.faults) == ("client", "FIN", ("Truncate(after=100) beneath TLS",))
        assert ends(proxy)["server"] == "FIN"


def test_flipped_bits_in_the_handshake_are_an_error_of_ssl() -> None:
    with NetLab() as lab:
        flip = Corrupt(at=60)
        proxy = lab.tcp_proxy(lab.tcp_echo(), tls=True, beneath_tls={"to_client": flip})
        done, error = attempt(lab, proxy)
        assert not done and isinstance(error, ssl.SSLError), error
        lab.wait_for(lambda: "failed" in " ".join(proxy.connections[0].notes))
        assert proxy.fired(flip) == 1


def test_flipped_bits_behind_the_handshake_are_an_error_too() -> None:
    with NetLab() as lab:
        proxy = in_front_of(
            lab, pours(pattern(MIB)), tls=True, beneath_tls={"to_client": Corrupt(at=200_000)}
        )
        with secure(lab, proxy) as client, pytest.raises(ssl.SSLError, match=r"(?i)mac|decrypt"):
            while client.recv(65536):
                pass


@pytest.mark.parametrize(
    "row",
    [Slice(1, gap=0.0), Slice(1000, gap=0.0001), Delay(0.01), Bandwidth(20 * MIB), Stall(seconds=0.05)],
    ids=repr,
)
@pytest.mark.parametrize("way", ["to_server", "to_client"])
def test_faults_that_shape_break_nothing(row: Any, way: str) -> None:
    with NetLab() as lab:
        size = 2000 if row == Slice(1, gap=0.0) else 300_000
        proxy = lab.tcp_proxy(lab.tcp_echo(), tls=True, beneath_tls={way: row})
        with secure(lab, proxy) as client:
            data = pattern(size)
            for start in range(0, size, 50_000):
                client.sendall(data[start : start + 50_000])
                assert take(client, min(50_000, size - start)) == data[start : start + 50_000]
            client.shutdown(socket.SHUT_WR)
        assert proxy.fired(row) == 1
        lab.wait_for(lambda: not proxy.open_connections())


def test_an_end_comes_behind_its_bytes_and_stays_clean() -> None:
    with NetLab() as lab:
        proxy = in_front_of(lab, pours(pattern(50_000)), tls=True, beneath_tls={"to_client": Delay(0.05)})
        with secure(lab, proxy) as client:
            assert read_all(client) == (pattern(50_000), "close_notify")


@pytest.mark.parametrize("fault", [Stall(), Drop(), Drop(after=100), Stall(after=1)], ids=repr)
@pytest.mark.parametrize("way", ["to_server", "to_client"])
def test_a_handshake_may_hang(fault: Any, way: str) -> None:
    with NetLab() as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), tls=True, beneath_tls={way: fault})
        with connect(proxy) as raw:
            raw.settimeout(0.05)
            with pytest.raises(TimeoutError):
                wrap(lab, raw)
        assert_fired(proxy, fault)


def test_what_swallows_in_the_middle_leaves_the_client_waiting() -> None:
    with NetLab() as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), tls=True, beneath_tls={"to_client": Drop(after=5000)})
        with secure(lab, proxy) as client:
            client.sendall(bytes(20_000))
            assert_fired(proxy, Drop(after=5000))
            client.settimeout(0.05)
            with pytest.raises(TimeoutError):
                client.recv(20_000)


def test_the_rows_above_and_beneath_count_each_for_itself() -> None:
    with NetLab() as lab:
        above, under = Truncate(after=5), Delay(0.001)
        proxy = in_front_of(
            lab,
            pours(b"abcdefg"),
            tls=True,
            to_client=above,
            beneath_tls={"to_client": under, "to_server": ()},
        )
        with secure(lab, proxy) as client:
            assert read_all(client) == (b"abcde", "FIN")
        assert (proxy.fired(above), proxy.fired(under)) == (1, 1)
        assert proxy.armed_so_far() == {"to_server": [], "to_client": [above]}
        assert proxy.armed_so_far(beneath_tls=True) == {"to_server": [], "to_client": [under]}
        assert proxy.is_armed(under)


def test_a_fault_beneath_that_never_fired_is_named() -> None:
    with NetLab(must_fire=False) as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), tls=True, beneath_tls={"to_client": Reset(after=10**6)})
        with secure(lab, proxy):
            pass
        assert proxy.never_fired() == ["Reset(after=1000000) to_client beneath TLS of tcp_proxy"]


def test_the_report_says_that_it_was_beneath() -> None:
    with NetLab() as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), tls=True, beneath_tls={"to_client": Truncate(after=100)})
        attempt(lab, proxy)
        lab.wait_for(lambda: not proxy.open_connections())
        (fired,) = entries(lab, Fired)
        assert (fired.beneath_tls, fired.effect) == (True, "FIN after byte 100")
        told = ladder(lab.recorder.story(), lab.traffic)
        assert "*** Truncate(after=100) beneath TLS to_client: FIN after byte 100" in told
        assert "TLS failed: the client left before it was done" in told
        assert "nothing more was sent" not in told
        assert faults([proxy], ()) == ['faults of tcp_proxy: beneath_tls["to_client"]=[Truncate(after=100)]']


def test_forgetting_begins_afresh_beneath_too() -> None:
    with NetLab() as lab:
        kept = Delay(0.001)
        proxy = lab.tcp_proxy(lab.tcp_echo(), tls=True, beneath_tls={"to_client": kept})
        with secure(lab, proxy) as client:
            lab.forget()
            assert proxy.fired(kept) == 0
            client.sendall(b"x")
            assert take(client, 1) == b"x"
            assert proxy.fired(kept) == 1
        assert proxy.never_fired() == []


def test_a_fault_that_raises_resets_the_connection_and_fails_the_test() -> None:
    def broken(event: Event, seen: Seen) -> Iterable[Event]:
        if seen.bytes > 100:
            raise LookupError("a fault of mine")
        yield event

    with pytest.raises(LookupError), NetLab() as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), tls=True, beneath_tls={"to_server": broken})
        with secure(lab, proxy) as client:
            assert read_all(client) == (b"", "RST")


def test_memory_is_bounded_while_a_client_pours_into_a_stall() -> None:
    with NetLab() as lab:
        proxy = lab.tcp_proxy(
            lab.tcp_echo(), tls=True, queue_bytes=MIB, beneath_tls={"to_server": Stall(after=2000)}
        )
        with secure(lab, proxy) as client:
            client.settimeout(0.2)
            with pytest.raises(TimeoutError):
                client.sendall(bytes(32 * MIB))
            assert_fired(proxy, Stall(after=2000))
            (live,) = proxy.open_connections()
            row: Any = live
            assert row._beneath.waiting("to_server") < 3 * MIB


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"client": Delay(1)}, ValueError, "beneath_tls has the key 'client'; expected"),
        (Delay(1), TypeError, "beneath_tls is Delay(seconds=1); expected"),
        ({"to_client": 3}, TypeError, "beneath_tls['to_client'] is 3; expected a fault"),
    ],
)
def test_what_is_no_row_beneath_is_said(given: Any, error: type[Exception], says: str) -> None:
    with NetLab() as lab, pytest.raises(error, match=re.escape(says)):
        lab.tcp_proxy(lab.tcp_echo(), tls=True, beneath_tls=given)


def test_without_tls_there_is_nothing_beneath() -> None:
    with (
        NetLab() as lab,
        pytest.raises(ValueError, match="without tls=; expected a proxy that terminates TLS: write tls=True"),
    ):
        lab.tcp_proxy(lab.tcp_echo(), beneath_tls={"to_client": Delay(1)})


def test_what_a_fault_beneath_has_swallowed_was_never_delivered() -> None:
    from_now_on: list[bool] = []

    def swallow(event: Event, seen: Seen) -> Iterable[Event]:
        return () if isinstance(event, Data) and from_now_on else (event,)

    with NetLab() as lab:
        proxy = lab.tcp_proxy(lab.tcp_echo(), tls=True, beneath_tls={"to_client": swallow})
        with secure(lab, proxy) as client:
            client.sendall(b"one")
            assert take(client, 3) == b"one"
            from_now_on.append(True)
            client.sendall(b"two")
            assert_fired(proxy, swallow)
            flow = proxy.traffic.to_client
            assert (flow.sent, flow.delivered) == (b"onetwo", b"one")
