"""Whether a fault has done something, and what, in words.

Law: a fault has fired when what it yielded differs from what it got in bytes, time, count or end. This file compares
events; it decides nothing and knows no fault.
"""

from __future__ import annotations

from collections.abc import Sequence

from .events import NEVER, Data, Datagram, Event, Fin, Lifted, Opened, Rst, Wake

__all__ = ["changed", "describe", "is_signal", "traffic_of"]

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


def describe(event: Event, outs: Sequence[Event], before: int) -> tuple[str, int]:
    """What was done, in words, and the first byte (datagram) that it was done to.

    `before` is the number of bytes (datagrams) that had gone through before `event`.
    """
    if isinstance(event, Datagram):
        return _of_datagram(event, outs, before)
    offset = before + _common(event, outs)
    for out in outs:
        if isinstance(out, (Fin, Rst)) and not isinstance(event, type(out)):
            return f"{_name(out)} after byte {offset}", offset
    return _of_stream(event, outs, offset)


def _name(end: Fin | Rst) -> str:
    return "RST" if isinstance(end, Rst) else "FIN"


def _bytes(outs: Sequence[Event]) -> bytes:
    return b"".join(out.data for out in outs if isinstance(out, (Data, Datagram)))


def _common(event: Event, outs: Sequence[Event]) -> int:
    """How many bytes went through as they were, at once."""
    data = event.data if isinstance(event, Data) else b""
    count = 0
    for out in outs:
        if not isinstance(out, Data) or out.at != event.at or not data.startswith(out.data, count):
            break
        count += len(out.data)
    return count


def _of_stream(event: Event, outs: Sequence[Event], offset: int) -> tuple[str, int]:
    what = f"{_name(event)} " if isinstance(event, (Fin, Rst)) else ""
    if any(out.at == NEVER for out in outs):
        return f"{what}held from byte {offset}", offset
    given = event.data if isinstance(event, Data) else b""
    if len(_bytes(outs)) < len(given) or not outs:
        return f"{what}lost from byte {offset}", offset
    if _bytes(outs) != given:
        return f"changed from byte {offset}", offset
    late = max((out.at for out in outs), default=event.at) - event.at
    if sum(isinstance(out, Data) for out in outs) > 1:
        return f"in {len(outs)} pieces, the last {late:g} s late, from byte {offset}", offset
    return f"{what}late by {late:g} s from byte {offset}", offset


def _of_datagram(event: Datagram, outs: Sequence[Event], number: int) -> tuple[str, int]:
    label = f"datagram {number + 1}"
    if not outs:
        return f"{label} lost", number
    if len(outs) > 1:
        return f"{label} sent {len(outs)} times", number
    if _bytes(outs) != event.data:
        return f"{label} changed", number
    return (f"{label} held" if outs[0].at == NEVER else f"{label} late by {outs[0].at - event.at:g} s"), number
