"""`net_capture.statistics`: the numbers of the file of a test, while the test runs."""

from __future__ import annotations

from .conftest import Suite


def test_a_test_asks_how_much_went_over_the_wire(suite: Suite) -> None:
    suite.write(
        "def test_one(net_capture, netlab):\n"
        "    echo = netlab.tcp_echo(name='echo')\n"
        "    ask(echo.address, b'hello')\n"
        "    numbers = net_capture.statistics\n"
        "    leg = numbers.leg(1, 'echo')\n"
        "    assert leg.to_server.packets >= 3 and leg.to_client.packets >= 2\n"
        "    assert leg.to_server.bytes >= 3 * 40 + 5\n"
        "    assert numbers.retransmissions == numbers.dropped == 0\n"
        "    assert 'tcp: ' in str(numbers)\n"
    )
    for _ in range(2):  # pytester throws away what a run inside this process has loaded
        suite.run("-W", "error").assert_outcomes(passed=1)
