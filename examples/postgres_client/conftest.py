"""A real PostgreSQL for the tests of this folder, started once, and a proxy in front of it that lives as long.

It is skipped, and says so, where PostgreSQL is not installed. It has a port and a directory of its own and never touches a
PostgreSQL that runs already. It ends with the test run, also when that is killed.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_netfixtures import NetLab, TcpProxy

Address = tuple[str, int]

# Debian keeps the programs of a server away from PATH.
PLACES = [os.environ.get("PATH", os.defpath), *map(str, Path("/usr/lib/postgresql").glob("*/bin"))]
PATH = os.pathsep.join(PLACES)

# No Unix socket; nothing is written safely, because the directory is thrown away; nobody waits for a lock for ever.
SETTINGS = """
listen_addresses = '{}'
port = {}
unix_socket_directories = ''
fsync = off
lock_timeout = 30s
"""

# Our end of its standard input is closed when the test run ends, in whichever way: the server ends, its files go.
SCRIPT = """
cd "$1" || exit
initdb --pgdata=data --username=postgres --auth=trust --encoding=UTF8 --locale=C --no-sync --wal-segsize=1 >log 2>&1
echo "$2" >>data/postgresql.conf
if pg_ctl start --silent --wait --pgdata=data --log=log; then echo ready; read -r end; else cat log; fi
pg_ctl stop --silent --pgdata=data --mode=immediate
cd / && rm -rf "$1"
"""


@pytest.fixture(scope="session")
def postgres() -> Iterator[Address]:
    """The address of a PostgreSQL that belongs to this test run; its user is `postgres`, without a password."""
    if shutil.which("initdb", path=PATH) is None:
        message = "PostgreSQL is not installed; on Debian: apt-get install postgresql"
        if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
            pytest.fail(message, pytrace=False)
        pytest.skip(message)
    with socket.socket() as reserved, tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        # Bound and never listening: the kernel gives this port to nobody else, and PostgreSQL may share it.
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        address: Address = reserved.getsockname()
        yield from running(address, folder)


def running(address: Address, folder: str) -> Iterator[Address]:
    user = None
    if os.geteuid() == 0:
        # PostgreSQL refuses to run as root. Its package brings this user.
        user = "postgres"
        shutil.chown(folder, user)
    with subprocess.Popen(
        ["sh", "-c", SCRIPT, "postgres", folder, SETTINGS.format(*address)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd="/",
        env={**os.environ, "PATH": PATH},
        user=user,
        group=user,
        extra_groups=[] if user else None,
        # Ctrl-C in the terminal is for the test run alone.
        start_new_session=True,
    ) as server:
        try:
            wait_until_ready(server)
            yield address
        finally:
            server.communicate()


def wait_until_ready(server: subprocess.Popen[str]) -> None:
    said = server.stdout.readline() if server.stdout else ""
    if said != "ready\n":
        pytest.fail("PostgreSQL did not start:\n" + said + server.communicate()[0], pytrace=False)


@pytest.fixture(scope="session")
def proxy(netlab_session: NetLab, postgres: Address) -> TcpProxy:
    """The way to the database. A test arms its faults here; when the next one begins they are gone."""
    return netlab_session.tcp_proxy(postgres, name="database")
