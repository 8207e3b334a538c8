"""Users' handlers, each in a thread of its own.

Law: a handler's error reaches the test; that the client has left is no error unless `strict`. At teardown what a handler
waits for is released, and it is joined for at most 2 s: one that does not end is named and abandoned.
"""

from __future__ import annotations

import inspect
import threading
import time
import warnings
from collections.abc import Callable, Iterable
from typing import TypeAlias

from .._errors import ConnectionEnded, is_for_the_user
from .connection import ServerConnection
from .scope import Scope

__tracebackhide__ = is_for_the_user

__all__ = ["JOIN_SECONDS", "Handler", "HandlerThread", "check_function", "join_all"]

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
        except ConnectionRefusedError as error:
            self._scope.fail(error)  # a connect of its own: our client has not left
        except (ConnectionError, ConnectionEnded) as error:
            self._client_left(error)
        except BaseException as error:
            self._scope.fail(error)
        finally:
            self.connection.close()

    def _client_left(self, error: Exception) -> None:
        if self.connection.released:
            return  # the test has ended, or stopped the server: no client has left
        who = "its server ended it and left" if self.connection.gone else "the client left"
        why = str(error).removeprefix(f"{self.connection!r} ")
        self._scope.note(f"{who} its handler: {why}", self.connection.id)
        if self._strict:
            self._scope.fail(error)


def check_function(field: str, function: object) -> None:
    """`function` must be called for its answer, and not have to be awaited or iterated over."""
    for kind, name in ((inspect.iscoroutinefunction, "async"), (inspect.isgeneratorfunction, "a generator")):
        if kind(function) or kind(type(function).__call__):
            raise TypeError(
                f"{field} is {function!r}, which is {name}; expected a plain function: it runs in a thread of its own"
            )


def join_all(threads: Iterable[threading.Thread]) -> None:
    """Wait for handler threads that have been released, at most 2 s together."""
    deadline = time.monotonic() + JOIN_SECONDS
    threads = list(threads)
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    if late := [thread.name for thread in threads if thread.is_alive()]:
        warnings.warn(
            f"{', '.join(late)} did not end within {JOIN_SECONDS:g} s of the test's end and was abandoned;"
            " expected its handler to return when its connection is closed: do not block on anything else in it",
            RuntimeWarning,
            stacklevel=2,
        )
