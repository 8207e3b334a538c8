"""Other people's readers judge our files: tshark, capinfos, editcap, tcpdump.

Many conversations share a file, because every run of tshark costs a third of a second.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pcap import shark, walk
from pcap.scene import START, WALL, Scene

from pytest_netfixtures._wire.entries import TO_CLIENT, TO_SERVER, How

Referee = Callable[[str], str]
By = Literal["peer", "us"]
SERVER = ("127.0.0.1", 46000)


def client(port: int) -> tuple[str, int]:
    return "127.0.0.1", 41000 + port


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "capture.pcapng"


@pytest.fixture
def tshark(referee: Referee) -> str:
    return referee("tshark")


def two_ways(scene: Scene, number: int) -> None:
    """Open, and data in both directions."""
    scene.opened(number, client(number), SERVER)
    scene.sent(number, TO_SERVER, f"question {number}".encode())
    scene.delivered(number, TO_CLIENT, f"answer {number}".encode() * 100)


def every_end(scene: Scene) -> int:
    """Conversations 10 to 41: each end by each side, then each end by each side; how many show an RST."""
    ends: list[tuple[By, How]] = [("peer", "FIN"), ("us", "FIN"), ("peer", "RST"), ("us", "RST")]
    number, resets = 10, 0
    for first in ends:
        for second in ends:
            two_ways(scene, number)
            scene.ended(number, *first)
            if first == ("us", "FIN"):
                scene.sent(number, TO_SERVER, b"still open this way")
            scene.ended(number, *second)
            resets += "RST" in (first[1], second[1])
            number += 1
    return resets


def whole_story(path: Path) -> tuple[Scene, int]:
    """A file with all that a test can do, and the number of its resets."""
    scene = Scene(path)
    scene.marked("setup")
    scene.opened(1, client(1), ("127.0.0.1", 45000), endpoint="proxy")
    scene.opening(1, client(2), SERVER, endpoint="proxy")
    scene.opened(2, client(2), SERVER, endpoint="echo")
    scene.opened(1, client(2), SERVER, leg="server", endpoint="proxy")
    scene.marked("call")
    scene.sent(1, TO_SERVER, b"PING")
    scene.delivered(1, TO_SERVER, b"PING", faults=("Delay(0.2)", "Slice(4)"), late=0.25)
    scene.sent(2, TO_SERVER, b"PING")
    scene.delivered(2, TO_CLIENT, b"PONG")
    scene.sent(1, TO_CLIENT, b"PONG")
    scene.fired(1, "Reset(after=3)", 'RST after byte 3\nof "PONG" \x1b[31mü')
    scene.delivered(1, TO_CLIENT, b"PON")
    scene.ended(1, "us", "RST", faults=("Reset(after=3)",))
    scene.ended(2, "peer", "RST")
    scene.ended(1, "us", "RST", leg="server")
    resets = 2 + every_end(scene)
    scene.opening(50, client(50), SERVER, endpoint="proxy")
    scene.failed(50, refused=True)
    scene.opening(51, client(51), SERVER, endpoint="proxy")
    scene.failed(51, refused=False, reason="no answer within 5 s")
    for number, host in ((60, "::1"), (61, "127.0.0.1")):
        scene.opened(number, (host, 42000), (host, 42001), transport="udp", endpoint="dns")
        scene.sent(number, TO_SERVER, b"who?")
        scene.delivered(number, TO_CLIENT, b"")
        scene.delivered(number, TO_CLIENT, b"x" * 60_001, faults=("Duplicate(0.5)",))
    scene.opened(70, ("::1", 42000), ("::1", 42001), endpoint="v6")
    scene.delivered(70, TO_CLIENT, bytes(range(256)) * 4096)
    scene.sent(70, TO_SERVER, b"\xff" * 65_537)
    scene.ended(70, "peer", "FIN")
    scene.delivered(70, TO_CLIENT, b"still open this way")
    scene.ended(70, "us", "FIN")
    scene.opened(80, "", "/run/db.sock", endpoint="db", before=True)
    scene.sent(80, TO_SERVER, b"over a Unix socket")
    scene.noted("1 byte was never delivered", connection=1)
    scene.noted("the machine has no ::1")
    scene.marked("half way")
    scene.marked("teardown")
    return scene, resets + 1


def test_tshark_finds_nothing_wrong_and_all_that_was_said(path: Path, tshark: str) -> None:
    scene, resets = whole_story(path)
    scene.tap.finish("failed")
    frames = shark.read(tshark, path, plain=True)
    assert shark.blemishes(frames) == []
    assert shark.resets(frames) == resets == scene.tap.resets
    assert len(frames) - len(shark.messages(frames)) == scene.tap.packets
    for (connection, leg, side), data in scene.sent_by.items():
        number = scene.tap.stream_of(connection, leg)
        if connection not in (2, 60, 61, 80):
            port = port_of(connection, leg, side)
            assert number is not None and shark.stream(frames, number, port) == data, (connection, leg, side)
    assert shark.messages(frames) == [
        "PHASE setup",
        "PHASE call",
        "FAULT Reset(after=3) on 'proxy' connection 1 to_client: RST after byte 3\\nof \"PONG\" \\x1b[31mü",
        "UPSTREAM 127.0.0.1:46000 of 'proxy' connection 1 refused the connection: Connection refused",
        "UPSTREAM 127.0.0.1:46000 of 'proxy' connection 1 could not be reached: no answer within 5 s",
        "NOTE 'proxy' connection 1: 1 byte was never delivered",
        "NOTE the machine has no ::1",
        "MARK half way",
        "PHASE teardown",
    ]
    for transport in ("tcp", "udp"):
        numbers = {int(frame[f"{transport}.stream"]) for frame in frames if frame[f"{transport}.stream"]}
        assert numbers == set(range(len(numbers)))
    udp = [scene.tap.stream_of(n, "client") for n in (60, 61)]
    assert udp == [0, 1]
    assert shark.stream(frames, 0, 42001, "udp") == b"x" * 60_001
    assert (
        shark.stream(frames, scene.tap.stream_of(80, "client") or 0, unix_port(frames))
        == b"over a Unix socket"
    )


def port_of(connection: int, leg: str, side: str) -> int:
    """The port that this side of this leg has in `whole_story`."""
    if connection == 1:
        ends = {"client": (41001, 45000), "server": (41002, 46000)}[leg]
    else:
        ends = (42000, 42001) if connection == 70 else (41000 + connection, 46000)
    return ends[0] if side == "client" else ends[1]


def unix_port(frames: list[shark.Frame]) -> int:
    """The stand-in port of the client of the Unix socket."""
    return next(
        int(frame["tcp.srcport"]) for frame in frames if frame["frame.interface_name"] == "db: client leg"
    )


def test_packets_carry_interface_direction_and_comments(path: Path, tshark: str) -> None:
    scene, _ = whole_story(path)
    scene.tap.finish("failed")
    frames = shark.read(tshark, path, plain=True)
    assert [frame["frame.interface_name"] for frame in frames[1:8]] == [
        *["proxy: client leg"] * 3,
        *["proxy: server leg"] * 3,
        "",
    ]
    assert {frame["frame.interface_name"] for frame in frames if frame["tcp.stream"]} == {
        "proxy: client leg",
        "proxy: server leg",
        "redis: client leg",
        "v6: client leg",
        "db: client leg",
    }
    assert all("synthesised" in frame["frame.interface_description"] for frame in frames if frame["tcp.len"])
    asked, forwarded = (frame for frame in frames if frame["tcp.payload"] == b"PING".hex())
    assert (asked["frame.packet_flags_direction"], forwarded["frame.packet_flags_direction"]) == (
        "0x00000001",
        "0x00000002",
    )
    assert "LEG 'proxy' connection 1, server leg" in frames[4]["frame.comment"]
    said = [text for text in forwarded["frame.comment"].split(shark.BETWEEN) if not text.startswith("LEG ")]
    assert said[:2] == ["fault: Delay(0.2)", "fault: Slice(4)"]
    assert said[2].endswith("s after the capture began, delivered 250.0 ms later")
    [reset] = [frame for frame in frames if frame["frame.comment"] == "fault: Reset(after=3)"]
    assert "R" in reset["tcp.flags.str"] and reset["tcp.srcport"] == "45000"
    [before] = {f["tcp.stream"] for f in frames if f["frame.comment"].endswith("opened before this test")}
    assert before == str(scene.tap.stream_of(80, "client"))
    db = next(frame for frame in frames if frame["frame.interface_name"] == "db: client leg")
    assert (
        f"/run/db.sock has no IP address and is shown as {db['ip.dst']}:{db['tcp.dstport']}"
        in (db["frame.interface_description"])
    )


def test_the_expert_has_no_error_and_one_warning_a_reset(path: Path, tshark: str) -> None:
    scene, resets = whole_story(path)
    scene.tap.finish("failed")
    found = shark.expert(tshark, path)
    assert "Errors" not in found
    assert found["Warns"] == {shark.RESET: resets}
    flagged = shark.run(tshark, "-n", "-r", path, "-Y", "tcp.analysis.flags || _ws.malformed")
    assert (flagged.returncode, flagged.stdout) == (0, "")


def test_following_a_stream_gives_its_bytes(path: Path, tshark: str) -> None:
    scene, _ = whole_story(path)
    scene.tap.finish("failed")
    number = scene.tap.stream_of(70, "client")
    done = shark.run(tshark, "-r", path, "-q", "-z", f"follow,tcp,raw,{number}")
    lines = done.stdout.splitlines()[6:-1]
    from_server = b"".join(bytes.fromhex(line) for line in lines if line.startswith("\t"))
    from_client = b"".join(bytes.fromhex(line) for line in lines if not line.startswith("\t"))
    assert from_server == bytes(range(256)) * 4096 + b"still open this way"
    assert from_client == b"\xff" * 65_537


def test_capinfos_editcap_and_tcpdump_take_it(path: Path, tmp_path: Path, referee: Referee) -> None:
    scene, _ = whole_story(path)
    running = shark.run(referee("capinfos"), path)
    assert running.returncode == 0 and "outcome: RUNNING" in running.stdout
    scene.tap.finish("failed")
    info = shark.run(referee("capinfos"), path)
    assert info.returncode == 0 and info.stderr == ""
    assert "outcome: failed" in info.stdout and "test: tests/test_x.py::test_retry[redis]" in info.stdout
    assert "Strict time order:   True" in info.stdout
    copy = tmp_path / "copy.pcapng"
    edited = shark.run(referee("editcap"), path, copy)
    assert (edited.returncode, edited.stderr) == (0, "")
    read = [shark.read(referee("tshark"), each, plain=True) for each in (path, copy)]
    assert read[0] == read[1]
    dumped = shark.run(referee("tcpdump"), "-n", "-r", path)
    assert dumped.returncode == 0
    assert len([line for line in dumped.stdout.splitlines() if " IP" in line]) == scene.tap.packets
    assert "bad" not in shark.run(referee("tcpdump"), "-n", "-vv", "-r", path).stdout


def test_a_row_alone_is_a_file_that_every_tool_takes(path: Path, tmp_path: Path, referee: Referee) -> None:
    scene = Scene(path)
    scene.marked("setup")
    scene.tap.finish("passed")
    assert shark.messages(shark.read(referee("tshark"), path)) == ["PHASE setup"]
    assert shark.run(referee("editcap"), path, tmp_path / "copy.pcapng").returncode == 0
    assert shark.run(referee("tcpdump"), "-r", path).returncode == 0


def test_ports_that_are_used_again_start_a_new_stream_and_are_only_noted(path: Path, tshark: str) -> None:
    scene = Scene(path)
    for number in range(6):
        scene.opened(number, client(1), SERVER)
        scene.sent(number, TO_SERVER, bytes([number]) * 10)
        scene.ended(number, "peer" if number % 2 else "us", "RST" if number % 3 else "FIN")
    scene.tap.finish("passed")
    frames = shark.read(tshark, path, plain=True)
    assert shark.blemishes(frames, ports_reused=True) == []
    assert len(shark.blemishes(frames)) == 5, "what Wireshark says about port reuse has changed"
    for number in range(6):
        stream = scene.tap.stream_of(number, "client")
        assert stream == number
        assert shark.stream(frames, stream, 41001) == bytes([number]) * 10


def test_a_file_cut_at_any_block_is_read_and_one_cut_inside_is_read_up_to_there(
    path: Path, tmp_path: Path, tshark: str
) -> None:
    scene = Scene(path)
    scene.marked("call")
    two_ways(scene, 1)
    scene.fired(1, "Reset(after=3)", "RST after byte 3")
    scene.ended(1, "us", "RST")
    whole, ends = path.read_bytes(), walk.boundaries(path)
    scene.tap.discard()
    torn = tmp_path / "torn.pcapng"
    seen = []
    for end in ends:
        torn.write_bytes(whole[:end])
        seen.append(len(shark.read(tshark, torn, plain=True)))
    assert seen == [0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8]
    torn.write_bytes(whole[: ends[-1] - 7])
    cut = shark.run(tshark, "-n", "-r", torn)
    assert cut.returncode == 2 and len(cut.stdout.splitlines()) == 7
    assert "cut short" in cut.stderr


def test_a_file_that_is_still_being_written_is_read_whole(path: Path, tshark: str) -> None:
    scene = Scene(path)
    for number in range(3):
        two_ways(scene, number)
        assert len(shark.read(tshark, path, plain=True)) == scene.tap.packets
    scene.tap.discard()


def test_a_capture_that_met_its_limit_has_no_gap(path: Path, tshark: str) -> None:
    scene = Scene(path, max_bytes=100_000)
    for number in range(40):
        two_ways(scene, number)
        scene.delivered(number, TO_CLIENT, b"x" * 40_000)
        scene.ended(number, "us", "RST")
    scene.fired(3, "Drop()", "dropped from byte 0")
    scene.tap.finish("failed")
    frames = shark.read(tshark, path, plain=True)
    assert shark.blemishes(frames) == []
    assert [text.split()[0] for text in shark.messages(frames)] == ["LIMIT", "FAULT", "LIMIT"]
    assert shark.resets(frames) == scene.tap.resets


def test_stamps_are_the_nanoseconds_of_the_wall_clock(path: Path, tshark: str) -> None:
    scene = Scene(path)
    scene.at = START + 0.5
    scene.opened(1, client(1), SERVER)
    scene.tap.finish("passed")
    first = shark.read(tshark, path)[0]["frame.time_epoch"]
    assert abs(int(first.replace(".", "")) - (WALL + 500_001_500)) < 1000


def test_after_half_a_gibibyte_one_way_the_receiver_acknowledges(
    path: Path, tshark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_netfixtures._pcap.tcp.UNACKNOWLEDGED", 100_000)
    scene = Scene(path)
    two_ways(scene, 1)
    for _ in range(10):
        scene.sent(1, TO_SERVER, b"x" * 60_000)
    scene.tap.finish("passed")
    frames = shark.read(tshark, path, plain=True)
    assert shark.blemishes(frames) == []
    assert (
        len([frame for frame in frames if frame["tcp.len"] == "0" and "S" not in frame["tcp.flags.str"]])
        == 1 + 5
    )


ends = st.tuples(st.sampled_from(["peer", "us"]), st.sampled_from(["FIN", "FIN", "RST"]))
data = st.tuples(st.sampled_from([TO_SERVER, TO_CLIENT]), st.binary(max_size=40))
steps = st.lists(st.tuples(st.integers(0, 5), st.one_of(data, data, data, ends)), max_size=60)


class Model:
    """What may be shown of one conversation: nothing after an RST, nothing of a side after its own FIN."""

    def __init__(self) -> None:
        self.shown = {"client": b"", "server": b""}
        self.over: set[str] = set()
        self.reset = False

    def take(self, word: str, what: bytes | str) -> None:
        side = "client" if word in (TO_SERVER, "peer") else "server"
        if self.reset:
            return
        if isinstance(what, bytes):
            self.shown[side] += b"" if side in self.over else what
        elif what == "RST":
            self.reset = True
        else:
            self.over.add(side)


@given(steps=steps, v6=st.booleans())
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_in_whatever_order_is_valid_tcp(
    steps: list[tuple[int, tuple[str, bytes | str]]], v6: bool, path: Path, tshark: str
) -> None:
    scene, models = Scene(path), [Model() for _ in range(6)]
    host = "::1" if v6 else "127.0.0.1"
    for number in range(6):
        scene.opened(number, (host, 41000 + number), (host, 46000))
    for number, (word, what) in steps:
        models[number].take(word, what)
        if isinstance(what, bytes):
            (scene.sent if word == TO_SERVER else scene.delivered)(number, word, what)  # type: ignore[arg-type]
        else:
            scene.ended(number, word, what)  # type: ignore[arg-type]
    scene.tap.finish("passed")
    frames = shark.read(tshark, path, plain=True)
    assert shark.blemishes(frames) == []
    assert shark.resets(frames) == sum(model.reset for model in models)
    for number, model in enumerate(models):
        assert shark.stream(frames, number, 41000 + number) == model.shown["client"]
        assert shark.stream(frames, number, 46000) == model.shown["server"]


def test_the_judge_sees_what_is_wrong(path: Path, tshark: str) -> None:
    scene = Scene(path)
    two_ways(scene, 1)
    scene.sent(1, TO_SERVER, b"lost")
    lost = path.stat().st_size
    scene.sent(1, TO_SERVER, b"left")
    scene.tap.finish("passed")
    whole, ends = path.read_bytes(), walk.boundaries(path)
    path.write_bytes(whole[: ends[ends.index(lost) - 1]] + whole[lost:].replace(b"left", b"lift"))
    [gap, checksum, *_] = shark.blemishes(shark.read(tshark, path, plain=True))
    assert "Previous segment" in gap
    assert checksum.endswith("tcp checksum")
