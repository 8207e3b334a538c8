"""What can happen in one direction of one connection.

Law: an event is a value, and time is data: `at` is a number of seconds that somebody else's clock gave. Nothing here
acts. `Opened`, `Wake` and `Lifted` are signals: they tell a fault something and are never carried out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar

__all__ = ["NEVER", "Data", "Datagram", "Event", "Fin", "Lifted", "Opened", "Rst", "Wake", "size_of"]

NEVER = math.inf
"""The time of an event that is held: it stays at the fault that yielded it until that fault is lifted."""

E = TypeVar("E", bound="_Timed")


@dataclass(frozen=True, slots=True)
class _Timed:
    at: float

    def moved(self: E, at: float) -> E:
        """The same event at another time."""
        return replace(self, at=at)


@dataclass(frozen=True, slots=True)
class Opened(_Timed):
    """The connection is open in both directions (behind a proxy: the upstream is connected), or the fault was added."""


@dataclass(frozen=True, slots=True)
class Data(_Timed):
    """Bytes of a stream."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Fin(_Timed):
    """The end of a stream. With `whole` both legs of the connection end, otherwise this direction alone.

    `notify`: where the stream goes on over TLS, a close_notify comes before it; a peer's own clean end has it.
    """

    whole: bool = False
    notify: bool = False


@dataclass(frozen=True, slots=True)
class Rst(_Timed):
    """The connection is reset. With `whole` both legs are, otherwise the receiver's alone."""

    whole: bool = True


@dataclass(frozen=True, slots=True)
class Datagram(_Timed):
    """One datagram and the address of its sender."""

    data: bytes
    peer: object = None


@dataclass(frozen=True, slots=True)
class Wake(_Timed):
    """A fault yields it to be called again at `at`, without input; it comes back to that fault alone."""


@dataclass(frozen=True, slots=True)
class Lifted(_Timed):
    """The fault is taken away: it must yield what it keeps. With `seen.stay()` it stays in place on this connection."""


Event: TypeAlias = Opened | Data | Fin | Rst | Datagram | Wake | Lifted


def size_of(event: Event) -> int:
    """How much room it takes while it waits: its bytes; an empty datagram takes one too."""
    if isinstance(event, Datagram):
        return len(event.data) or 1
    return len(event.data) if isinstance(event, Data) else 0
