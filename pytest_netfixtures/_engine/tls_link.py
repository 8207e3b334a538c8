"""A link whose bytes are plain text, over one whose bytes are cipher text.

Law: to its owner it is a `Link`: plain text in order, told of when all of its cipher text is handed over, and exact ends.
The end of the plain text is the peer's close_notify, or an end of TCP without one, which is noted; ends of TCP are told as
they come. Keys are written down before the bytes that need them go. What TLS sends by itself (handshake, alerts) goes
whatever the owner does. It knows no faults: who puts some on the cipher text replaces `cipher_in`, `cipher_out` and their
ends, which hand on to `feed`, `feed_end` and the inner link.
"""

from __future__ import annotations

import _socket
import time
from typing import TYPE_CHECKING, Any, TypeVar

from .._wire.entries import How, Sealed, Secret, TlsFailed, TlsOpened, TlsStarted
from .keylog import key_log_of
from .link import Link
from .loop import READ_SIZE, Engine
from .owner import Chunk, SecureOwner
from .tls_memory import Unsealed, reason_of
from .tls_writing import TlsWriter

if TYPE_CHECKING:
    import ssl

__all__ = ["TlsLink"]


T = TypeVar("T", bound="TlsLink")


class TlsLink(TlsWriter):
    """A link under TLS. As for `Link`, all methods are for the engine's thread, unless they say otherwise.

    `session` is what was agreed on, None before; `failure` says why the handshake failed or TLS broke, `clean_end` whether
    the peer's end came with close_notify. `read` or `begin` starts the handshake. `beneath` is set by who
    lays faults on the cipher text.
    """

    def __init__(self, engine: Engine, sock: _socket.socket, owner: SecureOwner, **what: Any) -> None:
        self._set_up(Link(engine, sock, _Beneath(self)), owner, **what)

    @classmethod
    def over(cls: type[T], link: Link, first: bytes = b"", /, **what: Any) -> T:
        """TLS from now on over a link that exists, for its owner; `first` are bytes that it has read already."""
        self = cls.__new__(cls)
        owner: Any = link.owner
        self._set_up(link, owner, **what)
        link.owner = _Beneath(self)
        self._cipher += first
        self._before = len(first)
        self._spoken = bool(first)
        self._raw_end = link.peer_end
        return self

    def _set_up(self, inner: Link, owner: SecureOwner, *, context: ssl.SSLContext, **what: Any) -> None:
        super()._set_up(inner, owner, context=context, **what)
        self._keys = key_log_of(context)
        self._cipher = bytearray()  # read and not unsealed
        self._raw_end: How | None = None
        self._begun = self._abandoned = False
        self._before = 0

    # The handshake.

    def begin(self) -> None:
        """Shake hands; idempotent."""
        if self._begun:
            return
        self._begun = True
        with self.lock:
            self._write(TlsStarted(time.monotonic(), self._connection, self._leg, self._before))
        self.inner.read(True)
        self._advance()

    def started(self) -> list[TlsStarted]:
        """What a new reader has to know; nothing before the handshake begins, because that is still to be written."""
        now = time.monotonic()
        return [TlsStarted(now, self._connection, self._leg, unseen=self._spoken)] if self._begun else []

    def _shake_hands(self) -> None:
        reason = None
        with self.lock:
            data = bytes(self._cipher)
            self._cipher.clear()
            try:
                done = self._tls.shake_hands(data)
            except Exception as error:  # ssl.SSLError, and whatever a callback of a user's context raises
                done, reason = False, reason_of(error, f"the {self._leg}")
            self._tell_secrets()
            self._collect(self._tls.out())
            if done:
                self._opened()
        self._pass_on()
        if done:
            self._go_on()
        elif reason:
            self._fail(reason)

    def _tell_secrets(self) -> None:
        lines = [line for line in self._keys.take().splitlines(True) if not line.startswith("#")]
        if lines:
            self._write(Secret(time.monotonic(), self._connection, self._leg, "".join(lines)))

    def _opened(self) -> None:
        self._cipher[:0] = self._tls.rest()
        self.session = self._tls.session()
        self._write(TlsOpened(time.monotonic(), self._connection, self._leg, *self.session))

    def _go_on(self) -> None:
        self.owner.secured(self)
        self.inner.read(self.reading)
        self._pump()
        self.owner.room(self)

    def _fail(self, reason: str) -> None:
        """The alert that says why has left; what still comes is read and dropped, so that it stays a FIN."""
        with self.lock:
            self.failure = reason
            self._forget()
            self._write(TlsFailed(time.monotonic(), self._connection, self._leg, reason))
        self.inner.read(True)
        self.cipher_out_end("FIN", ())
        self.owner.not_secured(self, reason)

    def certificate(self) -> dict[str, Any] | None:
        """The peer's; None when it has shown none."""
        with self.lock:
            return self._tls.certificate()

    # Where a layer of faults fits between cipher text and socket.

    def cipher_in(self, data: bytes) -> None:
        """Cipher text was read: hand it on to `feed`."""
        self.feed(data)

    def cipher_in_end(self, how: How) -> None:
        """The peer has ended: hand it on to `feed_end`."""
        self.feed_end(how)

    # Reading.

    def read(self, on: bool) -> None:
        """Go on reading, or rest; a handshake and an end go on."""
        self.begin()
        self.reading = on
        steady = self.session is not None and self.failure is None and self.peer_end is None
        self.inner.read(on or not steady)
        if on and (self._cipher or self._raw_end):
            self.engine.post(self._advance)

    def feed(self, data: bytes) -> None:
        """Take cipher text in."""
        if self.failure is None and self.peer_end is None:
            self._cipher += data
            self._advance()

    def feed_end(self, how: How) -> None:
        """The cipher text has ended."""
        self._raw_end = how
        self._advance()

    def _advance(self) -> None:
        if self._begun and self.session is None and self.failure is None:
            self._shake_hands()
        while self._cipher and self._may_unseal():
            self._unseal()
        self._meet_end()

    def _may_unseal(self) -> bool:
        open_ = self.session is not None and self.failure is None and self.peer_end is None
        return open_ and (self.reading or self.inner.broken)

    def _unseal(self) -> None:
        with self.lock:
            got = self._take_in()
        self._pass_on()
        if self._interrupted:
            self._interrupted = False
            self._pump()
        if got.data:
            self.owner.got(self, got.data)
        if got.over:
            self._end_of_plain(True)
        elif got.problem:
            self._break(got.problem)

    def _take_in(self) -> Unsealed:
        size = self.at_once or READ_SIZE
        got = self._tls.unseal(bytes(self._cipher[:size]))
        del self._cipher[:size]
        if answer := self._tls.out():
            self._tell_secrets()  # of hands shaken once more
            self._collect(answer)
        if got.data:
            self.owner.read(self, got.data)
        return got

    def _end_of_plain(self, clean: bool) -> None:
        with self.lock:
            self.peer_end, self.clean_end = "FIN", clean
            self._cipher.clear()
            if not clean:
                self._note(f"the {self._leg} ended without close_notify")
        if not self.closed:
            self.inner.read(True)  # its FIN is still to come
        self.owner.got_end(self, "FIN")

    def _break(self, reason: str) -> None:
        """What came is no TLS, or an alert: nothing can be believed any more."""
        with self.lock:
            self.failure, self.peer_end = reason, "RST"
            self._forget()
            self._note(f"TLS with the {self._leg} broke: {reason}")
        self.inner.read(True)
        self.cipher_out_end("FIN", ())
        self.owner.got_end(self, "RST")

    def _meet_end(self) -> None:
        """The end of TCP, as soon as all before it was taken."""
        how = self._raw_end
        if (
            how is None
            or not self._begun
            or (self._cipher and self.session is not None and self.peer_end is None)
        ):
            return
        self._raw_end = None
        if self.session is None and self.failure is None:
            self._fail(
                f"the {self._leg} {'left' if how == 'FIN' else 'reset the connection'} before it was done"
            )
        if how == "RST":
            self.peer_end = how
            self.owner.got_end(self, how)
        elif self.peer_end is None:
            self._meet_fin()

    def _meet_fin(self) -> None:
        if self.failure is None:
            self._end_of_plain(False)
        else:
            self.peer_end = "FIN"
            self.owner.got_end(self, "FIN")

    def cipher_read(self, data: bytes) -> None:
        """The inner link has read, under the lock."""
        self._spoken = True
        self._book.write(Sealed(time.monotonic(), self._connection, self._leg, "peer", len(data)), data)
        if self._abandoned:
            self._take_the_rest(data)

    # Ending.

    def abandon(self) -> None:
        """At teardown: close_notify, FIN, read what is there, close; waits for no peer."""
        if self.closed:
            return
        with self.lock:
            self.drop()
            if self.our_end is None:
                self._send_goodbye()
            self._torn = self._abandoned = True
        self.inner.abandon()

    def _take_the_rest(self, data: bytes) -> None:
        """At teardown nobody is told but the record."""
        self._cipher += data
        if self.session is not None and self.failure is None and self.peer_end is None:
            self._take_in()


class _Beneath:
    """Hears the inner link for a `TlsLink`."""

    def __init__(self, link: TlsLink) -> None:
        self._link = link

    def read(self, link: Link, data: bytes) -> None:
        self._link.cipher_read(data)

    def got(self, link: Link, data: bytes) -> None:
        self._link.cipher_in(data)

    def peer_ended(self, link: Link, how: How) -> None:
        self._link.owner.peer_ended(self._link, how)

    def wrote(self, link: Link, data: bytes, chunk: Chunk) -> None:
        self._link.cipher_wrote(data, chunk)

    def we_ended(self, link: Link, how: How, faults: tuple[str, ...]) -> None:
        self._link.owner.we_ended(self._link, how, faults)

    def got_end(self, link: Link, how: How) -> None:
        self._link.cipher_in_end(how)

    def room(self, link: Link) -> None:
        self._link.flush()
        self._link.owner.room(self._link)
