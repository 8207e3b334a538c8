"""What happened, written down in the moment in which it happens.

Law: act and entry are one critical section under `lock`: send, write the entry with the count that `send` returned,
release. A reader needs the same lock, so whoever has seen an effect finds its entry, and nothing unsent is ever recorded.
One journal for the process; a `Book` for each lab, with its recorder and its readers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeAlias

from .._wire.entries import Entry
from .._wire.recorder import Recorder

__all__ = ["LOOK_AGAIN", "Book", "Journal", "Sink"]

Sink: TypeAlias = Callable[[Entry, "bytes | None"], object]

LOOK_AGAIN = 0.02
"""A wait looks again at every entry, and at least every so many seconds: conditions may hang on other things too."""


class Journal:
    """The lock, the condition, and a counter of all news."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.version = 0
        self._news = threading.Condition(self.lock)
        self._waiting = 0

    def touch(self) -> None:
        """Something is new: wake those who wait."""
        with self.lock:
            self.version += 1
            if self._waiting:
                self._news.notify_all()

    def wait(self, condition: Callable[[], object], within: float) -> bool:
        """Wait until `condition()` is true, at most `within` seconds; it is called without the lock."""
        deadline = time.monotonic() + within
        while True:
            version = self.version
            if condition():
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self._wait_for_news(version, min(left, LOOK_AGAIN))

    def _wait_for_news(self, version: int, seconds: float) -> None:
        with self.lock:
            if self.version == version:
                self._waiting += 1
                try:
                    self._news.wait(seconds)
                finally:
                    self._waiting -= 1


class Book:
    """The entries of one lab: into its recorder, and to every sink."""

    def __init__(self, journal: Journal, recorder: Recorder) -> None:
        self.journal = journal
        self.lock = journal.lock
        self.recorder = recorder
        self.sinks: list[Sink] = []

    def write(self, entry: Entry, data: bytes | None = None) -> None:
        """Write an entry down; to be called under the lock, right after the act."""
        self.recorder.add(entry, data)
        for sink in self.sinks:
            sink(entry, data)
        self.journal.touch()
