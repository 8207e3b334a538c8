"""The plugin: options, fixtures and hooks of pytest-netfixtures.

Law: thin, and cheap to load at every start of pytest: it imports pytest and its keys, and everything else when a test
asks for it. It decides nothing; the rooms that it calls do.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from pytest_netfixtures._flags import INI, add_options
from pytest_netfixtures._stash import DEADLINE, RUN, SESSION, SETTINGS, STARTED, USER_TIMEOUT

if TYPE_CHECKING:
    from pytest_netfixtures import Capture, NetLab, TcpEcho, TcpProxy, UdpResponder
    from pytest_netfixtures._run import Run
    from pytest_netfixtures._wire.profiles import Conditions

if "pytest_netfixtures._assertions" not in sys.modules:
    pytest.register_assert_rewrite("pytest_netfixtures._assertions")


LOOKING = ("collectonly", "showfixtures", "show_fixtures_per_test", "cacheshow", "setupplan")
"""Runs that only look: they open no socket, and make and touch no file."""


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """The hook that others may have."""
    from pytest_netfixtures import _hooks

    pluginmanager.add_hookspecs(_hooks)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options with one prefix; none of them swallows a path that stands behind it."""
    add_options(parser)


def _said(config: pytest.Config) -> bool:
    """Whether anybody asked for anything; only then the settings are read at the start."""
    if any(name.startswith("PYTEST_NET_") for name in os.environ) or hasattr(config, "workerinput"):
        return True
    options = [config.getoption(name, None) for name, *_ in INI]
    return any(value is not None for value in options) or any(_differs(config, *row) for row in INI)


def _differs(config: pytest.Config, name: str, kind: Any, default: Any, text: str) -> bool:
    try:
        return bool(config.getini(name) != default)
    except (TypeError, ValueError, pytest.UsageError):
        return True


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """The markers are made known, and what the user said is checked before anything runs."""
    for marker in (
        "netlab(capture=, keep=, backend=, watch=, seed=, timeout=): network settings of one test, nearer than any option",
        "net_faults(*profiles, to_server=[...], to_client=[...]): run the test once under each of these faults",
    ):
        config.addinivalue_line("markers", marker)
    if _said(config) or str(config.getoption("parallel_threads", 1)) != "1":
        from pytest_netfixtures._options import settings_of

        settings_of(config)


def pytest_report_header(config: pytest.Config) -> str | None:
    """One line, and only when something is on."""
    if SETTINGS not in config.stash:
        return None
    from pytest_netfixtures._options import header

    return header(config.stash[SETTINGS], config.invocation_params.dir)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """A directory that cannot be written is found before the first test, and once for all workers; so is what was left."""
    config = session.config
    settings = config.stash.get(SETTINGS, None)
    if settings is None or hasattr(config, "workerinput"):
        return
    looking = any(config.getoption(name, False) for name in LOOKING)
    if settings.backend == "kernel" and not looking:
        from pytest_netfixtures._session import check_kernel

        check_kernel(config)
    if settings.capture and not looking:
        from pytest_netfixtures._leftovers import salvage_all
        from pytest_netfixtures._session import check_directory

        check_directory(config)
        salvage_all(config)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """What the controller of pytest-xdist has decided for all workers."""
    node.config.stash.setdefault(STARTED, time.time())
    if SETTINGS in node.config.stash:
        from pytest_netfixtures._session import tell_worker

        tell_worker(node)


@pytest.hookimpl(optionalhook=True)
def pytest_handlecrashitem(crashitem: str, report: Any, sched: Any) -> None:
    """A worker died: its capture is on disk, and the report says where."""
    from pytest_netfixtures._leftovers import add_to_crash

    add_to_crash(crashitem, report, sched.config)


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> None:
    """pytest-timeout watches this test; we only take note."""
    from pytest_netfixtures._timer import deadline_of

    deadline = deadline_of(settings)
    if deadline is not None:
        item.stash[DEADLINE], item.stash[USER_TIMEOUT] = deadline, deadline[1]


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_timeout_cancel_timer(item: pytest.Item) -> None:
    """pytest-timeout does not watch it any more."""
    if DEADLINE in item.stash:
        del item.stash[DEADLINE]
    if RUN in item.stash:
        item.stash[RUN].end_watch()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with the marker `net_faults` runs once for each of its cases."""
    if metafunc.definition.get_closest_marker("net_faults") is not None:
        from pytest_netfixtures._cases import parametrize

        parametrize(metafunc)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """A wrong argument of a marker is an error of the test that carries it."""
    __tracebackhide__ = True
    if item.get_closest_marker("net_faults") is not None:
        from pytest_netfixtures._cases import check_item

        check_item(item)
    if item.get_closest_marker("netlab") is not None:
        from pytest_netfixtures._options import marked

        marked(item)
    try:
        return (yield)
    except BaseException as error:
        if RUN in item.stash:
            item.stash[RUN].end_setup(error)
        raise


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> None:
    """The first fixture of the test's own scope: what wider scopes have set up belongs to no test."""
    if fixturedef.scope == "function" and SESSION in request.config.stash:
        from pytest_netfixtures._session import begin_shared

        begin_shared(request.node)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """The test's function: the timer runs, and what our servers met joins what the test met."""
    __tracebackhide__ = True
    if SESSION in item.config.stash:
        from pytest_netfixtures._session import begin_shared

        begin_shared(item)
    if RUN in item.stash:
        item.stash[RUN].begin_call()
    try:
        result = yield
    except BaseException as error:
        if (run := _run_after(item)) is not None:
            run.end_call(error)
        raise
    if (run := _run_after(item)) is not None:
        run.end_call(None)
    return result


def _run_after(item: pytest.Item) -> Run | None:
    """The run of a test whose function is over; it may have asked for fixtures in its own code."""
    if SESSION in item.config.stash:
        from pytest_netfixtures._session import join_late

        join_late(item)
    return item.stash.get(RUN, None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """The test lets go of what it shares with others, after its fixtures are gone."""
    __tracebackhide__ = True
    if RUN in item.stash:
        item.stash[RUN].begin_teardown()
    try:
        result = yield
    except BaseException as error:
        if RUN in item.stash:
            item.stash[RUN].end_teardown(error)
        raise
    if RUN in item.stash:
        item.stash[RUN].end_teardown(None)
    return result


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed report gets the traffic; after the last one the capture is kept or deleted."""
    report = yield
    if RUN in item.stash:
        from pytest_netfixtures._report import complete

        complete(item, report)
    return report


def pytest_assertrepr_compare(
    config: pytest.Config, op: str, left: object, right: object
) -> list[str] | None:
    """Differing bytes as a hexdump, in tests that use us."""
    session = config.stash.get(SESSION, None)
    if op != "==" or session is None or not session.running:
        return None
    from pytest_netfixtures._report import differing

    return differing(left, right)


def pytest_enter_pdb(config: pytest.Config) -> None:
    """Nobody is reset while a human thinks."""
    if SESSION in config.stash:
        config.stash[SESSION].pause()


def pytest_leave_pdb(config: pytest.Config) -> None:
    """The time goes on."""
    if SESSION in config.stash:
        config.stash[SESSION].resume()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Where captures are, and how many; nothing where there are none."""
    if SETTINGS in config.stash or SESSION in config.stash or config.pluginmanager.hasplugin("dsession"):
        from pytest_netfixtures._leftovers import closing_lines

        for line in closing_lines(terminalreporter.stats, config):
            terminalreporter.write_line(line)


def pytest_unconfigure(config: pytest.Config) -> None:
    """What is still open was interrupted: it is kept."""
    if SESSION in config.stash:
        config.stash[SESSION].close()


@pytest.fixture
def netlab(request: pytest.FixtureRequest) -> Iterator[NetLab]:
    """Makes servers, proxies and faults for this test, and closes all of them afterwards."""
    from pytest_netfixtures._session import lab_of_test

    yield from lab_of_test(request.node)


@pytest.fixture(scope="session")
def netlab_session(request: pytest.FixtureRequest) -> Iterator[NetLab]:
    """The same as netlab for servers that outlive a test; each test starts with fresh records."""
    from pytest_netfixtures._session import lab_of_session

    yield from lab_of_session(request.config)


@pytest.fixture
def tcp_echo(netlab: NetLab) -> TcpEcho:
    """A running TCP server that sends back what it gets."""
    return netlab.tcp_echo()


@pytest.fixture
def udp_responder(netlab: NetLab) -> UdpResponder:
    """A running UDP server that answers each datagram, with the same bytes until told otherwise."""
    return netlab.udp_responder()


@pytest.fixture
def net_faults(request: pytest.FixtureRequest) -> Conditions:
    """The faults of this run of a test with the marker net_faults: {"to_server": (...), "to_client": (...)}."""
    without: Conditions = {"to_server": (), "to_client": ()}
    case: Conditions = getattr(request, "param", without)
    return case


@pytest.fixture
def fault_proxy(netlab: NetLab, net_faults: Conditions) -> Callable[..., TcpProxy]:
    """Makes a TCP proxy with faults: fault_proxy(upstream, to_server=(), to_client=())."""
    if not any(net_faults.values()):
        return netlab.tcp_proxy
    from pytest_netfixtures._cases import adding

    return adding(netlab.tcp_proxy, net_faults)


@pytest.fixture
def net_capture(request: pytest.FixtureRequest) -> Capture:
    """The capture of this test: .path, .traffic, .mark(text), .save(path). Asking for it switches capture on."""
    from pytest_netfixtures._session import capture_of_test

    return capture_of_test(request.node)
