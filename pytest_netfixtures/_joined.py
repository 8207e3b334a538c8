"""Errors of handlers, made part of the error of the test.

Law: the test's own exception stays what it is, so that `pytest.raises`, `xfail(raises=...)` and `-x` mean what they say;
others are hung at the end of its chain, where pytest prints them. It waits for nothing and raises nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from types import TracebackType

import pytest

from pytest_netfixtures._errors import append

__all__ = ["append", "is_verdict", "joined", "seen_by_users"]

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep


def is_verdict(error: BaseException) -> bool:
    """Skips, xfails, exits and interrupts: the test has said what it is, and nothing is added."""
    kinds: tuple[type[BaseException], ...] = (
        pytest.skip.Exception,
        pytest.xfail.Exception,
        pytest.exit.Exception,
        KeyboardInterrupt,
        SystemExit,
        GeneratorExit,
    )
    unittest = sys.modules.get("unittest")
    return isinstance(error, kinds) or (unittest is not None and isinstance(error, unittest.SkipTest))


def joined(errors: Iterable[BaseException]) -> BaseException | None:
    """One error for all of them: the first, with the others in its chain; None for none."""
    found = list(errors)
    for error in found[1:]:
        append(found[0], error)
    return found[0] if found else None


def seen_by_users(error: BaseException) -> BaseException:
    """Without the frames of ours that its traceback begins with; a complaint that has no others needs none."""
    trace: TracebackType | None = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_HERE):
        trace = trace.tb_next
    return error.with_traceback(trace) if trace is not None or isinstance(error, TypeError) else error
