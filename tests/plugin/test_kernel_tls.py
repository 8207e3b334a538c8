"""What the kernel's packets say under TLS: tshark decrypts each leg with the keys in the file."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pcap import shark

from .conftest import Suite

KERNEL = "--net-capture-backend=kernel"
SCENE = """
import socket
@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_one(netlab, version):
    tls = Tls(minimum=version, maximum=version)
    echo = netlab.tcp_echo(tls=tls, name="echo")
    proxy = netlab.tcp_proxy(echo, tls=tls, name="proxy", to_client=Delay(0.001))
    for server, word in ((echo, b"to the server"), (proxy, b"through the proxy")):
        context = netlab.ca.client_context()
        with socket.create_connection(server.address, 10) as raw:
            with context.wrap_socket(raw, server_hostname="localhost") as client:
                client.sendall(word)
                assert client.recv(100) == word
"""


@pytest.mark.usefixtures("kernel")
def test_a_server_and_both_legs_of_a_proxy_are_decrypted(suite: Suite, referee: Callable[[str], str]) -> None:
    pytest.importorskip("trustme")
    suite.write(SCENE)
    suite.run_apart(KERNEL, "--net-capture-keep=all").assert_outcomes(passed=2)
    wanted = ["-Y", "tls.app_data && data", "-T", "fields", "-e", "tcp.stream", "-e", "data.data"]
    files = sorted(suite.captures.glob("*.pcapng"))
    assert len(files) == 2
    for path in files:
        shown = shark.run(referee("tshark"), "-n", "-r", path, *wanted).stdout.splitlines()
        server, proxy = (word.encode().hex() for word in ("to the server", "through the proxy"))
        assert sorted(shown) == sorted([f"0\t{server}"] * 2 + [f"1\t{proxy}"] * 2 + [f"2\t{proxy}"] * 2), (
            path.name,
            shown,
        )


@pytest.mark.usefixtures("kernel")
def test_without_secrets_nothing_is_decrypted(suite: Suite, referee: Callable[[str], str]) -> None:
    pytest.importorskip("trustme")
    suite.write(SCENE)
    suite.run_apart(KERNEL, "--net-capture-keep=all", "--net-capture-no-secrets").assert_outcomes(passed=2)
    for path in suite.captures.glob("*.pcapng"):
        found = shark.run(referee("tshark"), "-n", "-r", path, "-Y", "tls.app_data")
        assert found.stdout and not shark.run(referee("tshark"), "-n", "-r", path, "-Y", "data").stdout


@pytest.mark.usefixtures("kernel")
def test_a_comment_of_a_fault_is_on_the_record_that_it_delayed(
    suite: Suite, referee: Callable[[str], str]
) -> None:
    pytest.importorskip("trustme")
    suite.write(SCENE)
    suite.run_apart(KERNEL, "--net-capture-keep=all").assert_outcomes(passed=2)
    wanted = ["-Y", 'frame.comment contains "fault"', "-T", "fields", "-e", "tcp.stream", "-e", "data.data"]
    for path in suite.captures.glob("*.pcapng"):
        touched = shark.run(referee("tshark"), "-n", "-r", path, *wanted).stdout.splitlines()
        assert f"1\t{b'through the proxy'.hex()}" in touched
        assert all(line.startswith("1\t") for line in touched), touched
