"""What a lab makes: servers, proxies, and places without a server.

Law: it makes and hands over; who owns and closes what was made is in `_netlab.py`. It is usable without pytest, and knows
nothing of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from ._engine.handlers import Handler
from ._engine.nowhere import Refused, Tarpit
from ._engine.proxy import Faults
from ._engine.scope import Scope
from ._engine.servers import DeafServer, TcpEcho, TcpServer
from ._engine.tcp_proxy import TcpProxy
from ._engine.udp import Answers, UdpResponder
from ._engine.udp_proxy import UdpProxy
from ._errors import is_for_the_user

if TYPE_CHECKING:
    import ssl

    from ._engine.authority import Tls

__all__ = ["Makers"]

__tracebackhide__ = is_for_the_user


class _Closed(Protocol):
    """Anything that a lab owns."""

    def close(self) -> None:
        """Give back what it holds."""


Owned = TypeVar("Owned", bound=_Closed)


class Makers:
    """Makes servers and proxies on the scope of a lab."""

    strict: bool

    def _open(self) -> Scope:
        """Where they are made; an error when that is over."""
        raise TypeError(f"{type(self).__name__} does not say where servers are made")

    def _own(self, endpoint: Owned) -> Owned:
        """Take over what was made."""
        raise TypeError(f"{type(self).__name__} does not say who owns what was made")

    # Servers.

    def tcp_echo(
        self,
        prefix: bytes = b"",
        *,
        tls: Tls | ssl.SSLContext | bool | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        name: str | None = None,
    ) -> TcpEcho:
        """A TCP server that sends back what it gets; `prefix` comes first when a connection opens.

        `tls`: True, a `Tls`, or an `ssl.SSLContext` for servers; clients trust it with `ca.client_context()`.
        """
        return self._own(TcpEcho(self._open(), prefix, tls=tls, host=host, port=port, name=name))

    def tcp_server(
        self,
        handler: Handler | Sequence[Handler] | None = None,
        *,
        then: str = "error",
        strict: bool | None = None,
        tls: Tls | ssl.SSLContext | bool | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        name: str | None = None,
    ) -> TcpServer:
        """A TCP server with a handler for each connection, a list of handlers, or (without) driven by `accept()`.

        `then` says what becomes of connections beyond a list: "error", "refuse" or "repeat". `tls`: True, a `Tls`, or an
        `ssl.SSLContext` for servers; a connection is handed over when its handshake is done.
        """
        strict = self.strict if strict is None else strict
        return self._own(
            TcpServer(
                *(self._open(), handler),
                then=then,
                strict=strict,
                tls=tls,
                host=host,
                port=port,
                name=name,
            )
        )

    def udp_responder(
        self, answers: Answers = None, *, host: str = "127.0.0.1", port: int = 0, name: str | None = None
    ) -> UdpResponder:
        """A UDP server that answers from a table or a callable; an echo without `answers`."""
        return self._own(UdpResponder(self._open(), answers, host=host, port=port, name=name))

    def http_echo(
        self,
        *,
        tls: Tls | ssl.SSLContext | bool | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        name: str | None = None,
    ) -> TcpServer:
        """An HTTP server that answers every request with a JSON description of it.

        With `tls=` its `url` says https, and a client trusts it with `verify=lab.ca.pem_path`.
        """
        from ._engine.http import HttpEcho

        return self._own(HttpEcho(self._open(), tls=tls, host=host, port=port, name=name))

    # Proxies.

    def tcp_proxy(
        self,
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
    ) -> TcpProxy:
        """A TCP proxy in front of `upstream`: a server or proxy of ours, `(host, port)` or `"host:port"`.

        With `tls=` it ends the client's TLS, so that faults, traffic and `when` see plain text; `upstream_tls` is the way to
        the upstream, `beneath_tls={"to_server": faults, "to_client": faults}` has faults for the client's cipher text.
        """
        return self._own(
            TcpProxy(
                self._open(),
                upstream,
                to_server=to_server,
                to_client=to_client,
                tls=tls,
                upstream_tls=upstream_tls,
                beneath_tls=beneath_tls,
                on_unreachable=on_unreachable,
                accept_delay=accept_delay,
                queue_bytes=queue_bytes,
                host=host,
                port=port,
                name=name,
            )
        )

    def udp_proxy(
        self,
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
    ) -> UdpProxy:
        """A UDP proxy in front of `upstream`; each client address is a session of its own."""
        return self._own(
            UdpProxy(
                self._open(),
                upstream,
                to_server=to_server,
                to_client=to_client,
                on_unreachable=on_unreachable,
                idle_seconds=idle_seconds,
                queue_bytes=queue_bytes,
                host=host,
                port=port,
                name=name,
            )
        )

    # Places without a server.

    def refused_address(self, host: str = "127.0.0.1") -> tuple[str, int]:
        """An address where connects are refused until the lab is closed; the port is ours."""
        return self._own(Refused(self._open().engine, host)).address

    def tarpit_address(self, host: str = "127.0.0.1") -> tuple[str, int]:
        """An address where a connect hangs until the client gives up: nobody accepts, refuses or answers."""
        return self._own(Tarpit(self._open().engine, host)).address

    def deaf_server(self, *, host: str = "127.0.0.1", port: int = 0, name: str | None = None) -> DeafServer:
        """Connects succeed, nothing is ever accepted or read."""
        return self._own(DeafServer(self._open(), host=host, port=port, name=name))
