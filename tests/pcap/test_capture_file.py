"""The file itself: who may be in its way, what a full disk and a fork do to it."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_netfixtures._pcap.file import CaptureFile

BLOCK = b"0123456789abcdef"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "capture.pcapng"


def opened(path: Path) -> CaptureFile:
    file = CaptureFile(path)
    file.open()
    return file


def test_nothing_is_made_before_it_is_opened(path: Path) -> None:
    file = CaptureFile(path)
    assert not file.append(BLOCK)
    file.remove()
    assert not path.exists() and file.error is None


def test_only_the_owner_may_read_it(path: Path) -> None:
    path.write_bytes(b"from an earlier run")
    path.chmod(0o666)
    file = opened(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes() == b""
    file.close()


def test_it_is_closed_on_exec_and_locked_while_it_is_written(path: Path) -> None:
    file = opened(path)
    assert not os.get_inheritable(file._fd)
    with path.open("rb") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
    file.close()
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_block_is_one_system_call_at_an_offset_of_its_own(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[bytes, int]] = []
    file, real = opened(path), os.pwrite

    def counted(fd: int, data: bytes, at: int) -> int:
        calls.append((data, at))
        return real(fd, data, at)

    monkeypatch.setattr(os, "pwrite", counted)
    file.append(BLOCK)
    os.lseek(file._fd, 500, os.SEEK_SET)  # somebody moves the shared offset: a forked child would
    file.append(BLOCK)
    assert calls == [(BLOCK, 0), (BLOCK, 16)]
    assert path.read_bytes() == BLOCK * 2
    file.close()


def test_a_symlink_is_not_followed(path: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("keep")
    path.symlink_to(precious)
    file = opened(path)
    file.append(BLOCK)
    file.remove()
    assert precious.read_text() == "keep" and path.is_symlink()
    assert file.error is not None and "symbolic link" in file.error


def test_a_pipe_in_its_place_neither_blocks_nor_is_deleted(path: Path) -> None:
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    file = opened(path)
    assert file.error is not None and "not a regular file" in file.error
    assert not file.append(BLOCK)
    file.remove()
    assert path.exists()
    os.close(reader)


def test_a_file_that_somebody_else_writes_is_left_alone(path: Path) -> None:
    first, second = opened(path), opened(path)
    first.append(BLOCK)
    second.append(b"of another run")
    assert path.read_bytes() == BLOCK
    assert second.path != path and second.path.read_bytes() == b"of another run"
    third = opened(path)
    assert third.error is not None and "another process is writing it" in third.error
    second.remove()
    third.remove()
    assert [each.name for each in path.parent.iterdir()] == [path.name] and path.read_bytes() == BLOCK
    assert first.made and not third.made
    first.remove()
    assert not path.exists()


def test_who_has_an_older_file_open_or_under_another_name_sees_nothing_of_the_new_one(path: Path) -> None:
    """The owner of a file may read it whatever its mode says, so that a new one is made."""
    path.write_bytes(b"older")
    other = path.with_name("other")
    other.hardlink_to(path)
    with other.open("rb") as theirs:
        file = opened(path)
        file.append(BLOCK)
        assert theirs.read() == b"older"
    file.close()
    assert path.read_bytes() == BLOCK and path.stat().st_uid == os.geteuid()
    assert other.read_bytes() == b"older"


def test_what_has_taken_its_place_is_not_deleted(path: Path) -> None:
    file = opened(path)
    file.append(BLOCK)
    assert file.is_there
    path.rename(path.with_name("moved"))
    assert not file.is_there
    path.write_bytes(b"of somebody else")
    assert not file.is_there
    file.remove()
    assert path.read_bytes() == b"of somebody else" and not file.made


def test_an_error_says_what_was_expected_and_what_to_do(tmp_path: Path) -> None:
    file = opened(tmp_path / "nowhere" / "capture.pcapng")
    assert file.error is not None
    assert "nowhere/capture.pcapng could not be written: No such file or directory" in file.error
    assert "Expected a regular file" in file.error
    assert "--net-capture-dir" in file.error


def test_overwriting_moves_no_block_and_stays_inside(path: Path) -> None:
    file = opened(path)
    file.append(BLOCK)
    file.overwrite(4, b"XY")
    file.overwrite(15, b"beyond")
    file.append(BLOCK)
    assert path.read_bytes() == b"0123XY6789abcdef" + BLOCK
    file.close()
    file.overwrite(0, b"no")
    assert path.read_bytes().startswith(b"0123XY")


@pytest.mark.parametrize("whole", [1, 3])
def test_a_short_write_is_taken_back_to_the_last_whole_block(
    path: Path, whole: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, real = opened(path), os.pwrite
    for _ in range(whole):
        file.append(BLOCK)

    def short(fd: int, data: bytes, at: int) -> int:
        if len(data) < len(BLOCK):
            raise OSError(28, "No space left on device")
        return real(fd, data[:5], at)

    monkeypatch.setattr(os, "pwrite", short)
    assert not file.append(BLOCK)
    assert path.read_bytes() == BLOCK * whole
    monkeypatch.undo()
    assert not file.append(BLOCK), "it must not go on after a gap"
    assert file.error is not None and f"after byte {16 * whole}: No space left on device" in file.error
    file.close()


FULL = """
import resource, sys
from pathlib import Path
from pytest_netfixtures._pcap.file import CaptureFile
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
file = CaptureFile(Path(sys.argv[1]))
file.open()
print([file.append(bytes([65 + n]) * 40) for n in range(5)], file.size, file.error is not None)
file.overwrite(0, b"end")
file.close()
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
"""


def test_where_the_disk_really_takes_no_more_only_whole_blocks_stay(path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True)
    assert done.stdout.strip() == "[True, True, False, False, False] 80 True", done.stderr
    assert path.read_bytes() == b"end" + b"A" * 37 + b"B" * 40


def test_a_forked_child_forgets_and_the_parent_keeps_file_and_lock(path: Path) -> None:
    file = opened(path)
    file.append(BLOCK)
    descriptors = os.dup(file._fd)  # what a forked child shares: the same open file, another descriptor
    child = CaptureFile(path)
    child._fd, child._ours, child.size = descriptors, True, file.size
    child.forget()
    assert not child.append(b"x")
    child.remove()
    file.append(BLOCK)
    assert path.read_bytes() == BLOCK * 2
    with path.open("rb") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
    file.close()


def test_removing_twice_and_closing_twice_is_nothing_new(path: Path) -> None:
    file = opened(path)
    file.append(BLOCK)
    file.close()
    file.close()
    file.remove()
    path.write_bytes(b"another one")
    file.remove()
    assert path.read_bytes() == b"another one"


def test_a_block_that_takes_two_calls_is_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, real = opened(path), os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: real(fd, data[:9], at))
    assert file.append(BLOCK)
    assert path.read_bytes() == BLOCK
    file.close()


def test_a_disk_that_takes_nothing_and_says_nothing_is_an_error(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, real = opened(path), os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: real(fd, data[:5], at) if at == 0 else 0)
    assert not file.append(BLOCK)
    assert file.error is not None and "only a part of a block" in file.error
    assert not path.exists(), "an empty file is no capture"
    file.close()


def test_a_disk_that_is_full_from_the_start_leaves_no_empty_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, data: bytes, at: int) -> int:
        raise OSError(28, "No space left on device")

    file = opened(path)
    monkeypatch.setattr(os, "pwrite", full)
    assert not file.append(BLOCK)
    assert not path.exists()
    assert file.error is not None and "can be read" not in file.error
