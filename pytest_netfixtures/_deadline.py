"""What is still open shortly before pytest-timeout ends a test: into the capture, the report, or onto stderr.

Law: it only looks. It never raises, and the engine does not wait for it: what takes time runs in a thread of its own. It
does nothing while somebody debugs, and nothing where no timeout of pytest-timeout runs.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from pytest_netfixtures._engine.proxy import Proxy
from pytest_netfixtures._timer import is_debugged, is_traced
from pytest_netfixtures._where import file_lines
from pytest_netfixtures._wire.last import last_words
from pytest_netfixtures._wire.rows import behind_our_proxy
from pytest_netfixtures._wire.seen import code_of
from pytest_netfixtures._wire.traffic import Traffic

if TYPE_CHECKING:
    from pytest_netfixtures._run import Run

LONGEST_MARGIN = 0.5
"""Seconds before the deadline, or a tenth of the timeout where that is less."""
MOST = 20
"""So many connections are told of."""
NOTHING = "no connection to a server or proxy of ours"


def margin(timeout: float) -> float:
    """Seconds before its deadline at which a test is looked at."""
    return min(LONGEST_MARGIN, timeout / 10)


class Watch:
    """Looks at the test once, shortly before its deadline.

    `begin` is called whenever the test may have got a server or a deadline, `end` when neither matters any more.
    """

    def __init__(self, run: Run) -> None:
        self.lines: list[str] = []
        """What was open, for the report."""
        self._run = run
        self._timer: Any = None
        self._over = False
        self._thread = threading.get_ident()

    def begin(self, deadline: tuple[float, float, str] | None) -> None:
        """From now on: moment (monotonic), seconds and method of pytest-timeout."""
        if deadline is None or self._timer is not None or self._over or not self._run.labs or is_traced():
            return
        at, seconds, self._method = deadline
        left = max(0.0, at - margin(seconds) - time.monotonic())
        self._timer = self._run.labs[0].engine.call_later(left, self._ring)

    def end(self) -> None:
        """The deadline is gone: the test is over, or somebody debugs."""
        self._over = True
        if self._timer is not None:
            self._timer.cancel()

    def _ring(self) -> None:
        """On the engine's thread, which knows what is open; a terminal that takes nothing must not hold it up."""
        if self._over or is_debugged(self._thread):
            return
        with contextlib.suppress(Exception):
            look = _Look(self._run)
            threading.Thread(
                target=self._tell, args=(look,), name="netfixtures last words", daemon=True
            ).start()

    def _tell(self, look: _Look) -> None:
        with contextlib.suppress(Exception):
            self._write_rows(look)
            how = self._run.settings.report
            if how != "off":
                self.lines = [f"OPEN {line}" for line in look.lines(with_bytes=how == "full")]
            if self._method == "thread":
                self._say()

    def _write_rows(self, look: _Look) -> None:
        if self._run.capture is not None and not self._over:
            for line in look.lines(with_bytes=True):
                self._run.capture.say(f"OPEN {line}")

    def _say(self) -> None:
        """pytest-timeout prints what was captured, and ends the process."""
        run = self._run
        lines = file_lines(run, run.item.config.invocation_params.dir)
        if run.settings.report != "off":
            lines = [f"{run.node_id}: open connections shortly before the timeout", *lines, *self.lines]
        if not self._over and lines:
            stream = _stderr(run.item.config)
            stream.write("\n" + "\n".join(lines) + "\n")
            stream.flush()


class _Look:
    """What was open at one moment."""

    def __init__(self, run: Run) -> None:
        self._redact = run.redactions
        self._now = time.monotonic()
        endpoints = [endpoint for lab in run.labs for endpoint in lab.endpoints]
        self._open = {
            live.id for endpoint in endpoints for live in getattr(endpoint, "open_connections", list)()
        }
        self._armed = {
            endpoint.name: [
                *(f"{code_of(armed.fault)} {armed.direction}" for armed in endpoint.armed),
                *(f"{code_of(armed.fault)} {armed.direction} beneath TLS" for armed in endpoint.beneath),
            ]
            for endpoint in endpoints
            if isinstance(endpoint, Proxy)
        }
        self._traffic = Traffic(tuple(c for lab in run.labs for c in lab.traffic.connections))

    def lines(self, with_bytes: bool) -> list[str]:
        """A line for each open connection; a server behind a proxy of the test is told of by the proxy."""
        hidden = behind_our_proxy(self._traffic)
        found = [c for c in self._traffic.connections if c.id in self._open and c.id not in hidden]
        lines = [
            last_words(c, self._redact, self._now, self._armed.get(c.endpoint, ()), with_bytes)
            for c in found[:MOST]
        ]
        more = [f"and {len(found) - MOST} more connections"] if len(found) > MOST else []
        return [*lines, *more] or [NOTHING]


def _stderr(config: pytest.Config) -> Any:
    """What pytest captures for the test; what the fixtures capsys and capfd read is the test's own."""
    manager = config.pluginmanager.getplugin("capturemanager")
    fixture = getattr(manager, "_capture_fixture", None)
    if fixture is None:
        return sys.stderr
    before = getattr(getattr(getattr(fixture, "_capture", None), "err", None), "targetfd_save", None)
    if isinstance(before, int):  # capfd has the descriptor 2, and kept what that was
        return open(before, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    return sys.__stderr__ or sys.stderr
