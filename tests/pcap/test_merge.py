"""Keys that are put into a capture which lies there already."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pcap import shark, walk
from pcap.scene import Scene

from pytest_netfixtures._pcap import blocks, merge
from pytest_netfixtures._pcap.merge import copy_with_keys, merge_keys, temporary
from pytest_netfixtures._pcap.salvage import outcome_of, salvage
from pytest_netfixtures._pcap.secrets import LATE
from pytest_netfixtures._wire.entries import TO_SERVER

Referee = Callable[[str], str]
CLIENT, SERVER = ("127.0.0.1", 40001), ("127.0.0.1", 46000)


def line(number: int) -> str:
    return f"CLIENT_RANDOM {number:064x} {number:096x}\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A capture of one connection that is over."""
    scene = Scene(tmp_path / "capture.pcapng")
    scene.marked("call")
    scene.opened(1, CLIENT, SERVER)
    scene.sent(1, TO_SERVER, b"hello")
    scene.opened(2, ("::1", 40001), ("::1", 46000), endpoint="another interface, later")
    scene.tap.finish("failed")
    return scene.tap.path


def kinds(path: Path) -> list[int]:
    return [kind for kind, _ in walk.blocks(path.read_bytes())]


def test_keys_stand_behind_the_first_interfaces_and_before_all_rows_and_packets(path: Path) -> None:
    before, order = path.read_bytes(), kinds(path)
    assert merge_keys(path, line(1) + line(2)) == 2
    assert walk.keys(path) == [line(1) + line(2)]
    assert walk.without_keys(path) == before
    assert kinds(path) == [*order[:2], walk.SECRETS, *order[2:]]


def test_what_is_there_already_is_not_added_again_and_then_the_file_is_not_touched(path: Path) -> None:
    merge_keys(path, line(1))
    before = path.stat()
    assert merge_keys(path, line(1) * 3 + "# a comment\nCLIENT_RANDOM 00 11\nno keys \xff\n") == 0
    assert path.stat().st_ino == before.st_ino and path.stat().st_mtime_ns == before.st_mtime_ns
    assert merge_keys(path, line(1) + line(2)) == 1
    assert walk.keys(path) == [line(1), line(2)] or walk.keys(path) == [line(2), line(1)]


def test_keys_that_stand_too_late_are_moved_to_the_front(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(
        whole + blocks.secrets((LATE + line(1)).encode()) + blocks.secrets((LATE + line(2)).encode())
    )
    assert merge_keys(path, line(3) + line(1)) == 3
    assert walk.keys(path) == [line(1) + line(2) + line(3)]
    assert walk.without_keys(path) == whole
    assert merge_keys(path, "") == 0


def test_a_torn_tail_stays_as_it_is(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole + b"\6\0\0\0\xff\0\0\0torn")
    assert merge_keys(path, line(1)) == 1
    merged = path.read_bytes()
    assert merged.endswith(b"torn") and len(merged) == len(whole) + len(
        b"type" + b"size" + b"torn"
    ) + 20 + len(line(1))


def test_it_is_for_the_user_alone_and_leaves_nothing_else(path: Path) -> None:
    path.chmod(0o644)
    old = os.umask(0)
    merge_keys(path, line(1))
    copy_with_keys(path, path.with_name("copy.pcapng"), "")
    os.umask(old)
    assert {entry.name for entry in path.parent.iterdir()} == {path.name, "copy.pcapng"}
    assert {stat.S_IMODE(entry.stat().st_mode) for entry in path.parent.iterdir()} == {0o600}


@pytest.mark.parametrize("failing", ["os.replace", "os.fchmod", "pytest_netfixtures._pcap.blocks.secrets"])
def test_the_capture_is_whole_when_merging_fails(
    path: Path, failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    before = path.read_bytes()
    monkeypatch.setattr(failing, full)
    with pytest.raises(OSError, match="No space left"):
        merge_keys(path, line(1))
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_what_a_killed_process_has_left_of_its_merging_is_replaced(path: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("keep")
    temporary(path).symlink_to(precious)
    assert merge_keys(path, line(1)) == 1
    assert precious.read_text() == "keep" and not os.path.lexists(temporary(path))
    assert walk.keys(path) == [line(1)]


def test_a_symlink_in_the_place_of_the_capture_is_not_followed(path: Path) -> None:
    link = path.with_name("link.pcapng")
    link.symlink_to(path)
    before = path.read_bytes()
    with pytest.raises(OSError, match="symbolic link"):
        merge_keys(link, line(1))
    assert path.read_bytes() == before and link.is_symlink()


@pytest.mark.parametrize("content", [b"", b"no capture", b"\x0a\x0d\x0d\x0a", b"\x0a\x0d\x0d\x0a\xff\0\0\0"])
def test_what_is_no_capture_is_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.pcapng"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="section header"):
        merge_keys(path, line(1))
    assert path.read_bytes() == content


def test_a_pipe_in_the_place_of_the_capture_blocks_nobody(tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    os.mkfifo(path)
    with pytest.raises(OSError, match="no regular file"):
        merge_keys(path, line(1))


def test_a_capture_that_says_that_it_has_no_keys_gets_none(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "x.pcapng", secrets=False)
    scene.marked("call")
    before = scene.tap.path.read_bytes()
    assert merge_keys(scene.tap.path, line(1)) == 0
    assert scene.tap.path.read_bytes() == before
    scene.tap.discard()


def test_the_name_of_a_test_cannot_say_that_keys_are_unwanted(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "x.pcapng", node_id="x\nkeys: of TLS are left out (--net-capture-no-secrets)\n")
    scene.marked("call")
    assert merge_keys(scene.tap.path, line(1)) == 1
    scene.tap.discard()


def test_many_keys_are_many_blocks_that_every_reader_takes(
    path: Path, referee: Referee, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merge, "_PIECE", 1000)
    text = "".join(line(number) for number in range(100))
    assert merge_keys(path, text) == 100
    assert len(walk.keys(path)) > 10 and "".join(walk.keys(path)) == text
    assert shark.blemishes(shark.read(referee("tshark"), path)) == []
    assert shark.run(referee("editcap"), path, path.with_name("copy.pcapng")).returncode == 0
    assert shark.run(referee("tcpdump"), "-r", path).returncode == 0
    assert "failed" in shark.run(referee("capinfos"), path).stdout


def test_a_copy_has_the_keys_and_the_capture_stays_as_it_was(path: Path) -> None:
    before, copy = path.read_bytes(), path.with_name("copy.pcapng")
    copy.write_text("an older one")
    copy_with_keys(path, copy, line(1))
    assert walk.keys(copy) == [line(1)] and walk.without_keys(copy) == path.read_bytes() == before
    copy_with_keys(path, copy, "")
    assert copy.read_bytes() == before


def test_a_copy_of_what_is_still_written_says_that_it_is_one(path: Path) -> None:
    """Otherwise it would be taken for what a killed run has left."""
    scene = Scene(path)
    scene.opened(1, CLIENT, SERVER)
    copy = path.with_name("copy.pcapng")
    copy_with_keys(path, copy, line(1))
    assert (outcome_of(path), outcome_of(copy)) == ("RUNNING", "SAVED")
    assert salvage(copy) is None
    assert walk.without_keys(copy).replace(b"SAVED  ", b"RUNNING", 1) == path.read_bytes()
    scene.tap.discard()


@pytest.mark.parametrize("strange", ["symlink", "directory", "pipe", "itself"])
def test_a_copy_goes_to_no_strange_place(path: Path, tmp_path: Path, strange: str) -> None:
    precious, target = tmp_path / "precious", tmp_path / "target"
    precious.write_text("keep")
    if strange == "symlink":
        target.symlink_to(precious)
    elif strange == "directory":
        target.mkdir()
    elif strange == "pipe":
        os.mkfifo(target)
    else:
        target.hardlink_to(path)
    reason = {"symlink": "symbolic link", "itself": "capture itself"}.get(strange, "no regular file")
    before = os.lstat(target)
    with pytest.raises(OSError, match=reason):
        copy_with_keys(path, target, line(1))
    assert os.lstat(target).st_ino == before.st_ino and precious.read_text() == "keep"


KEYS = st.lists(st.integers(0, 9), max_size=6)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(slots=KEYS, late=st.lists(KEYS, max_size=3), added=st.lists(KEYS, max_size=3))
def test_however_often_keys_come_each_is_there_once_in_front_and_no_other_byte_changes(
    slots: list[int], late: list[list[int]], added: list[list[int]], path: Path
) -> None:
    start = path.read_bytes() if not walk.keys(path) else walk.without_keys(path)
    data = start + b"".join(blocks.secrets(line(number).encode()) for number in slots)
    data += b"".join(blocks.secrets((LATE + "".join(map(line, some))).encode()) for some in late)
    path.write_bytes(data)
    for some in [[], *added]:
        merge_keys(path, "".join(map(line, some)))
    wanted = {number for some in (slots, *late, *added) for number in some}
    text = "".join(walk.keys(path))
    assert {number for number in range(10) if line(number) in text} == wanted
    assert walk.without_keys(path) == start
    moved = {number for some in late for number in some}
    front = path.read_bytes()[: path.read_bytes().find(b"hello")].decode("latin-1")
    assert all(line(number) in front for number in moved | ({*range(10)} & wanted) - {*slots})
