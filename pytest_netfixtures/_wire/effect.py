"""Whether a fault has done something, and what, in words.

Law: a fault has fired when what it yielded differs from what it got in bytes, time, count or end. This file compares
events; it decides nothing and knows no fault.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import takewhile

from .events import NEVER, Data, Datagram, Event, Fin, Lifted, Opened, Rst, Wake

__all__ = ["changed", "describe", "is_signal", "settled", "traffic_of"]

_Signal = (Opened, Wake, Lifted)


def is_signal(event: Event) -> bool:
    """Whether the event only tells a fault something and is never carried out."""
    return isinstance(event, _Signal)


def traffic_of(events: Sequence[Event]) -> list[Event]:
    """The events that are carried out."""
    return [event for event in events if not isinstance(event, _Signal)]


def changed(event: Event, outs: Sequence[Event]) -> bool:
    """Whether `outs`, without signals, is anything else than `event` alone."""
    if isinstance(event, _Signal):
        return bool(outs) and not isinstance(event, Lifted)
    return len(outs) != 1 or outs[0] != event


def settled(event: Event, outs: Sequence[Event], had: bytes, keeps: bytes) -> tuple[Event, Sequence[Event]]:
    """The event with the bytes that the fault had kept back, and what it made of all of that with those it keeps now."""
    if not (had or keeps) or isinstance(event, (Datagram, Lifted)):
        return event, outs
    given, made = had + (event.data if isinstance(event, Data) else b""), _bytes(outs) + keeps
    ends = [out for out in outs if isinstance(out, (Fin, Rst))]
    if isinstance(event, (Fin, Rst)):
        return event, ends if made == given else outs
    return Data(event.at, given), [Data(event.at, made), *ends]


def describe(event: Event, outs: Sequence[Event], before: int, waited: bool = False) -> tuple[str, int]:
    """What was done, in words, and the first byte (datagram) that it was done to.

    `before` is the number of bytes (datagrams) that had gone through before `event`; `waited` says that some more had
    come, and that the fault had kept them. A `Wake` among `outs` tells what is kept for later from what is lost.
    """
    later, outs = any(isinstance(out, Wake) for out in outs), traffic_of(outs)
    if isinstance(event, Datagram):
        return _of_datagram(event, outs, before, later)
    for index, out in enumerate(outs):
        if isinstance(out, (Fin, Rst)) and not isinstance(event, type(out)):
            offset = before + len(_bytes(outs[:index]))
            return f"{_name(out)} after byte {offset}", offset
    if waited and not isinstance(event, Data):
        return f"held from byte {before}", before
    return _of_stream(event, outs, before, later or waited)


def _name(end: Fin | Rst) -> str:
    return "RST" if isinstance(end, Rst) else "FIN"


def _bytes(outs: Sequence[Event]) -> bytes:
    return b"".join(out.data for out in outs if isinstance(out, (Data, Datagram)))


def _untouched(event: Event, outs: Sequence[Event]) -> int:
    """How many bytes went through as they were, at once."""
    given = event.data if isinstance(event, Data) else b""
    at_once = _bytes(list(takewhile(lambda out: isinstance(out, Data) and out.at == event.at, outs)))
    both = range(min(len(given), len(at_once)))
    return bisect_left(both, True, key=lambda last: given[: last + 1] != at_once[: last + 1])


def _is_within(some: bytes, more: bytes) -> bool:
    """Whether `some` is what is left when bytes are taken out of `more`."""
    rest = iter(more)
    return more.endswith(some) or all(byte in rest for byte in some)


def _of_stream(event: Event, outs: Sequence[Event], before: int, later: bool) -> tuple[str, int]:
    what = f"{_name(event)} " if isinstance(event, (Fin, Rst)) else ""
    offset = before + _untouched(event, outs)
    given, made = event.data if isinstance(event, Data) else b"", _bytes(outs)
    fewer = len(made) < len(given) or not outs
    if any(out.at == NEVER for out in outs) or (fewer and later):
        return f"{what}held from byte {offset}", offset
    same = offset - before
    if fewer and _is_within(made[same:], given[same:]):
        return f"{what}lost from byte {offset}", offset
    if made != given:
        added = len(made) > len(given) and _is_within(given[same:], made[same:])
        return (f"bytes added at byte {offset}" if added else f"changed from byte {offset}"), offset
    return _of_times(what, event, outs, before, offset)


def _of_times(what: str, event: Event, outs: Sequence[Event], before: int, offset: int) -> tuple[str, int]:
    """The same bytes: late, or in pieces."""
    late = max(out.at for out in outs) - event.at
    pieces = [out for out in outs if isinstance(out, Data)]
    if len(pieces) > 1 and sum(out.at != event.at for out in pieces) != 1:
        return f"in {len(pieces)} pieces, the last {late:g} s late, from byte {before}", before
    return (
        f"{what}late by {late:g} s from byte {offset}" if late else f"{what}changed from byte {offset}"
    ), offset


def _of_datagram(event: Datagram, outs: Sequence[Event], number: int, later: bool) -> tuple[str, int]:
    label = f"datagram {number}"
    if not outs:
        return f"{label} {'held' if later else 'lost'}", number
    if len(outs) > 1:
        same = all(isinstance(out, Datagram) and out.data == event.data for out in outs)
        return (f"{label} sent {len(outs)} times" if same else f"datagram added beside {label}"), number
    if (made := _bytes(outs)) != event.data:
        cut = len(made) < len(event.data) and event.data.startswith(made)
        return f"{label} " + (f"cut to {len(made)} of {len(event.data)} bytes" if cut else "changed"), number
    late = outs[0].at - event.at
    return (f"{label} held" if late == NEVER else f"{label} late by {late:g} s"), number
