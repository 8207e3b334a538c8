"""What every capture of a test is, wherever its packets come from: a file, its outcome, and the rows between the packets.

Law: a sink that is quick and never raises; it knows no engine and no pytest. Faults, phases, notes and TLS become rows.
It takes no lock: entries come under the journal's, `finish` and `discard` when the journal knows it no more. Where
packets come from is the business of who inherits.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytest_netfixtures._pcap import keylines, rows
from pytest_netfixtures._pcap.book import INFO, NOTICE, WARNING, Book, now
from pytest_netfixtures._pcap.head import NO_KEYS, comment_text
from pytest_netfixtures._pcap.keyfile import keys_path
from pytest_netfixtures._pcap.merge import merge_keys
from pytest_netfixtures._pcap.places import readable
from pytest_netfixtures._pcap.secrets import Slots
from pytest_netfixtures._wire.entries import (
    Delivered,
    Entry,
    Fired,
    LegEnded,
    LegFailed,
    LegOpened,
    LegOpening,
    Logged,
    Marked,
    Noted,
    Sealed,
    Secret,
    Sent,
    Side,
    TlsFailed,
    TlsOpened,
    TlsStarted,
)

__all__ = ["Writer"]


class Writer:
    """Writes the capture of one test. Use it as a sink: `lab.add_sink(writer)`.

    Arguments: `path`, where the file is made at the first entry; `node_id` of the test and more lines (`comment`:
    versions, seed) for the section header; `max_bytes` of the file, after which only rows are written; `secrets`: whether
    TLS keys are written; `wall`, a moment on both clocks.
    """

    backend = ""
    """Which one it is, and what a reader should know of it; in the section's comment."""
    book_type: type[Book] = Book
    clocks = staticmethod(now)

    def __init__(
        self,
        path: Path,
        *,
        node_id: str,
        comment: Mapping[str, str],
        max_bytes: int = 64 << 20,
        secrets: bool = True,
        wall: Callable[[], tuple[float, int]] | None = None,
    ) -> None:
        self.faults = 0
        """How often a fault fired."""
        self.resets = 0
        """Packets with RST in the file, refused connections included."""
        self.keys_error: str | None = None
        """Why keys that belong into the file are not in it: what happened, what was expected, what to do."""
        said = comment if secrets else {**NO_KEYS, **comment}
        self._book = self.book_type(
            path, comment_text(node_id, self.backend, said), max_bytes, wall or self.clocks
        )
        self._slots = Slots(self._book) if secrets else None
        self._who: dict[int, str] = {}
        self._upstream: dict[tuple[int, Side], str] = {}
        self._unseen: set[tuple[int, Side]] = set()
        self._finished = self._gone = False
        self._take: dict[type, Callable[[Any, bytes | None], None]] = {
            Sent: self._sent,
            Delivered: self._delivered,
            LegOpening: self._opening,
            LegOpened: self._opened,
            LegFailed: self._failed,
            LegEnded: self._ended,
            Fired: self._fired,
            Noted: self._noted,
            Marked: self._marked,
            Logged: self._logged,
            TlsStarted: self._tls_started,
            Sealed: self._sealed,
            Secret: self._secret,
            TlsOpened: self._tls_opened,
            TlsFailed: self._tls_failed,
        }
        self._set_up()

    def _set_up(self) -> None:
        """What who inherits keeps besides."""

    @property
    def path(self) -> Path:
        """Where the file is, once there was an entry."""
        return self._book.file.path

    @property
    def error(self) -> str | None:
        """Why the file ends early, or is not there: what happened, what was expected, what to do."""
        return self._book.file.error

    @property
    def made(self) -> bool:
        """Whether what lies at `path` is, or was, of our making."""
        return self._book.file.made and not self._gone

    @property
    def packets(self) -> int:
        """Packets in the file; rows are not counted."""
        return self._book.packets

    @property
    def left_out(self) -> int:
        """Packets that are not in the file, because it reached `max_bytes`."""
        return self._book.left_out

    def stream_of(self, connection: int, leg: Side) -> int | None:
        """The `tcp.stream` or `udp.stream` of a leg in Wireshark; None if it has no packets in the file."""
        raise TypeError(f"{type(self).__name__} does not say where a leg is shown")

    def __call__(self, entry: Entry, data: bytes | None) -> None:
        """Takes an entry and the bytes that belong to it."""
        if self._finished:
            return
        try:
            self._book.begin()
            self._take[type(entry)](entry, data)
        except Exception as problem:  # a capture must never break the traffic that it shows
            self._book.file.stop(problem)

    def whole(self) -> contextlib.AbstractContextManager[Any]:
        """As long as it is held, the file ends with a whole block."""
        return contextlib.nullcontext()

    def say(self, at: float, text: str) -> None:
        """Writes a row."""
        if not self._finished:
            self._book.begin()
            self._book.row(at, text, WARNING)

    def finish(self, outcome: str, keys: str = "") -> None:
        """Writes what was left out, the outcome in place of RUNNING, puts keys before the packets, and closes.

        `keys` is the key log of others; with `secrets=False` nothing of it is written. Again: nothing happens.
        """
        if not self._finished:
            self._finished = True
            self._book.conclude(outcome)
            self._gone = not self._book.file.is_there
            self._put_keys(keylines.lines_of(keys))
            self._book.file.close()

    def discard(self) -> None:
        """Closes and deletes the file."""
        self._finished = True
        self._book.file.remove()

    def forget(self) -> None:
        """In a forked child: lets go of the file, which stays the parent's."""
        self._finished = True
        self._book.file.forget()

    # What brings packets.

    def _opening(self, entry: LegOpening, data: bytes | None) -> None:
        self._meet(entry)

    def _opened(self, entry: LegOpened, data: bytes | None) -> None:
        self._meet(entry)

    def _sent(self, entry: Sent, data: bytes | None) -> None:
        """No row."""

    def _delivered(self, entry: Delivered, data: bytes | None) -> None:
        """No row."""

    def _sealed(self, entry: Sealed, data: bytes | None) -> None:
        """No row."""

    def _ended(self, entry: LegEnded, data: bytes | None) -> None:
        """No row."""

    # Keys.

    def _tls_started(self, entry: TlsStarted, data: bytes | None) -> None:
        key = (entry.connection, entry.leg)
        if entry.unseen:
            self._unseen.add(key)
            self._book.row(entry.at, rows.tls_unseen(entry, self._name(entry.connection)), NOTICE)
        elif self._slots is not None:
            self._slots.reserve(key, entry.at)

    def _secret(self, entry: Secret, data: bytes | None) -> None:
        key = (entry.connection, entry.leg)
        if self._slots is None or key in self._unseen:
            return
        late = self._slots.fill(key, entry.lines)
        if late:
            self._book.row(entry.at, rows.late_keys(entry, self._name(entry.connection), late), NOTICE)

    def _put_keys(self, lines: list[str]) -> None:
        """The keys of others, and ours that came too late, go before the packets, while the lock is still held."""
        if self._slots is None or self._gone or not (lines or self._slots.late):
            return
        try:
            fitting = keylines.fitting(lines, self._book.room)
            merge_keys(self.path, keylines.as_text(fitting))
        except (OSError, ValueError) as problem:
            self.keys_error = _unmerged(self.path, str(problem))
        else:
            if len(fitting) < len(lines):
                self.keys_error = _unmerged(
                    self.path, f"it has no room for {len(lines) - len(fitting)} of them"
                )

    # Rows.

    def _failed(self, entry: LegFailed, data: bytes | None) -> None:
        server = self._upstream.get((entry.connection, entry.leg), "")
        self._book.row(entry.at, rows.failed(entry, self._name(entry.connection), server), WARNING)

    def _fired(self, entry: Fired, data: bytes | None) -> None:
        self.faults += 1
        self._book.row(entry.at, rows.fired(entry, self._name(entry.connection)), WARNING)

    def _noted(self, entry: Noted, data: bytes | None) -> None:
        who = None if entry.connection is None else self._name(entry.connection)
        self._book.row(entry.at, rows.noted(entry, who), NOTICE)

    def _marked(self, entry: Marked, data: bytes | None) -> None:
        self._book.row(entry.at, rows.marked(entry))

    def _logged(self, entry: Logged, data: bytes | None) -> None:
        self._book.row(entry.at, rows.logged(entry), INFO)

    def _tls_opened(self, entry: TlsOpened, data: bytes | None) -> None:
        self._book.row(entry.at, rows.tls_opened(entry, self._name(entry.connection)), INFO)

    def _tls_failed(self, entry: TlsFailed, data: bytes | None) -> None:
        self._book.row(entry.at, rows.tls_failed(entry, self._name(entry.connection)), WARNING)

    def _meet(self, entry: LegOpening | LegOpened) -> None:
        self._who[entry.connection] = rows.who(entry)
        self._upstream[entry.connection, entry.leg] = readable(entry.server)

    def _name(self, connection: int) -> str:
        return self._who.get(connection, f"connection #{connection}")


def _unmerged(path: Path, reason: str) -> str:
    return (
        f"TLS keys could not be put into the capture {path}: {reason}. Expected to write a file beside it, within "
        "--net-capture-max-bytes. The capture is whole; what programs of the test wrote into net_capture.keylog_path "
        f"stays there: wireshark -o {shlex.quote(f'tls.keylog_file:{keys_path(path)}')}"
    )
