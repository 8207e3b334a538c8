"""What the servers and proxies of one lab share.

Law: names, numbers and errors of one lab meet here, and nothing is done with them. Connections have an identity that is
unique in the process, and a number that counts from 1 at each endpoint.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

from .._errors import WaitTimeout
from .._wire.entries import Marked, Noted
from .journal import Book
from .loop import Engine

__all__ = ["Scope"]

_identities = itertools.count(1)


class Scope:
    """Engine, journal, key of all decisions, and the errors that still have to reach the test."""

    def __init__(self, engine: Engine, book: Book, key: tuple[object, ...], wait: float) -> None:
        self.engine = engine
        self.book = book
        self.key = key
        self.wait = wait
        self.errors: list[BaseException] = []
        self.in_test = False
        self._names: dict[str, int] = {}

    def identity(self) -> int:
        """A number for a connection that no other in this process has."""
        return next(_identities)

    def name(self, kind: str, given: str | None) -> str:
        """The name of an endpoint: the given one, or the kind, with an ordinal from the second on."""
        name = given or kind
        self._names[name] = ordinal = self._names.get(name, 0) + 1
        return name if ordinal == 1 else f"{name}-{ordinal}"

    def fail(self, error: BaseException) -> None:
        """Keep an error until the test asks for it."""
        self.errors.append(error)
        self.engine.journal.touch()

    def note(self, text: str, connection: int | None = None) -> None:
        """Something worth a line in the report."""
        with self.book.lock:
            self.book.write(Noted(time.monotonic(), connection, text))

    def mark(self, text: str) -> None:
        """A moment of the test."""
        with self.book.lock:
            self.book.write(Marked(time.monotonic(), text))

    def wait_until(
        self, condition: Callable[[], object], within: float | None, what: Callable[[], str]
    ) -> None:
        """Wait until `condition()` is true; WaitTimeout with the text of `what()` otherwise."""
        __tracebackhide__ = True
        limit = self.wait if within is None else within
        if not self.engine.journal.wait(condition, limit):
            raise WaitTimeout(f"after {limit:g} s {what()}")
