"""Records of Python's logging as rows of a capture.

Law: it listens beside the user's own handlers, changes no level, never raises, and holds no lock while it writes a row, so
that nobody who logs can wait for somebody who waits for him. Our own loggers are left out.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import TypeAlias

from ._wire.text import clip, plain

__all__ = ["LogRows"]

OURS = "pytest_netfixtures"
LONGEST = 1000
"""Characters of a row; of a longer text the beginning and the end."""

Take: TypeAlias = Callable[[str, str, str], object]
"""Called with the level, the name of the logger and the text, all of them safe to print."""


class LogRows(logging.Handler):
    """Hands records from `level` on to `take`, from `start` to `stop`."""

    def __init__(self, take: Take, level: int) -> None:
        super().__init__(level)
        self._take = take
        self._process = os.getpid()

    def start(self) -> None:
        """Listen to all loggers that pass their records on."""
        logging.getLogger().addHandler(self)

    def stop(self) -> None:
        """Listen no more. Again: nothing happens."""
        logging.getLogger().removeHandler(self)
        self.close()

    def handle(self, record: logging.LogRecord) -> bool:
        """As any handler, but without a lock of its own: `take` has one, and two can wait for each other."""
        if record.name.partition(".")[0] != OURS and self._process == os.getpid():
            self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """A row; a record that cannot be shown is no reason to break the program that made it."""
        try:
            self._take(_line(record.levelname), _line(record.name), _line(_text(record)))
        except Exception:
            return


def _text(record: logging.LogRecord) -> str:
    """The message, and the last line of a traceback that came with it."""
    try:
        text = record.getMessage()
    except Exception as problem:
        text = f"{record.msg!r} (its arguments do not fit: {type(problem).__name__})"
    error = record.exc_info[1] if record.exc_info else None
    return text if error is None else f"{text} ({type(error).__name__}: {error})"


def _line(text: str) -> str:
    """One line without anything that a terminal would act on."""
    return clip(plain(clip(str(text), LONGEST)), LONGEST)
