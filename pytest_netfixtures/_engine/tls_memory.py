"""One end of a TLS connection, in memory: cipher text in, plain text out, and back.

Law: bytes in, bytes out; it knows no socket and no journal. Between two calls no whole record is left inside: what was
not unsealed yet is in the hands of who feeds it, so that a close_notify can be sent at any time.
"""

from __future__ import annotations

import ssl
from typing import Any, NamedTuple

from .._wire.hello import server_name
from .._wire.traffic import TlsSession

__all__ = ["Sealing", "Unsealed", "reason_of"]

_RECORD = 16384
_LONGEST_HELLO = 1 << 16
_BARE = "the context here has no certificate: load_cert_chain()"
_HINTS = {
    "http request": "it speaks plain HTTP",
    "https proxy request": "it speaks plain HTTP to a proxy",
    "wrong version number": "it does not speak TLS, or none of these versions",
    "record layer failure": "it does not speak TLS",
    "packet length too long": "it does not speak TLS",
    "unsupported protocol": f"it offers none of the versions that are allowed here, or {_BARE}",
    "no shared cipher": f"it offers no cipher that fits, or {_BARE}",
    "peer did not return a certificate": "it showed no certificate, and one is required",
}


class Unsealed(NamedTuple):
    """Plain text, whether the peer's close_notify came behind it, and what went wrong behind it."""

    data: bytes
    over: bool = False
    problem: str | None = None


class Sealing:
    """A TLS connection over two buffers. Not for two threads at once."""

    def __init__(self, context: ssl.SSLContext, server_side: bool, server_hostname: str | None) -> None:
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._in, self._out, server_side=server_side, server_hostname=server_hostname
        )
        self._server_side = server_side
        self._hello = b""

    def shake_hands(self, data: bytes) -> bool:
        """Go on with these bytes of the peer; True when it is done. Raises ssl.SSLError when it has failed."""
        if self._server_side and len(self._hello) < _LONGEST_HELLO:
            self._hello += data
        self._in.write(data)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def rest(self) -> bytes:
        """What came behind the handshake."""
        return self._in.read()

    def out(self) -> bytes:
        """Cipher text that has to go to the peer."""
        return self._out.read()

    def seal(self, data: bytes) -> bytes | None:
        """These bytes as cipher text; None while the peer wants to shake hands once more, which comes first.

        Raises ssl.SSLError when the connection is broken.
        """
        try:
            self._tls.write(data)
        except ssl.SSLWantReadError:
            return None
        return self._out.read()

    def unseal(self, data: bytes) -> Unsealed:
        """What these bytes of the peer are in plain text."""
        self._in.write(data)
        parts: list[bytes] = []
        try:
            while part := self._tls.read(_RECORD):
                parts.append(part)
        except ssl.SSLWantReadError:
            return Unsealed(b"".join(parts))
        except ssl.SSLZeroReturnError:
            pass  # the same as an empty read, behind a close_notify of ours
        except ssl.SSLError as error:
            return Unsealed(b"".join(parts), problem=reason_of(error, "the peer"))
        return Unsealed(b"".join(parts), over=True)

    def goodbye(self) -> bytes:
        """Our close_notify, as cipher text. Reading can go on."""
        try:
            self._tls.unwrap()
        except ssl.SSLError:
            pass  # the peer's has not come yet
        return self._out.read()

    def session(self) -> TlsSession:
        """What was agreed on."""
        cipher = self._tls.cipher()
        name = server_name(self._hello) if self._server_side else self._tls.server_hostname
        self._hello = b""
        return TlsSession(
            self._tls.version() or "", cipher[0] if cipher else "", self._tls.selected_alpn_protocol(), name
        )

    def certificate(self) -> dict[str, Any] | None:
        """The peer's, as `ssl.SSLSocket.getpeercert()` gives it; None when it has shown none, or none was checked."""
        try:
            return self._tls.getpeercert() or None
        except ValueError:
            return None  # the handshake is not done


def reason_of(error: Exception, peer: str) -> str:
    """Why OpenSSL has refused, in words; `peer` is "the client" or "the server"."""
    verified = getattr(error, "verify_message", None)
    if verified:
        return f"{peer}'s certificate is not accepted: {verified}"
    said = str(getattr(error, "reason", None) or error).replace("_", " ").lower()
    _, alert, what = said.partition(" alert ")
    if alert:
        return f"{peer} refused it with the alert {what!r}"
    return f"{said} ({peer}: {_HINTS[said]})" if said in _HINTS else said
