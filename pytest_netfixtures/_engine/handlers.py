"""Users' handlers, each in a thread of its own.

Law: a handler's error reaches the test; that the client has left is no error unless `strict`. At teardown what a handler
waits for is released, and it is joined for at most 2 s: one that does not end is named and abandoned.
"""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Iterable
from typing import TypeAlias

from .._errors import ConnectionEnded
from .connection import ServerConnection
from .scope import Scope

__all__ = ["JOIN_SECONDS", "Handler", "HandlerThread", "join_all"]

JOIN_SECONDS = 2.0

Handler: TypeAlias = Callable[[ServerConnection], object]


class HandlerThread:
    """Runs a handler on a connection; returning closes the connection cleanly."""

    def __init__(self, scope: Scope, handler: Handler, connection: ServerConnection, strict: bool) -> None:
        self.handler = handler
        self.connection = connection
        self.result: object = None
        self._scope = scope
        self._strict = strict
        self.thread = threading.Thread(target=self._run, name=f"netfixtures {connection!r}", daemon=True)

    def _run(self) -> None:
        try:
            self.result = self.handler(self.connection)
        except (ConnectionError, ConnectionEnded) as error:
            self._client_left(error)
        except BaseException as error:
            self._scope.fail(error)
        finally:
            self.connection.close()

    def _client_left(self, error: Exception) -> None:
        self._scope.note(f"the handler of {self.connection!r} ended: {error}", self.connection.id)
        if self._strict and not self.connection.released:
            self._scope.fail(error)


def join_all(threads: Iterable[threading.Thread]) -> None:
    """Wait for handler threads that have been released, at most 2 s together."""
    deadline = time.monotonic() + JOIN_SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
        if thread.is_alive():
            warnings.warn(
                f"{thread.name} did not end within {JOIN_SECONDS:g} s of the test's end and was abandoned;"
                " expected its handler to return when its connection is closed: do not block on anything else in it",
                ResourceWarning,
                stacklevel=2,
            )
