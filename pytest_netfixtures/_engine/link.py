"""One connected socket in the loop, with exact ends.

Law: bytes leave in order and are told of in the moment in which the kernel takes them. An end comes after the bytes before
it: a FIN when all of them are handed over, an RST when the kernel has sent them (at most 2 s), because a linger-0 close
throws away what it has not. A clean end reads on and drops, because `close()` with unread input sends RST. What the peer
sent before its RST is read before the RST is told of. Who owns a link hears of everything; a link decides nothing.
"""

from __future__ import annotations

import _socket
import time
from collections import deque
from collections.abc import Sequence

from .._wire.entries import How, TlsStarted
from .._wire.traffic import TlsSession
from .loop import Engine, Timer
from .owner import Chunk, Owner
from .poller import BROKEN, ERROR, READ, WRITE
from .sockets import not_sent, reset_on_close

__all__ = ["Chunk", "Link", "Owner"]

LONGEST_LINGER = 2.0
"""How long an RST waits for bytes before it that the peer does not take."""

_LINGER_AGAIN = 0.001


class Link:
    """A connected, non-blocking socket. All methods are for the engine's thread, unless they say otherwise."""

    clean_end = True
    """Whether the peer has ended as its protocol ends; TCP knows but one way, TLS has a message for it."""

    under_tls = False
    session: TlsSession | None = None
    failure: str | None = None
    """Whether cipher text goes over it, what the handshake has agreed on, and why it failed or TLS broke."""

    owes = False
    """Whether bytes that `send_now` took still wait for the kernel."""

    def __init__(self, engine: Engine, sock: _socket.socket, owner: Owner) -> None:
        self.engine = engine
        self.lock = engine.journal.lock
        self.sock = sock
        self.owner = owner
        self.out: deque[Chunk] = deque()
        self.out_bytes = 0
        self.reading = False
        self.at_once = 0  # so many bytes are read at a time; 0: as many as there are
        self.peer_end: How | None = None
        self.our_end: How | None = None
        self.closed = False
        self.broken = False
        self.resting = False
        self._wanted: tuple[How, tuple[str, ...]] | None = None
        self._linger_until = 0.0
        self._linger_timer: Timer | None = None
        self._taken = 0
        self._writable_wanted = False
        self._parked = False

    def started(self) -> Sequence[TlsStarted]:
        """What a new reader has to know beside that it is open."""
        return ()

    @property
    def writable(self) -> bool:
        """Whether bytes may still be handed over."""
        return not self.closed and not self.broken and self._wanted is None and self.our_end is None

    def read(self, on: bool) -> None:
        """Go on reading, or rest."""
        self.reading = on
        if on and self._parked:
            self._parked = False
            self.engine.post(self._readable)
        self._watch()

    def rest(self, on: bool) -> None:
        """Hand nothing over, or go on; reading is another matter."""
        self.resting = on
        if on or self.closed:
            return
        if self._wanted is not None and self._wanted[0] == "RST":
            self._linger_until = time.monotonic() + LONGEST_LINGER
            self._linger_again(self._linger_until)
        self._flush()

    def want_room(self) -> None:
        """Tell the owner as soon as the kernel takes bytes again."""
        self._writable_wanted = True
        self._watch()

    def _watch(self) -> None:
        if self.closed or self._parked:
            return
        read = READ if self.reading and self.peer_end is None else 0
        write = WRITE if (self.out and not self.resting) or self._writable_wanted else 0
        self.engine.watch(self.sock, read | write, self._ready)

    def _ready(self, ready: int) -> None:
        if ready & WRITE:
            self._room()
        if self.closed:
            return
        if ready & ERROR:
            self.meet_reset()
        elif ready & (READ | BROKEN) and self.reading and self.peer_end is None:
            self._readable()
        elif ready & BROKEN:
            self._park()

    def meet_reset(self) -> None:
        """The peer has reset: what it sent before is read first, reading or not; the kernel's buffer bounds it."""
        self.broken = True
        self.drop()
        while self._readable():
            pass
        if not self.closed:
            with self.lock:
                self._peer_ended("RST")
            self._after_peer_end("RST")

    def _park(self) -> None:
        """Both have ended and we do not read now: the rest is read later, without a busy loop until then."""
        self._parked = True
        self.engine.unwatch(self.sock)

    def _readable(self) -> bool:
        """Read once; False when there was nothing to read."""
        if self.closed or self.peer_end is not None:
            return False
        data, how = self._take()
        if data:
            self.owner.got(self, data)
        elif how is not None:
            self._after_peer_end(how)
        return bool(data)

    def _take(self) -> tuple[bytes, How | None]:
        """Bytes, or how the peer has ended, or neither when there is nothing."""
        with self.lock:
            try:
                size = self.sock.recv_into(self.engine.buffer, self.at_once)
            except BlockingIOError:
                return b"", None
            except OSError:
                return b"", self._peer_ended("RST")
            if not size:
                return b"", self._peer_ended("RST" if self.broken else "FIN")
            data = bytes(self.engine.buffer[:size])
            self.owner.read(self, data)
            return data, None

    def _peer_ended(self, how: How) -> How:
        self.peer_end = how
        self.owner.peer_ended(self, how)
        return how

    def _after_peer_end(self, how: How) -> None:
        if how == "RST":
            self._close()
        self._watch()  # an end that has been read stays readable for ever
        self.owner.got_end(self, how)
        self._close_when_over()

    def write(self, chunk: Chunk) -> None:
        """Hand bytes over, now or as soon as the kernel takes them. After an end they are dropped."""
        if self.writable and chunk.data:
            self.out.append(chunk)
            self.out_bytes += len(chunk.data)
            if len(self.out) == 1:
                self._flush()

    def put(self, chunk: Chunk) -> None:
        """Keep bytes to be handed over by the next `flush`; from any thread under the lock."""
        if self.writable and chunk.data:
            self.out.append(chunk)
            self.out_bytes += len(chunk.data)

    def flush(self) -> None:
        """Hand over what the kernel takes."""
        if not self.closed:
            self._flush()

    def send_now(self, view: memoryview) -> int:
        """Send what the kernel takes now, and tell the owner; from any thread, under the lock, when nothing waits in `out`."""
        count = self.sock.send(view)
        data = bytes(view[:count])
        self.owner.wrote(self, data, Chunk(data, 0.0))
        return count

    def _room(self) -> None:
        self._writable_wanted = False
        self._flush()
        if not self.closed:
            self.owner.room(self)

    def _flush(self) -> None:
        while self.out and not self.closed and not self.resting:
            if not self._send(self.out[0]):
                break
        if not self.out and not self.closed:
            self._end_when_due()
        self._watch()

    def _send(self, chunk: Chunk) -> bool:
        """Hand over what the kernel takes of the first chunk; False when it takes no more now."""
        with self.lock:
            rest = memoryview(chunk.data)[self._taken :] if self._taken else chunk.data
            try:
                count = self.sock.send(rest)
            except BlockingIOError:
                return False
            except OSError:
                self.broken = True
            else:
                self._account(chunk, count)
        if self.broken:
            self.meet_reset()
        return not self.broken

    def _account(self, chunk: Chunk, count: int) -> None:
        whole = count == len(chunk.data)
        data = chunk.data if whole else chunk.data[self._taken : self._taken + count]
        self.out_bytes -= count
        self._taken += count
        if self._taken == len(chunk.data):
            self.out.popleft()
            self._taken = 0
        self.owner.wrote(self, data, chunk)

    def end(self, how: How, faults: tuple[str, ...] = (), notify: bool = True) -> None:
        """End with FIN or RST, after the bytes before it. An RST overtakes a FIN that still waits; `notify` is for TLS."""
        if self.closed or self.our_end == "RST" or (how == "FIN" and not self.writable):
            return
        self._wanted = (how, faults)
        self._linger_until = time.monotonic() + LONGEST_LINGER
        if not self.out:
            self._end_when_due()
        elif how == "RST":
            self._linger_again(self._linger_until)
        self._watch()

    def _end_when_due(self) -> None:
        if self._wanted is None or self.closed:
            return
        how, faults = self._wanted
        if how == "RST":
            self._linger()
        else:
            self._wanted = None
            self.fin(faults)

    def fin(self, faults: tuple[str, ...] = ()) -> None:
        """Send FIN now; from any thread when nothing waits in `out`."""
        with self.lock:
            if self.closed or self.our_end is not None or self._wanted is not None:
                return
            try:
                self.sock.shutdown(_socket.SHUT_WR)
            except OSError:
                return  # the peer's RST was quicker; reading tells of it
            self.our_end = "FIN"
            self.owner.we_ended(self, "FIN", faults)
        self._close_when_over()

    def _linger(self) -> None:
        """Reset as soon as nothing is unsent."""
        if self.closed or self._wanted is None or self._wanted[0] != "RST":
            return
        now = time.monotonic()
        if self.out and self.resting:
            return  # when it goes on it looks again
        if now < self._linger_until and (self.out or not_sent(self.sock)):
            self._linger_again(self._linger_until if self.out else now + _LINGER_AGAIN)
        else:
            self.reset(self._wanted[1])

    def _linger_again(self, at: float) -> None:
        if self._linger_timer is not None:
            self._linger_timer.cancel()
        self._linger_timer = self.engine.call_at(at, self._linger)

    def reset(self, faults: tuple[str, ...] = ()) -> None:
        """Send RST now, whatever waits."""
        with self.lock:
            if self.closed:
                return
            reset_on_close(self.sock)
            self.our_end = "RST"
            self._close()
            self.owner.we_ended(self, "RST", faults)

    def _close_when_over(self) -> None:
        """Both have ended: nothing can come or go any more."""
        if self.peer_end == "FIN" and self.our_end == "FIN" and not self.closed:
            if self.engine.here:
                self._close()
            else:
                self.engine.post(self._close)

    def drop(self) -> None:
        """Forget what waits to be handed over."""
        self.out.clear()
        self.out_bytes = self._taken = 0
        self._wanted = None

    def abandon(self) -> None:
        """At teardown: FIN, read what is there, close; waits for no peer."""
        if self.closed:
            return
        self.drop()
        self.fin()
        self._read_the_rest()
        self._close()

    def _read_the_rest(self) -> None:
        for _ in range(64):
            if self.closed or self.peer_end is not None or not self._take()[0]:
                return

    def _close(self) -> None:
        # Handlers' threads send under the lock: none may meet a descriptor that has become somebody else's.
        with self.lock:
            if not self.closed:
                self.closed = True
                self.drop()
                if self._linger_timer is not None:
                    self._linger_timer.cancel()
                self.engine.close(self.sock)
