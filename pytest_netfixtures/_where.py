"""Where the capture of a test is, and which stream of it to look at first.

Law: text about a run that it only reads; it prints nothing and opens nothing.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_netfixtures._capture import Capture
from pytest_netfixtures._options import as_typed
from pytest_netfixtures._wire.entries import Fired, Side
from pytest_netfixtures._wire.recorder import Story
from pytest_netfixtures._wire.rows import behind_our_proxy
from pytest_netfixtures._wire.traffic import Traffic

if TYPE_CHECKING:
    from pytest_netfixtures._netlab import NetLab
    from pytest_netfixtures._run import Run


def file_lines(run: Run, here: Path) -> list[str]:
    """Where the capture is, and how to open it."""
    if run.capture is None:
        lines = (
            ["run with --net-capture for a file that Wireshark opens"] if run.settings.report != "off" else []
        )
    elif run.capture.error is not None:
        lines = [run.capture.error]
    else:
        path = as_typed(run.capture.path, here)
        lines = [f"capture: {path}{_cut(run.capture)}", _wireshark(run, run.capture, path)]
    return lines


def _cut(capture: Capture) -> str:
    """A file that is as long as it may be does not show how the story goes on."""
    missing = capture.left_out
    return f" (at its limit: {missing} packets are not in it; see --net-capture-max-bytes)" if missing else ""


def _wireshark(run: Run, capture: Capture, path: str) -> str:
    command = f"wireshark -r {shlex.quote(path)}"
    stream = _stream(run, capture)
    return f"{command} -Y {shlex.quote(stream)}" if stream else command


def _stream(run: Run, capture: Capture) -> str | None:
    """The stream with the first fault, or the last one."""
    for connection, leg in _places(run):
        number = capture.stream_of(connection, leg)
        if number is not None:
            return f"{_transport(run, connection)}.stream eq {number}"
    return None


def _places(run: Run) -> list[tuple[int, Side]]:
    fired = [entry for lab in run.labs for entry in story_of(lab) if isinstance(entry, Fired)]
    sides: tuple[Side, Side] = ("client", "server")
    first = min(fired, key=lambda entry: entry.at, default=None)
    if first is not None:
        near: tuple[Side, ...] = sides if first.direction == "to_client" else sides[::-1]
        return [(first.connection, leg) for leg in near]
    hidden = behind_our_proxy(world_of(run))
    return [(connection, leg) for lab in run.labs for connection in _last(lab, hidden) for leg in sides]


def _last(lab: NetLab, hidden: set[int]) -> list[int]:
    """The last connection of a client; what our server saw of it behind our proxy is the same one."""
    return [connection.id for connection in lab.traffic.connections if connection.id not in hidden][-1:]


def world_of(run: Run) -> Traffic:
    """What all labs of the test saw: a proxy of the test may stand in front of a server of the session."""
    return Traffic(tuple(connection for lab in run.labs for connection in lab.traffic.connections))


def _transport(run: Run, wanted: int) -> str:
    return next((c.transport for c in world_of(run).connections if c.id == wanted), "tcp")


def story_of(lab: NetLab) -> Story:
    """What a lab has to tell."""
    with lab.engine.journal.lock:
        return lab.recorder.story()
