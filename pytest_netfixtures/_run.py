"""One attempt of one test that uses us, from its first fixture to the report of its teardown.

Law: it owns the timer and the capture of the test, and knows its labs; it makes no report and reads no option.
"""

from __future__ import annotations

import warnings
from collections import Counter
from functools import cached_property
from re import Pattern
from typing import TYPE_CHECKING

import pytest

from pytest_netfixtures._capture import Capture
from pytest_netfixtures._errors import NEVER_FIRED, FaultNeverFired, WaitTimeout
from pytest_netfixtures._joined import append, is_verdict, joined, seen_by_users
from pytest_netfixtures._options import Settings
from pytest_netfixtures._replay import replay
from pytest_netfixtures._stash import DEADLINE, USER_TIMEOUT
from pytest_netfixtures._timer import Timer
from pytest_netfixtures._wire.redaction import with_defaults

if TYPE_CHECKING:
    from pytest_netfixtures._deadline import Watch
    from pytest_netfixtures._engine.proxy import Proxy
    from pytest_netfixtures._log import LogRows
    from pytest_netfixtures._netlab import NetLab


CATCH_UP = 1.0
"""So long a report waits for the engine's thread, which has little to do unless a fault of the user's keeps it."""


class Run:
    """What the plugin knows about a test while it runs."""

    def __init__(self, item: pytest.Item, settings: Settings, attempt: int) -> None:
        self.node_id = item.nodeid
        self.settings = settings
        self.item = item
        self.attempt = attempt
        self.labs: list[NetLab] = []
        self.capture: Capture | None = None
        self.outcomes: dict[str, str] = {}
        self.phase = "setup"
        self.expired = ""
        self._of_others: Counter[str] = Counter()
        self._place = (str(item.path), (item.location[1] or 0) + 1)
        self._seconds = _seconds(item, settings)
        self._timer: Timer | None = None
        self._watch: Watch | None = None
        self._log_rows: LogRows | None = None
        self._proxies: list[Proxy] = []

    @cached_property
    def replay(self) -> str:
        """The command that runs the test again; most tests never need it."""
        return replay(self.item, self.settings)

    @cached_property
    def redactions(self) -> tuple[Pattern[bytes], ...]:
        """What is left out of all that is printed."""
        return with_defaults(self.settings.redact)

    def join(self, lab: NetLab, shared: bool = False) -> None:
        """From now on this lab works for this test. In a shared one, what others have armed need not fire here."""
        if lab in self.labs:
            return
        self.labs.append(lab)
        lab.heed_logger()
        if shared:
            self._of_others = Counter(lab.never_fired())
        if self.capture is not None:
            self.capture.attach(lab)
        lab.mark(self.phase)
        self._begin_watch()
        if self.phase == "call":
            self._start_timer()

    def use(self, capture: Capture) -> None:
        """From now on everything goes into this capture."""
        self.capture = capture
        self._log_into(capture)
        for lab in self.labs:
            capture.attach(lab)

    def _log_into(self, capture: Capture) -> None:
        if self.settings.log is not None:
            from pytest_netfixtures._log import LogRows

            self._log_rows = LogRows(capture.log, self.settings.log)
            self._log_rows.start()

    def end_setup(self, error: BaseException) -> None:
        """A fixture failed: what handlers met is part of it."""
        self._catch_up()
        self._add_errors(error)

    def _catch_up(self) -> None:
        """What a client did before it raised, an alert that says why for one, belongs into the report."""
        for engine in {lab.engine for lab in self.labs}:
            engine.catch_up(CATCH_UP)

    def begin_call(self) -> None:
        """The test's function starts."""
        self._enter("call")
        self._begin_watch()
        self._start_timer()

    def end_call(self, error: BaseException | None) -> None:
        """The test's function is over; raises what it did not see itself."""
        __tracebackhide__ = True
        if self._timer is not None:
            self._timer.cancel()
        if error is not None:
            self._catch_up()
        for lab in self.labs:
            lab.flush_log()
        if self.expired and not (error is not None and is_verdict(error)):
            late = self._late(error)
            self._add_errors(late)
            raise late
        self._add_errors(error)
        self._warn_of_unfired(error)

    def proxies(self) -> list[Proxy]:
        """All proxies of this test, oldest first; from the teardown on also those that are closed."""
        known = {id(proxy) for proxy in self._proxies}
        found = [
            endpoint for lab in self.labs for endpoint in lab.endpoints if hasattr(endpoint, "armed_so_far")
        ]
        self._proxies += [proxy for proxy in found if id(proxy) not in known]
        return self._proxies

    def begin_teardown(self) -> None:
        """The fixtures go."""
        self.proxies()
        self._enter("teardown")

    def end_teardown(self, error: BaseException | None) -> None:
        """The fixtures are gone; raises what handlers met since the call."""
        __tracebackhide__ = True
        for lab in self.labs:
            lab.test_ended()
        self._add_errors(error)

    def pause(self) -> None:
        """The timer rests; pytest-timeout has given up."""
        if self._timer is not None:
            self._timer.pause()
        self.end_watch()

    def resume(self) -> None:
        """The timer goes on."""
        if self._timer is not None:
            self._timer.resume()

    def finish(self, outcome: str, keep: bool) -> None:
        """The test is over."""
        if self._timer is not None:
            self._timer.cancel()
        self.end_watch()
        if self._log_rows is not None:
            self._log_rows.stop()
        if self.capture is not None:
            self.capture.finish(outcome, keep)

    @property
    def last_words(self) -> list[str]:
        """What was open shortly before pytest-timeout ended the test; nothing for others."""
        return self._watch.lines if self._watch is not None else []

    def end_watch(self) -> None:
        """pytest-timeout watches no more."""
        if self._watch is not None:
            self._watch.end()

    def _begin_watch(self) -> None:
        deadline = self.item.stash.get(DEADLINE, None)
        if deadline is not None:
            from pytest_netfixtures._deadline import Watch

            self._watch = self._watch or Watch(self)
            self._watch.begin(deadline)

    def _enter(self, phase: str) -> None:
        self.phase = phase
        for lab in self.labs:
            lab.heed_logger()
            lab.mark(phase)
        if self.capture is not None:
            self.capture.phase(phase)

    def _start_timer(self) -> None:
        if self._timer is None and self.labs and self._seconds:
            self._timer = Timer(self.labs[0].engine.call_later, self._seconds, self._expire)

    def _expire(self) -> None:
        """On the engine's thread: the client that waits gets a reset, and returns."""
        self.expired = (
            f"the test took longer than net_test_timeout, {self._seconds:g} s, so that its connections were reset. "
            "Expected it to end by itself. Look for the last line of the traffic below: what was waited for there? "
            "Give it more time with @pytest.mark.netlab(timeout=seconds) or the ini key net_test_timeout."
        )
        for lab in self.labs:
            lab.reset_all(f"net_test_timeout: {self._seconds:g} s")

    def _late(self, error: BaseException | None) -> BaseException:
        """The failure of a test that took too long; the place where it hung is that of its own error."""
        if error is None:
            return pytest.fail.Exception(self.expired, pytrace=False)
        return WaitTimeout(self.expired).with_traceback(error.__traceback__)

    def _add_errors(self, error: BaseException | None) -> None:
        """What handlers met joins the error of the test, or is raised where there is none."""
        __tracebackhide__ = True
        others = [seen_by_users(other) for lab in self.labs for other in lab.errors()]
        if error is None:
            found = joined(others)
            if found is not None:
                raise found
        elif not is_verdict(error):
            for other in others:
                append(error, other)

    def _warn_of_unfired(self, error: BaseException | None) -> None:
        __tracebackhide__ = True
        unfired = Counter(text for lab in self.labs for text in lab.never_fired()) - self._of_others
        if error is None and self.settings.must_fire:
            for text in unfired.elements():
                _warn(NEVER_FIRED.format(text), *self._place)


def _warn(text: str, file: str, line: int) -> None:
    """At the place of the test; where warnings are errors, a failure without frames of ours."""
    __tracebackhide__ = True
    try:
        warnings.warn_explicit(text, FaultNeverFired, file, line)
    except FaultNeverFired:
        raise pytest.fail.Exception(f"FaultNeverFired: {text}", pytrace=False) from None


def _seconds(item: pytest.Item, settings: Settings) -> float:
    """A timeout of the user's wins over ours, unless ours was said for this run or this test."""
    watched = item.stash.get(USER_TIMEOUT, 0.0) > 0
    return 0.0 if watched and not settings.timeout_said else settings.timeout
