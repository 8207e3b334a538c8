"""The recorder: cheap to feed, cheap to ask, bounded, and able to start afresh."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire.tape import OURS, UPSTREAM, Tape

from pytest_netfixtures._errors import CaptureIncomplete
from pytest_netfixtures._wire import story as story_room
from pytest_netfixtures._wire.entries import DIRECTIONS, Direction, Fired, How, Marked, Sent
from pytest_netfixtures._wire.recorder import MAX_NOTES, Recorder, Story


def test_a_snapshot_without_news_is_the_same_object() -> None:
    tape = Tape().opened()
    first = tape.recorder.traffic()
    assert tape.recorder.traffic() is first
    assert tape.recorder.traffic("redis") is tape.recorder.traffic("redis")
    tape.sent("to_server", b"x")
    assert tape.recorder.traffic() is not first


def test_a_snapshot_keeps_the_connections_that_have_no_news() -> None:
    tape = Tape().opened()
    Tape(tape.recorder, 2).opened()
    before = tape.recorder.traffic()
    tape.sent("to_server", b"x")
    after = tape.recorder.traffic()
    assert after.connections[1] is before.connections[1]
    assert [c.number for c in after.connections] == [1, 2]


def test_traffic_can_be_had_for_one_endpoint() -> None:
    tape = Tape().opened()
    Tape(tape.recorder, 2, endpoint="echo").opened()
    assert [c.endpoint for c in tape.recorder.traffic("echo").connections] == ["echo"]
    assert tape.recorder.traffic("nobody").connections == ()
    assert len(tape.recorder.traffic().connections) == 2


Step = tuple[bool, Direction, bytes]
STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.tuples(st.booleans(), st.sampled_from(DIRECTIONS), st.binary(max_size=6)), max_size=30
)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@given(STEPS)
def test_every_snapshot_says_what_had_been_written_down_when_it_was_taken(
    transport: str, steps: list[Step]
) -> None:
    tape = Tape(transport=transport).opened()
    wire: dict[tuple[str, Direction], list[bytes]] = {
        (k, way): [] for k in ("sent", "delivered") for way in DIRECTIONS
    }
    snapshots = []
    for was_sent, way, data in steps:
        (tape.sent if was_sent else tape.delivered)(way, data)
        wire["sent" if was_sent else "delivered", way].append(data)
        snapshots.append((tape.recorder.traffic(), {key: list(value) for key, value in wire.items()}))
    for traffic, expected in snapshots:
        for (kind, way), parts in expected.items():
            assert getattr(traffic.connection(1).flow(way), kind) == (
                parts if transport == "udp" else b"".join(parts)
            )


def test_ten_thousand_ping_pongs_agree_with_the_record_after_each() -> None:
    tape, expected = Tape().opened(), bytearray()
    for number in range(10_000):
        data = number.to_bytes(4, "big")
        tape.passed("to_server", data).passed("to_client", data)
        expected += data
        flow = tape.recorder.traffic("redis").to_client
        assert flow.sent == expected
        assert flow.delivered_bytes == len(expected)


def test_record_bytes_bound_each_record_and_total_bytes_all_of_them() -> None:
    tape = Tape(Recorder(record_bytes=5, total_bytes=8)).opened()
    tape.sent("to_server", b"abcdef").sent("to_client", b"ghijkl")
    traffic = tape.recorder.traffic()
    assert (bytes(traffic.to_server.sent), bytes(traffic.to_client.sent)) == (b"abcde", b"ghi")
    assert (traffic.to_client.sent_bytes, traffic.to_client.cut) == (6, True)
    with pytest.raises(CaptureIncomplete):
        assert b"jkl" not in traffic.to_client.sent


ENDS: list[tuple[bool, list[tuple[str, str, How]], tuple[How | None, How | None, How | None, How | None]]] = [
    (True, [], (None, None, None, None)),
    (True, [("client", "peer", "FIN")], ("FIN", None, None, None)),
    (True, [("client", "peer", "FIN"), ("server", "us", "FIN")], ("FIN", None, "FIN", None)),
    (True, [("server", "peer", "RST"), ("client", "us", "RST")], (None, "RST", None, "RST")),
    (True, [("client", "us", "FIN"), ("client", "us", "RST")], (None, None, None, "RST")),
    (True, [("client", "peer", "RST"), ("client", "peer", "FIN")], ("RST", None, None, None)),
    (False, [("client", "us", "FIN")], (None, "FIN", None, "FIN")),
    (False, [("client", "peer", "FIN")], ("FIN", None, "FIN", None)),
]


@pytest.mark.parametrize(("proxy", "ends", "expected"), ENDS)
def test_ends_are_told_by_side_and_by_flow(
    proxy: bool, ends: list[tuple[str, str, How]], expected: tuple[How | None, ...]
) -> None:
    """Expected: what the client did, what the server did, what the server met, what the client met."""
    tape = Tape().proxy() if proxy else Tape().opened()
    for leg, by, how in ends:
        tape.ended(leg, by, how)  # type: ignore[arg-type]
    c = tape.recorder.traffic().connection(1)
    assert (c.ended["client"], c.ended["server"], c.to_server.end, c.to_client.end) == expected


def test_the_upstream_is_known_from_the_attempt_on() -> None:
    tape = Tape().opened().connecting(client=("127.0.0.1", 0))
    assert tape.recorder.traffic().connection(1).upstream == UPSTREAM
    tape.connected()
    assert tape.recorder.traffic().connection(1).upstream_peer == OURS


def test_a_failed_upstream_is_a_note_of_its_connection() -> None:
    tape = Tape().opened().connecting().failed("Connection refused").noted("the client was reset")
    assert tape.recorder.traffic().connection(1).notes == ("Connection refused", "the client was reset")


def test_notes_of_a_connection_are_bounded() -> None:
    tape = Tape().opened()
    for number in range(MAX_NOTES + 5):
        tape.noted(str(number))
    assert len(tape.recorder.traffic().connection(1).notes) == MAX_NOTES


def test_a_fault_is_named_once_however_often_it_fires() -> None:
    tape = Tape(transport="udp").opened()
    for number in range(3):
        tape.fired("to_client", "Loss(0.5)", f"datagram {number + 1} lost", number)
    tape.fired("to_server", "Delay(1)", "late by 1 s", 0)
    assert tape.recorder.traffic().connection(1).faults == ("Loss(0.5)", "Delay(1)")


def test_entries_of_unknown_connections_are_passed_over() -> None:
    tape = Tape()
    tape.sent("to_server", b"x").delivered("to_server", b"x").ended("client", "us").noted("?").failed()
    tape.fired("to_client", "Drop()", "lost from byte 0", 0)
    assert tape.recorder.traffic().connections == ()
    assert list(tape.recorder.story()) == []


def test_a_story_is_everything_in_order_while_it_is_short() -> None:
    tape = Tape().marked("call").opened().sent("to_server", b"x").noted("everywhere", everywhere=True)
    story = tape.recorder.story()
    assert [type(entry).__name__ for entry in story] == ["Marked", "LegOpened", "Sent", "Noted"]
    assert (len(story), story.left_out) == (4, 0)


def test_a_long_story_keeps_its_opening_its_faults_and_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(story_room, "STORY_OPENING", 3)
    monkeypatch.setattr(story_room, "STORY_CLOSING", 4)
    monkeypatch.setattr(story_room, "STORY_FAULTS", 2)
    tape = Tape().opened()
    for number in range(20):
        tape.marked(str(number))
        if number % 4 == 3:
            tape.fired("to_client", f"fault {number}", "RST after byte 3", 3)
    story = tape.recorder.story()
    assert [_label(entry) for entry in story] == [
        "LegOpened",
        "0",
        "1",
        "fault 3",
        "fault 7",
        "17",
        "18",
        "19",
        "fault 19",
    ]
    assert len(story) + story.left_out == 1 + 20 + 5


def test_a_fault_at_the_end_of_a_long_story_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(story_room, "STORY_OPENING", 1)
    tape = Tape().opened().fired("to_client", "late", "RST after byte 3", 3)
    assert len(list(tape.recorder.story())) == 2


def _label(entry: object) -> str:
    if isinstance(entry, Marked):
        return entry.text
    return entry.fault if isinstance(entry, Fired) else type(entry).__name__


def test_a_story_is_bounded_however_much_happens() -> None:
    tape = Tape().opened()
    for _ in range(12_000):
        tape.sent("to_server", b"x")
    story = tape.recorder.story()
    assert (len(story), story.left_out) == (10_000, 2_001)
    places = [entry.offset for entry in story.closing if isinstance(entry, Sent)]
    assert all(b - a == 1 for a, b in pairwise(places))


def test_forgetting_starts_afresh() -> None:
    tape = Tape().opened().passed("to_server", b"abc")
    before = tape.recorder.traffic()
    tape.recorder.forget()
    assert tape.recorder.traffic().connections == ()
    assert tape.recorder.story() == Story()
    assert before.to_server.sent == b"abc"
    tape.sent("to_server", b"late")
    assert tape.recorder.traffic().connections == ()


def test_connections_that_stay_are_numbered_downwards_with_empty_records() -> None:
    recorder = Recorder()
    for number in (1, 2, 3):
        Tape(recorder, number).opened().passed("to_server", b"abc").noted("old").fired(
            "to_client", "F", "x", 0
        )
    Tape(recorder, 4, endpoint="echo", number=1).opened()
    recorder.forget(keep=[1, 3, 4, 99])
    connections = recorder.traffic().connections
    assert [(c.id, c.endpoint, c.number) for c in connections] == [
        (1, "redis", -1),
        (3, "redis", 0),
        (4, "echo", 0),
    ]
    assert all(
        c.opened_before and (c.faults, c.notes, c.to_server.sent) == ((), (), b"") for c in connections
    )


def test_places_count_from_where_the_record_begins() -> None:
    tape = Tape().proxy().passed("to_server", b"abc")
    tape.recorder.forget(keep=[1])
    tape.sent("to_server", b"de")
    entry = next(iter(tape.recorder.story()))
    assert isinstance(entry, Sent)
    assert (entry.offset, tape.recorder.traffic().to_server.sent) == (0, b"de")
    assert tape.recorder.traffic().connection(0).upstream == UPSTREAM


def test_a_connection_shown_to_a_new_reader_was_opened_before() -> None:
    assert Tape().opened(before=True).recorder.traffic().connection(1).opened_before


def test_the_budget_is_whole_again_after_forgetting() -> None:
    tape = Tape(Recorder(total_bytes=3)).opened().sent("to_server", b"abc")
    tape.recorder.forget(keep=[1])
    tape.sent("to_server", b"abc")
    assert tape.recorder.traffic().to_server.sent == b"abc"


def test_one_endpoint_starts_afresh_and_the_others_stay() -> None:
    recorder = Recorder(total_bytes=6)
    Tape(recorder, 1).opened().sent("to_server", b"abc")
    Tape(recorder, 2, endpoint="dns", number=1, transport="udp").opened().sent("to_server", b"xyz")
    recorder.forget(endpoint="dns")
    assert [c.endpoint for c in recorder.traffic().connections] == ["redis"]
    assert recorder.traffic().to_server.sent == b"abc"
    Tape(recorder, 3, endpoint="dns", number=1).opened().sent("to_server", b"uvw")
    assert recorder.traffic("dns").to_server.sent == b"uvw"
    recorder.forget(endpoint="nobody")
    recorder.forget(keep=[3], endpoint="dns")
    assert [(c.endpoint, c.number) for c in recorder.traffic().connections] == [("redis", 1), ("dns", 0)]
    assert recorder.traffic("dns").to_server.sent == b""


@pytest.mark.parametrize("opening", [2, 4, 100])
def test_what_one_endpoint_forgets_is_not_told_any_more(
    opening: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(story_room, "STORY_OPENING", opening)
    monkeypatch.setattr(story_room, "STORY_CLOSING", 3)
    redis = Tape().opened()
    echo = Tape(redis.recorder, 2, endpoint="echo").opened()
    for tape in (redis, echo) * 3:
        tape.sent("to_server", b"x").fired("to_client", f"fault of {tape.connection}", "held from byte 0", 0)
    redis.recorder.forget(endpoint="echo")
    redis.marked("end")
    story = redis.recorder.story()
    assert all(getattr(entry, "connection", 1) == 1 for entry in story)
    assert isinstance(list(story)[-1], Marked)
    times = [entry.at for entry in story if not isinstance(entry, Marked)]
    assert times == sorted(times)
