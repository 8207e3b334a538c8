"""The kernel's capture without a kernel: packets that were made up, entries around them, and what the file says.

Law: the clock stands still at START and WALL, as in `scene.py`; nothing is opened but a file.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pcap import shark, walk

from pytest_netfixtures._pcap.glance import glance
from pytest_netfixtures._pcap.headers import ACK, FIN, PSH, RST, SYN, Route
from pytest_netfixtures._pcap.kernel_tap import KernelTap
from pytest_netfixtures._wire.entries import (
    TO_CLIENT,
    Delivered,
    Entry,
    Fired,
    LegEnded,
    LegOpened,
    LegOpening,
    Marked,
    Noted,
    Secret,
    TlsStarted,
)

CLIENT, SERVER = ("127.0.0.1", 40000), ("127.0.0.1", 8000)
THERE, BACK = Route(CLIENT, SERVER), Route(SERVER, CLIENT)


class Stage:
    """A tap, and a time that goes on by 10 microseconds with everything that happens."""

    def __init__(self, path: Path, max_bytes: int = 1 << 20, secrets: bool = True) -> None:
        self.path = path
        self.tap = KernelTap(path, node_id="x", comment={}, max_bytes=max_bytes, secrets=secrets)
        self.tap.begin()
        self.began = self.at = time.monotonic() - 100
        self.waiting: list[tuple[int, bytes]] = []

    def tick(self) -> float:
        self.at += 0.00001
        return self.at

    def packet(self, frame: bytes) -> None:
        """The kernel has one more."""
        self.waiting.append((self.tap._book.stamp_of(self.tick()), frame))

    def entry(self, entry: Entry) -> None:
        self.tap(entry, None)

    def opened(self, number: int = 1, *, before: bool = False, client: tuple[str, int] = CLIENT) -> None:
        what = (number, "proxy", number, "client", "tcp", client, SERVER)
        self.entry(LegOpened(self.tick(), *what, before))  # type: ignore[arg-type]

    def handshake(self, isn: int = 1000) -> None:
        self.packet(THERE.tcp(isn, 0, SYN))
        self.packet(BACK.tcp(isn + 5000, isn + 1, SYN | ACK))
        self.packet(THERE.tcp(isn + 1, isn + 5001, ACK))

    def hand_over(self) -> None:
        """The owner's thread brings all of them at once."""
        caught = [(stamp, frame, glance(frame)) for stamp, frame in self.waiting]
        self.waiting = []
        self.tap.take(caught)

    def frames(self, tshark: str, *options: str) -> list[shark.Frame]:
        self.hand_over()
        self.tap.finish("passed")
        return shark.read(tshark, self.path, options=options)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path / "k.pcapng")


def told(frames: list[shark.Frame]) -> list[str]:
    return [frame["systemd_journal.message"] or frame["tcp.flags.str"].strip("·") for frame in frames]


def test_rows_stand_between_the_packets_where_they_happened(
    stage: Stage, referee: Callable[[str], str]
) -> None:
    stage.packet(THERE.tcp(1000, 0, SYN))
    stage.entry(Marked(stage.tick(), "one"))
    stage.packet(BACK.tcp(6000, 1001, SYN | ACK))
    stage.entry(Marked(stage.tick(), "two"))
    stage.entry(Noted(stage.tick(), None, "three"))
    stage.packet(THERE.tcp(1001, 6001, ACK))
    assert told(stage.frames(referee("tshark"))) == ["S", "MARK one", "A··S", "MARK two", "NOTE three", "A"]


def test_a_row_waits_for_packets_that_may_have_been_before_it(stage: Stage) -> None:
    stage.entry(Marked(time.monotonic() + 10, "in a while"))
    assert stage.tap.take(())
    assert b"in a while" not in stage.path.read_bytes()
    stage.tap.finish("passed")


def test_a_comment_of_a_fault_is_on_the_packet_with_the_bytes_that_it_touched(
    stage: Stage, referee: Callable[[str], str]
) -> None:
    stage.handshake(0xFFFFFFFF - 5002)  # the server's numbers begin just before they wrap
    stage.opened()
    for offset in (0, 3, 6):
        faults = ("Delay(1)",) if offset == 3 else ()
        at = stage.tick()
        stage.entry(Delivered(at, 1, TO_CLIENT, offset, 3, at, faults))
    first = 0xFFFFFFFF - 1
    stage.packet(BACK.tcp(first, 1, PSH | ACK, b"ab"))
    stage.packet(BACK.tcp(first + 2, 1, PSH | ACK, b"cd"))
    stage.packet(BACK.tcp(first + 4, 1, PSH | ACK, b"ef"))
    stage.packet(BACK.tcp(first + 6, 1, PSH | ACK, b"ghi"))
    stage.entry(LegEnded(stage.tick(), 1, "client", "us", "FIN", ("Truncate(9)",)))
    stage.packet(BACK.tcp(first + 9, 1, FIN | ACK))
    found = {frame["tcp.payload"]: frame["frame.comment"] for frame in stage.frames(referee("tshark"))[3:]}
    of = {name: found[name.encode().hex()] for name in ("ab", "cd", "ef", "ghi")}
    assert of == {"ab": "", "cd": "fault: Delay(1)", "ef": "fault: Delay(1)", "ghi": ""}
    assert found[""] == "fault: Truncate(9)"


def test_another_syn_is_another_stream_and_a_repeated_one_is_not(
    stage: Stage, referee: Callable[[str], str]
) -> None:
    for number, isn in ((1, 1000), (2, 900_000)):
        stage.packet(THERE.tcp(isn, 0, SYN))
        stage.handshake(isn)
        stage.opened(number)
        stage.packet(BACK.tcp(isn + 5001, isn + 1, RST | ACK))
    frames = stage.frames(referee("tshark"))
    assert [frame["tcp.stream"] for frame in frames] == ["0"] * 5 + ["1"] * 5
    assert [stage.tap.stream_of(number, "client") for number in (1, 2, 3)] == [0, 1, None]
    assert [f["frame.comment"].split(",")[0] for f in frames if f["frame.comment"]] == [
        "LEG 'proxy' connection 1",
        "LEG 'proxy' connection 2",
    ]
    assert (stage.tap.connections, stage.tap.resets) == (2, 2)


def test_a_connection_that_was_open_before_says_so(stage: Stage, referee: Callable[[str], str]) -> None:
    stage.opened(before=True)
    at = stage.tick()
    stage.entry(Delivered(at, 1, TO_CLIENT, 0, 3, at, ("Delay(1)",)))
    stage.packet(BACK.tcp(77, 88, PSH | ACK, b"abc"))
    (frame,) = stage.frames(referee("tshark"))
    assert frame["frame.comment"].endswith("40000 > 127.0.0.1:8000|opened before this test")


def test_a_leg_behind_a_wildcard_is_named_with_its_real_address(
    stage: Stage, referee: Callable[[str], str]
) -> None:
    stage.handshake()
    stage.entry(LegOpened(stage.tick(), 1, "proxy", 1, "client", "tcp", CLIENT, ("0.0.0.0", 8000)))
    frames = stage.frames(referee("tshark"))
    assert frames[0]["frame.comment"].endswith("127.0.0.1:40000 > 127.0.0.1:8000")
    assert stage.tap.stream_of(1, "client") == 0


def test_an_upstream_is_known_from_its_first_packet_on(stage: Stage) -> None:
    seen = glance(THERE.tcp(1, 0, SYN))
    assert seen is not None and not stage.tap.knows(seen)
    stage.entry(LegOpening(stage.tick(), 1, "proxy", 1, "server", "tcp", CLIENT, SERVER))
    stage.tap.learn()
    other = glance(Route(("127.0.0.1", 40001), SERVER).tcp(1, 0, SYN))
    assert other is not None and stage.tap.knows(seen) and not stage.tap.knows(other)
    assert stage.tap.ports() == {8000}
    stage.tap.discard()


def test_the_limit_keeps_the_head_and_counts_the_rest(tmp_path: Path, referee: Callable[[str], str]) -> None:
    stage = Stage(tmp_path / "k.pcapng", max_bytes=4096)
    stage.handshake()
    stage.opened()
    for number in range(10):
        stage.packet(BACK.tcp(6001 + number * 1000, 1001, PSH | ACK, bytes(1000)))
    frames = stage.frames(referee("tshark"))
    assert stage.tap.packets + stage.tap.left_out == 13 and stage.tap.left_out > 6
    assert [text.split()[0] for text in shark.messages(frames)] == ["LIMIT", "LIMIT"]


def test_a_file_that_cannot_be_written_is_said_and_breaks_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "no such directory" / "k.pcapng")
    stage.handshake()
    stage.opened()
    stage.hand_over()
    assert stage.tap.error is not None and "could not be written" in stage.tap.error
    stage.tap.finish("passed")


def test_the_room_for_keys_comes_before_the_packets_that_need_them(stage: Stage) -> None:
    stage.handshake()
    stage.opened()
    stage.entry(TlsStarted(stage.tick(), 1, "client"))
    line = f"CLIENT_RANDOM {'ab' * 32} {'cd' * 48}\n"
    stage.entry(Secret(stage.tick(), 1, "client", line))
    assert line.encode() in stage.path.read_bytes()  # at once, whatever the kernel does
    stage.packet(BACK.tcp(6001, 1001, PSH | ACK, b"\x16\x03\x03"))
    stage.hand_over()
    stage.tap.finish("passed")
    kinds = [kind for kind, _ in walk.blocks(stage.path.read_bytes())]
    assert kinds.index(10) < kinds.index(walk.PACKET)


def test_what_was_lost_is_a_row_a_count_and_a_statistic(
    stage: Stage, referee: Callable[[str], str], tmp_path: Path
) -> None:
    stage.handshake()
    stage.hand_over()
    stage.tap.take((), lost=7)
    stage.packet(THERE.tcp(1001, 6001, FIN | ACK))
    stage.hand_over()
    stage.tap.finish("passed")
    said = shark.messages(shark.read(referee("tshark"), stage.path))
    assert said[0].startswith("LOST 7 packets") and "7 packets" in stage.tap.incomplete
    (statistics,) = (body for kind, body in walk.blocks(stage.path.read_bytes()) if kind == walk.STATISTICS)
    assert dict(walk.options(statistics[12:])) == {
        4: (11).to_bytes(8, "little"),
        5: (7).to_bytes(8, "little"),
    }
    assert shark.run(referee("editcap"), stage.path, tmp_path / "copy.pcapng").returncode == 0


def test_entries_after_the_end_are_passed_over(stage: Stage) -> None:
    stage.tap.finish("passed")
    stage.entry(Fired(stage.tick(), 1, TO_CLIENT, "Delay(1)", "late", 0))
    assert not stage.tap.take(()) and stage.tap.faults == 0
    stage.tap.finish("failed")
