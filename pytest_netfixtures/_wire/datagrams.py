"""The faults that only datagrams know: lost, twice, out of order, too long.

Law: as in `streams.py`: frozen values that yield events. What chance decides of a datagram depends on its number alone, never
on its size or its time. What belongs to a stream goes through as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from .._errors import is_for_the_user
from .checks import check_count, check_flag, check_rate, check_seconds
from .effect import is_signal
from .events import Datagram, Event
from .narrowing import Narrowable
from .seen import Seen

__all__ = ["BurstLoss", "Duplicate", "Loss", "MaxSize", "Reorder"]

__tracebackhide__ = is_for_the_user


@dataclass(frozen=True, repr=False)
class _OfDatagrams(Narrowable):
    """A fault that only datagrams can have."""

    def __call__(self, event: Event, seen: Seen) -> Iterable[Event]:
        if isinstance(event, Datagram):
            return self._made_of(event, seen)
        return () if is_signal(event) else (event,)

    def _made_of(self, event: Datagram, seen: Seen) -> Iterable[Event]:
        raise TypeError(f"{type(self).__name__} does not say what becomes of a datagram")

    def unfit(self, transport: str) -> str | None:
        return None if transport == "udp" else self._instead()

    def _instead(self) -> str:
        """What to write for a stream."""
        raise TypeError(f"{type(self).__name__} does not say what to write for a stream")


@dataclass(frozen=True, repr=False)
class _Rated(_OfDatagrams):
    """Decides datagram by datagram, each with the same probability."""

    rate: float

    def __post_init__(self) -> None:
        check_rate("rate", self.rate)

    def by_chance(self) -> bool:
        return self.rate < 1

    def _made_of(self, event: Datagram, seen: Seen) -> Iterable[Event]:
        return self._chosen(event) if seen.decisions.chance(seen.events) < self.rate else (event,)

    def _chosen(self, event: Datagram) -> Iterable[Event]:
        raise TypeError(f"{type(self).__name__} does not say what becomes of a chosen datagram")


@dataclass(frozen=True, repr=False)
class Loss(_Rated):
    """Some datagrams never arrive, each decided by itself. Works on datagrams alone; `BurstLoss` loses several in a row.

    `rate`: the share that is lost, above 0 up to 1, decided per number of the datagram from the seed.

    Lifted: what is lost stays lost.

    Raises TypeError or ValueError for a rate that is none.

    >>> Loss(0.1)
    Loss(rate=0.1)

        sent       |a b c d e
        delivered  |a b   d e
    """

    def _chosen(self, event: Datagram) -> Iterable[Event]:
        return ()

    def _instead(self) -> str:
        return _AGAIN


@dataclass(frozen=True, repr=False)
class BurstLoss(_OfDatagrams):
    """Datagrams are lost in bursts, after the model of Gilbert and Elliott. Works on datagrams alone.

    The line is good or bad. Each datagram is first lost or not, as the present state has it; then the state may change,
    before the next one. All four are probabilities, decided per number of the datagram from the seed:

    `to_bad`: that a good line turns bad, above 0 up to 1. `to_good`: that a bad one turns good, above 0 up to 1.
    `loss_in_bad`: that a datagram is lost while the line is bad, above 0 up to 1. `loss_in_good`: while it is good, 0 up
    to 1.

    The line is bad for to_bad / (to_bad + to_good) of the datagrams, so that
    (to_bad * loss_in_bad + to_good * loss_in_good) / (to_bad + to_good) of them are lost. It stays bad for 1 / to_good
    datagrams on average: with the defaults, the mean length of a burst. These are p, r, 1-h and 1-k of `loss gemodel` in
    tc-netem(8), which writes them in percent. There the line begins good; here each session meets a line that has long
    been in use, and begins bad with that share, so that clients with a new port for each question meet bursts too.

    Lifted: what is lost stays lost.

    Raises TypeError or ValueError for a probability that is none.

    >>> BurstLoss(to_bad=0.01, to_good=0.25)
    BurstLoss(to_bad=0.01, to_good=0.25)

        sent       |a b c d e f g
        delivered  |a b       f g
    """

    to_bad: float
    to_good: float
    loss_in_bad: float = 1.0
    loss_in_good: float = 0.0

    def __post_init__(self) -> None:
        check_rate("to_bad", self.to_bad)
        check_rate("to_good", self.to_good)
        check_rate("loss_in_bad", self.loss_in_bad)
        check_rate("loss_in_good", self.loss_in_good, zero=True)

    def by_chance(self) -> bool:
        return self.loss_in_good < 1

    def _made_of(self, event: Datagram, seen: Seen) -> Iterable[Event]:
        bad: bool = seen.memory["bad"] if "bad" in seen.memory else self._begins_bad(seen)
        lost = _chance(seen, "lost") < (self.loss_in_bad if bad else self.loss_in_good)
        turns = _chance(seen, "turns") < (self.to_good if bad else self.to_bad)
        seen.memory["bad"] = bad != turns
        return () if lost else (event,)

    def _begins_bad(self, seen: Seen) -> bool:
        return _chance(seen, "begins") < self.to_bad / (self.to_bad + self.to_good)

    def _instead(self) -> str:
        return _AGAIN


@dataclass(frozen=True, repr=False)
class Duplicate(_Rated):
    """Some datagrams arrive twice, one right after the other. Works on datagrams alone.

    `rate`: the share that arrives twice, above 0 up to 1, decided per number of the datagram from the seed.

    Lifted: what is on its way arrives as often as decided.

    Raises TypeError or ValueError for a rate that is none.

    >>> Duplicate(0.1)
    Duplicate(rate=0.1)

        sent       |a b  c
        delivered  |a bb c
    """

    def _chosen(self, event: Datagram) -> Iterable[Event]:
        return (event, event)

    def _instead(self) -> str:
        return "TCP hands over each byte once, however often it was sent; write Delay(...) for bytes that come late"


@dataclass(frozen=True, repr=False)
class Reorder(_Rated):
    """Some datagrams come late, so that those behind them overtake. Works on datagrams alone.

    `rate`: the share that comes late, above 0 up to 1, decided per number of the datagram from the seed. `seconds`: how late,
    more than 0. A datagram is overtaken by what is sent within these seconds and is not chosen itself: where the next one
    comes later than that, everything stays in order.

    Lifted: what is on its way keeps its time.

    Raises TypeError or ValueError for a rate that is none, and for a time that is not more than 0.

    >>> Reorder(0.1, seconds=0.05)
    Reorder(rate=0.1, seconds=0.05)

        sent       |a b c d
        delivered  |a   c b d
    """

    seconds: float

    def __post_init__(self) -> None:
        super().__post_init__()
        check_seconds("seconds", self.seconds, positive=True)

    def _chosen(self, event: Datagram) -> Iterable[Event]:
        return (event.moved(event.at + self.seconds),)

    def _instead(self) -> str:
        return "TCP puts its segments back in order, so that a receiver only sees bytes late; write Delay(...) with jitter"


@dataclass(frozen=True, repr=False)
class MaxSize(_OfDatagrams):
    """Datagrams that are too long vanish, or arrive cut: a path with a small MTU. Works on datagrams alone.

    `size`: the longest that arrives whole, 1 or more bytes of payload. `cut`: a longer one arrives as its first `size`
    bytes, instead of not at all.

    Lifted: what vanished or was cut stays so.

    Raises TypeError or ValueError for a size below 1.

    >>> MaxSize(512)
    MaxSize(size=512)

        sent       |ab abcd c
        delivered  |ab      c
    """

    size: int
    cut: bool = False

    def __post_init__(self) -> None:
        check_count("size", self.size, least=1)
        check_flag("cut", self.cut)

    def _made_of(self, event: Datagram, seen: Seen) -> Iterable[Event]:
        if len(event.data) <= self.size:
            return (event,)
        return (replace(event, data=event.data[: self.size]),) if self.cut else ()

    def _instead(self) -> str:
        return f"a stream has no sizes; write Slice({self.size}) for small pieces"


_AGAIN = (
    "TCP sends a lost segment again, so that a receiver only sees it late; "
    "write Retransmit(rate), or Stall() or Drop() for silence"
)


def _chance(seen: Seen, question: str) -> float:
    """One of the two decisions about the present datagram."""
    return seen.decisions.chance(seen.events, question)
