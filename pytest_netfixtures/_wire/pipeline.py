"""A row of faults, and an event's way through it.

Law: an event goes through the stages of its direction left to right, and everything a stage yields goes on through the
rest of the row at once; only its `at` says when it is carried out, which is somebody else's work. A stage keeps the
laws of the wire whatever its fault does: time never runs backwards within a stream, nothing follows an end, what is
held stays in order. A stage knows its fault by calling it, and by nothing else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .decisions import Decisions
from .effect import changed, describe, settled, traffic_of
from .entries import DIRECTIONS, TO_CLIENT, TO_SERVER, Direction
from .events import NEVER, Data, Datagram, Event, Fin, Lifted, Opened, Rst, Wake, size_of
from .scanner import Scanner
from .seen import Ask, Fault, Seen, ask, code_of, forget

__all__ = ["Armed", "Fault", "Fire", "Out", "Pipeline", "Seen", "Stage", "ask", "opposite"]


@dataclass(eq=False)
class Armed:
    """One fault in one direction of a proxy, with what all its connections share."""

    fault: Fault
    direction: Direction
    ordinal: int = 0
    shared: dict[Any, Any] = field(default_factory=dict)
    connections: set[int] = field(default_factory=set)
    datagrams: int = 0
    by_test: bool = False
    """Armed by a test, not by a fixture that outlives it."""

    @property
    def fired(self) -> int:
        """On how many connections (of a UDP proxy: datagrams) it has changed anything."""
        return self.datagrams or len(self.connections)

    def forget(self) -> None:
        """Begin afresh; connections that are open go on sharing one memory with those to come."""
        forget(self.shared)
        self.connections.clear()
        self.datagrams = 0


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
    """A fault's place in the row of one direction of one connection.

    A stage whose fault is lifted (`gone`) lets everything through, and stays in the row as long as what it let out is
    still on its way: later bytes must not overtake it. Nor do they overtake what was on its way (until `ahead`) when the
    fault was added, so that one that is added after it was lifted takes its place; only an end that the fault makes
    itself does not wait for that.
    """

    __slots__ = (
        *("ahead", "armed", "ask", "base", "code", "connection", "end", "gone"),
        *("held", "held_bytes", "last_at", "seen"),
    )

    def __init__(self, armed: Armed, seen: Seen, connection: int, base: int, ask: Ask = ask) -> None:
        self.armed = armed
        self.ask = ask
        self.seen = seen
        self.connection = connection
        self.base = base
        self.held: deque[tuple[Event, tuple[str, ...]]] = deque()
        self.held_bytes = 0
        self.last_at = self.ahead = -NEVER
        self.end: Fin | Rst | None = None
        self.gone = False
        self.code = code_of(armed.fault)

    def feed(self, event: Event, faults: tuple[str, ...] = (), fires: tuple[Fire, ...] = ()) -> list[Out]:
        """Give the fault an event; returns what goes on from here."""
        if self.gone:
            return self._tell(event, self._ordered([event], faults), fires)
        had, waited = self.seen.kept, self.seen.held
        before = self.seen.events if isinstance(event, Datagram) else self.seen.bytes - waited
        yielded = self.ask(self.armed.fault, event, self.seen)
        got, made = settled(event, yielded, had, self.seen.kept)
        if changed(got, traffic_of(made)):
            faults = (*faults, self.code)
            fires = (*fires, *self._fire(got, made, before, bool(waited and not had)))
        outs = self._ordered(traffic_of(yielded), faults, own=not isinstance(event, (Fin, Rst)))
        return self._tell(event, outs, fires) + self._wakes(event, yielded)

    def _wakes(self, event: Event, yielded: list[Event]) -> list[Out]:
        """The wake-up calls that were asked for; one that answers a wake-up call must be later than it."""
        after = event.at if isinstance(event, Wake) else -NEVER
        wakes = [out for out in yielded if isinstance(out, Wake) and out.at > after]
        return [Out(self.armed.direction, wake, stage=self) for wake in wakes]

    def _fire(self, event: Event, yielded: Sequence[Event], before: int, waited: bool) -> Iterator[Fire]:
        first = self.connection not in self.armed.connections
        if isinstance(event, Datagram):
            self.armed.datagrams += 1
        else:
            self.armed.connections.add(self.connection)
        if first or isinstance(event, Datagram):
            yield Fire(self.armed.direction, self.code, *describe(event, yielded, self.base + before, waited))

    def _tell(self, event: Event, outs: list[Out], fires: tuple[Fire, ...]) -> list[Out]:
        """Put the news before the end that it explains, or before everything when it is no end."""
        if not fires:
            return outs
        for index, out in enumerate(outs):
            if isinstance(out.event, (Fin, Rst)):
                outs[index] = out._replace(fires=fires)
                return outs
        return [Out(self.armed.direction, Wake(event.at), fires=fires), *outs]

    def _ordered(self, events: Iterable[Event], faults: tuple[str, ...], own: bool = False) -> list[Out]:
        outs = []
        for event in events:
            if isinstance(event, Data) and not event.data:
                continue
            if event.at == NEVER or (self.held and not isinstance(event, Datagram)):
                self.held.append((event, faults))
                self.held_bytes += size_of(event)
            elif (kept := self._in_order(event, own)) is not None:
                outs.append(Out(self.armed.direction, kept, faults))
        return outs

    def _in_order(self, event: Event, own: bool) -> Event | None:
        if isinstance(event, Datagram):
            return event
        at = max(event.at, self.last_at if own and isinstance(event, (Fin, Rst)) else self.latest)
        if self.end is not None and at >= self.end.at and not self._resets_the_rest(event):
            return None
        event = event if at == event.at else event.moved(at)
        if isinstance(event, (Fin, Rst)):
            self.end = event if self.end is None else event.moved(min(at, self.end.at))
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
            outs += self._ordered([event.moved(max(at, self.ahead))], faults)
        self.gone = not self.seen.stays
        return outs

    @property
    def latest(self) -> float:
        """When the last of what is on its way in front of later bytes arrives."""
        return max(self.last_at, self.ahead)

    def spent(self, now: float, behind: Stage | None) -> bool:
        """Whether the fault is lifted and what it let out has arrived, or one that came later lets nothing overtake it."""
        kept_back = behind is not None and behind.ahead >= self.latest
        return self.gone and self.end is None and (self.latest <= now or kept_back)


class _Watch:
    """Looks for a mark in one direction on behalf of a stage in the other one; changes nothing."""

    __slots__ = ("depth", "partner", "scanner")

    def __init__(self, partner: Stage, depth: int, scanner: Scanner) -> None:
        self.partner = partner
        self.depth = depth
        self.scanner = scanner

    def marks(self, event: Event) -> bool:
        """Whether the mark is in this event; then the memory of both directions is told."""
        if not isinstance(event, (Data, Datagram)) or self.scanner.find(event) is None:
            return False
        self.partner.seen.connection_at(self.depth)["mark"] = event.at
        return True


def _watchers(armed: Armed) -> list[tuple[int, Scanner]]:
    """What `when(..., direction=...)` looks for in the other direction, and how deep in the chain it stands."""
    watchers = getattr(armed.fault, "watchers", None)
    return watchers(armed.direction) if watchers else []


def opposite(direction: Direction) -> Direction:
    """The other direction."""
    return TO_CLIENT if direction == TO_SERVER else TO_SERVER


class Pipeline:
    """Both directions of one connection: `feed` it events, get what is to be carried out, and when.

    `key` is what tells this connection's random decisions from others': seed, node id, endpoint. A row ends with those
    who look for a mark: they see what is really sent on.
    """

    def __init__(
        self, number: int, key: tuple[object, ...] = (), identity: int | None = None, ask: Ask = ask
    ) -> None:
        self.number = number
        self.ask = ask
        self.identity = number if identity is None else identity
        self.key = key
        self.rows: dict[Direction, list[Stage | _Watch]] = {direction: [] for direction in DIRECTIONS}
        self.fed: dict[Direction, int] = dict.fromkeys(DIRECTIONS, 0)

    def _stages(self, direction: Direction) -> list[Stage]:
        """The faults of a row, without those that are lifted."""
        return [stage for stage in self.rows[direction] if isinstance(stage, Stage) and not stage.gone]

    def held_bytes(self, direction: Direction) -> int:
        """How many bytes wait in the holds and faults of this direction."""
        return sum(stage.held_bytes + stage.seen.held for stage in self._stages(direction))

    def arm(self, armed: Armed) -> Stage:
        """Put a fault last in its row, without telling it that the connection is open."""
        key = (*self.key, self.number, armed.direction, code_of(armed.fault), armed.ordinal)
        seen = Seen(self.number, armed.direction, Decisions(*key), self._both_ways(armed), armed.shared)
        stage = Stage(armed, seen, self.identity, self._passed(armed.direction), self.ask)
        row = self.rows[armed.direction]
        row.insert(sum(isinstance(other, Stage) for other in row), stage)
        watches = [_Watch(stage, depth, scanner) for depth, scanner in _watchers(armed)]
        self.rows[opposite(armed.direction)].extend(watches)
        return stage

    def _both_ways(self, armed: Armed) -> dict[Any, Any]:
        """The memory that the same fault has in the other direction of this connection, or a new one."""
        for stage in self._stages(opposite(armed.direction)):
            if stage.armed.fault is armed.fault and stage.armed.ordinal == armed.ordinal:
                return stage.seen.connection
        return {}

    def _passed(self, direction: Direction) -> int:
        """How many bytes (datagrams) have gone in and are not held."""
        held = sum(_units(e) for s in self._stages(direction) for e, _ in s.held)
        return self.fed[direction] - held - sum(s.seen.held for s in self._stages(direction))

    def open(self, now: float) -> list[Out]:
        """Tell every fault that the connection is open."""
        stages = [stage for direction in DIRECTIONS for stage in self._stages(direction)]
        return _wakes_last([out for stage in stages for out in self._poke(stage, Opened(now))])

    def add(self, armed: Armed, now: float) -> list[Out]:
        """Add a fault to a connection that is open already."""
        stages = [stage for stage in self.rows[armed.direction] if isinstance(stage, Stage)]
        added = self.arm(armed)
        added.ahead = max((stage.latest for stage in stages), default=-NEVER)
        self._sweep(now)
        return _wakes_last(self._poke(added, Opened(now)))

    def wake(self, stage: Stage, at: float) -> list[Out]:
        """Bring a `Wake` back to the fault that yielded it."""
        return [] if stage.gone else _wakes_last(self._poke(stage, Wake(at)))

    def lift(self, armed: Armed, now: float) -> list[Out]:
        """Take a fault away; what it held goes on."""
        outs: list[Out] = []
        for stage in self._stages(armed.direction):
            if stage.armed is armed:
                outs += self._behind(stage, stage.lift(now))
        self._sweep(now)
        return _wakes_last(outs)

    def drop(self) -> None:
        """It is over: forget what is held."""
        for stage in self._stages(TO_SERVER) + self._stages(TO_CLIENT):
            stage.held.clear()
            stage.held_bytes = 0

    def _sweep(self, now: float) -> None:
        """Forget the faults that are lifted and have nothing on its way, and those who look on behalf of them."""
        for way, row in self.rows.items():
            stages = [stage for stage in row if isinstance(stage, Stage)]
            pairs = zip(stages, [*stages[1:], None], strict=False)
            spent = [stage for stage, behind in pairs if stage.spent(now, behind)]
            row[:] = [s for s in row if not (s in spent if isinstance(s, Stage) else s.partner.gone)]
            latest = max((stage.latest for stage in spent), default=-NEVER)
            for stage in self._stages(way):  # an overdue wake-up call must not overtake what they let out
                stage.last_at = max(stage.last_at, min(latest, now))

    def feed(self, direction: Direction, event: Event) -> list[Out]:
        """Send an event through the row of its direction."""
        row = self.rows[direction]
        outs = (
            _wakes_last(self._run(direction, row, [Out(direction, event)]))
            if row
            else [Out(direction, event)]
        )
        self.fed[direction] += _units(event)
        return outs

    def _poke(self, stage: Stage, signal: Event) -> list[Out]:
        return self._behind(stage, stage.feed(signal))

    def _behind(self, stage: Stage, outs: list[Out]) -> list[Out]:
        row = self.rows[stage.armed.direction]
        return self._run(stage.armed.direction, row[row.index(stage) + 1 :], outs)

    def _run(self, direction: Direction, stages: list[Stage | _Watch], outs: list[Out]) -> list[Out]:
        for stage in stages:
            outs = [done for out in outs for done in self._through(stage, direction, out)]
        return outs

    def _through(self, stage: Stage | _Watch, direction: Direction, out: Out) -> list[Out]:
        if out.direction != direction or isinstance(out.event, Wake):
            return [out]
        if isinstance(stage, _Watch):
            return self._watched(stage, out)
        return stage.feed(out.event, out.faults, out.fires)

    def _watched(self, watch: _Watch, out: Out) -> list[Out]:
        """What is sent on, whole, then what the fault of the other direction does: the request gets through."""
        return [out, *self._poke(watch.partner, Wake(out.event.at))] if watch.marks(out.event) else [out]


def _units(event: Event) -> int:
    """What offsets count: bytes of a stream, or datagrams."""
    return 1 if isinstance(event, Datagram) else size_of(event)


def _wakes_last(outs: list[Out]) -> list[Out]:
    """Wake-up calls behind the traffic of one turn, so that what they lead to cannot overtake it."""
    return sorted(outs, key=lambda out: out.stage is not None)
