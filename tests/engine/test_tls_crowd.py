"""Many handshakes at once, with failing ones among them, and nothing left open."""

from __future__ import annotations

import os
import socket
import ssl
from contextlib import ExitStack
from selectors import EVENT_READ, DefaultSelector

import pytest
from engine.server_tools import connect
from engine.tls_tools import ByHand

from pytest_netfixtures import NetLab

MANY = 200


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts descriptors in /proc")
def test_two_hundred_at_once_with_failing_ones_among_them() -> None:
    with NetLab() as lab:
        lab.tcp_echo(tls=True)
        context, untrusting = lab.ca.client_context(), ssl.create_default_context()
    before = descriptors()
    with NetLab(wait=60) as lab:
        server = lab.tcp_echo(tls=True)
        assert (
            all_at_once(server, [untrusting if n % 10 == 3 else context for n in range(MANY)]) == MANY // 10
        )
        lab.wait_for(lambda: all(None not in each.ended.values() for each in server.connections))
        failed = [each for each in server.connections if each.tls is None]
        assert len(server.connections) == MANY
        assert len(failed) == MANY // 10
        assert all(each.notes for each in failed)
    assert descriptors() <= before


def all_at_once(server: object, contexts: list[ssl.SSLContext]) -> int:
    """All clients are connected before the first speaks, and each step of each is made when it can be; how many failed."""
    failed = 0
    with ExitStack() as stack, DefaultSelector() as ready:
        clients = [ByHand(stack.enter_context(connect(server)), context) for context in contexts]
        for client in clients:
            step(client)
            ready.register(client.sock, EVENT_READ, client)
        while ready.get_map():
            for key, _ in ready.select(30) or pytest.fail("nothing came for 30 s"):
                try:
                    done = step(key.data, key.data.sock.recv(65536))
                except ssl.SSLCertVerificationError:
                    key.data.flush()
                    failed, done = failed + 1, True
                if done:
                    ready.unregister(key.fileobj)
        for client in clients:
            client.sock.shutdown(socket.SHUT_WR)
            while client.sock.recv(65536):
                pass
    return failed


def step(client: ByHand, data: bytes = b"") -> bool:
    """Go on with a handshake; True when it is done."""
    client._in.write(data)
    try:
        client.tls.do_handshake()
        return True
    except ssl.SSLWantReadError:
        return False
    finally:
        client.flush()
