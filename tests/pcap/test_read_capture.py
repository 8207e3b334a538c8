"""Files of ours and of others as traffic: names, faults, notes, what is missing, and the numbers that tshark gives too."""

from __future__ import annotations

import copy
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pcap import shark, walk
from pcap.scene import START, WALL, Scene
from pcap.segments import ACK, CLIENT, PSH, RST, SERVER, Talker, datagram, packet

import pytest_netfixtures
from pytest_netfixtures import CaptureIncomplete, CaptureUnavailable, Count, read_capture
from pytest_netfixtures._pcap import blocks, rows
from pytest_netfixtures._pcap import read_traffic as reading
from pytest_netfixtures._pcap.headers import Route
from pytest_netfixtures._pcap.items import Packet, Row, Statement
from pytest_netfixtures._pcap.read_traffic import MAX_REASONS, traffic_of
from pytest_netfixtures._pcap.told import LegName, Told, leg_name, told
from pytest_netfixtures._wire.entries import (
    TO_CLIENT,
    TO_SERVER,
    Address,
    Fired,
    LegFailed,
    LegOpened,
    Noted,
    TlsFailed,
    TlsOpened,
)
from pytest_netfixtures._wire.text import plain
from pytest_netfixtures._wire.traffic import TlsSession

Referee = Callable[[str], str]
PROXY = ("127.0.0.1", 45000)
OUT = ("127.0.0.1", 45001)
BACK = ("127.0.0.1", 46000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "capture.pcapng"


def proxied(scene: Scene, connection: int = 1) -> None:
    """A proxy's connection and a server of the same test behind it, with a question and an answer."""
    scene.opened(connection, CLIENT, PROXY, endpoint="proxy")
    scene.opening(connection, OUT, BACK, endpoint="proxy")
    scene.opened(connection + 1, OUT, BACK, endpoint="echo")
    scene.opened(connection, OUT, BACK, leg="server", endpoint="proxy")
    scene.sent(connection, TO_SERVER, b"question")
    scene.delivered(connection, TO_SERVER, b"QUESTION")
    scene.sent(connection, TO_CLIENT, b"answer")
    scene.delivered(connection, TO_CLIENT, b"ans", ("Truncate(after=3)",))


# Names.


def test_the_face_has_it() -> None:
    assert pytest_netfixtures.read_capture is read_capture


def test_a_proxy_and_the_server_behind_it_are_a_connection_each(path: Path) -> None:
    scene = Scene(path)
    proxied(scene)
    scene.fired(1, "Truncate(after=3)", "FIN after byte 3")
    scene.noted("3 bytes were never delivered", 1)
    scene.ended(1, "us", "FIN")
    scene.tap.finish("passed")
    traffic = read_capture(path)
    proxy, echo = traffic.connections
    assert (proxy.endpoint, proxy.peer, proxy.address) == ("proxy", CLIENT, PROXY)
    assert (proxy.upstream, proxy.upstream_peer) == (BACK, OUT)
    assert (proxy.to_server.sent, proxy.to_server.delivered) == (b"question", b"QUESTION")
    assert (proxy.to_client.sent, proxy.to_client.delivered, proxy.to_client.end) == (
        b"answer",
        b"ans",
        "FIN",
    )
    assert proxy.faults == ("Truncate(after=3)",)
    assert proxy.notes == ("3 bytes were never delivered",)
    assert (echo.endpoint, echo.peer, echo.address, echo.upstream) == ("echo", OUT, BACK, None)
    assert (echo.to_server.sent, echo.to_client.sent) == (b"QUESTION", b"answer")
    assert proxy.opened_at == pytest.approx(WALL / 1e9, abs=0.001)


def test_a_server_that_no_packet_names_is_named_by_a_row_at_the_end(path: Path) -> None:
    scene = Scene(path)
    scene.opening(1, OUT, BACK, endpoint="proxy")
    scene.opened(1, OUT, BACK, leg="server", endpoint="proxy")
    scene.ended(1, "us", "RST", leg="server")
    scene.opened(2, OUT, BACK, endpoint="echo")
    scene.tap.finish("passed")
    found = read_capture(path).connections
    assert {(c.endpoint, c.number, c.opened_before) for c in found} == {
        ("proxy", 1, False),
        ("echo", 1, False),
    }


def test_the_names_of_sockets_without_an_ip_address_are_kept(path: Path) -> None:
    scene = Scene(path)
    for connection in (1, 2):
        scene.opened(connection, "", "/run/db.sock", endpoint=f"db{connection}")
        scene.sent(connection, TO_SERVER, b"query %d" % connection)
    scene.tap.finish("passed")
    found = read_capture(path).connections
    assert [(c.endpoint, c.peer, c.address, c.to_server.sent) for c in found] == [
        ("db1", "", "/run/db.sock", b"query 1"),
        ("db2", "", "/run/db.sock", b"query 2"),
    ]


@pytest.mark.parametrize(
    "name", ["two\nlines", "it's 'quoted' connection 3", "ünïcode ☃", "\x1b[31mred", "\ud800"]
)
def test_whatever_a_name_holds_its_connection_is_found_by_it(name: str, path: Path) -> None:
    scene = Scene(path)
    scene.opened(1, CLIENT, SERVER, endpoint=name)
    scene.fired(1, "Reset()", "RST")
    scene.noted("a note", connection=1)
    scene.tap.finish("passed")
    [c] = read_capture(path).connections
    assert (c.endpoint, c.faults, c.notes) == (plain(name), ("Reset()",), ("a note",))


def test_what_was_read_can_be_copied_and_pickled(path: Path) -> None:
    scene = Scene(path)
    proxied(scene)
    scene.tap.finish("passed")
    traffic = read_capture(path)
    for again in (pickle.loads(pickle.dumps(traffic)), copy.deepcopy(traffic)):
        assert again == traffic and again.statistics == traffic.statistics
        with pytest.raises(TypeError):
            again.connections[0].ended["client"] = "RST"  # type: ignore[index]


def test_without_a_connection_in_an_incomplete_file_nothing_can_be_claimed() -> None:
    for lost in (True, False):
        traffic = traffic_of([Statement("dropped", "3 packets at lo", 3)] if lost else [])
        assert traffic.to_server.cut is traffic.to_client.cut is lost


def test_a_connection_from_before_the_test_says_so(path: Path) -> None:
    scene = Scene(path)
    scene.feed(LegOpened(START, 7, "redis", 0, "client", "tcp", CLIENT, SERVER, before=True))
    scene.opened(8, ("127.0.0.1", 50000), SERVER)
    scene.tap.finish("passed")
    assert [(c.number, c.opened_before) for c in read_capture(path).connections] == [(0, True), (1, False)]


def test_two_captures_in_one_file_stay_apart(path: Path) -> None:
    parts = []
    for word in (b"first", b"second"):
        scene = Scene(path)
        scene.opened(1, CLIENT, PROXY, endpoint="proxy")
        scene.at += 1 if word == b"second" else 0
        scene.sent(1, TO_SERVER, word)
        scene.fired(1, f"Fault({word.decode()})", "late")
        scene.ended(1, "peer", "RST")
        scene.tap.finish("passed")
        parts.append(path.read_bytes())
    path.write_bytes(b"".join(parts))
    # both begin at the same moment, with the same numbers: what can be told apart is told apart
    traffic = read_capture(path)
    assert traffic.statistics is not None and traffic.statistics.packets == 10
    assert b"first" in [c.to_server.sent for c in traffic.connections]


def test_a_udp_session_that_begins_anew_is_another_connection(path: Path) -> None:
    scene = Scene(path)
    for connection in (1, 2):
        entry = LegOpened(scene.tick(), connection, "line", connection, "client", "udp", CLIENT, PROXY)
        scene.feed(entry)
        scene.sent(connection, TO_SERVER, b"session %d" % connection)
        scene.delivered(connection, TO_CLIENT, b"answer %d" % connection)
    scene.tap.finish("passed")
    found = read_capture(path).connections
    assert [(c.number, c.to_server.sent, c.to_client.delivered) for c in found] == [
        (1, (b"session 1",), (b"answer 1",)),
        (2, (b"session 2",), (b"answer 2",)),
    ]


def test_a_tls_session_is_told_and_the_cipher_text_is_read() -> None:
    name = "LEG 'web' connection 1, client leg, 127.0.0.1:40001 > 127.0.0.1:6379"
    session = TlsSession("TLSv1.3", "TLS_AES_256_GCM_SHA384", "h2", "localhost")
    said = [rows.tls_opened(TlsOpened(0.0, 1, "client", *session), "'web' connection 1")]
    said += [rows.tls_failed(TlsFailed(0.0, 1, "server", "no shared cipher"), "'web' connection 1")]
    talker = Talker().open()
    talker.say("client", b"\x16\x03\x01 cipher text")
    names = [Row(1, talker.packets[-1].stamp, name)]  # a row names a leg as a comment does
    [c] = traffic_of([*talker.packets, *names, *(Row(2, 2**62, text) for text in said)]).connections
    assert (c.endpoint, c.tls, c.notes) == (
        "web",
        session,
        ("TLS with the server failed: no shared cipher",),
    )
    assert c.to_server.sent == b"\x16\x03\x01 cipher text"


def test_a_leg_without_packets_is_a_connection_of_which_nothing_can_be_claimed() -> None:
    name = "LEG 'db' connection 1, client leg, an unnamed Unix socket > /run/db.sock"
    [c] = traffic_of([Row(1, 5, name)]).connections
    assert (c.peer, c.address) == ("", "/run/db.sock")
    with pytest.raises(CaptureIncomplete):
        _ = c.to_server.sent == b""


texts = st.text(
    st.characters(exclude_characters="\n", exclude_categories=["C", "Z"]) | st.just(" "), max_size=30
)
names = st.one_of(
    texts, st.sampled_from(["a' connection 1, client leg, x > y", " on 'p' connection 2 to_client: "])
)
addresses: st.SearchStrategy[Address] = st.one_of(
    st.tuples(st.sampled_from(["127.0.0.1", "::1", "localhost"]), st.integers(0, 65535)),
    st.sampled_from(["", "/run/a b.sock"]),
)


@given(endpoint=texts, number=st.integers(-9, 10**6), text=names, ends=st.tuples(addresses, addresses))
def test_what_rows_say_is_read_back(
    endpoint: str, number: int, text: str, ends: tuple[Address, Address]
) -> None:
    who = f"'{endpoint}' connection {number}"
    opened = LegOpened(0.0, 1, endpoint, number, "server", "tcp", *ends)
    assert leg_name(rows.leg(opened)) == LegName(endpoint, number, "server", *ends)
    assert (
        told(rows.noted(Noted(0.0, 1, text), who)) in (None, Told(endpoint, number, "note", text))
        or "'" in text
    )
    fired = rows.fired(Fired(0.0, 1, TO_CLIENT, f"Replace({text!r})", "RST after byte 3", 0), who)
    assert told(fired) == Told(endpoint, number, "fault", f"Replace({text!r})", direction=TO_CLIENT)
    failed = rows.failed(LegFailed(0.0, 1, "server", True, "Connection refused"), who, "[::1]:80")
    upstream = Told(endpoint, number, "upstream", "Connection refused", upstream=("::1", 80))
    assert told(failed) == upstream


@given(
    text=st.one_of(
        st.text(), st.text().map("FAULT {}".format), st.text().map("LEG 'a' connection 1, {}".format)
    )
)
def test_any_text_is_read_or_passed_over(text: str) -> None:
    for found in (leg_name(text), told(text)):
        assert found is None or found.endpoint.isprintable()


def test_names_from_a_file_are_safe_to_print() -> None:
    text = "LEG '\x1b[31mred' connection 1, client leg, \x1b]0;x > /run/\x07"
    traffic = traffic_of(
        [Row(1, 5, text), Row(2, 6, "FAULT \x1b[2J on '\x1b[31mred' connection 1 to_client: x")]
    )
    assert (
        "\x1b"
        not in f"{traffic}{traffic.statistics}{traffic.connections[0]!r}{traffic.connections[0].faults}"
    )


# What is missing.


def test_a_torn_file_is_read_up_to_the_tear_and_says_so(path: Path) -> None:
    scene = Scene(path)
    proxied(scene)
    scene.opened(5, ("127.0.0.1", 41000), SERVER)
    scene.sent(5, TO_SERVER, b"whole")
    scene.ended(5, "peer", "FIN")
    scene.noted("the last block")
    torn, end = path.read_bytes(), walk.boundaries(path)[-1]
    scene.tap.discard()
    path.write_bytes(torn[: end - 5])
    traffic = read_capture(path)
    assert "the file is torn" in traffic.incomplete
    assert traffic.connection(1, "redis").to_server.sent == b"whole"
    flow = traffic.connection(1, "proxy").to_server
    assert b"quest" in flow.sent
    with pytest.raises(CaptureIncomplete):
        _ = flow.sent == b"question"


def test_a_capture_that_met_its_limit_says_what_was_left_out(path: Path) -> None:
    scene = Scene(path, max_bytes=30_000)
    scene.opened(1, CLIENT, SERVER)
    scene.sent(1, TO_SERVER, b"short")
    scene.ended(1, "peer", "FIN")
    scene.opened(2, ("127.0.0.1", 40002), SERVER)
    for _ in range(5):
        scene.delivered(2, TO_CLIENT, bytes(10_000))
    scene.tap.finish("passed")
    traffic = read_capture(path)
    assert "LIMIT capture limit" in traffic.incomplete and "left out: 3 packets" in traffic.incomplete
    first, second = traffic.connections
    assert first.to_server.sent == b"short"
    assert second.to_client.cut and second.to_server.cut
    assert traffic.statistics is not None and traffic.statistics.dropped == 3


def test_a_file_that_is_still_written_is_whole_as_far_as_it_goes(path: Path) -> None:
    scene = Scene(path)
    scene.opened(1, CLIENT, SERVER)
    scene.sent(1, TO_SERVER, b"so far")
    traffic = read_capture(path)
    scene.tap.discard()
    assert (traffic.incomplete, traffic.to_server.sent) == ("", b"so far")


def test_records_are_bounded(path: Path) -> None:
    scene = Scene(path)
    scene.opened(1, CLIENT, SERVER)
    scene.sent(1, TO_SERVER, bytes(1000))
    scene.tap.finish("passed")
    flow = read_capture(path, record_bytes=100).to_server
    assert (flow.cut, len(bytes(flow.sent)), flow.sent_bytes) == (True, 100, 1000)
    assert read_capture(path, total_bytes=10).to_server.cut
    with pytest.raises(ValueError, match="record_bytes is -1"):
        read_capture(path, record_bytes=-1)
    with pytest.raises(TypeError, match="path is 3; expected the path of a capture file"):
        read_capture(3)  # type: ignore[arg-type]


def test_the_reasons_are_bounded_and_safe_to_print() -> None:
    said = [Statement("malformed", f"frame {n}: \x1b[2J", 1) for n in range(1000)]
    text = traffic_of(said).incomplete
    assert text.count(";") == MAX_REASONS and "\x1b" not in text


def test_what_is_no_capture_is_an_error_of_ours(path: Path) -> None:
    path.write_bytes(b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(CaptureUnavailable, match="no capture"):
        read_capture(path)


def test_rows_are_bounded_and_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_ROWS", 3)
    names = Row(1, 1, "LEG 'p' connection 1, client leg, 127.0.0.1:1 > 127.0.0.1:2")
    notes = [Row(n, n, f"NOTE 'p' connection 1: {n}") for n in range(2, 7)]
    traffic = traffic_of([names, *notes])
    assert traffic.connections[0].notes == ("2", "3", "4")
    assert "2 rows about connections" in traffic.incomplete


def test_a_fault_that_fires_on_every_datagram_does_not_fill_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "SAME_ROWS", 3)
    monkeypatch.setattr(reading, "MAX_ROWS", 5)
    names = Row(1, 1, "LEG 'p' connection 1, client leg, 127.0.0.1:1 > 127.0.0.1:2")
    fired = Row(2, 2, "FAULT Loss(rate=0.5) on 'p' connection 1 to_server: datagram lost")
    traffic = traffic_of([names, *[fired] * 20, fired._replace(text=fired.text.replace("Loss", "Gain"))])
    assert traffic.connections[0].faults == ("Loss(rate=0.5)", "Gain(rate=0.5)")
    assert traffic.incomplete == ""


# Datagrams and ICMP.


def test_datagrams_between_two_addresses_are_a_connection_of_who_spoke_first() -> None:
    server = ("127.0.0.1", 53)
    c = traffic_of(
        [
            datagram(CLIENT, server, b"who?"),
            datagram(server, CLIENT, b"me"),
            datagram(CLIENT, server, b""),
            datagram(("127.0.0.1", 5), server, b"other"),
        ]
    ).connections
    assert [(x.endpoint, x.number, x.peer) for x in c] == [
        ("127.0.0.1:53", 1, CLIENT),
        ("127.0.0.1:53", 2, ("127.0.0.1", 5)),
    ]
    assert (c[0].to_server.sent, c[0].to_client.delivered) == ((b"who?", b""), (b"me",))


def test_a_datagram_that_the_capture_cut_is_no_datagram() -> None:
    flow = traffic_of(
        [datagram(CLIENT, SERVER, b"whole"), datagram(CLIENT, SERVER, b"ha", missing=2)]
    ).to_server
    assert flow.cut and flow.sent[:1] == (b"whole",) and flow.sent_bytes == 9


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_port_that_is_unreachable_is_noted_at_its_connection(host: str) -> None:
    client, server = (host, 4000), (host, 53)
    quoted = Route(client, server).udp(b"who?")[14:][:60]
    icmp = struct.pack(">BBHI", *((3, 3) if host == "127.0.0.1" else (1, 4)), 0, 0) + quoted
    protocol = "icmp" if host == "127.0.0.1" else "icmpv6"
    said = packet((host, 0), (host, 0), protocol=protocol, payload=icmp)
    for cut in range(len(icmp)):
        traffic_of([packet((host, 0), (host, 0), protocol=protocol, payload=icmp[:cut])])
    [c] = traffic_of([datagram(client, server, b"who?"), said]).connections
    assert c.notes == (f"ICMP: port unreachable, says {host}",)


# Numbers, and tshark.


def write(path: Path, packets: list[Packet]) -> None:
    """A file as tcpdump writes it: Ethernet, no comments."""
    parts = [blocks.section(b"", os="", application="test"), blocks.interface("lo", "")]
    for each in packets:
        route = Route((each.source, each.source_port), (each.target, each.target_port))
        frame = (
            route.tcp(each.seq, each.ack, each.flags, each.payload)
            if each.protocol == "tcp"
            else route.udp(each.payload)
        )
        parts.append(blocks.packet(0, each.stamp, frame, blocks.INBOUND))
    path.write_bytes(b"".join(parts))


def rough_sea() -> list[Packet]:
    """A stream with a retransmission, segments out of order and numbers that wrap; a reset; datagrams."""
    rough = Talker(isn=(2**32 - 30, 2**32 - 5)).open()
    pieces = [rough.say("client", b"%02d" % n * 10, PSH | ACK) for n in range(10)]
    rough.packets[-3], rough.packets[-5] = rough.packets[-5], rough.packets[-3]
    rough.packets.append(pieces[2])
    rough.say("server", b"answer" * 100, PSH | ACK)
    rough.close()
    reset = Talker(client=("127.0.0.1", 40002)).open()
    reset.say("client", b"bye")
    reset.say("client", flags=RST | ACK)
    udp = [datagram(CLIENT, ("127.0.0.1", 53), b"who?"), datagram(("127.0.0.1", 53), CLIENT, b"me")]
    packets = rough.packets + reset.packets + udp
    start = packets[0].stamp
    return [each._replace(number=n + 1, stamp=start + n * 1_000_000) for n, each in enumerate(packets)]


def test_the_numbers_are_those_of_tshark_and_capinfos(path: Path, referee: Referee) -> None:
    packets = rough_sea()
    write(path, packets)
    numbers = read_capture(path).statistics
    assert numbers is not None
    tshark = referee("tshark")
    count = shark.run(referee("capinfos"), "-M", "-c", path).stdout.split()[-1]
    assert numbers.packets + numbers.rows == int(count)
    lines = shark.run(tshark, "-n", "-r", path, "-q", "-z", "io,phs").stdout.splitlines()
    for protocol in ("tcp", "udp"):
        frames, size = next(line.split()[1:3] for line in lines if line.split()[:1] == [protocol])
        said = numbers.protocols[protocol]
        assert (f"frames:{said.packets}", f"bytes:{said.bytes + 14 * said.packets}") == (frames, size)
    lines = shark.run(tshark, "-n", "-r", path, "-q", "-z", "conv,tcp").stdout.splitlines()
    for leg in numbers.legs[:2]:
        words = next(line for line in lines if line.startswith(f"{leg.client[0]}:{leg.client[1]} ")).split()
        both = [leg.to_client.packets, leg.to_server.packets]
        assert [int(words[3]), int(words[6])] == both
        assert abs(float(words[-1]) - leg.duration) < 0.001
    flags = shark.run(tshark, "-n", "-r", path, "-Y", "tcp.analysis.retransmission").stdout.splitlines()
    assert numbers.retransmissions == numbers.legs[0].retransmissions == len(flags) == 1
    assert (numbers.resets, numbers.legs[1].resets) == (1, 1)
    assert numbers.leg(1, "127.0.0.1:53").count(TO_SERVER) == Count(1, 32)
    assert str(numbers).splitlines()[1].startswith("tcp: ")


def test_a_stream_is_what_tshark_follows(path: Path, referee: Referee) -> None:
    write(path, rough_sea())
    flow = read_capture(path).connection(1, "127.0.0.1:6379")
    done = shark.run(referee("tshark"), "-r", path, "-q", "-z", "follow,tcp,raw,0")
    lines = done.stdout.splitlines()[6:-1]
    assert flow.to_client.sent == b"".join(bytes.fromhex(line) for line in lines if line.startswith("\t"))
    assert flow.to_server.sent == b"".join(bytes.fromhex(line) for line in lines if not line.startswith("\t"))


def test_statistics_have_a_leg_for_each_side_of_a_proxy(path: Path) -> None:
    scene = Scene(path)
    proxied(scene)
    scene.tap.finish("passed")
    numbers = read_capture(path).statistics
    assert numbers is not None
    assert numbers.leg(1, "proxy").to_server == Count(3, 48 + 40 + 48)
    assert numbers.leg(1, "proxy", "server").server == BACK
    with pytest.raises(ValueError, match="0 conversations are the client leg of connection 2"):
        numbers.leg(2)
    assert numbers.legs[0].duration == pytest.approx(7 * 1.5e-6, abs=1e-6)
    assert numbers.first == pytest.approx(WALL / 1e9, abs=0.001)


# Scenes.

ends = st.tuples(st.sampled_from(["peer", "us"]), st.sampled_from(["FIN", "FIN", "RST"]))
said = st.tuples(st.sampled_from([TO_SERVER, TO_CLIENT]), st.binary(max_size=40))
steps = st.lists(st.tuples(st.integers(0, 3), st.one_of(said, said, said, ends)), max_size=50)


@given(steps=steps)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_in_whatever_order_is_read_back(
    steps: list[tuple[int, tuple[str, bytes | str]]], path: Path
) -> None:
    scene = Scene(path)
    shown = {(number, side): b"" for number in range(4) for side in ("client", "server")}
    over: dict[tuple[int, str], str] = {}
    for number in range(4):
        scene.opened(number, ("127.0.0.1", 41000 + number), SERVER, endpoint=f"e{number}")
    for number, (word, what) in steps:
        side = "client" if word in (TO_SERVER, "peer") else "server"
        if "RST" not in (over.get((number, "client")), over.get((number, "server"))):
            if isinstance(what, str):
                over[number, side] = what
            elif (number, side) not in over:
                shown[number, side] += what
        if isinstance(what, bytes):
            (scene.sent if word == TO_SERVER else scene.delivered)(number, word, what)  # type: ignore[arg-type]
        else:
            scene.ended(number, word, what)  # type: ignore[arg-type]
    scene.tap.finish("passed")
    traffic = read_capture(path)
    for number in range(4):
        c = traffic.connection(1, f"e{number}")
        assert (c.to_server.sent, c.to_client.sent) == (shown[number, "client"], shown[number, "server"])
        assert dict(c.ended) == {side: over.get((number, side)) for side in ("client", "server")}
