"""What a server of the test meets reaches the test, and the test's own error stays what it is."""

from __future__ import annotations

import pytest

from pytest_netfixtures._joined import append, is_verdict, joined

from .conftest import Suite

BROKEN = """
def broken(conn):
    conn.recv(10)
    raise ValueError("in the handler")


def met(server, data=b"x"):
    with socket.create_connection(server.address, 10) as client:
        client.sendall(data)
        client.recv(10)
"""


def test_a_handler_that_fails_fails_a_test_that_passed(suite: Suite) -> None:
    suite.write(BROKEN + "def test_one(netlab): met(netlab.tcp_server(broken))\n")
    result = suite.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*def broken(conn):*",
            '>*raise ValueError("in the handler")',
            "FAILED *test_one - ValueError: in the*",
        ]
    )


def test_it_joins_the_error_of_the_test(suite: Suite) -> None:
    suite.write(BROKEN + "def test_one(netlab):\n    met(netlab.tcp_server(broken))\n    assert 0, 'own'\n")
    result = suite.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["E*ValueError: in the handler", "E*AssertionError: own", "FAILED *test_one - AssertionError: own*"]
    )


def test_the_type_of_the_error_of_the_test_counts_for_xfail(suite: Suite) -> None:
    source = "def test_one(netlab):\n    met(netlab.tcp_server(broken))\n    raise KeyError('own')\n"
    suite.write(BROKEN + "@pytest.mark.xfail(raises=KeyError)\n" + source)
    suite.run().assert_outcomes(xfailed=1)
    suite.write(BROKEN + "@pytest.mark.xfail(raises=ValueError)\n" + source)
    suite.run().assert_outcomes(failed=1)


def test_a_skip_stays_a_skip(suite: Suite) -> None:
    suite.write(
        BROKEN
        + "def test_one(netlab):\n    met(netlab.tcp_server(broken))\n    pytest.skip('no')\n"
        + "def test_two(netlab):\n    met(netlab.tcp_server(broken))\n    pytest.xfail('known')\n"
    )
    suite.run().assert_outcomes(skipped=1, xfailed=1)


def test_several_handlers_are_all_shown(suite: Suite) -> None:
    suite.write(
        "def one(conn): raise ValueError('first')\n"
        "def two(conn): raise KeyError('second')\n"
        "def test_one(netlab):\n"
        "    server = netlab.tcp_server([one, two])\n"
        "    for _ in range(2):\n"
        "        with socket.create_connection(server.address, 10) as client:\n"
        "            client.recv(10)\n"
    )
    result = suite.run()
    result.assert_outcomes(failed=1)
    assert {"first", "second"} <= {word for line in result.outlines for word in line.split("'") if word}


def test_one_that_comes_late_fails_the_teardown(suite: Suite) -> None:
    suite.write(
        "import threading\n"
        "@pytest.fixture\n"
        "def late(netlab):\n"
        "    go = threading.Event()\n"
        "    def handler(conn):\n"
        "        go.wait(10)\n"
        "        raise ValueError('late')\n"
        "    server = netlab.tcp_server(handler)\n"
        "    client = socket.create_connection(server.address, 10)\n"
        "    yield client\n"
        "    go.set()\n"
        "    client.recv(10)\n"
        "    client.close()\n"
        "def test_one(late): pass\n"
    )
    result = suite.run()
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_one*", "E*ValueError: late"])


def test_one_in_a_fixture_joins_the_error_of_the_fixture(suite: Suite) -> None:
    suite.write(
        BROKEN
        + "@pytest.fixture\ndef client(netlab):\n    met(netlab.tcp_server(broken))\n    assert 0, 'own'\n"
        + "def test_one(client): pass\n"
    )
    result = suite.run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["E*ValueError: in the handler", "E*AssertionError: own"])


def test_a_fault_that_never_fired_is_a_warning_at_the_place_of_the_test(suite: Suite) -> None:
    suite.write("def test_one(netlab): netlab.tcp_proxy(netlab.tcp_echo(), to_client=Reset(after=3))\n")
    result = suite.run("-W", "default")
    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(["*test_it.py:*FaultNeverFired: Reset(after=3)*was armed and never fired*"])


def test_where_warnings_are_errors_it_fails_the_call(suite: Suite) -> None:
    suite.write("def test_one(netlab): netlab.tcp_proxy(netlab.tcp_echo(), to_client=Reset(after=3))\n")
    result = suite.run("-W", "error")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["FaultNeverFired: Reset(after=3) to_client of tcp_proxy was armed and never*"]
    )


def test_a_test_that_failed_is_not_warned(suite: Suite) -> None:
    suite.write(
        "def test_one(netlab):\n    netlab.tcp_proxy(netlab.tcp_echo(), to_client=Reset(after=3))\n    assert 0\n"
    )
    suite.run().assert_outcomes(failed=1, warnings=0)


def test_an_optional_fault_and_the_ini_key_are_silent(suite: Suite) -> None:
    suite.write(
        "def test_one(netlab): netlab.tcp_proxy(netlab.tcp_echo(), to_client=Reset(after=3).optional())\n"
    )
    suite.run().assert_outcomes(passed=1, warnings=0)
    suite.ini("net_must_fire = false")
    suite.write("def test_one(netlab): netlab.tcp_proxy(netlab.tcp_echo(), to_client=Reset(after=3))\n")
    suite.run().assert_outcomes(passed=1, warnings=0)


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def test_an_error_goes_to_the_end_of_the_chain() -> None:
    own, cause, handler = KeyError("own"), OSError("cause"), ValueError("handler")
    own.__cause__ = cause
    append(own, handler)
    assert own.__cause__ is cause and cause.__context__ is handler


def test_raise_from_none_still_shows_it() -> None:
    own, handler = KeyError("own"), ValueError("handler")
    own.__cause__ = None
    append(own, handler)
    assert own.__context__ is handler and not own.__suppress_context__


def test_a_chain_never_becomes_a_circle() -> None:
    own, handler = KeyError("own"), ValueError("handler")
    append(own, handler)
    append(handler, own)
    append(own, own)
    assert own.__context__ is handler and handler.__context__ is None


def test_of_several_errors_the_first_carries_the_others() -> None:
    first, second = ValueError("1"), ValueError("2")
    assert joined([]) is None
    assert joined([raised(first), raised(second)]) is first
    assert first.__context__ is second


@pytest.mark.parametrize(
    "error",
    [
        pytest.skip.Exception("a"),
        pytest.xfail.Exception("b"),
        pytest.exit.Exception("c"),
        KeyboardInterrupt(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_verdicts_are_left_alone(error: BaseException) -> None:
    assert is_verdict(error)
    assert not is_verdict(pytest.fail.Exception("d")) and not is_verdict(AssertionError())
