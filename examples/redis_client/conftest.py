"""A real redis-server for the tests of this folder: started once, on a port of its own, without persistence.

It is skipped, and says so, where redis-server is not installed. It never touches a redis-server that runs already.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

READY = "Ready to accept connections"


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """The address of a redis-server that belongs to this test run."""
    program = shutil.which("redis-server")
    if program is None:
        message = "redis-server is not installed; on Debian: apt-get install redis-server"
        if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
            pytest.fail(message, pytrace=False)
        pytest.skip(message)
    with socket.socket() as reserved:
        # Bound and never listening: the kernel gives this port to nobody else, and redis may share it.
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        address: tuple[str, int] = reserved.getsockname()
        yield from running(program, address, tmp_path_factory.mktemp("redis"))


def running(program: str, address: tuple[str, int], folder: Path) -> Iterator[tuple[str, int]]:
    host, port = address
    place = ["--bind", host, "--port", str(port), "--dir", str(folder)]
    command = [program, *place, "--save", "", "--appendonly", "no", "--daemonize", "no", "--logfile", ""]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        try:
            wait_until_ready(server)
            yield address
        finally:
            server.terminate()
            server.communicate()


def wait_until_ready(server: subprocess.Popen[str]) -> None:
    said = []
    for line in server.stdout or ():
        said.append(line)
        if READY in line:
            return
    pytest.fail("redis-server did not start:\n" + "".join(said), pytrace=False)
