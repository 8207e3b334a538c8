"""Where a server or proxy is.

Law: the address in all the forms that people need it in, what was recorded there, and nothing that acts but the context
manager, which stops.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from .._wire.traffic import Connection, Traffic
    from .ports import Port
    from .scope import Scope

__all__ = ["Place", "Recorded"]

Here = TypeVar("Here", bound="Place")


class Place:
    """A place with a port of its own: `host`, `port`, `address`, `netloc`, `url`, `name`. As a context manager: for a block."""

    scope: Scope
    name: str
    scheme = "tcp"
    _port: Port

    @property
    def host(self) -> str:
        """The address that it is bound to."""
        return self._port.host

    @property
    def port(self) -> int:
        """The port; the same for its whole life, stopped or not."""
        return self._port.port

    @property
    def address(self) -> tuple[str, int]:
        """`(host, port)`, as `socket.create_connection` takes it."""
        return (self.host, self.port)

    @property
    def netloc(self) -> str:
        """`127.0.0.1:6379`, `[::1]:6379`."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """`tcp://127.0.0.1:6379`, without a slash at the end."""
        return f"{self.scheme}://{self.netloc}"

    def stop(self) -> None:
        """Refuse from now on."""
        raise TypeError(f"{type(self).__name__} does not say how it is stopped")

    def _say_where(self) -> None:
        if not self.host.startswith("127.") and self.host != "::1":
            self.scope.note(f"{self.name} is bound to {self.host}: reachable from beyond this machine")

    def __enter__(self: Here) -> Here:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<{self.name} on {self.url}>"


class Recorded(Place):
    """A place whose connections are recorded: `traffic`, `connections`."""

    @property
    def traffic(self) -> Traffic:
        """An immutable snapshot of what its connections (of UDP: client addresses) have seen so far."""
        return self.scope.traffic_of(self.name)

    @property
    def connections(self) -> tuple[Connection, ...]:
        """Those of its traffic so far, `connections[0]` is the first."""
        return self.traffic.connections
