"""What a test claims, and how long it may take to become true.

Law: one claim, one way to check it: look at the values until it holds, until it can hold no more, or until the deadline.
At what never changes, and where an event loop runs, it looks once. What an incomplete record cannot tell is neither true
nor false.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pytest_netfixtures._assertions.places import Place
from pytest_netfixtures._engine.waiting import refuse_to_block
from pytest_netfixtures._errors import WaitTimeout, is_for_the_user

__all__ = ["Claim", "check"]

__tracebackhide__ = is_for_the_user


@dataclass(frozen=True)
class Claim:
    """Something about a place that has to become true."""

    place: Place
    name: str
    """The name of the assertion, for the message that names its twin."""
    holds: Callable[[], bool]
    explain: Callable[[], str]
    """What happened, what was expected, what to do; called when it does not hold."""
    hopeless: Callable[[], bool] = field(default=lambda: False)
    """True when it cannot hold any more."""
    unknown: Callable[[], None] = field(default=lambda: None)
    """Raises CaptureIncomplete when what is missing from an incomplete record could decide it."""


def check(claim: Claim, within: float | None) -> None:
    """Wait until the claim holds; WaitTimeout otherwise."""
    __tracebackhide__ = True
    limit = claim.place.patience if within is None else _seconds(within)
    if claim.holds():
        return
    if not claim.place.fixed:
        refuse_to_block(claim.name)
        claim.place.wait(lambda: claim.holds() or claim.hopeless(), limit)
    if not claim.holds():
        claim.unknown()
        raise WaitTimeout(f"{claim.name} ({_time(claim, limit)}): {claim.explain()}")


def _time(claim: Claim, limit: float) -> str:
    if claim.place.fixed:
        return "what it looks at changes no more"
    return "it cannot become true any more" if claim.hopeless() else f"after {limit:g} s"


def _seconds(within: Any) -> float:
    if isinstance(within, bool) or not isinstance(within, (int, float)):
        raise TypeError(f"within is {within!r}; expected a number of seconds; write for example within=1.5")
    if not (0 <= within < math.inf):
        raise ValueError(f"within is {within!r}; expected 0 or more seconds; write for example within=1.5")
    return float(within)
