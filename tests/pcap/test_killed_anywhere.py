"""A process that captures is killed at a random moment, 200 times; what it has written can be read, and made whole.

The moments come from a seed, but not what the child has got to by then: any moment must do.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pytest

from pytest_netfixtures._pcap.salvage import KILLED, outcome_of, salvage, whole

from . import shark
from .walk import JOURNAL, PACKET, blocks

CHILDREN = 200
WITH_TLS = 30
FORCED = ["-d", "tcp.port==1-65535,tls"]
SHOWN = 4
"""So many torn files are shown to tshark one by one; all of them are walked over block by block."""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """An empty folder; what is in it afterwards is some hundred megabytes."""
    yield tmp_path
    shutil.rmtree(tmp_path)


def kill(folder: Path, children: int, *how: str) -> list[Path]:
    """The captures of killed children."""
    program = Path(__file__).with_name("killed.py")
    command = [sys.executable, str(program), str(folder), str(children), "7", *how]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    return sorted(folder.glob("*.pcapng"))


def frames(path: Path) -> int:
    """How many frames tshark shows of what is whole in a file: packets and rows."""
    data = path.read_bytes()
    found = blocks(data[: whole(BytesIO(data))[0]])
    return sum(kind in (PACKET, JOURNAL) for kind, _ in found)


def complaints(text: str) -> list[str]:
    """What tshark says beside the frames, without the word on who runs it."""
    return [line for line in text.splitlines() if line.strip() and "Running as user" not in line]


def listed(tshark: str, path: Path, *options: str) -> tuple[int, list[str], list[str]]:
    """The exit code, the frames' numbers, and the complaints."""
    done = shark.run(tshark, "-n", "-r", path, *options, "-T", "fields", "-e", "frame.number")
    return done.returncode, done.stdout.split(), complaints(done.stderr)


def test_killed_at_any_moment_a_capture_is_readable_and_salvage_makes_it_whole(
    folder: Path, referee: Callable[[str], str]
) -> None:
    tshark = referee("tshark")
    paths = kill(folder, CHILDREN)
    assert len(paths) == CHILDREN
    assert {outcome_of(path) for path in paths} == {"RUNNING"}
    torn = [path for path in paths if whole(BytesIO(path.read_bytes()))[0] < path.stat().st_size]
    for path in [*torn[:SHOWN], paths[0]]:
        assert len(listed(tshark, path)[1]) == frames(path), path
    before = {path: frames(path) for path in paths}
    found = {path: salvage(path) for path in paths}
    assert {path for path, done in found.items() if done is not None and done.cut} == set(torn)
    assert all(done is not None and done.outcome == KILLED for done in found.values())
    assert {
        path: len([b for b in blocks(path.read_bytes()) if b[0] in (PACKET, JOURNAL)]) for path in paths
    } == before
    assert_clean(tshark, folder, paths, sum(before.values()))


def assert_clean(tshark: str, folder: Path, paths: list[Path], count: int) -> None:
    """All of them in one file, which pcapng allows: read to the end, without a complaint."""
    joined = folder / "all"
    with open(joined, "wb") as target:
        for path in paths:
            with open(path, "rb") as source:
                shutil.copyfileobj(source, target)
    code, numbers, said = listed(tshark, joined)
    assert (code, said) == (0, [])
    assert len(numbers) == count


def test_killed_at_any_moment_what_was_said_under_tls_can_be_decrypted(
    folder: Path, referee: Callable[[str], str]
) -> None:
    """Every record that the files show as encrypted is decrypted; each of them holds at least one whole conversation."""
    pytest.importorskip("trustme")
    tshark = referee("tshark")
    paths = kill(folder, WITH_TLS, "tls")
    assert all(salvage(path) is not None for path in paths)
    assert_clean(tshark, folder, paths, sum(map(frames, paths)))
    fields = ["-T", "fields", "-e", "tls.app_data", "-e", "data.data"]
    done = shark.run(tshark, "-n", "-r", folder / "all", *FORCED, "-Y", "tls.app_data", *fields)
    found = [line.split("\t") for line in done.stdout.splitlines()]
    assert [sealed for sealed, plain in found if not plain] == []
    words = b"".join(bytes.fromhex(plain.replace(",", "")) for _, plain in found)
    assert [number for number in range(WITH_TLS) if f"SECRET-{number} ".encode() not in words] == []
    assert not any(b"SECRET-" in path.read_bytes() for path in paths)
