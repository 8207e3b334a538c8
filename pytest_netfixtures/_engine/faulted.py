"""The faults of one connection, or of one client of a UDP proxy, and what they still have to do.

Law: events go into the pipeline and what it yields is carried out when it is due. How a connection carries out traffic is
its own business; a fault that raises resets it, and one that holds up everything is named.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .._wire.entries import Direction, Fired
from .._wire.events import Event, Wake
from .._wire.pipeline import Armed, Fire, Out, Pipeline
from .._wire.seen import code_of
from .agenda import Agenda

if TYPE_CHECKING:
    from .proxy import Proxy

__all__ = ["Faulted"]

SLOW_FAULT = 0.5
"""A call of a fault that takes longer is reported by name: it holds up every server and proxy."""


class Faulted:
    """One connection between the faults of its proxy. For the engine's thread."""

    connected = True
    """Whether the faults have been told that it is open."""

    def __init__(self, proxy: Proxy, number: int) -> None:
        self._of = proxy
        self.id = proxy.scope.identity()
        self.opened_before = False
        self.engine = proxy.scope.engine
        self.book = proxy.scope.book
        self._pipeline = Pipeline(number, (*proxy.scope.key, proxy.name), self.id)
        for armed in proxy.armed:
            self._pipeline.arm(armed)
        self._agenda = Agenda(self.engine, self._do, self._carried_out, proxy.paused)
        self._asking = False

    @property
    def number(self) -> int:
        """Counts from 1; for those that were open when the proxy forgot, 0 and below. Faults go by it too."""
        return self._pipeline.number

    @number.setter
    def number(self, number: int) -> None:
        self._pipeline.number = number

    # What a connection says of itself.

    def cut(self, reset: bool) -> None:
        """End now; what waits is not delivered."""
        raise TypeError(f"{type(self).__name__} does not say how it is ended")

    def _act(self, direction: Direction, event: Event, faults: tuple[str, ...]) -> None:
        raise TypeError(f"{type(self).__name__} does not say what it does with traffic")

    def _carried_out(self) -> None:
        """The timer had something to do, or a fault was lifted."""

    # Events on their way.

    def _open_faults(self) -> None:
        """Tell the faults that the connection is open."""
        self._agenda.carry(self._ask(self._pipeline.open, time.monotonic()))

    def _feed(self, direction: Direction, event: Event) -> None:
        self._agenda.carry(self._ask(self._pipeline.feed, direction, event))

    def _ask(self, function: Callable[..., list[Out]], *args: Any) -> list[Out]:
        """Call into the faults; one that raises (pytest.fail() too) resets the connection and fails the test."""
        began = time.monotonic()
        self._asking = True
        try:
            outs = function(*args)
        except BaseException as error:
            self._of.scope.fail(error)
            self._of.scope.note(f"a fault raised {error!r}, so that the connection is reset", self.id)
            self.cut(reset=True)
            return []
        finally:
            self._asking = False
        self._tell_of_slowness(time.monotonic() - began)
        return outs

    def _tell_of_slowness(self, took: float) -> None:
        if took > SLOW_FAULT:
            faults = ", ".join(code_of(armed.fault) for armed in self._of.armed)
            self._of.scope.note(
                f"a call of a fault took {took:.1f} s and held up everything: one of {faults}", self.id
            )

    def _do(self, out: Out) -> None:
        for fire in out.fires:
            self._tell(fire)
        if not isinstance(out.event, Wake):
            self._act(out.direction, out.event, out.faults)
        elif out.stage is not None:
            self._agenda.carry(self._ask(self._pipeline.wake, out.stage, out.event.at))

    def _tell(self, fire: Fire) -> None:
        with self.book.lock:
            self.book.write(Fired(time.monotonic(), self.id, *fire))

    # What the proxy asks for.

    def add(self, armed: Armed) -> None:
        """A fault more, from now on; when a fault asks for it, as soon as that has answered."""
        if self._asking:
            self.engine.post(lambda: self.add(armed))
        elif self.connected:
            self._agenda.carry(self._ask(self._pipeline.add, armed, time.monotonic()))
        else:
            self._pipeline.arm(armed)

    def lift(self, armed: Armed) -> None:
        """A fault less; what it held goes on."""
        if self._asking:
            self.engine.post(lambda: self.lift(armed))
            return
        self._agenda.carry(self._ask(self._pipeline.lift, armed, time.monotonic()))
        self._carried_out()

    def pause(self, on: bool) -> None:
        """Carry nothing out, or go on."""
        self._agenda.pause(on)
