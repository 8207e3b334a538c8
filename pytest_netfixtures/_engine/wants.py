"""What a call of a connection waits for.

Law: a want says when it is met, how much room in the inbox it needs, and what the answer is then. It does not wait: that
is the work of `connection.py`, and all here is called under the journal's lock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from .._errors import ConnectionEnded, WaitTimeout, is_for_the_user
from .._wire.checks import check_count, check_seconds
from .._wire.redaction import masked
from .._wire.text import hexdump_diff, preview
from .owned import OwnConnection

__tracebackhide__ = is_for_the_user

__all__ = ["Want", "Wants"]

T = TypeVar("T")

_SHOWN = 80
_LOOKED_AT = 4096
"""So much is looked through for secrets before the first bytes of it are shown."""


@dataclass(frozen=True)
class Want(Generic[T]):
    """What the call `call` waits for, in words: `text`. `late` is what is raised at the deadline."""

    call: str
    text: str
    met: Callable[[], bool]
    take: Callable[[], T]
    room: float = 0
    late: type[Exception] = WaitTimeout


class _Search:
    """Looks for a pattern in a buffer that grows, and at each byte once."""

    def __init__(self, buffer: bytearray, pattern: bytes) -> None:
        self.end = 0
        self._buffer = buffer
        self._pattern = pattern
        self._from = 0

    def found(self) -> bool:
        if not self.end:
            place = self._buffer.find(self._pattern, self._from)
            self.end = 0 if place < 0 else place + len(self._pattern)
            self._from = max(0, len(self._buffer) - len(self._pattern) + 1)
        return self.end > 0


class Wants(OwnConnection):
    """A connection that knows when a call is met, and what to say when it cannot be."""

    _end_told = False

    def _want_some(self, size: int) -> Want[bytes]:
        check_count("size", size)
        return Want(
            "recv",
            "at least one byte, or the end",
            lambda: not size or bool(self._inbox) or self._link.peer_end == "FIN",
            lambda: self._some(size),
            late=TimeoutError,
        )

    def _want_until(self, pattern: bytes, call: str = "recv_until") -> Want[bytes]:
        _check_bytes("pattern", pattern, "b'\\r\\n'")
        search = _Search(self._inbox, pattern)
        return Want(call, _shown(pattern), search.found, lambda: self._take(search.end), float("inf"))

    def _want_exactly(self, size: int) -> Want[bytes]:
        check_count("size", size)
        return Want(
            "recv_exactly",
            f"{size} bytes",
            lambda: len(self._inbox) >= size,
            lambda: self._take(size),
            size,
        )

    def _want_all(self) -> Want[bytes]:
        return Want(
            "recv_to_end",
            "the end of the stream",
            lambda: self._link.peer_end == "FIN",
            lambda: self._take(len(self._inbox)),
            float("inf"),
        )

    def _want_this(self, expected: bytes) -> Want[bytes]:
        _check_bytes("expected", expected, "b'PING\\r\\n', and expect_eof() for the end of the stream")
        return Want(
            "expect",
            _shown(expected),
            lambda: self._decides(expected) or self._link.peer_end == "FIN",
            partial(self._compared, expected),  # not a lambda: its frame could not be hidden in a traceback
            len(expected),
        )

    def _want_eof(self) -> Want[None]:
        return Want(
            "expect_eof",
            "the client's FIN and nothing before it",
            lambda: bool(self._inbox) or self._link.peer_end is not None,
            self._check_eof,
        )

    def _want_anything(self, during: float) -> Want[None]:
        check_seconds("during", during)
        text = f"nothing, and no end, for {during:g} s"
        return Want(
            "expect_nothing",
            text,
            lambda: bool(self._inbox) or self._link.peer_end is not None,
            self._deny_everything(text),
        )

    # What is done when it is met.

    def _some(self, size: int) -> bytes:
        data = self._take(min(size, len(self._inbox)))
        if size and not data and self.released:
            self._tell_end_once()
        return data

    def _tell_end_once(self) -> None:
        """A handler that reads on and on at the end of the stream would never end."""
        if self._end_told:
            raise ConnectionEnded(f"{self!r} has ended and its server is closed; expected no call after that")
        self._end_told = True

    def _decides(self, expected: bytes) -> bool:
        """Whether enough has come to say that it is, or is not, what was expected."""
        return len(self._inbox) >= len(expected) or not expected.startswith(bytes(self._inbox))

    def _compared(self, expected: bytes) -> bytes:
        __tracebackhide__ = True
        came = bytes(self._inbox[: len(expected)])
        if came != expected:
            raise AssertionError(self._differs(came, expected))
        return self._take(len(expected))

    def _differs(self, came: bytes, expected: bytes) -> str:
        end = f" ended ({self._link.peer_end})" if self._link.peer_end and len(came) < len(expected) else ""
        lines = "\n".join(hexdump_diff(came, expected, masked(came, self._scope.redactions)))
        return (
            f"{self!r}{end and end + ' and'} got other bytes than expected: did the client send something else?"
            f" Left is what came, right what was expected:\n{lines}"
        )

    def _check_eof(self) -> None:
        __tracebackhide__ = True
        if self._inbox or self._link.peer_end != "FIN":
            raise AssertionError(
                f"{self!r} got {self._waiting()}; expected the client's FIN and nothing before it:"
                " receive what it sends, or look how it closes"
            )

    def _deny_everything(self, text: str) -> Callable[[], None]:
        def deny() -> None:
            __tracebackhide__ = True
            raise AssertionError(
                f"{self!r} got {self._waiting()}; expected {text}: what did the client send?"
            )

        return deny

    # What is said when it cannot be met any more.

    def _why(self, want: Want[T]) -> Exception:
        if self.gone:
            return ConnectionEnded(
                f"{self!r} was ended by its server; expected an open one to wait for {want.text}: receive before the end"
            )
        if self._link.peer_end == "RST":
            return ConnectionResetError(
                f"{self!r} got {self._waiting()}; expected {want.text}: the client has reset the connection"
            )
        if self._link.peer_end == "FIN":
            return ConnectionEnded(
                f"{self!r} ended after {self._waiting()}; expected {want.text}: the client closed too early"
            )
        return ConnectionEnded(
            f"{self!r} was released, because its server is closed or stopped; expected {want.text}:"
            " end the test after the conversation"
        )

    def _waiting(self) -> str:
        """What is in the inbox, in words."""
        ended = f" and then {self._link.peer_end}" if self._link.peer_end else ""
        if not self._inbox:
            return f"nothing{ended}"
        shown = _shown(masked(bytes(self._inbox[:_LOOKED_AT]), self._scope.redactions))
        return f"{len(self._inbox)} bytes, {shown}{ended}"


def _shown(data: bytes) -> str:
    return f"b'{preview(data, _SHOWN)}'"


def _check_bytes(field: str, value: object, example: str) -> None:
    if not isinstance(value, bytes):
        raise TypeError(f"{field} is {value!r}; expected bytes, such as {example}")
    if not value:
        raise ValueError(f"{field} is {value!r}; expected at least one byte, such as {example}")
