"""`net_capture`: the capture of this test, in the hands of the test."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

from .conftest import Suite


def packets(path: str, referee: Callable[[str], str]) -> str:
    done = subprocess.run([referee("tshark"), "-r", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_asking_for_it_switches_capture_on(suite: Suite) -> None:
    suite.write(
        "def test_one(net_capture, tcp_echo):\n"
        "    ask(tcp_echo.address, b'hello')\n"
        "    assert net_capture.path.read_bytes().count(b'hello') == 2\n"
        "    assert net_capture.traffic.to_server.sent == b'hello'\n"
    )
    suite.run("-W", "error").assert_outcomes(passed=1)
    assert suite.files() == []


def test_in_whatever_order_the_fixtures_come(suite: Suite) -> None:
    suite.write(
        "def test_one(tcp_echo, request):\n"
        "    ask(tcp_echo.address, b'before')\n"
        "    capture = request.getfixturevalue('net_capture')\n"
        "    ask(tcp_echo.address, b'after')\n"
        "    assert b'after' in capture.path.read_bytes()\n"
        "    assert len(capture.traffic.connections) == 2\n"
    )
    suite.run("--no-net-capture").assert_outcomes(passed=1)


def test_the_lab_may_come_after_it(suite: Suite) -> None:
    suite.write(
        "def test_one(net_capture, request):\n"
        "    server = request.getfixturevalue('netlab').tcp_echo()\n"
        "    ask(server.address, b'hello')\n"
        "    assert b'hello' in net_capture.path.read_bytes()\n"
        "    assert 0\n"
    )
    suite.run().assert_outcomes(failed=1)
    assert len(suite.files()) == 1


def test_a_mark_is_a_row_and_a_line(suite: Suite, referee: Callable[[str], str]) -> None:
    suite.write(
        "def test_one(net_capture, tcp_echo):\n"
        "    net_capture.mark('now the retry')\n"
        "    ask(tcp_echo.address, b'hello')\n"
        "    assert 0\n"
    )
    suite.run().stdout.fnmatch_lines(["*now the retry*"])
    (name,) = suite.files()
    text = packets(str(suite.captures / name), referee)
    assert "now the retry" in text
    assert [text.count(phase) for phase in ("setup", "call", "teardown")] == [1, 1, 1]


def test_phases_are_there_once_with_two_labs(suite: Suite, referee: Callable[[str], str]) -> None:
    suite.write(
        "def test_one(net_capture, tcp_echo, netlab_session):\n"
        "    ask(netlab_session.tcp_echo().address, b'hello')\n"
        "    assert 0\n"
    )
    suite.run()
    (name,) = suite.files()
    text = packets(str(suite.captures / name), referee)
    assert [text.count(phase) for phase in ("setup", "call", "teardown")] == [1, 1, 1]


def test_a_mark_wants_text(suite: Suite) -> None:
    suite.write(
        "def test_one(net_capture):\n    with pytest.raises(TypeError, match='text is 5'): net_capture.mark(5)\n"
    )
    suite.run().assert_outcomes(passed=1)


def test_what_is_saved_stays(suite: Suite, referee: Callable[[str], str]) -> None:
    suite.write(
        "def test_one(net_capture, tcp_echo):\n"
        "    ask(tcp_echo.address, b'hello')\n"
        "    assert net_capture.save('golden.pcapng').name == 'golden.pcapng'\n"
    )
    suite.run().assert_outcomes(passed=1)
    assert suite.files() == []
    assert "TCP" in packets(str(suite.path / "golden.pcapng"), referee)


def test_without_a_directory_it_says_why(suite: Suite) -> None:
    (suite.path / "net-captures").write_text("a file in its way")
    suite.write(
        "def test_one(net_capture, tcp_echo):\n"
        "    net_capture.mark('goes nowhere')\n"
        "    assert ask(tcp_echo.address, b'a') == b'a'\n"
        "    with pytest.raises(CaptureUnavailable, match='cannot be written'): net_capture.path\n"
        "    with pytest.raises(CaptureUnavailable): net_capture.save('x')\n"
        "    assert len(net_capture.traffic.connections) == 1\n"
    )
    suite.run().assert_outcomes(passed=1, warnings=1)


def test_a_forked_child_leaves_the_file_alone(suite: Suite) -> None:
    suite.write(
        "import warnings\n"
        "def test_one(net_capture, tcp_echo):\n"
        "    ask(tcp_echo.address, b'hello')\n"
        "    tcp_echo.stop()\n"
        "    tcp_echo.start()\n"
        "    before = net_capture.path.read_bytes()\n"
        "    with warnings.catch_warnings():\n"
        "        warnings.simplefilter('ignore')\n"
        "        child = os.fork()\n"
        "    if not child:\n"
        "        import atexit\n"
        "        atexit._run_exitfuncs()\n"
        "        os._exit(3)\n"
        "    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3\n"
        "    assert net_capture.path.read_bytes() == before\n"
        "    assert ask(tcp_echo.address, b'again') == b'again'\n"
        "    assert b'again' in net_capture.path.read_bytes()\n"
    )
    result = suite.run_apart()
    result.stdout.fnmatch_lines(["*1 passed*"])
