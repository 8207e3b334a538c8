"""SSL contexts: what is checked of the arguments, and what is set.

Law: it knows no certificate and no connection. `ssl` is imported when a context is made, and not before.
"""

from __future__ import annotations

import datetime
import sys
import warnings
from typing import TYPE_CHECKING, Any

from .._errors import is_for_the_user

if TYPE_CHECKING:
    import ssl

__all__ = [
    "VERSIONS",
    "ask_clients",
    "check_alpn",
    "check_names",
    "check_ready",
    "check_texts",
    "check_versions",
    "for_clients",
    "for_servers",
    "limit",
    "offer",
    "unchecked",
    "validity",
]

__tracebackhide__ = is_for_the_user

VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_OLD = ("TLSv1", "TLSv1.1")


def check_texts(field: str, value: object, expected: str, least: int = 0) -> None:
    """`value` must be a tuple of texts that are not empty, at least `least` of them."""
    if not isinstance(value, tuple) or not all(isinstance(each, str) for each in value):
        raise TypeError(f"{field} is {value!r}; expected a tuple of {expected}")
    if len(value) < least or not all(value):
        raise ValueError(f"{field} is {value!r}; expected a tuple of {expected}")


def check_names(names: tuple[str, ...]) -> None:
    """What can stand in a certificate: no schemes, ports or spaces, and lengths that DNS knows (RFC 1035, section 2.3.4)."""
    for name in names:
        if len(name) > 253 or max(map(len, name.split("."))) > 63:
            raise ValueError(
                f"names has {name!r}; expected host names of 253 characters or less, 63 between two dots"
            )
        if any(letter in name for letter in " /@[]") or (name.count(":") == 1):
            raise ValueError(
                f"names has {name!r}; expected host names and IP addresses, without a scheme or a port, such as 'localhost'"
            )


def check_alpn(value: object) -> None:
    """ALPN knows names of 1 to 255 bytes of ASCII."""
    check_texts("alpn", value, "protocols, such as ('h2', 'http/1.1')")
    assert isinstance(value, tuple)
    for name in value:
        if not name.isascii() or len(name) > 255:
            raise ValueError(f"alpn has {name!r}; expected 1 to 255 bytes of ASCII, such as 'h2' (RFC 7301)")


def check_versions(minimum: object, maximum: object) -> None:
    """Both are versions, and there is one between them."""
    for field, value in (("minimum", minimum), ("maximum", maximum)):
        if value is not None and value not in VERSIONS:
            raise ValueError(
                f"{field} is {value!r}; expected one of {', '.join(map(repr, VERSIONS))}, or None"
            )
    if minimum is not None and maximum is not None and _rank(minimum) > _rank(maximum):
        raise ValueError(
            f"minimum is {minimum!r} and maximum is {maximum!r}; expected at least one version: swap them"
        )


def check_ready(tls: object) -> ssl.SSLContext:
    """What is none of ours must be a context that servers can use."""
    loaded: Any = sys.modules.get("ssl")
    if loaded is None or not isinstance(tls, loaded.SSLContext):
        raise TypeError(
            f"tls is {tls!r}; expected True, a Tls such as Tls(expired=True), or an ssl.SSLContext"
        )
    if tls.protocol == loaded.PROTOCOL_TLS_CLIENT:
        raise ValueError(
            f"tls is {tls!r}, which is for clients; expected one for servers: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)"
        )
    return tls  # type: ignore[no-any-return]


def for_servers() -> ssl.SSLContext:
    """A context for servers: no renegotiation, and no tickets, which make an RST of the close of a client that does not read."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.options |= getattr(ssl, "OP_NO_RENEGOTIATION", 0) | ssl.OP_NO_TICKET
    context.num_tickets = 0
    return context


def for_clients() -> ssl.SSLContext:
    """A context for clients that checks certificates and names."""
    import ssl

    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def unchecked() -> ssl.SSLContext:
    """A context for clients that checks nothing; for a way that does not leave this machine."""
    context = for_clients()
    context.check_hostname = False
    context.verify_mode = _ssl().CERT_NONE
    return context


def ask_clients(context: ssl.SSLContext, client_cert: str | None) -> None:
    """Whether clients may or must show a certificate."""
    ssl = _ssl()
    modes = {None: ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
    context.verify_mode = modes[client_cert]


def offer(context: ssl.SSLContext, alpn: tuple[str, ...]) -> None:
    """The protocols of ALPN."""
    if alpn:
        context.set_alpn_protocols(list(alpn))


def limit(context: ssl.SSLContext, minimum: str | None, maximum: str | None) -> None:
    """The versions; for the old ones OpenSSL has to be asked for less security."""
    if minimum is None and maximum in _OLD:
        minimum = maximum
    if minimum in _OLD:
        context.set_ciphers("DEFAULT@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the old versions, which the user has asked for
        if minimum is not None:
            context.minimum_version = _version(minimum)
        if maximum is not None:
            context.maximum_version = _version(maximum)


def validity(expired: bool) -> dict[str, datetime.datetime]:
    """From when and until when a certificate holds, as trustme takes it."""
    now = datetime.datetime.now(datetime.timezone.utc)
    ends = now - datetime.timedelta(days=1) if expired else now + datetime.timedelta(days=365)
    return {"not_before": now - datetime.timedelta(days=31), "not_after": ends}


def _rank(version: object) -> int:
    return VERSIONS.index(str(version))


def _version(name: str) -> ssl.TLSVersion:
    return _ssl().TLSVersion[name.replace(".", "_")]  # type: ignore[no-any-return]


def _ssl() -> Any:
    import ssl

    return ssl
