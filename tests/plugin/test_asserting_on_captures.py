"""The assert helpers over a Traffic that never changes, such as one that was read: what is true, false, and not known."""

from __future__ import annotations

import asyncio
import re
import socket
from dataclasses import replace
from typing import Any, Literal

import pytest

from pytest_netfixtures import (
    CaptureIncomplete,
    NetLab,
    Reset,
    Traffic,
    WaitTimeout,
    assert_closed,
    assert_closed_async,
    assert_connections,
    assert_connections_async,
    assert_delivered,
    assert_fired,
    assert_sent,
    assert_sent_async,
    assert_silent,
)
from pytest_netfixtures._wire.entries import Delivered, How, LegEnded, LegOpened, Sent
from pytest_netfixtures._wire.recorder import Recorder

from .conftest import Suite

WHY = "3 packets were lost"
Way = Literal["to_server", "to_client"]


class Film:
    """A row of things that happened, as traffic."""

    def __init__(self, record_bytes: int = 1000) -> None:
        self._recorder = Recorder(record_bytes)
        self._at = 0.0
        self._number = 0
        self._offsets: dict[tuple[str, int, str], int] = {}

    def open(self, transport: Literal["tcp", "udp"] = "tcp") -> int:
        self._number += 1
        self._at += 1
        ends = ("127.0.0.1", 50000 + self._number), ("127.0.0.1", 80)
        self._recorder.add(
            LegOpened(self._at, self._number, "file", self._number, "client", transport, *ends), None
        )
        return self._number

    def say(self, number: int, way: Way, data: bytes) -> None:
        self._at += 1
        for kind in ("sent", "delivered"):
            offset = self._offsets.get((kind, number, way), 0)
            self._offsets[kind, number, way] = offset + len(data)
            if kind == "sent":
                self._recorder.add(Sent(self._at, number, way, offset, len(data)), data)
            else:
                self._recorder.add(Delivered(self._at, number, way, offset, len(data), self._at), data)

    def end(self, number: int, by: Literal["peer", "us"], how: How) -> None:
        self._at += 1
        self._recorder.add(LegEnded(self._at, number, "client", by, how), None)

    def traffic(self, incomplete: str = "") -> Traffic:
        return replace(self._recorder.traffic(), incomplete=incomplete)


def talk(incomplete: str = "", record_bytes: int = 1000) -> Traffic:
    """Two connections; the first one is closed by the client, the second one reset by the server."""
    film = Film(record_bytes)
    first, second = film.open(), film.open()
    film.say(first, "to_server", b"PING\r\n")
    film.say(first, "to_client", b"+PONG\r\n")
    film.say(second, "to_server", b"QUIT\r\n")
    film.end(first, "peer", "FIN")
    film.end(second, "us", "RST")
    return film.traffic(incomplete)


def of(traffic: Traffic, number: int) -> Any:
    return traffic.connection(number)


def test_what_is_in_it_is_found_in_a_whole_record_and_in_an_incomplete_one() -> None:
    for traffic in (talk(), talk(WHY)):
        assert_sent(traffic, to_server=b"PING", to_client=re.compile(rb"P.NG\r\n\Z"))
        assert_delivered(traffic, to_client=b"PONG")
        assert_sent(of(traffic, 2), to_server=b"QUIT")


def test_what_is_not_in_a_whole_record_fails_without_a_wait() -> None:
    with pytest.raises(
        WaitTimeout, match=r"assert_sent \(what it looks at changes no more\): b'AUTH' to_server"
    ):
        assert_sent(talk(), to_server=b"AUTH", within=1000)
    with pytest.raises(WaitTimeout, match="connection 2 of file"):
        assert_delivered(of(talk(), 2), to_server=b"PING")


def test_what_is_not_in_an_incomplete_record_is_not_known() -> None:
    with pytest.raises(CaptureIncomplete, match=rf"this traffic may lack .*{WHY}.*absence cannot be told"):
        assert_sent(talk(WHY), to_server=b"AUTH")
    with pytest.raises(CaptureIncomplete):
        assert_delivered(talk(WHY), to_client=b"AUTH")


def test_a_cut_record_of_one_connection_is_not_known() -> None:
    traffic = talk(record_bytes=4)
    assert_sent(traffic, to_server=b"PIN")
    with pytest.raises(CaptureIncomplete, match="connection 1 of file to_server was cut"):
        assert_sent(traffic, to_server=b"PING\r")
    with pytest.raises(CaptureIncomplete, match="connection 2 of file to_server was cut"):
        assert_sent(of(traffic, 2), to_server=b"QUIT\r")


def test_a_cut_direction_does_not_hide_that_the_other_one_lacks_what_was_wanted() -> None:
    film = Film(record_bytes=4)
    number = film.open()
    film.say(number, "to_server", b"PI")
    film.say(number, "to_client", b"a long answer")
    with pytest.raises(WaitTimeout):
        assert_sent(film.traffic(), to_server=b"AUTH", to_client=b"the end")
    with pytest.raises(CaptureIncomplete):
        assert_sent(film.traffic(), to_server=b"PI", to_client=b"the end")


@pytest.mark.parametrize("pattern", [rb"PING\Z", rb"PING$", rb"G\b", rb"PING(?!\r)", rb"(?m)^PING$"])
def test_a_regex_that_looks_beyond_the_end_of_a_cut_record_is_not_known(pattern: bytes) -> None:
    with pytest.raises(CaptureIncomplete):
        assert_sent(talk(record_bytes=4), to_server=re.compile(pattern))


@pytest.mark.parametrize("pattern", [rb"P.N", rb"PING", rb"\APING", rb"[A-Z]+", rb"(?:PI)NG"])
def test_a_regex_that_does_not_is_found_there(pattern: bytes) -> None:
    assert_sent(talk(record_bytes=4), to_server=re.compile(pattern))


def test_each_datagram_of_a_cut_record_is_whole() -> None:
    film = Film(record_bytes=8)
    number = film.open("udp")
    for data in (b"who?", b"a long question"):
        film.say(number, "to_server", data)
    assert_sent(film.traffic(), to_server=re.compile(rb"who\?\Z"))
    with pytest.raises(CaptureIncomplete):
        assert_sent(film.traffic(), to_server=b"me")


def test_a_number_of_connections_is_known_of_a_whole_record_alone() -> None:
    assert_connections(talk(), 2)
    for wrong in (1, 3):
        with pytest.raises(WaitTimeout, match=f"has had 2 connections. Expected {wrong}"):
            assert_connections(talk(), wrong)
    for possible in (2, 3):
        with pytest.raises(CaptureIncomplete, match="their number cannot be told"):
            assert_connections(talk(WHY), possible)


def test_more_connections_than_expected_are_too_many_in_any_record() -> None:
    with pytest.raises(WaitTimeout, match=r"has had 2 connections\. Expected 1"):
        assert_connections(talk(WHY), 1)


def test_who_ended_a_connection_is_known_of_a_whole_record() -> None:
    assert_closed(of(talk(), 1), by="client", how="FIN")
    assert_closed(of(talk(), 2), by="server", how="RST")
    with pytest.raises(WaitTimeout, match="2: not ended"):
        assert_closed(talk(), by="client")


def test_every_connection_was_closed_is_not_known_of_an_incomplete_record() -> None:
    with pytest.raises(CaptureIncomplete, match="who ended every connection cannot be told"):
        assert_closed(talk(WHY), by="client")
    only = replace(talk(WHY), connections=talk().connections[:1])
    with pytest.raises(CaptureIncomplete):
        assert_closed(only, by="client", how="FIN")
    with pytest.raises(CaptureIncomplete):
        assert_closed(only, by="client", how="RST")


def test_an_end_that_a_record_with_holes_lacks_is_not_known() -> None:
    film = Film(record_bytes=4)
    number = film.open()
    film.say(number, "to_server", b"a long question")
    with pytest.raises(CaptureIncomplete, match="how the client ended it cannot be told"):
        assert_closed(film.traffic().connection(1), by="client")
    film.end(number, "peer", "FIN")
    assert_closed(film.traffic().connection(1), by="client", how="FIN")


def test_a_reset_is_no_clean_end_in_any_record() -> None:
    with pytest.raises(WaitTimeout, match=r"2: RST"):
        assert_closed(talk(WHY), by="server", how="FIN")


def test_what_fired_is_asked_of_the_connection() -> None:
    for value in (talk(), of(talk(), 1)):
        with pytest.raises(TypeError, match=r"look at \.faults of a connection"):
            assert_fired(value, Reset())


def test_silence_of_a_value_proves_nothing() -> None:
    for value in (talk(), of(talk(), 1)):
        with pytest.raises(TypeError, match="a value that never changes"):
            assert_silent(value)


def test_under_an_event_loop_nothing_has_to_be_awaited() -> None:
    async def main() -> None:
        assert_sent(talk(), to_server=b"PING")
        with pytest.raises(WaitTimeout):
            assert_sent(talk(), to_server=b"AUTH")
        await assert_sent_async(talk(), to_server=b"PING")
        await assert_connections_async(talk(), 2)
        with pytest.raises(CaptureIncomplete):
            await assert_closed_async(talk(WHY), by="client")

    asyncio.run(main())


def test_a_connection_from_a_file_is_not_taken_for_a_living_one_with_its_number() -> None:
    with NetLab() as lab:
        echo = lab.tcp_echo()
        with socket.create_connection(echo.address, 10) as client:
            client.sendall(b"living")
            assert client.recv(10) == b"living"
            living = echo.traffic.connection(1)
            read = replace(of(talk(), 1), id=living.id)
            assert_sent(read, to_server=b"PING")
            with pytest.raises(WaitTimeout, match="changes no more"):
                assert_sent(read, to_server=b"living")
            assert_sent(living, to_server=b"living")


def test_a_snapshot_of_a_server_stays_what_it_was() -> None:
    with NetLab() as lab:
        echo = lab.tcp_echo()
        before = echo.traffic
        with socket.create_connection(echo.address, 10) as client:
            client.sendall(b"later")
            assert client.recv(10) == b"later"
        with pytest.raises(WaitTimeout):
            assert_sent(before, to_server=b"later")
        assert_sent(echo.traffic, to_server=b"later")


def test_of_a_file_that_was_cut_off_only_what_is_in_it_is_known(suite: Suite) -> None:
    suite.write(
        """
def test_it(tcp_echo, net_capture, tmp_path):
    assert ask(tcp_echo.address, b"ping") == b"ping"
    whole = net_capture.save(tmp_path / "whole.pcapng")
    torn = tmp_path / "torn.pcapng"
    torn.write_bytes(whole.read_bytes()[:-10])
    assert_sent(read_capture(whole), to_server=b"ping")
    with pytest.raises(WaitTimeout):
        assert_sent(read_capture(whole), to_server=b"pong")
    assert_sent(read_capture(torn), to_server=b"ping")
    for claim in (lambda: assert_sent(read_capture(torn), to_server=b"pong"),
                  lambda: assert_connections(read_capture(torn), 1)):
        with pytest.raises(CaptureIncomplete, match="torn"):
            claim()
"""
    )
    suite.run("--net-capture").assert_outcomes(passed=1)


def test_a_failure_masks_what_the_lab_was_told_to_mask() -> None:
    with NetLab(redact=["token=([a-z]+)"]) as lab:
        server = lab.tcp_server()
        with socket.create_connection(server.address, 10) as client:
            conn = server.accept()
            client.sendall(b"token=abc")
            assert_sent(server, to_server=b"token=abc")
            for where in (server, lab, server.traffic.connection(1), conn):
                with pytest.raises(WaitTimeout) as miss:
                    assert_sent(where, to_server=b"token=xyz!", within=0)
                assert "abc" not in str(miss.value) and "token=***" in str(miss.value)
            with pytest.raises(AssertionError) as other:
                conn.expect(b"token=xyz")
            assert "abc" not in str(other.value)


@pytest.mark.parametrize("wrong", ["token=.*", b"x", [1], [b"token"]])
def test_what_to_mask_is_a_row_of_texts(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"redact is .*expected a row of regular expressions"):
        NetLab(redact=wrong)


def test_a_wrong_expression_is_named() -> None:
    with pytest.raises(ValueError, match=r"redact has '\('"):
        NetLab(redact=["("])
