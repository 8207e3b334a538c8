"""TCP connections out of packets that came in any order: the bytes as they were sent, or a record that says it is cut."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pcap.segments import ACK, CLIENT, FIN, PSH, RST, SERVER, SYN, Talker, packet

from pytest_netfixtures import CaptureIncomplete, Connection
from pytest_netfixtures._pcap import reassembly, talks
from pytest_netfixtures._pcap.items import Packet, Statement
from pytest_netfixtures._pcap.read_traffic import traffic_of

WRAPPING = (2**32 - 40, 2**32 - 3)


def only(packets: list[Packet]) -> Connection:
    [connection] = traffic_of(packets).connections
    return connection


def exchange(isn: tuple[int, int] = (1000, 5000)) -> Talker:
    """A question in three segments and an answer in two."""
    talker = Talker(isn=isn).open()
    for piece in (b"one ", b"two ", b"three"):
        talker.say("client", piece, PSH | ACK)
    for piece in (b"answer ", b"and more"):
        talker.say("server", piece, PSH | ACK)
    return talker.close()


@pytest.mark.parametrize("isn", [(1000, 5000), (2**32 - 6, 2**32 - 1), (2**32 - 1, 0)])
def test_a_connection_is_read_with_its_ends_and_addresses(isn: tuple[int, int]) -> None:
    c = only(exchange(isn).packets)
    assert (c.endpoint, c.number, c.peer, c.address) == ("127.0.0.1:6379", 1, CLIENT, SERVER)
    assert c.to_server.sent == c.to_server.delivered == b"one two three"
    assert c.to_client.sent == c.to_client.delivered == b"answer and more"
    assert dict(c.ended) == {"client": "FIN", "server": "FIN"}
    assert (c.to_server.end, c.to_client.end, c.opened_before) == ("FIN", "FIN", False)
    assert not c.to_server.cut and not c.to_client.cut


def test_events_have_the_times_of_the_file() -> None:
    packets = exchange().packets
    c = only(packets)
    assert c.opened_at == packets[0].stamp / 1e9
    assert [event.at for event in c.to_server.events if event.kind == "sent"] == [
        p.stamp / 1e9 for p in packets[3:6]
    ]


def segments(data: bytes, cuts: list[int], isn: int) -> list[Packet]:
    """The bytes cut at these places, as segments behind the SYN."""
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [
        packet(CLIENT, SERVER, payload=data[a:b], flags=PSH | ACK, seq=isn + 1 + a, ack=7)
        for a, b in zip(places, places[1:], strict=False)
    ]


streams = st.tuples(
    st.binary(min_size=1, max_size=300),
    st.lists(st.integers(0, 300), max_size=12),
    st.lists(st.tuples(st.integers(0, 300), st.integers(1, 80)), max_size=8),
    st.sampled_from([1000, *WRAPPING, 2**32 - 150]),
    st.randoms(use_true_random=False),
)
Drawn = tuple[bytes, list[int], list[tuple[int, int]], int, random.Random]


def on_the_wire(drawn: Drawn) -> tuple[list[Packet], list[Packet], list[Packet]]:
    """Handshake; segments with overlapping retransmissions in any order; the FIN and its acknowledgement."""
    data, cuts, again, isn, chance = drawn
    talker = Talker(isn=(isn, 6)).open()
    pieces = segments(data, cuts, isn)
    pieces += [
        packet(CLIENT, SERVER, payload=data[a : a + size], flags=ACK, seq=isn + 1 + a, ack=7)
        for start, size in again
        for a in [start % len(data)]
    ]
    chance.shuffle(pieces)
    end = isn + 1 + len(data)
    fin = [packet(CLIENT, SERVER, flags=FIN | ACK, seq=end, ack=7)]
    return talker.packets, pieces, [*fin, packet(SERVER, CLIENT, flags=ACK, seq=7, ack=end + 1)]


@given(drawn=streams)
@settings(max_examples=150)
def test_segments_in_any_order_with_any_overlap_are_the_bytes_that_were_sent(drawn: Drawn) -> None:
    c = only([packet for part in on_the_wire(drawn) for packet in part])
    assert not c.to_server.cut
    assert c.to_server.sent == drawn[0]
    assert c.ended["client"] == "FIN"


@given(drawn=streams, which=st.integers(0, 10_000))
@settings(max_examples=150)
def test_without_one_packet_no_byte_is_wrong_and_the_record_says_that_it_is_cut(
    drawn: Drawn, which: int
) -> None:
    data = drawn[0]
    head, pieces, tail = on_the_wire(drawn)
    places = [(piece.seq - drawn[3] - 1) % 2**32 for piece in pieces]
    lost = which % len(pieces)
    left = {
        n
        for k, piece in enumerate(pieces)
        if k != lost
        for n in range(places[k], places[k] + len(piece.payload))
    }
    c = only([*head, *pieces[:lost], *pieces[lost + 1 :], *tail])
    assert data.startswith(bytes(c.to_server.sent))
    assert c.to_server.cut == (len(left) < len(data))
    assert c.to_server.sent_bytes == len(data)
    if c.to_server.cut:
        with pytest.raises(CaptureIncomplete):
            _ = c.to_server.sent == data


@given(drawn=streams, which=st.integers(0, 2))
@settings(max_examples=60)
def test_without_a_packet_of_the_handshake_no_byte_is_wrong(drawn: Drawn, which: int) -> None:
    head, pieces, tail = on_the_wire(drawn)
    pieces.sort(key=lambda piece: (piece.seq - drawn[3] - 1) % 2**32)
    answer = [packet(SERVER, CLIENT, payload=b"answer", flags=ACK, seq=7, ack=drawn[3] + 1)]
    c = only([*head[:which], *head[which + 1 :], *answer, *pieces, *tail])
    assert c.peer == CLIENT and not c.opened_before
    assert c.to_server.sent == drawn[0]
    if which == 1:  # nobody knows where the server's bytes begin
        assert c.to_client.cut
    else:
        assert c.to_client.sent == b"answer"


def test_a_lost_end_is_a_gap_because_the_other_side_has_acknowledged_it() -> None:
    talker = Talker().open()
    talker.say("client", b"seen")
    talker.say("client", b"lost")
    talker.say("server")
    talker.packets.pop(-2)
    flow = only(talker.packets).to_server
    assert (flow.cut, flow.sent_bytes, flow.sent[:4]) == (True, 8, b"seen")
    with pytest.raises(CaptureIncomplete):
        _ = flow.sent == b"seen"


def test_bytes_that_the_capture_cut_off_are_a_gap() -> None:
    talker = Talker().open()
    talker.say("client", b"head", missing=96)
    talker.say("client", b"next")
    talker.close()
    flow = only(talker.packets).to_server
    assert (flow.cut, flow.sent_bytes, flow.sent[:4], flow.end) == (True, 104, b"head", "FIN")
    with pytest.raises(CaptureIncomplete):
        _ = b"next" in flow.sent


def test_the_first_bytes_win_where_two_packets_differ() -> None:
    talker = Talker().open()
    talker.say("client", b"later", seq=1006)
    talker.say("client", b"LATERworse", seq=1006)
    talker.say("client", b"first", seq=1001)
    talker.say("client", b"FIRST", seq=1001)
    assert only(talker.packets).to_server.sent == b"firstlaterworse"


def test_keep_alive_probes_are_no_bytes_and_no_retransmissions() -> None:
    talker = Talker().open()
    talker.say("client", b"ping")
    for payload in (b"", b"g"):
        talker.say("client", payload, seq=talker.next["client"] - 1)
        talker.say("server")
    talker.say("client", b"pong")
    traffic = traffic_of(talker.packets)
    assert traffic.to_server.sent == b"pingpong"
    assert traffic.statistics is not None and traffic.statistics.retransmissions == 0


def test_a_connection_from_before_the_capture_begins_with_the_first_byte_seen() -> None:
    talker = Talker()
    talker.say("server", b"tail of an answer")
    talker.say("client", b"q", seq=talker.next["client"] - 1)  # a keep-alive probe: its byte is an old one
    talker.say("client", b"question")
    talker.close()
    c = only(talker.packets)
    assert c.opened_before
    assert (c.to_server.sent, c.to_client.sent) == (b"question", b"tail of an answer")
    assert c.peer == CLIENT, "the higher port is the client's"


def test_nothing_follows_a_fin_or_a_reset() -> None:
    talker = Talker().open()
    talker.say("client", b"all", FIN | ACK)
    talker.say("client", b"beyond")
    talker.say("server", b"answer")
    talker.say("server", flags=RST | ACK)
    talker.say("client", b"and more")
    talker.say("server", flags=FIN | ACK)
    c = only(talker.packets)
    assert (c.to_server.sent, c.to_client.sent) == (b"all", b"answer")
    assert dict(c.ended) == {"client": "FIN", "server": "RST"}
    assert not c.to_server.cut and not c.to_client.cut


def test_a_port_that_is_used_again_is_another_connection() -> None:
    packets = []
    for number in range(3):
        talker = Talker(isn=(1000 + 70_000 * number, 9 + number)).open()
        talker.say("client", b"%d" % number)
        talker.say("client", flags=RST | ACK) if number == 1 else talker.close()
        packets += talker.packets
    found = traffic_of(packets).connections
    assert [(c.number, c.to_server.sent, c.ended["client"]) for c in found] == [
        (1, b"0", "FIN"),
        (2, b"1", "RST"),
        (3, b"2", "FIN"),
    ]


def test_a_syn_that_comes_twice_is_the_same_connection() -> None:
    talker = Talker()
    talker.say("client", flags=SYN)
    talker.say("client", flags=SYN, seq=1000)
    talker.say("server", flags=SYN | ACK)
    talker.say("server", flags=SYN | ACK, seq=5000)
    talker.say("client", b"hello")
    traffic = traffic_of(talker.packets)
    assert traffic.to_server.sent == b"hello"
    assert traffic.statistics is not None and traffic.statistics.retransmissions == 2


def test_a_refused_connection_is_ended_by_its_server() -> None:
    talker = Talker()
    talker.say("client", flags=SYN)
    talker.packets.append(packet(SERVER, CLIENT, flags=RST | ACK, ack=1001))
    c = only(talker.packets)
    assert dict(c.ended) == {"client": None, "server": "RST"}
    assert (c.to_server.sent, c.to_client.sent) == (b"", b"")


def test_what_waits_for_a_gap_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reassembly, "MAX_PIECES", 8)
    talker = Talker().open()
    for n in range(10):
        talker.say("client", b"x", seq=1003 + 2 * n)
    talker.say("client", b"ab", seq=1001)
    flow = only(talker.packets).to_server
    assert flow.cut and flow.sent_bytes == 19 + 2 and bytes.__len__(flow.sent) == 0


def test_the_bytes_that_wait_are_bounded_for_the_whole_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reassembly, "MAX_WAITING", 3000)
    packets = []
    for port in range(4):
        talker = Talker(client=("127.0.0.1", 40001 + port)).open()
        talker.say("client", bytes(1000), seq=1003)
        talker.say("client", b"ab", seq=1001)
        packets += talker.packets
    for c in traffic_of(packets).connections:
        assert c.to_server.sent == b"ab" + bytes(1000), "what was waited for came: the room is free again"
    late = Talker(client=("127.0.0.1", 50000)).open()
    for n in range(4):
        late.say("client", bytes(1000), seq=1003 + 1001 * n)
    assert only(late.packets).to_server.cut


def test_there_are_not_more_connections_than_a_bound_and_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talks, "MAX_TALKS", 3)
    packets = [
        packet for port in range(5) for packet in Talker(client=("127.0.0.1", 40001 + port)).open().packets
    ]
    traffic = traffic_of(packets)
    assert len(traffic.connections) == 3
    assert "6 packets of later ones were left out" in traffic.incomplete


@pytest.mark.parametrize("lost", [False, True])
def test_where_packets_were_lost_only_a_stream_from_syn_to_fin_is_whole(lost: bool) -> None:
    whole, open_end = exchange(), Talker(client=("127.0.0.1", 40002)).open()
    open_end.say("client", b"still talking")
    said = [Statement("dropped", "3 packets at lo", 3)] if lost else []
    traffic = traffic_of([*whole.packets, *open_end.packets, *said])
    first, second = traffic.connections
    assert first.to_server.sent == b"one two three"
    assert second.to_server.cut is second.to_client.cut is lost
    assert ("3 packets" in traffic.incomplete) is lost
    assert traffic.statistics is not None and traffic.statistics.dropped == (3 if lost else 0)


numbers = st.integers(0, 2**32 - 1)
anything = st.lists(
    st.builds(
        packet,
        st.sampled_from([CLIENT, SERVER, ("::1", 1)]),
        st.sampled_from([CLIENT, SERVER, ("::1", 1)]),
        protocol=st.sampled_from(["tcp", "tcp", "tcp", "udp", "icmp", "icmpv6", "89"]),
        payload=st.binary(max_size=60),
        flags=st.sampled_from([0, SYN, SYN | ACK, ACK, ACK, FIN | ACK, RST, RST | ACK, SYN | FIN | RST]),
        seq=st.one_of(st.integers(0, 100), numbers),
        ack=st.one_of(st.integers(0, 100), numbers),
        missing=st.sampled_from([0, 0, 9, 2**31]),
        comments=st.lists(
            st.one_of(
                st.text(max_size=20),
                st.builds("LEG '{}' connection {}, {} leg, {}".format, st.text(max_size=5), st.integers(-2, 3),
                          st.sampled_from(["client", "server"]), st.sampled_from(["127.0.0.1:40001 > [::1]:1", " > ", "x"])),
            ), max_size=2,
        ).map(tuple),
    ),
    max_size=40,
)  # fmt: skip


@given(packets=anything)
@settings(max_examples=150)
def test_whatever_the_packets_say_there_is_a_result(packets: list[Packet]) -> None:
    traffic = traffic_of(packets)
    assert traffic.statistics is not None and traffic.statistics.packets == len(packets)
    assert str(traffic) and repr(traffic) and str(traffic.statistics)
    for c in traffic.connections:
        assert repr(c) and c.to_server.events is not None
