"""What a connection still has to carry out, and when.

Law: what is due is done at once and in order, all else waits on the schedule for one timer, that of its head. While it is
paused nothing is done and nothing is lost. What comes of doing something is done after it, never within it: a long row of
wake-up calls that are overdue must not become a deep one. What doing means is the connection's business.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from .._wire.entries import DIRECTIONS, Direction
from .._wire.events import size_of
from .._wire.pipeline import Out
from .._wire.schedule import Schedule
from .loop import Engine, Timer

__all__ = ["Agenda"]

MOST_AT_ONCE = 1000
"""After so many the others have their turn: a fault may ask for more wake-up calls than there is time for."""


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
        self.over = False
        self._busy = False

    @property
    def idle(self) -> bool:
        """Whether there is nothing left to do."""
        return not len(self._schedule)

    def carry(self, outs: Iterable[Out]) -> None:
        """Do what is due, and keep the rest."""
        for out in outs:
            if self.over:
                break
            if self._is_free() and self.idle and out.event.at <= time.monotonic():
                self._act(out)
            else:
                self._schedule.add(out.event.at, out)
                self.waiting[out.direction] += size_of(out.event)
        self._run()

    def pause(self, on: bool) -> None:
        """Do nothing, or go on."""
        self.paused = on
        self._run()
        self._then()

    def clear(self) -> None:
        """Forget everything, and all that comes from now on."""
        self.over = True
        self._schedule.clear()
        self.waiting = dict.fromkeys(DIRECTIONS, 0)
        self._set_timer()

    def _is_free(self) -> bool:
        return not self.paused and not self._busy

    def _act(self, out: Out) -> None:
        self._busy = True
        try:
            self._do(out)
        finally:
            self._busy = False

    def _run(self) -> None:
        for _ in range(MOST_AT_ONCE):
            if not self._is_free() or (entry := self._schedule.pop(time.monotonic())) is None:
                break
            self.waiting[entry[1].direction] -= size_of(entry[1].event)
            self._act(entry[1])
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
