"""A wrong call is shown where it was made: the traceback of our own errors ends in the user's line."""

from __future__ import annotations

import pytest

from .conftest import Suite

WRONG = {
    "Delay(-1)": "ValueError: seconds is -1",
    "Reset().when('GET')": "TypeError: pattern is 'GET'",
    "Reset().on_connections(0)": "ValueError: on_connections is 0",
    "netlab.wait_for(5)": "TypeError: condition is 5",
    "netlab.tcp_echo().traffic.connection(1)": "ValueError: no connection has number 1",
    "netlab.tcp_proxy('http://127.0.0.1:80')": "ValueError: upstream is 'http://127.0.0.1:80'",
    "netlab.tcp_proxy(netlab.tcp_echo()).fault()": "ValueError: fault() has no fault",
    "netlab.tcp_proxy(netlab.tcp_echo()).fired(Reset)": "TypeError: fault is the class Reset",
    "netlab.tcp_server(5)": "TypeError: handler is 5",
    "netlab.tcp_echo(host='example')": "ValueError: host is 'example'",
    "netlab.udp_responder({1: b''})": "TypeError: answers has the question 1",
    "netlab.mark(5)": "TypeError: text is 5",
    "assert_sent(5, to_server=b'x')": "TypeError: where is 5",
    "assert_sent(netlab.tcp_echo())": "ValueError: neither to_server nor to_client is given",
}


@pytest.mark.parametrize("call", WRONG)
def test_the_traceback_of_a_wrong_call_ends_in_the_users_line(suite: Suite, call: str) -> None:
    suite.write(f"def test_wrong(netlab):\n    {call}\n")
    output = suite.run("--tb=short").stdout.str()
    assert WRONG[call] in output
    assert "pytest_netfixtures/_" not in output and "???" not in output


def test_the_frames_are_there_for_who_asks(suite: Suite) -> None:
    suite.write("def test_wrong(netlab):\n    Delay(-1)\n")
    assert "pytest_netfixtures/_" in suite.run("--tb=short", "--full-trace").stdout.str()


def test_a_wait_that_would_stop_the_loop_is_shown_where_it_stands(suite: Suite) -> None:
    suite.write(
        "import asyncio\n\n"
        "async def wrong(netlab):\n    netlab.wait_for(lambda: False)\n\n"
        "def test_wrong(netlab):\n    asyncio.run(wrong(netlab))\n"
    )
    output = suite.run("--tb=short").stdout.str()
    assert "await wait_for_async(...)" in output and "pytest_netfixtures/_" not in output


ANSWERS = {
    "return [b'x']": "TypeError: mine yielded b'x'; expected an event",
    "return None": "TypeError: mine returned None; expected events",
    "return [Datagram(event.at, event.data)]": "TypeError: mine yielded Datagram(*expected Data: a stream has no*",
    "return [Data(event.at, 'x')]": "TypeError: mine yielded Data(*expected bytes as its data",
}


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("caught", [True, False])
def test_a_wrong_answer_of_a_fault_of_ones_own_is_told_without_our_frames(
    suite: Suite, answer: str, caught: bool
) -> None:
    suite.write(
        f"def mine(event, seen):\n    if isinstance(event, Data): {answer}\n    return [event]\n\n"
        "def test_one(tcp_echo, fault_proxy):\n    proxy = fault_proxy(tcp_echo, to_client=mine)\n"
        + ("    with pytest.raises(OSError):\n    " if caught else "")
        + "    ask(proxy.address, b'x')\n"
    )
    result = suite.run("--tb=short")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"*{ANSWERS[answer].replace('[', '[[]')}*"])
    assert "pytest_netfixtures/_" not in result.stdout.str()
