"""A row of faults, and an event's way through it.

Law: an event goes through the stages of its direction left to right, and everything a stage yields goes on through the
rest of the row at once; only its `at` says when it is carried out, which is somebody else's work. A stage keeps the laws
of the wire whatever its fault does: time never runs backwards within a stream, nothing follows an end, what is held
stays in order. A stage knows its fault by calling it, and by nothing else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from .decisions import Decisions
from .effect import changed, describe, traffic_of
from .entries import DIRECTIONS, TO_CLIENT, TO_SERVER, Direction
from .events import NEVER, Data, Datagram, Event, Fin, Lifted, Opened, Rst, Wake

__all__ = ["Armed", "Fault", "Fire", "Out", "Pipeline", "Seen", "Stage", "apply", "opposite"]

_INNER = "inner"


class Seen:
    """What has gone through one point of the row so far, for the fault that stands there.

    `bytes` and `events` count what reached it before the present event (bytes of streams and datagrams; data events or
    datagrams), `last_left` is the latest time it yielded, `number` the connection's, `direction` the fault's, `decisions`
    its source of random decisions. `memory` belongs to this fault, direction and connection, `connection` to both directions of it, `shared`
    to all connections of the armed fault.
    """

    __slots__ = ("bytes", "connection", "decisions", "direction", "events", "last_left", "memory", "number", "shared")

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

    def inner(self) -> Seen:
        """What the fault inside a narrowing has seen: counts and memories of its own."""
        seen: Seen | None = self.memory.get(_INNER)
        if seen is None:
            below = (self.connection.setdefault(_INNER, {}), self.shared.setdefault(_INNER, {}))
            seen = self.memory[_INNER] = Seen(self.number, self.direction, self.decisions, *below)
        return seen

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


def apply(fault: Fault, event: Event, seen: Seen) -> Iterator[Event]:
    """What the fault makes of the event; `seen` is kept up to date while it is read."""
    for out in fault(event, seen):
        if out.at != NEVER:
            seen.last_left = max(seen.last_left, out.at)
        yield out
    seen.count(event)


@dataclass(eq=False)
class Armed:
    """One fault in one direction of a proxy, with what all its connections share."""

    fault: Fault
    direction: Direction
    ordinal: int = 0
    shared: dict[Any, Any] = field(default_factory=dict)
    connections: set[int] = field(default_factory=set)
    datagrams: int = 0

    @property
    def fired(self) -> int:
        """On how many connections (of a UDP proxy: datagrams) it has changed anything."""
        return self.datagrams or len(self.connections)


class Fire(NamedTuple):
    """A fault has acted: as code, in words, and from which byte (datagram) of the direction on."""

    direction: Direction
    fault: str
    effect: str
    offset: int


class Out(NamedTuple):
    """Something to carry out at `event.at`: traffic, or (with `stage`) a wake-up call. `fires` is told just before."""

    direction: Direction
    event: Event
    faults: tuple[str, ...] = ()
    fires: tuple[Fire, ...] = ()
    stage: Stage | None = None


class Stage:
    """A fault's place in the row of one direction of one connection."""

    __slots__ = (
        "armed",
        "base",
        "connection",
        "end",
        "gone",
        "held",
        "held_bytes",
        "last_at",
        "repr",
        "seen",
        "stays",
    )

    def __init__(self, armed: Armed, seen: Seen, connection: int, base: int) -> None:
        self.armed = armed
        self.seen = seen
        self.connection = connection
        self.base = base
        self.held: deque[tuple[Event, tuple[str, ...]]] = deque()
        self.held_bytes = 0
        self.last_at = -NEVER
        self.end: Fin | Rst | None = None
        self.stays = False
        self.gone = False
        self.repr = repr(armed.fault)

    def feed(self, event: Event, faults: tuple[str, ...] = (), fires: tuple[Fire, ...] = ()) -> list[Out]:
        """Give the fault an event; returns what goes on from here."""
        before = self.seen.bytes if not isinstance(event, Datagram) else self.seen.events
        yielded = list(apply(self.armed.fault, event, self.seen))
        traffic = traffic_of(yielded)
        self.stays = any(isinstance(out, Lifted) for out in yielded)
        outs = [Out(self.armed.direction, out, stage=self) for out in yielded if isinstance(out, Wake)]
        told = fires
        if changed(event, traffic):
            faults = (*faults, self.repr)
            told = (*fires, *self._fire(event, traffic, before))
        return outs + self._tell(event, self._ordered(traffic, faults), told)

    def _fire(self, event: Event, traffic: list[Event], before: int) -> Iterator[Fire]:
        first = self.connection not in self.armed.connections
        if isinstance(event, Datagram):
            self.armed.datagrams += 1
        elif not isinstance(event, Lifted):
            self.armed.connections.add(self.connection)
        if (first and not isinstance(event, Lifted)) or isinstance(event, Datagram):
            effect, offset = describe(event, traffic, self.base + before)
            yield Fire(self.armed.direction, self.repr, effect, offset)

    def _tell(self, event: Event, outs: list[Out], fires: tuple[Fire, ...]) -> list[Out]:
        """Put the news before the end that it explains, or before everything when it is no end."""
        if not fires:
            return outs
        for index, out in enumerate(outs):
            if isinstance(out.event, (Fin, Rst)):
                outs[index] = out._replace(fires=fires)
                return outs
        return [Out(self.armed.direction, Wake(event.at), fires=fires), *outs]

    def _ordered(self, events: Iterable[Event], faults: tuple[str, ...]) -> list[Out]:
        outs = []
        for event in events:
            if self.held or event.at == NEVER:
                self.held.append((event, faults))
                self.held_bytes += _size(event)
            elif (kept := self._in_order(event)) is not None:
                outs.append(Out(self.armed.direction, kept, faults))
        return outs

    def _in_order(self, event: Event) -> Event | None:
        if isinstance(event, Datagram):
            return event
        at = max(event.at, self.last_at)
        if self.end is not None and at >= self.end.at and not self._resets_the_rest(event):
            return None
        event = event if at == event.at else event.moved(at)
        if isinstance(event, (Fin, Rst)):
            self.end = event
        else:
            self.last_at = at
        return event

    def _resets_the_rest(self, event: Event) -> bool:
        """A FIN ended the bytes of this direction; an RST may still abort the connection."""
        return isinstance(event, Rst) and isinstance(self.end, Fin) and not self.end.whole

    def lift(self, now: float) -> list[Out]:
        """Take the fault away: it yields what it keeps, and what it held goes on now."""
        outs = self.feed(Lifted(now))
        held, self.held, self.held_bytes = self.held, deque(), 0
        for event, faults in held:
            at = now if event.at == NEVER else max(now, event.at)
            outs += self._ordered([event.moved(at)], faults)
        self.gone = not self.stays
        return outs


class _Watch(Stage):
    """Looks for a mark in this direction on behalf of a stage in the other one; changes nothing."""

    __slots__ = ("depth", "partner", "scanner")

    def __init__(self, partner: Stage, depth: int, scanner: Any) -> None:
        super().__init__(partner.armed, partner.seen, partner.connection, 0)
        self.partner = partner
        self.depth = depth
        self.scanner = scanner

    def marks(self, event: Event) -> bool:
        """True when the mark was found in this event: it is written into the memory of both directions."""
        if not isinstance(event, (Data, Datagram)) or self.scanner.find(event) is None:
            return False
        memory = self.partner.seen.connection
        for _ in range(self.depth):
            memory = memory.setdefault(_INNER, {})
        memory["mark"] = event.at
        return True


def _watchers(armed: Armed) -> list[tuple[int, Any]]:
    """What `when(..., direction=...)` looks for in the other direction, and how deep in the chain it stands."""
    watchers = getattr(armed.fault, "watchers", None)
    return watchers(armed.direction) if watchers else []


def opposite(direction: Direction) -> Direction:
    """The other direction."""
    return TO_CLIENT if direction == TO_SERVER else TO_SERVER


def _size(event: Event) -> int:
    return len(event.data) if isinstance(event, (Data, Datagram)) else 0


class Pipeline:
    """Both directions of one connection: `feed` it events, get what is to be carried out, and when.

    `key` is what tells this connection's random decisions from others': seed, node id, endpoint.
    """

    def __init__(self, number: int, key: tuple[object, ...] = (), identity: int | None = None) -> None:
        self.number = number
        self.identity = number if identity is None else identity
        self.key = key
        self.rows: dict[Direction, list[Stage]] = {direction: [] for direction in DIRECTIONS}
        self.fed: dict[Direction, int] = dict.fromkeys(DIRECTIONS, 0)

    def held_bytes(self, direction: Direction) -> int:
        """How many bytes wait in the holds of this direction."""
        return sum(stage.held_bytes for stage in self.rows[direction])

    def arm(self, armed: Armed) -> Stage:
        """Put a fault last in its row, without telling it that the connection is open."""
        key = (*self.key, self.number, armed.direction, repr(armed.fault), armed.ordinal)
        seen = Seen(self.number, armed.direction, Decisions(*key), {}, armed.shared)
        stage = Stage(armed, seen, self.identity, self.fed[armed.direction])
        self.rows[armed.direction].append(stage)
        other = opposite(armed.direction)
        for depth, scanner in _watchers(armed):
            self.rows[other].append(_Watch(stage, depth, scanner))
        return stage

    def open(self, now: float) -> list[Out]:
        """Tell every fault that the connection is open."""
        stages = [stage for direction in DIRECTIONS for stage in self.rows[direction]]
        return [out for stage in stages if type(stage) is Stage for out in self._poke(stage, Opened(now))]

    def add(self, armed: Armed, now: float) -> list[Out]:
        """Add a fault to a connection that is open already."""
        return self._poke(self.arm(armed), Opened(now))

    def wake(self, stage: Stage, at: float) -> list[Out]:
        """Bring a `Wake` back to the fault that yielded it."""
        return [] if stage.gone else self._poke(stage, Wake(at))

    def lift(self, armed: Armed, now: float) -> list[Out]:
        """Take a fault away; what it held goes on."""
        outs: list[Out] = []
        for stage in [s for row in self.rows.values() for s in row if s.armed is armed and type(s) is Stage]:
            outs += self._behind(stage, stage.lift(now))
        for direction, row in self.rows.items():
            self.rows[direction] = [s for s in row if s.armed is not armed or s.stays]
        return outs

    def feed(self, direction: Direction, event: Event) -> list[Out]:
        """Send an event through the row of its direction."""
        outs = self._run(direction, self.rows[direction], [Out(direction, event)])
        self.fed[direction] += 1 if isinstance(event, Datagram) else _size(event)
        return outs

    def _poke(self, stage: Stage, signal: Event) -> list[Out]:
        return self._behind(stage, stage.feed(signal))

    def _behind(self, stage: Stage, outs: list[Out]) -> list[Out]:
        row = self.rows[stage.armed.direction]
        return self._run(stage.armed.direction, row[row.index(stage) + 1 :], outs)

    def _run(self, direction: Direction, stages: list[Stage], outs: list[Out]) -> list[Out]:
        for stage in stages:
            outs = [done for out in outs for done in self._through(stage, direction, out)]
        return outs

    def _through(self, stage: Stage, direction: Direction, out: Out) -> list[Out]:
        if out.direction != direction or isinstance(out.event, Wake):
            return [out]
        if isinstance(stage, _Watch):
            return [out, *self._poke(stage.partner, Wake(out.event.at))] if stage.marks(out.event) else [out]
        return stage.feed(out.event, out.faults, out.fires)
