"""What TLS adds to a connection of a server of ours.

Law: what a handshake has agreed on, and the want of one in the middle of a stream. Waiting is `connection.py`'s work; on the
engine's thread the link is put under TLS, together with what the client has sent already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._errors import ConnectionEnded, NetlabError, is_for_the_user
from .._wire.traffic import TlsSession
from .wants import Want, Wants

if TYPE_CHECKING:
    import ssl

    from .authority import Tls
    from .link import Link

__tracebackhide__ = is_for_the_user

__all__ = ["Securable"]


class Securable(Wants):
    """A connection that may be under TLS, or go there."""

    @property
    def tls(self) -> TlsSession | None:
        """What the handshake has agreed on: `version`, `cipher`, `alpn`, `server_name`; None without TLS, and before."""
        return self._link.session

    @property
    def peer_certificate(self) -> dict[str, Any] | None:
        """The client's certificate, as `ssl.SSLSocket.getpeercert()` gives it; None when it has shown none."""
        link: Any = self._link
        return link.certificate() if self.under_tls else None

    def not_secured(self, link: Link, reason: str) -> None:
        with self._lock:
            self._news.notify_all()
        if self.server.tls_context is not None:  # otherwise whoever has asked for TLS is told
            super().not_secured(link, reason)

    def _go_under_tls(self, tls: Tls | ssl.SSLContext | bool) -> None:
        """From now on there is TLS; from any thread."""
        from .authority import server_context_of

        context = server_context_of(tls)
        if context is None:
            raise ValueError(
                f"tls is {tls!r}; expected True, a Tls such as Tls(expired=True), or an ssl.SSLContext"
            )
        self._scope.engine.call(self._upgrade, context)

    def _upgrade(self, context: ssl.SSLContext) -> None:
        from .tls_link import TlsLink

        with self._lock:
            self._check_upgrade()
            first = bytes(self._inbox)
            self._inbox.clear()
            link = TlsLink.over(
                self._link, first, context=context, book=self._book, connection=self.id, leg="client"
            )
            self._link = link
            self._sent["to_server"] -= len(first)
        link.read(True)

    def _check_upgrade(self) -> None:
        if self.under_tls:
            raise NetlabError(
                f"{self!r} is under TLS already; expected start_tls() once, on a plain connection"
            )
        if not self._link.writable or self.gone or self.released:
            raise ConnectionEnded(f"{self!r} has ended; expected an open connection to start TLS on")

    def _want_tls(self) -> Want[None]:
        return Want(
            "start_tls",
            "the client's TLS handshake",
            lambda: self.tls is not None or self._failure is not None,
            self._check_secured,
        )

    @property
    def _failure(self) -> str | None:
        """Why the handshake failed; known before the link ends, and so before anything else that it may look like."""
        return self._link.failure

    def _check_secured(self) -> None:
        __tracebackhide__ = True
        if self.tls is None:
            self.give_up()
            raise ConnectionEnded(
                f"the TLS handshake of {self!r} failed: {self._failure}; expected it to succeed: look at the client's error"
            )
