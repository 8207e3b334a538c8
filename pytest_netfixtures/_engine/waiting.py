"""Waiting where an event loop may run.

Law: a loop is never stopped by a wait of ours: the sync forms refuse to block in its thread, the async forms wait in
another one, and a cancelled wait holds up nobody. Neither asyncio nor trio is imported for it. Nor is the engine ever
stopped: a fault that waits for what the engine does would wait for ever.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from .._errors import NetlabError, is_for_the_user
from .loop import on_engine_thread

__all__ = ["beside_the_loop", "check_condition", "must_not_block", "not_true", "refuse_to_block"]

__tracebackhide__ = is_for_the_user

T = TypeVar("T")


def refuse_to_block(name: str) -> None:
    """Raise NetlabError that says what to write instead where nothing may wait."""
    if on_engine_thread():
        raise NetlabError(
            f"{name}() would have to wait, and waiting here, in a fault, would hold up every server and proxy. Expected a"
            " fault that returns at once. Let the test wait, and let the fault yield Wake(event.at + 0.1) to look again"
        )
    if _in_event_loop():
        raise NetlabError(
            f"{name}() would have to wait, and waiting here would stop the event loop that runs in this thread. "
            f"Expected a call that lets the loop run. Write: await {name}_async(...)"
        )


def must_not_block() -> bool:
    """Whether nothing may wait in this thread: it is the engine's, or that of a running event loop."""
    return on_engine_thread() or _in_event_loop()


def _in_event_loop() -> bool:
    """Whether an asyncio or trio loop runs in this thread; neither is imported for it."""
    return _asyncio() is not None or _trio() is not None


def _asyncio() -> Any:
    """The asyncio module, if its loop runs in this thread."""
    asyncio = sys.modules.get("asyncio")
    running = getattr(asyncio, "_get_running_loop", None)  # not there yet while asyncio is being imported
    return asyncio if running is not None and running() is not None else None


def _trio() -> Any:
    """The trio module, if its loop runs in this thread."""
    trio = sys.modules.get("trio")
    try:
        current_task = trio.lowlevel.current_task  # type: ignore[union-attr]
        return trio if current_task() else None
    except (AttributeError, RuntimeError):
        return None


async def beside_the_loop(function: Callable[[], T]) -> T:
    """Call a function that waits in a thread, while the loop of this task goes on."""
    if (trio := _trio()) is not None:
        return await trio.to_thread.run_sync(function, abandon_on_cancel=True)  # type: ignore[no-any-return]
    if (asyncio := _asyncio()) is None:
        raise NetlabError("no event loop runs here; expected asyncio or trio; call the form without _async")
    return await _in_a_thread(asyncio.get_running_loop(), function)  # type: ignore[no-any-return]


async def _in_a_thread(loop: Any, function: Callable[[], T]) -> Any:
    """Not an executor: a loop that ends waits for the threads of those."""
    future = loop.create_future()

    def run() -> None:
        result, error = _outcome(function)
        try:
            loop.call_soon_threadsafe(_hand_over, future, result, error)
        except RuntimeError:
            return  # the loop is closed: nobody waits any more

    threading.Thread(target=run, name="netfixtures waiting", daemon=True).start()
    return await future


def _outcome(function: Callable[[], T]) -> tuple[T | None, BaseException | None]:
    try:
        return function(), None
    except BaseException as error:
        return None, error


def _hand_over(future: Any, result: object, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


def check_condition(condition: object) -> None:
    """`condition` must be a function without arguments."""
    if not callable(condition):
        raise TypeError(
            f"condition is {condition!r}; expected a function without arguments, such as a lambda"
        )


def not_true(condition: Callable[[], object]) -> str:
    """What a wait says that was in vain."""
    name = getattr(condition, "__qualname__", repr(condition))
    return f"{name} was not true; expected it to become true: look at the traffic below, or give it more time with within="
