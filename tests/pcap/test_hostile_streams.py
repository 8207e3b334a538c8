"""TCP as no textbook has it: packets that lie, that come too late, or of which the file has one half.

What is whole is never wrong; what cannot be known is cut; and what a receiver would ignore is ignored.
"""

from __future__ import annotations

import pytest
from pcap.segments import ACK, CLIENT, FIN, RST, SERVER, SYN, Talker, packet

from pytest_netfixtures import CaptureIncomplete, Connection, Traffic
from pytest_netfixtures._pcap.items import Packet
from pytest_netfixtures._pcap.read_traffic import traffic_of


def exchange(isn: tuple[int, int] = (1000, 5000), question: bytes = b"question") -> Talker:
    """A question and its answer, from SYN to FIN."""
    talker = Talker(isn=isn).open()
    talker.say("client", question)
    talker.say("server", b"answer")
    return talker.close()


def only(packets: list[Packet]) -> Connection:
    [connection] = traffic_of(packets).connections
    return connection


def retransmissions(traffic: Traffic) -> int:
    assert traffic.statistics is not None
    return traffic.statistics.retransmissions


@pytest.mark.parametrize("first", [0, 2])
def test_of_a_side_that_the_file_does_not_have_nothing_can_be_claimed(first: int) -> None:
    """`first` 2: the file begins behind the handshake."""
    packets = exchange().packets
    one = [each for each in packets if each.source_port == CLIENT[1]][first:]
    c = only(one)
    assert c.to_server.sent == b"question" and c.to_client.cut
    with pytest.raises(CaptureIncomplete):
        assert c.to_client.sent == b""
    other = only([each for each in packets if each.source_port != CLIENT[1]])
    assert other.to_client.sent == b"answer" and other.to_server.cut


def test_bytes_that_were_acknowledged_and_never_seen_are_missing() -> None:
    talker = Talker()
    talker.say("server", flags=ACK)
    talker.say("client", b"one")
    talker.next["server"] += 50  # of these, the file has the acknowledgement alone
    talker.say("client", b"two")
    c = only(talker.packets)
    assert c.to_server.sent == b"onetwo"
    assert c.to_client.cut and c.to_client.sent_bytes == 50


def test_a_side_that_has_said_nothing_is_whole() -> None:
    talker = Talker()
    talker.say("client", b"one")
    talker.say("server")
    talker.say("client", b"two")
    c = only(talker.packets)
    assert (c.to_server.sent, c.to_client.sent) == (b"onetwo", b"")


@pytest.mark.parametrize("away", [-1, -5000, 2**30 + 5000, 2**31])
@pytest.mark.parametrize("by", ["client", "server"])
def test_a_reset_that_its_receiver_ignores_ends_nothing(away: int, by: str) -> None:
    talker = Talker().open()
    talker.say("client", b"one ")
    talker.say("server", b"ONE ")
    talker.say("client")
    talker.say(by, flags=RST, seq=talker.next[by] + away)
    talker.say("client", b"two")
    talker.say("server", b"TWO")
    c = only(talker.close().packets)
    assert (c.to_server.sent, c.to_client.sent) == (b"one two", b"ONE TWO")
    assert dict(c.ended) == {"client": "FIN", "server": "FIN"}


def test_a_refusal_of_another_syn_refuses_nothing() -> None:
    talker = Talker()
    talker.say("client", flags=SYN)
    talker.packets.append(packet(SERVER, CLIENT, flags=RST | ACK, ack=500))
    talker.say("server", flags=SYN | ACK)
    talker.say("client", b"hello")
    c = only(talker.close().packets)
    assert (c.to_server.sent, c.ended["server"]) == (b"hello", "FIN")


def test_what_the_other_side_sent_before_it_knew_of_a_reset_was_sent() -> None:
    talker = Talker().open()
    talker.say("server", b"much ")
    talker.say("client", flags=RST | ACK)
    talker.say("server", b"more")
    talker.say("server", b"lost", seq=talker.next["server"] + 10)
    c = only(talker.packets[:-1])
    assert (c.to_client.sent, c.to_client.end, c.ended["client"]) == (b"much more", None, "RST")
    assert only(talker.packets).to_client.cut


def test_who_has_reset_and_goes_on_has_not_reset() -> None:
    talker = Talker().open()
    talker.say("server", b"answer")
    talker.say("server", flags=RST | ACK)
    talker.say("server", b"answer", seq=5001)
    assert not only(talker.packets).to_client.cut, "that was sent before"
    talker.say("server", b"from the grave")
    c = only(talker.packets)
    assert c.to_client.cut and c.to_client.sent[:6] == b"answer"


@pytest.mark.parametrize("reset", [False, True])
def test_one_number_may_begin_two_connections(reset: bool) -> None:
    first, second = exchange(), exchange(question=b"another question")
    if reset:
        first.packets = first.packets[:-4]
        first.say("client", flags=RST, seq=1009)
    traffic = traffic_of([*first.packets, *second.packets])
    assert [c.to_server.sent for c in traffic.connections] == [b"question", b"another question"]
    assert retransmissions(traffic) == 0


def test_a_fin_within_what_was_sent_is_none() -> None:
    talker = Talker().open()
    talker.say("client", b"one ")
    talker.say("client", flags=FIN | ACK, seq=900)
    talker.say("client", b"two")
    assert only(talker.close().packets).to_server.sent == b"one two"


def test_a_file_that_begins_with_the_second_of_two_segments_is_cut() -> None:
    talker = Talker()
    for data in (b"AAAA", b"BBBB", b"CCCC"):
        talker.say("client", data)
    talker.say("server")
    first, second, third, answer = talker.packets
    assert only([second, first, third, answer]).to_server.cut
    assert only([second, third, answer]).to_server.sent == b"BBBBCCCC"


def test_a_file_that_begins_while_bytes_are_on_their_way_begins_with_the_first_that_it_has() -> None:
    talker = Talker()
    talker.say("client")  # acknowledges what is long since taken
    talker.next["server"] += 100_000
    talker.say("server", b"the rest")
    talker.say("client")
    c = only(talker.packets)
    assert c.to_client.sent == b"the rest" and c.opened_before


def test_a_syn_that_comes_behind_the_data_and_says_another_beginning_leaves_a_gap() -> None:
    talker = Talker().open()
    talker.say("client", b"question")
    talker.say("server", b"first ")
    talker.say("server", b"second")
    syn, syn_ack, ack, question, first, second = talker.packets
    assert only([question, second, syn, syn_ack, ack, first]).to_client.cut
    assert only([question, first, syn, syn_ack, ack, second]).to_client.sent == b"first second"


def test_data_in_a_syn_that_comes_twice_is_one_retransmission() -> None:
    talker = Talker()
    talker.say("client", b"early", SYN)
    talker.say("client", b"early", SYN, seq=1000)
    talker.say("server", b"answer", SYN | ACK)
    traffic = traffic_of(talker.packets)
    assert (traffic.to_server.sent, traffic.to_client.sent) == (b"early", b"answer")
    assert retransmissions(traffic) == 1


@pytest.mark.parametrize("kept", [0, 4, 1 << 20])
def test_what_is_kept_changes_no_number(kept: int) -> None:
    """Segments out of order are no retransmissions, whether their bytes are kept or not."""
    talker = Talker().open()
    for _ in range(4):
        talker.say("client", b"data")
    pieces = talker.packets[3:]
    traffic = traffic_of([*talker.packets[:3], *(pieces[n] for n in (0, 2, 1, 3, 3))], record_bytes=kept)
    assert retransmissions(traffic) == 1
    assert traffic.to_server.sent_bytes == 16 and bytes(traffic.to_server.sent) == (b"data" * 4)[:kept]
