"""The capture of one test: where its file lies, what goes into it, and whether it stays.

Law: it passes on what the labs of the test write down; a writer makes a file of it. A failing disk never fails a test:
it is said in `error`. It knows no pytest.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_netfixtures._errors import CaptureUnavailable
from pytest_netfixtures._pcap.tap import Tap
from pytest_netfixtures._pcap.writer import Writer
from pytest_netfixtures._wire.checks import check_text
from pytest_netfixtures._wire.entries import Entry, Marked, Side
from pytest_netfixtures._wire.traffic import Traffic

if TYPE_CHECKING:
    from pytest_netfixtures._netlab import NetLab

__all__ = ["PHASES", "Capture"]

PHASES = ("setup", "call", "teardown")


class Capture:
    """The capture of the test that runs now, as the fixture `net_capture` gives it.

    Example::

        def test_login(net_capture, fault_proxy): ...
            net_capture.mark("before the second login")
    """

    def __init__(
        self,
        path: Path,
        *,
        node_id: str,
        comment: Mapping[str, str],
        max_bytes: int,
        secrets: bool = True,
        why_not: str = "",
    ) -> None:
        self._writer: Writer = Tap(
            path, node_id=node_id, comment=comment, max_bytes=max_bytes, secrets=secrets
        )
        self._why_not = why_not
        self._labs: list[NetLab] = []
        self._sink = self._take
        _alive.add(self)
        self._write(PHASES[0])

    @property
    def path(self) -> Path:
        """Where the pcapng is. It is written through, so that it can be read at any time, and it is deleted after the
        test where nothing says that it stays.

        Raises: CaptureUnavailable, when it could not be made.
        """
        with self._lock():  # whoever has seen an effect finds it in the file
            if self.error is not None and not self._writer.path.exists():
                raise CaptureUnavailable(f"there is no capture of this test: {self.error}")
        return self._writer.path

    @property
    def error(self) -> str | None:
        """Why the file is not there or ends early; None when all is well."""
        return self._why_not or self._writer.error

    @property
    def traffic(self) -> Traffic:
        """A snapshot of all connections of this test, in the order of their opening."""
        found = [connection for lab in self._labs for connection in lab.traffic.connections]
        return Traffic(tuple(sorted(found, key=lambda connection: connection.opened_at)))

    @property
    def labs(self) -> tuple[NetLab, ...]:
        """Those whose traffic goes into this capture."""
        return tuple(self._labs)

    def mark(self, text: str) -> None:
        """Write a row of your own into the capture, and a line into the report: `net_capture.mark("now the retry")`."""
        check_text("text", text)
        if self._labs:
            self._labs[0].mark(text)
        else:
            self._write(text)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Copy the capture as it is now to `path`, which stays whatever becomes of the test; returns it as a Path.

        Raises: CaptureUnavailable, when there is no capture; OSError, when `path` cannot be written.
        """
        source, target = self.path, Path(path)
        with self._lock():
            shutil.copyfile(source, target)
        return target

    def attach(self, lab: NetLab) -> None:
        """From now on the lab's traffic goes into this capture."""
        if lab not in self._labs:
            self._labs.append(lab)
            if not self._why_not:
                lab.add_sink(self._sink)

    def phase(self, text: str) -> None:
        """A phase of the test begins."""
        self._write(text)

    @property
    def left_out(self) -> int:
        """Packets that are not in the file, because it is as long as it may be."""
        return self._writer.left_out

    def stream_of(self, connection: int, leg: Side) -> int | None:
        """The number of a leg in Wireshark."""
        return self._writer.stream_of(connection, leg)

    def finish(self, outcome: str, keep: bool) -> None:
        """The test is over: the file gets its outcome and stays, or is deleted. Again: nothing happens."""
        for lab in self._labs:
            lab.remove_sink(self._sink)
        if keep:
            self._writer.finish(outcome)
        else:
            self._writer.discard()

    def forget(self) -> None:
        """In a forked child: the file is the parent's."""
        self._writer.forget()

    def _take(self, entry: Entry, data: bytes | None) -> None:
        """Phases come from `phase`, once, and not from each lab."""
        if not (isinstance(entry, Marked) and entry.text in PHASES):
            self._writer(entry, data)

    def _write(self, text: str) -> None:
        if not self._why_not:
            with self._lock():
                self._writer(Marked(time.monotonic(), text), None)

    def _lock(self) -> contextlib.AbstractContextManager[object]:
        return self._labs[0].engine.journal.lock if self._labs else contextlib.nullcontext()


_alive: weakref.WeakSet[Capture] = weakref.WeakSet()


def _after_fork() -> None:
    for capture in list(_alive):
        capture.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
