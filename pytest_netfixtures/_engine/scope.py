"""What the servers and proxies of one lab share.

Law: names, numbers and errors of one lab meet here, and nothing is done with them. Connections have an identity that is
unique in the process, and a number that counts from 1 at each endpoint.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

from .._errors import WaitTimeout, is_for_the_user
from .._wire.checks import check_seconds, check_text
from .._wire.entries import Marked, Noted
from .._wire.redaction import DEFAULT_REDACTIONS
from .._wire.traffic import Traffic
from .journal import Book
from .loop import Engine
from .waiting import beside_the_loop, must_not_block, refuse_to_block

__tracebackhide__ = is_for_the_user

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
        self.redactions = DEFAULT_REDACTIONS
        """What is masked in messages."""
        engine.scopes.add(self)
        self._names: set[str] = set()

    @property
    def traffic(self) -> Traffic:
        """A snapshot of all connections of the lab."""
        return self.traffic_of(None)

    def traffic_of(self, endpoint: str | None) -> Traffic:
        """A snapshot of the connections of one endpoint, or of all."""
        with self.book.lock:
            return self.book.recorder.traffic(endpoint)

    def identity(self) -> int:
        """A number for a connection that no other in this process has."""
        return next(_identities)

    def name(self, kind: str, given: str | None) -> str:
        """The name of an endpoint: the given one, or the kind; with an ordinal from the second on."""
        if given is not None and not isinstance(given, str):
            raise TypeError(f"name is {given!r}; expected text that reports and captures call it by, or None")
        first = given or kind
        rest = (f"{first}-{ordinal}" for ordinal in itertools.count(2))
        name = next(name for name in itertools.chain([first], rest) if name not in self._names)
        self._names.add(name)
        return name

    def fail(self, error: BaseException) -> None:
        """Keep an error until the test asks for it."""
        with self.book.lock:
            self.errors.append(error)
            self.engine.journal.touch()

    def note(self, text: str, connection: int | None = None) -> None:
        """Something worth a line in the report."""
        with self.book.lock:
            self.book.write(Noted(time.monotonic(), connection, text))

    def mark(self, text: str) -> None:
        """A moment of the test. Raises TypeError for anything but text."""
        check_text("text", text)
        with self.book.lock:
            self.book.write(Marked(time.monotonic(), text))

    def wait_until(
        self,
        condition: Callable[[], object],
        within: float | None,
        what: Callable[[], str],
        call: str = "wait_for",
    ) -> None:
        """Wait until `condition()` is true; WaitTimeout with the text of `what()` otherwise.

        Where nothing may wait it looks once: under an event loop NetlabError names the twin of `call`.
        """
        __tracebackhide__ = True
        limit = self._limit(within)
        if limit and must_not_block():
            if not condition():
                refuse_to_block(call)
        elif not self.engine.journal.wait(condition, limit):
            raise WaitTimeout(f"after {limit:g} s {what()}")

    async def wait_until_async(
        self, condition: Callable[[], object], within: float | None, what: Callable[[], str]
    ) -> None:
        """`wait_until` for async code."""
        __tracebackhide__ = True
        await beside_the_loop(lambda: self.wait_until(condition, within, what))

    def _limit(self, within: float | None) -> float:
        if within is None:
            return self.wait
        check_seconds("within", within)
        return within
