"""What a test claims, and how long it may take to become true.

Law: one claim, one way to check it: look at the values until it holds, until it can hold no more, or until the deadline.
Called where an event loop runs, it looks once and never blocks the loop.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pytest_netfixtures._assertions.places import Place
from pytest_netfixtures._errors import NetlabError, WaitTimeout

__all__ = ["Claim", "beside_the_loop", "check", "in_event_loop"]

T = TypeVar("T")


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
    """Raises CaptureIncomplete when what is missing from a cut record could decide it."""


def check(claim: Claim, within: float | None) -> None:
    """Wait until the claim holds; WaitTimeout otherwise."""
    __tracebackhide__ = True
    limit = claim.place.patience if within is None else _seconds(within)
    if claim.holds():
        return
    if in_event_loop():
        raise NetlabError(_use_the_twin(claim))
    claim.place.wait(lambda: claim.holds() or claim.hopeless(), limit)
    if not claim.holds():
        claim.unknown()
        raise WaitTimeout(f"{claim.name} ({_time(claim, limit)}): {claim.explain()}")


def _time(claim: Claim, limit: float) -> str:
    return "it cannot become true any more" if claim.hopeless() else f"after {limit:g} s"


def _use_the_twin(claim: Claim) -> str:
    return (
        f"{claim.name} is not true yet, and waiting here would stop the event loop that has to make it true. "
        f"Expected a call that lets the loop run. Write: await {claim.name}_async(...)"
    )


def _seconds(within: Any) -> float:
    if isinstance(within, bool) or not isinstance(within, (int, float)):
        raise TypeError(f"within is {within!r}; expected a number of seconds; write for example within=1.5")
    if not (0 <= within < math.inf):
        raise ValueError(f"within is {within!r}; expected 0 or more seconds; write for example within=1.5")
    return float(within)


def in_event_loop() -> bool:
    """Whether an asyncio or trio loop runs in this thread; neither is imported for it."""
    asyncio, trio = sys.modules.get("asyncio"), sys.modules.get("trio")
    if asyncio is not None and asyncio._get_running_loop() is not None:
        return True
    return trio is not None and _trio_runs(trio)


def _trio_runs(trio: Any) -> bool:
    try:
        trio.lowlevel.current_task()
    except RuntimeError:
        return False
    return True


async def beside_the_loop(function: Callable[[], T]) -> T:
    """Call a function that waits in a thread, while the loop of this task goes on."""
    asyncio, trio = sys.modules.get("asyncio"), sys.modules.get("trio")
    if trio is not None and _trio_runs(trio):
        return await trio.to_thread.run_sync(function, abandon_on_cancel=True)  # type: ignore[no-any-return]
    if asyncio is None:
        raise NetlabError("no event loop runs here; expected asyncio or trio; call the form without _async")
    return await asyncio.get_running_loop().run_in_executor(None, function)  # type: ignore[no-any-return]
