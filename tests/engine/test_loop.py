"""The engine's thread: order of timers and calls, errors, forks, and no descriptor left."""

from __future__ import annotations

import _socket
import subprocess
import sys
import textwrap
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from pytest_netfixtures import NetLab
from pytest_netfixtures._engine.loop import Engine, current_engine
from pytest_netfixtures._engine.poller import READ, WRITE, Poller, _SelectorPoller, make_poller

HOUSE = Path(__file__).resolve().parents[2]


@pytest.fixture
def engine() -> Engine:
    return current_engine()


def settled(engine: Engine) -> None:
    """Every call that was posted before has been made."""
    engine.call(lambda: None)


def wait_for(engine: Engine, condition: Callable[[], object]) -> None:
    assert engine.journal.wait(condition, 10)


def test_equal_deadlines_keep_their_order(engine: Engine) -> None:
    done: list[int] = []

    def plan() -> None:
        at = time.monotonic() + 0.01
        for number in range(1000):
            engine.call_at(at, lambda number=number: done.append(number))  # type: ignore[misc]

    engine.call(plan)
    wait_for(engine, lambda: len(done) == 1000)
    assert done == list(range(1000))


def test_timers_are_never_early_below_a_millisecond_too(engine: Engine) -> None:
    chance, early = Random(1), []
    for _ in range(300):
        delay, fired = chance.choice([0.0, 0.0001, 0.0004, 0.0009, 0.0015]), threading.Event()
        at = time.monotonic() + delay

        def look(at: float = at, fired: threading.Event = fired) -> None:
            early.append(time.monotonic() < at)
            fired.set()

        engine.call(engine.call_at, at, look)
        assert fired.wait(10)
    assert early == [False] * 300


def test_a_cancelled_timer_is_not_called_and_does_not_pile_up(engine: Engine) -> None:
    called: list[int] = []
    engine.call(lambda: engine.call_at(0.0, lambda: called.append(1)).cancel())
    for _ in range(3000):
        engine.call(engine.call_at, time.monotonic() + 3600, lambda: called.append(2)).cancel()
    after = threading.Event()
    engine.call_later(0.002, after.set)
    assert after.wait(10)
    assert called == []
    assert len(engine._timers) < 2000


def test_a_call_gives_its_answer_and_its_error_with_its_traceback(engine: Engine) -> None:
    def culprit() -> None:
        raise LookupError("here")

    assert engine.call(lambda a, b: a + b, 1, 2) == 3
    assert engine.call(engine.call, lambda: engine.here) is True
    with pytest.raises(LookupError, match="here") as caught:
        engine.call(culprit)
    assert "culprit" in "".join(traceback.format_tb(caught.value.__traceback__))
    assert engine.here is False


def test_calls_of_one_thread_keep_their_order(engine: Engine) -> None:
    done: list[tuple[int, int]] = []

    def post_all(thread: int) -> None:
        for number in range(500):
            engine.post(lambda: done.append((thread, number)))  # noqa: B023  # see below
            settled(engine)

    threads = [threading.Thread(target=post_all, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == [(thread, number) for thread in range(4) for number in range(500)]
    assert [n for t, n in done if t == 2] == list(range(500))


@pytest.mark.parametrize("kind", [LookupError, SystemExit, pytest.fail.Exception])
def test_a_crash_in_a_callback_is_kept_and_the_thread_goes_on(
    kind: type[BaseException], engine: Engine
) -> None:
    def crash() -> None:
        raise kind("crashed")

    with NetLab() as lab:
        engine.post(crash)
        settled(engine)
        (error,) = lab.errors()
        assert type(error) is kind
        assert engine.call(lambda: "alive") == "alive"


def test_readiness_of_a_closed_socket_is_not_given_to_the_next_with_its_descriptor(engine: Engine) -> None:
    stale: list[int] = []
    closed: list[int] = []
    pairs = [_socket.socketpair() for _ in range(2)]
    replaced: list[_socket.socket] = []

    def replace(me: _socket.socket, other: _socket.socket) -> None:
        engine.unwatch(me)
        fd = other.fileno()
        engine.close(other)
        fresh = _socket.socketpair()
        replaced.extend(fresh)
        closed.append(fd)
        for sock in fresh:
            engine.watch(engine.adopt(sock), READ, stale.append)

    def plan() -> None:
        (a, a_peer), (b, b_peer) = pairs
        for me, other in ((a, b), (b, a)):
            engine.watch(engine.adopt(me), READ, lambda ready, me=me, other=other: replace(me, other))  # type: ignore[misc]
        a_peer.send(b"x")
        b_peer.send(b"x")

    engine.call(plan)
    settled(engine)
    settled(engine)
    assert closed[0] in [sock.fileno() for sock in replaced]
    assert stale == []
    for sock in [pairs[0][0], pairs[1][0], *replaced]:
        engine.call(engine.close, sock)
    for _, peer in pairs:
        peer.close()


@pytest.mark.parametrize("kind", [Poller, _SelectorPoller])
def test_a_poller_tells_what_is_ready(kind: type[Poller]) -> None:
    poller = kind()
    (a, b), fd = _socket.socketpair(), -1
    try:
        fd = a.fileno()
        poller.watch(fd, READ)
        assert poller.wait(0) == []
        b.send(b"x")
        assert poller.wait(None) == [(fd, READ)]
        poller.watch(fd, READ | WRITE)
        assert poller.wait(0.5) == [(fd, READ | WRITE)]
        poller.watch(fd, WRITE)
        assert poller.wait(1) == [(fd, WRITE)]
        poller.watch(fd, 0)
        assert poller.wait(0) == []
        poller.forget(fd)
        poller.forget(fd)
        assert poller.wait(0.0005) == []
    finally:
        poller.close()
        a.close()
        b.close()


def test_the_poller_of_this_platform_is_the_best_one() -> None:
    poller = make_poller()
    poller.close()
    assert type(poller) is (Poller if sys.platform.startswith("linux") else _SelectorPoller)


def run(script: str) -> subprocess.CompletedProcess[str]:
    """A script in a process of its own, which ends after 60 s at the latest."""
    code = "import signal; signal.alarm(60)\n" + textwrap.dedent(script)
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code]
    return subprocess.run(command, cwd=HOUSE, capture_output=True, text=True, timeout=90)


TALK = """
import os, socket
from pytest_netfixtures import NetLab, NetlabError

def talk(client, text=b"hello"):
    client.settimeout(10)
    client.sendall(text)
    got = b""
    while len(got) < len(text):
        got += client.recv(100)
    return got == text
"""


def test_a_forked_child_does_not_disturb_the_parent() -> None:
    done = run(
        TALK
        + """
lab = NetLab()
proxy = lab.tcp_proxy(lab.tcp_echo())
one, two = (socket.create_connection(proxy.address) for _ in range(2))
assert talk(one) and talk(two)
said, tell = os.pipe()
wait, go = os.pipe()
if os.fork() == 0:
    try:
        proxy.stop()
    except NetlabError as error:
        os.write(tell, b"refused " if "fork" in str(error) else b"odd ")
    assert proxy.traffic.connection(1).to_server.sent == b"hello"
    lab.close()
    with NetLab() as own:
        with socket.create_connection(own.tcp_proxy(own.tcp_echo()).address) as client:
            os.write(tell, b"talked" if talk(client) else b"mute")
    one.close(); two.close(); os.close(go)
    os.read(wait, 1)
    os._exit(0)
os.close(wait)
answer = b""
while answer != b"refused talked":
    answer += os.read(said, 100)
assert talk(one) and talk(two)
proxy.cut(reset=True)
try:
    one.recv(1)
    raise SystemExit("not reset: the child holds the connection")
except ConnectionResetError:
    pass
lab.close()
try:
    socket.create_connection(proxy.address)
    raise SystemExit("not refused: the child holds the listener")
except ConnectionRefusedError:
    pass
with socket.socket() as taker:
    taker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    taker.bind(proxy.address)
    taker.listen()
os.write(go, b"!")
print("well")
"""
    )
    assert (done.stdout, done.stderr, done.returncode) == ("well\n", "", 0)


def test_forks_in_the_middle_of_traffic_find_the_record_readable() -> None:
    done = run(
        TALK
        + """
import threading
lab = NetLab()
proxy = lab.tcp_proxy(lab.tcp_echo())
over = threading.Event()
def hammer():
    with socket.create_connection(proxy.address) as client:
        while not over.is_set():
            talk(client)
hammers = [threading.Thread(target=hammer) for _ in range(2)]
[each.start() for each in hammers]
for _ in range(60):
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        same = all(c.to_server.delivered_bytes <= c.to_server.sent_bytes for c in proxy.traffic.connections)
        os._exit(0 if same else 1)
    assert os.waitpid(child, 0)[1] == 0
over.set()
[each.join() for each in hammers]
lab.close()
print("well")
"""
    )
    assert (done.stdout, done.stderr, done.returncode) == ("well\n", "", 0)


@pytest.mark.parametrize("left", [0, 1, 2, 3])
def test_without_descriptors_connections_wait_until_there_are_some(left: int) -> None:
    done = run(
        TALK
        + f"""
import resource, warnings
said = []
warnings.simplefilter("always")
warnings.showwarning = lambda message, *rest: said.append(str(message))
lab = NetLab()
proxy = lab.tcp_proxy(lab.tcp_echo())
clients = [socket.socket() for _ in range(3)]
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
fillers = []
while True:
    try:
        fillers.append(os.dup(0))
    except OSError:
        break
for _ in range({left}):
    os.close(fillers.pop())
for client in clients:
    client.connect(proxy.address)
lab.wait_for(lambda: said)
assert len(proxy.connections) < 3
while fillers:
    os.close(fillers.pop())
assert all(talk(client) for client in clients)
assert len(proxy.connections) == 3
lab.close()
assert lab.errors() == []
assert len(said) == 1 and "`ulimit -n`" in said[0]
for client in clients:
    client.close()
print("well")
"""
    )
    assert (done.stdout, done.stderr, done.returncode) == ("well\n", "", 0)
