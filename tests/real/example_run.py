"""An example run with a capture for each of its tests, and what every such capture must stand.

It runs programs and asserts on what they say. Which examples there are is no matter of its.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from pcap import shark

ROOT = Path(__file__).resolve().parents[2]
QUIET = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}


def captures_of(folder: str, place: Path) -> list[Path]:
    """The captures of all tests of an example, which passes."""
    command = [sys.executable, "-m", "pytest", "-q", f"examples/{folder}", "-p", "no:cacheprovider"]
    command += ["--net-capture-keep=all", f"--net-capture-dir={place}"]
    done = subprocess.run(command, cwd=ROOT, env=QUIET, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    files = sorted(place.glob("*.pcapng"))
    assert files
    return files


def assert_valid(path: Path, referee: Callable[[str], str]) -> None:
    """tshark finds nothing wrong with it, and Wireshark's other programs and tcpdump read it."""
    frames = shark.read(referee("tshark"), path, plain=True)
    assert shark.blemishes(frames, ports_reused=True) == []
    for program in ("capinfos", "editcap"):
        extra = [path.with_suffix(".copy")] if program == "editcap" else []
        assert shark.run(referee(program), path, *extra).returncode == 0
    assert shark.run(referee("tcpdump"), "-n", "-r", path).returncode == 0
