"""One connection through a proxy with a leg under TLS.

Law: legs are secured one after the other, the server's first; only then the faults hear that the connection is open, and
from there on all is as without TLS, because a link under TLS speaks plain text. A handshake that fails ends both legs, and
says why: towards the server it is an upstream that cannot be reached.
"""

from __future__ import annotations

import _socket
import time
from typing import TYPE_CHECKING, Any

from .._wire.entries import DIRECTIONS, TO_SERVER, Address, How, Sealed, TlsFailed, TlsStarted
from .._wire.events import Fin, Rst
from .._wire.pipeline import Armed
from . import upstream
from .beneath import Beneath, FaultedTlsLink
from .link import Link
from .loop import Timer
from .proxied import ProxiedConnection
from .tls_legs import name_for
from .tls_link import TlsLink
from .upstream import address_of

if TYPE_CHECKING:
    from .tcp_proxy import TcpProxy

__all__ = ["SealedConnection"]


class SealedConnection(ProxiedConnection):
    """A client, an upstream, and TLS towards one of them or both. For the engine's thread."""

    def __init__(self, proxy: TcpProxy, sock: _socket.socket, peer: Address, number: int) -> None:
        super().__init__(proxy, sock, peer, number)
        self._beneath: Beneath | None = None
        self._late: Timer | None = None
        self._early: list[tuple[Link, How]] = []
        self._told = False
        self._behind: object = None

    # Opening: the server's leg, then the client's, then the faults.

    def _connecting(self, local: tuple[str, int], upstream: tuple[str, int]) -> None:
        super()._connecting(local, upstream)
        self._behind = self.proxy.upstream

    def _connected(self, sock: _socket.socket) -> None:
        context = self.proxy.legs.upstream_context(self._behind)
        if context is None:
            self._meet_server(Link(self.engine, sock, self))
            self._secure_client()
            return
        what: dict[str, Any] = {"context": context, "book": self.book, "connection": self.id, "leg": "server"}
        name = name_for(address_of(self._behind)[0])
        link = TlsLink(self.engine, sock, self, **what, server_side=False, server_hostname=name)
        self._meet_server(link)
        link.resting = False  # its handshake goes on while the proxy is paused, as a connect does
        seconds = upstream.CONNECT_SECONDS
        self._late = self.engine.call_at(time.monotonic() + seconds, lambda: self._too_late(link, seconds))
        link.begin()

    def _secure_client(self) -> None:
        context = self.proxy.legs.client_context
        if context is None:
            self._begin()
            return
        what: dict[str, Any] = {"context": context, "book": self.book, "connection": self.id, "leg": "client"}
        if self.proxy.beneath:
            self.client = faulted = FaultedTlsLink.over(self.client, **what)
            assert isinstance(faulted, FaultedTlsLink)
            faulted.beneath = True
            faulted.row = self._beneath = Beneath(self, faulted)
            self._beneath.start()
        else:
            self.client = TlsLink.over(self.client, **what)
        if not self._agenda.paused:
            self.client.begin()

    def _begin(self) -> None:
        super()._begin()
        self._rest(self._agenda.paused)
        early, self._early = self._early, []
        for link, how in early:
            self.got_end(link, how)

    def secured(self, link: Link) -> None:
        """A handshake is done."""
        if self._is_over(TO_SERVER):
            return
        if link is self.server:
            self._stop_waiting()
            self._secure_client()
        else:
            self._begin()

    # Handshakes that fail.

    def not_secured(self, link: Link, reason: str) -> None:
        """A handshake has failed; the link ends by itself."""
        self._stop_waiting()
        if self._is_over(TO_SERVER):
            return
        if link is self.server:
            self._unreachable()
        else:
            self._over = dict.fromkeys(DIRECTIONS, Fin(0.0, whole=True))
            self._end_server()

    def _end_server(self) -> None:
        """It has done nothing wrong."""
        if self.server is not None:
            self.server.end("FIN")
            self.server.read(True)

    def _too_late(self, link: Link, seconds: float) -> None:
        self.engine.settle()  # an answer that has come by now counts, however late we are
        if self.connected or self._late is None:
            return
        with self.book.lock:
            reason = f"no handshake within {seconds:g} s"
            self.book.write(TlsFailed(time.monotonic(), self.id, "server", reason))
        self._unreachable()
        link.reset()

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _give_up(self) -> None:
        super()._give_up()
        self._stop_waiting()

    # What the links tell.

    def read(self, link: Link, data: bytes) -> None:
        if link is self.client and not link.under_tls and self.proxy.legs.client_context:
            self._read_cipher(data)
        else:
            super().read(link, data)

    def _read_cipher(self, data: bytes) -> None:
        """The upstream is not reached and the client is left hanging: its cipher text is read and never answered."""
        now = time.monotonic()
        if not self._told:
            self.book.write(TlsStarted(now, self.id, "client"))
        self._told = True
        self.book.write(Sealed(now, self.id, "client", "peer", len(data)), data)

    def got_end(self, link: Link, how: How) -> None:
        if not self.connected and not self._is_over(TO_SERVER) and link is self.server:
            # The client meets it behind its handshake, as it does without TLS.
            self._early.append((link, how))
        elif self.connected and how == "RST" and not link.closed:
            # TLS broke and TCP did not: this leg ends by itself, with FIN; the other one is reset.
            self._feed(self._from(link), Rst(time.monotonic(), whole=False))
            self._end_what_is_left()
        else:
            super().got_end(link, how)

    # What the proxy asks for.

    def _rest(self, on: bool) -> None:
        if self.connected:
            super()._rest(on)

    def pause(self, on: bool) -> None:
        super().pause(on)
        if self._beneath is not None:
            self._beneath.pause(on)
        if not on and isinstance(self.client, TlsLink):
            self.client.begin()

    def lift(self, armed: Armed) -> None:
        super().lift(armed)
        if self._beneath is not None:
            self._beneath.lift(armed)

    def _drop(self) -> None:
        super()._drop()
        if self._beneath is not None:
            self._beneath.drop()
