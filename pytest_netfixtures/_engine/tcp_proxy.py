"""A fault-injecting TCP proxy in front of any server.

Law: it accepts clients; which faults they meet is in `proxy.py`, what goes on inside a connection in `proxied.py`.
"""

from __future__ import annotations

import _socket
from collections.abc import Mapping
from typing import TYPE_CHECKING

from .._errors import is_for_the_user
from .._wire.checks import check_choice, check_count, check_seconds
from .._wire.entries import Address
from .endpoint import Live, TcpEndpoint
from .faulted import ArmedBeneath
from .proxied import ProxiedConnection
from .proxy import Faults, Proxy
from .scope import Scope
from .tls_legs import Legs

if TYPE_CHECKING:
    import ssl

    from .authority import Tls

__tracebackhide__ = is_for_the_user

__all__ = ["TcpProxy"]


class TcpProxy(Proxy, TcpEndpoint):
    """A TCP proxy with faults: `to_server` and `to_client`, from the start and live.

    `upstream` is a server or proxy of ours, `(host, port)` or `"host:port"`, and may be changed while running.
    `on_unreachable` says what becomes of a client when the upstream cannot be reached within 5 s: `"reset"`, `"close"` or
    `"hang"`. `accept_delay`: connects succeed, and the proxy takes the connection up only so many seconds later; nothing
    of the client is read and the upstream is not connected to before. `queue_bytes` bounds what waits in one direction;
    above it reading pauses.

    `tls=` (True, a `Tls`, or an `ssl.SSLContext` for servers): the proxy ends the client's TLS, and faults, traffic and `when`
    see plain text. Without it TLS is passed on as it is, as any bytes are. `upstream_tls` is the way to the upstream. None: TLS
    when `tls=` is given and the upstream is a server or proxy of ours with TLS, otherwise plain; True: TLS to whatever it
    is, and its certificate is not checked; False: plain; an `ssl.SSLContext` for clients: TLS as that says. The upstream is connected to
    first, its handshake included, then the client's handshake is answered. `beneath_tls`, with `tls=`, has faults for the cipher text of the
    client's leg, the handshake included: `{"to_server": faults, "to_client": faults}`; they count its bytes.

    Raises TypeError or ValueError for an upstream that is no address and for a fault that is none, or none of TCP;
    SetupError where TLS needs trustme and it is not installed.
    """

    kind = "tcp_proxy"

    def __init__(
        self,
        scope: Scope,
        upstream: object,
        *,
        to_server: Faults = (),
        to_client: Faults = (),
        tls: Tls | ssl.SSLContext | bool | None = None,
        upstream_tls: ssl.SSLContext | bool | None = None,
        beneath_tls: Mapping[str, Faults] | None = None,
        on_unreachable: str = "reset",
        accept_delay: float = 0.0,
        queue_bytes: int = 1 << 20,
        host: str = "127.0.0.1",
        port: int = 0,
        name: str | None = None,
    ) -> None:
        self.scope = scope
        self.legs = Legs(tls, upstream_tls, beneath_tls)
        self._take(upstream, to_server, to_client)
        self.beneath = self._armed(self.legs.beneath, ArmedBeneath)
        self._connection = _kind(self.legs)
        check_choice("on_unreachable", on_unreachable, ("reset", "close", "hang"))
        check_count("queue_bytes", queue_bytes, least=1)
        self.on_unreachable = on_unreachable
        self.queue_bytes = queue_bytes
        self.accept_delay = accept_delay
        super().__init__(scope, host=host, port=port, name=name)

    @property
    def accept_delay(self) -> float:
        """How many seconds later a connection is taken up; one that waits already keeps its time when this changes."""
        return self._accept_delay

    @accept_delay.setter
    def accept_delay(self, seconds: float) -> None:
        check_seconds("accept_delay", seconds)
        self._accept_delay = seconds

    @property
    def tls(self) -> Tls | ssl.SSLContext | None:
        """What clients meet: the `tls` that was given, where it was one."""
        return self.legs.tls

    @property
    def url(self) -> str:
        """`tcp://host:port`, or with the scheme of the server of ours behind it: https where clients meet TLS, otherwise http."""
        scheme, _, rest = super().url.partition(":")
        return f"{self.legs.scheme(self.upstream, scheme)}:{rest}"

    # On the engine's thread.

    def _connect(self, sock: _socket.socket, peer: Address, number: int) -> Live:
        return self._connection(self, sock, peer, number)


def _kind(legs: Legs) -> type[ProxiedConnection]:
    """What its connections are; those without TLS know nothing of it."""
    if not legs.any:
        return ProxiedConnection
    from .tls_proxied import SealedConnection

    return SealedConnection
