"""The manifest: whole lines, whoever writes at the same time, and whoever was killed before."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
from pathlib import Path

import pytest

from pytest_netfixtures import _manifest
from pytest_netfixtures._manifest import NAME, add_line

LINES, WRITERS = 200, 4


def write_many(directory: Path, number: int) -> None:
    """As a worker does."""
    for line in range(LINES):
        add_line(directory, {"who": number, "line": line, "long": "x" * 500})


def test_workers_do_not_tear_each_others_lines(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=write_many, args=(tmp_path, number)) for number in range(WRITERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    found = [json.loads(line) for line in (tmp_path / NAME).read_text().splitlines()]
    for number in range(WRITERS):
        assert [line["line"] for line in found if line["who"] == number] == list(range(LINES))


def test_a_torn_line_is_ended_before_the_next_one(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text('{"whole": 1}\n{"tor')
    add_line(tmp_path, {"next": "ü\udcff\n"})
    assert (tmp_path / NAME).read_text().splitlines()[:2] == ['{"whole": 1}', '{"tor']
    assert json.loads((tmp_path / NAME).read_text().splitlines()[2]) == {"next": "ü\udcff\n"}


def test_a_lock_that_is_never_given_back_is_waited_for_only_so_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_manifest, "PATIENCE", 0.1)
    with open(tmp_path / NAME, "w") as stopped:
        fcntl.flock(stopped, fcntl.LOCK_EX)
        add_line(tmp_path, {"a": 1})
    assert json.loads((tmp_path / NAME).read_text()) == {"a": 1}


def test_what_cannot_be_done_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        add_line(tmp_path / "missing", {})
    (tmp_path / NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError):
        add_line(tmp_path, {})
    assert not (tmp_path / "elsewhere").exists()
