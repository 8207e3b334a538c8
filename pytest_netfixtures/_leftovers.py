"""Captures that were not finished: those of a killed run, at the start of the next one, and that of a worker that died.

Law: only the process that starts the workers comes here. It never fails a run, waits for a dead worker's lock for a
moment only, and leaves alone what somebody writes; what may be touched is decided in `_pcap/salvage.py`.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import shlex
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_netfixtures._directory import file_name
from pytest_netfixtures._kept import PROPERTY, TITLE, note, summary
from pytest_netfixtures._options import as_typed, settings_of
from pytest_netfixtures._pcap.salvage import KILLED, Salvaged, outcome_of, salvage
from pytest_netfixtures._stash import LEFTOVERS, SESSION, STARTED
from pytest_netfixtures._wire.last import last_words
from pytest_netfixtures._wire.redaction import DEFAULT_REDACTIONS
from pytest_netfixtures._wire.rows import behind_our_proxy
from pytest_netfixtures._wire.text import plain

PATIENCE = 2.0
"""Seconds: a worker whose channel is closed has a moment to die."""
LINES = 15
LONGEST = 16 << 20
"""Bytes of a capture that is read for the report: all workers wait for it."""
RECORD_BYTES, TOTAL_BYTES = 1 << 16, 1 << 20
NAMED = 5
LAST = 3
_ATTEMPT = re.compile(r"\.attempt(\d+)\.")
_OWN_KEYS = re.compile(r"-[0-9a-f]{10}(\.attempt\d+)?(\.gw\d+)?\.keys\Z")


def salvage_all(config: pytest.Config) -> None:
    """At the start of a run with captures: what a killed one has left is made whole, and remembered for the summary."""
    directory = settings_of(config).directory
    with contextlib.suppress(OSError):
        found = [each for path in sorted(directory.glob("*.pcapng")) for each in _salvaged(path)]
        config.stash[LEFTOVERS] = [str(each.path) for each in found if each.outcome == KILLED]
        for path in directory.glob("*.keys"):
            _forget_keys(path)


def _forget_keys(path: Path) -> None:
    """Keys whose capture is gone: the run was killed between deleting the one and the other."""
    if _OWN_KEYS.search(path.name) and not os.path.lexists(path.with_suffix(".pcapng")):
        with contextlib.suppress(OSError):
            path.unlink()


def _salvaged(path: Path, worker: str = "") -> Iterator[Salvaged]:
    with contextlib.suppress(OSError):
        found = salvage(path)
        if found is not None and found.size and (found.outcome == KILLED or found.keys):
            attempt = _ATTEMPT.search(path.name)
            number = int(attempt[1]) if attempt else 1
            note(path, found.test, found.outcome, found.packets, number, worker)
            yield found


def closing_lines(stats: Mapping[str, Iterable[Any]], config: pytest.Config) -> Iterator[str]:
    """What is said at the end of a run: the files that stay, and those of a killed run."""
    session = config.stash.get(SESSION, None)
    running = session.running if session is not None else []
    interrupted = sum(run.capture is not None and run.capture.error is None for run in running)
    yield from summary((report for reports in stats.values() for report in reports), config, interrupted)
    yield from _of_a_killed_run([Path(text) for text in config.stash.get(LEFTOVERS, [])], config)


def _of_a_killed_run(paths: list[Path], config: pytest.Config) -> Iterator[str]:
    """One line that names the files, unless their tests have run again since."""
    left = [path for path in paths if outcome_of(path) == KILLED]
    names = [as_typed(path, config.invocation_params.dir) for path in left[:NAMED]]
    more = [f"and {len(left) - NAMED} more"] if len(left) > NAMED else []
    if left:
        yield plain(f"network captures of a killed run, made readable: {', '.join([*names, *more])}")


def add_to_crash(crashitem: str, report: Any, config: pytest.Config) -> None:
    """The report of a test whose worker died gets the capture, and the last lines of what it tells."""
    with contextlib.suppress(Exception):  # whatever is wrong here, the report itself is more important
        lines = [
            line for path in _of_test(crashitem, report, config) for line in _shown(path, report, config)
        ]
        if lines:
            report.sections.append((TITLE, "\n".join(lines)))


def _of_test(crashitem: str, report: Any, config: pytest.Config) -> list[Path]:
    """The captures of this test that its worker has not finished: of the last attempt, under a name of its own or not."""
    settings = settings_of(config)
    since = config.stash.get(STARTED, 0.0)
    worker = getattr(getattr(getattr(report, "node", None), "gateway", None), "id", "")
    each = config.getoption("dist", "no") == "each"
    stem = file_name(crashitem).removesuffix(".pcapng")
    ending = f".{worker}.pcapng" if each else ".pcapng"
    names = [f"{stem}{ending}", *_attempts(settings.directory, stem, ending)]
    found = [settings.directory / name for name in names]
    return [path for path in found if _is_of_this_run(path, since) and _mended(path, worker)]


def _attempts(directory: Path, stem: str, ending: str) -> list[str]:
    pattern = f"{glob.escape(str(directory / stem))}.attempt*{glob.escape(ending)}"
    names = [Path(name).name for name in glob.glob(pattern)]
    return [name for name in names if name[len(stem) :].removesuffix(ending).count(".") == 1]


def _is_of_this_run(path: Path, since: float) -> bool:
    try:
        return path.lstat().st_mtime >= since - 1
    except OSError:
        return False


def _mended(path: Path, worker: str) -> bool:
    """Whether it was unfinished, and is whole now; or cannot be made whole, but is there; or its worker ended it itself."""
    deadline = time.monotonic() + PATIENCE
    never = threading.Event()
    while outcome_of(path) == "RUNNING":
        if any(_salvaged(path, worker)):
            return True
        if time.monotonic() > deadline:
            return True
        never.wait(0.02)
    return outcome_of(path) == "interrupted"


def _shown(path: Path, report: Any, config: pytest.Config) -> Iterable[str]:
    typed = as_typed(path, config.invocation_params.dir)
    report.user_properties.append((PROPERTY, str(path)))
    yield f"capture: {typed}"
    yield f"wireshark -r {shlex.quote(typed)}"
    yield from _told(path)


def _told(path: Path) -> list[str]:
    """The end of the table of its connections, and what went over the last ones."""
    try:
        from pytest_netfixtures import read_capture

        if path.stat().st_size > LONGEST:
            return []
        traffic = read_capture(path, record_bytes=RECORD_BYTES, total_bytes=TOTAL_BYTES)
        table = [plain(line) for line in str(traffic).splitlines()[-LINES:]]
        hidden = behind_our_proxy(traffic)
        last = [each for each in traffic.connections if each.id not in hidden][-LAST:]
        return table + [last_words(each, DEFAULT_REDACTIONS) for each in last]
    except Exception:  # the path alone is worth having
        return []
