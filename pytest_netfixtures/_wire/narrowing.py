"""Where and when a fault acts.

Law: a narrowing is a fault around a fault. It lets events through, or gives them to the fault inside; it never makes an
event of its own. It prints as the code that made it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from .._errors import is_for_the_user
from .checks import check_choice, check_count, check_rate, check_seconds
from .effect import changed, settled, traffic_of
from .entries import DIRECTIONS, Direction
from .events import Datagram, Event, Lifted
from .moments import from_mark, from_match, from_time, through
from .scanner import Pattern, Scanner, check_pattern, code_of_pattern
from .seen import Fault, Seen, apply, code_of

__all__ = ["Custom", "Narrowable", "check_fault", "narrow"]

__tracebackhide__ = is_for_the_user


class Narrowable:
    """The methods that return a fault narrowed. They can be chained."""

    __slots__ = ()

    def __call__(self, event: Event, seen: Seen) -> Iterable[Event]:
        """Faults are called with an event and what they have seen, and yield events."""
        raise TypeError(f"{type(self).__name__} is no fault by itself; call one of its subclasses")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({_arguments(self)})"

    def unfit(self, transport: str) -> str | None:
        """Why a proxy of this transport ("tcp", "udp") cannot do it, and what to write instead; None: it can."""
        return None

    def by_chance(self) -> bool:
        """Whether it may never fire although nothing is wrong: it has a rate, or was said to be optional."""
        return False

    def on_connections(self, *numbers: int) -> Narrowable:
        """Act on these connections alone; numbers start at 1.

        "The first two attempts fail" is `Reset().on_connections(1, 2)`.

        Raises ValueError for no number or one below 1.
        """
        return OnConnections(self, numbers)

    def times(self, n: int) -> Narrowable:
        """Act until the fault has fired on `n` connections (of a UDP proxy: datagrams), then let everything through.

        >>> from pytest_netfixtures import Reset
        >>> Reset(after=3).times(2)
        Reset(after=3).times(2)
        """
        return Times(self, n)

    def sometimes(self, rate: float) -> Narrowable:
        """Act on a share of the connections (of a UDP proxy: sessions), each decided once, from the seed.

        `rate`: the probability, above 0 up to 1. Below 1 the fault need not fire. Several in a chain decide each by
        itself: `.sometimes(0.5).sometimes(0.5)` is a quarter.

        Raises ValueError for a rate that is not above 0 up to 1.

        >>> from pytest_netfixtures import Reset
        >>> Reset(at=0).sometimes(0.3)
        Reset(at=0).sometimes(0.3)
        """
        return Sometimes(self, rate)

    def after_seconds(self, seconds: float) -> Narrowable:
        """Act so many seconds after the connection was opened, or after the fault was added to an open one.

        Before that everything goes through; then it is as if the connection opened at that moment: offsets count from
        there, and `Reset().after_seconds(1.0)` resets after a second whether or not anything is sent. In a chain the
        order counts: `.after_seconds(1.0).when(b"x")` is a second after the match, `.when(b"x").after_seconds(1.0)` is
        from the first match on that comes after a second.

        Raises ValueError for a negative or infinite time.

        >>> from pytest_netfixtures import Reset
        >>> Reset().after_seconds(1.0)
        Reset().after_seconds(1.0)
        """
        return AfterSeconds(self, seconds)

    def when(
        self,
        pattern: Pattern,
        nth: int = 1,
        direction: Direction | None = None,
        *,
        window: int | None = None,
    ) -> Narrowable:
        """Act from the end of the nth match of `pattern` on, found across chunk boundaries; offsets count from there.

        `pattern` is bytes, or a compiled bytes regex with `window`, the longest match in bytes. `direction` is where it
        is looked for (default: the fault's own): `Reset().when(b"COMMIT", direction="to_server")` in `to_client` lets
        the request through and none of its answer. Inside TLS that the proxy does not terminate a pattern never
        matches.

        Raises ValueError for an empty pattern, a regex without `window` or one that looks beyond its match.

        >>> from pytest_netfixtures import Reset
        >>> Reset().when(b"COMMIT", direction="to_server")
        Reset().when(b'COMMIT', direction='to_server')
        """
        return When(self, pattern, nth, direction, window)

    def optional(self) -> Narrowable:
        """Exempt from the rule that an armed fault must fire."""
        return Optionally(self)


def _arguments(fault: Any) -> str:
    """The fields that differ from their defaults, as a call would name them."""
    given = [(f.name, getattr(fault, f.name)) for f in fields(fault) if getattr(fault, f.name) != f.default]
    return ", ".join(f"{name}={value!r}" for name, value in given)


@dataclass(frozen=True, repr=False)
class Narrowed(Narrowable):
    """A fault around a fault."""

    fault: Fault

    def __repr__(self) -> str:
        return f"{self.fault!r}.{self._call()}"

    def _call(self) -> str:
        raise TypeError(f"{type(self).__name__} does not say how it is printed")

    def unfit(self, transport: str) -> str | None:
        return self.fault.unfit(transport) if isinstance(self.fault, Narrowable) else None

    def by_chance(self) -> bool:
        return isinstance(self.fault, Narrowable) and self.fault.by_chance()

    def watchers(self, armed: Direction) -> list[tuple[int, Scanner]]:
        """The patterns that are looked for in the other direction, with their depth in the chain."""
        below = self.fault.watchers(armed) if isinstance(self.fault, Narrowed) else []
        return [(depth + 1, scanner) for depth, scanner in below]


@dataclass(frozen=True, repr=False)
class OnConnections(Narrowed):
    """Acts on some connections, by number."""

    numbers: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.numbers:
            raise ValueError("on_connections() has no number; expected at least one, counted from 1")
        for number in self.numbers:
            check_count("on_connections", number, least=1, unit="")

    def _call(self) -> str:
        return f"on_connections({', '.join(map(repr, self.numbers))})"

    def __call__(self, event: Event, seen: Seen) -> Iterable[Event]:
        return apply(self.fault, event, seen.inner()) if seen.number in self.numbers else through(event)


@dataclass(frozen=True, repr=False)
class Times(Narrowed):
    """Acts until it has fired on n connections (datagrams)."""

    n: int

    def __post_init__(self) -> None:
        check_count("times", self.n, least=1, unit="connections or datagrams")

    def _call(self) -> str:
        return f"times({self.n})"

    def __call__(self, event: Event, seen: Seen) -> Iterable[Event]:
        fired: set[object] = seen.shared.setdefault("fired", set())
        if len(fired) >= self.n and seen.memory.get("mine") not in fired:
            return self._give_up(event, seen)
        had = seen.kept
        outs = list(apply(self.fault, event, seen.inner()))
        if changed(*settled(event, traffic_of(outs), had, seen.kept)):
            fired.add(object() if isinstance(event, Datagram) else seen.memory.setdefault("mine", object()))
        return outs

    def _give_up(self, event: Event, seen: Seen) -> list[Event]:
        """Let everything through from now on, and first what the fault inside has kept."""
        kept = traffic_of(list(apply(self.fault, Lifted(event.at), seen.inner()))) if seen.held else []
        return [*kept, *through(event)]


@dataclass(frozen=True, repr=False)
class When(Narrowed):
    """Acts from the end of a match on."""

    pattern: Pattern
    nth: int = 1
    direction: Direction | None = None
    window: int | None = None

    def __post_init__(self) -> None:
        check_pattern(self.pattern, self.window)
        check_count("nth", self.nth, least=1, unit="matches")
        check_choice("direction", self.direction, (None, *DIRECTIONS))

    def _call(self) -> str:
        given = [
            (f.name, getattr(self, f.name)) for f in fields(self)[2:] if getattr(self, f.name) != f.default
        ]
        return f"when({', '.join([code_of_pattern(self.pattern), *(f'{n}={v!r}' for n, v in given)])})"

    def watchers(self, armed: Direction) -> list[tuple[int, Scanner]]:
        own = [(0, self._scanner())] if self._looks_away(armed) else []
        return own + super().watchers(armed)

    def _scanner(self) -> Scanner:
        return Scanner(self.pattern, self.nth, self.window)

    def _looks_away(self, armed: Direction) -> bool:
        return self.direction is not None and self.direction != armed

    def __call__(self, event: Event, seen: Seen) -> Iterable[Event]:
        if self._looks_away(seen.direction):
            return from_mark(self.fault, event, seen)
        return from_match(self.fault, self._scanner, event, seen)


@dataclass(frozen=True, repr=False)
class AfterSeconds(Narrowed):
    """Acts from a time on."""

    seconds: float

    def __post_init__(self) -> None:
        check_seconds("after_seconds", self.seconds)

    def _call(self) -> str:
        return f"after_seconds({self.seconds!r})"

    def __call__(self, event: Event, seen: Seen) -> Iterable[Event]:
        return from_time(self.fault, self.seconds, event, seen)


@dataclass(frozen=True, repr=False)
class Sometimes(Narrowed):
    """Acts on some connections, by chance."""

    rate: float

    def __post_init__(self) -> None:
        check_rate("sometimes", self.rate)

    def _call(self) -> str:
        return f"sometimes({self.rate!r})"

    def by_chance(self) -> bool:
        return self.rate < 1 or super().by_chance()

    def __call__(self, event: Event, seen: Seen) -> Iterable[Event]:
        return apply(self.fault, event, seen.inner()) if self._is_chosen(seen) else through(event)

    def _is_chosen(self, seen: Seen) -> bool:
        """Decided once for each connection; the code of the chain tells several of them apart."""
        if "chosen" not in seen.memory:
            seen.memory["chosen"] = seen.decisions.chance(0, code_of(self)) < self.rate
        return bool(seen.memory["chosen"])


@dataclass(frozen=True, repr=False)
class Optionally(Narrowed):
    """Need not fire."""

    def _call(self) -> str:
        return "optional()"

    def by_chance(self) -> bool:
        return True

    def __call__(self, event: Event, seen: Seen) -> Iterable[Event]:
        return apply(self.fault, event, seen.inner())


@dataclass(frozen=True, repr=False)
class Custom(Narrowable):
    """A user's own function as a fault with methods."""

    function: Fault

    def __repr__(self) -> str:
        return f"narrow({code_of(self.function)})"

    def __call__(self, event: Event, seen: Seen) -> Iterable[Event]:
        return self.function(event, seen)


def narrow(function: Fault) -> Narrowable:
    """Give a user's own fault function the methods that narrow it.

    Raises TypeError when `function` cannot be called.

    >>> def upper(event, seen):
    ...     yield event
    >>> narrow(upper).on_connections(1)
    narrow(upper).on_connections(1)
    """
    check_fault("function", function)
    return function if isinstance(function, Narrowable) else Custom(function)


def check_fault(field: str, fault: object) -> None:
    """Raise TypeError unless `fault` can be called as one."""
    if isinstance(fault, type):
        raise TypeError(
            f"{field} is the class {fault.__name__}; expected a fault: call it, {fault.__name__}(...)"
        )
    if not callable(fault):
        raise TypeError(
            f"{field} is {fault!r}; expected a fault such as Delay(0.2), "
            "or a function of (event, seen) that yields events"
        )
