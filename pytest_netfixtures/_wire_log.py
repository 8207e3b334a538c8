"""All traffic of a lab, as lines of the logger `pytest_netfixtures.wire`.

Law: one line of level DEBUG for an entry, except for keys and for log lines themselves. Bytes are escaped and their secrets
masked. Lines are made on the engine's thread without the journal's lock, because a handler of the user's may wait for
anything. A lab without this costs nothing: nobody listens.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable
from re import Pattern
from typing import TYPE_CHECKING, Any, TypeAlias

from ._engine.loop import Engine
from ._wire.entries import (
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
    TlsFailed,
    TlsOpened,
    TlsStarted,
)
from ._wire.redaction import masked
from ._wire.text import clip, plain, preview
from ._wire.traffic import address_text

if TYPE_CHECKING:
    import logging

__all__ = ["NAME", "WireLog", "is_wanted"]

NAME = "pytest_netfixtures.wire"
DEBUG = 10
SHOWN = 80
"""Characters of a preview."""
LOOKED_AT = 512
"""Bytes of a chunk that are looked through for secrets before its first ones are shown."""
BEFORE = 8192
"""Bytes before a chunk that are looked through too: a secret may have begun in them."""
MOST = 1000
"""So many connections and records are remembered."""

Flow: TypeAlias = "tuple[int, str, type[Any]]"


def _logger() -> logging.Logger | None:
    """The logger; None where nobody has loaded logging, so that nobody can have asked for it."""
    logging = sys.modules.get("logging")
    return logging.getLogger(NAME) if logging is not None else None


def is_wanted() -> bool:
    """Whether somebody wants to see the lines now, and has asked for this logger by name.

    A level of the root logger is for other things: tests count the records that they find there.
    """
    logger = named = _logger()
    while named is not None and named.parent is not None and not named.level:
        named = named.parent
    return logger is not None and named is not None and bool(named.parent) and logger.isEnabledFor(DEBUG)


class WireLog:
    """A sink that logs what it takes. Use it as `lab.add_sink(WireLog(engine, patterns))`."""

    def __init__(self, engine: Engine, redact: Iterable[Pattern[bytes]]) -> None:
        self._engine = engine
        self._logger = _logger()
        self._waiting: deque[tuple[Entry, bytes | None]] = deque()
        self._posted = False
        self._lines = _Lines(tuple(redact))

    def __call__(self, entry: Entry, data: bytes | None) -> None:
        """Takes an entry under the journal's lock; the line comes soon."""
        if isinstance(entry, (Secret, Logged)) or not is_wanted():
            return
        self._waiting.append((entry, data))
        if not self._posted:
            self._posted = True
            self._engine.post(self.drain)

    def flush(self) -> None:
        """All lines are made when this returns. Not to be called under the lock."""
        if self._waiting and self._engine.alive:
            self._engine.call(self.drain)

    def drain(self) -> None:
        """Make the lines; on the engine's thread."""
        self._posted = False
        while self._waiting and self._logger is not None:
            self._logger.debug("%s", self._lines.line(*self._waiting.popleft()))


class _Lines:
    """Turns entries into text; knows the names of connections, and the end of each record for the search for secrets."""

    def __init__(self, redact: tuple[Pattern[bytes], ...]) -> None:
        self._redact = redact
        self._names: dict[int, str] = {}
        self._ends: dict[Flow, bytes] = {}
        self._tell: dict[type[Any], Callable[[Any, bytes | None], str]] = {
            LegOpening: lambda entry, data: f"{entry.leg} leg: connecting, {_ends_of(entry)}",
            LegOpened: self._opened,
            LegFailed: lambda entry, data: f"{entry.leg} leg failed: {entry.reason}",
            Sent: lambda entry, data: f"{entry.direction} sent {self._bytes(entry, data)}",
            Delivered: self._delivered,
            LegEnded: lambda entry, data: f"{entry.leg} leg: {entry.how} by {entry.by}{_by(entry.faults)}",
            Fired: lambda entry, data: f"{_way(entry)} FAULT {entry.fault}: {entry.effect}",
            Noted: lambda entry, data: f"note: {entry.text}",
            Marked: lambda entry, data: f"mark: {entry.text}",
            TlsStarted: lambda entry, data: f"{entry.leg} leg: TLS begins",
            Sealed: lambda entry, data: f"{entry.leg} leg: {entry.size} B of cipher text by {entry.by}",
            TlsOpened: lambda entry, data: f"{entry.leg} leg: {_agreed(entry)}",
            TlsFailed: lambda entry, data: f"{entry.leg} leg: TLS failed: {entry.reason}",
        }

    def line(self, entry: Entry, data: bytes | None) -> str:
        """Who, and what happened."""
        if isinstance(entry, (LegOpening, LegOpened)):
            _remember(self._names, entry.connection, f"{entry.endpoint} #{entry.number}")
        text = clip(self._tell[type(entry)](entry, data), 4 * SHOWN)
        safe = masked(text.encode("utf-8", "replace"), self._redact).decode("utf-8", "replace")
        return f"{clip(plain(self._who(entry)), SHOWN)}{plain(safe)}"

    def _who(self, entry: Any) -> str:
        number = getattr(entry, "connection", None)
        return "" if number is None else f"{self._names.get(number, f'connection {number}')} "

    def _opened(self, entry: LegOpened, data: bytes | None) -> str:
        return f"{entry.leg} leg: {'open since before' if entry.before else 'open'}, {_ends_of(entry)}"

    def _delivered(self, entry: Delivered, data: bytes | None) -> str:
        return f"{entry.direction} delivered {self._bytes(entry, data)}{_by(entry.faults)}"

    def _bytes(self, entry: Sent | Delivered, data: bytes | None) -> str:
        if data is None:
            return f"{entry.size} B"
        key: Flow = (entry.connection, entry.direction, type(entry))
        before = self._ends.get(key, b"")
        safe = masked(before + data[:LOOKED_AT], self._redact)[len(before) :]
        _remember(self._ends, key, (before + data)[-BEFORE:])
        return f'{entry.size} B "{_beginning(safe, len(data))}"'


def _remember(known: dict[Any, Any], key: Any, value: Any) -> None:
    """As the youngest of at most so many."""
    known.pop(key, None)
    known[key] = value
    if len(known) > MOST:
        del known[next(iter(known))]


def _beginning(safe: bytes, size: int) -> str:
    text = preview(safe, SHOWN)
    return text if len(safe) == size or text.endswith("...") else f"{preview(safe, SHOWN - 3)}..."


def _ends_of(entry: LegOpening | LegOpened) -> str:
    return f"{address_text(entry.client)} > {address_text(entry.server)}"


def _way(entry: Fired) -> str:
    return f"{entry.direction} beneath TLS" if entry.beneath_tls else entry.direction


def _by(faults: tuple[str, ...]) -> str:
    return f" ({', '.join(faults)})" if faults else ""


def _agreed(entry: TlsOpened) -> str:
    return ", ".join(filter(None, (entry.version, entry.cipher, entry.alpn, entry.server_name)))
