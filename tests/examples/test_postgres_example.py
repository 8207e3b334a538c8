"""The PostgreSQL of the example ends with the test run, also when that is killed and nobody can tell it to.

The run is a child of this test. An open connection to its server shows that the server has gone; then its files must go.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from pytest_netfixtures import NetLab

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60
WAITS = """
import json, psycopg

def test_waits(postgres):
    with psycopg.connect(host=postgres[0], port=postgres[1], user="postgres", dbname="postgres") as connection:
        folder, = connection.execute("SHOW data_directory").fetchone()
    print("\\n" + json.dumps([postgres, folder]), flush=True)
    input()
"""


def started(folder: Path) -> subprocess.Popen[str]:
    """A test run that has begun, and says on its output where its server is."""
    shutil.copy(ROOT / "examples" / "postgres_client" / "conftest.py", folder)
    (folder / "test_waits.py").write_text(WAITS)
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-s", "-p", "no:cacheprovider", "-p", "no:randomly"]
    quiet = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    return subprocess.Popen(
        command,
        cwd=folder,
        env={**quiet, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def said(lines: Iterable[str]) -> tuple[tuple[str, int], str]:
    """The address of the server, and where its files are."""
    heard = []
    for line in lines:
        heard.append(line)
        if line.startswith("[["):
            (host, port), files = json.loads(line)
            return (host, port), files
    raise AssertionError("the run ended early:\n" + "".join(heard))


def test_a_killed_run_leaves_no_postgres_behind(
    tmp_path: Path, netlab: NetLab, referee: Callable[[str], str]
) -> None:
    referee("initdb")
    with started(tmp_path) as run:
        address, files = said(run.stdout or ())
        with socket.create_connection(address, PATIENCE) as connection:
            assert os.path.exists(files)
            run.kill()
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(1) == b""
    netlab.wait_for(lambda: not os.path.exists(os.path.dirname(files)), within=PATIENCE)
