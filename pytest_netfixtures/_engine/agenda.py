"""What a connection still has to carry out, and when.

Law: what is due is done at once and in order, all else waits on the schedule for one timer, that of its head. While it is
paused nothing is done and nothing is lost. What doing means is the connection's business.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from .._wire.entries import DIRECTIONS, Direction
from .._wire.events import Data
from .._wire.pipeline import Out
from .._wire.schedule import Schedule
from .loop import Engine, Timer

__all__ = ["Agenda"]


class Agenda:
    """Calls `do(out)` when it is due, and `then()` when the timer had something to do. For the engine's thread."""

    def __init__(
        self, engine: Engine, do: Callable[[Out], object], then: Callable[[], object], paused: bool
    ) -> None:
        self.paused = paused
        self.waiting: dict[Direction, int] = dict.fromkeys(DIRECTIONS, 0)
        self._engine = engine
        self._do = do
        self._then = then
        self._schedule: Schedule[Out] = Schedule()
        self._timer: Timer | None = None
        self._timer_at = 0.0

    def carry(self, outs: Iterable[Out]) -> None:
        """Do what is due, and keep the rest."""
        for out in outs:
            if not self.paused and not len(self._schedule) and out.event.at <= time.monotonic():
                self._do(out)
            else:
                self._schedule.add(out.event.at, out)
                self.waiting[out.direction] += _size(out)
        self._run()

    def pause(self, on: bool) -> None:
        """Do nothing, or go on."""
        self.paused = on
        self._run()
        self._then()

    def clear(self) -> None:
        """Forget everything."""
        self._schedule.clear()
        self.waiting = dict.fromkeys(DIRECTIONS, 0)
        self._set_timer()

    def _run(self) -> None:
        while not self.paused and (entry := self._schedule.pop(time.monotonic())) is not None:
            self.waiting[entry[1].direction] -= _size(entry[1])
            self._do(entry[1])
        self._set_timer()

    def _set_timer(self) -> None:
        at = None if self.paused else self._schedule.next_at
        if self._timer is not None and (at is None or at < self._timer_at):
            self._timer.cancel()
            self._timer = None
        if at is not None and self._timer is None:
            self._timer, self._timer_at = self._engine.call_at(at, self._due), at

    def _due(self) -> None:
        self._timer = None
        self._run()
        self._then()


def _size(out: Out) -> int:
    return len(out.event.data) if isinstance(out.event, Data) else 0
