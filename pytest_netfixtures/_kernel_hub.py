"""The kernel's packets and the captures of the tests that run: which packet goes into which.

Law: one hub for the process, made when it is first needed; it connects the engine, which says what ports there are, with
the handle, which has the packets, and knows no pytest. What goes to a test is decided by what the test's labs have: their
ports, their connections, and what is watched. Other people's packets are dropped. A wait for the kernel ends 2 s after
nothing moves any more, and after 10 s at the latest.
"""

from __future__ import annotations

import _socket
import atexit
import contextlib
import itertools
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pytest_netfixtures._engine.loop import current_engine
from pytest_netfixtures._errors import CaptureUnavailable
from pytest_netfixtures._pcap.bpf import ranges_of
from pytest_netfixtures._pcap.glance import UDP, Glance, glance, piece
from pytest_netfixtures._pcap.headers import Place
from pytest_netfixtures._pcap.kernel import DEVICE, RING, Handle, Packets, Unavailable, explained
from pytest_netfixtures._pcap.kernel_tap import ROWS_WAIT, Caught, KernelTap

if TYPE_CHECKING:
    from pytest_netfixtures._netlab import NetLab

__all__ = ["Attached", "Hub", "hub", "probe"]

BARRIER_SECONDS = 2.0
"""Seconds without a packet after which nobody waits any more; with packets it may take LONGEST."""
LONGEST = 10.0
ONCE_MORE = 0.1
"""Seconds after which a sentinel that was not seen is sent again."""
_KIND = {6: int(_socket.SOCK_STREAM), 17: int(_socket.SOCK_DGRAM)}
_PIECES = 64
"""Packets in fragments that are remembered at once."""
_WILDCARDS = ("0.0.0.0", "::")
_LATE = "the kernel did not hand over in time what had happened"


class Attached:
    """The capture of a test while packets go into it. `labs` are those of the test; more may join."""

    def __init__(self, owner: Hub, tap: KernelTap, labs: Sequence[NetLab]) -> None:
        self.tap = tap
        self.lot: list[Caught] = []
        self.over = False
        """Whether it is detached."""
        self._hub = owner
        self._labs = labs

    def owns(self, place: Place) -> bool:
        """Whether a lab of this test is, or was, at this address."""
        return any(place in lab.places for lab in self._labs)

    def joined(self) -> None:
        """A lab has joined, with connections that were open before."""
        self.tap.learn()
        self._hub.let_through(self.tap.ports())

    def watch(self, port: int) -> None:
        """From now on packets of this port too, whoever they are of."""
        self.tap.watched.add(port)
        self._hub.let_through({port})

    def sync(self) -> None:
        """On return everything that has happened is in the file, or the file says that it may not be."""
        if not self.over and not self._hub.barrier(lambda: self.tap.take((), everything=True)):
            self.tap.doubt(_LATE)

    def stop(self) -> None:
        """What has happened by now is in the file, and nothing comes any more."""
        if not self.over and not self._hub.barrier(lambda: self._hub.detach(self)):
            self.tap.doubt(_LATE)
            self.drop()

    def drop(self) -> None:
        """Nothing comes any more, and what was on its way is not waited for."""
        if self.over:
            return
        with contextlib.suppress(TimeoutError):
            self._hub.handle.call(lambda: self._hub.detach(self))

    def flush(self) -> bool:
        """Hand over what was sorted out for it; whether rows still wait."""
        lot, self.lot = self.lot, []
        lot.sort(key=lambda caught: caught[0])  # processors may overtake each other by a microsecond
        return self.tap.take(lot)


class Hub:
    """Gives packets to the captures that are attached. Raises Unavailable."""

    def __init__(self, device: str = DEVICE, ring: int = RING) -> None:
        self._engine = current_engine()
        self._taps: list[Attached] = []
        self._count = 0
        self._counting = threading.Lock()
        """Never held while the owner's thread is waited for, which counts too."""
        self._portions = 0
        self._pieces: dict[bytes | None, list[Attached]] = {}
        self._ours: set[tuple[int, str, int]] = set()
        self._through: set[int] = set()
        self._filtering = threading.Lock()
        self._tokens = itertools.count(1)
        self._barriers: dict[int, tuple[Callable[[], object], threading.Event]] = {}
        self._sentinel = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
        self._sentinel.bind(("127.0.0.1", 0))
        self._mark: Place = self._sentinel.getsockname()
        self._sentinel.connect(self._mark)
        self._sentinel.setblocking(False)
        try:
            self.handle = Handle(self._deliver, device, ring)
        except BaseException:
            self._sentinel.close()
            raise
        self._engine.before_packets.append(self.announce)

    @property
    def alive(self) -> bool:
        """Whether packets can come."""
        return self.handle.alive

    def attach(self, tap: KernelTap, labs: Sequence[NetLab]) -> Attached:
        """From now on packets go into this capture."""
        found = Attached(self, tap, labs)
        tap.begin()
        tap.wake = self.handle.wake
        with self._filtering, self._counting:
            if not self._count:
                self._ours = set(self._engine.ports)
                self._through = set()
            self._count += 1
        self.let_through({port for _, _, port in list(self._engine.ports)} | {self._mark[1]} | tap.ports())
        if not self.barrier(lambda: self._taps.append(found)):
            tap.doubt(_LATE)
            self.post(lambda: self._taps.append(found))
        return found

    def announce(self, port: int) -> None:
        """From the engine, before the first packet: a port of ours, or of somebody to whom we connect."""
        if self._count:
            self._ours |= self._engine.ports
            self.let_through({port})

    def let_through(self, ports: set[int]) -> None:
        """On return the kernel gives us the packets of these ports too."""
        with self._filtering:
            if ports <= self._through:
                return
            self._through |= ports
            try:
                self.handle.let_through(ranges_of(self._through))
            except (OSError, TimeoutError) as problem:
                for each in self._taps:
                    each.tap.doubt(f"the kernel's filter could not be changed: {problem}")

    def barrier(self, action: Callable[[], object]) -> bool:
        """Have `action` called in the owner's thread, behind every packet that was sent before; False if it is not."""
        token, done = next(self._tokens), threading.Event()
        self._barriers[token] = (action, done)
        self._knock(token, done)
        self._empty_sentinel()
        if self._barriers.pop(token, None) is None:  # it was met, and may be carried out just now
            done.wait(BARRIER_SECONDS)
        return done.is_set()

    def _knock(self, token: int, done: threading.Event) -> None:
        """Until it is met, or in vain; where the kernel had no room for one, the next comes later still."""
        began = moved_at = time.monotonic()
        moved = self._portions
        while self.alive and time.monotonic() < min(moved_at + BARRIER_SECONDS, began + LONGEST):
            with contextlib.suppress(OSError):
                self._sentinel.send(token.to_bytes(8, "big"))
            if done.wait(ONCE_MORE):
                return
            if moved != self._portions:
                moved, moved_at = self._portions, time.monotonic()

    def _empty_sentinel(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._sentinel.recv(8)

    def post(self, action: Callable[[], object]) -> None:
        """Have `action` called in the owner's thread soon."""
        self.handle.post(action)

    def detach(self, attached: Attached) -> None:
        """In the owner's thread: what was sorted out goes into the file, and then nothing more."""
        if attached in self._taps:
            self._taps.remove(attached)
            attached.over = True
            self._pieces.clear()
            attached.tap.take((), everything=True)
            with self._counting:
                self._count -= 1

    def close(self) -> None:
        """Let go of the device; what is attached has what has happened by now."""
        for each in list(self._taps) if self.alive else ():
            each.stop()
        if self.announce in self._engine.before_packets:
            self._engine.before_packets.remove(self.announce)
        self.handle.close()
        self._sentinel.close()

    def leave_behind(self) -> None:
        """In a child made by `fork`."""
        self.handle.leave_behind()
        self._sentinel.close()

    # In the owner's thread.

    def _deliver(self, packets: Packets, dropped: int) -> float | None:
        """Nothing that goes wrong with a packet may end the thread: others wait for it."""
        try:
            return self._hand_on(packets, dropped) if self._count else None
        except Exception as problem:
            for each in self._taps:
                each.tap.doubt(f"packets could not be sorted: {problem!r}")
            return None

    def _hand_on(self, packets: Packets, dropped: int) -> float | None:
        if dropped:
            for each in self._taps:
                each.tap.miss(dropped)
        if packets:
            self._portions += 1
            self._let_actors_finish()
            for each in self._taps:
                each.tap.learn()
            self._sort(packets)
        waiting = [each.flush() for each in self._taps]
        return ROWS_WAIT if any(waiting) else None

    def _let_actors_finish(self) -> None:
        """Who acts writes its entry before it lets go of the lock: of packets that are here all entries are there."""
        with self._engine.journal.lock:
            return

    def _sort(self, packets: Packets) -> None:
        for stamp, frame in packets:
            seen = glance(frame)
            if seen is None:
                for each in self._pieces.get(piece(frame), ()):
                    each.lot.append((stamp * 1000, frame, None))
                continue
            if seen.target == self._mark and seen.protocol == UDP and not seen.quoted:
                self._meet_barrier(int.from_bytes(frame[-8:], "big"))
                continue
            owners = self._whose(seen)
            if owners and seen.protocol == UDP:
                self._remember(piece(frame), owners)
            for each in owners:
                each.lot.append((stamp * 1000, frame, seen))

    def _remember(self, key: bytes | None, owners: list[Attached]) -> None:
        """Of the fragments of a datagram the first alone says whose it is."""
        if key is not None:
            self._pieces[key] = list(owners)
            if len(self._pieces) > _PIECES:
                del self._pieces[next(iter(self._pieces))]

    def _meet_barrier(self, token: int) -> None:
        action, done = self._barriers.pop(token, (None, None))
        if action is not None and done is not None:
            for each in self._taps:
                each.flush()
            action()
            done.set()

    def _whose(self, seen: Glance) -> list[Attached]:
        taps = self._taps
        if len(taps) == 1:
            return taps if self._is_ours(seen) or taps[0].tap.knows(seen) else []
        known = [
            each for each in taps if each.tap.knows(seen) or each.owns(seen.source) or each.owns(seen.target)
        ]
        return known or (taps if taps and self._is_ours(seen) else [])

    def _is_ours(self, seen: Glance) -> bool:
        kind, ours = _KIND[seen.protocol], self._ours
        for host, port in (seen.target, seen.source):
            if (kind, host, port) in ours or any((kind, wild, port) in ours for wild in _WILDCARDS):
                return True
        return False


_hub: Hub | None = None
_left_behind: list[Hub] = []
"""In a child: what the parent's libpcap holds is neither used nor given back."""
_making = threading.Lock()


def hub(device: str = DEVICE) -> Hub:
    """The one of this process; made at first use, or where the last one has died.

    Raises: CaptureUnavailable, with the reason and what to type.
    """
    global _hub
    with _making:
        if _hub is None or not _hub.alive:
            try:
                _hub = Hub(device, RING // _workers())
            except Unavailable as problem:
                raise CaptureUnavailable(explained(problem)) from None
            atexit.register(_hub.close)
        return _hub


def probe(device: str = DEVICE) -> None:
    """Open and close a handle. Raises CaptureUnavailable."""
    try:
        Handle(lambda packets, dropped: None, device).close()
    except Unavailable as problem:
        raise CaptureUnavailable(explained(problem)) from None


def _workers() -> int:
    """The kernel's buffers are memory that cannot be swapped: workers of pytest-xdist share."""
    told = os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")
    return min(int(told), 8) if told.isdecimal() and int(told) else 1


def _after_fork_in_child() -> None:
    global _hub
    left, _hub = _hub, None
    _making.release()
    if left is not None:
        _left_behind.append(left)
        left.leave_behind()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_making.acquire, after_in_parent=_making.release, after_in_child=_after_fork_in_child
    )
