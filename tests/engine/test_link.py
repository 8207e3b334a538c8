"""One socket in the loop: order, ends, resting, and what it tells its owner."""

from __future__ import annotations

import _socket
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from engine.proxy_tools import MIB, connect, pattern, reset, take

from pytest_netfixtures import NetLab
from pytest_netfixtures._engine.connection import ServerConnection
from pytest_netfixtures._engine.link import Chunk, Link
from pytest_netfixtures._engine.loop import Engine, current_engine
from pytest_netfixtures._engine.sockets import not_sent, tune
from pytest_netfixtures._wire.entries import How


class Listener:
    """Remembers what a link tells, and under which lock."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.told: list[tuple[object, ...]] = []
        self.got_bytes = b""
        self.written = 0
        self.unlocked: list[str] = []

    def _tell(self, *what: object) -> None:
        if not self.engine.journal.lock._is_owned():  # type: ignore[attr-defined]
            self.unlocked.append(str(what[0]))
        self.told.append(what)
        self.engine.journal.touch()

    def read(self, link: Link, data: bytes) -> None:
        self.got_bytes += data
        self._tell("read", len(data))

    def got(self, link: Link, data: bytes) -> None:
        self.engine.journal.touch()

    def peer_ended(self, link: Link, how: How) -> None:
        self._tell("peer ended", how)

    def wrote(self, link: Link, data: bytes, chunk: Chunk) -> None:
        self.written += len(data)
        self._tell("wrote", len(data))

    def we_ended(self, link: Link, how: How, faults: tuple[str, ...]) -> None:
        self._tell("we ended", how, faults)

    def got_end(self, link: Link, how: How) -> None:
        self.engine.journal.touch()

    def room(self, link: Link) -> None:
        self.engine.journal.touch()

    def ends(self) -> list[tuple[object, ...]]:
        """What was told of ends; under the lock, so that whoever has seen an end finds it here."""
        with self.engine.journal.lock:
            return [what for what in self.told if what[0] in ("peer ended", "we ended")]

    def wait(self, *what: object) -> None:
        assert self.engine.journal.wait(lambda: what in self.told, 10), self.told[-5:]


@contextmanager
def linked() -> Iterator[tuple[Link, socket.socket, Listener]]:
    """A link, the socket at the other end, and the owner."""
    engine = current_engine()
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen()
        ours = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
        ours.connect(door.getsockname())
        peer, _ = door.accept()
    tune(ours)
    owner = Listener(engine)
    link = Link(engine, engine.adopt(ours), owner)
    peer.settimeout(10)
    with peer:
        yield link, peer, owner
        engine.call(link.abandon)
    assert owner.unlocked == []


def write(link: Link, data: bytes) -> None:
    link.engine.call(link.write, Chunk(data, 0.0))


def end(link: Link, how: How, *faults: str) -> None:
    link.engine.call(link.end, how, faults)


def test_bytes_leave_in_order_and_the_fin_after_them() -> None:
    data = pattern(4 * MIB)
    with linked() as (link, peer, owner):
        for start in range(0, len(data), 100_000):
            write(link, data[start : start + 100_000])
        end(link, "FIN", "Truncate()")
        write(link, b"too late")
        assert link.out_bytes > 0
        assert owner.ends() == []
        assert take(peer, len(data) + 1) == data
        assert owner.ends() == [("we ended", "FIN", ("Truncate()",))]
        assert (owner.written, link.out_bytes) == (len(data), 0)


def test_a_second_end_changes_nothing_and_a_reset_overtakes_a_fin_that_waits() -> None:
    with linked() as (link, peer, owner):
        end(link, "FIN")
        end(link, "FIN")
        end(link, "RST", "Reset()")
        end(link, "RST")
        owner.wait("we ended", "RST", ("Reset()",))
        assert [what[1] for what in owner.ends()] == ["FIN", "RST"]
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            peer.sendall(b"x")


def test_both_ends_close_the_socket() -> None:
    with linked() as (link, peer, owner):
        link.engine.call(link.read, True)
        peer.sendall(b"last")
        peer.shutdown(socket.SHUT_WR)
        owner.wait("peer ended", "FIN")
        assert owner.got_bytes == b"last"
        assert not link.closed
        end(link, "FIN")
        assert link.closed
        assert peer.recv(1) == b""


def test_a_reset_is_told_after_the_bytes_before_it_reading_or_not() -> None:
    for reading in (True, False):
        with linked() as (link, peer, owner):
            link.engine.call(link.read, reading)
            peer.sendall(b"before")
            reset(peer)
            owner.wait("peer ended", "RST")
            assert owner.got_bytes == b"before"
            assert owner.told[-1] == ("peer ended", "RST")
            assert link.closed


def test_a_reset_after_a_fin_is_told() -> None:
    with linked() as (link, peer, owner):
        link.engine.call(link.read, True)
        peer.shutdown(socket.SHUT_WR)
        owner.wait("peer ended", "FIN")
        reset(peer)
        owner.wait("peer ended", "RST")
        assert link.closed


def test_a_reset_met_in_writing_is_told_once_and_after_what_was_not_read() -> None:
    data = pattern(50_000)
    with linked() as (link, peer, owner):
        link.engine.call(link.rest, True)
        write(link, pattern(3 * MIB))
        peer.sendall(data)

        def provoke() -> None:
            reset(peer)
            link.rest(False)

        link.engine.call(provoke)
        owner.wait("peer ended", "RST")
        assert owner.got_bytes == data
        assert owner.ends() == [("peer ended", "RST")]
        assert (link.out_bytes, link.writable) == (0, False)


def test_a_link_that_rests_hands_nothing_over_and_keeps_its_end() -> None:
    for how in ("FIN", "RST"):
        with linked() as (link, peer, owner):
            link.engine.call(link.rest, True)
            write(link, b"held")
            end(link, how)
            peer.settimeout(0.05)
            with pytest.raises(TimeoutError):
                peer.recv(1)
            assert owner.told == []
            peer.settimeout(10)
            link.engine.call(link.rest, False)
            assert take(peer, 4) == b"held"
            owner.wait("we ended", how, ())


def test_a_reset_of_ours_waits_for_what_the_kernel_has_not_sent() -> None:
    with linked() as (link, peer, owner):
        write(link, pattern(8 * MIB))
        link.engine.call(link.out.clear)
        unsent = not_sent(link.sock)
        assert unsent > 0
        end(link, "RST")
        assert owner.ends() == []
        taken = len(take(peer, owner.written))
        assert taken == owner.written
        owner.wait("we ended", "RST", ())


def test_abandoning_sends_fin_reads_what_is_there_and_waits_for_nobody() -> None:
    with linked() as (link, peer, owner):
        write(link, pattern(8 * MIB))
        peer.sendall(b"on its way")
        link.engine.call(link.abandon)
        assert link.closed
        assert owner.got_bytes == b"on its way"
        assert owner.ends()[0] == ("we ended", "FIN", ())
        link.engine.call(link.abandon)
        end(link, "RST")
        write(link, b"x")
        assert [what[1] for what in owner.ends()] == ["FIN"]


def test_abandoning_tells_of_a_reset_that_has_come() -> None:
    with linked() as (link, peer, owner):

        def both() -> None:
            reset(peer)
            link.abandon()

        peer.sendall(b"before")
        link.engine.call(both)
        assert owner.got_bytes == b"before"
        assert ("peer ended", "RST") in owner.ends()


def test_fin_may_come_from_any_thread() -> None:
    with linked() as (link, peer, owner):
        threads = [threading.Thread(target=link.fin) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert peer.recv(1) == b""
        assert owner.ends() == [("we ended", "FIN", ())]


def test_a_timer_of_a_lingering_reset_is_forgotten_with_its_link() -> None:
    with linked() as (link, peer, _):
        write(link, pattern(8 * MIB))
        end(link, "RST")
        timer = link._linger_timer
        assert timer is not None
        link.engine.call(link.abandon)
        assert timer.cancelled
        assert peer.recv(1)


def test_a_reset_that_a_handlers_send_met_first_is_told_as_a_reset() -> None:
    def pour(conn: ServerConnection) -> None:
        while True:
            conn.send(bytes(10_000))

    with NetLab(must_fire=False) as lab:
        server = lab.tcp_server(pour)
        for _ in range(100):
            with connect(server) as client:
                assert client.recv(100)
                reset(client)
        lab.wait_for(lambda: [c.ended["client"] for c in server.connections] == ["RST"] * 100)
