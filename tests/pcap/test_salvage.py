"""Salvage makes whole what a killed run has left, and touches nothing else."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from pytest_netfixtures._pcap.file import CaptureFile
from pytest_netfixtures._pcap.keyfile import keys_path
from pytest_netfixtures._pcap.merge import temporary, walk
from pytest_netfixtures._pcap.salvage import KILLED, Salvaged, outcome_of, salvage

from . import shark
from .scene import NODE_ID, Scene
from .walk import blocks, boundaries

CLIENT, SERVER = ("127.0.0.1", 40000), ("127.0.0.1", 6379)
KEYS = f"CLIENT_RANDOM {'ab' * 32} {'cd' * 48}\n"
SECRETS = 10


def left_behind(path: Path) -> bytes:
    """A capture whose writer has died; its bytes."""
    scene = spoken(path)
    scene.tap.forget()
    return path.read_bytes()


def spoken(path: Path) -> Scene:
    """A capture that is being written."""
    scene = Scene(path)
    scene.marked("call")
    scene.opened(1, CLIENT, SERVER)
    scene.sent(1, "to_server", b"PING" * 30)
    scene.delivered(1, "to_client", b"PONG")
    return scene


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the capture of a test would be."""
    return tmp_path / "test_x-0123456789.pcapng"


def test_a_file_that_ends_with_a_block_gets_its_outcome_and_nothing_else(path: Path) -> None:
    before = left_behind(path)
    assert outcome_of(path) == "RUNNING"
    done = salvage(path)
    assert done == Salvaged(path, KILLED, NODE_ID, 5, len(before), 0, False)
    assert outcome_of(path) == KILLED
    after = path.read_bytes()
    assert [after[:37], after[69:]] == [before[:37], before[69:]]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_torn_file_is_cut_to_its_last_whole_block_wherever_it_is_torn(path: Path, tmp_path: Path) -> None:
    whole = left_behind(path)
    ends = boundaries(path)
    for size in range(ends[0], len(whole)):
        torn = tmp_path / "torn.pcapng"
        torn.write_bytes(whole[:size])
        last = max(end for end in ends if end <= size)
        done = salvage(torn)
        assert done is not None and (done.size, done.cut) == (last, size - last)
        assert len(blocks(torn.read_bytes())) == ends.index(last) + 1


def test_what_is_no_block_at_the_end_is_cut_off_too(path: Path) -> None:
    whole = left_behind(path)
    with open(path, "ab") as file:
        file.write(bytes(5000))
    done = salvage(path)
    assert done is not None and (done.size, done.cut) == (len(whole), 5000)


def test_all_referees_read_it_without_a_complaint(path: Path, referee: Callable[[str], str]) -> None:
    left_behind(path)
    os.truncate(path, path.stat().st_size - 7)
    salvage(path)
    for command in (["tshark", "-n", "-r"], ["capinfos"], ["tcpdump", "-nr"]):
        done = shark.run(referee(command[0]), *command[1:], path)
        assert done.returncode == 0 and "cut short" not in done.stderr, done.stderr
    assert f"outcome: {KILLED}" in shark.run(referee("capinfos"), path).stdout


def test_a_second_time_there_is_nothing_to_do(path: Path) -> None:
    left_behind(path)
    assert salvage(path) is not None
    assert salvage(path) is None


def test_a_file_that_is_being_written_is_not_touched(path: Path) -> None:
    scene = spoken(path)
    before = path.read_bytes()
    assert salvage(path) is None
    assert path.read_bytes() == before
    scene.tap.finish("passed")
    assert outcome_of(path) == "passed"


def test_a_finished_file_is_not_touched(path: Path) -> None:
    spoken(path).tap.finish("failed")
    before = path.read_bytes()
    assert salvage(path) is None
    assert path.read_bytes() == before


FOREIGN: dict[str, Callable[[bytes], bytes]] = {
    "text": lambda ours: b"outcome: RUNNING\n" * 200,
    "another program's pcapng": lambda ours: ours.replace(b"outcome: RUNNING", b"it is    RUNNING"),
    "a comment of another length": lambda ours: ours[:26] + b"\0\2" + ours[28:],
    "big endian": lambda ours: ours[:8] + ours[8:12][::-1] + ours[12:],
    "half a head": lambda ours: ours[:500],
    "classic pcap": lambda ours: b"\xd4\xc3\xb2\xa1" + ours[4:],
}


@pytest.mark.parametrize("change", FOREIGN.values(), ids=FOREIGN.keys())
def test_a_file_that_is_not_ours_is_not_touched(path: Path, change: Callable[[bytes], bytes]) -> None:
    foreign = change(left_behind(path))
    path.write_bytes(foreign)
    assert salvage(path) is None and outcome_of(path) is None
    assert path.read_bytes() == foreign


def test_what_is_no_regular_file_is_not_touched(path: Path, tmp_path: Path) -> None:
    before = left_behind(path)
    link, pipe, folder = tmp_path / "a.pcapng", tmp_path / "b.pcapng", tmp_path / "c.pcapng"
    link.symlink_to(path)
    os.mkfifo(pipe)
    folder.mkdir()
    missing = tmp_path / "d.pcapng"
    assert [salvage(each) for each in (link, pipe, folder, missing)] == [None] * 4
    assert [outcome_of(each) for each in (link, pipe, folder, missing)] == [None] * 4
    assert path.read_bytes() == before and link.is_symlink()


def test_a_finished_file_is_not_even_locked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its test may begin anew at this moment, in another run, and would find it taken."""
    spoken(path).tap.finish("failed")
    monkeypatch.setattr(fcntl, "flock", lambda *given: pytest.fail("it was locked"))
    assert salvage(path) is None


def test_what_somebody_cuts_meanwhile_is_an_error_and_no_signal(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who knows no lock may do so at any moment; through a map of the file this would be SIGBUS."""
    left_behind(path)

    def cut_first(source: IO[bytes]) -> Iterator[tuple[int, int, int]]:
        os.truncate(path, 0)
        return walk(source)

    monkeypatch.setattr("pytest_netfixtures._pcap.salvage.walk", cut_first)
    with pytest.raises(OSError, match="section header"):
        salvage(path)
    assert path.read_bytes() == b""


def test_an_empty_file_is_removed_unless_somebody_begins_to_write_it(path: Path) -> None:
    path.touch()
    with open(path) as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        assert salvage(path) is None and path.exists()
    done = salvage(path)
    assert done is not None and done.size == 0 and not path.exists()


def test_a_writer_that_meets_salvage_at_an_empty_file_makes_a_new_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock, removed = fcntl.flock, list[int]()

    def late(fd: int, how: int) -> None:
        if not removed:
            removed.append(fd)
            path.unlink()
        flock(fd, how)

    monkeypatch.setattr(fcntl, "flock", late)
    file = CaptureFile(path)
    file.open()
    assert file.append(b"x" * 12) and removed
    file.close()
    assert path.read_bytes() == b"x" * 12


def test_a_capture_that_is_deleted_holds_its_lock_until_it_is_gone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene, unlink, met = spoken(path), Path.unlink, list[object]()

    def watched(self: Path, missing_ok: bool = False) -> None:
        met.append(salvage(path))
        unlink(self, missing_ok)

    monkeypatch.setattr(Path, "unlink", watched)
    scene.tap.discard()
    assert met == [None] and not path.exists()


def test_keys_that_lie_beside_it_come_in_and_their_file_goes(path: Path) -> None:
    left_behind(path)
    keys_path(path).write_text(KEYS)
    done = salvage(path)
    assert done is not None and done.keys and done.outcome == KILLED
    assert not keys_path(path).exists()
    assert KEYS.encode() in next(body for kind, body in blocks(path.read_bytes()) if kind == SECRETS)
    assert outcome_of(path) == KILLED and path.stat().st_mode & 0o777 == 0o600


def test_keys_that_are_a_link_are_not_followed(path: Path, tmp_path: Path) -> None:
    left_behind(path)
    other = tmp_path / "other"
    other.write_text(KEYS)
    keys_path(path).symlink_to(other)
    done = salvage(path)
    assert done is not None and not done.keys
    assert other.read_text() == KEYS and KEYS.encode() not in path.read_bytes()


def test_a_run_killed_while_it_merged_keys_is_helped_to_the_end(path: Path) -> None:
    spoken(path).tap.finish("failed")
    keys_path(path).write_text(KEYS)
    temporary(path).write_bytes(b"half of it")
    done = salvage(path)
    assert done is not None and (done.outcome, done.keys, done.cut) == ("failed", True, 0)
    assert outcome_of(path) == "failed" and KEYS.encode() in path.read_bytes()
    assert sorted(each.name for each in path.parent.iterdir()) == [path.name]
