"""Beside pytest's other plugins, each as its users run it."""

from __future__ import annotations

import pytest

from .conftest import Suite

MIXED = """
def test_fine(tcp_echo): assert ask(tcp_echo.address, b"a") == b"a"
def test_cut(netlab):
    assert ask(netlab.tcp_proxy(netlab.tcp_echo(), to_client=Reset(after=1)).address, b"abc") == b"abc"
def test_skips(tcp_echo): pytest.skip("no")
def test_shared(netlab_session): assert ask(netlab_session.tcp_echo().address, b"s") == b"s"
@pytest.fixture
def broken(tcp_echo): assert 0
def test_error(broken): pass
"""


RUNS: list[list[str]] = [
    [],
    ["-x"],
    ["-p", "xdist", "-n1"],
    ["-p", "xdist", "-n2"],
    ["-p", "xdist", "-n2", "-x"],
    ["-p", "no:terminal"],
    ["-p", "no:cacheprovider"],
]


@pytest.mark.parametrize("arguments", RUNS, ids=lambda arguments: " ".join(arguments) or "alone")
def test_exit_codes_are_the_same_with_and_without_captures(suite: Suite, arguments: list[str]) -> None:
    if "xdist" in arguments:
        pytest.importorskip("xdist")
    suite.write(MIXED)
    without = suite.run_apart(*arguments).ret
    assert suite.run_apart("--net-capture", *arguments).ret == without
    assert suite.run_apart("--net-capture", "test_it.py::test_fine", *arguments).ret == pytest.ExitCode.OK


def test_xdist_workers_report_and_keep_what_failed(suite: Suite) -> None:
    pytest.importorskip("xdist")
    suite.write(MIXED)
    result = suite.run_apart("-p", "xdist", "-n2", "--net-capture")
    result.assert_outcomes(passed=2, failed=1, skipped=1, errors=1)
    result.stdout.fnmatch_lines(["*Captured network traffic log*", "wireshark -r *"])
    assert len(suite.files()) == 2


def test_all_xdist_workers_have_the_drawn_seed(suite: Suite) -> None:
    pytest.importorskip("xdist")
    suite.write(
        "@pytest.mark.parametrize('n', range(6))\n"
        "def test_one(netlab, n):\n"
        "    with open('seeds', 'a') as file: file.write(f'{netlab.seed}\\n')\n"
    )
    result = suite.run_apart("-p", "xdist", "-n2", "--net-seed=random")
    result.assert_outcomes(passed=6)
    seeds = set((suite.path / "seeds").read_text().split())
    assert len(seeds) == 1
    result.stdout.fnmatch_lines([f"netfixtures: seed {seeds.pop()} (drawn)"])


def test_a_worker_that_dies_leaves_its_capture_and_the_report_names_it(suite: Suite) -> None:
    pytest.importorskip("xdist")
    suite.write("def test_one(tcp_echo):\n    ask(tcp_echo.address, b'a')\n    os._exit(9)\n")
    result = suite.run_apart("-p", "xdist", "-n1", "--net-capture")
    (name,) = suite.files()
    result.stdout.fnmatch_lines(["*crashed while running*", f"capture: *{name}"])


def test_randomly_gives_a_drawn_seed_and_nothing_else(suite: Suite) -> None:
    pytest.importorskip("pytest_randomly")
    suite.write("def test_one(netlab): print('has', netlab.seed)\n")
    arguments = ["-p", "pytest_randomly", "-s", "--randomly-seed=77"]
    suite.run_apart(*arguments).stdout.fnmatch_lines(["*has 0*"])
    result = suite.run_apart(*arguments, "--net-seed=random")
    result.stdout.fnmatch_lines(["*has 77*"])


def test_socket_with_loopback_allowed(suite: Suite) -> None:
    pytest.importorskip("pytest_socket")
    suite.write(MIXED.partition("def test_skips")[0] + "def test_udp(udp_responder): pass\n")
    result = suite.run_apart(
        "-p", "pytest_socket", "--disable-socket", "--allow-hosts=127.0.0.1,::1", "--net-capture"
    )
    result.assert_outcomes(passed=2, failed=1)


def test_a_server_of_the_session_lives_while_sockets_are_disabled(suite: Suite) -> None:
    pytest.importorskip("pytest_socket")
    suite.write(
        "import _socket\n"
        "@pytest.fixture(scope='session')\n"
        "def server(netlab_session): return netlab_session.tcp_echo()\n"
        "@pytest.mark.parametrize('n', range(2))\n"
        "def test_one(server, n):\n"
        "    client = _socket.socket()\n"
        "    client.settimeout(10)\n"
        "    client.connect(server.address)\n"
        "    client.sendall(b'a')\n"
        "    assert client.recv(1) == b'a'\n"
        "    client.close()\n"
    )
    suite.run_apart("-p", "pytest_socket", "--disable-socket").assert_outcomes(passed=2)


ASYNC = """
import asyncio

@MARK
async def test_one(netlab):
    proxy = netlab.tcp_proxy(netlab.tcp_echo(), to_client=Truncate(after=2))
    reader, writer = await asyncio.open_connection(*proxy.address)
    writer.write(b"hello")
    assert await reader.read() == b"he"
    writer.close()
    await writer.wait_closed()
    await assert_closed_async(proxy, by="client")

@MARK
async def test_two(netlab):
    def handler(conn): raise ValueError("in the handler")
    reader, writer = await asyncio.open_connection(*netlab.tcp_server(handler).address)
    await reader.read()
    writer.close()
    await writer.wait_closed()
"""


def test_asyncio(suite: Suite) -> None:
    pytest.importorskip("pytest_asyncio")
    suite.ini("asyncio_default_fixture_loop_scope = function")
    suite.write(ASYNC.replace("MARK", "pytest.mark.asyncio"))
    result = suite.run_apart("-p", "pytest_asyncio.plugin", "--net-capture", "-W", "error")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["E*ValueError: in the handler"])


def test_anyio(suite: Suite) -> None:
    pytest.importorskip("anyio")
    suite.write(
        "@pytest.fixture\ndef anyio_backend(): return 'asyncio'\n"
        + ASYNC.replace("MARK", "pytest.mark.anyio")
    )
    suite.run_apart("-p", "anyio.pytest_plugin", "--net-capture").assert_outcomes(passed=1, failed=1)


def test_trio(suite: Suite) -> None:
    pytest.importorskip("pytest_trio")
    suite.write(
        "import trio\n"
        "@pytest.mark.trio\n"
        "async def test_one(netlab):\n"
        "    proxy = netlab.tcp_proxy(netlab.tcp_echo(), to_client=Truncate(after=2))\n"
        "    stream = await trio.open_tcp_stream(*proxy.address)\n"
        "    async with stream:\n"
        "        await stream.send_all(b'hello')\n"
        "        assert await stream.receive_some() == b'he'\n"
        "    await assert_closed_async(proxy, by='client')\n"
    )
    suite.run_apart("-p", "pytest_trio.plugin", "--net-capture").assert_outcomes(passed=1)


def test_hypothesis_with_the_shared_lab_and_with_a_lab_of_its_own(suite: Suite) -> None:
    pytest.importorskip("hypothesis")
    suite.write(
        "from hypothesis import given, settings, strategies as st\n"
        "@given(st.binary(min_size=1, max_size=9))\n"
        "@settings(max_examples=20, deadline=None, database=None)\n"
        "def test_own(data):\n"
        "    with NetLab() as lab: assert ask(lab.tcp_echo().address, data) == data\n"
        "@pytest.fixture(scope='session')\n"
        "def server(netlab_session): return netlab_session.tcp_echo()\n"
        "@given(st.binary(min_size=1, max_size=9))\n"
        "@settings(max_examples=20, deadline=None, database=None)\n"
        "def test_shared(server, data): assert ask(server.address, data) == data\n"
    )
    suite.run_apart("-p", "_hypothesis_pytestplugin", "--net-capture").assert_outcomes(passed=2)


def test_run_parallel(suite: Suite) -> None:
    pytest.importorskip("pytest_run_parallel")
    suite.write(
        "def test_one(tcp_echo): assert ask(tcp_echo.address, b'a') == b'a'\n"
        "@pytest.fixture(scope='session')\n"
        "def server(netlab_session): return netlab_session.tcp_echo()\n"
        "@pytest.mark.parametrize('n', [1, 2])\n"
        "def test_two(server, n):\n"
        "    ask(server.address, b'a')\n"
        "    assert len(server.traffic.connections) >= n\n"
    )
    result = suite.run_apart("-p", "pytest_run_parallel.plugin", "--parallel-threads=3", "--net-capture")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["netfixtures:*netlab_session forgets nothing*"])


def test_html(suite: Suite) -> None:
    pytest.importorskip("pytest_html")
    suite.write(MIXED)
    arguments = ["-p", "pytest_metadata.plugin", "-p", "pytest_html.plugin", "--html=out.html"]
    suite.run_apart(*arguments, "--net-capture").assert_outcomes(passed=2, failed=1, skipped=1, errors=1)
    assert "Captured network traffic log" in (suite.path / "out.html").read_text()


def test_reruns_are_forgiven_and_their_captures_stay(suite: Suite) -> None:
    pytest.importorskip("pytest_rerunfailures")
    suite.write(
        "tries = []\n"
        "def test_one(tcp_echo):\n"
        "    tries.append(1)\n"
        "    ask(tcp_echo.address, b'a')\n"
        "    assert len(tries) == 2\n"
    )
    result = suite.run_apart("-p", "pytest_rerunfailures", "--reruns=3", "--net-capture")
    assert result.ret == pytest.ExitCode.OK
    assert len(suite.files()) == 1


def test_a_conftest_with_a_timeout_option_of_its_own(suite: Suite) -> None:
    (suite.path / "conftest.py").write_text(
        "def pytest_addoption(parser):\n    parser.addoption('--timeout', default=None)\n"
    )
    suite.write(MIXED)
    suite.run_apart("--timeout=5", "--net-capture").assert_outcomes(passed=2, failed=1, skipped=1, errors=1)


def test_warnings_as_errors(suite: Suite) -> None:
    suite.write(MIXED)
    result = suite.run_apart("-W", "error", "--net-capture")
    result.assert_outcomes(passed=2, failed=1, skipped=1, errors=1)


def test_installed_as_usual_and_loaded_by_itself(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    suite.ini("asyncio_default_fixture_loop_scope = function")
    suite.write("def test_one(tcp_echo): assert ask(tcp_echo.address, b'a') == b'a'\n")
    result = suite.pytester.runpytest_subprocess("--net-capture", "-p", "no:randomly")
    result.assert_outcomes(passed=1)


def test_it_can_be_switched_off(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    suite.ini("asyncio_default_fixture_loop_scope = function")
    suite.write("def test_one(tcp_echo): pass\n")
    result = suite.pytester.runpytest_subprocess("-p", "no:netfixtures", "-p", "no:randomly")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'tcp_echo' not found*"])
