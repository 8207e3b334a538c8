"""`netlab_session`: servers outlive a test, records do not."""

from __future__ import annotations

from .conftest import Suite

SHARED = """
@pytest.fixture(scope="session")
def server(netlab_session):
    server = netlab_session.tcp_echo(name="shared")
    ask(server.address, b"from the fixture")
    return server
"""


def test_each_test_starts_with_fresh_records_and_numbers(suite: Suite) -> None:
    suite.write(
        SHARED
        + "@pytest.mark.parametrize('n', range(3))\n"
        + "def test_one(server, n):\n"
        + "    assert len(server.traffic.connections) == 0\n"
        + "    ask(server.address, b'x')\n"
        + "    assert server.traffic.connection(1).to_server.sent == b'x'\n"
    )
    suite.run("-W", "error").assert_outcomes(passed=3)


def test_what_a_fixture_of_the_test_sends_belongs_to_the_test(suite: Suite) -> None:
    suite.write(
        SHARED
        + "@pytest.fixture\ndef own(server): ask(server.address, b'own')\n"
        + "def test_one(server, own):\n"
        + "    assert [c.to_server.sent for c in server.traffic.connections] == [b'own']\n"
    )
    suite.run().assert_outcomes(passed=1)


def test_an_open_connection_stays_and_is_marked(suite: Suite) -> None:
    suite.write(
        SHARED
        + "@pytest.fixture(scope='session')\n"
        + "def client(server):\n"
        + "    with socket.create_connection(server.address, 10) as client:\n"
        + "        client.sendall(b'before')\n"
        + "        assert client.recv(100) == b'before'\n"
        + "        yield client\n"
        + "@pytest.mark.parametrize('n', range(2))\n"
        + "def test_one(server, client, n):\n"
        + "    client.sendall(b'x')\n"
        + "    assert client.recv(1) == b'x'\n"
        + "    (connection,) = server.traffic.connections\n"
        + "    assert connection.opened_before and connection.to_client.delivered == b'x'\n"
    )
    suite.run().assert_outcomes(passed=2)


def test_faults_of_a_test_are_gone_and_those_of_a_fixture_stay(suite: Suite) -> None:
    suite.write(
        SHARED
        + "@pytest.fixture(scope='session')\n"
        + "def proxy(netlab_session, server):\n"
        + "    return netlab_session.tcp_proxy(server, to_client=Truncate(after=2).optional())\n"
        + "@pytest.mark.parametrize('n', range(2))\n"
        + "def test_one(proxy, n):\n"
        + "    assert ask(proxy.address, b'xyz') == b'xy'\n"
        + "    assert proxy.is_armed(Truncate(after=2).optional()) and not proxy.is_armed(Stall())\n"
        + "    proxy.fault(to_client=Stall()).__enter__()\n"
        + "    assert proxy.is_armed(Stall())\n"
    )
    suite.run("-W", "ignore").assert_outcomes(passed=2)


def test_its_traffic_is_in_the_report_and_the_capture_of_the_test_that_ran(suite: Suite) -> None:
    suite.write(
        SHARED
        + "def test_one(server):\n    ask(server.address, b'first test')\n"
        + "def test_two(server):\n    ask(server.address, b'second test')\n    assert 0\n"
    )
    result = suite.run("--net-capture", "--tb=no")
    result.assert_outcomes(passed=1, failed=1)
    (name,) = suite.files()
    data = (suite.captures / name).read_bytes()
    assert b"second test" in data and b"first test" not in data and b"from the fixture" not in data
    section = suite.run("--tb=short").stdout.str().partition("Captured network traffic log")[2]
    assert "second test" in section and "first test" not in section


def test_its_errors_fail_the_test_that_ran(suite: Suite) -> None:
    suite.write(
        "@pytest.fixture(scope='session')\n"
        "def server(netlab_session):\n"
        "    def handler(conn):\n"
        "        if conn.recv(10) == b'bad': raise ValueError('bad')\n"
        "    return netlab_session.tcp_server(handler)\n"
        "def test_one(server): ask(server.address, b'good')\n"
        "def test_two(server): ask(server.address, b'bad')\n"
        "def test_three(server): ask(server.address, b'good')\n"
    )
    suite.run().assert_outcomes(passed=2, failed=1)


def test_beside_a_lab_of_the_test_both_are_told(suite: Suite) -> None:
    suite.write(
        SHARED
        + "def test_one(server, netlab, net_capture):\n"
        + "    ask(netlab.tcp_proxy(server, name='mine').address, b'through both')\n"
        + "    assert {c.endpoint for c in net_capture.traffic.connections} == {'mine', 'shared'}\n"
        + "    assert 0\n"
    )
    result = suite.run("--net-capture")
    result.assert_outcomes(failed=1)
    assert len(suite.files()) == 1
    text = result.stdout.str()
    assert text.count("Captured network traffic log") == 1 and "mine" in text and "shared" in text


def test_a_fault_of_a_fixture_need_not_fire_in_every_test(suite: Suite) -> None:
    suite.write(
        SHARED
        + "@pytest.fixture(scope='session')\n"
        + "def proxy(netlab_session, server): return netlab_session.tcp_proxy(server, to_client=Reset(after=3))\n"
        + "def test_one(proxy): pass\n"
        + "def test_two(proxy): proxy.set_faults(to_client=Truncate(after=50))\n"
    )
    result = suite.run("-W", "default")
    result.assert_outcomes(passed=2, warnings=1)
    result.stdout.fnmatch_lines(["*FaultNeverFired: Truncate(after=50)*"])


def test_a_test_may_ask_for_it_in_its_own_code(suite: Suite) -> None:
    suite.write(
        "def test_one(request):\n"
        "    def handler(conn): raise ValueError('in the handler')\n"
        "    server = request.getfixturevalue('netlab_session').tcp_server(handler)\n"
        "    ask(server.address, b'a')\n"
        "def test_two(): pass\n"
    )
    result = suite.run()
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(["E*ValueError: in the handler", "*Captured network traffic log*"])
