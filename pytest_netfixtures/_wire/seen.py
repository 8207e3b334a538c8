"""What a fault is, and what it is told beside the event.

Law: a fault is called with an event and what it has seen, and knows nothing else. Everything it may remember lives here,
never in the fault.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

from .decisions import Decisions
from .entries import Direction
from .events import NEVER, Data, Datagram, Event, Fin, Rst

__all__ = ["Ask", "Fault", "Seen", "apply", "ask", "code_of", "forget"]

_INNER = object()
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


class Seen:
    """What has gone through one point of the row so far, for the fault that stands there.

    `bytes` and `events` count what reached it before the present event (bytes of streams and datagrams; data events or
    datagrams), `last_left` is the latest time of the bytes it yielded, `number` the connection's, `direction` the
    fault's, `decisions` its source of random decisions. `memory` belongs to this fault, direction and connection,
    `connection` to both directions of it, `shared` to all connections of the armed fault.

    A fault that keeps bytes in its memory yields a `Wake`, so that it can let them go. It says how many wait, by `hold`:
    then it has fired; or which, by `hold_back`: then whether it has is seen by what it makes of them.
    """

    __slots__ = (
        *("bytes", "connection", "decisions", "direction", "events", "held", "kept", "last_left", "memory"),
        *("number", "outer", "shared", "stays"),
    )

    def __init__(
        self,
        number: int,
        direction: Direction,
        decisions: Decisions,
        connection: dict[Any, Any],
        shared: dict[Any, Any],
    ) -> None:
        self.bytes = 0
        self.events = 0
        self.last_left = -NEVER
        self.number = number
        self.direction = direction
        self.decisions = decisions
        self.memory: dict[Any, Any] = {}
        self.connection = connection
        self.shared = shared
        self.outer: Seen | None = None
        self.stays = False
        self.held = 0
        self.kept = b""

    def stay(self) -> None:
        """Keep the fault in place although it is lifted; for its answer to `Lifted`, on this connection."""
        self.stays = True
        if self.outer is not None:
            self.outer.stay()

    def hold(self, size: int) -> None:
        """Say how many bytes the fault keeps from now on: they wait, as what is on its way does."""
        self.held = size
        if self.outer is not None:
            self.outer.hold(size)

    def hold_back(self, kept: bytes) -> None:
        """Say which bytes the fault keeps from now on: they count as if they came with its next event."""
        self.kept = kept
        self.held = len(kept)
        if self.outer is not None:
            self.outer.hold_back(kept)

    def inner(self) -> Seen:
        """What the fault inside a narrowing has seen: counts and memories of its own."""
        seen: Seen | None = self.memory.get(_INNER)
        if seen is None:
            below = (self.connection.setdefault(_INNER, {}), self.shared.setdefault(_INNER, {}))
            seen = self.memory[_INNER] = Seen(self.number, self.direction, self.decisions, *below)
            seen.outer = self
        return seen

    def connection_at(self, depth: int) -> dict[Any, Any]:
        """The memory of both directions that a fault so deep inside narrowings has."""
        memory = self.connection
        for _ in range(depth):
            memory = memory.setdefault(_INNER, {})
        return memory

    def count(self, event: Event) -> None:
        """Add what has reached this point."""
        if isinstance(event, (Data, Datagram)):
            self.bytes += len(event.data)
            self.events += 1


Fault: TypeAlias = Callable[[Event, Seen], Iterable[Event]]
"""A fault is any callable that takes an event and what it has seen, and yields events.

It lets an event through by yielding it, delays it by yielding it `moved(at + delay)`, loses it by yielding nothing,
duplicates it by yielding it twice, and ends the stream by yielding `Fin` or `Rst`.
"""


def forget(memory: dict[Any, Any]) -> None:
    """Empty a memory and those inside it; whoever has one of them keeps it."""
    inner = memory.get(_INNER)
    memory.clear()
    if inner is not None:
        memory[_INNER] = inner
        forget(inner)


def apply(fault: Fault, event: Event, seen: Seen) -> Iterator[Event]:
    """What the fault makes of the event; `seen` is kept up to date while it is read."""
    answer: object = fault(event, seen)
    if not isinstance(answer, Iterable):
        raise TypeError(
            f"{code_of(fault)} returned {answer!r}; expected events: `yield` what goes on, or return a list of it"
        )
    for out in answer:
        _check(fault, event, out)
        if isinstance(out, (Data, Datagram)) and out.at != NEVER:
            seen.last_left = max(seen.last_left, out.at)
        yield out
    seen.count(event)


def _check(fault: Fault, event: Event, out: object) -> None:
    """Raise TypeError for an answer that nobody can carry out."""
    if not isinstance(out, Event):
        expected = "an event, such as the one it was given"
    elif isinstance(out, (Data, Datagram)) and not isinstance(out.data, bytes):
        expected = "bytes as its data"
    elif isinstance(event, Datagram) and isinstance(out, (Data, Fin, Rst)):
        expected = "a Datagram: UDP has no stream and no end"
    elif isinstance(event, (Data, Fin, Rst)) and isinstance(out, Datagram):
        expected = "Data: a stream has no datagrams"
    else:
        return
    raise TypeError(f"{code_of(fault)} yielded {out!r}; expected {expected}")


Ask: TypeAlias = Callable[[Fault, Event, Seen], list[Event]]


def ask(fault: Fault, event: Event, seen: Seen) -> list[Event]:
    """All that a fault makes of an event. Who wants to watch over faults puts something around it."""
    return list(apply(fault, event, seen))


def code_of(fault: object) -> str:
    """The fault as the code that made it: its repr, or the name of a function. The same in every process."""
    name = getattr(fault, "__qualname__", None)
    return name if isinstance(name, str) else _ADDRESS.sub("", repr(fault))
