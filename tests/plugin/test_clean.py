"""Many tests in one process leave nothing behind: descriptors, threads, memory of ours."""

from __future__ import annotations

import json
import sys

import pytest

from .conftest import Suite

FEW, MANY = 200, 2000

COUNTS = """
import gc, json, os, threading, tracemalloc
from pytest_netfixtures._engine.loop import current_engine

ours = tracemalloc.Filter(True, "*pytest_netfixtures*")
seen = []


def count():
    engine = current_engine()
    engine.call(engine._timers.keep, lambda timer: not timer.cancelled)  # thrown away by and by
    gc.collect()
    memory = sum(each.size for each in tracemalloc.take_snapshot().filter_traces([ours]).statistics("filename"))
    return len(os.listdir("/proc/self/fd")), threading.active_count(), memory


def pytest_collection_finish():
    tracemalloc.start()


def pytest_runtest_logfinish(nodeid):
    seen.append(nodeid)
    if len(seen) in (FEW, FEW + MANY // 2, FEW + MANY):
        with open("counts.jsonl", "a") as file:
            file.write(json.dumps(count()) + "\\n")
"""

TESTS = """
@pytest.mark.parametrize("number", range(FEW + MANY))
def test_one_of_many(tcp_echo, fault_proxy, number):
    proxy = fault_proxy(tcp_echo, to_client=Reset(after=3))
    client = socket.create_connection(proxy.address, 10)
    client.sendall(b"hello")
    with pytest.raises(OSError):
        while client.recv(100):
            pass
    client.close()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts descriptors in /proc")
def test_after_2000_tests_everything_is_as_after_200(suite: Suite) -> None:
    numbers = f"FEW, MANY = {FEW}, {MANY}\n"
    (suite.path / "conftest.py").write_text(numbers + COUNTS)
    suite.write(numbers + TESTS)
    suite.run_apart("-q", "--net-capture", "-W", "error").assert_outcomes(passed=FEW + MANY)
    early, middle, late = map(json.loads, (suite.path / "counts.jsonl").read_text().splitlines())
    assert early[:2] == middle[:2] == late[:2]
    # A leak grows with every thousand; what an old Python keeps of our frames for their next call grows but once.
    assert min(middle[2] - early[2], late[2] - middle[2]) < 32 << 10
