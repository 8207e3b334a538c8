"""Which legs of a TCP proxy are under TLS, with what contexts, and what that makes of its URL.

Law: it looks at what was given and at what stands behind the proxy, and says so; it opens nothing. `ssl` is imported only
where a leg is under TLS.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from .._errors import is_for_the_user
from .._wire.entries import DIRECTIONS, Direction
from .._wire.given import faults_of
from .._wire.seen import Fault

if TYPE_CHECKING:
    import ssl

    from .authority import Tls

__tracebackhide__ = is_for_the_user

__all__ = ["Legs", "name_for", "tls_of"]

_BENEATH = 'expected {"to_server": faults, "to_client": faults}, or one of the two'


class Legs:
    """What a proxy was given as `tls`, `upstream_tls` and `beneath_tls`.

    Raises TypeError or ValueError for what cannot be meant, and SetupError where trustme is needed and not installed.
    """

    def __init__(self, tls: object, upstream_tls: object, beneath_tls: object) -> None:
        self.tls: Tls | ssl.SSLContext | None = None
        self.client_context: ssl.SSLContext | None = None
        if tls is not None and tls is not False:
            self._terminate(tls)
        self.upstream_tls = upstream_tls
        _check_upstream_tls(upstream_tls)
        self.beneath = _rows(beneath_tls, bool(self.tls))
        self._contexts: dict[object, ssl.SSLContext] = {}

    def _terminate(self, tls: Any) -> None:
        from .authority import Tls, server_context_of

        self.client_context = server_context_of(tls)
        self.tls = Tls() if tls is True else tls

    @property
    def any(self) -> bool:
        """Whether a leg may be under TLS."""
        return self.tls is not None or self.upstream_tls not in (None, False)

    def is_sealed(self, upstream: object) -> bool:
        """Whether the leg to this upstream is under a TLS of our own."""
        if self.upstream_tls is None:
            return self.tls is not None and tls_of(upstream) is not None
        return self.upstream_tls is not False

    def upstream_context(self, upstream: object) -> ssl.SSLContext | None:
        """The context for a connect to this upstream; None: plain."""
        if not self.is_sealed(upstream):
            return None
        if self.upstream_tls not in (None, True):
            ready: Any = self.upstream_tls
            return ready  # type: ignore[no-any-return]
        theirs, alpn = tls_of(upstream), getattr(self.tls, "alpn", ())
        key = (theirs, alpn)
        if key not in self._contexts:
            self._contexts[key] = _context_for(theirs, alpn)
        return self._contexts[key]

    def scheme(self, upstream: object, scheme: str) -> str:
        """What a client has to say instead of the upstream's scheme."""
        if self.tls is not None:
            return "https" if scheme == "http" else scheme
        return "http" if scheme == "https" and self.is_sealed(upstream) else scheme


def tls_of(upstream: object) -> Tls | ssl.SSLContext | None:
    """What a server or proxy of ours does with TLS; a proxy that passes bytes on does what stands behind it does."""
    legs = getattr(upstream, "legs", None)
    if isinstance(legs, Legs) and legs.tls is None:
        behind = getattr(upstream, "upstream", None)
        return None if legs.is_sealed(behind) else tls_of(behind)
    tls: Tls | ssl.SSLContext | None = getattr(upstream, "tls", None)
    return tls


def name_for(host: str) -> str:
    """What the proxy asks an upstream for (SNI): its name, or localhost where it has only an address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host
    return "localhost"


def _context_for(theirs: Any, alpn: tuple[str, ...]) -> ssl.SSLContext:
    """Certificates are not checked: the test is about the wire. A server of ours that wants a certificate gets one."""
    from .contexts import limit, offer, unchecked

    context = unchecked()
    if getattr(theirs, "client_cert", None):
        from .authority import authority

        authority().certify(context)
    limit(context, getattr(theirs, "minimum", None), getattr(theirs, "maximum", None))
    offer(context, alpn)
    return context


def _check_upstream_tls(value: object) -> None:
    if value is None or isinstance(value, bool):
        return
    import ssl

    if not isinstance(value, ssl.SSLContext):
        raise TypeError(
            f"upstream_tls is {value!r}; expected None, True, False, or an ssl.SSLContext for clients:"
            " ssl.create_default_context(), or netlab.ca.client_context()"
        )
    if value.protocol == ssl.PROTOCOL_TLS_SERVER:
        raise ValueError(
            f"upstream_tls is {value!r}, which is for servers; expected one for clients:"
            " ssl.create_default_context(), or netlab.ca.client_context()"
        )


def _rows(given: object, terminates: bool) -> list[tuple[Direction, Fault]]:
    """The faults beneath TLS, with their directions."""
    if given is None:
        return []
    if not isinstance(given, dict):
        raise TypeError(f"beneath_tls is {given!r}; {_BENEATH}")
    if unknown := [key for key in given if key not in DIRECTIONS]:
        raise ValueError(f"beneath_tls has the key {unknown[0]!r}; {_BENEATH}")
    if not terminates:
        raise ValueError(
            f"beneath_tls is {given!r} without tls=; expected a proxy that terminates TLS: write tls=True, or, where it"
            " passes TLS on as it is, to_server= and to_client=, which are faults on the cipher text there"
        )
    return [
        (way, fault)
        for way in DIRECTIONS
        for fault in faults_of(f"beneath_tls[{way!r}]", given.get(way, ()), "tcp")
    ]
