"""The writing half of a link under TLS: plain text waits, is sealed piece by piece, and leaves as cipher text.

Law: plain text is told of when the kernel has all of its cipher text. What is sealed goes out in that order, whichever thread
sealed it, because a record out of order breaks TLS; so nothing is sealed ahead of what the kernel takes, and what is dropped
is plain text, of which the peer never knows. The handshake and reading are in `tls_link.py`.
"""

from __future__ import annotations

import _socket
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from .._wire.entries import Entry, How, Noted, Sealed, Side
from .journal import Book
from .link import LONGEST_LINGER, Link
from .loop import Timer
from .owner import Chunk, SecureOwner
from .tls_memory import Sealing

if TYPE_CHECKING:
    import ssl

__all__ = ["TlsWriter"]

PIECE = 64 << 10
"""So much plain text is sealed at a time."""


class TlsWriter(Link):
    """What a link under TLS is made of, and how it writes and ends."""

    owner: SecureOwner
    under_tls = True

    def _set_up(
        self,
        inner: Link,
        owner: SecureOwner,
        *,
        context: ssl.SSLContext,
        book: Book,
        connection: int,
        leg: Side,
        server_side: bool = True,
        server_hostname: str | None = None,
    ) -> None:
        self.engine, self.lock, self.inner, self.owner = inner.engine, inner.lock, inner, owner
        self.out: deque[Chunk] = deque()
        self.reading = self.resting = self.beneath = False
        self.clean_end = True
        self.peer_end: How | None = None
        self.session = self.failure = None
        self._book, self._connection, self._leg = book, connection, leg
        self._tls = Sealing(context, server_side, server_hostname)
        self._sealed: deque[Chunk] = deque()  # sealed, and to be handed on by the engine's thread
        self._on_its_way: deque[list[Any]] = (
            deque()
        )  # bytes of cipher text, the plain text in them, its chunk
        self._plain_bytes = self._taken = 0
        self._wanted_end: tuple[How, tuple[str, ...], bool] | None = None
        self._torn = self._said_goodbye = self._ended = self._interrupted = False
        self._late: Timer | None = None
        self._spoken = False  # whether cipher text went over it

    # What is the inner link's.

    @property
    def sock(self) -> _socket.socket:  # type: ignore[override]
        """The socket beneath."""
        return self.inner.sock

    @property
    def closed(self) -> bool:  # type: ignore[override]
        """Whether the socket is closed."""
        return self.inner.closed

    @property
    def our_end(self) -> How | None:  # type: ignore[override]
        """How we have ended it."""
        return self.inner.our_end

    @property
    def broken(self) -> bool:
        """Whether the peer has reset."""
        return self.inner.broken

    @broken.setter
    def broken(self, broken: bool) -> None:
        self.inner.broken = broken

    @property
    def at_once(self) -> int:
        """So many bytes are read at a time; 0: as many as there are."""
        return self.inner.at_once

    @at_once.setter
    def at_once(self, size: int) -> None:
        self.inner.at_once = size

    @property
    def out_bytes(self) -> int:  # type: ignore[override]
        """How many bytes wait."""
        return self._plain_bytes

    @property
    def owes(self) -> bool:  # type: ignore[override]
        """Whether cipher text of what `send_now` took still waits."""
        return bool(self.inner.out or self._sealed)

    @property
    def writable(self) -> bool:
        """Whether plain text may still be handed over."""
        return self._wanted_end is None and self.failure is None and self.inner.writable

    def want_room(self) -> None:
        """Tell the owner as soon as the kernel takes bytes again; before the handshake is done there is no room."""
        if self.session is not None:
            self.inner.want_room()

    def cipher_out(self, chunk: Chunk) -> None:
        """Cipher text for the peer: hand it on to `inner.write`."""
        self.inner.write(chunk)

    def cipher_out_end(self, how: How, faults: tuple[str, ...]) -> None:
        """We end: hand it on to `inner.end`."""
        self.inner.end(how, faults)

    # Writing.

    def write(self, chunk: Chunk) -> None:
        """Hand plain text over as soon as it can be sealed and the kernel takes it. After an end it is dropped."""
        if self.writable and chunk.data:
            self.out.append(chunk)
            self._plain_bytes += len(chunk.data)
            self._pump()

    def rest(self, on: bool) -> None:
        """Hand no plain text over, or go on."""
        self.resting = on
        if self.session is not None:
            self.inner.rest(on)
        if not on and not self.closed:
            self._wait_for_rst()
            self._pump()

    def _pump(self) -> None:
        while self._may_seal():
            with self.lock:
                self._seal_next()
            self._pass_on()
        self._end_when_due()

    def _may_seal(self) -> bool:
        if not self.out or self.resting or self.session is None or self.failure is not None or self.closed:
            return False
        return not self._interrupted and (self.beneath or not self.owes)

    def _seal_next(self) -> None:
        chunk = self.out[0]
        piece = chunk.data[self._taken : self._taken + PIECE]
        cipher = self._tls.seal(piece)
        if cipher is None:
            self._interrupted = True  # until there is more to read
            return
        self._taken += len(piece)
        if self._taken >= len(chunk.data):
            self.out.popleft()
            self._taken = 0
        self._collect(cipher, piece, chunk)

    def _collect(self, cipher: bytes, piece: bytes = b"", chunk: Chunk | None = None) -> None:
        """Cipher text to be handed on: of plain text, or TLS's own."""
        if not cipher:
            return
        chunk = chunk or Chunk(b"", time.monotonic())
        self._sealed.append(Chunk(cipher, chunk.due, chunk.faults))
        if self.beneath:  # what waits is then the cipher text among the faults
            self._plain_bytes -= len(piece)
        self._on_its_way.append([len(cipher), piece, chunk])

    def _pass_on(self) -> None:
        """A chunk stays in `_sealed` until it is in the inner link, so that `send_now` never overtakes it."""
        while self._sealed:
            self.cipher_out(self._sealed[0])
            if self._sealed:
                self._sealed.popleft()

    def _tell(self, piece: bytes, chunk: Chunk) -> None:
        if piece:
            if not self.beneath:
                self._plain_bytes = max(0, self._plain_bytes - len(piece))
            self.owner.wrote(self, piece, chunk)

    def put(self, chunk: Chunk) -> None:
        """As `write`, on the engine's thread soon; from any thread."""
        self.engine.post(lambda: self.write(chunk))

    def flush(self) -> None:
        """Hand over what the kernel takes."""
        self._pump()

    def send_now(self, view: memoryview) -> int:
        """Seal some of it and send that, from any thread, under the lock. The owner is told when the kernel has all of it;
        until then the link `owes`. Raises BlockingIOError while it does, OSError when the peer has left."""
        if self.owes or self.session is None or self.resting:
            raise BlockingIOError
        piece = bytes(view[:PIECE])
        cipher = self._tls.seal(piece)
        if cipher is None:
            raise BlockingIOError
        self._send_sealed(cipher, piece)
        return len(piece)

    def _send_sealed(self, cipher: bytes, piece: bytes = b"") -> None:
        """Send cipher text from any thread, under the lock; what the kernel does not take is left to the engine's."""
        if not cipher:
            return
        chunk = Chunk(piece, time.monotonic())
        self._plain_bytes += len(piece)
        try:
            count = self.sock.send(cipher)
        except BlockingIOError:
            count = 0
        self._on_its_way.append([len(cipher), piece, chunk])
        self.cipher_wrote(cipher[:count], chunk)
        if count < len(cipher):
            self.inner.put(Chunk(cipher[count:], chunk.due))
            self.engine.post(self.inner.flush)

    def cipher_wrote(self, data: bytes, chunk: Chunk) -> None:
        """The kernel has taken cipher text; under the lock."""
        now = time.monotonic()
        if data:
            self._spoken = True
            entry = Sealed(now, self._connection, self._leg, "us", len(data), chunk.due, chunk.faults)
            self._book.write(entry, data)
        left = len(data)
        while self._on_its_way and left >= self._on_its_way[0][0]:
            size, piece, plain = self._on_its_way.popleft()
            left -= size
            self._tell(piece, plain)
        if self._on_its_way:
            self._on_its_way[0][0] -= left

    # Ending.

    def end(self, how: How, faults: tuple[str, ...] = (), notify: bool = True) -> None:
        """End with FIN or RST, after the bytes before it; `notify`: a close_notify comes before the FIN."""
        if self.closed or self.our_end == "RST" or (how == "FIN" and not self.writable):
            return
        self._wanted_end, self._ended = (how, faults, notify), False
        self._wait_for_rst()
        self._end_when_due()

    def _end_when_due(self) -> None:
        if self._wanted_end is None or self._ended or self.closed or self.out:
            return
        self._ended = True
        how, faults, notify = self._wanted_end
        if how == "FIN" and notify:
            self._say_goodbye(faults)
        else:
            self.cipher_out_end(how, faults)

    def _say_goodbye(self, faults: tuple[str, ...]) -> None:
        with self.lock:  # who has read it finds the FIN written down
            if self.beneath or self.owes or self.inner.resting:
                self._collect(self._goodbye())
            else:
                self._send_goodbye()
                if not self.owes:
                    self.inner.fin(faults)
        self._pass_on()
        self.cipher_out_end("FIN", faults)

    def _goodbye(self) -> bytes:
        """Our close_notify; nothing where the peer could not read it, or has had it."""
        if self.session is None or self.failure is not None or self._torn or self._said_goodbye:
            return b""
        self._said_goodbye = True
        return self._tls.goodbye()

    def _wait_for_rst(self) -> None:
        """An RST waits for plain text before it, but not for ever."""
        if self._wanted_end is not None and self._wanted_end[0] == "RST" and self.out and not self.resting:
            self._forget_timer()
            self._late = self.engine.call_at(time.monotonic() + LONGEST_LINGER, self._reset_late)

    def _reset_late(self) -> None:
        if self._wanted_end is not None and self.out and not self.resting and not self.closed:
            self.inner.reset(self._wanted_end[1])

    def fin(self, faults: tuple[str, ...] = ()) -> None:
        """Send close_notify and FIN now, or behind what waits; from any thread."""
        with self.lock:
            if self.closed or self.our_end is not None or self._wanted_end is not None:
                return
            if not (self.out or self.owes):
                self._send_goodbye()
            waits = bool(self.out or self.owes)
            if not waits:
                self.inner.fin(faults)
        if waits:
            self.engine.post(lambda: self.end("FIN", faults))

    def _send_goodbye(self) -> None:
        try:
            self._send_sealed(self._goodbye())
        except OSError:
            self.broken = True  # the kernel tells of a reset once, and it has told us
            self.engine.post(self.inner.meet_reset)

    def reset(self, faults: tuple[str, ...] = ()) -> None:
        """Send RST now, whatever waits."""
        self.inner.reset(faults)
        self._forget_timer()

    def drop(self) -> None:
        """Forget what waits to be handed over. Where cipher text is among it the peer can read nothing behind it."""
        self._torn = self._torn or self.owes
        self._forget()
        self._sealed.clear()
        self._on_its_way.clear()
        self._plain_bytes, self._wanted_end = 0, None
        self.inner.drop()

    def _forget(self) -> None:
        """Forget plain text that is not sealed yet."""
        self._plain_bytes -= sum(len(chunk.data) for chunk in self.out) - self._taken
        self.out.clear()
        self._taken = 0
        self._forget_timer()

    def _forget_timer(self) -> None:
        if self._late is not None:
            self._late.cancel()

    def _note(self, text: str) -> None:
        self._write(Noted(time.monotonic(), self._connection, text))

    def _write(self, entry: Entry) -> None:
        self._book.write(entry)
