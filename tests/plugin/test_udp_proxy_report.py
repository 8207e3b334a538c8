"""What a failing test shows of a UDP proxy: both legs in the ladder, faults in line, and the filter for its stream."""

from __future__ import annotations

from .conftest import Suite

TALK = """
def talk(address, *row):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(30)
        client.connect(address)
        for data in row:
            client.send(data)
        return client.recv(100)

def test_loss(netlab):
    server = netlab.udp_responder(name="dns")
    proxy = netlab.udp_proxy(server, to_server=Loss(1.0).times(1), name="line", **{more})
    assert talk(proxy.address, b"lost", b"who?") == b"me"
"""


def test_the_ladder_shows_both_legs_and_what_was_lost(suite: Suite) -> None:
    suite.write(TALK.replace("{more}", "{}"))
    result = suite.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*time  client     line     dns",
            "*client --> line --> dns  first datagram, from 127.0.0.1:*",
            '*client --> line            * 4 B  "lost"',
            "*[*][*][*] Loss(rate=1.0).times(1) to_server: datagram 0 lost",
            '*datagram 0 of to_server, 4 B "lost"',
            '*client --> line --> dns * 4 B  "who[?]"',
            '*client <-- line <-- dns * 4 B  "who[?]"',
        ]
    )


def test_with_a_capture_it_names_the_udp_stream_of_the_fault(suite: Suite) -> None:
    suite.write(TALK.replace("{more}", "{}"))
    result = suite.run("--net-capture")
    (name,) = suite.files()
    result.stdout.fnmatch_lines([f"wireshark -r *{name} -Y 'udp.stream eq 1'"])


def test_a_number_that_counts_behind_other_faults_shows_no_other_datagram(suite: Suite) -> None:
    suite.write(TALK.replace("{more}", "{'to_client': [Duplicate(1.0).times(1), Corrupt(at=1)]}"))
    result = suite.run()
    result.stdout.fnmatch_lines(
        ["*Duplicate(rate=1.0).times(1) to_client*", "*Corrupt(at=1) to_client: datagram 1 changed"]
    )
    result.stdout.no_fnmatch_line("*datagram 1 of to_client*")


def test_a_refusal_of_the_upstream_is_a_line(suite: Suite) -> None:
    suite.write(
        TALK.replace("{more}", "{}")
        + """
def test_refused(netlab):
    server = netlab.udp_responder(name="dns")
    server.stop()
    proxy = netlab.udp_proxy(server, name="line")
    with pytest.raises(TimeoutError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.05)
        client.connect(proxy.address)
        client.send(b"who?")
        client.recv(100)
    netlab.wait_for(lambda: proxy.connections[0].notes)
    assert 0
"""
    )
    result = suite.run("-k", "refused")
    result.stdout.fnmatch_lines(
        [
            '*client --> line --> * 4 B  "who[?]"',
            "*line --> *[*][*][*] refused: 127.0.0.1 port *: port unreachable (ICMP)",
            "*note: line refuses for 1 s, as the upstream did",
        ]
    )


def test_an_error_in_a_fault_is_the_failure_and_says_what_became_of_the_session(suite: Suite) -> None:
    suite.write(
        """
def breaks(event, seen):
    if isinstance(event, Datagram):
        raise LookupError("a fault of the fault")
    return []

def test_one(netlab):
    proxy = netlab.udp_proxy(netlab.udp_responder(), to_server=breaks, name="line")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"who?", proxy.address)
        netlab.wait_for(lambda: proxy.connections and proxy.connections[0].notes)
"""
    )
    result = suite.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*LookupError: a fault of the fault",
            "*note: a fault raised LookupError*, so that the session is over",
        ]
    )


def test_a_fault_that_never_fired_is_said_of_a_udp_proxy_too(suite: Suite) -> None:
    suite.write("def test_one(netlab): netlab.udp_proxy(netlab.udp_responder(), to_client=Drop())\n")
    suite.run().stdout.fnmatch_lines(["*FaultNeverFired*Drop() to_client of udp_proxy*"])
