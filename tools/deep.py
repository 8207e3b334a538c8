"""`make test-deep`: every law of the wire with 100,000 cases, and how many there were.

It is a command, and the pytest plugin that this command runs pytest with. The numbers are Hypothesis's own: what it told
its statistics about each case that it ran. A law is run in portions, because Hypothesis remembers each case of a run
(about 40 KB); each portion has a seed of its own. A law with fewer cases than asked for is a failure, unless Hypothesis
says that there are no more.

Within a portion no case comes twice. `--portion=100000` runs a law in one, with some 4 GB for each worker.
"""

from __future__ import annotations

import argparse
import operator
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import is_hypothesis_test, settings, statistics

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
LAWS = ("tests/wire/test_laws.py", "tests/wire/test_datagram_laws.py")
CASES = 100_000
PORTION = 10_000
COUNTED = "cases of a law"
NO_MORE = "nothing left to do"


def main() -> int:
    parser = argparse.ArgumentParser(description="every law of the wire, with many cases")
    parser.add_argument("--cases", type=int, default=CASES, help=f"of each law; {CASES:,} unless told")
    options, pytest_options = parser.parse_known_args()
    where = [] if any(Path(option.split("::")[0]).exists() for option in pytest_options) else LAWS
    own = ["-p", "deep", f"--cases={options.cases}", "--timeout=0", "-n", "auto", "--dist=worksteal", "-v"]
    path = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "pytest", *own, *where, *pytest_options]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, check=False).returncode


# The plugin: in a worker it counts, and where the results come together it adds up.


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cases", type=int, default=CASES, help="of each law")
    parser.addoption("--portion", type=int, default=PORTION, help="of them in one test, at most")


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """After conftest.py: its profile, with as many cases as a portion has."""
    cases: int = config.getoption("--cases")
    usual = settings.get_profile("usual")
    settings.register_profile("laws", usual, max_examples=-(-cases // portions(config)))
    settings.load_profile("laws")
    config.pluginmanager.register(Table(cases), "deep-table")


def portions(config: pytest.Config) -> int:
    cases, portion = config.getoption("--cases"), config.getoption("--portion")
    return -(-int(cases) // int(portion))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if is_hypothesis_test(metafunc.function):
        metafunc.fixturenames.append("portion")
        metafunc.parametrize("portion", range(1, portions(metafunc.config) + 1))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Properties alone."""
    items[:] = [item for item in items if is_hypothesis_test(getattr(item, "obj", None))]


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[Any]:
    def count(told: Any) -> None:
        item.user_properties.append((COUNTED, counted(told)))

    collector: Any = statistics.collector
    with collector.with_value(count):
        return (yield)


def counted(told: Any) -> dict[str, Any]:
    """Every case by what became of it, and why there were no more. Shrinking a failure is no case of a law."""
    phases = [told.get(f"{name}-phase", {}) for name in ("reuse", "generate")]
    found = Counter(case["status"] for phase in phases for case in phase.get("test-cases", ()))
    return {
        "passed": found["valid"],
        "failing": found["interesting"],
        "invalid": found["invalid"] + found["overrun"],
        "complete": told.get("stopped-because", "") == NO_MORE,
    }


@dataclass
class Row:
    """What became of one law."""

    passed: int = 0
    failing: int = 0
    invalid: int = 0
    seconds: float = 0.0
    complete: bool = False
    failed: bool = False

    def add(self, report: pytest.TestReport) -> None:
        self.failed |= report.failed
        self.seconds += report.duration
        counts: Any = dict(report.user_properties).get(COUNTED, {})
        self.complete |= counts.get("complete", False)
        together = max if self.complete else operator.add  # What is complete is the same in every portion.
        for kind in ("passed", "failing", "invalid"):
            setattr(self, kind, together(getattr(self, kind), counts.get(kind, 0)))

    def verdict(self, asked: int) -> str:
        if self.failed or self.failing:
            return "FAILED"
        if self.passed >= asked:
            return ""
        return "there are no more" if self.complete else "TOO FEW"


@dataclass
class Table:
    """The rows of all laws, where the results come together."""

    asked: int
    rows: dict[str, Row] = field(default_factory=dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        law = report.nodeid.partition("[")[0]
        if report.when == "call" or not report.passed:
            self.rows.setdefault(law, Row()).add(report)

    @property
    def short(self) -> list[str]:
        """The laws that failed, or had too few cases."""
        return [law for law, row in self.rows.items() if row.verdict(self.asked).isupper()]

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        at_work = hasattr(session.config, "workerinput")
        if not at_work and not session.exitstatus and (self.short or not self.rows):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section(f"{self.asked:,} cases of each law")
        for line in self.lines():
            terminalreporter.write_line(line)

    def lines(self) -> Iterator[str]:
        names = {law: law.rpartition("::")[2].removeprefix("test_").replace("_", " ") for law in self.rows}
        width = max(map(len, [*names.values(), "law"]))
        yield f"{'law':{width}} {'passed':>9} {'failing':>8} {'invalid':>8} {'seconds':>8}"
        for law, row in sorted(self.rows.items()):
            numbers = f"{row.passed:9,} {row.failing:8,} {row.invalid:8,} {row.seconds:8,.0f}"
            yield f"{names[law]:{width}} {numbers} {row.verdict(self.asked)}".rstrip()
        rows = self.rows.values()
        total = f"{sum(row.passed for row in rows):9,} {sum(row.failing for row in rows):8,}"
        yield f"{f'{len(rows)} laws':{width}} {total}"


if __name__ == "__main__":
    sys.exit(main())
