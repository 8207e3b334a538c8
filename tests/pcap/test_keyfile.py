"""The key log beside a capture, and which lines are keys."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_netfixtures._pcap import keylines
from pytest_netfixtures._pcap.keyfile import KeyFile, given_keys, keys_path, read_keys

RANDOM = "0f" * 32
GOOD = [
    f"CLIENT_RANDOM {RANDOM} {'aB' * 48}",
    f"CLIENT_HANDSHAKE_TRAFFIC_SECRET {RANDOM} {'1' * 64}",
    f"SERVER_TRAFFIC_SECRET_12 {RANDOM} {'1' * 96}",
    f"EXPORTER_SECRET {RANDOM} {'1' * 64}",
    f"RSA {'0' * 16} {'1' * 96}",
]
BAD = [
    f"CLIENT_RANDOM {RANDOM} {'a' * 94}",
    f"CLIENT_RANDOM {RANDOM}",
    f"CLIENT_RANDOM {RANDOM[:-1]}g {'a' * 96}",
    f"client_random {RANDOM} {'a' * 96}",
    f"CLIENT_TRAFFIC_SECRET_0 {RANDOM} {'1' * 65}",
    f"{GOOD[0]} # and a comment",
    "-----BEGIN PRIVATE KEY-----",
    "a\0b",
]


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    return tmp_path / "capture.pcapng"


@pytest.mark.parametrize("text", ["\n".join(GOOD), "\r\n".join(GOOD), "# says who\n\n" + "\n".join(GOOD * 2)])
def test_what_clients_write_is_taken_each_line_once(text: str) -> None:
    assert keylines.check(text) == keylines.lines_of(text) == GOOD


@pytest.mark.parametrize("bad", BAD)
def test_a_line_that_is_none_is_named_and_never_shown(bad: str) -> None:
    with pytest.raises(ValueError, match="line 2 of the key log is none") as caught:
        given_keys(f"{GOOD[0]}\n{bad}\n")
    shown = repr(caught.value) + str(caught.value.__context__) + str(caught.value.__cause__)
    assert not [word for word in bad.split() if len(word) > 9 and word in shown]
    assert keylines.lines_of(f"{GOOD[0]}\n{bad}\n") == GOOD[:1]


@given(st.text())
def test_no_text_is_more_than_a_value_error(text: str) -> None:
    assert all(line in text for line in keylines.lines_of(text))


def test_keys_are_given_as_text_or_as_a_path(tmp_path: Path) -> None:
    path = tmp_path / "keys.log"
    path.write_text("\n".join(GOOD))
    (tmp_path / "link").symlink_to(path)
    for given_as in ("\n".join(GOOD), str(path), path, tmp_path / "link"):
        assert given_keys(given_as) == GOOD
    assert given_keys(GOOD[0]) == GOOD[:1]
    assert given_keys("# nothing yet") == []


def test_what_is_neither_is_refused_without_being_shown(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="of type bytes; expected a path") as caught:
        given_keys(GOOD[0].encode())
    assert "aB" not in str(caught.value)
    with pytest.raises(ValueError, match="path_or_text is empty"):
        given_keys("")
    with pytest.raises(ValueError, match="line 1 of the key log is none"):
        given_keys("CLIENT_RANDOM 0011")
    with pytest.raises(FileNotFoundError):
        given_keys(tmp_path / "missing.log")
    with pytest.raises(OSError, match="regular file"):
        given_keys(tmp_path)


def test_nothing_is_made_before_it_is_asked_for(capture: Path) -> None:
    file = KeyFile(capture)
    assert file.read() == ""
    file.remove()
    assert list(capture.parent.iterdir()) == []


def test_it_is_for_the_user_alone_whatever_the_umask_says(capture: Path) -> None:
    old = os.umask(0)
    file = KeyFile(capture)
    path = file.make()
    os.umask(old)
    assert path == capture.with_name("capture.keys") == keys_path(capture)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("written by somebody else")
    assert file.make() == path and file.read() == "written by somebody else"
    file.remove()
    assert not path.exists() and file.read() == ""


def test_a_file_of_an_earlier_run_is_replaced_and_not_reused(capture: Path) -> None:
    old = keys_path(capture)
    old.write_text(GOOD[0])
    held = os.open(old, os.O_RDONLY)  # so that its inode is not given out again
    file = KeyFile(capture)
    file.make()
    assert file.read() == "" and os.fstat(held).st_nlink == 0
    os.close(held)
    file.remove()


@pytest.mark.parametrize("there", [True, False], ids=["to a file", "to nowhere"])
def test_a_symlink_in_its_place_is_not_followed(capture: Path, tmp_path: Path, there: bool) -> None:
    precious = tmp_path / "precious"
    if there:
        precious.write_text("keep")
    keys_path(capture).symlink_to(precious)
    file = KeyFile(capture)
    for act in (file.make, lambda: file.add(GOOD)):
        with pytest.raises(OSError, match="a symbolic link, which is not followed"):
            act()
    file.remove()
    assert keys_path(capture).is_symlink()
    assert not there or precious.read_text() == "keep"
    assert precious.exists() is there


def test_a_symlink_that_took_its_place_later_is_neither_read_nor_written(
    capture: Path, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.write_text(GOOD[0])
    file = KeyFile(capture)
    file.make().unlink()
    file.path.symlink_to(precious)
    for act in (file.read, lambda: file.add(GOOD)):
        with pytest.raises(OSError):
            act()
    file.remove()
    assert precious.read_text() == GOOD[0] and not os.path.lexists(file.path)


def test_a_pipe_in_its_place_blocks_nobody(capture: Path) -> None:
    os.mkfifo(keys_path(capture))
    with pytest.raises(OSError, match="no regular file"):
        KeyFile(capture).make()
    with pytest.raises(OSError, match="no regular file"):
        read_keys(keys_path(capture))


def test_what_is_added_stands_behind_a_line_that_has_no_end_yet(capture: Path) -> None:
    file = KeyFile(capture)
    file.make().write_text(GOOD[0][:50])
    file.add(GOOD[1:3])
    file.add(GOOD[3:])
    assert keylines.lines_of(file.read()) == GOOD[1:]
    file.remove()


def test_two_threads_that_ask_at_once_have_one_file(capture: Path) -> None:
    file, made = KeyFile(capture), []
    together = threading.Barrier(8)

    def ask() -> None:
        together.wait(30)
        file.make()
        made.append(os.stat(file.path).st_ino)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8 and len(set(made)) == 1
    file.remove()


def test_a_file_that_its_writer_has_deleted_is_empty(capture: Path) -> None:
    file = KeyFile(capture)
    file.make().unlink()
    assert file.read() == ""
    file.remove()


def test_a_forked_child_leaves_it_to_its_parent(capture: Path) -> None:
    file = KeyFile(capture)
    file.make()
    file.forget()
    file.remove()
    assert file.path.exists()
