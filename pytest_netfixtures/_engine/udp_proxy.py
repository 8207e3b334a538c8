"""A fault-injecting UDP proxy in front of any server.

Law: it takes datagrams and finds the session of their client; what goes on inside a session is in `udp_session.py`.
"""

from __future__ import annotations

from .proxy import Faults, Proxy
from .scope import Scope

__all__ = ["UdpProxy"]


class UdpProxy(Proxy):
    """A UDP proxy with faults."""

    kind = "udp_proxy"
    scheme = "udp"
    transport = "udp"

    def __init__(
        self,
        scope: Scope,
        upstream: object,
        *,
        to_server: Faults = (),
        to_client: Faults = (),
        on_unreachable: str = "refuse",
        idle_seconds: float = 30.0,
        queue_bytes: int = 1 << 20,
        host: str = "127.0.0.1",
        port: int = 0,
        name: str | None = None,
    ) -> None:
        self.scope = scope
        self._take(upstream, to_server, to_client)

    def close(self) -> None:
        """Stop, and give the port back."""
