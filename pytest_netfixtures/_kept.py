"""Tells others of the captures that stay: the manifest, the hook, JUnit, pytest-html, the line at the end of the run.

Law: it never raises and never warns by itself, because both would end the run where it is called; what went wrong in
somebody else's hook is said through `warn`. Only text goes onto a report.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_netfixtures._manifest import add_line
from pytest_netfixtures._options import as_typed
from pytest_netfixtures._wire.text import plain

if TYPE_CHECKING:
    from pytest_netfixtures._run import Run

TITLE = "Captured network traffic log"
"""The section of a report."""
PROPERTY = "net_capture"
"""The property of a report, and with it of JUnit's XML, that has the path."""
LINK = "network capture"


def keep(run: Run, item: pytest.Item, outcome: str, warn: Callable[[str], None]) -> None:
    """The capture of this attempt is complete and stays."""
    if run.capture is None:
        return
    path = run.capture.path
    worker = str(getattr(item.config, "workerinput", {}).get("workerid", ""))
    note(path, run.node_id, outcome, run.capture.packets, run.attempt, worker)
    try:
        item.ihook.pytest_netfixtures_artifact(item=item, path=path, kind="capture")
    except KeyboardInterrupt:
        raise
    except BaseException as problem:  # pytest.fail() is no Exception
        warn(
            plain(
                f"a hook pytest_netfixtures_artifact raised {problem!r}; expected it to take note of {path}"
            )
        )


def note(path: Path, node_id: str, outcome: str, packets: int, attempt: int = 1, worker: str = "") -> None:
    """A line of the manifest. A disk that is full has been told of already."""
    now = datetime.datetime.now(datetime.timezone.utc)
    with contextlib.suppress(OSError):
        fields = {
            "path": path.name,
            "nodeid": node_id,
            "outcome": outcome,
            "attempt": attempt,
            "worker": worker,
        }
        more = {
            "packets": packets,
            "bytes": path.stat().st_size,
            "when": now.isoformat(timespec="milliseconds"),
        }
        add_line(path.parent, {**fields, **more})


def set_property(holders: Iterable[Any], path: str | None) -> None:
    """The file's path for JUnit and others, of the last attempt alone."""
    for holder in holders:
        properties = holder.user_properties
        properties[:] = [pair for pair in properties if pair[0] != PROPERTY]
        if path is not None:
            properties.append((PROPERTY, path))


def link(report: Any, path: Path, config: pytest.Config) -> None:
    """A link in the report of pytest-html, where one is made; relative, so that both can be moved together."""
    html = config.getoption("htmlpath", None)
    if not isinstance(html, str) or not html:
        return
    try:
        from pytest_html import extras
    except ImportError:
        return
    folder = (config.invocation_params.dir / os.path.expandvars(os.path.expanduser(html))).parent
    address = urllib.parse.quote(os.path.relpath(path, folder).replace(os.sep, "/"))
    report.extras = [*getattr(report, "extras", []), extras.url(address, name=LINK)]


def summary(reports: Iterable[Any], config: pytest.Config, more: int = 0) -> Iterator[str]:
    """How many files stay, and where. `more` of them belong to tests that were interrupted."""
    paths = {Path(path) for report in reports if (path := _path(report)) is not None}
    counts = Counter(path.parent for path in paths if path.is_file())
    if more:
        from pytest_netfixtures._options import settings_of

        counts[settings_of(config).directory] += more
    for directory, count in sorted(counts.items()):
        yield f"network captures kept: {count} in {plain(as_typed(directory, config.invocation_params.dir))}"


def _path(report: Any) -> str | None:
    properties = getattr(report, "user_properties", None) or ()
    return next((value for name, value in properties if name == PROPERTY), None)
