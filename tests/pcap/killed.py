"""A program that kills its children at random moments while they capture: `killed.py FOLDER CHILDREN SEED [tls]`.

It asserts nothing. Each child is a fork with an engine and a lab of its own, which writes one capture; all that it needs
is imported before the fork. A child with TLS says plain text that holds the word SECRET-n.
"""

from __future__ import annotations

import os
import random
import select
import signal
import socket
import ssl
import sys
from pathlib import Path
from typing import Any

from pytest_netfixtures import Delay, NetLab, Reset, Slice
from pytest_netfixtures._capture import Capture

LONGEST = 0.03
"""Seconds between a child's first byte and its end."""
SIZES = (1, 40, 1500, 9000, 70_000, 300_000)
FAULTS: tuple[Any, ...] = ((), Slice(1000), Reset(after=5000), Delay(0.001))


def capture_for_ever(path: Path, number: int, tls: bool, ready: int) -> None:
    """Traffic until the end comes from outside."""
    chance = random.Random(number)
    with NetLab(seed=number) as lab:
        capture = Capture(path, node_id=f"killed.py::child[{number}]", comment={}, max_bytes=64 << 20)
        capture.attach(lab)
        server = lab.tcp_echo(tls=tls)
        proxy = lab.tcp_proxy(server, to_client=() if tls else FAULTS[number % len(FAULTS)])
        context = lab.ca.client_context() if tls else None
        if tls:
            talk(
                proxy.address, 16, context, number
            )  # whoever is killed later has a whole handshake in the file
        os.write(ready, b"!")
        while True:
            talk(proxy.address, chance.choice(SIZES[:4] if tls else SIZES), context, number)


def talk(address: Any, size: int, context: ssl.SSLContext | None, number: int) -> None:
    """One connection: a question, and its echo as far as it comes."""
    data = f"SECRET-{number} ".encode().ljust(max(size, 16), b"x")
    with socket.create_connection(address, 10) as plain:
        client = context.wrap_socket(plain, server_hostname="localhost") if context else plain
        try:
            client.sendall(data)
            while len(data) > 0 and (got := client.recv(1 << 16)):
                data = data[len(got) :]
        except OSError:
            return


def one(path: Path, number: int, tls: bool, seconds: float) -> int:
    """Starts a child; returns its pid when its time has come."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reader)
        try:
            capture_for_ever(path, number, tls, writer)
        finally:
            os._exit(1)
    os.close(writer)
    select.select([reader], [], [], 20)  # it has begun
    os.read(reader, 1)
    select.select([reader], [], [], seconds)  # it says no more
    os.close(reader)
    return pid


def main(folder: Path, children: int, seed: int, tls: bool) -> None:
    """All of them, one after the other; the exit code is that of the first that did not die as it should."""
    chance = random.Random(seed)
    if tls:
        prepare_tls()
    for number in range(children):
        pid = one(folder / f"{number:03}.pcapng", number, tls, chance.uniform(0, LONGEST))
        os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
        if not os.WIFSIGNALED(status):
            sys.exit(f"child {number} ended by itself: {status}")


def prepare_tls() -> None:
    """The authority is made once; a child would take its time over it."""
    with NetLab() as lab:
        lab.ca.client_context()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), "tls" in sys.argv)
