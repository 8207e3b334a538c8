"""What a failed test shows, and whether its capture stays.

Law: it never raises and never warns, because both would end the run here; only text goes onto a report, because
nothing else survives the way from a worker to its controller.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_netfixtures._capture import Capture
from pytest_netfixtures._directory import file_name
from pytest_netfixtures._options import as_typed, settings_of
from pytest_netfixtures._replay import faults
from pytest_netfixtures._run import Run
from pytest_netfixtures._session import session_of
from pytest_netfixtures._stash import ATTEMPTS, RUN
from pytest_netfixtures._wire.entries import Fired, Logged, Marked, Side
from pytest_netfixtures._wire.recorder import Story
from pytest_netfixtures._wire.render import DEFAULT_REDACTIONS, hexdump_diff, ladder
from pytest_netfixtures._wire.rows import behind_our_proxy
from pytest_netfixtures._wire.text import preview
from pytest_netfixtures._wire.traffic import Traffic

if TYPE_CHECKING:
    from pytest_netfixtures._netlab import NetLab

TITLE = "Captured network traffic log"
PROPERTY = "net_capture"


def complete(item: pytest.Item, report: pytest.TestReport) -> None:
    """Add what a failed report needs; after the last one the test is over."""
    run = item.stash[RUN]
    try:
        _note(run, report)
        if report.failed:
            _show(item, run, report)
        if report.when == "teardown":
            _end(item, run, report)
    except Exception as problem:
        report.sections.append((_title(report), f"the network traffic cannot be shown: {problem!r}"))
    finally:
        if report.when == "teardown":
            _let_go(item, run)


def _note(run: Run, report: pytest.TestReport) -> None:
    """The worst of the reports of one phase counts: subtests have several."""
    outcome = "xfailed" if hasattr(report, "wasxfail") and report.skipped else report.outcome
    if run.outcomes.get(report.when or "") != "failed":
        run.outcomes[report.when or ""] = outcome


def _show(item: pytest.Item, run: Run, report: pytest.TestReport) -> None:
    lines = _file_lines(run, item.config.invocation_params.dir)
    if run.settings.report != "off":
        lines += [f"replay: {run.replay}", *faults(run.proxies(), _redactions(run)), *_conversations(run)]
    if run.capture is not None and run.capture.error is None:
        _set_property(item, report, str(run.capture.path))
    if lines:
        report.sections.append((_title(report), "\n".join(lines)))


def _title(report: pytest.TestReport) -> str:
    """pytest prints a section of the teardown only when its title says so."""
    return f"{TITLE} teardown" if report.when == "teardown" else TITLE


def _file_lines(run: Run, here: Path) -> list[str]:
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
    fired = [entry for lab in run.labs for entry in _story(lab) if isinstance(entry, Fired)]
    sides: tuple[Side, Side] = ("client", "server")
    first = min(fired, key=lambda entry: entry.at, default=None)
    if first is not None:
        near: tuple[Side, ...] = sides if first.direction == "to_client" else sides[::-1]
        return [(first.connection, leg) for leg in near]
    hidden = behind_our_proxy(_world(run))
    return [(connection, leg) for lab in run.labs for connection in _last(lab, hidden) for leg in sides]


def _last(lab: NetLab, hidden: set[int]) -> list[int]:
    """The last connection of a client; what our server saw of it behind our proxy is the same one."""
    return [connection.id for connection in lab.traffic.connections if connection.id not in hidden][-1:]


def _world(run: Run) -> Traffic:
    """What all labs of the test saw: a proxy of the test may stand in front of a server of the session."""
    return Traffic(tuple(connection for lab in run.labs for connection in lab.traffic.connections))


def _transport(run: Run, wanted: int) -> str:
    return next((c.transport for c in _world(run).connections if c.id == wanted), "tcp")


def _conversations(run: Run) -> list[str]:
    sizes = run.settings.report == "sizes"
    world = _world(run)
    hidden = behind_our_proxy(world)
    return [
        ladder(_story(lab), lab.traffic, _redactions(run), "sizes" if sizes else "full", world)
        for lab in run.labs
        if _spoke(lab, hidden)
    ]


def _redactions(run: Run) -> tuple[re.Pattern[bytes], ...]:
    return (*DEFAULT_REDACTIONS, *(re.compile(pattern.encode()) for pattern in run.settings.redact))


def _spoke(lab: NetLab, hidden: set[int]) -> bool:
    """Phases alone are no conversation, nor is what a proxy of another lab tells of."""
    return any(
        not isinstance(entry, (Marked, Logged)) and entry.connection not in hidden for entry in _story(lab)
    )


def _story(lab: NetLab) -> Story:
    with lab.engine.journal.lock:
        return lab.recorder.story()


def _set_property(item: pytest.Item, report: pytest.TestReport, path: str | None) -> None:
    """The file's path for JUnit and others, of the last attempt alone."""
    for properties in (item.user_properties, report.user_properties):
        properties[:] = [pair for pair in properties if pair[0] != PROPERTY]
        if path is not None:
            properties.append((PROPERTY, path))


def _end(item: pytest.Item, run: Run, report: pytest.TestReport) -> None:
    capture = run.capture
    keep = run.settings.keep == "all" or _went_wrong(item, run)
    run.finish(_verdict(run), keep)
    if capture is None:
        return
    if capture.error is not None:
        session_of(item.config).warn(capture.error)
    here = keep and capture.error is None
    if keep:
        item.stash[ATTEMPTS] = run.attempt
    _set_property(item, report, str(capture.path) if here else None)


def _went_wrong(item: pytest.Item, run: Run) -> bool:
    outcomes = run.outcomes
    interrupted = outcomes.get("setup") == "passed" and "call" not in outcomes
    return "failed" in outcomes.values() or (interrupted and not item.config.getoption("setuponly", False))


def _verdict(run: Run) -> str:
    """One word for the header of the file."""
    setup, call, teardown = (run.outcomes.get(when) for when in ("setup", "call", "teardown"))
    if setup == "failed" or (teardown == "failed" and call != "failed"):
        return "error"
    return call or (setup if setup == "skipped" else None) or "interrupted"


def _let_go(item: pytest.Item, run: Run) -> None:
    del item.stash[RUN]
    running = session_of(item.config).running
    if run in running:
        running.remove(run)


def add_to_crash(crashitem: str, report: Any, config: pytest.Config) -> None:
    """In the controller: the file of a test whose worker died."""
    settings = settings_of(config)
    path = settings.directory / file_name(crashitem)
    if settings.capture and path.is_file():
        typed = as_typed(path, config.invocation_params.dir)
        text = f"capture: {typed}\nwireshark -r {shlex.quote(typed)}"
        report.sections.append((TITLE, text))


def differing(left: object, right: object) -> list[str] | None:
    """The lines of a failed `left == right` for bytes; None for anything else."""
    if not (isinstance(left, bytes) and isinstance(right, bytes)):
        return None
    return [f"{_literal(left)} == {_literal(right)}", *hexdump_diff(left, right)]


def _literal(data: bytes) -> str:
    """Bytes as they are written in code, cut where they are long."""
    return f"b'{preview(data, 32)}'"
