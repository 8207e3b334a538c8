"""Packets of the loopback device, as the kernel saw them: libpcap through pcapy-ng.

Law: the only room that touches pcapy, and only in one thread: whatever another thread wants of the handle is a message to
that thread, because libpcap crashes otherwise. It hands packets on in the order in which they came, and knows nothing of
what they are. Whatever libpcap says by a return code is looked at. A child made by `fork` touches nothing of it.
"""

from __future__ import annotations

import _socket
import array
import contextlib
import fcntl
import os
import select
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NoReturn

from pytest_netfixtures._pcap.blocks import SNAPLEN
from pytest_netfixtures._pcap.bpf import Range, expression, program
from pytest_netfixtures._pcap.glance import ETHERNET, LOOP, NULL, ethernet

__all__ = ["DEVICE", "RING", "Handle", "Packets", "Unavailable", "explained", "now_exactly"]

DEVICE = "lo" if sys.platform.startswith("linux") else "lo0"
RING = 64 << 20
SMALLEST_RING = 2 << 20
BATCH = 4096
"""So many packets are read at once, as far as they are in the buffer: beside a busy thread each reading waits for the
interpreter's lock, and a buffer that nobody empties is full in half a second, however little is in it."""
PORTION = 1024
"""So many are handed on before the buffer is emptied again."""
BACKLOG = 256 << 20
"""Bytes that wait for being handed on; above them the kernel keeps the rest, as far as it has room."""
HELD_MS = 2
"""So long the kernel may keep a packet to itself. A buffer has 256 places, each of which is full after this time."""
WITHIN = 2.0
"""Seconds that an answer of the thread may take."""

Packets = list[tuple[int, bytes]]
"""Stamps in microseconds since 1970, and frames as the device gives them."""

_NO_DEVICE, _FORBIDDEN = -5, -8
_ATTACH_FILTER = 26
_RECORD = struct.Struct("=IIII")
_STEP = struct.Struct("=HBBI")


class Unavailable(Exception):
    """The kernel gives us no packets: `kind` is "package", "permission", "device" or "other", the text is the reason."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


class _Message:
    """A call on the owner's thread, with its answer."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function
        self.done = threading.Event()
        self.answer: Any = None
        self.error: BaseException | None = None

    def __call__(self, reader: Any) -> None:
        try:
            self.answer = self.function(reader)
        except BaseException as error:
            self.error = error
        self.done.set()


class Handle:
    """The one handle of a process, and the thread that owns it.

    `deliver(packets, dropped)` is called, with Ethernet frames, with every portion, and with none whenever the device is
    idle; `dropped` is how many packets the kernel had no room for since the last call. It returns the seconds after which it wants to be called
    again though nothing comes, or None. Raises Unavailable.
    """

    def __init__(
        self, deliver: Callable[[Packets, int], float | None], device: str = DEVICE, ring: int = RING
    ) -> None:
        self.device = device
        self.link = ETHERNET
        self.ring = 0
        """Bytes of the buffer that the kernel fills."""
        self.pid = os.getpid()
        self._deliver = deliver
        self._fd = -1
        self._lost = 0
        self._backlog: deque[tuple[bytes, bytes, int]] = deque()
        self._kept = 0
        self._over = False
        self._messages: deque[_Message] = deque()
        self._wake_reader, self._wake_writer = os.pipe()
        os.set_blocking(self._wake_writer, False)
        opening = _Message(lambda _: self._open(device, ring))
        self._thread = threading.Thread(
            target=self._run, args=(opening,), name="netfixtures kernel capture", daemon=True
        )
        self._thread.start()
        opening.done.wait()
        if opening.error is not None:
            self._thread.join()
            self._close_pipe()
            raise opening.error

    @property
    def here(self) -> bool:
        """Whether this is the owner's thread."""
        return threading.get_ident() == self._thread.ident

    @property
    def alive(self) -> bool:
        """False after `close`, when its thread has died, and in a child made by `fork`."""
        return self.pid == os.getpid() and not self._over and self._thread.is_alive()

    def call(self, function: Callable[[], Any], within: float = WITHIN) -> Any:
        """Call on the owner's thread and return the answer. Raises TimeoutError."""
        return self._ask(lambda _: function(), within)

    def post(self, function: Callable[[], object]) -> None:
        """Call on the owner's thread soon; waits for nothing."""
        self._messages.append(_Message(lambda _: function()))
        self.wake()

    def wake(self) -> None:
        """Let the thread look at what there is to do; from any thread."""
        if self.alive:
            with contextlib.suppress(BlockingIOError):
                os.write(self._wake_writer, b"!")

    def let_through(self, ranges: tuple[Range, ...]) -> None:
        """From now on packets of these ports, and ICMP errors. Raises TimeoutError, or OSError with the kernel's words."""
        self._ask(lambda reader: self._filter(reader, ranges), WITHIN)

    def close(self) -> None:
        """Let go of the device, in its own thread; again, or in a child: nothing happens."""
        if not self.alive:
            return
        self._over = True
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_writer, b"!")
        self._thread.join(WITHIN)
        if not self._thread.is_alive():
            self._close_pipe()

    def leave_behind(self) -> None:
        """In a child made by `fork`: its descriptors become /dev/null; libpcap, which owns them, is not asked."""
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for fd in (self._fd, self._wake_reader, self._wake_writer):
            if fd >= 0:
                os.dup2(null, fd, inheritable=False)
        os.close(null)

    def _ask(self, function: Callable[[Any], Any], within: float) -> Any:
        message = _Message(function)
        if not self.alive:
            raise TimeoutError("the thread that reads the kernel's packets is gone")
        self._messages.append(message)
        self.wake()
        if not message.done.wait(within):
            raise TimeoutError(
                f"the thread that reads the kernel's packets gave no answer within {within:g} s"
            )
        if message.error is not None:
            raise message.error
        return message.answer

    # On the owner's thread.

    def _run(self, opening: _Message) -> None:
        opening(None)
        reader = opening.answer
        if reader is None:
            return
        try:
            while not self._over:
                self._wait(self._read(reader))
                while self._messages:
                    self._messages.popleft()(reader)
        finally:
            self._fd = -1
            reader.close()

    def _wait(self, seconds: float | None) -> None:
        if self._messages or self._over:
            return
        ready, _, _ = select.select([self._fd, self._wake_reader], [], [], seconds)
        if self._wake_reader in ready:
            os.read(self._wake_reader, 4096)

    def _read(self, reader: Any) -> float | None:
        """Everything that is there, a portion at a time; then the word that nothing is."""
        while not self._over:
            self._empty(reader)
            if not self._backlog:
                break
            self._deliver(*self._portion())
            if self._messages:
                return 0.0
        return self._deliver([], self._dropped(reader))

    def _empty(self, reader: Any) -> None:
        """Take what the kernel has: there it may be lost, here it may wait."""
        full = BATCH * _RECORD.size
        size = full
        while size == full and self._kept < BACKLOG:
            data, records = reader.next_batch(BATCH)
            size = len(records)
            if size:
                self._backlog.append((data, records, self._dropped(reader)))
                self._kept += len(data)

    def _portion(self) -> tuple[Packets, int]:
        data, records, lost = self._backlog.popleft()
        first, rest = records[: PORTION * _RECORD.size], records[PORTION * _RECORD.size :]
        if rest:
            self._backlog.appendleft((data, rest, 0))
        else:
            self._kept -= len(data)
        return _split(data, first, self.link), lost

    def _dropped(self, reader: Any) -> int:
        """Since the last time; the counter is the kernel's for the whole life of the handle, and wraps."""
        before, self._lost = self._lost, reader.stats()[1]
        return int(self._lost - before) & 0xFFFFFFFF

    def _filter(self, reader: Any, ranges: tuple[Range, ...]) -> None:
        """On Linux one program takes the place of another at once; libpcap would let nothing through in between."""
        if not sys.platform.startswith("linux"):
            reader.setfilter(expression(ranges))
            return
        steps = array.array("B", b"".join(_STEP.pack(*step) for step in program(ranges)))
        place, size = steps.buffer_info()
        same = _socket.socket(_socket.AF_PACKET, _socket.SOCK_RAW, 0, fileno=os.dup(self._fd))
        try:
            same.setsockopt(_socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("@HP", size // _STEP.size, place))
        finally:
            same.close()

    def _open(self, device: str, ring: int) -> Any:
        try:
            import pcapy
        except ImportError as problem:
            raise Unavailable("package", f"pcapy-ng cannot be imported: {problem}") from None
        reader = self._activated(pcapy, device, ring)
        if not hasattr(reader, "next_batch"):
            raise Unavailable("package", "pcapy-ng is older than 2.1")
        self.link = reader.datalink()
        if self.link not in (ETHERNET, NULL, LOOP):
            raise Unavailable(
                "device", f"the device {device} has link type {self.link}, which is none of loopback"
            )
        self._fd = reader.getfd()
        fcntl.fcntl(self._fd, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
        reader.setnonblock(1)
        self._filter(reader, ())
        return reader

    def _activated(self, pcapy: Any, device: str, ring: int) -> Any:
        """A handle that works: `activate` says by a number alone when it does not."""
        code = 0
        while ring >= SMALLEST_RING:
            reader = pcapy.create(device)
            reader.set_snaplen(SNAPLEN)
            reader.set_promisc(0)
            reader.set_timeout(HELD_MS)
            reader.set_buffer_size(ring)
            code = reader.activate()
            if code >= 0:
                self.ring = ring
                return reader
            if code in (_NO_DEVICE, _FORBIDDEN):
                break
            ring //= 4
        _refused(pcapy, device, code)

    def _close_pipe(self) -> None:
        os.close(self._wake_reader)
        os.close(self._wake_writer)


def _refused(pcapy: Any, device: str, code: int) -> NoReturn:
    """With libpcap's own words, which only `open_live` gives."""
    try:
        pcapy.open_live(device, SNAPLEN, 0, 1)
        reason = f"libpcap cannot activate {device} (code {code})"
    except pcapy.PcapError as problem:
        reason = str(problem)
    kind = {_NO_DEVICE: "device", _FORBIDDEN: "permission"}.get(code, "other")
    raise Unavailable(kind, " ".join(reason.split()))


def _split(data: bytes, records: bytes, link: int) -> Packets:
    return [
        (seconds * 1_000_000 + micro, ethernet(data[at : at + size], link))
        for seconds, micro, at, size in _RECORD.iter_unpack(records)
    ]


def explained(problem: Unavailable) -> str:
    """The reason, what was expected, and what to do."""
    return (
        f"the kernel backend of captures is not available: {problem}. Expected pcapy-ng, the device {DEVICE}, and the right"
        f" to capture there. {_remedy(problem.kind)}, or use the backend tap, which needs none of this:"
        " --net-capture-backend=tap"
    )


def _remedy(kind: str) -> str:
    python = os.path.realpath(sys.executable)
    if kind == "package":
        return 'Install it: pip install "pytest-netfixtures[kernel]"'
    if kind == "permission" and sys.platform == "darwin":
        return "Install ChmodBPF, which comes with Wireshark, or run as root"
    if kind == "permission" and (os.geteuid() == 0 or _in_container()):
        return "Run the container with the capability (docker run --cap-add=NET_RAW), and in it as root"
    if kind == "permission":
        return f"Give Python the capability (sudo setcap cap_net_raw+ep {python}), or run as root"
    return f"Look whether the device is there and up (ip link show {DEVICE})"


def _in_container() -> bool:
    return any(map(os.path.exists, ("/.dockerenv", "/run/.containerenv")))


def now_exactly() -> tuple[float, int]:
    """`time.monotonic()` and nanoseconds since 1970 of the same moment, the closest of a few tries."""
    tries = []
    for _ in range(5):
        before, wall, after = time.monotonic(), time.time_ns(), time.monotonic()
        tries.append((after - before, (before + after) / 2, wall))
    _, at, wall = min(tries)
    return at, wall
