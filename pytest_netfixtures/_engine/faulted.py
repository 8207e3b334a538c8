"""The faults of one connection, or of one client of a UDP proxy, and what they still have to do.

Law: events go into the pipeline and what it yields is carried out when it is due. How a connection carries out traffic is
its own business; a fault that raises resets it, and one that holds up everything is named.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .._wire.entries import DIRECTIONS, Address, Direction, Fired, LegFailed, Side
from .._wire.events import Event, Wake
from .._wire.pipeline import Armed, Fault, Fire, Out, Pipeline, Seen, ask
from .._wire.seen import code_of
from .agenda import Agenda

if TYPE_CHECKING:
    from .proxy import Proxy

__all__ = ["ArmedBeneath", "Faulted"]

SLOW_FAULT = 0.5
"""A call of a fault that takes longer is reported by name: it holds up every server and proxy."""


class ArmedBeneath(Armed):
    """One on the cipher text, beneath TLS."""


class Faulted:
    """One connection between the faults of its proxy. For the engine's thread."""

    connected = True
    """Whether the faults have been told that it is open."""

    ending = "the connection is reset"
    """What becomes of it when a fault raises."""

    def __init__(self, proxy: Proxy, peer: Address, number: int, above: Faulted | None = None) -> None:
        """With `above`: the faults beneath the TLS of that connection."""
        self.proxy = proxy
        self.peer = peer
        self._upstream: tuple[str, int] = ("", 0)
        self._local: tuple[str, int] = ("", 0)
        self._sent = dict.fromkeys(DIRECTIONS, 0)
        self._delivered = dict.fromkeys(DIRECTIONS, 0)
        self.id: int = proxy.scope.identity() if above is None else above.id
        self.opened_before = False
        self.engine = proxy.scope.engine
        self.book = proxy.scope.book
        key = (*proxy.scope.key, proxy.name, *(() if above is None else ("beneath_tls",)))
        self._pipeline = Pipeline(number, key, self.id, self._ask_timed)
        for armed in proxy.armed if above is None else proxy.beneath:
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

    @property
    def open(self) -> bool:
        """Whether it still exists."""
        raise TypeError(f"{type(self).__name__} does not say whether it is open")

    def cut(self, reset: bool) -> None:
        """End now; what waits is not delivered."""
        raise TypeError(f"{type(self).__name__} does not say how it is ended")

    def _act(self, direction: Direction, event: Event, faults: tuple[str, ...]) -> None:
        raise TypeError(f"{type(self).__name__} does not say what it does with traffic")

    def _rest(self, on: bool) -> None:
        """Hold what was handed over already, or go on."""

    def _carried_out(self) -> None:
        """The timer had something to do, or a fault was lifted."""

    # Its legs.

    def _entry_of_leg(self, kind: type[Any], leg: Side, *before: bool) -> Any:
        client, server = (
            (self.peer[:2], self.proxy.address) if leg == "client" else (self._local, self._upstream)
        )
        what = (self.proxy.name, self.number, leg, self.proxy.transport)
        return kind(time.monotonic(), self.id, *what, client, server, *before)

    def _failed(self, reason: str, refused: bool) -> None:
        with self.book.lock:
            self.book.write(LegFailed(time.monotonic(), self.id, "server", refused, reason))

    # Events on their way.

    def _open_faults(self) -> None:
        """Tell the faults that the connection is open."""
        self._agenda.carry(self._ask(self._pipeline.open, time.monotonic()))

    def _feed(self, direction: Direction, event: Event) -> None:
        self._agenda.carry(self._ask(self._pipeline.feed, direction, event))

    def _ask(self, function: Callable[..., list[Out]], *args: Any) -> list[Out]:
        """Call into the faults; one that raises (pytest.fail() too) resets the connection and fails the test."""
        in_callback, self.engine.in_callback = self.engine.in_callback, True
        self._asking = True
        try:
            return function(*args)
        except BaseException as error:
            self.proxy.scope.fail(error)
            self.proxy.scope.note(f"a fault raised {error!r}, so that {self.ending}", self.id)
            self.cut(reset=True)
            return []
        finally:
            self._asking = False
            self.engine.in_callback = in_callback

    def _ask_timed(self, fault: Fault, event: Event, seen: Seen) -> list[Event]:
        """Ask one fault; one that is slow is named."""
        began = time.monotonic()
        try:
            return ask(fault, event, seen)
        finally:
            took = time.monotonic() - began
            if took > SLOW_FAULT:
                text = f"a call of {code_of(fault)} {seen.direction} took {took:.1f} s and held up everything"
                self.proxy.scope.note(text, self.id)

    def _do(self, out: Out) -> None:
        for fire in out.fires:
            self._tell(fire)
        if not isinstance(out.event, Wake):
            self._act(out.direction, out.event, out.faults)
        elif out.stage is not None and self.open:
            self._agenda.carry(self._ask(self._pipeline.wake, out.stage, out.event.at))

    def _tell(self, fire: Fire) -> None:
        with self.book.lock:
            self.book.write(Fired(time.monotonic(), self.id, *fire))

    # What the proxy asks for.

    def add(self, armed: Armed) -> None:
        """A fault more, from now on; when a fault asks for it, as soon as that has answered."""
        if self._asking:
            self.engine.post(lambda: self.add(armed))
        elif not self.open or not self.proxy.has(armed):
            return  # over, or lifted again, before the fault that asked for it, or one before this, had answered
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
        """Carry nothing out, or go on; when a fault asks to go on, as soon as that has answered."""
        if self._asking and not on:
            self.engine.post(lambda: self.pause(self.proxy.paused))
            return
        self._rest(on)
        self._agenda.pause(on)
