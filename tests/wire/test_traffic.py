"""Snapshots: what users assert on."""

from __future__ import annotations

from dataclasses import replace

import pytest
from wire.tape import Tape

from pytest_netfixtures._errors import CaptureIncomplete
from pytest_netfixtures._wire.recorder import Recorder
from pytest_netfixtures._wire.traffic import FlowEvent, Traffic, address_text, table


def cut_reply() -> Tape:
    tape = Tape().proxy().passed("to_server", b"PING\r\n").sent("to_client", b"+PONG\r\n")
    tape.fired("to_client", "Reset(after=3)", "RST after byte 3", 3).delivered(
        "to_client", b"+PO", "Reset(after=3)"
    )
    return tape.ended("client", "us", "RST", "Reset(after=3)").ended("server", "us", "RST", "Reset(after=3)")


def test_a_connection_says_what_went_over_it() -> None:
    traffic = cut_reply().recorder.traffic()
    c = traffic.connection(1)
    assert (c.number, c.endpoint, c.transport, c.id) == (1, "redis", "tcp", 1)
    assert (c.peer, c.address, c.upstream) == (
        ("127.0.0.1", 40122),
        ("127.0.0.1", 43127),
        ("127.0.0.1", 6379),
    )
    assert (c.opened_at, c.opened_before, c.faults, c.notes) == (100.0, False, ("Reset(after=3)",), ())
    assert traffic.to_server.sent == traffic.to_server.delivered == b"PING\r\n"
    assert (traffic.to_client.sent, traffic.to_client.delivered) == (b"+PONG\r\n", b"+PO")
    assert (c.to_client.sent_bytes, c.to_client.delivered_bytes, c.to_client.cut) == (7, 3, False)
    assert c.flow("to_server") is c.to_server
    assert c.flow("to_client") is c.to_client


def test_a_reset_by_a_fault_is_an_end_of_the_flow_and_not_of_a_side() -> None:
    c = cut_reply().recorder.traffic().connection(1)
    assert c.ended == {"client": None, "server": None}
    assert (c.to_client.end, c.to_server.end) == ("RST", "RST")


def test_events_stand_in_time_order_with_places_in_the_record() -> None:
    tape = Tape().opened()
    tape.sent("to_server", b"abc").delivered("to_server", b"ab").sent("to_server", b"d").delivered(
        "to_server", b"cd"
    )
    events = tape.recorder.traffic().to_server.events
    assert [event[1:] for event in events] == [
        ("sent", 0, 3),
        ("delivered", 0, 2),
        ("sent", 3, 1),
        ("delivered", 2, 2),
    ]
    assert isinstance(events[0], FlowEvent)
    assert [event.at for event in events] == sorted(event.at for event in events)


def test_datagrams_are_read_as_a_list_of_bytes() -> None:
    tape = (
        Tape(transport="udp")
        .opened()
        .sent("to_server", b"who?")
        .sent("to_server", b"")
        .delivered("to_server", b"who?")
    )
    flow = tape.recorder.traffic().to_server
    assert flow.datagrams
    assert flow.sent == [b"who?", b""]
    assert flow.delivered == (b"who?",)
    assert [event[1:] for event in flow.events] == [("sent", 0, 4), ("sent", 1, 0), ("delivered", 0, 4)]


def test_a_cut_record_counts_on_and_refuses_equality() -> None:
    tape = Tape(Recorder(record_bytes=4)).opened().passed("to_server", b"abc").passed("to_server", b"def")
    flow = tape.recorder.traffic().to_server
    assert (flow.cut, flow.sent_bytes, flow.delivered_bytes) == (True, 6, 6)
    assert flow.sent[:4] == b"abcd"
    with pytest.raises(CaptureIncomplete):
        assert flow.sent == b"abcd"


def test_snapshots_are_equal_by_value() -> None:
    one, other = cut_reply().recorder.traffic(), cut_reply().recorder.traffic()
    assert one == other
    assert one is not other
    assert one.to_server != other.to_client
    assert one.to_server != "to_server"


def test_snapshots_differ_when_anything_does() -> None:
    assert cut_reply().recorder.traffic() != cut_reply().noted("odd").recorder.traffic()
    assert cut_reply().recorder.traffic() != cut_reply().passed("to_server", b"x").recorder.traffic()


def test_a_connection_is_found_by_number_and_endpoint() -> None:
    recorder = Tape().opened().recorder
    Tape(recorder, 2, endpoint="echo", number=1).opened()
    traffic = recorder.traffic()
    assert traffic.connection(1, "echo").id == 2
    assert traffic.connection(1, endpoint="redis").id == 1
    with pytest.raises(
        ValueError,
        match=r"several connections have number 1\. Expected exactly one among: 1 \(redis.*endpoint=",
    ):
        traffic.connection(1)
    with pytest.raises(
        ValueError, match=r"no connection has number 2 of echo\. Expected .* Use one of these numbers\."
    ):
        traffic.connection(2, "echo")


def test_the_flows_of_the_only_connection_need_an_only_connection() -> None:
    assert (Traffic().to_server.sent, Traffic().to_client.delivered, Traffic().to_client.end) == (
        b"",
        b"",
        None,
    )
    recorder = Recorder()
    for number in range(1, 24):
        Tape(recorder, number).opened()
    with pytest.raises(
        ValueError,
        match=r"there are 23: 1 \(redis, from 127.*20 \(redis, .* and 3 more\. .*connection\(1\)\.to_client",
    ):
        _ = recorder.traffic().to_client


def test_the_table_has_a_line_for_each_connection() -> None:
    tape = cut_reply()
    Tape(tape.recorder, 2, endpoint="echo", number=-1).opened(before=True).ended("client", "peer")
    lines = str(tape.recorder.traffic()).splitlines()
    assert lines[0].split() == (
        "# endpoint client opened s to_server sent delivered to_client sent delivered client end server end faults".split()
    )
    assert lines[1].split() == "1 redis 127.0.0.1:40122 0.000 6 6 7 3 - - Reset(after=3)".split()
    assert lines[2].split() == "-1 echo 127.0.0.1:40122 before 0 0 0 0 FIN - -".split()
    assert lines[1].index("127.0.0.1") == lines[2].index("127.0.0.1") == lines[0].index("client")


def test_names_are_safe_to_print() -> None:
    c = replace(cut_reply().recorder.traffic().connection(1), endpoint="\x1b[31mred", address="/tmp/\tsocket")
    traffic = Traffic((replace(c, peer="/tmp/\x07"), c))
    assert (str(traffic) + repr(traffic.connections)).replace("\n", "").isprintable()


def test_a_table_of_nothing_says_so() -> None:
    assert table(Traffic()) == "no connections"


def test_representations_are_one_line() -> None:
    traffic = cut_reply().recorder.traffic()
    assert repr(traffic) == "<Traffic: 1 connection, delivered 6 B to server, 3 B to client>"
    assert repr(traffic.to_client) == "<to_client: sent 7 B, delivered 3 B, RST>"
    assert repr(Traffic()) == "<Traffic: 0 connections, delivered 0 B to server, 0 B to client>"
    assert repr(traffic.connection(1)) == (
        "<Connection 1 of redis from 127.0.0.1:40122: <to_server: sent 6 B, delivered 6 B, RST>, "
        "<to_client: sent 7 B, delivered 3 B, RST>, ended by client=None server=None>"
    )


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (("127.0.0.1", 80), "127.0.0.1:80"),
        (("::1", 80), "[::1]:80"),
        ("/run/x.sock", "/run/x.sock"),
        ("", "unnamed"),
    ],
)
def test_addresses_are_written_as_people_write_them(address: tuple[str, int] | str, text: str) -> None:
    assert address_text(address) == text
