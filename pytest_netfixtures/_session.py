"""What outlives a test: the shared lab, the tests that run now, and what was already said.

Law: everything hangs on the config of its own pytest, nothing on this module. It makes labs and captures for the
fixtures; what a test does with them is in `_run.py`.
"""

from __future__ import annotations

import atexit
import os
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from pytest_netfixtures._capture import WATCH_NEEDS_KERNEL, Capture
from pytest_netfixtures._directory import file_name, make_directory, probe_directory, why_not
from pytest_netfixtures._errors import CaptureUnavailable
from pytest_netfixtures._options import Settings, settings_for, settings_of
from pytest_netfixtures._replay import own_id
from pytest_netfixtures._run import Run
from pytest_netfixtures._stash import ATTEMPTS, RUN, SESSION, SETTINGS

if TYPE_CHECKING:
    from pytest_netfixtures._netlab import NetLab


class Session:
    """One run of pytest in one process."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.running: list[Run] = []
        self.lab: NetLab | None = None
        self.no_captures = settings_of(config).unwritable
        self._process = os.getpid()
        self._warned = self.no_captures
        atexit.register(self.close)

    @property
    def here(self) -> bool:
        """False in a child made by `fork`: captures, and what is told of them, are the parent's."""
        return self._process == os.getpid()

    def warn(self, text: str) -> None:
        """One warning for the whole run, beside the filters: a full disk is no fault of a test."""
        if self._warned:
            return
        self._warned = True
        warn(self.config, text)

    def pause(self) -> None:
        """Somebody debugs."""
        for run in self.running:
            run.pause()

    def resume(self) -> None:
        """Nobody debugs any more."""
        for run in self.running:
            run.resume()

    def close(self) -> None:
        """What has no report of its teardown was interrupted: its capture stays. Labs that nobody closed are closed."""
        atexit.unregister(self.close)
        if not self.here:
            return
        for lab in [lab for run in self.running for lab in run.labs] + ([self.lab] if self.lab else []):
            lab.close()
        for run in self.running:
            run.finish("interrupted", keep=True)
            self._tell(run)
        self.running.clear()

    def _tell(self, run: Run) -> None:
        if run.capture is not None and run.capture.error is None and run.capture.path.is_file():
            from pytest_netfixtures._kept import keep

            keep(run, run.item, "interrupted", lambda text: warn(self.config, text))


def session_of(config: pytest.Config) -> Session:
    """The one of this run; made at first use."""
    found = config.stash.get(SESSION, None)
    if found is None:
        found = config.stash[SESSION] = Session(config)
    return found


def run_of(item: pytest.Item) -> Run:
    """The run of this test; made at first use."""
    found = item.stash.get(RUN, None)
    if found is None:
        attempt = max(item.stash.get(ATTEMPTS, 0) + 1, getattr(item, "execution_count", 1))
        settings = settings_for(item)
        found = item.stash[RUN] = Run(item, settings, attempt)
        session_of(item.config).running.append(found)
        if settings.capture:
            _capture(item.config, found)
    return found


def lab_of_test(item: pytest.Item) -> Iterator[NetLab]:
    """For the fixture `netlab`. What its servers met is raised by the hooks, which an interrupted test does not reach."""
    from pytest_netfixtures._netlab import NetLab

    run = run_of(item)
    settings = run.settings
    lab = NetLab(seed=settings.seed, node_id=own_id(item), wait=settings.wait, redact=settings.redact)
    try:
        run.join(lab)
        yield lab
    finally:
        lab.close()


def lab_of_session(config: pytest.Config) -> Iterator[NetLab]:
    """For the fixture `netlab_session`."""
    from pytest_netfixtures._netlab import NetLab

    session, settings = session_of(config), settings_of(config)
    session.lab = lab = NetLab(seed=settings.seed, wait=settings.wait, redact=settings.redact)
    try:
        yield lab
    finally:
        session.lab = None
        lab.close()


def capture_of_test(item: pytest.Item) -> Capture:
    """For the fixture `net_capture`."""
    run = run_of(item)
    return run.capture or _capture(item.config, run)


def begin_shared(item: Any) -> None:
    """The test that has the shared lab among its fixtures starts with fresh records, once."""
    session = session_of(item.config)
    if session.lab is not None and "netlab_session" in getattr(item, "fixturenames", ()):
        run = run_of(item)
        if session.lab not in run.labs and not run.settings.threads and session.running == [run]:
            session.lab.forget()
        run.join(session.lab, shared=True)


def join_late(item: Any) -> None:
    """The test has asked for the shared lab in its own code: what was recorded stays."""
    lab, request = session_of(item.config).lab, getattr(item, "_request", None)
    if lab is not None and "netlab_session" in getattr(request, "fixturenames", ()):
        run_of(item).join(lab, shared=True)


def _capture(config: pytest.Config, run: Run) -> Capture:
    session, settings = session_of(config), run.settings
    path = settings.directory / file_name(run.node_id, run.attempt, settings.worker)
    capture = _kind_of(settings)(
        path,
        node_id=run.node_id,
        comment={"replay": run.replay},
        max_bytes=settings.max_bytes,
        secrets=settings.secrets,
        why_not=_prepare(session, settings.directory),
    )
    run.use(capture)
    return capture


def _kind_of(settings: Settings) -> Callable[..., Capture]:
    """What makes the capture of a test. Raises CaptureUnavailable where it is to watch and cannot."""
    if settings.backend == "kernel":
        from pytest_netfixtures._kernel_capture import KernelCapture

        return partial(KernelCapture, watch=settings.watch)
    if settings.watch:
        ports = ", ".join(map(str, settings.watch))
        raise CaptureUnavailable(WATCH_NEEDS_KERNEL.format(f"port {ports}"))
    return Capture


def check_kernel(config: pytest.Config) -> None:
    """At the start, where the kernel backend is asked for: said once, by the controller alone, which captures nothing."""
    from pytest_netfixtures._kernel_hub import hub, probe

    try:
        probe() if config.pluginmanager.hasplugin("dsession") else hub()
    except CaptureUnavailable as problem:
        raise pytest.UsageError(str(problem)) from None


def _prepare(session: Session, directory: Any) -> str:
    """Empty when captures can be made, otherwise the reason, which the user was told once."""
    if not session.here:
        return "this process is a fork of the one that runs the tests, which makes their captures"
    if session.no_captures:
        return why_not(directory, OSError("it cannot be written"))
    try:
        make_directory(directory)
    except OSError as problem:
        session.warn(why_not(directory, problem))
        return why_not(directory, problem)
    return ""


def check_directory(config: pytest.Config) -> None:
    """At the start, where captures are on: said once, by the controller alone."""
    if hasattr(config, "workerinput"):
        return
    directory = settings_of(config).directory
    try:
        probe_directory(directory)
    except OSError as problem:
        session = session_of(config)
        session.no_captures = True
        session.warn(why_not(directory, problem))


def tell_worker(node: Any) -> None:
    """What all workers share goes with them, as text and numbers."""
    config: pytest.Config = node.config
    settings = config.stash[SETTINGS]
    session = config.stash.get(SESSION, None)
    node.workerinput["netfixtures_seed"] = settings.seed
    node.workerinput["netfixtures_directory"] = str(settings.directory)
    node.workerinput["netfixtures_each"] = config.getoption("dist", "no") == "each"
    node.workerinput["netfixtures_unwritable"] = session is not None and session.no_captures


def warn(config: pytest.Config, text: str) -> None:
    """Into pytest's warnings summary, whatever `-W` says."""
    message = warnings.WarningMessage(
        pytest.PytestWarning(text), pytest.PytestWarning, "pytest-netfixtures", 0
    )
    config.hook.pytest_warning_recorded.call_historic(
        kwargs={"warning_message": message, "when": "runtest", "nodeid": "", "location": None}
    )
