"""What a failing test prints, and that a passing one prints nothing."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from .conftest import Suite

TITLE = "Captured network traffic log"

CUT = """
def test_cut(netlab):
    proxy = netlab.tcp_proxy(netlab.tcp_echo(name="redis"), to_client=Reset(after=3), name="proxy")
    assert ask(proxy.address, b"hello") == b"hello"
"""


def test_a_failing_test_shows_the_conversation_and_says_how_to_get_a_file(suite: Suite) -> None:
    suite.write(CUT)
    result = suite.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            f"*- {TITLE} -*",
            "run with --net-capture *",
            "*client --> proxy*redis*connected*",
            '*client --> proxy*5 B*"hello"*',
            "*Reset(after=3) to_client*",
        ]
    )


def test_with_a_capture_it_names_the_file_and_the_ready_command(suite: Suite) -> None:
    suite.write(CUT)
    result = suite.run("--net-capture")
    (name,) = suite.files()
    path = (suite.captures / name).relative_to(suite.path)
    result.stdout.fnmatch_lines(
        [f"*- {TITLE} -*", f"capture: {path}", f"wireshark -r {path} -Y 'tcp.stream eq ?'"]
    )


def test_a_capture_that_reached_its_limit_says_how_much_is_not_in_it(suite: Suite) -> None:
    suite.write("def test_long(tcp_echo):\n    assert ask(tcp_echo.address, b'x' * 9000) == b''\n")
    result = suite.run("--net-capture", "--net-capture-max-bytes=4096")
    result.stdout.fnmatch_lines(
        ["capture: *.pcapng (at its limit: * packets are not in it; see --net-capture-max-bytes)"]
    )


def test_a_path_with_blanks_is_quoted(suite: Suite) -> None:
    suite.write(CUT)
    suite.run("--net-capture-dir=my files", "--net-capture").stdout.fnmatch_lines(
        ["wireshark -r 'my files/*.pcapng' -Y *"]
    )


def test_a_passing_test_prints_nothing(suite: Suite) -> None:
    suite.write("def test_one(tcp_echo):\n    assert ask(tcp_echo.address, b'a') == b'a'\n")
    result = suite.run("--net-capture", "-rA")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line(f"*{TITLE}*")


def test_a_failing_test_that_does_not_use_us_has_no_section(suite: Suite) -> None:
    suite.write("def test_one(): assert 0\n")
    suite.run("--net-capture").stdout.no_fnmatch_line(f"*{TITLE}*")


def test_a_failing_fixture_has_the_section_too(suite: Suite) -> None:
    suite.write(
        "@pytest.fixture\ndef broken(tcp_echo):\n    ask(tcp_echo.address, b'from setup')\n    assert 0\n"
        "def test_one(broken): pass\n"
    )
    result = suite.run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*- {TITLE} -*", '*"from setup"*'])


LAST_WORDS = """
import threading

@pytest.fixture
def busy(netlab, monkeypatch):
    gate = threading.Event()
    catch_up = netlab.engine.catch_up
    monkeypatch.setattr(netlab.engine, "catch_up", lambda within: gate.set() or catch_up(60))
    yield lambda: netlab.engine.post(gate.wait)
    gate.set()

def fail(netlab, busy):
    server = netlab.tcp_server()
    with socket.create_connection(server.address) as client:
        server.accept()
        busy()
        client.sendall(b"the last words")
        assert 0

@pytest.fixture
def broken(netlab, busy):
    fail(netlab, busy)

def test_in_setup(broken):
    pass

def test_in_call(netlab, busy):
    fail(netlab, busy)
"""


@pytest.mark.parametrize("name", ["test_in_setup", "test_in_call"])
def test_what_the_client_did_last_is_in_the_report_of_its_error(suite: Suite, name: str) -> None:
    """The engine is busy when it happens."""
    suite.write(LAST_WORDS)
    suite.run("-k", name).stdout.fnmatch_lines(['*14 B  "the last words"*'])


def test_a_failing_teardown_has_the_section_with_teardown_in_its_title(suite: Suite) -> None:
    suite.write(
        "@pytest.fixture\ndef broken(tcp_echo):\n    yield\n    ask(tcp_echo.address, b'from teardown')\n    assert 0\n"
        "def test_one(broken): pass\n"
    )
    result = suite.run("--show-capture=log")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines([f"*- {TITLE} teardown -*", "*--- teardown ---*", '*"from teardown"*'])


def test_one_report_has_one_section(suite: Suite) -> None:
    suite.write(CUT)
    text = suite.run().stdout.str()
    assert text.count(TITLE) == 1


def test_secrets_are_left_out(suite: Suite) -> None:
    suite.ini("net_redact = token-[a-z]+")
    suite.write(
        "def test_one(tcp_echo):\n"
        "    ask(tcp_echo.address, b'Authorization: Bearer abcdef\\r\\nx: token-qwerty\\r\\n')\n"
        "    assert 0\n"
    )
    section = suite.run("--tb=no").stdout.str().partition(TITLE)[2]
    result = suite.run("--tb=line")
    result.assert_outcomes(failed=1)
    assert "abcdef" not in section and "qwerty" not in section


def test_sizes_alone(suite: Suite) -> None:
    suite.ini("net_report = sizes")
    suite.write(CUT)
    result = suite.run()
    result.stdout.fnmatch_lines([f"*- {TITLE} -*", "*client --> proxy*5 B*"])
    assert "hello" not in result.stdout.str().partition(TITLE)[2].partition("short test summary")[0]


def test_off_is_off(suite: Suite) -> None:
    suite.ini("net_report = off")
    suite.write(CUT)
    suite.run().stdout.no_fnmatch_line(f"*{TITLE}*")
    suite.run("--net-capture").stdout.fnmatch_lines([f"*- {TITLE} -*", "capture: *"])


def test_control_characters_do_not_reach_the_terminal(suite: Suite) -> None:
    suite.write("def test_one(tcp_echo):\n    ask(tcp_echo.address, b'\\x1b[31mred\\x07')\n    assert 0\n")
    text = suite.run("--color=no").stdout.str()
    assert "\x1b" not in text and "\x07" not in text
    assert r"\x1b[31mred\x07" in text


def test_junit_gets_the_path_of_a_capture_that_stays(suite: Suite) -> None:
    suite.write(CUT + "def test_fine(tcp_echo): ask(tcp_echo.address, b'a')\n")
    suite.run("--net-capture", "--junitxml=out.xml")
    tree = ElementTree.parse(suite.path / "out.xml")
    found = {
        case.get("name"): [(p.get("name"), p.get("value")) for p in case.iter("property")]
        for case in tree.iter("testcase")
    }
    (name,) = suite.files()
    assert found == {"test_cut": [("net_capture", str(suite.captures / name))], "test_fine": []}


def test_only_plain_values_are_on_reports(suite: Suite) -> None:
    (suite.path / "conftest.py").write_text(
        "import json\n"
        "def pytest_runtest_logreport(report):\n"
        "    json.dumps([report.sections, report.user_properties])\n"
        "    with open('reports.json', 'a') as file:\n"
        "        file.write(json.dumps(report.user_properties) + '\\n')\n"
    )
    suite.write(CUT)
    suite.run("--net-capture").assert_outcomes(failed=1)
    lines = [json.loads(line) for line in (suite.path / "reports.json").read_text().splitlines()]
    assert [len(line) for line in lines] == [0, 1, 1]


def test_differing_bytes_are_a_hexdump_in_tests_that_use_us(suite: Suite) -> None:
    suite.write(
        "def test_ours(tcp_echo): assert b'a' * 20 + b'b' == b'a' * 21\ndef test_theirs(): assert b'ab' == b'ac'\n"
    )
    result = suite.run()
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*first difference at byte 20*", "*00000010*61 61 61 61 62*|aaaab|*"])
    result.stdout.fnmatch_lines(["*At index 1 diff*"])


def test_a_report_that_cannot_be_made_loses_no_result(suite: Suite) -> None:
    (suite.path / "conftest.py").write_text(
        "import pytest_netfixtures._report as report\n"
        "def broken(*args): raise RuntimeError('no ladder')\n"
        "import pytest\n"
        "@pytest.fixture(autouse=True)\n"
        "def no_ladder(monkeypatch):\n"
        "    report.ladder, kept = broken, report.ladder\n"
        "    yield\n"
        "    report.ladder = kept\n"
    )
    suite.write(CUT.replace("(netlab)", "(netlab)"))
    result = suite.run("-W", "error")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"*- {TITLE} -*", "*cannot be shown: RuntimeError('no ladder')*"])


@pytest.mark.parametrize("plugin", ["terminal", "cacheprovider", "logging", "junitxml"])
def test_without_a_plugin_of_pytest_itself(suite: Suite, plugin: str) -> None:
    suite.write(CUT)
    result = suite.run_apart("--net-capture", "-p", f"no:{plugin}")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert len(suite.files()) == 1


BEFORE_THE_SESSION = """
@pytest.fixture(scope="session")
def server(netlab_session):
    return netlab_session.tcp_echo(name="shared")
"""


def test_a_proxy_of_the_test_tells_of_the_server_of_the_session(suite: Suite) -> None:
    suite.write(
        BEFORE_THE_SESSION
        + "def test_one(server, fault_proxy):\n"
        + "    assert ask(fault_proxy(server, to_client=Reset(at=0)).address, b'hello') == b'hello'\n"
    )
    result = suite.run("--net-capture")
    result.stdout.fnmatch_lines(
        [
            "wireshark * -Y 'tcp.stream eq 0'",
            "*time  client     tcp_proxy     shared",
            "*client --> tcp_proxy --> shared  connected, from *",
        ]
    )
    output = result.stdout.str()
    assert output.count(' 5 B  "hello"') == 2 and output.count("--- call ---") == 1


def test_a_session_that_was_talked_to_without_a_proxy_is_told_beside(suite: Suite) -> None:
    suite.write(
        BEFORE_THE_SESSION
        + "def test_one(server, fault_proxy):\n"
        + "    assert ask(server.address, b'direct') == b'direct'\n"
        + "    assert ask(fault_proxy(server, to_client=Truncate(after=1)).address, b'hello') == b'hello'\n"
    )
    output = suite.run().stdout.str()
    assert output.count(' 6 B  "direct"') == output.count(' 5 B  "hello"') == 2
    assert "client     shared\n" in output and "client     tcp_proxy     shared\n" in output
