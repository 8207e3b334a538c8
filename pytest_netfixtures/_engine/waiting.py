"""Waiting where an event loop may run.

Law: a loop is never stopped by a wait of ours: the sync forms refuse to block in its thread, the async forms wait in
another one. Neither asyncio nor trio is imported for it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

from .._errors import NetlabError

__all__ = ["beside_the_loop", "in_event_loop", "refuse_to_block"]

T = TypeVar("T")


def refuse_to_block(name: str) -> None:
    """Raise NetlabError that names the twin when a loop runs in this thread."""
    if in_event_loop():
        raise NetlabError(
            f"{name} is not true yet, and waiting here would stop the event loop that has to make it true. "
            f"Expected a call that lets the loop run. Write: await {name}_async(...)"
        )


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
