"""What our servers for TCP have in common: TLS, where it is asked for.

Law: it keeps what `tls=` said and says what a failed handshake means; contexts are made in `authority.py`, which is imported
only where TLS is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._errors import ServerError, is_for_the_user
from .endpoint import TcpEndpoint
from .scope import Scope

if TYPE_CHECKING:
    import ssl

    from .authority import Tls

__tracebackhide__ = is_for_the_user

__all__ = ["ServingEndpoint"]


class ServingEndpoint(TcpEndpoint):
    """A server for TCP, with or without TLS."""

    tls: Tls | ssl.SSLContext | None = None
    """What it does with TLS; None: plain TCP."""

    tls_context: ssl.SSLContext | None = None
    """The context of its connections; None: plain TCP."""

    _strict = False

    def __init__(
        self,
        scope: Scope,
        *,
        tls: Tls | ssl.SSLContext | bool | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        name: str | None = None,
    ) -> None:
        if tls is not None and tls is not False:
            self._secure(tls)
        super().__init__(scope, host=host, port=port, name=name)

    def _secure(self, tls: Tls | ssl.SSLContext | bool) -> None:
        from .authority import Tls, server_context_of

        self.tls_context = server_context_of(tls)
        self.tls = Tls() if isinstance(tls, bool) else tls

    def not_secured(self, number: int, reason: str) -> None:
        """A handshake has failed: the client's affair, unless the server is strict."""
        if self._strict:
            self.scope.fail(
                ServerError(
                    f"the TLS handshake of connection {number} of {self!r} failed: {reason}; expected it to succeed,"
                    " because the server is strict: look at the client's error, or leave strict=True out"
                )
            )
