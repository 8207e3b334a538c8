"""What a failed test shows, and whether its capture stays.

Law: it never raises and never warns, because both would end the run here; only text goes onto a report, because
nothing else survives the way from a worker to its controller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_netfixtures._capture import Capture
from pytest_netfixtures._kept import TITLE, keep, link, set_property
from pytest_netfixtures._replay import faults
from pytest_netfixtures._run import Run
from pytest_netfixtures._session import session_of, warn
from pytest_netfixtures._stash import ATTEMPTS, RUN
from pytest_netfixtures._where import file_lines, story_of, world_of
from pytest_netfixtures._wire.entries import Logged, Marked
from pytest_netfixtures._wire.render import hexdump_diff, ladder
from pytest_netfixtures._wire.rows import behind_our_proxy
from pytest_netfixtures._wire.text import preview

if TYPE_CHECKING:
    from pytest_netfixtures._netlab import NetLab


def complete(item: pytest.Item, report: pytest.TestReport) -> None:
    """Add what a failed report needs; after the last one the test is over."""
    run = item.stash[RUN]
    try:
        _note(run, report)
        if report.failed:
            _show(item, run, report)
        if report.when == "teardown":
            _end(item, run, report)
    except Exception as problem:
        report.sections.append((_title(report), f"the network traffic cannot be shown: {problem!r}"))
    finally:
        if report.when == "teardown":
            _let_go(item, run)


def _note(run: Run, report: pytest.TestReport) -> None:
    """The worst of the reports of one phase counts: subtests have several."""
    outcome = "xfailed" if hasattr(report, "wasxfail") and report.skipped else report.outcome
    if run.outcomes.get(report.when or "") != "failed":
        run.outcomes[report.when or ""] = outcome


def _show(item: pytest.Item, run: Run, report: pytest.TestReport) -> None:
    lines = [*file_lines(run, item.config.invocation_params.dir), *run.last_words]
    if run.settings.report != "off":
        lines += [f"replay: {run.replay}", *faults(run.proxies(), run.redactions), *_conversations(run)]
    if run.capture is not None and run.capture.error is None:
        set_property((item, report), str(run.capture.path))
    if lines:
        report.sections.append((_title(report), "\n".join(lines)))


def _title(report: pytest.TestReport) -> str:
    """pytest prints a section of the teardown only when its title says so."""
    return f"{TITLE} teardown" if report.when == "teardown" else TITLE


def _conversations(run: Run) -> list[str]:
    sizes = run.settings.report == "sizes"
    world = world_of(run)
    hidden = behind_our_proxy(world)
    return [
        ladder(story_of(lab), lab.traffic, run.redactions, "sizes" if sizes else "full", world)
        for lab in run.labs
        if _spoke(lab, hidden)
    ]


def _spoke(lab: NetLab, hidden: set[int]) -> bool:
    """Phases alone are no conversation, nor is what a proxy of another lab tells of."""
    return any(
        not isinstance(entry, (Marked, Logged)) and entry.connection not in hidden for entry in story_of(lab)
    )


def _end(item: pytest.Item, run: Run, report: pytest.TestReport) -> None:
    capture = run.capture
    stays = run.settings.keep == "all" or _went_wrong(item, run)
    run.finish(_verdict(run), stays)
    session = session_of(item.config)
    if capture is None or not session.here:
        return
    problem = capture.error or (_gone(capture) if stays else None)
    if problem is not None:
        session.warn(problem)
    if stays and capture.keys_error is not None:
        session.warn(capture.keys_error)
    if stays:
        item.stash[ATTEMPTS] = run.attempt
    here = stays and problem is None
    set_property((item, report), str(capture.path) if here else None)
    if here:
        link(report, capture.path, item.config)
        keep(run, item, _verdict(run), lambda text: warn(item.config, text))


def _gone(capture: Capture) -> str | None:
    """Why the file is not there, although nothing went wrong with it."""
    if capture.is_there:
        return None
    return (
        f"the capture {capture.path} is gone: somebody has deleted, moved or replaced it while the test ran. "
        "Expected it to stay where it is; keep tests and their clean-up away from the directory of captures."
    )


def _went_wrong(item: pytest.Item, run: Run) -> bool:
    outcomes = run.outcomes
    interrupted = outcomes.get("setup") == "passed" and "call" not in outcomes
    return "failed" in outcomes.values() or (interrupted and not item.config.getoption("setuponly", False))


def _verdict(run: Run) -> str:
    """One word for the header of the file."""
    setup, call, teardown = (run.outcomes.get(when) for when in ("setup", "call", "teardown"))
    if setup == "failed" or (teardown == "failed" and call != "failed"):
        return "error"
    return call or (setup if setup == "skipped" else None) or "interrupted"


def _let_go(item: pytest.Item, run: Run) -> None:
    del item.stash[RUN]
    running = session_of(item.config).running
    if run in running:
        running.remove(run)


def differing(left: object, right: object) -> list[str] | None:
    """The lines of a failed `left == right` for bytes; None for anything else."""
    if not (isinstance(left, bytes) and isinstance(right, bytes)):
        return None
    return [f"{_literal(left)} == {_literal(right)}", *hexdump_diff(left, right)]


def _literal(data: bytes) -> str:
    """Bytes as they are written in code, cut where they are long."""
    return f"b'{preview(data, 32)}'"
