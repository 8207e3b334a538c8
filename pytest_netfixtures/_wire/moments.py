"""From when on a narrowed fault acts: from a time on, or from a match on.

Law: before that moment everything goes through and the fault inside hears nothing; it is then told that the connection is
open, once, and gets all that follows. What has to be remembered is in `seen.memory`: "open" is the time of that moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from .effect import is_signal, traffic_of
from .events import NEVER, Data, Datagram, Event, Opened, Wake
from .scanner import Scanner
from .seen import Fault, Seen, apply

__all__ = ["from_mark", "from_match", "from_time", "through"]


def through(event: Event) -> tuple[Event, ...]:
    """Signals are meant for the fault alone; all else goes on."""
    return () if is_signal(event) else (event,)


def _open(fault: Fault, at: float, seen: Seen) -> Iterable[Event]:
    seen.memory["open"] = at
    return apply(fault, Opened(at), seen.inner())


def _has_come(event: Event, seen: Seen) -> bool:
    """Whether this event is one for the fault inside."""
    return "open" in seen.memory and (is_signal(event) or event.at >= seen.memory["open"])


# From a time on.


def from_time(fault: Fault, seconds: float, event: Event, seen: Seen) -> Iterator[Event]:
    """What becomes of an event where `fault` acts so many seconds after it was told that the connection is open."""
    if isinstance(event, Opened):
        yield from _wait(fault, event.at, event.at + seconds, seen)
    elif isinstance(event, Wake) and _is_awaited(event, seen):
        del seen.memory["awaited"]
        yield from _in_time(fault, event, seen)
    else:
        yield from () if is_signal(event) else _in_time(fault, event, seen)
        yield from apply(fault, event, seen.inner()) if _has_come(event, seen) else through(event)


def _wait(fault: Fault, now: float, then: float, seen: Seen) -> Iterator[Event]:
    """The time counts from the first such call."""
    if "then" in seen.memory:
        return
    seen.memory["then"] = then
    if then <= now:
        yield from _open(fault, then, seen)
        return
    seen.memory["awaited"] = then
    yield Wake(then)


def _is_awaited(event: Wake, seen: Seen) -> bool:
    """Whether the fault outside has asked for this call; any other is for the fault inside."""
    return event.at == seen.memory.get("awaited")


def _in_time(fault: Fault, event: Event, seen: Seen) -> Iterable[Event]:
    """Open the fault inside when its time has come with this event, which may be before the call that was asked for."""
    if "open" in seen.memory or event.at < seen.memory.get("then", NEVER):
        return ()
    return _open(fault, seen.memory["then"], seen)


# From a match on, in the direction of the fault.


def from_match(fault: Fault, new_scanner: Callable[[], Scanner], event: Event, seen: Seen) -> Iterable[Event]:
    """What becomes of an event where `fault` acts from the end of a match on."""
    if _has_come(event, seen):
        return apply(fault, event, seen.inner())
    if isinstance(event, (Data, Datagram)):
        scanner = seen.memory.get("scanner") or seen.memory.setdefault("scanner", new_scanner())
        return _look(fault, scanner, event, seen)
    return through(event)


def _look(fault: Fault, scanner: Scanner, event: Data | Datagram, seen: Seen) -> Iterator[Event]:
    end = scanner.find(event)
    if end is None or isinstance(event, Datagram):
        yield event
    if end is not None:
        yield from _split(fault, event, end, seen)


def _split(fault: Fault, event: Data | Datagram, end: int, seen: Seen) -> Iterable[Event]:
    """The match goes through; what follows it is the fault's."""
    outs = list(_open(fault, event.at, seen))
    if isinstance(event, Datagram):
        return outs
    rest = [Data(event.at, event.data[end:])] if event.data[end:] else []
    for part in rest:
        outs += apply(fault, part, seen.inner())
    if traffic_of(outs) == rest:
        return [event, *(out for out in outs if is_signal(out))]
    return [Data(event.at, event.data[:end]), *outs]


# From a match on, in the other direction: somebody else looks, and leaves a mark.


def from_mark(fault: Fault, event: Event, seen: Seen) -> Iterable[Event]:
    """What becomes of an event where `fault` acts from a mark on that was found in the other direction."""
    if isinstance(event, (Opened, Wake)) and "open" not in seen.memory and "mark" in seen.connection:
        return _open(fault, max(seen.connection["mark"], event.at), seen)
    return apply(fault, event, seen.inner()) if _has_come(event, seen) else through(event)
