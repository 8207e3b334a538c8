"""A fault-injecting TCP proxy in front of any server.

Law: it accepts clients; which faults they meet is in `proxy.py`, what goes on inside a connection in `proxied.py`.
"""

from __future__ import annotations

import _socket

from .._errors import is_for_the_user
from .._wire.checks import check_choice, check_count, check_seconds
from .._wire.entries import Address
from .endpoint import Live, TcpEndpoint
from .proxied import ProxiedConnection
from .proxy import Faults, Proxy
from .scope import Scope

__tracebackhide__ = is_for_the_user

__all__ = ["TcpProxy"]


class TcpProxy(Proxy, TcpEndpoint):
    """A TCP proxy with faults: `to_server` and `to_client`, from the start and live.

    `upstream` is a server or proxy of ours, `(host, port)` or `"host:port"`, and may be changed while running.
    `on_unreachable` says what becomes of a client when the upstream cannot be reached within 5 s: `"reset"`, `"close"` or
    `"hang"`. `accept_delay`: connects succeed, and the proxy takes the connection up only so many seconds later; nothing
    of the client is read and the upstream is not connected to before. `queue_bytes` bounds what waits in one direction;
    above it reading pauses.

    Raises TypeError or ValueError for an upstream that is no address and for a fault that is none, or none of TCP.
    """

    kind = "tcp_proxy"

    def __init__(
        self,
        scope: Scope,
        upstream: object,
        *,
        to_server: Faults = (),
        to_client: Faults = (),
        on_unreachable: str = "reset",
        accept_delay: float = 0.0,
        queue_bytes: int = 1 << 20,
        host: str = "127.0.0.1",
        port: int = 0,
        name: str | None = None,
    ) -> None:
        self.scope = scope
        self._take(upstream, to_server, to_client)
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

    # On the engine's thread.

    def _connect(self, sock: _socket.socket, peer: Address, number: int) -> Live:
        return ProxiedConnection(self, sock, peer, number)
