"""The capture of one test: where its file lies, what goes into it, and whether it stays.

Law: it passes on what the labs of the test write down; a writer makes a file of it. A failing disk never fails a test:
it is said in `error`. It knows no pytest.
"""

from __future__ import annotations

import contextlib
import os
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_netfixtures._engine.loop import current_engine
from pytest_netfixtures._errors import CaptureUnavailable, is_for_the_user
from pytest_netfixtures._pcap.keyfile import KeyFile, given_keys
from pytest_netfixtures._pcap.merge import copy_with_keys
from pytest_netfixtures._pcap.tap import Tap
from pytest_netfixtures._pcap.writer import Writer
from pytest_netfixtures._wire.checks import check_text
from pytest_netfixtures._wire.entries import Entry, Logged, Marked, Side
from pytest_netfixtures._wire.traffic import Traffic

if TYPE_CHECKING:
    from pytest_netfixtures._netlab import NetLab
    from pytest_netfixtures._wire.statistics import Statistics

__all__ = ["PHASES", "Capture"]

PHASES = ("setup", "call", "teardown")
WATCH_NEEDS_KERNEL = (
    "{} cannot be watched: the backend tap knows our own servers and proxies alone. Expected the kernel backend, which"
    " captures the packets of any port: run with --net-capture-backend=kernel, or mark the test with"
    " @pytest.mark.netlab(backend='kernel'), or put netlab.tcp_proxy(...) in front of that server"
)


class Capture:
    """The capture of the test that runs now, as the fixture `net_capture` gives it.

    Example::

        def test_login(net_capture, fault_proxy): ...
            net_capture.mark("before the second login")
    """

    writer_type: type[Writer] = Tap

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
        self._writer: Writer = self.writer_type(
            path, node_id=node_id, comment=comment, max_bytes=max_bytes, secrets=secrets
        )
        self._why_not = why_not
        self._secrets = secrets
        self._keys_error: str | None = None
        self._labs: list[NetLab] = []
        self._sink = self._take
        _alive.add(self)
        self._write(PHASES[0])
        self._keys = KeyFile(
            self._writer.path
        )  # beside a file that another run is writing it has another name

    @property
    def path(self) -> Path:
        """Where the pcapng is. It is written through, so that it can be read at any time, and it is deleted after the
        test where nothing says that it stays.

        Raises: CaptureUnavailable, when it could not be made.
        """
        self._sync()
        with self._lock():  # whoever has seen an effect finds it in the file
            if self.error is not None and not self._writer.made:
                raise CaptureUnavailable(f"there is no capture of this test: {self.error}")
        return self._writer.path

    @property
    def error(self) -> str | None:
        """Why the file is not there or ends early; None when all is well."""
        return self._why_not or self._writer.error

    @property
    def is_there(self) -> bool:
        """Whether its file is where it belongs: nobody has moved or replaced it before it was finished."""
        return self._writer.made and self._writer.path.is_file()

    @property
    def keys_error(self) -> str | None:
        """Why TLS keys of others are not in the file; None when all is well."""
        return self._keys_error or self._writer.keys_error

    @property
    def keylog_path(self) -> Path:
        """A file for the TLS keys of clients and servers that are not ours, so that Wireshark decrypts what they say.

        Give it to them as the environment variable SSLKEYLOGFILE, or as `keylog_filename` of an `ssl.SSLContext`. When
        the test is over, its keys are put into the capture and the file is deleted. It is readable by its owner alone.
        With `--net-capture-no-secrets` it is deleted unread. The keys of servers and proxies of ours need none of this.

        Raises: CaptureUnavailable, when it cannot be made.

        Example::

            context.keylog_filename = net_capture.keylog_path
        """
        __tracebackhide__ = is_for_the_user
        try:
            if self.error is not None and not self._writer.made:
                raise OSError(self.error)
            return self._keys.make()
        except OSError as problem:
            raise CaptureUnavailable(f"there is no file for TLS keys: {problem}") from None

    def add_keys(self, path_or_text: str | os.PathLike[str]) -> None:
        """Add TLS keys to the capture: the path of a key log, or its text, in the format of SSLKEYLOGFILE.

        Raises: ValueError, when a line is none, with its number and without what is in it; TypeError; OSError, when the
        file cannot be read; CaptureUnavailable, when there is no capture.
        """
        __tracebackhide__ = is_for_the_user
        try:
            self._add_keys(path_or_text)
        except Exception as problem:
            del path_or_text  # pytest may be asked to show the variables of every frame
            raise problem.with_traceback(None) from None

    def _add_keys(self, path_or_text: str | os.PathLike[str]) -> None:
        lines = given_keys(path_or_text)
        if self._secrets and lines:
            path = self.keylog_path
            try:
                self._keys.add(lines)
            except OSError as problem:
                raise CaptureUnavailable(f"TLS keys cannot be written into {path}: {problem}") from None

    @property
    def traffic(self) -> Traffic:
        """A snapshot of all connections of this test, in the order of their opening."""
        found = [connection for lab in self._labs for connection in lab.traffic.connections]
        return Traffic(tuple(sorted(found, key=lambda connection: connection.opened_at)))

    @property
    def statistics(self) -> Statistics:
        """Packets and bytes in the file as it is now, by protocol, direction and connection; `str()` is a table.

        Raises: CaptureUnavailable, when there is no capture.
        """
        from pytest_netfixtures._pcap.read_traffic import read_statistics

        return read_statistics(self.path)

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

    def log(self, level: str, logger: str, text: str) -> None:
        """A record of Python's logging as a row, and a line in the report."""
        if self._labs:
            self._labs[0].log(level, logger, text)
        else:
            self._put(Logged(time.monotonic(), level, logger, text))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Copy the capture as it is now, TLS keys included, to `path`; returns it as a Path.

        The copy stays whatever becomes of the test, and its owner alone may read it. A file that is there is replaced,
        a symlink is not followed.

        Raises: CaptureUnavailable, when there is no capture; OSError, when `path` cannot be written.
        """
        source, target = self.path, Path(path)
        with self._lock(), self._writer.whole():
            copy_with_keys(source, target, self._keys.read() if self._secrets else "")
        return target

    def say(self, text: str) -> None:
        """A row of ours, which is no part of the traffic: in the capture alone."""
        if not self._why_not:
            with self._lock():
                self._writer.say(time.monotonic(), text)

    @property
    def packets(self) -> int:
        """Packets in the file."""
        return self._writer.packets

    def watch(self, port: int) -> None:
        """Capture the packets of a port that is not ours too, a real server's; the kernel backend alone can.

        Raises: CaptureUnavailable.
        """
        __tracebackhide__ = is_for_the_user
        raise CaptureUnavailable(WATCH_NEEDS_KERNEL.format(f"port {port}"))

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
        self._end_of_packets(keep)
        if keep:
            self._writer.finish(outcome, self._keys_of_others())
        else:
            self._writer.discard()
        if not (keep and self.keys_error):
            self._keys.remove()

    def forget(self) -> None:
        """In a forked child: the file is the parent's."""
        self._writer.forget()
        self._keys.forget()

    def _keys_of_others(self) -> str:
        try:
            return self._keys.read() if self._secrets else ""
        except OSError as problem:
            self._keys_error = f"the TLS keys in {self._keys.path} could not be read: {problem}"
            return ""

    def _sync(self) -> None:
        """What has happened is in the file at once: it came from our own sockets."""

    def _end_of_packets(self, keep: bool) -> None:
        """Nothing comes that was not fed."""

    def _take(self, entry: Entry, data: bytes | None) -> None:
        """Phases come from `phase`, once, and not from each lab."""
        if not (isinstance(entry, Marked) and entry.text in PHASES):
            self._writer(entry, data)

    def _write(self, text: str) -> None:
        self._put(Marked(time.monotonic(), text))

    def _put(self, entry: Entry) -> None:
        if not self._why_not:
            with self._lock():
                self._writer(entry, None)

    def _lock(self) -> contextlib.AbstractContextManager[object]:
        """The journal's, also while there is no lab: whoever logs may do so in any thread."""
        return current_engine().journal.lock


_alive: weakref.WeakSet[Capture] = weakref.WeakSet()


def _after_fork() -> None:
    for capture in list(_alive):
        capture.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
